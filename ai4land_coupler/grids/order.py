"""Puts the corners of cells in order around their cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh, flatness, unit_vectors

#: Number of cells that are looked at to learn whether the corners of a file are in order.
_SAMPLE = 1000


def in_order(mesh: Mesh) -> Mesh:
    """Sort the corners of all cells counter-clockwise if most cells cross themselves. Else the mesh as it is.

    Some files list the corners of a box row by row (south-west, south-east, north-west, north-east). A cell crosses
    itself if the polygon of its corners in the given order is smaller than in the order of their directions from the
    middle. Cells must be convex, or at least visible from their middle. ``notes`` tells the change.
    """
    taken = np.flatnonzero(mesh.mask)
    sample = mesh.take(taken[:: max(taken.size // _SAMPLE, 1)])
    if sample.size == 0 or np.mean(np.abs(flatness(sample)) < 0.9 * flatness(_by_direction(sample))) <= 0.5:
        return mesh
    return replace(_by_direction(mesh), notes=(*mesh.notes, "corners were put in order around their cells"))


def _by_direction(mesh: Mesh) -> Mesh:
    """Corners in the order of their direction from the middle of each cell, counter-clockwise seen from outside."""
    points = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    middle = np.nansum(points, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a cell without corners
        middle /= np.linalg.norm(middle, axis=2, keepdims=True)
    right = np.cross(np.eye(3)[np.argmin(np.abs(middle), axis=2)], middle)
    up = np.cross(middle, right)
    right /= np.linalg.norm(right, axis=2, keepdims=True)
    up /= np.linalg.norm(up, axis=2, keepdims=True)
    offset = points - middle
    order = np.argsort(np.arctan2((offset * up).sum(axis=2), (offset * right).sum(axis=2)), axis=1, kind="stable")
    return replace(
        mesh,
        corner_lon=np.take_along_axis(mesh.corner_lon, order, axis=1),
        corner_lat=np.take_along_axis(mesh.corner_lat, order, axis=1),
    )


def reversed_corners(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reverse the used corners of each row. NaN stays at the end."""
    used = (~np.isnan(corners)).sum(axis=1)[:, None]
    columns = np.arange(corners.shape[1])
    return np.take_along_axis(corners, np.where(columns < used, used - 1 - columns, columns), axis=1)
