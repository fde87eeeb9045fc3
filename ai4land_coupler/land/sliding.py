"""Tilings: which windows a predictor sees, and how its results become the result of a block.

``exact``: one window for each block, with the predictor's halo; results are as in one pass over the whole domain.

``gaussian``: overlapping windows of one size, whose results are blended with Gaussian weights. Windows, weights and
default sigma are those of MONAI 1.6 (``sliding_window_inference`` and ``compute_importance_map``,
https://github.com/Project-MONAI/MONAI, Apache License 2.0): the windows lie at multiples of the stride, the last one is
moved back to the end of the domain, and a domain that is smaller than a window lies in its middle. Two things differ:
windows start at multiples of the predictor's ``align``, and they go on across the last column of a periodic grid.

The windows depend on the land grid and the predictor alone. A block gets all windows that overlap it, in one order. So
the results on land depend neither on blocks nor on ranks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Predictor
from ai4land_coupler.config.sections import TilingSection
from ai4land_coupler.core.fields import Batch, PredictorSpec, Tile
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError, PluginError
from ai4land_coupler.land.assemble import TileInputs, assemble
from ai4land_coupler.land.tiling import predict_tile
from ai4land_coupler.parallel import Block, BlockPlan

#: The outputs of a predictor, by name.
Outputs = dict[str, NDArray[np.float32]]
#: Sources of fields on the land grid.
_ON_LAND = ("cover", "output", "static", "memory")
T = TypeVar("T")
#: Bytes of results that are kept for the blocks that come later and overlap the same windows.
_KEPT_BYTES = 2**28


@dataclass(frozen=True)
class TileWork(Generic[T]):
    """The two parts of the work on a tile.

    Parameters
    ----------
    read:
        Reads the inputs of a tile. It may run in another thread, while earlier tiles are predicted.
    predict:
        The outputs over the core, from what ``read`` returned; shapes and errors are those of ``predict_tiles``. Call
        it for the tiles in their order.
    """

    read: Callable[[Tile], T]
    predict: Callable[[T], Outputs]


@dataclass(frozen=True)
class ExactTiling:
    """One window for each block: the block and the predictor's halo."""

    def check(self, grid: LatLonGrid, spec: PredictorSpec) -> None:
        """Every predictor can be used on every grid."""

    def tile(self, plan: BlockPlan, block: Block, spec: PredictorSpec) -> Tile:
        """A block, with the window of all inputs that its results depend on."""
        return plan.tile(block, spec.halo, spec.align)

    def window_bytes(self, core: float, spec: PredictorSpec, read: float, predicted: float) -> float:
        """Bytes that windows need at most. ``core``: cells along a side of a core. The others: bytes of a cell."""
        side = math.ceil((core + 2 * spec.halo) / spec.align + 1) * spec.align
        return side * side * (read + predicted)

    def work(
        self,
        name: str,
        predictor: Predictor,
        tiles: Sequence[Tile],
        inputs: TileInputs,
        time: tuple[int, int],
        rng: KeyedRng,
    ) -> TileWork[Batch]:
        """The work on these tiles."""
        return TileWork(
            lambda tile: assemble(predictor.spec, [tile], inputs, time),
            lambda batch: predict_tile(name, predictor, batch, rng),
        )


