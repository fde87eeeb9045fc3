"""CF conventions (cfconventions.org, chapters 5 and 7): grids with latitudes, longitudes and their bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.axes import Axis, bounds_name, read_axis
from ai4land_coupler.grids.files.connectivity import is_latitude, is_longitude
from ai4land_coupler.grids.files.rotated import true_coordinates
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.polygons import Polygons

Floats = NDArray[np.float64]

#: Names of coordinates without a standard name and without specific units, as in files of NEMO.
_LATITUDES, _LONGITUDES = ("lat", "latitude", "nav_lat"), ("lon", "longitude", "nav_lon")


def read_cf(file: GridFile) -> Polygons | None:
    """The cells of a CF file, or ``None`` if it has no latitudes and longitudes.

    Raises
    ------
    DataError
        The file has several grids and no data variable is named, or bounds are missing and cannot be computed.
    """
    rotated = _rotated_axes(file)
    pairs = _pairs(file)
    if rotated and not any(_has_bounds(file, pair) for pair in pairs):
        return _rotated_pole(file, *rotated)
    if not pairs:
        return None
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if _has_bounds(file, pair)] or pairs
    if len(pairs) > 1:
        raise DataError(
            "a file holds several grids",
            found=", ".join(f"{lat} and {lon}" for lat, lon in pairs),
            where=file.path,
            remedy="name a data variable, whose grid is taken: --variable NAME, or the key variable of the host",
        )
    lat, lon = pairs[0]
    if file.variables[lat].dimensions == file.variables[lon].dimensions:
        return _cells_with_bounds(file, lat, lon)
    return _rectilinear(file, lat, lon)


def _pairs(file: GridFile) -> list[tuple[str, str]]:
    """Pairs of latitudes and longitudes: with the same dimensions, or two coordinate variables (n,) and (m,)."""
    names = list(file.variables)
    if file.variable is not None:
        own = file.attribute(file.variable, "coordinates").split() if file.variable in file.variables else []
        names = [name for name in [*file.variables[file.variable].dimensions, *own] if name in file.variables]
    bounds = {bounds_name(file, name) for name in names}
    names = [name for name in names if name not in bounds]
    latitudes = [n for n in names if is_latitude(file, n) or (n in _LATITUDES and not is_longitude(file, n))]
    longitudes = [n for n in names if is_longitude(file, n) or (n in _LONGITUDES and not is_latitude(file, n))]
    return [(lat, lon) for lat in latitudes for lon in longitudes if _belong(file, lat, lon)]


def _belong(file: GridFile, lat: str, lon: str) -> bool:
    dims_lat, dims_lon = file.variables[lat].dimensions, file.variables[lon].dimensions
    if dims_lat == dims_lon:
        return len(dims_lat) in (1, 2)
    return (dims_lat, dims_lon) == ((lat,), (lon,)) or (len(dims_lat) == len(dims_lon) == 1)


def _has_bounds(file: GridFile, pair: tuple[str, str]) -> bool:
    return all(bounds_name(file, name) is not None for name in pair)


def _cells_with_bounds(file: GridFile, lat: str, lon: str) -> Polygons:
    """Curvilinear (y, x) or unstructured (n,) cells whose corners are bounds with one more dimension."""
    shape = tuple(file.variables[lat].shape)
    found = [bounds_name(file, name) for name in (lon, lat)]
    if None in found:
        raise DataError(
            "the edges of cells are unknown",
            expected=f"bounds of {lat} and {lon}: their corners, {(*shape, 'corners')}",
            found="no bounds",
            where=file.path,
            remedy="add bounds to the file (CF conventions, cell boundaries), or use the grid file of the model",
        )
    corners = []
    for name, bounds in zip((lon, lat), found, strict=True):
        values = file.degrees(str(bounds), units_of=name)
        if values.shape[:-1] != shape or values.shape[-1] < 3:
            raise DataError(
                f"{bounds} cannot be used",
                expected=f"{(*shape, 'corners')}, 3 corners or more",
                found=values.shape,
                where=file.path,
            )
        corners.append(values.reshape(-1, values.shape[-1]))
    centres = file.degrees(lon).ravel(), file.degrees(lat).ravel()
    return Polygons(corners[0], corners[1], file.taken(shape), *centres, file.cell_measure(shape))


def _rectilinear(file: GridFile, lat: str, lon: str) -> Polygons:
    """Cells between parallels and meridians. Longitude is fastest, unless the data variable has latitude last."""
    rows, cols = read_axis(file, lat, latitude=True), read_axis(file, lon, latitude=False)
    shape, swap = (rows.values.size, cols.values.size), False
    if file.variable is not None:
        dims = file.variables[file.variable].dimensions
        order = [file.variables[name].dimensions[0] for name in (lat, lon)]
        swap = dims.index(order[1]) < dims.index(order[0]) if set(order) <= set(dims) else False
    row, col = (index.ravel() for index in np.indices(shape))
    if swap:
        shape = (shape[1], shape[0])
        col, row = (index.ravel() for index in np.indices(shape))
    corner_lon, corner_lat = box_corners(cols.low[col], cols.high[col], rows.low[row], rows.high[row])
    notes = tuple(axis.note for axis in (rows, cols) if axis.note)
    return Polygons(
        corner_lon,
        corner_lat,
        file.taken(shape),
        cols.values[col],
        rows.values[row],
        file.cell_measure(shape),
        notes,
        disjoint=_single_turn(cols),
    )


def _single_turn(longitudes: Axis) -> bool:
    """Whether the cells along an axis span at most 360 degrees, so that they cannot overlap."""
    return bool(longitudes.high.max() - longitudes.low.min() <= 360.0 + 1e-6)


def _rotated_axes(file: GridFile) -> tuple[str, str, str] | None:
    """The grid mapping, latitude and longitude of a rotated pole."""
    mappings = [
        name for name in file.variables if file.attribute(name, "grid_mapping_name") == "rotated_latitude_longitude"
    ]
    if file.variable is not None:
        own = file.attribute(file.variable, "grid_mapping") if file.variable in file.variables else ""
        mappings = [name for name in mappings if name == own]
    axes = [
        [name for name in file.variables if file.attribute(name, "standard_name") == standard]
        for standard in ("grid_latitude", "grid_longitude")
    ]
    if len(mappings) == 1 and len(axes[0]) == len(axes[1]) == 1:
        return mappings[0], axes[0][0], axes[1][0]
    return None


def _rotated_pole(file: GridFile, mapping: str, lat: str, lon: str) -> Polygons:
    """Cells between parallels and meridians of a rotated pole. Their edges are treated as great circles."""
    required = "grid_north_pole_longitude", "grid_north_pole_latitude"
    attributes = file.variables[mapping].ncattrs()
    if not set(required) <= set(attributes):
        raise DataError(
            "a rotated pole is not told",
            expected=f"attributes {' and '.join(required)}",
            found=", ".join(attributes),
            where=f"{file.path}: {mapping}",
        )
    pole = [float(getattr(file.variables[mapping], key)) for key in required]
    pole.append(float(getattr(file.variables[mapping], "north_pole_grid_longitude", 0.0)))
    rows, cols = read_axis(file, lat, latitude=True), read_axis(file, lon, latitude=False)
    shape = (rows.values.size, cols.values.size)
    row, col = (index.ravel() for index in np.indices(shape))
    boxes = box_corners(cols.low[col], cols.high[col], rows.low[row], rows.high[row])
    corners = true_coordinates(*boxes, *pole)
    centres = true_coordinates(cols.values[col], rows.values[row], *pole)
    notes = tuple(axis.note for axis in (rows, cols) if axis.note)
    return Polygons(*corners, file.taken(shape), *centres, file.cell_measure(shape), notes, disjoint=_single_turn(cols))
