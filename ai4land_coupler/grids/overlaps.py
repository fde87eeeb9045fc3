"""Finds pairs of cells that overlap.

Two convex polygons do not overlap if, and only if, an edge of one of them separates them: all corners of the other lie
outside that edge. Great circles are straight lines in the gnomonic projection, so this is also true on the sphere.
Cells between meridians and parallels are boxes in longitude and latitude.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh, at_pole, lon_difference, lon_lat, merge_corners, next_corners, unit_vectors

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Cells that overlap by less than this share of their width are neighbours. Rounding causes such overlaps.
DEPTH = 0.01
#: Numbers of cells and of pairs that are processed together, to limit memory.
_CELLS_AT_ONCE, _PAIRS_AT_ONCE = 8192, 65536


def overlapping(own: Mesh, others: Mesh) -> tuple[Indices, Indices]:
    """Pairs of overlapping cells: global ids of owned cells (m,), and of the other cells, which have greater ids (m,).

    An overlap must be deeper than ``DEPTH`` of the cells' width across every edge. Cells that are not convex are split
    into the triangles between their middle and their edges. Cells without corners, and cells with ``latlon`` edges
    that are not convex, are ignored. Both meshes must have the same kind of edges.
    """
    pairs = [np.zeros((2, 0), np.int64)]
    if own.size and others.size:
        (ids, these), (other_ids, those) = _convex(own), _convex(others)
        for here, there in _near(these, those):
            rising = ids[here] < other_ids[there]
            here, there = here[rising], there[rising]
            for start in range(0, here.size, _PAIRS_AT_ONCE):
                a, b = here[start : start + _PAIRS_AT_ONCE], there[start : start + _PAIRS_AT_ONCE]
                apart = _parted(these.take(a), those.take(b))
                apart[~apart] = _parted(those.take(b[~apart]), these.take(a[~apart]))
                pairs.append(np.stack([ids[a[~apart]], other_ids[b[~apart]]]))
    found = np.unique(np.concatenate(pairs, axis=1), axis=1)
    return found[0], found[1]


def _convex(mesh: Mesh) -> tuple[Indices, _Shapes]:
    """Split cells into convex shapes. Returns the global id of the cell of each shape, and the shapes."""
    mesh = merge_corners(mesh)
    shapes = _shapes(mesh)
    hollow = np.flatnonzero(np.isnan(shapes.radius) & ~np.isnan(mesh.corner_lat[:, 0]))
    if hollow.size == 0 or mesh.edges == "latlon":
        return mesh.cell_ids, shapes
    cell, corner = np.nonzero(~np.isnan(mesh.corner_lat[hollow]))
    lon, lat = lon_lat(shapes.middle[hollow])
    next_lon, next_lat = (values[hollow] for values in next_corners(mesh))
    width = mesh.corner_lat.shape[1]
    corners = np.full((2, cell.size, width), np.nan)
    corners[0, :, :3] = np.stack([mesh.corner_lon[hollow][cell, corner], next_lon[cell, corner], lon[cell]], axis=1)
    corners[1, :, :3] = np.stack([mesh.corner_lat[hollow][cell, corner], next_lat[cell, corner], lat[cell]], axis=1)
    whole = np.setdiff1d(np.arange(mesh.size), hollow)
    ids = np.concatenate([mesh.cell_ids[whole], mesh.cell_ids[hollow][cell]])
    parts = Mesh(
        mesh.name,
        ids,
        np.concatenate([mesh.corner_lon[whole], corners[0]]),
        np.concatenate([mesh.corner_lat[whole], corners[1]]),
        mesh.edges,
        np.ones(ids.size, bool),
        mesh.global_size,
    )
    return ids, _shapes(parts)


@dataclass(frozen=True)
class _Shapes:
    """Convex cells. Unused corners repeat the first one.

    ``place`` has the corners: unit vectors (n, k, 3), or longitude, latitude (degrees) and cosine of the latitude.
    ``line`` has the edges: unit normals (n, k, 3), or see :func:`_lines_latlon`; NaN for unused edges. ``width`` is
    the largest distance of a cell's corners from each of its edges (n, k).
    """

    place: Floats
    line: Floats
    width: Floats
    middle: Floats
    radius: Floats
    latlon: bool

    def take(self, index: Indices) -> _Shapes:
        return _Shapes(
            self.place[index], self.line[index], self.width[index], self.middle[index], self.radius[index], self.latlon
        )


def _shapes(mesh: Mesh) -> _Shapes:
    used = ~np.isnan(mesh.corner_lat)
    lon = np.where(used, mesh.corner_lon, mesh.corner_lon[:, :1])
    lat = np.where(used, mesh.corner_lat, mesh.corner_lat[:, :1])
    corners = unit_vectors(lon, lat)
    count = np.maximum(used.sum(axis=1), 1)
    middle = np.where(used[..., None], corners, 0.0).sum(axis=1) / count[:, None]
    radius = np.sqrt(((corners - middle[:, None]) ** 2).sum(axis=2).max(axis=1))
    latlon = mesh.edges == "latlon"
    if latlon:
        place, line = np.stack([lon, lat, np.cos(np.deg2rad(lat))], axis=2), _lines_latlon(mesh)
    else:
        end = unit_vectors(*next_corners(mesh))
        normal = np.cross(corners, end - corners)
        place, line = corners, normal / np.linalg.norm(normal, axis=2, keepdims=True)
    shapes = _Shapes(place, line, np.zeros(used.shape), middle, radius, latlon)
    inside = _distance(shapes, shapes)
    width = inside.max(axis=2)
    convex = (np.isnan(width) | (inside.min(axis=2) >= -1e-3 * width)).all(axis=1)
    width[~convex] = np.nan
    return _Shapes(place, line, width, middle, np.where(convex & used.any(axis=1), radius, np.nan), latlon)


def _lines_latlon(mesh: Mesh) -> Floats:
    """Edges that follow meridians and parallels, (n, k, 4): longitude, latitude, and the change of depth with each.

    Depth is ``line[2] * (longitude difference) * cos(latitude) + line[3] * (latitude difference)``.
    """
    lon, lat = next_corners(mesh)
    rise, turn = lat - mesh.corner_lat, lon_difference(lon, mesh.corner_lon)
    from_pole, to_pole = at_pole(mesh.corner_lat), at_pole(lat)
    meridian = (from_pole ^ to_pole) | (np.abs(rise) > np.abs(turn))
    west, north = np.where(meridian, -np.sign(rise), 0.0), np.where(meridian, 0.0, np.sign(turn))
    line = np.stack([np.where(from_pole, lon, mesh.corner_lon), mesh.corner_lat, west, north], axis=2)
    line[np.isnan(lat)] = np.nan
    return line


def _distance(cells: _Shapes, others: _Shapes) -> Floats:
    """Distance of another cell's corners from each edge, positive inside, radians, (n, edges, corners)."""
    if not cells.latlon:
        return np.asarray(np.einsum("nej,ncj->nec", cells.line, others.place))
    line, place = cells.line[:, :, None], others.place[:, None]
    east = lon_difference(place[..., 0], line[..., 0]) * place[..., 2]
    return np.asarray(np.deg2rad(line[..., 2] * east + line[..., 3] * (place[..., 1] - line[..., 1])))


