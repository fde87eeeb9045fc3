"""Overlaps of great-circle cells with the boxes of a grid of rows and columns, in closed form.

Green's theorem: the area of a cell is the sum over its edges of the area between the edge and a parallel. Edges are cut
at the meridians and parallels of the grid. Each piece is then in one box; the area below it counts for that box, and
for the boxes below it in the column. Eastward and westward edges of a cell have opposite signs, so the area outside the
cell cancels. Two cells cut their common edge in the same way, so the overlaps of a box add up to the last digits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids.mesh import Mesh, at_pole, lon_difference, merge_corners, next_corners
from ai4land_coupler.regrid.methods.closed_form import CellBoxes, cell_boxes, expand

#: Longitudes and latitudes that differ by less (degrees; 0.1 mm) are one line of a grid.
_SAME = 1e-9
#: A grid with more meridians or parallels does not count as a grid of rows and columns.
_LINES = 100_000
#: Longer edges (degrees of longitude) pass so close to a pole that it is not certain on which side they pass.
_LONGEST = 179.0
#: Boxes that are worked on at a time, and largest number of boxes of one cell; limits the memory.
_CHUNK, _MOST = 300_000, 3_000_000
#: Overlaps with a smaller height (rad, over the width of the box) are rounding errors.
_ROUNDING = 4e-15


class Lines(NamedTuple):
    """Meridians (from 0 eastward) and parallels of a grid in degrees, ascending, and which columns have boxes.

    A column begins at each meridian; the last column ends at the first meridian.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    used: NDArray[np.bool_]


