"""Finds the latitudes and longitudes of the rows and columns of a variable: one-dimensional axes, or two-dimensional
coordinates that vary along one dimension each, as CLM writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError
from ai4land_coupler.files.cf_coordinates import Kind, coordinate_kind, look_like_radians, text_of, to_degrees
from ai4land_coupler.files.grid_mapping import GEOGRAPHIC, ROTATED, read_grid_mapping
from ai4land_coupler.files.netcdf import attributes_of, read_native_values

_KINDS: tuple[Kind, Kind] = ("latitude", "longitude")
#: Two-dimensional coordinates may vary by this share of a cell along the other dimension.
_ROUNDING = 1e-3


#: How to make a file on a regular grid.
REGRID = (
    "`ai4land weights FILE.nc GRID.nc -o w.nc`, where GRID.nc is any file on the grid that you want, such as land-use "
    "states; then `ai4land regrid w.nc FILE.nc NEW.nc`"
)


@dataclass(frozen=True)
class MapCoordinates:
    """Latitudes and longitudes of the centres of rows and columns, in degrees and in the order of the file.

    Parameters
    ----------
    dims:
        Names of the dimensions of rows and columns.
    lat, lon:
        float32 if the file holds float32: the type tells how exact the places are. Longitudes do not jump.
    """

    dims: tuple[str, str]
    lat: NDArray[np.floating[Any]]
    lon: NDArray[np.floating[Any]]


def read_coordinates(dataset: Any, name: str, where: object) -> MapCoordinates:
    """Read the latitudes and longitudes of a variable.

    Raises
    ------
    GridError
        Its axes are not degrees: those of a rotated pole or of a map projection, which the message names; or its grid
        is curvilinear; or the units do not fit the values.
    """
    variable = dataset[name]
    mapping = read_grid_mapping(dataset, name, where)
    if mapping is not None and mapping.kind != GEOGRAPHIC:
        raise _not_degrees(dataset, variable, where, mapping.kind)
    rows, cols = (_axis(dataset, variable.dimensions, kind, where) for kind in _KINDS)
    if rows is not None and cols is not None:
        lat, lon = _degrees(dataset, rows, "latitude", where), _degrees(dataset, cols, "longitude", where)
        found = MapCoordinates((rows, cols), lat, lon)
    else:
        found = _rectilinear(dataset, variable, where)
    lat, lon = found.lat, found.lon
    # A region of 6 by 3 degrees at the equator may be in degrees. A circle of 2 pi is not.
    width, step = float(np.ptp(lon)), float(np.ptp(lon)) / max(lon.size - 1, 1)
    circle = min(abs(width + step - 2 * np.pi), abs(width - 2 * np.pi)) < 0.05 * step
    if circle and look_like_radians(lon, lat):
        raise GridError(
            "coordinates look like radians",
            expected="degrees, as their units say",
            found=f"longitudes from {lon[0]:.4g} to {lon[-1]:.4g}, latitudes from {lat[0]:.4g} to {lat[-1]:.4g}",
            where=where,
            remedy="correct the attribute `units` of the coordinates",
        )
    return MapCoordinates(found.dims, lat, np.unwrap(lon, period=360.0).astype(lon.dtype))


def _axis(dataset: Any, dims: tuple[str, ...], kind: Kind, where: object) -> str | None:
    for dim in dims:
        coordinate = dataset.variables.get(dim)
        if coordinate is None or coordinate.ndim != 1:
            continue
        attributes = attributes_of(coordinate)
        # Nothing tells whether x and y without attributes are degrees, kilometres or numbers of cells.
        told = any(text_of(attributes, key) for key in ("units", "standard_name", "long_name"))
        if (told or dim.lower() not in ("x", "y")) and coordinate_kind(dim, attributes, where) == kind:
            return dim
    return None


def _degrees(dataset: Any, name: str, kind: Kind, where: object) -> NDArray[np.floating[Any]]:
    values = read_native_values(dataset[name], *[slice(None)] * dataset[name].ndim)
    degrees = to_degrees(values, str(getattr(dataset[name], "units", "")), kind, f"{where}, coordinate {name!r}")
    return degrees.astype(values.dtype)


def _rectilinear(dataset: Any, variable: Any, where: object) -> MapCoordinates:
    """Rows and columns from two-dimensional coordinates."""
    north, east = (_two_dimensional(dataset, variable, kind, where) for kind in _KINDS)
    if north is None or east is None or {*dataset[north].dimensions} != {*dataset[east].dimensions}:
        raise _not_degrees(dataset, variable, where, None)
    lat, lon = _degrees(dataset, north, "latitude", where), _degrees(dataset, east, "longitude", where)
    rows, cols = dataset[north].dimensions
    if dataset[east].dimensions != (rows, cols):
        lon = lon.T
    if _varies_along_second(lat):
        rows, cols, lat, lon = cols, rows, lat.T, lon.T
    if _varies_along_second(lat) or _varies_along_second(lon.T):
        raise GridError(
            "a variable lies on a curvilinear grid",
            expected="latitudes that vary along one dimension, and longitudes along the other",
            found=f"{north} and {east} over ({rows}, {cols}) that vary along both",
            where=where,
            remedy=_regrid("two-dimensional latitudes and longitudes are read"),
        )
    return MapCoordinates((rows, cols), lat[:, 0], lon[0])


def _two_dimensional(dataset: Any, variable: Any, kind: Kind, where: object) -> str | None:
    """Name of the two-dimensional coordinate over dimensions of a variable; those that it names come first."""
    named = [n for n in str(getattr(variable, "coordinates", "")).split() if n in dataset.variables]
    for name in dict.fromkeys([*named, *dataset.variables]):
        candidate = dataset[name]
        if (
            candidate.ndim == 2
            and set(candidate.dimensions) <= set(variable.dimensions)
            and coordinate_kind(name, attributes_of(candidate), where) == kind
        ):
            return str(name)
    return None


def _varies_along_second(values: NDArray[Any]) -> bool:
    """Whether values (rows, columns) differ between columns, by more than a small share of the step of rows."""
    away = np.abs((values - values[:, :1] + 180.0) % 360.0 - 180.0)
    step = np.abs(np.diff(values[:, 0])).min() if len(values) > 1 else 0.0
    rounding = np.spacing(np.abs(values).max()) if values.dtype == np.float32 else 1e-9
    return not bool(away.max() <= _ROUNDING * step + rounding)


def _not_degrees(dataset: Any, variable: Any, where: object, projection: str | None) -> GridError:
    """The error for axes that are not degrees, or that nothing tells to be degrees."""
    parts = []
    for dim, size in zip(variable.dimensions, variable.shape, strict=True):
        attributes = attributes_of(dataset[dim]) if dim in dataset.variables else {}
        told = [text for key in ("standard_name", "units") if (text := text_of(attributes, key))]
        parts.append(f"{dim!r}: {size}" + (f" ({' in '.join(told)})" if told else ""))
    axes = f"{{{', '.join(parts)}}}"
    rotated = projection == ROTATED or "grid_latitude" in axes
    hint = "rotated poles and two-dimensional latitudes and longitudes are read"
    return GridError(
        "a variable lies on no latitude-longitude grid"
        + ("" if projection is None else f": its axes are those of {projection!r}"),
        expected="dimensions with coordinates in degrees_north and degrees_east",
        found=axes,
        where=where,
        remedy=("`static` reads rotated poles; for other adapters " if rotated else "")
        + _regrid(hint)
        + ("" if projection or rotated else "; axes in degrees need units of degrees_north and degrees_east"),
    )


def _regrid(why: str) -> str:
    return f"regrid the file first ({why}): {REGRID}"