def _parted(cells: _Shapes, others: _Shapes) -> NDArray[np.bool_]:
    """Whether an edge of each cell separates it from the other cell with the same index, (n,)."""
    inside = _distance(cells, others)
    deepest = inside.max(axis=2)
    width = np.minimum(cells.width, deepest - inside.min(axis=2))
    return np.asarray((deepest <= DEPTH * width).any(axis=1))


def _near(these: _Shapes, those: _Shapes) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of cells whose enclosing spheres overlap, as local indices. Each search has cells of one size class."""
    from scipy.spatial import cKDTree

    classes = [_size_classes(shapes.radius) for shapes in (these, those)]
    trees = [(members, cKDTree(those.middle[members]), those.radius[members].max()) for members in classes[1]]
    for members in classes[0]:
        for start in range(0, members.size, _CELLS_AT_ONCE):
            here = members[start : start + _CELLS_AT_ONCE]
            for other, tree, reach in trees:
                found = tree.query_ball_point(these.middle[here], these.radius[here] + reach, return_sorted=False)
                first = np.repeat(here, [len(part) for part in found])
                second = other[np.concatenate([np.asarray(part, np.int64) for part in found])]
                apart = np.sqrt(((these.middle[first] - those.middle[second]) ** 2).sum(axis=1))
                meet = apart < these.radius[first] + those.radius[second]
                yield first[meet], second[meet]


def _size_classes(radius: Floats) -> list[Indices]:
    """Local indices of cells, grouped by the power of two of their radius. Cells without a radius are skipped."""
    sized = np.flatnonzero(np.isfinite(radius) & (radius > 0))
    power = np.ceil(np.log2(radius[sized])).astype(np.int64)
    return [sized[power == value] for value in np.unique(power)]
