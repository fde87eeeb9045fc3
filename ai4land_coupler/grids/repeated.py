"""Cells of a file that come more than once, or overlap others: halo columns, fold rows, fillers.

Each part of the sphere must take part once. docs/grids.md explains the rules; ``Mesh.notes`` lists what was masked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.mesh import Mesh, centres_off, unit_vectors
from ai4land_coupler.grids.overlaps import DEPTH, overlapping

#: Largest share of cells that are masked because they are inverted, flat or overlap. Real grids such as ORCA2 have a
#: few.
ODD_SHARE = 1e-3
#: Corners are equal within this distance on the unit sphere: ``mesh.POINT_TOLERANCE``.
_SAME = 1e-9


def mask_repeated(mesh: Mesh, last: NDArray[np.bool_] | None = None) -> Mesh:
    """If several cells have the same corners, mask all but the first. Cells of ``last`` (n,) come after the others.

    Repeated cells occur at the fold of a tripolar grid, and in the halo columns of a cyclic grid. A filler is another
    thing: the polygon of one cell, written for cells whose centres lie elsewhere. If a polygon comes more than twice
    and some of its centres lie outside of it, all its cells are masked.
    """
    taken = np.flatnonzero(mesh.mask)
    points = unit_vectors(mesh.corner_lon[taken], mesh.corner_lat[taken])
    count = (~np.isnan(mesh.corner_lat[taken])).sum(axis=1)
    middle = np.round(np.nansum(points, axis=1) / np.maximum(count, 1)[:, None] / _SAME).astype(np.int64)
    late = np.zeros(taken.size, bool) if last is None else last[taken]
    order = np.lexsort((taken, late, middle[:, 2], middle[:, 1], middle[:, 0]))
    new = np.ones(order.size, bool)
    new[1:] = (middle[order[1:]] != middle[order[:-1]]).any(axis=1)
    group = np.cumsum(new) - 1
    common = np.bincount(group)[group] > 1
    order, group, new = order[common], group[common], new[common]
    if order.size == 0:
        return mesh
    starts = np.flatnonzero(new)
    first = order[np.repeat(starts, np.diff(starts, append=order.size))]
    same = _same_corners(points, order, first, np.full(order.size, _SAME))
    size = np.bincount(group, weights=same)[group]
    off = centres_off(mesh.take(taken[order]))
    filler = same & (size > 2) & (np.bincount(group, weights=same & off)[group] > 0)
    filler |= same & (size > 1) & (count[order] == 0)  # One point for all corners, such as zeros for land.
    # The centre tells which of two cells is the filler. Otherwise the first cell stays.
    second = ~new & ~((size == 2) & off[np.maximum(np.arange(order.size) - 1, 0)] & ~off)
    second |= new & (size == 2) & off & ~np.append(off[1:], True)
    repeated = same & (size > 1) & ~filler & second
    notes = []
    if repeated.any():
        notes.append(f"{int(repeated.sum())} cells that repeat another one were masked")
    if filler.any():
        notes.append(f"{int(filler.sum())} cells whose corners come more than twice were masked as fillers")
    masked = np.zeros(mesh.size, bool)
    masked[taken[order[repeated | filler]]] = True
    return replace(mesh, mask=mesh.mask & ~masked, notes=(*mesh.notes, *notes))


def _same_corners(
    points: NDArray[np.float64],
    these: NDArray[np.intp],
    those: NDArray[np.intp],
    tolerance: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether cells have the same corners in any order, within a tolerance on the unit sphere (m,). Result (m,)."""
    answer = np.zeros(these.size, bool)
    for start in range(0, these.size, 65536):
        part = slice(start, start + 65536)
        gaps = points[these[part], :, None] - points[those[part], None]
        distance = np.where(np.isnan(gaps).any(axis=-1), np.inf, np.abs(gaps).max(axis=-1, initial=0.0))
        used = ~np.isnan(points[these[part], :, 0])
        answer[part] = (np.where(used, distance.min(axis=2), 0.0) <= tolerance[part, None]).all(axis=1)
    return answer


def mask_overlapping(mesh: Mesh) -> Mesh:
    """Mask the second of two cells that are the same but for rounding, and cells that overlap, if they are few.

    Cells of ORCA2 around the Caspian Sea overlap. The halo columns of a file in single precision differ from the cells
    that they repeat by rounding.

    Raises
    ------
    GridError
        More than one cell in a thousand overlaps.
    """
    taken = mesh.take(np.flatnonzero(mesh.mask))
    first, second = overlapping(taken, taken)
    if first.size == 0:
        return mesh
    repeated = np.unique(second[_alike(mesh, first, second)])
    masked = np.zeros(mesh.size, bool)
    masked[repeated] = True
    notes = mesh.notes
    if repeated.size:
        notes += (f"{repeated.size} cells that repeat another one, but for rounding, were masked",)
    apart = ~masked[first] & ~masked[second]
    both = np.union1d(first[apart], second[apart])
    if both.size > ODD_SHARE * mesh.size:
        raise GridError(
            "cells overlap",
            expected="cells that share no more than edges, but for at most one in a thousand",
            found=f"{both.size} of {mesh.size} cells, first cells {first[apart][0]} and {second[apart][0]}",
            where=mesh.name,
            remedy="remove cells that come twice (halo rows and columns), or check corners, their units, and the edges",
        )
    if both.size:
        odd = np.zeros(mesh.size, bool)
        odd[both] = True
        notes += (f"{both.size} cells that overlap others were masked: {some(odd)}",)
        masked |= odd
    return replace(mesh, mask=mesh.mask & ~masked, notes=notes)


def _alike(mesh: Mesh, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pairs of cells whose corners agree to ``overlaps.DEPTH`` of their size, in both directions, (m,)."""
    cells, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    these, those = np.split(index.ravel(), 2)
    points = unit_vectors(mesh.corner_lon[cells], mesh.corner_lat[cells])
    across = np.nanmax(np.abs(points - points[:, :1]), axis=(1, 2))
    tolerance = DEPTH * np.minimum(across[these], across[those])
    return _same_corners(points, these, those, tolerance) & _same_corners(points, those, these, tolerance)


def some(which: NDArray[np.bool_]) -> str:
    """The first few ids of cells, for a note."""
    ids = np.flatnonzero(which)
    return ", ".join(map(str, ids[:5])) + (", ..." if ids.size > 5 else "")
