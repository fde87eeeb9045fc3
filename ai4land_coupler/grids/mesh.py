"""Polygonal grids of host models. Each rank has the part that it owns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Edges = Literal["great_circle", "latlon"]

#: Corners closer than this are one point. An edge that deviates less than this from a meridian or a parallel is one
#: (degrees; 6 mm, the angle tolerance of YAC, 1e-9 rad).
POINT_TOLERANCE = 5e-8

#: How far beyond a pole latitudes in single precision may reach (degrees).
POLE_OVERSHOOT = 1e-5

#: How far the last corner of a closed polygon may lie from the first one (degrees): rounding of single precision.
CLOSING = 5e-5

#: Cells flatter than this have zero area (:func:`flatness`).
FLAT = 1e-9

#: Number of cells that are processed together.
_PIECE = 32768


@dataclass(frozen=True)
class Mesh:
    """The cells of a grid that this rank owns. A rank may have no cells.

    Parameters
    ----------
    name:
        Name in messages and provenance.
    cell_ids:
        Global ids of the owned cells, int64, 0-based, unique over all ranks; shape (n,).
    corner_lon, corner_lat:
        Corners in degrees, counter-clockwise seen from outside, float64 (n, k); unused corners are NaN at
        the end of each row.
    edges:
        ``great_circle``, or ``latlon`` if edges follow meridians and parallels.
    mask:
        False for masked cells; shape (n,).
    global_size:
        Number of cells of the whole grid on all ranks.
    centre_lon, centre_lat:
        Location of the values, if it is not the middle of the corners; degrees, (n,).
    notes:
        Changes made on reading (cells masked or reversed, bounds made), for provenance.
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
        """Longitude (0 to 360) and latitude (degrees) of each cell's centre: as given, else the mean of its corners.

        NaN for a masked cell without corners and without a given centre.
        """
        if self.centre_lon is not None and self.centre_lat is not None:
            return np.mod(self.centre_lon, 360.0), self.centre_lat
        if self.size == 0:
            return np.zeros(0), np.zeros(0)
        middle = np.nansum(unit_vectors(self.corner_lon, self.corner_lat), axis=1)
        middle[np.isnan(self.corner_lat[:, 0])] = np.nan
        return lon_lat(middle)


