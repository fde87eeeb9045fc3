"""Parts of a twin: boxes of whole forcing cells, with the land cells in them.

Every value of a cell depends on its place, on its forcing cell and on its neighbours. So a twin can be made part by
part, and the parts do not change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.relief import row_areas

Axis = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """A part of a twin.

    Parameters
    ----------
    forcing:
        Box of the forcing cells in ``options.forcing_grid``.
    land:
        Box of the land cells in ``options.land_grid``.
    """

    options: TwinOptions
    forcing: Box
    land: Box

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of land cells."""
        return self.land.shape

    def centres(self, pad: int = 0) -> tuple[Axis, Axis]:
        """Longitudes and latitudes of the cells' centres (degrees), with ``pad`` more cells on every side."""
        lon, lat = self.options.centres(pad)
        rows, cols = self.land.shape
        row, col = self.land.row0, self.land.col0
        return lon[col : col + cols + 2 * pad], lat[row : row + rows + 2 * pad]

    def cells(self) -> NDArray[np.int64]:
        """Ids of the land cells on the globe, (Y, X)."""
        box, full = self.options.land_box, self.options.global_land_grid
        rows = np.arange(self.land.row0, self.land.row1) + box.row0
        cols = np.arange(self.land.col0, self.land.col1) + box.col0
        return np.asarray(rows[:, None] * full.nlon + cols, np.int64)

    def forcing_cells(self) -> NDArray[np.int64]:
        """Number of the forcing cell of each land cell, counted in this part; (Y, X)."""
        rows, cols = _forcing_of(self.options)
        here = rows[self.land.row0 : self.land.row1] - self.forcing.row0
        there = cols[self.land.col0 : self.land.col1] - self.forcing.col0
        return np.asarray(here[:, None] * self.forcing.shape[1] + there)

    def row_area(self) -> NDArray[np.int64]:
        """Area of a cell of each row (dm2)."""
        return row_areas(self.options)[self.land.row0 : self.land.row1]


@cache
def _forcing_of(options: TwinOptions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the forcing grid of each row and column of the land grid."""
    lon, lat = options.centres()
    return options.forcing_grid.rows_of(lat), options.forcing_grid.cols_of(lon)


def whole(options: TwinOptions) -> Part:
    """The whole twin as one part."""
    return Part(options, options.forcing_grid.box, options.land_grid.box)


@dataclass(frozen=True)
class Parts:
    """A twin that is divided into parts of ``side`` x ``side`` forcing cells, numbered row by row.

    ``rows`` and ``cols`` are the ranges of forcing cells and of land cells of each row and column of parts.
    """

    options: TwinOptions
    rows: tuple[tuple[int, int, int, int], ...]
    cols: tuple[tuple[int, int, int, int], ...]

    @property
    def count(self) -> int:
        return len(self.rows) * len(self.cols)

    def part(self, number: int) -> Part:
        row, col = divmod(number, len(self.cols))
        a0, a1, y0, y1 = self.rows[row]
        b0, b1, x0, x1 = self.cols[col]
        return Part(self.options, Box(a0, a1, b0, b1), Box(y0, y1, x0, x1))

    def within(self, box: Box) -> Iterator[tuple[int, Box]]:
        """The parts that have land cells in a box of land cells: number, and the box of these cells."""
        for row, (*_, y0, y1) in enumerate(self.rows):
            if y0 < box.row1 and y1 > box.row0:
                for col, (*_, x0, x1) in enumerate(self.cols):
                    if x0 < box.col1 and x1 > box.col0:
                        yield row * len(self.cols) + col, box.intersect(Box(y0, y1, x0, x1))


@cache
def parts_of(options: TwinOptions, side: int) -> Parts:
    """Divide a twin into parts of ``side`` x ``side`` forcing cells."""
    rows, cols = _forcing_of(options)
    grid = options.forcing_grid
    return Parts(options, _cut(rows, grid.nlat, side), _cut(cols, grid.nlon, side))


def _cut(owner: NDArray[np.int64], size: int, side: int) -> tuple[tuple[int, int, int, int], ...]:
    """Ranges of forcing cells, and of the land cells in them; ``owner`` is the forcing cell of each land cell."""
    ranges = [(first, min(first + side, size)) for first in range(0, size, side)]
    cut = [(*pair, *np.searchsorted(owner, pair).tolist()) for pair in ranges]
    return tuple(found for found in cut if found[3] > found[2])