def grid_lines(mesh: Mesh, comm: Any) -> Lines | None:
    """Meridians and parallels of the boxes of all ranks, or ``None`` if they make no rows and columns. Collective.

    Every box must be between neighbouring lines, and every cell of the grid must have an owner. Otherwise the lines,
    and the last digits of overlaps, would depend on which cells are there.
    """
    sizes = [mesh.size] if comm is None else comm.allgather(mesh.size)
    if sum(sizes) != mesh.global_size:
        return None
    box = cell_boxes(mesh)
    sides = [np.unique(_east(np.concatenate([box.west, box.west + box.width])))]
    sides.append(np.unique(np.concatenate([box.south, box.north])))
    if max(side.size for side in sides) > _LINES:
        sides = [np.zeros(0)]
    parts = [sides] if comm is None else comm.allgather(sides)
    if any(len(part) == 1 for part in parts):
        return None
    lon, lat = (_apart(np.concatenate(side)) for side in zip(*parts, strict=True))
    if min(lon.size, lat.size) < 2:
        return None
    places = _places(box, lon, lat)
    used = None if places is None else np.bincount(places // (lat.size - 1), minlength=lon.size) > 0
    ranks: list[NDArray[np.bool_] | None] = [used] if comm is None else comm.allgather(used)
    known = [part for part in ranks if part is not None]
    return Lines(lon, lat, np.any(known, axis=0)) if len(known) == len(ranks) else None


def can_cut(mesh: Mesh, lines: Lines, comm: Any) -> bool:
    """Whether :func:`cut_overlaps` works: no edge too close to a pole, no cell with too many boxes. Collective."""
    mesh = merge_corners(mesh.take(np.flatnonzero(mesh.mask)))
    longest = float(_edges(mesh)[0].width.max(initial=0.0))
    alike = longest <= np.deg2rad(_LONGEST) and int(_work(mesh, lines).max(initial=0)) <= _MOST
    return alike if comm is None else all(comm.allgather(alike))


def cut_overlaps(
    mesh: Mesh, grid: CellBoxes, lines: Lines
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """All overlaps of great-circle cells and boxes: index of the cell, index of the box, area (m2).

    Parameters
    ----------
    mesh:
        Cells that take part (:func:`can_cut`), validated.
    grid:
        Boxes of ``lines``.
    """
    places = _places(grid, lines.lon, lines.lat)
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    if places is None or places.size == 0:
        return found[0]
    order = np.argsort(places)
    places = places[order]
    mesh = merge_corners(mesh)
    total = np.concatenate([[0], np.cumsum(_work(mesh, lines))])
    begin = 0
    while begin < mesh.size:
        end = max(int(np.searchsorted(total, total[begin] + _CHUNK, side="right")) - 1, begin + 1)
        cell, place, area = _cut(mesh.take(np.arange(begin, end)), lines)
        at = np.minimum(np.searchsorted(places, place), places.size - 1)
        some = places[at] == place
        found.append((cell[some] + begin, order[at[some]], area[some]))
        begin = end
    cells, box, areas = (np.concatenate(part) for part in zip(*found, strict=True))
    return cells, box, areas


def _east(lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes from 0 to 360; longitudes within ``_SAME`` below 360 become slightly negative."""
    lon = np.mod(lon, 360.0)
    return np.asarray(np.where(lon > 360.0 - _SAME, lon - 360.0, lon))


def _apart(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.unique(values)
    return values[np.diff(values, prepend=-np.inf) > _SAME]


def _work(mesh: Mesh, lines: Lines) -> NDArray[np.int64]:
    """Estimate of the number of boxes that each cell of a mesh may overlap."""
    edges, around = _edges(mesh)
    width = np.bincount(edges.cell, weights=edges.width, minlength=mesh.size) / 2
    columns = np.where(around != 0, lines.lon.size, np.ceil(np.rad2deg(width) / np.diff(lines.lon).min()) + 1)
    lat = np.where(around[:, None] != 0, np.copysign(90.0, mesh.corner_lat[:, :1]), mesh.corner_lat[:, :1])
    lat = np.hstack([mesh.corner_lat, lat])
    south, north = np.nanmin(lat, axis=1, initial=90.0), np.nanmax(lat, axis=1, initial=-90.0)
    rows = np.searchsorted(lines.lat, north) - np.searchsorted(lines.lat, south) + 2
    return np.asarray(np.minimum(columns, lines.lon.size) * rows, np.int64)


def _places(box: CellBoxes, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Column x rows + row of each box; ``None`` if a box is not between neighbouring lines."""

    def line(values: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.searchsorted(among, values + _SAME, side="right") - 1

    west, east = line(_east(box.west), lon), line(_east(box.west + box.width), lon)
    south, north = line(box.south, lat), line(box.north, lat)
    if (east != (west + 1) % lon.size).any() or (north != south + 1).any():
        return None
    return west * (lat.size - 1) + south


class _Edges(NamedTuple):
    """Eastward edges (rad): cell, sign (-1 if the edge was reversed), and both ends."""

    cell: NDArray[np.int64]
    sign: NDArray[np.float64]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    width: NDArray[np.float64]
    end_lat: NDArray[np.float64]

    def lat_at(self, edge: NDArray[np.int64], lon: NDArray[np.float64]) -> NDArray[np.float64]:
        """Latitude of great circles at longitudes; at a pole the latitude of the pole."""
        begin, end, width = self.lat[edge], self.end_lat[edge], self.width[edge]
        along = lon - self.lon[edge]
        tangent = np.tan(begin) * np.sin(width - along) + np.tan(end) * np.sin(along)
        return np.where((begin == end) & (np.abs(begin) > 1.57), begin, np.arctan2(tangent, np.sin(width)))


def _edges(mesh: Mesh) -> tuple[_Edges, NDArray[np.int64]]:
    """Edges that are not meridians, and how often the edges of each cell go eastward around the Earth's axis."""
    lon, lat = mesh.corner_lon, mesh.corner_lat
    end_lon, end_lat = next_corners(mesh)
    pole, end_pole = at_pole(lat), at_pole(end_lat)
    cell = np.broadcast_to(np.arange(mesh.size)[:, None], lon.shape)
    here = ~np.isnan(lat) & ~pole & ~end_pole
    parts = [[cell[here], lon[here], lat[here], end_lon[here], end_lat[here]]]
    # a corner at a pole becomes an edge along the pole, from the meridian before it to the meridian after it
    row, column = np.nonzero(pole)
    count = (~np.isnan(lat)).sum(axis=1)[row]
    before, after = (column - 1) % count, (column + 1) % count
    polar = np.copysign(90.0, lat[row, column])
    parts.append([row, lon[row, before], polar, lon[row, after], polar])
    cells, lon, lat, end_lon, end_lat = (np.concatenate(part) for part in zip(*parts, strict=True))
    step = lon_difference(end_lon, lon)
    around = np.rint(np.bincount(cells, weights=step, minlength=mesh.size) / 360.0).astype(np.int64)
    west = step < 0
    some = step != 0
    edges = _Edges(
        cells,
        np.where(west, -1.0, 1.0),
        np.deg2rad(_east(np.where(west, end_lon, lon))),
        np.deg2rad(np.where(west, end_lat, lat)),
        np.deg2rad(np.abs(step)),
        np.deg2rad(np.where(west, lat, end_lat)),
    )
    return _Edges(*(part[some] for part in edges)), around


def _cut(mesh: Mesh, lines: Lines) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Overlaps with all boxes between the lines: cell, place (:func:`_places`), area (m2)."""
    edges, around = _edges(mesh)
    columns, rows = lines.lon.size, lines.lat.size - 1
    meridians = np.deg2rad(np.concatenate([lines.lon, lines.lon + 360.0, lines.lon + 720.0]))
    parallels = np.deg2rad(lines.lat)
    edge, lon = _pieces(edges, meridians, parallels)
    lat = edges.lat_at(edge, lon)

    width = np.diff(lon)
    piece = np.flatnonzero((edge[1:] == edge[:-1]) & (width > 0))
    edge, width, begin, end = edge[piece], width[piece], lat[piece], lat[piece + 1]
    middle = lon[piece] + width / 2
    column = (np.searchsorted(meridians, middle, side="right") - 1) % columns
    row = np.searchsorted(parallels, edges.lat_at(edge, middle), side="right") - 1
    sign, cell = -edges.sign[edge], edges.cell[edge]
    below = 2.0 * np.arctan2(
        np.sin(width / 2) * np.sin((begin + end) / 2), np.cos(width / 2) * np.cos((end - begin) / 2)
    )
    sines = np.sin(parallels)
    height = 2.0 * np.cos((parallels[1:] + parallels[:-1]) / 2) * np.sin(np.diff(parallels) / 2)
    used = lines.used[column]
    inside = used & (row >= 0) & (row < rows)
    entries = [(cell[inside], column[inside], row[inside], (sign * (below - sines[row] * width))[inside])]

    lowest = np.full(mesh.size, rows)
    np.minimum.at(lowest, cell, np.maximum(row, 0))
    lowest[around < 0] = 0  # these cells hold the South Pole
    first = lowest[cell]
    at, under = expand(first, np.where(used, np.maximum(row - first, 0), 0))
    entries.append((cell[at], column[at], under, (sign * width)[at] * height[under]))
    spans = np.deg2rad(np.diff(lines.lon, append=lines.lon[0] + 360.0))
    for capped in np.flatnonzero(around > 0):  # these cells hold the North Pole: add all boxes above the edges
        above = np.arange(lowest[capped], rows)
        along, above = np.repeat(np.arange(columns), above.size), np.tile(above, columns)
        entries.append((np.full(above.size, capped), along, above, spans[along] * height[above]))

    cells, column, row, value = (np.concatenate(part) for part in zip(*entries, strict=True))
    sums = sp.coo_matrix((value, (cells, column * rows + row)), (mesh.size, columns * rows)).tocsr()
    cells, place = np.repeat(np.arange(mesh.size), np.diff(sums.indptr)), sums.indices.astype(np.int64)
    some = sums.data > _ROUNDING * spans[place // rows]
    return cells[some], place[some], sums.data[some] * EARTH_RADIUS**2


def _pieces(
    edges: _Edges, meridians: NDArray[np.float64], parallels: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ends of the edges, and points where lines cut them: edge and longitude (rad), sorted."""
    n, end = edges.cell.size, edges.lon + edges.width
    first = np.searchsorted(meridians, edges.lon, side="right")
    at, line = expand(first, np.maximum(np.searchsorted(meridians, end) - first, 0))
    found = [(np.arange(n), edges.lon), (np.arange(n), end), (at, meridians[line])]

    # a great circle is tan(lat) = steep cos(lon - top); its values at both ends give steep and top
    t1, t2 = np.tan(edges.lat), np.tan(edges.end_lat)
    sine, cosine = (t2 - t1 * np.cos(edges.width)) / np.sin(edges.width), t1
    top, steep = np.arctan2(sine, cosine), np.hypot(sine, cosine)
    low, high = np.minimum(edges.lat, edges.end_lat), np.maximum(edges.lat, edges.end_lat)
    summit = np.arctan(steep)
    high = np.where((top > 0) & (top < edges.width), summit, high)
    bottom = np.where(top > 0, top - np.pi, top + np.pi)
    low = np.where((bottom > 0) & (bottom < edges.width), -summit, low)
    first = np.searchsorted(parallels, low)
    at, line = expand(first, np.maximum(np.searchsorted(parallels, high, side="right") - first, 0))
    away = np.arccos(np.clip(np.tan(parallels[line]) / np.maximum(steep[at], 1e-300), -1.0, 1.0))
    for along in (top[at] - away, top[at] + away):
        along = np.where(along < 0, along + 2 * np.pi, along)
        some = (along > 0) & (along < edges.width[at])
        found.append((at[some], edges.lon[at[some]] + along[some]))
    edge, lon = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((lon, edge))
    return edge[order], lon[order]
