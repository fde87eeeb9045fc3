"""Rotated poles (CF conventions, appendix F, rotated_latitude_longitude)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.axes import read_axis, single_turn
from ai4land_coupler.grids.files.curvilinear import cell_dimensions, still_degrees
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.mesh import lon_lat, unit_vectors
from ai4land_coupler.grids.polygons import Polygons

Floats = NDArray[np.float64]

#: Coordinates of one cell agree if they are closer than this share of a step, apart from the rounding of single
#: precision (unit sphere).
_AGREE, _SINGLE = 0.02, 1e-6


class Rotated(NamedTuple):
    """Names of the grid mapping, and of the latitude and longitude on the rotated grid."""

    mapping: str
    lat: str
    lon: str


def rotated_axes(file: GridFile) -> Rotated | None:
    """The grid mapping and the axes of a rotated pole; ``None`` if the file has not exactly one."""
    mappings = [
        name for name in file.variables if file.attribute(name, "grid_mapping_name") == "rotated_latitude_longitude"
    ]
    if file.variable is not None:
        own = file.attribute(file.variable, "grid_mapping") if file.variable in file.variables else ""
        mappings = [name for name in mappings if name in own.replace(":", " ").split()]
    axes = [
        [name for name in file.variables if (file.attribute(name, "standard_name") or name) in told]
        for told in (("grid_latitude", "rlat"), ("grid_longitude", "rlon"))
    ]
    if len(mappings) == 1 and len(axes[0]) == len(axes[1]) == 1:
        return Rotated(mappings[0], axes[0][0], axes[1][0])
    return None


def read_rotated_pole(file: GridFile, rotated: Rotated) -> Polygons:
    """Cells between parallels and meridians of a rotated pole. Their edges are treated as great circles.

    Raises
    ------
    DataError
        The mapping does not tell the pole, or the edges of the cells are unknown.
    """
    pole = _pole(file, rotated.mapping)
    rows = read_axis(file, rotated.lat, latitude=True)
    cols = read_axis(file, rotated.lon, latitude=False, doubt_bounds=rows.misplaced)
    shape = (rows.values.size, cols.values.size)
    dimensions = (file.variables[rotated.lat].dimensions[0], file.variables[rotated.lon].dimensions[0])
    row, col = (index.ravel() for index in np.indices(shape))
    boxes = box_corners(cols.low[col], cols.high[col], rows.low[row], rows.high[row])
    corners = true_coordinates(*boxes, *pole)
    centres = true_coordinates(cols.values[col], rows.values[row], *pole)
    notes = tuple(axis.note for axis in (rows, cols) if axis.note)
    return Polygons(
        *corners,
        file.taken(shape, dimensions=dimensions),
        *centres,
        file.cell_measure(shape),
        notes,
        disjoint=single_turn(cols),
    )


def _pole(file: GridFile, mapping: str) -> tuple[float, float, float]:
    """True longitude and latitude of the rotated pole, and the longitude of the true pole on the rotated grid."""
    required = "grid_north_pole_longitude", "grid_north_pole_latitude"
    attributes = file.variables[mapping].ncattrs()
    if not set(required) <= set(attributes):
        raise DataError(
            "a rotated pole is not told",
            expected=f"attributes {' and '.join(required)}",
            found=", ".join(attributes),
            where=f"{file.path}: {mapping}",
        )
    lon, lat = (float(getattr(file.variables[mapping], key)) for key in required)
    return lon, lat, float(getattr(file.variables[mapping], "north_pole_grid_longitude", 0.0))


def refuse_contradiction(file: GridFile, rotated: Rotated, lat: str, lon: str) -> None:
    """Refuse 2-D latitudes and longitudes that are not those of the rotated axes.

    Raises
    ------
    DataError
        A cell lies elsewhere by more than ``_AGREE`` of a step of the axes.
    """
    axes = [file.degrees(name) for name in (rotated.lat, rotated.lon)]
    given = [still_degrees(file, name) for name in (lat, lon)]
    dims = [cell_dimensions(file, name) for name in (rotated.lat, rotated.lon, lat, lon)]
    if any(values.ndim != 1 or values.size < 2 for values in axes) or dims[2] != dims[3]:
        return
    if dims[2] == (*dims[1], *dims[0]):
        given = [values.T for values in given]
    elif dims[2] != (*dims[0], *dims[1]):
        return
    true_lon, true_lat = true_coordinates(*np.meshgrid(axes[1], axes[0]), *_pole(file, rotated.mapping))
    apart = np.linalg.norm(unit_vectors(true_lon, true_lat) - unit_vectors(given[1], given[0]), axis=2)
    step = np.deg2rad(min(float(np.abs(np.diff(values)).min()) for values in axes))
    if np.nanmax(apart, initial=0.0) > _AGREE * step + _SINGLE:
        cell = np.unravel_index(np.nanargmax(apart), apart.shape)
        raise DataError(
            "coordinates contradict each other",
            expected=f"{lat} and {lon} as the rotated pole {rotated.mapping} puts {rotated.lat} and {rotated.lon}:"
            f" {true_lon[cell]:.6g} E, {true_lat[cell]:.6g} N in the cell {tuple(int(i) for i in cell)}",
            found=f"{given[1][cell]:.6g} E, {given[0][cell]:.6g} N",
            where=file.path,
            remedy="correct the pole of the grid mapping, or remove the wrong coordinates from the file",
        )


def true_coordinates(
    lon: Floats, lat: Floats, pole_lon: float, pole_lat: float, pole_grid_lon: float = 0.0
) -> tuple[Floats, Floats]:
    """Convert points of a rotated grid to true longitudes (0 to 360) and latitudes, degrees, any shape.

    Parameters
    ----------
    lon, lat:
        Longitude and latitude on the rotated grid (``grid_longitude``, ``grid_latitude``).
    pole_lon, pole_lat:
        True longitude and latitude of the rotated north pole.
    pole_grid_lon:
        Longitude of the true north pole on the rotated grid (``north_pole_grid_longitude``).
    """
    rotated = unit_vectors(lon - pole_grid_lon, lat)
    colatitude = np.deg2rad(90.0 - pole_lat)
    # The rotated prime meridian leads from the rotated pole away from the true one, so x points to colatitude + 90.
    turn = np.deg2rad(pole_lon)
    east = np.array([np.sin(turn), -np.cos(turn), 0.0])
    pole = np.array([np.sin(colatitude) * np.cos(turn), np.sin(colatitude) * np.sin(turn), np.cos(colatitude)])
    origin = np.cross(east, pole)
    return lon_lat(rotated[..., :1] * origin + rotated[..., 1:2] * east + rotated[..., 2:] * pole)
