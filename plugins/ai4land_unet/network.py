"""The network: a U-Net whose result for a cell depends only on the cell's surroundings, not on the tile.

Ronneberger, Fischer, Brox 2015, https://arxiv.org/abs/1505.04597, with padded convolutions and BatchNorm.
BatchNorm is constant during prediction, so tiles give the same result as one pass over the whole domain. GroupNorm or
LayerNorm would average over the tile.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

#: Rows whose logits are computed at once on a CPU: their float32 values fit into the cache and need little memory.
_STRIP = 16


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """U-Net with a persistence prior.

    Parameters
    ----------
    in_channels, classes:
        Number of input channels (35 in the published network) and of classes.
    width, depth:
        Channels of the first level, doubled at each pooling; number of poolings.
    dropout:
        Share of feature maps that are dropped during training, at the deepest level and before the head.
    two_heads:
        Whether one more output tells if a cell changes. The logits of the classes then tell only to which other class.
        By default one softmax answers both.
    """

    def __init__(
        self, in_channels: int, width: int, depth: int, classes: int, dropout: float = 0.0, *, two_heads: bool = False
    ) -> None:
        super().__init__()
        self.classes, self.two_heads = classes, two_heads
        widths = [width * 2**level for level in range(depth + 1)]
        self.depth = depth
        self.down = nn.ModuleList(_block(i, o) for i, o in zip([in_channels, *widths], widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, stride=2) for i in range(depth))
        self.merge = nn.ModuleList(_block(2 * widths[i], widths[i]) for i in range(depth))
        self.head = nn.Conv2d(width, classes + two_heads, 1)
        self.dropout = nn.Dropout2d(dropout)
        # Most land does not change: the network starts from persistence and learns the changes.
        self.prior = nn.Parameter(torch.tensor(3.0))

    def start_from_persistence(self, changed: float) -> None:
        """Set the head to zero, and the prior so that a share ``changed`` of the cells is expected to change."""
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        others = 1 if self.two_heads else self.classes - 1  # logits that stand against that of the previous class
        self.prior.data.fill_(math.log((1 - changed) * others / changed))

    def forward(self, x: Tensor, previous: Tensor, core: tuple[slice, slice] = (slice(None), slice(None))) -> Tensor:
        """Logits.

        Parameters
        ----------
        x:
            (B, in_channels, Y, X), Y and X multiples of ``alignment(depth)``.
        previous:
            One-hot previous map of the core, bool (B, classes, Yc, Xc); false for all classes where it is unknown.
        core:
            The part of the window whose logits are wanted; default: all.

        Returns
        -------
        float32 (B, classes, Yc, Xc), for any type of the layers: with bfloat16 logits, cells would be ranked by only
        8 bits.
        """
        skips: list[Tensor] = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.dropout(self.down[-1](x))
        for level in reversed(range(self.depth)):
            x = self.merge[level](torch.cat([skips.pop(), self.up[level](x)], 1))
        x = self.dropout(x)[..., *core]
        with torch.autocast(x.device.type, enabled=False):
            if torch.is_grad_enabled() or x.device.type != "cpu":
                return self._logits(x, previous)
            out = x.new_empty(previous.shape, dtype=torch.float32)
            for start in range(0, out.shape[2], _STRIP):
                part = slice(start, start + _STRIP)
                out[:, :, part] = self._logits(x[:, :, part], previous[:, :, part])
        return out

    def _logits(self, x: Tensor, previous: Tensor) -> Tensor:
        logits: Tensor = self.head(x.float())
        if not self.two_heads:
            return logits + self.prior * previous
        target, change = logits[:, : self.classes], logits[:, self.classes :]
        others = functional.log_softmax(target.masked_fill(previous, -torch.inf), 1)
        return torch.where(previous, self.prior - change, others)


def fold_batchnorm(network: UNet) -> UNet:
    """A copy for inference, with each BatchNorm merged into the convolution before it. The results stay the same."""
    folded = copy.deepcopy(network).eval()
    for blocks in (folded.down, folded.merge):
        for index, block in enumerate(blocks):
            layers: list[nn.Module] = []
            for layer in block.children():
                if isinstance(layer, nn.BatchNorm2d):
                    convolution = layers[-1]
                    assert isinstance(convolution, nn.Conv2d)
                    layers[-1] = fuse_conv_bn_eval(convolution, layer)
                else:
                    layers.append(layer)
            blocks[index] = nn.Sequential(*layers)
    return folded


def to_dtype(network: UNet, dtype: torch.dtype) -> UNet:
    """Cast the layers in place, but keep the head and the prior in float32."""
    network.to(dtype)
    network.head.float()
    network.prior.data = network.prior.data.float()
    return network
