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
from ai4land_coupler.grids.checks import check_coordinates, check_radians, refuse_wide, validate
from ai4land_coupler.grids.coverage import Expect, check_total, tiles_sphere
from ai4land_coupler.grids.mesh import (
    FLAT,
    Edges,
    Mesh,
    centres_off,
    centres_outside,
    flatness,
    latlon_edges,
    merge_corners,
    open_polygons,
    to_pole,
)
from ai4land_coupler.grids.order import in_order, reversed_corners
from ai4land_coupler.grids.repeated import ODD_SHARE, mask_overlapping, mask_repeated, some

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
    lon, lat = np.array(polygons.lon), to_pole(polygons.lat)
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
    if not polygons.disjoint:
        mesh = in_order(mesh)
    given, mesh = mesh, open_polygons(merge_corners(mesh))
    if not polygons.disjoint:
        mesh = _mask_flat(mask_repeated(_counter_clockwise(mesh)), given)
    if edges is None:
        edges = "latlon" if latlon_edges(mesh)[mesh.mask].all() else "great_circle"
    mesh = replace(mesh, edges=edges)
    if not polygons.disjoint:
        _refuse_shifted(mesh)
    mesh = _mend_centres(mesh)
    validate(mesh)
    mesh = _compare_areas(mesh, polygons.area)
    if not polygons.disjoint and not tiles_sphere(mesh):
        mesh = mask_overlapping(mesh)
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
        mesh = replace(mesh, corner_lon=reversed_corners(mesh.corner_lon), corner_lat=reversed_corners(mesh.corner_lat))
        right, wrong = wrong, right
        notes += ("cells are clockwise in the file: corners were reversed",)
    odd = wrong & mesh.mask
    if odd.sum() > ODD_SHARE * mesh.size:  # perhaps the repeated row of a fold, in the other direction
        mesh = mask_repeated(replace(mesh, notes=notes), odd)
        notes, odd = mesh.notes, wrong & mesh.mask
    if odd.sum() > ODD_SHARE * mesh.size:
        raise GridError(
            "cells turn both ways",
            expected="corners in one order throughout a file, but for at most one cell in a thousand",
            found=f"{int(odd.sum())} of {mesh.size} cells against the others, first cell {int(np.argmax(odd))}",
            where=mesh.name,
            remedy="reverse the corners of those cells",
        )
    if odd.any():
        notes += (f"{int(odd.sum())} inverted cells were masked: {some(odd)}",)
    return replace(mesh, mask=mesh.mask & ~odd, notes=notes)


def _mask_flat(mesh: Mesh, given: Mesh) -> Mesh:
    """Mask cells with zero area if they are few. Otherwise :func:`validate` refuses them.

    ``given`` has the corners before equal corners were merged.
    """
    flat = mesh.mask & (np.abs(flatness(mesh)) <= FLAT)
    if not flat.any():
        return mesh
    refuse_wide(given.take(np.flatnonzero(flat)))
    if flat.sum() > ODD_SHARE * mesh.size:
        return mesh
    notes = (*mesh.notes, f"{int(flat.sum())} cells without area were masked: {some(flat)}")
    return replace(mesh, mask=mesh.mask & ~flat, notes=notes)


def _refuse_shifted(mesh: Mesh) -> None:
    """Refuse a file whose centres and corners contradict each other: most centres lie outside of their cells."""
    taken = np.flatnonzero(mesh.mask)
    sample = mesh.take(taken[:: max(taken.size // 1000, 1)])
    outside = centres_outside(sample)
    if outside.mean() > 0.5:
        cell = int(np.argmax(outside))
        corners = list(zip(sample.corner_lon[cell].tolist(), sample.corner_lat[cell].tolist(), strict=True))
        centre = [float(values[cell]) for values in (sample.centre_lon, sample.centre_lat) if values is not None]
        raise GridError(
            "the points that values stand for are not in their cells",
            expected="each centre inside of its corners, or on an edge",
            found=f"{outside.mean():.0%} outside, first {centre}, with the corners (lon, lat) {corners}",
            where=f"{mesh.name}, cell {sample.cell_ids[cell]}",
            remedy="correct the centres or the corners; they may be those of another grid, or shifted by a cell",
        )


def _mend_centres(mesh: Mesh) -> Mesh:
    """Move centres outside their cells to the middle if they are few. Otherwise :func:`validate` refuses them."""
    off = centres_off(mesh) & mesh.mask
    if not off.any() or off.sum() > ODD_SHARE * mesh.size or mesh.centre_lon is None or mesh.centre_lat is None:
        return mesh
    lon, lat = replace(mesh, centre_lon=None, centre_lat=None).centres()
    return replace(
        mesh,
        centre_lon=np.where(off, lon, mesh.centre_lon),
        centre_lat=np.where(off, lat, mesh.centre_lat),
        notes=(*mesh.notes, f"{int(off.sum())} centres outside of their cells were put into the middle: {some(off)}"),
    )


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
