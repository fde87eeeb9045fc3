"""The dual of a mesh: around each corner, the polygon between the points of the cells that meet there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import POINT_TOLERANCE, Mesh, merge_corners, unit_vectors


class Pieces(NamedTuple):
    """Quads and triangles between the points of cells, counter-clockwise, in an order that is the same on all ranks.

    Parameters
    ----------
    nodes:
        Corners on the unit sphere, (n, 4, 3); a triangle repeats its last corner.
    cells:
        Local index of the cell at each corner, (n, 4); -1 for a corner whose value is a mean.
    ring:
        Number of the ring of cells whose mean is the value at the third corner, (n,); -1 if there is none.
    members, start:
        Local index of the cells of ring i: ``members[start[i] : start[i + 1]]``.
    """

    nodes: NDArray[np.float64]
    cells: NDArray[np.int64]
    ring: NDArray[np.int64]
    members: NDArray[np.int64]
    start: NDArray[np.int64]


def dual_pieces(mesh: Mesh, points: NDArray[np.float64]) -> Pieces:
    """Pieces around the corners that cells enclose completely; a corner at an edge of the mesh has no piece.

    Four cells make a quad, three a triangle. If more cells meet (at a pole, at the corners of triangular cells), their
    mean value is put at the middle of their points, and triangles connect it with them.

    Parameters
    ----------
    mesh:
        Cells by ascending global id.
    points:
        Points of the values of the cells on the unit sphere, (n, 3).
    """
    cells, nodes, ring = [np.zeros((0, 4), np.int64)], [np.zeros((0, 4, 3))], [np.zeros(0, np.int64)]
    members, lengths = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for rings in _rings(mesh):
        count, number = rings.shape
        rings = rings[np.lexsort(rings.T[::-1])]
        if number <= 4:
            cells.append(rings[:, [0, 1, 2, number - 1]])
            nodes.append(points[cells[-1]])
            ring.append(np.full(count, -1))
            continue
        middle = points[rings].sum(axis=1)
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        sides = np.stack([rings, np.roll(rings, -1, axis=1)], axis=2).reshape(-1, 2)
        top = np.repeat(middle, number, axis=0)[:, None]
        cells.append(np.concatenate([sides, np.full_like(sides, -1)], axis=1))
        nodes.append(np.concatenate([points[sides], top, top], axis=1))
        ring.append(np.repeat(sum(map(len, lengths)) + np.arange(count), number))
        members.append(rings.ravel())
        lengths.append(np.full(count, number))
    start = np.cumsum([0, *np.concatenate(lengths)])
    return Pieces(np.concatenate(nodes), np.concatenate(cells), np.concatenate(ring), np.concatenate(members), start)


def triangulation(points: NDArray[np.float64]) -> Pieces:
    """Delaunay triangles of points (n, 3) that cover the unit sphere: the triangles of their convex hull."""
    from scipy.spatial import ConvexHull

    faces = ConvexHull(points).simplices.astype(np.int64)
    a, b, c = (points[faces[:, i]] for i in range(3))
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), a + b + c) < 0
    faces[inward] = faces[inward][:, ::-1]
    lowest = np.argmin(faces, axis=1)[:, None]
    faces = np.take_along_axis(faces, (lowest + np.arange(3)) % 3, axis=1)
    faces = faces[np.lexsort(faces.T[::-1])][:, [0, 1, 2, 2]]
    none = np.zeros(0, np.int64)
    return Pieces(points[faces], faces, np.full(len(faces), -1), none, np.zeros(1, np.int64))


def _rings(mesh: Mesh) -> list[NDArray[np.int64]]:
    """The cells around each enclosed corner, counter-clockwise from the lowest index.

    Returns one array (corners, cells) for each number of cells that meet.
    """
    if mesh.size == 0:
        return []
    mesh = merge_corners(mesh)
    used = ~np.isnan(mesh.corner_lat)
    cell = np.repeat(np.arange(mesh.size), used.sum(axis=1))
    here = _same_points(unit_vectors(mesh.corner_lon[used], mesh.corner_lat[used]))
    # for each corner of a cell, the next and the previous corner of that cell
    position = np.full(used.shape, -1)
    position[used] = np.arange(here.size)
    columns = np.arange(used.shape[1])
    last = used.sum(axis=1)[:, None] - 1
    following = np.take_along_axis(position, np.where(columns < last, columns + 1, 0), axis=1)[used]
    after = here[following]
    before = np.empty_like(after)
    before[following] = here

    # the next cell around the corner leaves it along the edge by which this cell arrives
    n = int(here.max()) + 1
    leaving, arriving = here * n + after, here * n + before
    order = np.argsort(leaving, kind="stable")
    place = np.minimum(np.searchsorted(leaving[order], arriving), here.size - 1)
    successor = np.where(leaving[order][place] == arriving, order[place], -1)
    meeting = np.bincount(here, minlength=n)
    sound = np.ones(n, bool)
    sound[here[successor < 0]] = False
    again = leaving[order][1:] == leaving[order][:-1]
    sound[here[order[1:][again]]] = False  # overlapping cells

    first = np.full(n, here.size)
    np.minimum.at(first, here, np.arange(here.size))
    found = []
    for number in np.unique(meeting[sound & (meeting >= 3)]):
        step = first[sound & (meeting == number)]
        ring = np.empty((step.size, number), np.int64)
        closed = np.ones(step.size, bool)
        for k in range(number):
            ring[:, k] = cell[step]
            step = successor[step]
            closed &= (step == first[here[step]]) == (k == number - 1)
        found.append(ring[closed])
    return found


def _same_points(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """A number for each of the points (n, 3); points that differ only by rounding get the same number."""
    tolerance = np.deg2rad(POINT_TOLERANCE)
    label = np.zeros(len(points), np.int64)
    # groups are split at gaps along one axis after the other; some axes come twice, because a split may open new gaps
    for axis in (2, 0, 1, 2, 0):
        order = np.lexsort((points[:, axis], label))
        gap = np.diff(points[order, axis], prepend=-9.0) > tolerance
        gap |= np.diff(label[order], prepend=-1) > 0
        label[order] = np.cumsum(gap) - 1
    return label
