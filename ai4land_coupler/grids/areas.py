"""Areas of cells on the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids.mesh import Mesh, at_pole, lon_difference, merge_corners, next_corners, unit_vectors

#: Number of cells that are processed together.
_PIECE = 16384


def cell_area(mesh: Mesh) -> NDArray[np.float64]:
    """Area of each owned cell on the sphere of radius ``grid.EARTH_RADIUS`` (m2), float64 (n,).

    The formula is exact for the kind of edges of the mesh; the relative error is at most 1e-11 for cells of 1 km.
    Clockwise cells have negative areas. Masked cells without corners have zero area.
    """
    if mesh.size == 0:
        return np.zeros(0)
    if mesh.size > _PIECE:  # pieces fit the CPU cache
        pieces = [np.arange(begin, min(begin + _PIECE, mesh.size)) for begin in range(0, mesh.size, _PIECE)]
        return np.concatenate([cell_area(mesh.take(piece)) for piece in pieces])
    mesh = merge_corners(mesh)
    steradians = _latlon(mesh) if mesh.edges == "latlon" else _great_circle(mesh)
    return steradians * EARTH_RADIUS**2


def _latlon(mesh: Mesh) -> NDArray[np.float64]:
    """Green's theorem, area = -(sum over the edges of the integral of sin(lat) dlon).

    Meridians contribute nothing. All corners at a pole are one point, so the longitude steps of a polar cell do not sum
    to zero. The missing part of the integral lies at the pole, where abs(sin(lat)) = 1.
    """
    lon, lat = next_corners(mesh)
    step = np.deg2rad(lon_difference(lon, mesh.corner_lon))
    step[at_pole(lat) | at_pole(mesh.corner_lat) | np.isnan(lat)] = 0.0
    here, origin = np.nan_to_num(mesh.corner_lat), np.nan_to_num(mesh.corner_lat[:, :1])
    # The product formula gives sin(lat) relative to the first corner, and the colatitude gives 1 - sin(lat). Plain
    # differences would lose digits for small cells.
    sines = 2.0 * np.cos(np.deg2rad((here + origin) / 2)) * np.sin(np.deg2rad((here - origin) / 2))
    span = step.sum(axis=1)
    colatitude = 90.0 - np.sign(span) * origin[:, 0]
    pole = np.abs(span) * 2.0 * np.sin(np.deg2rad(colatitude / 2)) ** 2
    return np.asarray(pole - (sines * step).sum(axis=1))


def _great_circle(mesh: Mesh) -> NDArray[np.float64]:
    """Sum of the signed areas of the triangles between the first corner and each edge.

    tan(E/2) = a.(b x c) / (1 + a.b + b.c + c.a), van Oosterom and Strackee (1983),
    doi:10.1109/TBME.1983.325207. The triple product uses differences, so that small cells keep
    their digits.
    """
    points = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    following = unit_vectors(*next_corners(mesh))
    first = points[:, :1]
    triple = np.einsum("ijk,ijk->ij", np.broadcast_to(first, points.shape), np.cross(points - first, following - first))
    dots = (first * points).sum(-1) + (points * following).sum(-1) + (following * first).sum(-1)
    return np.asarray(np.nansum(2.0 * np.arctan2(triple, 1.0 + dots), axis=1))
