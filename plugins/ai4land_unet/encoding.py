"""Converts named fields to the input of the network, in the same way for training and prediction.

Fields travel to the device as they are: classes in int8, forcing on its own cells. They are spread and encoded there.
All values are computed in float32 and rounded once to the type of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai4land_coupler.api import OUTSIDE, CoarseIndex
from ai4land_unet.card import COVER, Channel, in_channels, is_coarse, layers

#: Class of a land cell whose class is hidden from the network (training with a mask).
HIDDEN = -2

CPU = torch.device("cpu")

#: Cells that a CPU encodes at a time, so that all channels of a strip of rows stay in its cache.
_STRIP = 1 << 15

_Values = TypeVar("_Values", NDArray[Any], Tensor)


def encode(
    channels: tuple[Channel, ...],
    classes: int,
    fields: Mapping[str, Any],
    coarse: Sequence[CoarseIndex] = (),
    out: Tensor | None = None,
) -> Tensor:
    """Stack the fields in the order of the channels.

    Parameters
    ----------
    fields:
        Fields of a batch by name, (B, T, Y, X). Land cover is int8, others are float32.
    coarse:
        ``Batch.coarse`` if forcing and imports are on the forcing cells under the windows. Without it they are on the
        land cells.
    out:
        Memory for the result, (B, Y, X, C). Its type and device are those of the result. Default: new memory for
        float32 on the CPU.

    Returns
    -------
    (B, C, Y, X) in channels_last memory.
    """
    ends = np.cumsum([channel.width(classes) for channel in channels])
    places = [(c, slice(end - c.width(classes), end)) for c, end in zip(channels, ends, strict=True)]
    under = [(c, place) for c, place in places if coarse and is_coarse(c)]
    over = [(c, place) for c, place in places if not (coarse and is_coarse(c))]
    rows, cols = (coarse[0].rows.size, coarse[0].cols.size) if coarse else fields[channels[0].name].shape[-2:]
    if out is None:
        out = torch.empty((len(fields[channels[0].name]), rows, cols, in_channels(channels, classes)))
    device = out.device
    strip = max(1, _STRIP // cols) if device.type == "cpu" else rows
    time = layers(channels)
    for item in range(len(out)):
        if under:
            lines = _lines(under, time, {c.name: fields[c.name][item] for c, _ in under}, out.shape[-1])
            lines = lines.to(device, out.dtype).index_select(1, to_device(coarse[item].cols % lines.shape[1], device))
            line_of = to_device(coarse[item].rows % len(lines), device)
        land = {name: to_device(fields[name][item], device) for name in {c.name for c, _ in over}}
        for start in range(0, rows, strip):
            part = slice(start, start + strip)
            target = out[item, part]
            if under:
                torch.index_select(lines, 0, line_of[part], out=target)
            piece = {name: values[:, part] for name, values in land.items()}
            for channel, place in over:
                _write(channel, classes, _layer(channel, time, piece), target[..., place])
    return out.permute(0, 3, 1, 2)


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """The values on a device. A copy to a GPU does not wait for the work that the GPU still has to do."""
    tensor = torch.from_numpy(np.require(values, requirements=("C", "W")))  # torch warns about read-only arrays
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def one_hot(classes: int, cover: Tensor) -> Tensor:
    """Previous map (B, Y, X) as bool (B, class, Y, X); all false outside of the land and in hidden cells."""
    return (cover[..., None] == torch.arange(classes, dtype=cover.dtype, device=cover.device)).permute(0, 3, 1, 2)


def turned(array: Tensor, quarter: int, mirror: bool) -> Tensor:
    """Windows (..., Y, X), rotated by quarters of a turn and then mirrored."""
    rotated = torch.rot90(array, quarter, (-2, -1)) if quarter else array
    return rotated.flip(-1) if mirror else rotated


def previous_map(channels: tuple[Channel, ...], fields: Mapping[str, Any]) -> NDArray[np.int8]:
    """The map of the step before, (B, Y, X)."""
    previous: NDArray[np.int8] = fields[COVER][:, layers(channels)[COVER, -1]]
    return previous


def _layer(channel: Channel, time: Mapping[tuple[str, int], int], fields: Mapping[str, _Values]) -> _Values:
    """The values of a channel before the scaling, from the fields (T, Y, X) of one window."""
    values: _Values = fields[channel.name][time[channel.name, channel.offset]]
    return values if channel.minus is None else values - fields[channel.name][time[channel.name, channel.minus]]


def _lines(
    places: Sequence[tuple[Channel, slice]],
    time: Mapping[tuple[str, int], int],
    fields: Mapping[str, NDArray[Any]],
    width: int,
) -> Tensor:
    """The encoded channels of the forcing cells (rows, cols, width), zero where channels of land cells belong.

    Encoding before spreading gives the same bits as after it. Index -1 of the cells outside of the domain selects the
    last row and column, which hold the fill value.
    """
    shape = fields[places[0][0].name].shape[-2:]
    table = torch.zeros((*shape, width))
    for channel, place in places:
        table[..., place.start] = _scaled(channel, to_device(_layer(channel, time, fields), CPU))
    return table


def _write(channel: Channel, classes: int, values: Tensor, out: Tensor) -> None:
    """Encode one channel of land cells into ``out`` (rows, cols, width)."""
    if channel.encoding == "one_hot":
        for number in range(classes):
            out[..., number] = values == number
        out[..., classes] = values != OUTSIDE
    elif channel.encoding == "index":
        out[..., 0] = (values.clamp_min(OUTSIDE) + 1).float() / classes
    else:
        out[..., 0] = _scaled(channel, values)


def _scaled(channel: Channel, values: Tensor) -> Tensor:
    """The values after the scaling of a channel, float32."""
    if channel.encoding == "log1p":
        values = _curve(np.log1p, torch.log1p, values.clamp_min(0))
    elif channel.encoding == "cos":
        values = _curve(np.cos, torch.cos, values.deg2rad())
    return (values - float(np.float32(channel.mean))) * float(np.float32(1 / channel.scale))


def _curve(on_cpu: Callable[[Any], Any], on_gpu: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """A function of the values. On a CPU numpy computes it, as torch rounds otherwise than the code did before."""
    return torch.from_numpy(on_cpu(values.numpy())) if values.device.type == "cpu" else on_gpu(values)
