"""Compare the grid in a weight file with the cells of a mesh."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.mesh import Mesh, unit_vectors

#: Largest difference of corners, as a share of the cell's radius; allows single precision.
_CORNER_SHIFT = 1e-2
#: ... or in rad: the last digit of a longitude in single precision.
_LAST_DIGIT = 1e-6
#: Areas may differ by this factor, because edges are great circles in some files and parallels in others.
_AREA_FACTOR = 1.25


def wrong_grid(mesh: Mesh, in_file: Mapping[Any, NDArray[Any]], where: Path) -> GridError | None:
    """An error if the file has cells of the mesh at another place, or masks them; else ``None``.

    Parameters
    ----------
    in_file:
        Quantities of the owned cells in the file (``read.Quantity``). Quantities that the file lacks are not checked.
        Corners are compared as sets. Without corners, centres must be in their cells.
    """
    taken = np.flatnonzero(mesh.mask)
    if taken.size == 0:
        return None
    corners = unit_vectors(mesh.corner_lon[taken], mesh.corner_lat[taken])
    middle = np.nanmean(corners, axis=1)
    radius = np.nanmax(np.linalg.norm(corners - middle[:, None], axis=2), axis=1)
    far = np.zeros(taken.size)
    others = _points(in_file, "corner", taken)
    if others is not None and np.ptp(others, axis=1).any():
        far = np.maximum(_farthest(corners, others), _farthest(others, corners))
        limit = np.maximum(_CORNER_SHIFT * radius, _LAST_DIGIT)
        what = "corners"
    else:
        point = _points(in_file, "centre", taken)
        if point is not None:
            far = np.linalg.norm(point - middle, axis=1)
        limit = radius + _LAST_DIGIT
        what = "centres"
    bad = ~(far <= limit)
    if bad.any():
        cell = int(np.argmax(bad))
        return GridError(
            "a weight file was made for another grid",
            expected=f"the {what} of {mesh.name}",
            found=f"{int(bad.sum())} of {taken.size} cells elsewhere, first id {mesh.cell_ids[taken[cell]]}, "
            f"{np.rad2deg(far[cell]):.3g} degrees away",
            where=where,
            remedy="cells must come in the same order; make the file from the same grid files",
        )
    mask = in_file.get("mask")
    if mask is not None and (mask[taken] == 0).any():
        return GridError(
            "a weight file leaves out cells that take part now",
            expected=f"the mask of {mesh.name}",
            found=f"{int((mask[taken] == 0).sum())} of {taken.size} cells masked in the file",
            where=where,
            remedy="mask these cells of the grid too, or make the file without the mask",
        )
    return None


def _points(in_file: Mapping[Any, NDArray[Any]], kind: str, taken: NDArray[np.int64]) -> NDArray[np.float64] | None:
    lon, lat = in_file.get(f"{kind}_lon"), in_file.get(f"{kind}_lat")
    return None if lon is None or lat is None else unit_vectors(lon[taken], lat[taken])


def _farthest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each cell, the largest distance of its points (n, k, 3) to the nearest of the others (n, m, 3)."""
    far = np.zeros(len(points))
    for corner in np.moveaxis(points, 1, 0):
        near = np.full(len(points), np.inf)
        for other in np.moveaxis(others, 1, 0):
            near = np.fmin(near, np.linalg.norm(corner - other, axis=1))
        far = np.maximum(far, np.where(np.isnan(corner[:, 0]), 0.0, near))
    return far


def wrong_area(mesh: Mesh, found: NDArray[np.float64], own: NDArray[np.float64], where: Path) -> GridError | None:
    """An error if areas of a file (m2; 0 means unknown) belong to another sphere or have other units; else ``None``."""
    taken = mesh.mask & (own > 0) & (found > 0)
    if not taken.any():
        return None
    ratio = float(np.median(found[taken] / own[taken]))
    if 1 / _AREA_FACTOR <= ratio <= _AREA_FACTOR:
        return None
    return GridError(
        "a weight file has areas of another sphere, or in other units",
        expected=f"{own[taken].sum():.6g} m2 for the cells of {mesh.name} on this rank",
        found=f"{found[taken].sum():.6g} m2",
        where=where,
        remedy="areas are in square radians, or say that they are in m2",
    )
