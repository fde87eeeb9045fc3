"""Cubed-sphere and icosahedral grids, with great-circle edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh, lon_lat

Floats = NDArray[np.float64]

#: Origin and two directions of each face of the cube. Seen from outside, the second direction is to the left of the
#: first. Order: four faces along the equator from 0 E eastward, then south and north.
_FACES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
)


def cubed_sphere_mesh(n: int, name: str, split: int = 1) -> Mesh:
    """The equiangular gnomonic cubed sphere of ``6 n**2`` elements (Ronchi et al. 1996, doi:10.1006/jcph.1996.0047).

    Each element is split into ``split**2`` cells, as in the physics grids of CAM-SE (``ne30pg2``): equal steps of the
    bilinear map between its corners, projected to the sphere. Cells are numbered face by face, row by row. CAM-SE
    numbers the same cells along a space-filling curve.
    """
    slope = np.tan(np.linspace(-np.pi / 4, np.pi / 4, n + 1))
    slope[[0, -1]] = -1.0, 1.0
    slope = (slope - slope[::-1]) / 2  # exactly symmetric, so that faces share their corners
    points = np.empty((6, n + 1, n + 1, 3))
    for face, (origin, right, up) in enumerate(_FACES):
        points[face] = (
            np.array(origin, float)
            + slope[None, :, None] * np.array(right, float)
            + slope[:, None, None] * np.array(up, float)
        )
    points = _refined(_refined(_unit(points), split, 1), split, 2)
    corners = np.stack([points[:, :-1, :-1], points[:, :-1, 1:], points[:, 1:, 1:], points[:, 1:, :-1]], axis=3)
    return _great_circle_mesh(corners.reshape(-1, 4, 3), name)


def _refined(points: Floats, split: int, axis: int) -> Floats:
    """Insert ``split - 1`` points in equal steps between neighbouring points along an axis."""
    first = np.moveaxis(points, axis, 0)
    weight = np.arange(split).reshape(-1, *[1] * (points.ndim - 1)) / split
    between = first[:-1, None] * (1 - weight) + first[1:, None] * weight
    return np.moveaxis(np.concatenate([between.reshape(-1, *first.shape[1:]), first[-1:]]), 0, axis)


def icosahedral_mesh(level: int, name: str) -> Mesh:
    """An icosahedron with a vertex at each pole. Each edge is halved ``level`` times.

    The four parts of a triangle are consecutive: first the three at its corners, then the middle one.
    """
    triangles = _icosahedron()
    for _ in range(level):
        a, b, c = np.moveaxis(triangles, 1, 0)
        ab, bc, ca = (_unit(first + second) for first, second in ((a, b), (b, c), (c, a)))
        parts = [np.stack(part, axis=1) for part in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        triangles = np.stack(parts, axis=1).reshape(-1, 3, 3)
    return _great_circle_mesh(triangles, name)


def _icosahedron() -> Floats:
    """Twenty triangles (20, 3, 3), counter-clockwise."""
    lat, turn = np.arctan(0.5), np.deg2rad(36.0)
    upper, lower = (
        np.stack(
            [np.cos(lat) * np.cos(angle), np.cos(lat) * np.sin(angle), np.full(5, sign * np.sin(lat))],
            axis=1,
        )
        for sign, angle in ((1.0, 2 * turn * np.arange(5)), (-1.0, 2 * turn * np.arange(5) + turn))
    )
    north, south = np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, -1.0])
    triangles = []
    for i in range(5):
        j = (i + 1) % 5
        triangles += [
            (north, upper[i], upper[j]),
            (upper[i], lower[i], upper[j]),
            (lower[i], lower[j], upper[j]),
            (lower[j], lower[i], south),
        ]
    return np.array(triangles)


def _unit(points: Floats) -> Floats:
    return np.asarray(points / np.linalg.norm(points, axis=-1, keepdims=True))


def _great_circle_mesh(corners: Floats, name: str) -> Mesh:
    lon, lat = lon_lat(corners)
    ids = np.arange(len(corners), dtype=np.int64)
    return Mesh(name, ids, lon, lat, "great_circle", np.ones(ids.size, bool), ids.size)
