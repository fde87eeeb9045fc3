"""Checks for overlaps of cells and for gaps between them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.candidates import find_candidates
from ai4land_coupler.grids.hash import mix
from ai4land_coupler.grids.mesh import FLAT, Mesh, flatness, merge_corners, next_corners, unit_vectors
from ai4land_coupler.grids.overlaps import overlapping
from ai4land_coupler.parallel.collective import agree

Expect = Literal["global"]

#: Relative tolerance for the sum of areas of a global mesh.
AREA_TOLERANCE = 1e-6


def check_coverage(mesh: Mesh, comm: Any = None, expect: Expect | None = None) -> None:
    """Refuse cells that overlap, and refuse gaps if the mesh must fill the globe. Collective.

    Cells overlap if the areas of the unmasked cells exceed the sphere, or if two of them have an overlap
    (:func:`ai4land_coupler.grids.overlaps.overlapping`). A gap is legal, as in grids of a region or of land alone,
    unless ``expect`` is ``global``. Then the areas of all cells, masked or not, must add up to the sphere.

    Parameters
    ----------
    mesh:
        Owned cells, validated.

    Raises
    ------
    GridError
        On every rank.
    """
    check_total(mesh, comm, expect)
    if tiles_sphere(mesh, comm):
        return
    others = find_candidates(mesh, mesh, comm).mesh
    error: Exception | None = None
    try:
        _refuse_overlap(mesh.take(np.flatnonzero(mesh.mask)), others)
    except Exception as caught:
        error = caught
    agree(error, comm)


def check_total(mesh: Mesh, comm: Any = None, expect: Expect | None = None) -> None:
    """The part of :func:`check_coverage` that needs only areas. Collective."""
    area = cell_area(mesh)
    sums = np.array([area[mesh.mask].sum(), area.sum()]) / (4 * np.pi * EARTH_RADIUS**2)
    if comm is not None:
        sums = np.sum(comm.allgather(sums), axis=0)
    taken, whole = map(float, sums)
    if taken > 1 + AREA_TOLERANCE:
        raise GridError(
            "cells overlap",
            expected="areas that add up to the sphere at most",
            found=f"{taken:.9g} spheres",
            where=mesh.name,
            remedy="leave out cells that come twice: halos, folds, repeated columns",
        )
    if expect == "global" and whole < 1 - AREA_TOLERANCE:
        raise GridError(
            "a grid that must fill the globe has gaps",
            expected="areas that add up to the sphere",
            found=f"{1 - whole:.3g} of the sphere in no cell",
            where=mesh.name,
            remedy="give all cells, those that take no part masked; or do not expect a global grid",
        )


def tiles_sphere(mesh: Mesh, comm: Any = None) -> bool:
    """Whether all cells, including masked ones, fit together edge to edge and cover the sphere once. Collective.

    If each edge occurs equally often in both directions, the cells form a closed surface that covers every point
    equally often. The area shows how often. If it is once, there are no overlaps or gaps, and no search is needed.
    ``False`` may also mean that corners lie on the edges of other cells, as in reduced Gaussian grids.
    """
    merged = merge_corners(mesh)
    used = ~np.isnan(merged.corner_lat)
    start, end = (_point_words(*corners) for corners in ((merged.corner_lon, merged.corner_lat), next_corners(merged)))
    there, back = (mix(np.uint64(1), *ends)[used].sum(dtype=np.uint64) for ends in ((start, end), (end, start)))
    sound = bool((flatness(merged) > FLAT).all())
    parts = [(int(there), int(back), float(cell_area(mesh).sum()), sound)]
    if comm is not None:
        parts = comm.allgather(parts[0])
    forth, back_again, area, sounds = zip(*parts, strict=True)
    whole = sum(area) / (4 * np.pi * EARTH_RADIUS**2)
    return all(sounds) and abs(whole - 1) <= AREA_TOLERANCE and (sum(forth) - sum(back_again)) % 2**64 == 0


def _point_words(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.uint64]:
    """A digest of each point (n, k). It is the same for points that are equal after rounding to 1e-9 radii."""
    places = np.round(np.nan_to_num(unit_vectors(lon, lat)) * 1e9).astype(np.int64).view(np.uint64)
    return mix(np.uint64(0), *np.moveaxis(places, -1, 0))


def _refuse_overlap(own: Mesh, others: Mesh) -> None:
    cell, other = overlapping(own, others)
    if cell.size:
        raise GridError(
            "cells overlap",
            expected="cells that share no more than edges",
            found=f"{cell.size} pairs of cells, first cells {cell[0]} and {other[0]}",
            where=own.name,
            remedy="leave out cells that come twice (halos, folds, repeated columns), or check their corners and edges",
        )
