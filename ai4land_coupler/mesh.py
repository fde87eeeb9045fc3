"""Polygonal grids of host models, as the part that one rank owns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.collective import agree, repeated_id
from ai4land_coupler.errors import GridError

Edges = Literal["great_circle", "latlon"]

#: Corners closer than this are one point, and an edge this straight is a meridian or parallel (degrees; 6 mm,
#: the angle tolerance of YAC, 1e-9 rad).
POINT_TOLERANCE = 5e-8


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
        )

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude (0 to 360) and latitude (degrees) of each cell's point: as given, else the mean of its corners."""
        if self.centre_lon is not None and self.centre_lat is not None:
            return np.mod(self.centre_lon, 360.0), self.centre_lat
        if self.size == 0:
            return np.zeros(0), np.zeros(0)
        x, y, z = np.moveaxis(np.nansum(unit_vectors(self.corner_lon, self.corner_lat), axis=1), -1, 0)
        return np.rad2deg(np.arctan2(y, x)) % 360.0, np.rad2deg(np.arctan2(z, np.hypot(x, y)))

    @property
    def hash(self) -> str:
        """Digest of the owned cells (of the whole grid, on one rank)."""
        digest = hashlib.sha256()
        for array in (self.cell_ids, self.corner_lon, self.corner_lat, self.mask):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(self.edges.encode())
        return digest.hexdigest()[:16]


def lon_difference(lon: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """``lon - origin`` as the shorter way round, -180 to 180 degrees; small differences keep all their digits."""
    difference = lon - origin
    return np.asarray(difference - 360.0 * np.round(difference / 360.0))


def next_corners(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of the corner that follows each corner (n, k), NaN where a corner is unused."""
    used = ~np.isnan(mesh.corner_lat)
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
        twice, coordinates that are missing, out of range or in radians, fewer than 3 distinct corners, clockwise
        cells, and edges that are not what ``edges`` says. Radians are recognised only where a grid spans the
        globe: those of a region are valid degrees elsewhere.
    """
    error: GridError | None = None
    extent = (0.0, -np.inf, -np.inf)
    try:
        _check_arrays(mesh)
        _check_coordinates(mesh)
        _check_polygons(mesh)
        if mesh.size:
            lat = mesh.corner_lat
            extent = (float(np.nanmax(np.abs(mesh.corner_lon))), float(np.nanmax(lat)), float(np.nanmax(-lat)))
    except GridError as caught:
        error = caught
    agree(error, comm)

    sizes, extents = [mesh.global_size], [extent]
    if comm is not None:
        sizes, extents = comm.allgather(mesh.global_size), comm.allgather(extent)
    if len(set(sizes)) > 1:
        raise GridError("ranks disagree on the size of a grid", found=sorted(set(sizes)), where=mesh.name)
    lon, north, south = (max(values) for values in zip(*extents, strict=True))
    quarter = np.pi / 2 + 1e-3
    if 3.0 < lon < 4 * quarter and 1.5 < north < quarter and 1.5 < south < quarter:
        raise GridError(
            "the corners of a grid look like radians",
            expected="degrees",
            found=f"longitudes up to {lon:.6g}, latitudes from {-south:.6g} to {north:.6g}",
            where=mesh.name,
            remedy="convert with numpy.rad2deg",
        )
    again = repeated_id(mesh.cell_ids, comm)
    if again is not None:
        raise GridError(
            "a cell has more than one owner",
            expected="each global id once over all ranks",
            found=f"id {again} more than once",
            where=mesh.name,
        )


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


def _check_coordinates(mesh: Mesh) -> None:
    lon, lat = mesh.corner_lon, mesh.corner_lat
    missing = np.isnan(lat)
    gap = (missing[:, :-1] & ~missing[:, 1:]).any(axis=1)
    _refuse(
        mesh,
        gap | (missing != np.isnan(lon)).any(axis=1) | missing[:, :3].any(axis=1),
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
    merged = merge_corners(mesh)
    _refuse(
        mesh,
        np.isnan(merged.corner_lat[:, 2]),
        "a cell has fewer than 3 distinct corners",
        remedy="leave such cells out",
    )
    _refuse(
        mesh,
        _flatness(merged) <= 1e-9,
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


def _flatness(mesh: Mesh) -> NDArray[np.float64]:
    """Signed area of each cell, projected on the plane at its centre, over its squared extent, (n,).

    Counter-clockwise cells are positive; cells without area are 0 but for rounding.
    """
    points = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    following = unit_vectors(*next_corners(mesh))
    centre = np.nanmean(points, axis=1)
    # from the centre, or small cells would be lost in rounding
    points, following = points - centre[:, None], following - centre[:, None]
    doubled = np.einsum("ij,ij->i", np.nansum(np.cross(points, following), axis=1), centre)
    return np.asarray(doubled / np.nanmax((points**2).sum(axis=2), axis=1))
