"""Bilinear weights between the points of source values, defined as in ESMF.

A destination point is in a quad or triangle of the dual mesh (:mod:`ai4land_coupler.regrid.methods.dual`). The line
from the centre of the Earth through the point intersects, in three dimensions, the bilinear patch between the four
corners of a quad, or the plane of the corners of a triangle (ESMF Reference Manual, section on bilinear regridding).
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.candidates import enclosing_spheres, find_candidates_near
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.regrid.methods.closed_form import expand, value_points
from ai4land_coupler.regrid.methods.dual import Pieces, dual_pieces, triangulation

#: A point counts as inside a piece up to this distance beyond its edge, as a share of the piece.
_EDGE = 1e-9

Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def bilinear_entries(source: Mesh, points: NDArray[np.float64], comm: Any) -> Entries:
    """Weights of this rank's points. Collective.

    If the source covers the sphere but its cells do not meet corner to corner (reduced Gaussian grids), the dual mesh
    has gaps. Then all ranks use the Delaunay triangles of all source points.

    Parameters
    ----------
    points:
        Points of the unit sphere, (n, 3).

    Returns
    -------
    Point (local index), source (global id) and weight of each entry, sorted by point and source. Weights of a point
    add up to 1. Points outside all pieces have no entries.
    """
    radius = [float(enclosing_spheres(source).radius.max(initial=0.0))]
    area = [float(cell_area(source)[source.mask].sum())]
    radii, areas = (radius, area) if comm is None else (comm.allgather(radius[0]), comm.allgather(area[0]))
    candidates = find_candidates_near(source, points, 2.0 * max(radii), comm)
    places = candidates.fetch(value_points(source), comm)
    point, cell, weight = _entries(dual_pieces(candidates.mesh, places), points)
    ids = candidates.mesh.cell_ids

    gaps = np.unique(point).size < len(points)
    gaps = gaps if comm is None else any(comm.allgather(gaps))
    if gaps and sum(areas) > (1 - 1e-6) * 4 * np.pi * EARTH_RADIUS**2:
        ids, places = _everywhere(source, comm)
        point, cell, weight = _entries(triangulation(places), points)
    return point, ids[cell], weight


def _everywhere(source: Mesh, comm: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids and points of all source cells of all ranks, by ascending id."""
    taken = np.flatnonzero(source.mask)
    parts = [(source.cell_ids[taken], value_points(source)[taken])]
    parts = parts if comm is None else comm.allgather(parts[0])
    ids, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids)
    return ids[order], places[order]


def _entries(pieces: Pieces, points: NDArray[np.float64]) -> Entries:
    """Weights from the first piece that holds each point: point, cell (local index), weight."""
    point, piece = _near(pieces, points)
    shares, inside = _shares(pieces.nodes[piece], points[point], pieces.cells[piece, 3] == pieces.cells[piece, 2])
    order = np.flatnonzero(inside)
    order = order[np.lexsort((piece[order], point[order]))]
    order = order[np.diff(point[order], prepend=-1) > 0]
    point, piece, shares = point[order], piece[order], shares[order]

    cells = pieces.cells[piece]
    some = (cells >= 0) & (np.arange(4) < np.where(cells[:, 3] == cells[:, 2], 3, 4)[:, None])
    at = np.flatnonzero(pieces.ring[piece] >= 0)
    ring = pieces.ring[piece[at]]
    count = np.diff(pieces.start)[ring]
    which, member = expand(pieces.start[ring], count)
    return _summed(
        np.concatenate([np.repeat(point, some.sum(axis=1)), point[at][which]]),
        np.concatenate([cells[some], pieces.members[member]]),
        np.concatenate([shares[some], (shares[at, 2] / count)[which]]),
    )


