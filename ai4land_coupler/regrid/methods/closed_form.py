"""Overlaps of boxes of longitude and latitude in closed form: overlap in longitude x overlap in sin(latitude).

Works for all cells that are such boxes: regular and Gaussian grids, reduced grids, and parts of them. To avoid testing
all pairs, cells are sorted into rows of equal latitude range, and within a row by longitude.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh, at_pole, lon_difference, unit_vectors

#: Rounding of longitudes and latitudes may leave a strip of this width (m) of a completely covered cell uncovered.
STRIP = 1e-7
#: Pairs that are tested at a time; limits the memory.
_CHUNK = 2_000_000
#: Cells whose latitudes differ by less (degrees) are in one row. Only the search uses this, not the overlap.
_ROW = 1e-6
#: Wider cells (degrees) could overlap another cell at both ends.
_WIDEST = 179.0


class CellBoxes(NamedTuple):
    """Cells as boxes: west edge as the mesh gives it, width, south and north edge of each cell, degrees, (n,)."""

    west: NDArray[np.float64]
    width: NDArray[np.float64]
    south: NDArray[np.float64]
    north: NDArray[np.float64]

    def take(self, index: NDArray[np.int64] | slice) -> CellBoxes:
        return CellBoxes(*(edge[index] for edge in self))


def cell_boxes(mesh: Mesh) -> CellBoxes:
    """The box around each cell, NaN without corners. It has no meaning for cells as wide as half the globe or more."""
    lon = mesh.corner_lon
    # the longitude of a corner at a pole is arbitrary
    lon = np.where(at_pole(mesh.corner_lat), np.nan, lon)
    some = np.take_along_axis(lon, np.argmin(np.isnan(lon), axis=1)[:, None], axis=1)
    with np.errstate(invalid="ignore"):
        steps = lon_difference(lon, some)
    west, east = _least(steps), -_least(-steps)
    return CellBoxes(some[:, 0] + west, east - west, _least(mesh.corner_lat), -_least(-mesh.corner_lat))


def is_box(mesh: Mesh) -> NDArray[np.bool_]:
    """Which cells of a validated mesh with ``edges="latlon"`` are boxes of longitude and latitude, (n,)."""
    if mesh.size == 0:
        return np.zeros(0, bool)
    # every edge follows a meridian or a parallel, so a cell is a box if it has the same area as its box
    area, box = cell_area(mesh), cell_boxes(mesh)
    with np.errstate(invalid="ignore"):  # masked cells without corners
        fits = np.abs(_area(box.width, box.south, box.north) - area) <= 1e-9 * area
    return np.asarray(fits & (box.width < _WIDEST))


def value_points(mesh: Mesh) -> NDArray[np.float64]:
    """The points of :func:`value_places` on the unit sphere, (n, 3)."""
    return unit_vectors(*value_places(mesh))


def value_places(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude (degrees) of the point to which the value of each cell belongs, (n,).

    The centres that the mesh gives. Without them: the middle of a box in longitude and latitude, and for other cells
    the mean of their corners.
    """
    lon, lat = mesh.centres()
    if mesh.centre_lon is None and mesh.edges == "latlon" and mesh.size:
        box, fits = cell_boxes(mesh), is_box(mesh)
        lon = np.where(fits, box.west + box.width / 2, lon)
        lat = np.where(fits, (box.south + box.north) / 2, lat)
    return lon, lat


def all_boxes(mesh: Mesh, comm: Any) -> bool:
    """Whether all cells that take part, on all ranks, are boxes of longitude and latitude. Collective."""
    alike = mesh.edges == "latlon" and bool((is_box(mesh) | ~mesh.mask).all())
    return alike if comm is None else all(comm.allgather(alike))


