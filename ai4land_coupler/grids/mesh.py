"""Polygonal grids of host models, as the part that one rank owns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.parallel.collective import agree, repeated_id

Edges = Literal["great_circle", "latlon"]

#: Corners closer than this are one point, and an edge this straight is a meridian or parallel (degrees; 6 mm,
#: the angle tolerance of YAC, 1e-9 rad).
POINT_TOLERANCE = 5e-8

#: Cells flatter than this have no area (:func:`flatness`).
FLAT = 1e-9

#: Cells that are worked on in one go.
_PIECE = 32768

#: Cells narrower than this, all within 2 pi and pi / 2 "degrees" of the origin, are taken for radians (500 m).
_SMALLEST_CELL = 0.0045


@dataclass(frozen=True)
class Mesh:
    """The cells of a grid that this rank owns; a rank without cells is legal.

    Parameters
    ----------
    name:
        For messages and provenance.
    cell_ids:
        Global ids of the owned cells, int64, 0-based, unique over all ranks; shape (n,).
    corner_lon, corner_lat:
        Corners in degrees, counter-clockwise seen from outside, float64 (n, k); unused corners are NaN at
        the end of a row.
    edges:
        ``great_circle``, or ``latlon`` where edges follow meridians and parallels.
    mask:
        True for cells that take part; shape (n,).
    global_size:
        Cells of the whole grid over all ranks.
    centre_lon, centre_lat:
        Points that values stand for, where they are not the middles of the corners; degrees, (n,).
    notes:
        What was changed on reading: cells masked or turned, bounds made. For provenance.
    """

    name: str
    cell_ids: NDArray[np.int64]
    corner_lon: NDArray[np.float64]
    corner_lat: NDArray[np.float64]
    edges: Edges
    mask: NDArray[np.bool_]
    global_size: int
    centre_lon: NDArray[np.float64] | None = None
    centre_lat: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return int(self.cell_ids.size)

    def take(self, index: NDArray[np.int64]) -> Mesh:
        """The mesh of some of the owned cells, by local index."""
        return Mesh(
            self.name,
            self.cell_ids[index],
            self.corner_lon[index],
            self.corner_lat[index],
            self.edges,
            self.mask[index],
            self.global_size,
            None if self.centre_lon is None else self.centre_lon[index],
            None if self.centre_lat is None else self.centre_lat[index],
            self.notes,
        )

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude (0 to 360) and latitude (degrees) of each cell's point: as given, else the mean of its corners.

        NaN for a cell that has neither: one that is masked.
        """
        if self.centre_lon is not None and self.centre_lat is not None:
            return np.mod(self.centre_lon, 360.0), self.centre_lat
        if self.size == 0:
            return np.zeros(0), np.zeros(0)
        middle = np.nansum(unit_vectors(self.corner_lon, self.corner_lat), axis=1)
        middle[np.isnan(self.corner_lat[:, 0])] = np.nan
        return lon_lat(middle)


