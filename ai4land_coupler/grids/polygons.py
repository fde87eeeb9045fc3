"""Makes a mesh from the polygons of a file. Faulty cells are corrected, masked or refused.

docs/grids.md explains the rules. ``Mesh.notes`` lists every change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.checks import check_coordinates, check_radians, validate
from ai4land_coupler.grids.coverage import Expect, check_total, tiles_sphere
from ai4land_coupler.grids.mesh import (
    FLAT,
    Edges,
    Mesh,
    centres_off,
    flatness,
    latlon_edges,
    merge_corners,
    unit_vectors,
)
from ai4land_coupler.grids.overlaps import overlapping

#: How far beyond a pole single-precision files may reach (degrees). Such corners are moved to the pole.
_POLE_OVERSHOOT = 1e-5
#: Largest share of cells that are masked because they are inverted or flat. Real grids such as ORCA2 have a few.
_ODD_SHARE = 1e-3
#: Largest relative difference (median) between the areas in a file and the areas from its corners.
_AREA_TOLERANCE = 0.01
#: Smaller relative differences of areas are not noted.
_AREA_NOTE = 1e-4


@dataclass(frozen=True)
class Polygons:
    """The uncorrected cells of a file, in the order of the file.

    ``lon`` and ``lat`` are corners in degrees, (n, k), NaN for unused or missing corners. ``mask`` is False for
    masked cells. ``area`` is in steradians, NaN if missing. ``disjoint`` is True for cells made from axes, which are
    counter-clockwise and do not overlap.
    """

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    mask: NDArray[np.bool_]
    centre_lon: NDArray[np.float64] | None = None
    centre_lat: NDArray[np.float64] | None = None
    area: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    disjoint: bool = False


def mesh_of(polygons: Polygons, path: Path, edges: Edges | None, expect: Expect | None = None) -> Mesh:
    """Make the whole mesh of a file, and validate it.

    Raises
    ------
    GridError
        Cells are malformed (:func:`ai4land_coupler.grids.checks.validate`), in both directions, overlap, leave gaps
        although ``expect`` is ``global``, or have other areas than the file gives.
    """
    if len(polygons.lon) == 0:
        raise GridError("a grid file has no cells", where=path)
    lon, lat = np.array(polygons.lon), np.array(polygons.lat)
    over = (np.abs(lat) > 90.0) & (np.abs(lat) <= 90.0 + _POLE_OVERSHOOT)
    lat[over] = np.sign(lat[over]) * 90.0
    unused = ~polygons.mask & ~_complete(lon, lat)
    lon[unused], lat[unused] = np.nan, np.nan  # fill values, as in land areas without processors of an ocean model
    mesh = Mesh(
        path.stem,
        np.arange(len(lon), dtype=np.int64),
        lon,
        lat,
        "great_circle",
        np.array(polygons.mask, bool),
        len(lon),
        polygons.centre_lon,
        polygons.centre_lat,
        polygons.notes,
    )
    check_coordinates(mesh)
    check_radians(mesh)
    mesh = merge_corners(mesh)
    if not polygons.disjoint:
        mesh = _mask_flat(_mask_repeated(_counter_clockwise(mesh)))
    if edges is None:
        edges = "latlon" if latlon_edges(mesh)[mesh.mask].all() else "great_circle"
    mesh = replace(mesh, edges=edges)
    mesh = _mend_centres(mesh)
    validate(mesh)
    mesh = _compare_areas(mesh, polygons.area)
    if not polygons.disjoint and not tiles_sphere(mesh):
        mesh = _mask_overlapping(mesh)
    odd = polygons.mask & ~mesh.mask
    check_total(mesh.take(np.flatnonzero(~odd)), expect=expect)  # Repeated cells must not hide a gap.
    return mesh


def _complete(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cells with at least 3 corners, all in range, and NaN only after the last corner, (n,)."""
    missing = np.isnan(lon) & np.isnan(lat)
    good = missing | ((np.abs(lon) <= 720.0) & (np.abs(lat) <= 90.0))
    return np.asarray(good.all(axis=1) & ~missing[:, :3].any(axis=1) & (missing[:, :-1] <= missing[:, 1:]).all(axis=1))


