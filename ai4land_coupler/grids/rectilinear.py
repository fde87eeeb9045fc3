"""Grids of rows and columns as two axes, without a list of their cells: for rasters with very many cells."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.gaussian import gaussian_latitudes
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.mesh import Mesh, merge_corners

Floats = NDArray[np.float64]

#: Edges of a regular grid deviate by at most this share of a cell (rounding of single precision).
_ALIKE = 1e-3
#: Cells of each axis that :meth:`RectilinearGrid.check` looks at.
_SAMPLE = 48


@dataclass(frozen=True)
class RectilinearGrid:
    """Cells between parallels and meridians. The id of a cell is ``row * columns + column``.

    All angles in degrees: edges and centre of each row ``south``, ``north``, ``lat`` (rows,), and of each column
    ``west``, ``east``, ``lon`` (columns,), in any order of rows and columns. ``mask`` is bool (rows, columns), False
    for masked cells; ``None`` if no cell is masked.
    """

    name: str
    south: Floats
    north: Floats
    lat: Floats
    west: Floats
    east: Floats
    lon: Floats
    mask: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, grid: LatLonGrid, name: str) -> RectilinearGrid:
        lat, lon = grid.lat_edges, grid.lon_edges
        south, north = np.minimum(lat[:-1], lat[1:]), np.maximum(lat[:-1], lat[1:])
        return cls(name, south, north, (south + north) / 2, lon[:-1], lon[1:], (lon[:-1] + lon[1:]) / 2)

    @property
    def shape(self) -> tuple[int, int]:
        return self.lat.size, self.lon.size

    @property
    def size(self) -> int:
        return self.lat.size * self.lon.size

    @property
    def n_masked(self) -> int:
        return 0 if self.mask is None else self.size - int(np.count_nonzero(self.mask))

    def taken(self, rows: int | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which cells of a row, or of some rows, take part: (columns,) or (rows, columns)."""
        if self.mask is None:
            return np.broadcast_to(np.True_, (*np.shape(rows), self.lon.size))
        return self.mask[rows]

    def regular(self) -> LatLonGrid | None:
        """The same cells as a regular grid; ``None`` if rows or columns are not alike or not from west to east."""
        rows, cols = self.shape
        if min(rows, cols) < 4:
            return None
        dlon = float(self.east[-1] - self.west[0]) / cols
        north_down = self.lat[0] > self.lat[-1]
        first, last = (self.north, self.south) if north_down else (self.south, self.north)
        # the first and the last row may be cut off at a pole
        dlat = float(last[-2] - first[1]) / (rows - 2)
        lat0 = float(first[1]) - dlat
        lines = lat0 + dlat * np.arange(rows + 1)
        off = np.abs(self.west - (self.west[0] + dlon * np.arange(cols))).max() / abs(dlon)
        off = max(off, np.abs(np.clip(lines[:-1], -90, 90) - first).max() / abs(dlat))
        off = max(off, np.abs(np.clip(lines[1:], -90, 90) - last).max() / abs(dlat))
        if dlon <= 0 or off > _ALIKE:
            return None
        try:
            return LatLonGrid(float(self.west[0]), dlon, cols, lat0, dlat, rows)
        except GridError:  # it reaches too far beyond a pole
            return None

    def check(self) -> None:
        """Check the coordinates, with some cells of all parts of the grid.

        Raises
        ------
        GridError
            As :func:`ai4land_coupler.grids.checks.validate`.
        """
        rows, cols = (np.unique(np.linspace(0, length - 1, _SAMPLE).astype(np.int64)) for length in self.shape)
        row, col = (index.ravel() for index in np.meshgrid(rows, cols, indexing="ij"))
        lon, lat = box_corners(self.west[col], self.east[col], self.south[row], self.north[row])
        ids, mask = row * self.lon.size + col, np.ones(row.size, bool)
        mesh = Mesh(self.name, ids, lon, lat, "latlon", mask, self.size, self.lon[col], self.lat[row])
        validate(merge_corners(mesh))


def named_rectilinear(name: str) -> RectilinearGrid | None:
    """The grid of a name such as ``r360x180``, ``global_0.5`` or ``F80``; ``None`` for other names.

    The cells are those of :func:`ai4land_coupler.grids.generated.generated_mesh`. More of them are allowed, because
    they are not listed.
    """
    for pattern in (_regular, _global, _gaussian):
        grid = pattern(name)
        if grid is not None:
            if not 0 < grid.size < 2**31:
                raise GridError("a grid of this size is not made", expected="1 to 2147483647 cells", found=name)
            return grid
    return None


def _regular(name: str) -> RectilinearGrid | None:
    match = re.fullmatch(r"r(\d{1,6})x(\d{1,6})", name)
    if match is None or int(match[2]) % 2 or min(int(match[1]), int(match[2])) < 3:
        return None
    nlon, nlat = int(match[1]), int(match[2])
    step = 360.0 / nlon
    return RectilinearGrid.of(LatLonGrid(-step / 2, step, nlon, -90.0, 180.0 / nlat, nlat), name)


def _global(name: str) -> RectilinearGrid | None:
    match = re.fullmatch(r"global_(\d+\.?\d*)", name)
    step = float(match[1]) if match else 0.0
    nlon = round(360.0 / step) if step > 1e-3 else 0
    if nlon < 4 or nlon % 2 or abs(nlon * step - 360.0) > 1e-6:
        return None
    step = 360.0 / nlon
    return RectilinearGrid.of(LatLonGrid(-180.0, step, nlon, -90.0, step, nlon // 2), name)


def _gaussian(name: str) -> RectilinearGrid | None:
    n = 0
    if match := re.fullmatch(r"[Fn](\d{1,4})", name):
        n = int(match[1])
    elif match := re.fullmatch(r"t(l?)(\d{1,4})grid", name):  # as generated._truncation
        rows = ((2 if match[1] else 3) * int(match[2]) + 2) // 2
        n = (rows + 1) // 2
    if n < 1:
        return None
    lat, edges = gaussian_latitudes(n)
    step, col = 360.0 / (4 * n), np.arange(4 * n, dtype=np.float64)
    west, east = np.asarray((col - 0.5) * step), np.asarray((col + 0.5) * step)
    return RectilinearGrid(name, edges[1:], edges[:-1], lat, west, east, np.asarray(col * step))
