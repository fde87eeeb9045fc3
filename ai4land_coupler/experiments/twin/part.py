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


def parts_of(options: TwinOptions, side: int) -> Iterator[Part]:
    """Divide a twin into parts of ``side`` x ``side`` forcing cells, row by row."""
    grid = options.forcing_grid
    rows, cols = _forcing_of(options)
    for row in range(0, grid.nlat, side):
        for col in range(0, grid.nlon, side):
            box = Box(row, row + side, col, col + side).intersect(grid.box)
            land = Box(
                *np.searchsorted(rows, box[:2]).tolist(),
                *np.searchsorted(cols, box[2:]).tolist(),
            )
            if land.size:
                yield Part(options, box, land)
