"""Checks of a mesh before a regridding library reads it: arrays, coordinates, polygons, ids on all ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.grids.mesh import (
    FLAT,
    Edges,
    Mesh,
    at_pole,
    centres_off,
    flatness,
    latlon_edges,
    merge_corners,
    next_corners,
)
from ai4land_coupler.parallel.collective import agree, repeated_id

#: If all cells are narrower than this (500 m) and within 2 pi and pi / 2 "degrees", the units must be radians.
_SMALLEST_CELL = 0.0045


def validate(mesh: Mesh, comm: Any = None) -> None:
    """Refuse a mesh on which a regridding library would abort or give wrong weights. Collective.

    Raises
    ------
    GridError
        On every rank; the message names the first rank with the fault. Faults are wrong shapes and types, ids outside
        the grid or owned twice, and coordinates that are missing, out of range or in radians. Faults of unmasked cells
        are fewer than 3 distinct corners, clockwise order, edges of another kind than ``edges``, and centres far from
        the cell. Masked cells may have any shape, or no corners. Coordinates are radians if the whole grid lies within
        2 pi of longitude and pi / 2 of latitude, and either spans the globe in radians or has only cells below 500 m.
    """
    _everywhere(mesh, comm, _check_arrays, check_coordinates)
    sizes = [mesh.global_size] if comm is None else comm.allgather(mesh.global_size)
    if len(set(sizes)) > 1:
        raise GridError("ranks disagree on the size of a grid", found=sorted(set(sizes)), where=mesh.name)
    check_radians(mesh, comm)
    _everywhere(mesh, comm, _check_polygons)
    again = repeated_id(mesh.cell_ids, comm)
    if again is not None:
        raise GridError(
            "a cell has more than one owner",
            expected="each global id once over all ranks",
            found=f"id {again} more than once",
            where=mesh.name,
        )


def _everywhere(mesh: Mesh, comm: Any, *checks: Callable[[Mesh], None]) -> None:
    """Run local checks. The first error of any rank is raised on all ranks."""
    error: GridError | None = None
    try:
        for check in checks:
            check(mesh)
    except GridError as caught:
        error = caught
    agree(error, comm)


def _check_arrays(mesh: Mesh) -> None:
    n = mesh.size
    lon, lat, mask = mesh.corner_lon, mesh.corner_lat, mesh.mask
    if mesh.edges not in get_args(Edges):
        raise GridError("unknown kind of edges", expected=get_args(Edges), found=mesh.edges, where=mesh.name)
    if mesh.cell_ids.ndim != 1 or mesh.cell_ids.dtype != np.int64:
        raise GridError(
            "cell ids are malformed",
            expected="int64 (n,)",
            found=f"{mesh.cell_ids.dtype} {mesh.cell_ids.shape}",
            where=mesh.name,
        )
    for name, corners in (("longitudes", lon), ("latitudes", lat)):
        if corners.ndim != 2 or len(corners) != n or corners.shape != lon.shape or corners.dtype != np.float64:
            raise GridError(
                f"corner {name} are malformed",
                expected=f"float64 ({n}, corners), longitudes and latitudes alike",
                found=f"{corners.dtype} {corners.shape}",
                where=mesh.name,
            )
    if lon.shape[1] < 3:
        raise GridError("cells need at least 3 corners", found=lon.shape[1], where=mesh.name)
    if (mesh.centre_lon is None) != (mesh.centre_lat is None):
        raise GridError("centres need both, longitudes and latitudes", where=mesh.name)
    for centre in (mesh.centre_lon, mesh.centre_lat):
        if centre is not None and (centre.shape != (n,) or centre.dtype != np.float64):
            raise GridError(
                "centres do not fit their cells",
                expected=f"float64 ({n},)",
                found=f"{centre.dtype} {centre.shape}",
                where=mesh.name,
            )
    if mask.shape != (n,) or mask.dtype != np.bool_:
        raise GridError(
            "a mask does not fit its cells",
            expected=f"bool ({n},)",
            found=f"{mask.dtype} {mask.shape}",
            where=mesh.name,
        )
    if n and (mesh.cell_ids.min() < 0 or mesh.cell_ids.max() >= mesh.global_size):
        raise GridError(
            "cell ids lie outside of the grid",
            expected=f"0 to {mesh.global_size - 1}",
            found=f"{mesh.cell_ids.min()} to {mesh.cell_ids.max()}",
            where=mesh.name,
            remedy="global ids are 0-based",
        )


def _refuse(mesh: Mesh, bad: NDArray[np.bool_] | np.bool_, what: str, **facts: Any) -> None:
    """Raise an error that names the first cell where ``bad`` (n,) is True."""
    if np.any(bad):
        cell = int(np.argmax(bad))
        corners = list(zip(mesh.corner_lon[cell].tolist(), mesh.corner_lat[cell].tolist(), strict=True))
        facts.setdefault("found", f"{int(np.sum(bad))} cells, first the corners (lon, lat) {corners}")
        raise GridError(what, where=f"{mesh.name}, cell {mesh.cell_ids[cell]}", **facts)


def check_radians(mesh: Mesh, comm: Any = None) -> None:
    """Refuse a grid whose corners seem to be radians (rule in :func:`validate`). Collective."""
    extents = [_extent(mesh)] if comm is None else comm.allgather(_extent(mesh))
    east, west, north, south, width = (max(values) for values in zip(*extents, strict=True))
    lon, quarter = max(east, west), np.pi / 2 + 1e-3
    # Longitudes may start anywhere, some columns may come twice, and a row at a pole may lack.
    around = 3.0 < lon < 4 * quarter or 5.0 < east + west < 5 * quarter
    spans_globe = around and min(north, south) > 1.3 and north + south > 2.9
    tiny = 0.0 < width < _SMALLEST_CELL and lon < 4 * quarter
    if max(north, south) < quarter and (spans_globe or tiny):
        raise GridError(
            "the corners of a grid look like radians",
            expected="degrees",
            found=f"longitudes up to {lon:.6g}, latitudes from {-south:.6g} to {north:.6g}",
            where=mesh.name,
            remedy="convert to degrees, or tell that they are radians",
        )


def _extent(mesh: Mesh) -> tuple[float, float, float, float, float]:
    """Farthest longitudes east and west, latitudes north and south, and the height of the highest unmasked cell."""
    used = ~np.isnan(mesh.corner_lat)
    if not used.any():
        return -np.inf, -np.inf, -np.inf, -np.inf, 0.0
    lon, lat, taken = mesh.corner_lon[used], mesh.corner_lat[used], mesh.corner_lat[mesh.mask]
    width = float(np.max(np.nanmax(taken, axis=1) - np.nanmin(taken, axis=1))) if len(taken) else 0.0
    return float(lon.max()), float(-lon.min()), float(lat.max()), float(-lat.min()), width


def check_coordinates(mesh: Mesh) -> None:
    """Refuse corners that are missing or out of range. Local."""
    lon, lat = mesh.corner_lon, mesh.corner_lat
    missing = np.isnan(lat)
    gap = (missing[:, :-1] & ~missing[:, 1:]).any(axis=1)
    _refuse(
        mesh,
        gap | (missing != np.isnan(lon)).any(axis=1) | (mesh.mask & missing[:, :3].any(axis=1)),
        "corners are missing",
        expected="at least 3 corners, NaN in longitude and latitude alike and at the end of a row only",
        remedy="mask cells without corners",
    )
    _refuse(
        mesh,
        ((np.abs(lat) > 90.0) | (np.abs(lon) > 720.0)).any(axis=1),
        "corners are out of range",
        expected="longitudes from -720 to 720 and latitudes from -90 to 90, in degrees",
    )


def _check_polygons(mesh: Mesh) -> None:
    mesh = mesh.take(np.flatnonzero(mesh.mask & ~_evident_boxes(mesh)))
    if mesh.size == 0:
        return
    merged = merge_corners(mesh)
    flat = np.isnan(merged.corner_lat[:, 2]) | (np.abs(flatness(merged)) <= FLAT)
    refuse_wide(mesh.take(np.flatnonzero(flat)))
    _refuse(
        mesh,
        np.isnan(merged.corner_lat[:, 2]),
        "a cell has fewer than 3 distinct corners",
        remedy="leave such cells out",
    )
    _refuse(
        mesh,
        flatness(merged) <= FLAT,
        "cells are clockwise, or have no area",
        expected="corners counter-clockwise, seen from outside of the Earth",
        remedy="reverse the order of the corners",
    )
    if mesh.edges == "latlon":
        _refuse(
            mesh,
            ~latlon_edges(merged).all(axis=1),
            "edges are neither meridians nor parallels",
            expected="edges that follow meridians and parallels",
            remedy='give such a mesh edges="great_circle"',
        )
    _refuse(
        mesh,
        centres_off(merged),
        "the points that values stand for are not in their cells",
        expected="centre_lon and centre_lat in degrees, near the middle of the corners",
    )


def refuse_wide(mesh: Mesh) -> None:
    """Refuse cells without area that are half a circle wide, or a whole one: zonal bands."""
    if mesh.size == 0:
        return
    lon, lat = next_corners(mesh)
    step = np.where(at_pole(lat) | at_pole(mesh.corner_lat), np.nan, np.abs(lon - mesh.corner_lon))
    with np.errstate(invalid="ignore"):
        wide = (np.abs(step % 360.0 - 180.0) < 1e-6) | (np.abs(step - 360.0) < 1e-6)
    if wide.any():
        cell = int(np.argmax(wide.any(axis=1)))
        raise GridError(
            "cells are too wide",
            expected="cells narrower than 180 degrees of longitude",
            found=f"{int(wide.any(axis=1).sum())} cells with an edge of {np.nanmax(step):.6g} degrees",
            where=f"{mesh.name}, cell {mesh.cell_ids[cell]}",
            remedy="split each cell into 3 or more; for zonal means, repeat each value on a row of cells"
            " (for example cdo enlarge,r36x18)",
        )


def _evident_boxes(mesh: Mesh) -> NDArray[np.bool_]:
    """Cells that need no detailed check, (n,): boxes that start at the south-west corner and are not thin or tiny.

    Not all valid boxes are found. All other cells, and all cells of a mesh with centres, get the detailed check.
    """
    if mesh.edges != "latlon" or mesh.corner_lon.shape[1] != 4 or mesh.centre_lon is not None:
        return np.zeros(mesh.size, bool)
    (west, east, far_east, far_west), (south, far_south, north, far_north) = mesh.corner_lon.T, mesh.corner_lat.T
    width, height = east - west, north - south
    # width along the longer of the two parallels
    distance = width * np.cos(np.deg2rad(np.minimum(np.abs(south), np.abs(north))))
    least = np.maximum(1e-5, 1e-5 * np.maximum(distance, height))
    sides = (east == far_east) & (west == far_west) & (south == far_south) & (north == far_north)
    return np.asarray(sides & (np.minimum(distance, height) > least) & (width < 90.0) & (height < 90.0))
