"""The windows of each step of a training, read ahead by worker processes.

The windows of a step depend on the seed and the number of the step alone. So they are the same with any number of
workers and of training processes, and after a training was stopped and continued.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ai4land_coupler.api import OUTSIDE, Ai4LandError, CoarseIndex, RunError, TrainingData
from ai4land_unet.bundle import make_spec
from ai4land_unet.card import COVER, Channel
from ai4land_unet.encoding import HIDDEN, encode, one_hot, previous_map, turned

if TYPE_CHECKING:
    from ai4land_unet.options import Optimisation

#: Steps that each worker reads ahead.
_AHEAD = 2


@dataclass(frozen=True)
class Window:
    """The inputs of one window before they are encoded, its target (Y, X), and how it is rotated and mirrored.

    They are arrays of numpy. For each tensor, torch would open a connection to the worker process that sends it.
    """

    fields: Mapping[str, NDArray[np.generic]]
    coarse: tuple[CoarseIndex, ...]
    target: NDArray[np.int8]
    quarter: int = 0
    mirror: bool = False


@dataclass(frozen=True)
class Tensors:
    """A batch on the device: input, one-hot previous map, target, and previous map with hidden cells."""

    x: Tensor
    hot: Tensor
    target: Tensor
    previous: Tensor


class StepWindows(Dataset[list[Window]]):
    """The windows of a step, by its number.

    Parameters
    ----------
    rank, size:
        This process and the number of processes that share the windows of a step.
    held_out:
        Windows of held-out land, as they are. Default: training land, with hidden cells and rotations.
    """

    def __init__(
        self,
        data: TrainingData,
        channels: tuple[Channel, ...],
        run: Optimisation,
        *,
        rank: int = 0,
        size: int = 1,
        held_out: bool = False,
    ) -> None:
        self._data, self._run, self._held_out = data, run, held_out
        self.spec = make_spec(channels, data.legend.name, data.step, data.direction, align=1, halo=0)
        self._slots = range(rank, run.batch, size)
        self._rotate = run.augment and not held_out and not any(c.directional for c in data.channels)

    def __getitem__(self, step: int) -> list[Window]:
        return [self._window(step * self._run.batch + slot) for slot in self._slots]

    def _window(self, number: int) -> Window:
        run = self._run
        batch, target = self._data.window(number, run.window, seed=run.seed, held_out=self._held_out, spec=self.spec)
        fields = dict(batch.fields)
        rng = np.random.default_rng((run.seed, 2, number))
        if run.mask_share > 0 and not self._held_out:
            fields[COVER] = _hide(fields[COVER], run, rng)
        quarter, mirror = (int(rng.integers(4)), bool(rng.integers(2))) if self._rotate else (0, False)
        return Window(fields, batch.coarse, target, quarter, mirror)


def read_ahead(windows: StepWindows, first: int, last: int | None, workers: int) -> Iterator[list[Window]]:
    """The windows of the steps from ``first`` up to ``last`` (without it; ``None``: without an end).

    Parameters
    ----------
    workers:
        Number of processes that read ahead. With 0, this process reads.
    """
    steps: Iterable[int] = itertools.count(first) if last is None else range(first, last)
    if workers == 0:
        return (windows[step] for step in steps)
    # Spawn, because libraries of this process (threads of torch and zarr) do not survive a fork.
    loader = DataLoader(
        _Sent(windows),
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        collate_fn=_unchanged,
        multiprocessing_context="spawn",
        prefetch_factor=_AHEAD,
    )
    # Ctrl-C in a terminal reaches all processes. The workers must go on until this process ends them.
    before = _ignore_interrupts()
    try:
        return _received(iter(loader))
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


class _Sent(Dataset[list[Window] | Ai4LandError]):
    """Windows in a worker process, which sends an error as it is. PyTorch would make its traceback the message."""

    def __init__(self, windows: StepWindows) -> None:
        self._windows = windows

    def __getitem__(self, step: int) -> list[Window] | Ai4LandError:
        try:
            return self._windows[step]
        except Ai4LandError as error:
            return error


def _received(items: Iterator[list[Window] | Ai4LandError]) -> Iterator[list[Window]]:
    """Raise the errors that workers send."""
    try:
        for item in items:
            if isinstance(item, Ai4LandError):
                raise item
            yield item
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RunError(
            "a process that reads ahead ended before its time",
            found=str(error).splitlines()[0],
            remedy="it was killed, most often for want of memory: continue with --resume and fewer --workers",
        ) from error


def _ignore_interrupts() -> Any:
    try:
        return signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread, which alone gets signals
        return None


def _unchanged(item: Any) -> Any:
    return item


def to_tensors(channels: tuple[Channel, ...], classes: int, windows: Iterable[Window], device: torch.device) -> Tensors:
    """Encode windows on a device."""
    parts = [_encoded(channels, classes, window, device) for window in windows]
    x, hot, target, previous = (torch.cat(arrays) for arrays in zip(*parts, strict=True))
    return Tensors(x.contiguous(memory_format=torch.channels_last), hot, target, previous)


def _encoded(channels: tuple[Channel, ...], classes: int, window: Window, device: torch.device) -> tuple[Tensor, ...]:
    shown = torch.from_numpy(previous_map(channels, window.fields)).to(device)
    rows, cols = shown.shape[-2:]
    out = torch.empty((1, rows, cols, sum(c.width(classes) for c in channels)), device=device)
    arrays = (
        encode(channels, classes, window.fields, window.coarse, out),
        one_hot(classes, shown),
        torch.from_numpy(window.target)[None].to(device).long(),
        shown.long(),
    )
    return tuple(turned(array, window.quarter, window.mirror) for array in arrays)


def _hide(cover: NDArray[np.int8], run: Optimisation, rng: np.random.Generator) -> NDArray[np.int8]:
    """Hide square patches of the land in maps (B, T, Y, X)."""
    count, _, rows, cols = cover.shape
    size = run.mask_patch
    patches = rng.random((count, 1, -(-rows // size), -(-cols // size))) < run.mask_share
    hidden = patches.repeat(size, 2).repeat(size, 3)[..., :rows, :cols]
    return np.where(hidden & (cover != OUTSIDE), np.int8(HIDDEN), cover)
