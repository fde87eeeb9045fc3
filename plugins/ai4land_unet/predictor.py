"""Predicts logits with a loaded U-Net, one window at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai4land_coupler.api import LOGITS, OUTSIDE, Batch, CoarseIndex, ConfigError, KeyedRng, Predictor, PredictorSpec
from ai4land_unet.card import Channel, in_channels
from ai4land_unet.encoding import encode, one_hot, previous_map, to_device, turned
from ai4land_unet.network import UNet, fold_batchnorm, to_dtype

Device = Literal["auto", "cpu", "cuda"]


def choose_device(name: Device) -> torch.device:
    """The device of a name. ``auto`` uses a GPU if one is available."""
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ConfigError(
            "no GPU can be used", expected="a CUDA device", found="none", remedy="set `device: cpu` or `auto`"
        )
    return torch.device("cuda" if found and name != "cpu" else "cpu")


def advice_on_dtype(dtype: torch.dtype, device: torch.device) -> tuple[str, ...]:
    """What a user should know about a type of layers on a device."""
    if dtype != torch.bfloat16 or device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return ()
    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ()
    processor = torch.backends.cpu.get_cpu_capability()
    return (
        "dtype bfloat16 takes about ten times the time of float32 and five times the memory that windows are sized "
        f"for: this processor ({processor}) has no instructions for it; set `dtype: float32`",
    )


class UNetPredictor(Predictor):
    """Predicts land-cover logits with a trained U-Net.

    Each window is computed separately, so that its result does not depend on the other windows of the batch.
    """

    def __init__(
        self,
        network: UNet,
        channels: tuple[Channel, ...],
        spec: PredictorSpec,
        dtype: Literal["float32", "bfloat16"] = "float32",
        device: Device = "auto",
        symmetries: int = 1,
    ) -> None:
        self.spec = spec
        self._channels = channels
        self._symmetries = symmetries
        self._classes, self._in_channels = network.classes, in_channels(channels, network.classes)
        self._dtype = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        self._device = choose_device(device)
        self.advice = advice_on_dtype(self._dtype, self._device)
        self._memory = torch.empty(0, dtype=self._dtype, device=self._device)
        folded = to_dtype(fold_batchnorm(network), self._dtype)
        self._network = folded.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``, float32 (B, class, Y, X); zeros for windows without land.

        For a batch of one tile they cover the core of the tile, else the windows.
        """
        previous = previous_map(self._channels, batch.fields)
        count, *shape = previous.shape
        core = (
            batch.tiles[0].core.slices(batch.tiles[0].window) if len(batch.tiles) == 1 else (slice(None), slice(None))
        )
        results = []
        for item in range(count):
            if (previous[item] != OUTSIDE).any():
                fields = {name: values[item : item + 1] for name, values in batch.fields.items()}
                results.append(self._window(fields, batch.coarse[item : item + 1], core))
            else:
                size = (len(range(n)[part]) for n, part in zip(shape, core, strict=True))
                results.append(np.zeros((1, self._classes, *size), np.float32))
        return {LOGITS: results[0] if count == 1 else np.concatenate(results)}

    def _window(
        self, fields: Mapping[str, Any], coarse: Sequence[CoarseIndex], core: tuple[slice, slice]
    ) -> NDArray[np.float32]:
        """Logits of one window, cut to its core."""
        with torch.inference_mode():
            previous = previous_map(self._channels, fields)
            x = encode(self._channels, self._classes, fields, coarse, self._input(previous.shape))
            if self._symmetries == 1:
                hot = one_hot(self._classes, to_device(previous[:, *core], self._device))
                logits = self._network(x, hot, core)
            else:
                hot = one_hot(self._classes, to_device(previous, self._device))
                logits = self._mean_of_views(x, hot)[..., *core]
            values: NDArray[np.float32] = logits.cpu().numpy()
        return values

    def _mean_of_views(self, x: Tensor, hot: Tensor) -> Tensor:
        """Mean of the logits of a window, predicted after each rotation and mirroring."""
        total = torch.zeros(hot.shape, dtype=torch.float32, device=self._device)
        for view in range(self._symmetries):
            quarter, mirror = view % 4, view >= 4
            logits = self._network(turned(x, quarter, mirror), turned(hot, quarter, mirror))
            total += torch.rot90(logits.flip(-1) if mirror else logits, -quarter, (-2, -1))
        return total / self._symmetries

    def _input(self, shape: tuple[int, ...]) -> Tensor:
        """Memory for the encoded input of windows (B, Y, X), kept because new memory takes time."""
        full = (*shape, self._in_channels)
        size = math.prod(full)
        if self._memory.numel() < size:
            self._memory = torch.empty(size, dtype=self._dtype, device=self._device)
        return self._memory[:size].view(full)
