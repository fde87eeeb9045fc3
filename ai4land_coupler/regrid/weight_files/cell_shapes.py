"""Shapes of cells, to test whether two cells can overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh, at_pole, lon_difference, unit_vectors

#: Wider cells (radii of the Earth) are not tested by their edges.
_WIDEST = 0.7
#: Share of a cell by which cells may miss each other: rounding, and points that were mended.
_SLACK = 0.01
_ROUNDING = 1e-6
_PIECE = 32768


class Shapes(NamedTuple):
    """Shapes of cells on the unit sphere.

    Parameters
    ----------
    middle, radius:
        Middle of the corners (n, 3), and distance of the farthest corner (n,); infinite for cells without corners.
    inner:
        Distance of the middle from the nearest edge (n,); infinite for cells whose edges are not tested (not convex, or
        very wide).
    bend:
        How far an edge along a parallel is from the great circle between its ends (n,).
    corners, inward:
        Corners, and for the edge that starts at each corner the unit vector towards the inside, (n, k, 3). The vector
        is zero for an edge of no length.
    """

    middle: NDArray[np.float64]
    radius: NDArray[np.float64]
    inner: NDArray[np.float64]
    bend: NDArray[np.float64]
    corners: NDArray[np.float64]
    inward: NDArray[np.float64]


def shapes(mesh: Mesh) -> Shapes:
    """The shapes of all cells of a mesh."""
    begins = range(0, max(mesh.size, 1), _PIECE)
    pieces = [_shapes(mesh.corner_lon[i : i + _PIECE], mesh.corner_lat[i : i + _PIECE]) for i in begins]
    return Shapes(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))


def _shapes(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> Shapes:
    used = ~np.isnan(lat)
    count = used.sum(axis=1)
    last = np.minimum(np.arange(lat.shape[1]), np.maximum(count - 1, 0)[:, None])  # repeats the last corner
    lon, lat = (np.nan_to_num(np.take_along_axis(values, last, axis=1)) for values in (lon, lat))
    corners = unit_vectors(lon, lat)
    middle = corners.mean(axis=1)
    length = np.linalg.norm(middle, axis=1, keepdims=True)
    middle = middle / np.where(length > 0, length, 1.0)
    radius = np.linalg.norm(corners - middle[:, None], axis=2).max(axis=1)

    following = np.roll(corners, -1, axis=1)
    inward = np.cross(corners, following)
    size = np.linalg.norm(inward, axis=2, keepdims=True)
    edge = size[..., 0] > 1e-12
    inward = np.where(edge[..., None], inward / np.where(size > 0, size, 1.0), 0.0)
    from_edge = np.einsum("nkj,nj->nk", inward, middle)
    turn = np.sign(np.where(edge, from_edge, 0.0).sum(axis=1))  # clockwise cells
    inward, from_edge = inward * turn[:, None, None], from_edge * turn[:, None]
    inner = np.where(edge, from_edge, np.inf).min(axis=1)
    convex = np.ones(len(lat), bool)
    for place in range(lat.shape[1]):
        convex &= (np.einsum("nj,nkj->nk", inward[:, place], corners) >= -_SLACK * radius[:, None]).all(axis=1)

    wide = lon_difference(np.roll(lon, -1, axis=1), lon)
    pole = at_pole(lat) | at_pole(np.roll(lat, -1, axis=1))
    parallel = (np.abs(np.roll(lat, -1, axis=1) - lat) < 1e-6) & ~pole
    with np.errstate(all="ignore"):
        top = np.arctan(np.tan(np.deg2rad(np.abs(lat))) / np.cos(np.deg2rad(wide / 2)))
        bend = np.where(parallel & (np.abs(wide) < 90), top - np.deg2rad(np.abs(lat)), 0.0).max(axis=1)
    tested = convex & (edge.sum(axis=1) >= 3) & (radius < _WIDEST) & (inner > 0)
    none = (count == 0) | (radius == 0) | (length[:, 0] == 0)
    return Shapes(
        middle, np.where(none, np.inf, radius), np.where(tested & ~none, inner, np.inf), bend, corners, inward
    )


def overlap_is_possible(
    first: Shapes, i: NDArray[np.int64], other: Shapes, j: NDArray[np.int64], area: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Whether cells ``first[i]`` and ``other[j]`` can overlap by this area (steradians), (pairs,).

    The overlap is convex and as long as the smaller cell at most. So behind every edge of one cell, the other cell must
    reach as deep as area / (2 radii of the smaller cell); half of this is required. Cells that share an edge and
    overlap by no area pass.
    """
    smaller = np.minimum(first.radius[i], other.radius[j])
    slack = first.bend[i] + other.bend[j] + _SLACK * np.where(np.isfinite(smaller), smaller, 0.0) + _ROUNDING
    away = np.linalg.norm(first.middle[i] - other.middle[j], axis=1)
    possible = np.asarray(away <= first.radius[i] + other.radius[j] + slack)
    need = area / (4.0 * smaller) - slack
    # a cell reaches beyond its middle at least as far as its inner circle
    inner = first.inner[i] + other.inner[j]
    near = np.flatnonzero(possible & (inner - away < need))
    for one, of, two, at in ((first, i[near], other, j[near]), (other, j[near], first, i[near])):
        depth = np.einsum("nkj,nmj->nkm", one.inward[of], two.corners[at]).max(axis=2)
        depth = np.where((one.inward[of] != 0).any(axis=2), depth, np.inf)
        possible[near] &= (depth >= need[near, None]).all(axis=1) | np.isinf(one.inner[of])
    return possible