@dataclass(frozen=True)
class GaussianTiling:
    """Overlapping windows of one size, blended with Gaussian weights.

    Parameters
    ----------
    window:
        Land cells along each side of a window, rounded up to a multiple of the predictor's ``align``.
    overlap:
        Share of a window that the next window overlaps, at least 0 and less than 1. The stride, ``window * (1 -
        overlap)``, is rounded down to a multiple of ``align``, but is at least ``align``.
    sigma:
        Standard deviation of the weights, as a share of the window.
    """

    window: int
    overlap: float
    sigma: float

    def check(self, grid: LatLonGrid, spec: PredictorSpec) -> None:
        """Raise ``ConfigError`` if a window of the predictor is wider than the globe."""
        self._windows(grid, spec)

    def tile(self, plan: BlockPlan, block: Block, spec: PredictorSpec) -> Tile:
        """A block, with the window that holds all windows that overlap it."""
        windows = self._windows(plan.fine, spec).overlapping(block.core)
        first, last = windows[0], windows[-1]
        return Tile(block.id, block.core, Box(first.row0, last.row1, first.col0, last.col1))

    def window_bytes(self, core: float, spec: PredictorSpec, read: float, predicted: float) -> float:
        """Bytes that windows need at most. ``core``: cells along a side of a core. The others: bytes of a cell.

        Inputs are read for all windows that overlap the core, which reach almost a window beyond it on each side. One
        of them is predicted at a time.
        """
        size = self._size(spec)
        outer = math.ceil(core) + 2 * (size - 1)
        return outer * outer * read + size * size * predicted + _KEPT_BYTES

    def work(
        self,
        name: str,
        predictor: Predictor,
        tiles: Sequence[Tile],
        inputs: TileInputs,
        time: tuple[int, int],
        rng: KeyedRng,
    ) -> TileWork[tuple[Tile, TileInputs]]:
        """The work on these tiles: their windows are predicted one by one and blended.

        Results of windows that a later tile needs too are kept, up to ``_KEPT_BYTES``; others are predicted again.
        A window without land may give any finite values, because no land cell lies in it.
        """
        spec = predictor.spec
        windows = self._windows(inputs.fine, spec)
        weights = importance(windows.size, self.sigma)
        kept = _Kept([windows.canonical(window) for tile in tiles for window in windows.overlapping(tile.core)])

        def predict(read: tuple[Tile, TileInputs]) -> Outputs:
            tile, cut = read
            blend = _Blend(tile.core, f"predictor {name!r}, year {time[0]}, tile {tile.id}")

            def of_window(place: Box) -> Outputs:
                part = Tile(tile.id, windows.inside(place), place)
                return predict_tile(name, predictor, assemble(spec, [part], cut, time), rng)

            for window in windows.overlapping(tile.core):
                outputs = kept.take(windows.canonical(window), of_window)
                blend.add(outputs, window, windows.inside(window), weights)
            return blend.result()

        return TileWork(lambda tile: (tile, _cut(inputs, tile, spec)), predict)

    def _windows(self, grid: LatLonGrid, spec: PredictorSpec) -> Windows:
        stride = max(int(self.window * (1 - self.overlap)) // spec.align, 1) * spec.align
        return Windows(grid, self._size(spec), stride, spec.align)

    def _size(self, spec: PredictorSpec) -> int:
        return -(-self.window // spec.align) * spec.align


#: The choice of a configuration.
Tiling: TypeAlias = ExactTiling | GaussianTiling


def make_tiling(section: TilingSection) -> Tiling:
    """The tiling that a configuration chooses."""
    if section.method == "exact":
        return ExactTiling()
    return GaussianTiling(section.window, section.overlap, section.sigma)


@lru_cache(maxsize=8)
def importance(size: int, sigma: float) -> NDArray[np.float32]:
    """Weight of each cell of a square window, float32 (size, size), as MONAI's ``compute_importance_map``.

    A Gaussian around the middle of the window, whose standard deviation is ``sigma * size``. The smallest weight is
    0.001, because weights near zero would amplify rounding.
    """
    distance = np.arange(size) - (size - 1) / 2
    profile = np.exp(-(distance**2) / (2 * (sigma * size) ** 2))
    weights = np.maximum(np.outer(profile, profile), 1e-3).astype(np.float32)
    weights.flags.writeable = False
    return weights


@dataclass(frozen=True)
class Windows:
    """All windows of a land grid.

    Parameters
    ----------
    size, stride:
        Cells along each side of a window, and from one window to the next. Both are multiples of ``align``.

    Raises
    ------
    ConfigError
        A window is wider than the globe.
    """

    grid: LatLonGrid
    size: int
    stride: int
    align: int

    def __post_init__(self) -> None:
        if self.grid.periodic and self.size > self.grid.nlon:
            raise ConfigError(
                "a window is wider than the globe",
                expected=f"at most {self.grid.nlon} columns, in multiples of {self.align}",
                found=self.size,
                where="parallel.tiling.window",
            )

    def overlapping(self, core: Box) -> list[Box]:
        """The windows that overlap a box of the grid, in row-major order. Columns may go beyond a periodic grid."""
        rows = [row for row in self._starts(self.grid.nlat) if core.row0 - self.size < row < core.row1]
        if self.grid.periodic:
            turns = range((core.col0 - self.size) // self.grid.nlon, core.col1 // self.grid.nlon + 1)
            starts = [turn * self.grid.nlon + col for turn in turns for col in range(0, self.grid.nlon, self.stride)]
        else:
            starts = self._starts(self.grid.nlon)
        cols = [col for col in starts if core.col0 - self.size < col < core.col1]
        return [Box(row, row + self.size, col, col + self.size) for row in rows for col in cols]

    def canonical(self, window: Box) -> Box:
        """The same window, with its first column inside of a periodic grid."""
        if not self.grid.periodic:
            return window
        shift = window.col0 // self.grid.nlon * self.grid.nlon
        return Box(window.row0, window.row1, window.col0 - shift, window.col1 - shift)

    def inside(self, window: Box) -> Box:
        """The part of a window that lies on the grid."""
        inside = window.intersect(self.grid.box)
        return Box(inside.row0, inside.row1, window.col0, window.col1) if self.grid.periodic else inside

    def _starts(self, cells: int) -> list[int]:
        """First cells of the windows along an axis that does not wrap."""
        length = -(-cells // self.align) * self.align
        if length <= self.size:  # the domain lies in the middle of one window
            return [-((self.size - length) // 2 // self.align) * self.align]
        starts = list(range(0, length - self.size, self.stride))
        return [*starts, length - self.size]


class _Kept:
    """Results of windows that later tiles need too.

    Parameters
    ----------
    uses:
        The windows in the order of their use.
    """

    def __init__(self, uses: Sequence[Box]) -> None:
        self._uses: dict[Box, deque[int]] = {}
        for number, window in enumerate(uses):
            self._uses.setdefault(window, deque()).append(number)
        self._outputs: dict[Box, Outputs] = {}

    def take(self, window: Box, predict: Callable[[Box], Outputs]) -> Outputs:
        """The results of a window. Call it once for each use."""
        outputs = self._outputs.pop(window, None)
        if outputs is None:
            outputs = predict(window)
        self._uses[window].popleft()
        if self._uses[window]:
            self._outputs[window] = outputs
            self._make_room()
        return outputs

    def _make_room(self) -> None:
        """Drop the results that are used last, until the others need no more than ``_KEPT_BYTES``."""
        size = sum(_bytes(outputs) for outputs in self._outputs.values())
        while size > _KEPT_BYTES:
            last = max(self._outputs, key=lambda window: self._uses[window][0])
            size -= _bytes(self._outputs.pop(last))


class _Blend:
    """The weighted mean of the results of windows over the core of a tile."""

    def __init__(self, core: Box, where: str) -> None:
        self._core, self._where = core, where
        self._weight = np.zeros(core.shape, np.float32)
        self._sums: dict[str, NDArray[np.float32]] = {}

    def add(self, outputs: Outputs, window: Box, inside: Box, weights: NDArray[np.float32]) -> None:
        """Add the results of a window. They cover its part ``inside`` of the grid."""
        part = inside.intersect(self._core)
        target, source = part.slices(self._core), part.slices(inside)
        weight = weights[part.slices(window)]
        self._weight[target] += weight
        for name, values in outputs.items():
            shape = (*values.shape[:-2], *self._core.shape)
            sums = self._sums.setdefault(name, np.zeros(shape, np.float32))
            if sums.shape != shape:
                raise PluginError(
                    f"a predictor returned {name!r} with different times in two windows",
                    expected=sums.shape[0],
                    found=shape[0],
                    where=self._where,
                )
            sums[(..., *target)] += weight * values[(..., *source)]

    def result(self) -> Outputs:
        """The outputs over the core."""
        for sums in self._sums.values():
            sums /= self._weight
        return self._sums


def _bytes(outputs: Outputs) -> int:
    return sum(values.nbytes for values in outputs.values())


def _cut(inputs: TileInputs, tile: Tile, spec: PredictorSpec) -> TileInputs:
    """The same inputs for windows inside the window of a tile. Fields on the land grid are read now, once."""
    outer, grid = tile.window, inputs.fine
    wanted = [(field.name, offset) for field in spec.inputs if field.source in _ON_LAND for offset in field.offsets]
    wanted += [(name, -1) for name in spec.memory]
    read = {key: inputs.land(*key, tile) for key in wanted}

    def land(name: str, offset: int, part: Tile) -> NDArray[np.generic]:
        window = part.window
        if grid.periodic:
            shift = -((window.col0 - outer.col0) // grid.nlon) * grid.nlon
            window = Box(window.row0, window.row1, window.col0 + shift, window.col1 + shift)
        return read[name, offset][window.slices(outer)].copy()

    return replace(inputs, land=land)
