"""Which land is held out of a training.

A split is a mask on a latitude-longitude grid of its own: squares of half a degree, or the cells of a file. It is kept
as a netCDF file, which other trainings and evaluations read (``validation: {method: file}``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.errors import DataError
from ai4land_coupler.files.durable import new_path

#: Variable of the file.
HELD_OUT = "held_out"


@dataclass(frozen=True)
class Split:
    """The cells of a land grid that are held out, and those that lie too near to them.

    Parameters
    ----------
    fine:
        The land grid.
    grid, table:
        A latitude-longitude grid, and which of its cells are held out (rows, cols). A cell of the land grid is held
        out if its centre lies in such a cell.
    buffer:
        Cells of the land grid at most so far from a held-out cell (in rows and in columns) are not used at all.
    """

    fine: LatLonGrid
    grid: LatLonGrid
    table: NDArray[np.bool_]
    buffer: int = 0

    @classmethod
    def nothing(cls, fine: LatLonGrid) -> Split:
        """No cell is held out."""
        return cls(fine, LatLonGrid(-180.0, 360.0, 1, 90.0, -180.0, 1), np.zeros((1, 1), bool))

    def held_out(self, box: Box) -> NDArray[np.bool_]:
        """True for held-out cells of a box (rows, cols), which may reach beyond the land grid."""
        if not self.table.any():
            return np.zeros(box.shape, bool)
        row, col = np.arange(box.row0, box.row1), np.arange(box.col0, box.col1)
        inside = (row >= 0) & (row < self.fine.nlat)
        within = np.ones(col.size, bool)
        if self.fine.periodic:
            col = col % self.fine.nlon
        else:
            within = (col >= 0) & (col < self.fine.nlon)
        rows = self.grid.rows_of(np.asarray(self.fine.lat0 + self.fine.dlat * (row + 0.5), np.float64))
        cols = self.grid.cols_of(np.asarray(self.fine.lon0 + self.fine.dlon * (col + 0.5), np.float64))
        inside &= (rows >= 0) & (rows < self.grid.nlat)
        within &= (cols >= 0) & (cols < self.grid.nlon)
        found = self.table[np.clip(rows, 0, self.grid.nlat - 1)[:, None], np.clip(cols, 0, self.grid.nlon - 1)]
        return np.asarray(found & inside[:, None] & within[None, :])

    def unused(self, box: Box) -> NDArray[np.bool_]:
        """True for the cells of a box that are not used for training: held-out cells and the buffer around them."""
        n = self.buffer
        near = self.held_out(Box(box.row0 - n, box.row1 + n, box.col0 - n, box.col1 + n))
        if n == 0 or not near.any():
            return near[n : n + box.shape[0], n : n + box.shape[1]]
        wide = maximum_filter1d(near.view(np.uint8), 2 * n + 1, axis=0, mode="constant")[n:-n]
        wide = maximum_filter1d(wide, 2 * n + 1, axis=1, mode="constant")[:, n:-n]
        return np.asarray(wide, bool)

    def with_buffer(self, buffer: int) -> Split:
        return replace(self, buffer=buffer)

    def write(self, path: Path) -> None:
        """Write the mask and the buffer to a netCDF file.

        Raises
        ------
        RunError
            If writing to disk fails.
        """
        import xarray as xr

        attrs = {"long_name": "land that is held out of the training", "flag_values": np.array([0, 1], np.int8)}
        data = xr.Dataset(
            {HELD_OUT: (("lat", "lon"), self.table.astype(np.int8), attrs | {"flag_meanings": "used held_out"})},
            {
                "lat": ("lat", self.grid.lat, {"standard_name": "latitude", "units": "degrees_north"}),
                "lon": ("lon", self.grid.lon, {"standard_name": "longitude", "units": "degrees_east"}),
            },
            {"Conventions": "CF-1.11", "buffer_cells": self.buffer, "cells": _numbers(self.grid)},
        )
        with new_path(path, "the split of a training could not be written") as temporary:
            data.to_netcdf(temporary, encoding={HELD_OUT: {"zlib": True, "_FillValue": None}})

    @classmethod
    def read(cls, path: Path, fine: LatLonGrid) -> Split:
        """Read a split that was written, or a mask of one's own: a variable ``held_out`` over (lat, lon), not 0 where
        land is held out. Missing values are not held out.

        Raises
        ------
        DataError
            If the file cannot be read or has no such variable.
        """
        import xarray as xr

        try:
            with xr.open_dataset(path) as data:
                if HELD_OUT not in data or data[HELD_OUT].ndim != 2:
                    raise DataError(
                        "a file has no mask of held-out land",
                        expected=f"a variable {HELD_OUT!r} over latitude and longitude",
                        found=", ".join(map(str, data.data_vars)) or "no variable",
                        where=path,
                        remedy=f"name the mask {HELD_OUT!r}: 1 where land is held out, else 0",
                    )
                values = data[HELD_OUT].values
                numbers = data.attrs.get("cells")
                lat, lon = (data[dim].values for dim in data[HELD_OUT].dims)
                grid = LatLonGrid.from_centres(lon, lat, path) if numbers is None else _grid(numbers)
                buffer = int(data.attrs.get("buffer_cells", 0))
        except (OSError, ValueError, KeyError) as error:
            raise DataError("a mask of held-out land cannot be read", found=error, where=path) from None
        return cls(fine, grid, np.nan_to_num(values) != 0, buffer)


def _numbers(grid: LatLonGrid) -> list[float]:
    return [grid.lon0, grid.dlon, float(grid.nlon), grid.lat0, grid.dlat, float(grid.nlat)]


def _grid(numbers: NDArray[np.float64]) -> LatLonGrid:
    """The grid of a file that was written. A grid of one row cannot be found from its centres."""
    lon0, dlon, nlon, lat0, dlat, nlat = (float(n) for n in numbers)
    return LatLonGrid(lon0, dlon, int(nlon), lat0, dlat, int(nlat))