def box_overlaps(
    source: CellBoxes, destination: CellBoxes
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Every pair of boxes that overlap: destination index, source index, area (m2)."""
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    if source.west.size and destination.west.size:
        found.extend(_sweep(source, destination))
    rows, cols, areas = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows, cols, areas


def _sweep(source: CellBoxes, destination: CellBoxes) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    # rows of the source, by ascending south edge; cells of a row by ascending west edge
    keys, row = np.unique(np.round(source.south / _ROW) + 1j * np.round(source.north / _ROW), return_inverse=True)
    longitude = np.mod(source.west, 360.0)
    order = np.lexsort((longitude, row))
    starts = np.searchsorted(row[order], np.arange(keys.size + 1))
    south, north = (keys.real - 1) * _ROW, (keys.imag + 1) * _ROW
    widest = np.maximum.reduceat(source.width[order], starts[:-1])
    # one sorted array for all rows: longitudes stay below 720, so the rows do not touch
    position = np.asarray(row[order] * 2048.0 + longitude[order], np.float64)

    # rows are sorted by their south edge and may be of any height: from the first that is not wholly below
    top = np.maximum.accumulate(north)
    first = np.searchsorted(top, destination.south)
    count = np.maximum(np.searchsorted(south, destination.north) - first, 0)
    bounds = np.concatenate([[0], np.cumsum(count)])
    found, begin = [], 0
    while begin < destination.west.size:
        end = max(int(np.searchsorted(bounds, bounds[begin] + _CHUNK // 16, side="right")) - 1, begin + 1)
        cell, across = expand(first[begin:end], count[begin:end])
        found.extend(_along(source, destination, cell + begin, across, order, position, widest))
        begin = end
    return found


def _along(
    source: CellBoxes,
    destination: CellBoxes,
    cell: NDArray[np.int64],
    row: NDArray[np.int64],
    order: NDArray[np.int64],
    position: NDArray[np.float64],
    widest: NDArray[np.float64],
) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Overlaps of pairs of a destination cell and a row of the source, for any start of the longitudes."""
    found = []
    slack = 1e-6
    for turn in (-360.0, 0.0, 360.0):
        west = np.mod(destination.west[cell], 360.0) + turn
        low = np.searchsorted(position, row * 2048.0 + (west - widest[row] - slack))
        high = np.searchsorted(position, row * 2048.0 + (west + destination.width[cell] + slack))
        total, begin = np.concatenate([[0], np.cumsum(high - low)]), 0
        while begin < cell.size:
            end = max(int(np.searchsorted(total, total[begin] + _CHUNK, side="right")) - 1, begin + 1)
            pair, at = expand(low[begin:end], (high - low)[begin:end])
            rows, cols = cell[begin:end][pair], order[at]
            areas = _overlap(source.take(cols), destination.take(rows))
            some = areas > 0.0
            found.append((rows[some], cols[some], areas[some]))
            begin = end
    return found


def _overlap(source: CellBoxes, destination: CellBoxes) -> NDArray[np.float64]:
    """Area of the overlap of pairs of boxes (m2); boxes must be less than half the globe wide."""
    # the shorter way from west edge to west edge, so that small cells keep their digits
    offset = lon_difference(destination.west, source.west)
    width = np.minimum(source.width, offset + destination.width) - np.maximum(offset, 0.0)
    south, north = np.maximum(source.south, destination.south), np.minimum(source.north, destination.north)
    return _area(np.maximum(width, 0.0), south, np.maximum(south, north))


def _area(width: NDArray[np.float64], south: NDArray[np.float64], north: NDArray[np.float64]) -> NDArray[np.float64]:
    """R2 dlon (sin(north) - sin(south)), the sines by the product formula: small cells keep their digits."""
    sines = 2.0 * np.cos(np.deg2rad((north + south) / 2)) * np.sin(np.deg2rad((north - south) / 2))
    return np.asarray(EARTH_RADIUS**2 * np.deg2rad(width) * sines)


def _least(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minimum of each row without NaN; NaN for a row without numbers. It runs over columns, because rows are short."""
    least = np.full(len(values), np.nan)
    for column in values.T:
        np.fmin(least, column, out=least)
    return least


def expand(first: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ranges as pairs: the number of the range, and each member of it."""
    owner = np.repeat(np.arange(first.size), count)
    return owner, np.arange(owner.size) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
