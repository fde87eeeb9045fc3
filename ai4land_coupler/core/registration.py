"""Finds the position of a requested grid in a data set, and reads only that part of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import GridError

#: Cell centres may differ by this share of a cell. This allows for rounding of coordinates, not for a shift.
REGISTRATION = 1e-3

#: Positions of a run of consecutive rows or columns in the result, and their indices in the data.
Run = tuple[slice, NDArray[np.int64]]


@dataclass(frozen=True)
class Registration:
    """Row and column of the data for each requested row and column. -1 outside the data."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Cells (lat, lon) of the requested grid that the data cover."""
        return np.asarray((self.rows >= 0)[:, None] & (self.cols >= 0)[None, :])

    @property
    def outside(self) -> int:
        """Number of requested cells that the data do not cover."""
        return int(self.rows.size * self.cols.size - (self.rows >= 0).sum() * (self.cols >= 0).sum())

    def gather(self, read: Callable[[slice, slice], NDArray[Any]], missing: float, dtype: Any = None) -> NDArray[Any]:
        """Read the requested cells in as few rectangles as possible: one, or two if columns wrap around.

        Parameters
        ----------
        read:
            Function that reads values (rows, columns) of the data for ascending slices of rows and columns.
        missing:
            Value of the cells that the data do not cover.
        dtype:
            Type of the result. Default: the type of the data.

        Returns
        -------
        (rows, columns). It is the array from ``read`` itself, if this has all cells in the right order.
        """
        shape = (self.rows.size, self.cols.size)
        out = None
        for out_rows, rows in self._row_runs:
            for out_cols, cols in self._col_runs:
                block = _oriented(read, rows, cols)
                if block.shape == shape:  # the data cover all cells
                    return np.ascontiguousarray(block, dtype)
                out = np.full(shape, missing, dtype or block.dtype) if out is None else out
                out[out_rows, out_cols] = block
        return np.full(shape, missing, dtype) if out is None else out

    @cached_property
    def _row_runs(self) -> tuple[Run, ...]:
        return tuple(_runs(self.rows))

    @cached_property
    def _col_runs(self) -> tuple[Run, ...]:
        return tuple(_runs(self.cols))


def _runs(index: NDArray[np.int64]) -> Iterator[Run]:
    """Positions and values of runs of consecutive (rising or falling) indices. Skips -1."""
    steps = np.diff(index)
    breaks = np.flatnonzero((np.abs(steps) != 1) | (index[1:] < 0) | (index[:-1] < 0)) + 1
    for part in np.split(np.arange(index.size), breaks):
        if part.size and index[part[0]] >= 0:
            yield slice(int(part[0]), int(part[-1]) + 1), index[part]


def _oriented(
    read: Callable[[slice, slice], NDArray[Any]], rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[Any]:
    block = read(*(slice(int(i.min()), int(i.max()) + 1) for i in (rows, cols)))
    return block[:: -1 if rows[0] > rows[-1] else 1, :: -1 if cols[0] > cols[-1] else 1]


def register(data: LatLonGrid, wanted: LatLonGrid, where: object = None) -> Registration:
    """Find the cells of the requested grid on the lattice of the data.

    Rows may have the opposite order, longitudes may differ by whole turns, and ``wanted`` may extend beyond the data.
    Columns of a window continue across the last column of a periodic grid, even if a turn is not a whole number of
    cells (36041 cells of HILDA+ v1.0 span 359.991 degrees).

    Raises
    ------
    GridError
        Cell sizes or centres differ by more than a thousandth of a cell. The message names both grids.
    """
    found, difference = _place(data, wanted)
    if difference:
        raise GridError(
            f"the grid that is asked for is not registered with the grid of the data: {difference}",
            expected=data,
            found=wanted,
            where=where,
            remedy="ask for cells of the data's own grid, or choose a data set on the grid of the run",
        )
    return found


def find_difference(one: LatLonGrid, other: LatLonGrid) -> str:
    """What differs between the cells of two grids, for messages; empty if they have the same cells.

    Rows may run opposite ways and longitudes may differ by whole turns: these are the same cells.
    """
    found, difference = _place(one, other)
    if difference:
        return difference
    if one.shape != other.shape:
        return f"{one.nlat} x {one.nlon} cells against {other.nlat} x {other.nlon}"
    return f"{found.outside} cells of one are not in the other" if found.outside else ""


def _place(data: LatLonGrid, wanted: LatLonGrid) -> tuple[Registration, str]:
    """The registration of two grids, and what is against it; empty if nothing is."""
    row = (wanted.lat - data.lat0) / data.dlat - 0.5
    col = ((wanted.lon - data.lon0) % 360.0) / data.dlon - 0.5
    counted = (wanted.lon - data.lon0) / data.dlon - 0.5
    if data.periodic and np.abs(counted - np.rint(counted)).max() <= REGISTRATION:
        col = np.rint(counted) % data.nlon
    rows, cols = np.rint(row).astype(np.int64), np.rint(col).astype(np.int64)
    size = max(abs(abs(wanted.dlat / data.dlat) - 1), abs(wanted.dlon / data.dlon - 1))
    shift = max(float(np.abs(row - rows).max()), float(np.abs(col - cols).max()))
    difference = ""
    if max(size, shift) > REGISTRATION:
        difference = "the cell sizes differ" if size > REGISTRATION else f"the centres differ by {shift:.3g} of a cell"
    found = Registration(
        np.where((rows >= 0) & (rows < data.nlat), rows, -1), np.where((cols >= 0) & (cols < data.nlon), cols, -1)
    )
    return found, difference