def _counter_clockwise(mesh: Mesh) -> Mesh:
    """Reverse the corners if most cells are clockwise. Mask the cells in the other direction if they are few."""
    turn = flatness(mesh)
    right, wrong = turn > FLAT, turn < -FLAT
    notes = mesh.notes
    if wrong.sum() > right.sum():
        mesh = replace(mesh, corner_lon=_reversed(mesh.corner_lon), corner_lat=_reversed(mesh.corner_lat))
        right, wrong = wrong, right
        notes += ("cells are clockwise in the file: corners were reversed",)
    odd = wrong & mesh.mask
    if odd.sum() > _ODD_SHARE * mesh.size:
        raise GridError(
            "cells turn both ways",
            expected="corners in one order throughout a file, but for at most one cell in a thousand",
            found=f"{int(odd.sum())} of {mesh.size} cells against the others, first cell {int(np.argmax(odd))}",
            where=mesh.name,
            remedy="reverse the corners of those cells",
        )
    if odd.any():
        notes += (f"{int(odd.sum())} inverted cells were masked: {_some(odd)}",)
    return replace(mesh, mask=mesh.mask & ~odd, notes=notes)


def _reversed(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reverse the used corners of each row. NaN stays at the end."""
    used = (~np.isnan(corners)).sum(axis=1)[:, None]
    columns = np.arange(corners.shape[1])
    return np.take_along_axis(corners, np.where(columns < used, used - 1 - columns, columns), axis=1)


def _mask_flat(mesh: Mesh) -> Mesh:
    """Mask cells with zero area if they are few. Otherwise :func:`validate` refuses them."""
    flat = mesh.mask & (np.abs(flatness(mesh)) <= FLAT)
    if not flat.any() or flat.sum() > _ODD_SHARE * mesh.size:
        return mesh
    notes = (*mesh.notes, f"{int(flat.sum())} cells without area were masked: {_some(flat)}")
    return replace(mesh, mask=mesh.mask & ~flat, notes=notes)


def _mend_centres(mesh: Mesh) -> Mesh:
    """Move centres outside their cells to the middle if they are few. Otherwise :func:`validate` refuses them."""
    off = centres_off(mesh) & mesh.mask
    if not off.any() or off.sum() > _ODD_SHARE * mesh.size or mesh.centre_lon is None or mesh.centre_lat is None:
        return mesh
    lon, lat = replace(mesh, centre_lon=None, centre_lat=None).centres()
    return replace(
        mesh,
        centre_lon=np.where(off, lon, mesh.centre_lon),
        centre_lat=np.where(off, lat, mesh.centre_lat),
        notes=(*mesh.notes, f"{int(off.sum())} centres outside of their cells were put into the middle: {_some(off)}"),
    )


def _mask_repeated(mesh: Mesh) -> Mesh:
    """If two cells have the same corners, mask the second. If more than two cells have them, mask all.

    Pairs occur at the fold of a tripolar grid, or in a repeated column of a cyclic grid. A polygon that occurs more
    often is a filler.
    """
    taken = np.flatnonzero(mesh.mask)
    points = unit_vectors(mesh.corner_lon[taken], mesh.corner_lat[taken])
    count = (~np.isnan(mesh.corner_lat[taken])).sum(axis=1)
    # 1e-9 is POINT_TOLERANCE on the unit sphere
    middle = np.round(np.nansum(points, axis=1) / np.maximum(count, 1)[:, None] * 1e9).astype(np.int64)
    order = np.lexsort((taken, middle[:, 2], middle[:, 1], middle[:, 0]))
    new = np.ones(order.size, bool)
    new[1:] = (middle[order[1:]] != middle[order[:-1]]).any(axis=1)
    group = np.cumsum(new) - 1
    common = np.bincount(group)[group] > 1
    order, group, new = order[common], group[common], new[common]
    if order.size == 0:
        return mesh
    starts = np.flatnonzero(new)
    first = order[np.repeat(starts, np.diff(starts, append=order.size))]
    same = _same_corners(points, order, first)
    size = np.bincount(group, weights=same)[group]
    repeated = taken[order[same & (size > 1) & ~((size == 2) & new)]]
    if repeated.size == 0:
        return mesh
    masked = np.zeros(mesh.size, bool)
    masked[repeated] = True
    pairs, fillers = int((same & (size == 2)).sum()) // 2, int((same & (size > 2)).sum())
    notes = []
    if pairs:
        notes.append(f"{pairs} cells that repeat another one were masked")
    if fillers:
        notes.append(f"{fillers} cells whose corners come more than twice were masked as fillers")
    return replace(mesh, mask=mesh.mask & ~masked, notes=(*mesh.notes, *notes))


def _same_corners(points: NDArray[np.float64], these: NDArray[np.intp], those: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether cells have the same corners in any order, within ``POINT_TOLERANCE``, (m,)."""
    answer = np.zeros(these.size, bool)
    for start in range(0, these.size, 65536):
        part = slice(start, start + 65536)
        gaps = points[these[part], :, None] - points[those[part], None]
        distance = np.where(np.isnan(gaps).any(axis=-1), np.inf, np.abs(gaps).max(axis=-1, initial=0.0))
        used = ~np.isnan(points[these[part], :, 0])
        answer[part] = (np.where(used, distance.min(axis=2), 0.0) <= 1e-9).all(axis=1)
    return answer


def _mask_overlapping(mesh: Mesh) -> Mesh:
    """Mask cells that overlap, such as those of ORCA2 around the Caspian Sea.

    Raises
    ------
    GridError
        More than one cell in a thousand overlaps.
    """
    taken = mesh.take(np.flatnonzero(mesh.mask))
    first, second = overlapping(taken, taken)
    both = np.union1d(first, second)
    if both.size == 0:
        return mesh
    if both.size > _ODD_SHARE * mesh.size:
        raise GridError(
            "cells overlap",
            expected="cells that share no more than edges, but for at most one in a thousand",
            found=f"{both.size} of {mesh.size} cells, first cells {first[0]} and {second[0]}",
            where=mesh.name,
            remedy="remove cells that come twice (halo rows and columns), or check corners, their units, and the edges",
        )
    masked = np.zeros(mesh.size, bool)
    masked[both] = True
    notes = (*mesh.notes, f"{both.size} cells that overlap others were masked: {_some(masked)}")
    return replace(mesh, mask=mesh.mask & ~masked, notes=notes)


def _compare_areas(mesh: Mesh, given: NDArray[np.float64] | None) -> Mesh:
    """Compare the areas in a file with the areas from its corners."""
    area = cell_area(mesh) / EARTH_RADIUS**2
    usable = mesh.mask & (area > 0)
    if given is None or not (usable := usable & np.isfinite(given)).any():
        return mesh
    ratio = float(np.median(given[usable] / area[usable]))
    if not abs(ratio - 1) <= _AREA_TOLERANCE:
        raise GridError(
            "the areas in a grid file are not those of its cells",
            expected=f"areas on a sphere of {EARTH_RADIUS:.0f} m, within {_AREA_TOLERANCE:.0%}",
            found=f"areas that are {ratio:.6g} times those of the corners (median)",
            where=mesh.name,
            remedy="check the units of corners and areas, and the radius that the areas were made for",
        )
    if abs(ratio - 1) > _AREA_NOTE:
        return replace(mesh, notes=(*mesh.notes, f"areas in the file are {ratio:.6g} times those of the corners"))
    return mesh


def _some(which: NDArray[np.bool_]) -> str:
    ids = np.flatnonzero(which)
    return ", ".join(map(str, ids[:5])) + (", ..." if ids.size > 5 else "")
