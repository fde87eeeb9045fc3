"""Whether cells overlap, and whether they leave gaps."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ai4land_coupler.collective import agree
from ai4land_coupler.errors import GridError
from ai4land_coupler.grid import EARTH_RADIUS
from ai4land_coupler.host_grids.overlaps import overlapping
from ai4land_coupler.mesh import Mesh
from ai4land_coupler.regrid.areas import cell_area
from ai4land_coupler.regrid.candidates import find_candidates

Expect = Literal["global"]

#: Areas of a global mesh add up to the sphere within this share.
AREA_TOLERANCE = 1e-6


def check_coverage(mesh: Mesh, comm: Any = None, expect: Expect | None = None) -> None:
    """Refuse cells that overlap, and gaps where the mesh must fill the globe. Collective.

    Overlaps are found where the areas of the cells that take part exceed the sphere, and where two of them reach into
    each other (:func:`ai4land_coupler.host_grids.overlaps.overlapping`). A gap is legal, as in grids of a region or of
    land alone, unless ``expect`` is ``global``: then the areas of all cells, masked or not, are the whole sphere's.

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
    others = find_candidates(mesh, mesh, comm).mesh
    error: Exception | None = None
    try:
        _refuse_overlap(mesh.take(np.flatnonzero(mesh.mask)), others)
    except Exception as caught:
        error = caught
    agree(error, comm)


def check_total(mesh: Mesh, comm: Any = None, expect: Expect | None = None) -> None:
    """The part of :func:`check_coverage` that needs areas alone. Collective."""
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