def lon_difference(lon: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """``lon - origin`` in the shorter direction, -180 to 180 degrees. Small differences keep all their digits."""
    difference = lon - origin
    return np.asarray(difference - 360.0 * np.round(difference / 360.0))


def next_corners(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of the corner after each corner (n, k). NaN for unused corners."""
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


def to_pole(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Latitudes (degrees) where those up to ``POLE_OVERSHOOT`` beyond a pole are at the pole."""
    over = (np.abs(lat) > 90.0) & (np.abs(lat) <= 90.0 + POLE_OVERSHOOT)
    return np.where(over, np.copysign(90.0, lat), lat)


def unit_vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert degrees to points of the unit sphere. Adds an axis of length 3 at the end."""
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def lon_lat(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude (0 to 360) and latitude in degrees of vectors (..., 3) of any length except 0."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.rad2deg(np.arctan2(y, x)) % 360.0, np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def latlon_edges(mesh: Mesh) -> NDArray[np.bool_]:
    """Whether each edge is part of a meridian or a parallel, (n, k). True for unused corners.

    A meridian has equal longitudes or one end at a pole. A parallel has equal latitudes (``POINT_TOLERANCE``).
    """
    lon, lat = next_corners(mesh)
    meridian = np.abs(lon_difference(lon, mesh.corner_lon)) <= POINT_TOLERANCE
    meridian |= at_pole(lat) ^ at_pole(mesh.corner_lat)
    parallel = np.abs(lat - mesh.corner_lat) <= POINT_TOLERANCE
    return np.asarray(meridian | parallel | np.isnan(lat))


def merge_corners(mesh: Mesh) -> Mesh:
    """Drop corners that repeat the next corner: padding of files, and the two corners of a cell at a pole.

    All corners at a pole are one point, for any longitude, so a polar cell of a latitude-longitude grid
    becomes a triangle. A cell whose corners are all one point keeps no corners.
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


def mend_rounding(mesh: Mesh) -> Mesh:
    """Mend rounding of single precision: latitudes just beyond a pole, and last corners that are the first ones again.

    A malformed mesh comes back as it is: :func:`ai4land_coupler.grids.checks.validate` says what is wrong with it.
    """
    lon, lat = mesh.corner_lon, mesh.corner_lat
    if lat.ndim != 2 or lon.shape != lat.shape or lat.shape[1] < 3 or len(mesh.mask) != len(lat):
        return mesh
    if (np.abs(lat) > 90.0).any():
        mesh = replace(mesh, corner_lat=to_pole(lat))
    return open_polygons(mesh)


def open_polygons(mesh: Mesh) -> Mesh:
    """Drop the last corner of all cells if it is the first one again in each of them, but for rounding.

    The tolerance is ``CLOSING`` degrees (single precision), and a thousandth of the cell. Corners that are equal
    without it are dropped by :func:`merge_corners`.
    """
    count = (~np.isnan(mesh.corner_lat)).sum(axis=1)
    cells = np.flatnonzero(mesh.mask & (count > 0))
    if cells.size == 0 or (count[cells] < 4).any():
        return mesh
    # a few cells tell at once that a mesh has no such corners
    for these in (cells[:4], cells):
        last = count[these] - 1
        points = unit_vectors(mesh.corner_lon[these], mesh.corner_lat[these])
        away = np.abs(points - points[:, :1]).max(axis=2)
        tolerance = np.minimum(np.deg2rad(CLOSING), 1e-3 * np.nanmax(away, axis=1))
        if not (away[np.arange(these.size), last] <= tolerance).all():
            return mesh
    closing = np.zeros(mesh.corner_lat.shape, bool)
    closing[cells, count[cells] - 1] = True
    lon, lat = (np.where(closing, np.nan, values) for values in (mesh.corner_lon, mesh.corner_lat))
    return replace(mesh, corner_lon=lon, corner_lat=lat)


def centres_outside(mesh: Mesh) -> NDArray[np.bool_]:
    """Convex cells whose given centre lies outside of their corners by more than a twentieth of their radius, (n,)."""
    lon, lat = mesh.centre_lon, mesh.centre_lat
    if lon is None or lat is None or mesh.size == 0:
        return np.zeros(mesh.size, bool)
    points, following = unit_vectors(mesh.corner_lon, mesh.corner_lat), unit_vectors(*next_corners(mesh))
    count = np.maximum((~np.isnan(mesh.corner_lat)).sum(axis=1), 1)
    radius = np.sqrt(
        np.nanmax(((points - np.nansum(points, axis=1)[:, None] / count[:, None, None]) ** 2).sum(2), axis=1)
    )
    normal = np.cross(points, following - points)
    with np.errstate(invalid="ignore"):
        inside = (normal * unit_vectors(lon, lat)[:, None]).sum(axis=2) / np.linalg.norm(normal, axis=2)
    return np.asarray(np.nanmin(inside, axis=1) < -0.05 * radius)


def centres_off(mesh: Mesh) -> NDArray[np.bool_]:
    """Cells whose given centre is more than twice their radius away from the middle of the corners, (n,).

    False for cells without corners, and for all cells of a mesh without centres.
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
    """Signed area of each cell on the plane at its centre, divided by its squared extent, (n,).

    Positive for counter-clockwise cells. Zero, except for rounding (``FLAT``), for cells with zero area. Exactly zero
    for cells without corners and for cells narrower than ``POINT_TOLERANCE``.
    """
    if mesh.size > _PIECE:  # pieces fit the CPU cache: less memory, twice as fast
        pieces = [np.arange(begin, min(begin + _PIECE, mesh.size)) for begin in range(0, mesh.size, _PIECE)]
        return np.concatenate([flatness(mesh.take(piece)) for piece in pieces])
    points = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    following = unit_vectors(*next_corners(mesh))
    count = np.maximum((~np.isnan(mesh.corner_lat)).sum(axis=1), 1)[:, None]
    centre = np.nansum(points, axis=1) / count
    # Coordinates are relative to the centre. Otherwise rounding errors would dominate in small cells.
    points, following = points - centre[:, None], following - centre[:, None]
    doubled = np.einsum("ij,ij->i", np.nansum(np.cross(points, following), axis=1), centre)
    extent = np.max(np.nan_to_num((points**2).sum(axis=2)), axis=1)
    flat = doubled / np.where(extent > 0, extent, 1.0)
    return np.asarray(np.where(np.abs(flat) * np.sqrt(extent) > np.deg2rad(POINT_TOLERANCE), flat, 0.0))