def _summed(rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64]) -> Entries:
    """Sort entries, add entries of the same row and column, and drop zeros."""
    order = np.lexsort((columns, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    new = (np.diff(rows, prepend=-1) > 0) | (np.diff(columns, prepend=-1) != 0)
    sums = np.asarray(np.bincount(np.cumsum(new) - 1, weights=values, minlength=int(new.sum())), np.float64)
    some = sums > 0.0
    return rows[new][some], columns[new][some], sums[some]


def _near(pieces: Pieces, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a point and a piece whose enclosing sphere holds the point."""
    from scipy.spatial import cKDTree

    if not (len(points) and len(pieces.nodes)):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    middle = pieces.nodes.mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    radius = np.linalg.norm(pieces.nodes - middle[:, None], axis=2).max(axis=1) * (1 + 1e-6)
    hits = cKDTree(points).query_ball_point(middle, radius)
    lengths = np.fromiter(map(len, hits), np.int64, len(hits))
    point = np.fromiter(chain.from_iterable(hits), np.int64, int(lengths.sum()))
    return point, np.repeat(np.arange(len(hits)), lengths)


def _shares(
    nodes: NDArray[np.float64], points: NDArray[np.float64], triangle: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Weights of the corners (n, 4) for one point per piece, and whether the point is inside the piece."""
    shares, inside = np.zeros((len(points), 4)), np.zeros(len(points), bool)
    for solve, some in ((_in_triangle, triangle), (_in_quad, ~triangle)):
        if some.any():
            shares[some], inside[some] = solve(nodes[some], points[some])
    return shares, inside


def _in_triangle(
    nodes: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Intersection of the line through the point with the plane of the corners, in barycentric coordinates."""
    a, b, c = nodes[:, 0], nodes[:, 1], nodes[:, 2]
    # vectors from the point to the corners, so that small triangles keep their digits
    a, b, c = a - points, b - points, c - points
    volumes = np.stack([np.einsum("ij,ij->i", np.cross(p, q), points) for p, q in ((b, c), (c, a), (a, b))], axis=1)
    whole = volumes.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.where(whole > 0, volumes / whole, -1.0)
    inside = np.asarray((parts >= -_EDGE).all(axis=1))
    parts = np.clip(parts, 0.0, None)
    shares = np.zeros((len(points), 4))
    shares[:, :3] = parts / np.where(inside[:, None], parts.sum(axis=1, keepdims=True), 1.0)
    return shares, inside


def _in_quad(nodes: NDArray[np.float64], points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Intersection of the line through the point with the bilinear patch of the corners, by Newton's method."""
    # project the patch along the line onto a plane whose origin is the point
    east = np.cross(points, np.where(np.abs(points[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]))
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    north = np.cross(points, east)
    a, b, c, d = (
        np.stack([np.einsum("ij,ij->i", nodes[:, k] - points, axis) for axis in (east, north)]) for k in range(4)
    )
    size = np.max([np.abs(corner).max(axis=0) for corner in (a, b, c, d)], axis=0)
    along, up, twist = b - a, d - a, a - b + c - d
    u, v = np.full(len(points), 0.5), np.full(len(points), 0.5)
    with np.errstate(all="ignore"):
        for _ in range(12):
            miss = a + along * u + up * v + twist * (u * v)
            du, dv = along + twist * v, up + twist * u
            det = du[0] * dv[1] - du[1] * dv[0]
            u, v = u - (miss[0] * dv[1] - miss[1] * dv[0]) / det, v - (du[0] * miss[1] - du[1] * miss[0]) / det
        miss = a + along * u + up * v + twist * (u * v)
        within: NDArray[np.bool_] = (np.minimum(u, v) >= -_EDGE) & (np.maximum(u, v) <= 1 + _EDGE)
        inside = within & (np.abs(miss).max(axis=0) <= 1e-12 * size)
    u, v = np.clip(np.where(inside, u, 0.0), 0.0, 1.0), np.clip(np.where(inside, v, 0.0), 0.0, 1.0)
    return np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=1), inside