def lon_difference(lon: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """``lon - origin`` as the shorter way round, -180 to 180 degrees; small differences keep all their digits."""
    difference = lon - origin
    return np.asarray(difference - 360.0 * np.round(difference / 360.0))


def next_corners(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of the corner that follows each corner (n, k), NaN where a corner is unused."""
    used = ~np.isnan(mesh.corner_lat)
    if used.all():
        return np.roll(mesh.corner_lon, -1, axis=1), np.roll(mesh.corner_lat, -1, axis=1)
    columns = np.arange(mesh.corner_lat.shape[1])
    following = np.where(columns + 1 < used.sum(axis=1)[:, None], columns + 1, 0)
    lon = np.take_along_axis(mesh.corner_lon, following, axis=1)
    lat = np.take_along_axis(mesh.corner_lat, following, axis=1)
    return np.where(used, lon, np.nan), np.where(used, lat, np.nan)


def at_pole(lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(lat) >= 90.0 - POINT_TOLERANCE)


def unit_vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Degrees to points of the unit sphere; adds an axis of 3 at the end."""
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def lon_lat(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude (0 to 360) and latitude in degrees of points in space (..., 3), of any length but 0."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.rad2deg(np.arctan2(y, x)) % 360.0, np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def latlon_edges(mesh: Mesh) -> NDArray[np.bool_]:
    """Which edges are parts of a meridian or a parallel, (n, k); True where a corner is unused.

    A meridian has equal longitudes or one end at a pole, a parallel equal latitudes (``POINT_TOLERANCE``).
    """
    lon, lat = next_corners(mesh)
    meridian = np.abs(lon_difference(lon, mesh.corner_lon)) <= POINT_TOLERANCE
    meridian |= at_pole(lat) ^ at_pole(mesh.corner_lat)
    parallel = np.abs(lat - mesh.corner_lat) <= POINT_TOLERANCE
    return np.asarray(meridian | parallel | np.isnan(lat))


def merge_corners(mesh: Mesh) -> Mesh:
    """Drop corners that repeat the one after them: padding of files, and the two corners of a cell at a pole.

    Corners at a pole are one point whatever their longitudes, so a polar cell of a latitude-longitude grid
    becomes a triangle. A cell that is a point keeps no corners.
    """
    lon, lat = next_corners(mesh)
    same = np.abs(lat - mesh.corner_lat) <= POINT_TOLERANCE
    same &= (np.abs(lon_difference(lon, mesh.corner_lon)) <= POINT_TOLERANCE) | at_pole(lat)
    if not same.any():
        return mesh
    drop = same | np.isnan(lat)
    order = np.argsort(drop, axis=1, kind="stable")
    drop = np.take_along_axis(drop, order, axis=1)
    return replace(
        mesh,
        corner_lon=np.where(drop, np.nan, np.take_along_axis(mesh.corner_lon, order, axis=1)),
        corner_lat=np.where(drop, np.nan, np.take_along_axis(mesh.corner_lat, order, axis=1)),
    )


def validate(mesh: Mesh, comm: Any = None) -> None:
    """Refuse a mesh that a regridding library would abort on, or take for another one. Collective.

    Raises
    ------
    GridError
        On every rank, naming the first rank with the fault: shapes and types, ids outside of the grid or owned
        twice, coordinates that are missing, out of range or in radians, and of cells that take part: fewer than 3
        distinct corners, clockwise order, edges that are not what ``edges`` says, and centres far from the cell.
        Masked cells may have any shape, or no corners. Radians are recognised where all of a grid lies within
        2 pi of longitude and pi / 2 of latitude, and either spans the globe so, or has cells of less than 500 m.
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
    """Run local checks; the first error of any rank is raised on all."""
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
    """Raise, naming the first cell that is bad (n,)."""
    if np.any(bad):
        cell = int(np.argmax(bad))
        corners = list(zip(mesh.corner_lon[cell].tolist(), mesh.corner_lat[cell].tolist(), strict=True))
        facts.setdefault("found", f"{int(np.sum(bad))} cells, first the corners (lon, lat) {corners}")
        raise GridError(what, where=f"{mesh.name}, cell {mesh.cell_ids[cell]}", **facts)


def check_radians(mesh: Mesh, comm: Any = None) -> None:
    """Refuse a whole grid whose corners are radians by all appearance (:func:`validate`). Collective."""
    extents = [_extent(mesh)] if comm is None else comm.allgather(_extent(mesh))
    lon, north, south, width = (max(values) for values in zip(*extents, strict=True))
    quarter = np.pi / 2 + 1e-3
    spans_globe = lon > 3.0 and min(north, south) > 1.5
    if max(lon / 4, north, south) < quarter and (spans_globe or 0.0 < width < _SMALLEST_CELL):
        raise GridError(
            "the corners of a grid look like radians",
            expected="degrees",
            found=f"longitudes up to {lon:.6g}, latitudes from {-south:.6g} to {north:.6g}",
            where=mesh.name,
            remedy="convert to degrees, or tell that they are radians",
        )


def _extent(mesh: Mesh) -> tuple[float, float, float, float]:
    """Farthest longitude from 0, farthest latitudes north and south, and the widest cell that takes part."""
    used = ~np.isnan(mesh.corner_lat)
    if not used.any():
        return 0.0, -np.inf, -np.inf, 0.0
    lat, taken = mesh.corner_lat[used], mesh.corner_lat[mesh.mask]
    width = float(np.max(np.nanmax(taken, axis=1) - np.nanmin(taken, axis=1))) if len(taken) else 0.0
    return float(np.abs(mesh.corner_lon[used]).max()), float(lat.max()), float(-lat.min()), width


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


def _evident_boxes(mesh: Mesh) -> NDArray[np.bool_]:
    """Cells that are sound at a glance, (n,): boxes listed from a corner in the south-west, neither slim nor tiny.

    Only some of all boxes: the others, and all of a mesh with centres, are worth a closer look.
    """
    if mesh.edges != "latlon" or mesh.corner_lon.shape[1] != 4 or mesh.centre_lon is not None:
        return np.zeros(mesh.size, bool)
    (west, east, far_east, far_west), (south, far_south, north, far_north) = mesh.corner_lon.T, mesh.corner_lat.T
    width, height = east - west, north - south
    # of the wider of the two parallels
    distance = width * np.cos(np.deg2rad(np.minimum(np.abs(south), np.abs(north))))
    least = np.maximum(1e-5, 1e-5 * np.maximum(distance, height))
    sides = (east == far_east) & (west == far_west) & (south == far_south) & (north == far_north)
    return np.asarray(sides & (np.minimum(distance, height) > least) & (width < 90.0) & (height < 90.0))


def centres_off(mesh: Mesh) -> NDArray[np.bool_]:
    """Cells whose given centre is more than twice their radius away from the middle of the corners, (n,).

    Cells without corners, and those of a mesh without centres, are not off.
    """
    lon, lat = mesh.centre_lon, mesh.centre_lat
    if lon is None or lat is None:
        return np.zeros(mesh.size, bool)
    corners = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    count = (~np.isnan(mesh.corner_lat)).sum(axis=1)
    middle = np.nansum(corners, axis=1) / np.maximum(count, 1)[:, None]
    radius2 = np.max(np.nan_to_num(((corners - middle[:, None]) ** 2).sum(axis=2)), axis=1)
    with np.errstate(invalid="ignore"):
        distance2 = ((unit_vectors(lon, lat) - middle) ** 2).sum(axis=1)
    return np.asarray((count > 0) & ~((distance2 <= 4 * radius2) & (np.abs(lat) <= 90.0)))


def flatness(mesh: Mesh) -> NDArray[np.float64]:
    """Signed area of each cell, projected on the plane at its centre, over its squared extent, (n,).

    Counter-clockwise cells are positive. Cells without area are 0 but for rounding (``FLAT``); those without corners,
    or narrower than points are told apart (``POINT_TOLERANCE``), are 0.
    """
    if mesh.size > _PIECE:  # in pieces that fit the cache: less memory, and twice as fast
        pieces = [np.arange(begin, min(begin + _PIECE, mesh.size)) for begin in range(0, mesh.size, _PIECE)]
        return np.concatenate([flatness(mesh.take(piece)) for piece in pieces])
    points = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    following = unit_vectors(*next_corners(mesh))
    count = np.maximum((~np.isnan(mesh.corner_lat)).sum(axis=1), 1)[:, None]
    centre = np.nansum(points, axis=1) / count
    # from the centre, or small cells would be lost in rounding
    points, following = points - centre[:, None], following - centre[:, None]
    doubled = np.einsum("ij,ij->i", np.nansum(np.cross(points, following), axis=1), centre)
    extent = np.max(np.nan_to_num((points**2).sum(axis=2)), axis=1)
    flat = doubled / np.where(extent > 0, extent, 1.0)
    return np.asarray(np.where(np.abs(flat) * np.sqrt(extent) > np.deg2rad(POINT_TOLERANCE), flat, 0.0))
