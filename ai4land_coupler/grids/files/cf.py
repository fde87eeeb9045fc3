"""CF conventions (cfconventions.org, chapters 5 and 7): grids with latitudes, longitudes and their bounds."""

from __future__ import annotations

import numpy as np

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.axes import bounds_name, read_axis, single_turn
from ai4land_coupler.grids.files.connectivity import is_latitude, is_longitude
from ai4land_coupler.grids.files.curvilinear import cell_dimensions, read_cells
from ai4land_coupler.grids.files.rotated import read_rotated_pole, refuse_contradiction, rotated_axes
from ai4land_coupler.grids.files.variables import NAME_A_VARIABLE, GridFile
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.polygons import Polygons

_single_turn, _rotated_axes = single_turn, rotated_axes

#: Names of coordinates without a standard name and without specific units, as in files of NEMO.
_LATITUDES, _LONGITUDES = ("lat", "latitude", "nav_lat"), ("lon", "longitude", "nav_lon")


def read_cf(file: GridFile) -> Polygons | None:
    """The cells of a CF file, or ``None`` if it has no latitudes and longitudes.

    Raises
    ------
    DataError
        The file has several grids and no data variable is named, or bounds are missing and cannot be computed, or 2-D
        coordinates contradict the rotated pole of the file.
    """
    rotated = rotated_axes(file)
    pairs = _pairs(file)
    if rotated:
        for pair in pairs:
            refuse_contradiction(file, rotated, *pair)
        if not any(_has_bounds(file, pair) for pair in pairs):
            return read_rotated_pole(file, rotated)
    if not pairs:
        return None
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if _has_bounds(file, pair)] or pairs
    if len(pairs) > 1:
        raise DataError(
            "a file holds several grids",
            found=", ".join(f"{lat} and {lon}" for lat, lon in pairs),
            where=file.path,
            remedy=f"name a data variable, whose grid is taken: {NAME_A_VARIABLE}",
        )
    lat, lon = pairs[0]
    if cell_dimensions(file, lat) == cell_dimensions(file, lon):
        return read_cells(file, lat, lon)
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
    dims_lat, dims_lon = cell_dimensions(file, lat), cell_dimensions(file, lon)
    if dims_lat == dims_lon:
        return len(dims_lat) in (1, 2)
    return (dims_lat, dims_lon) == ((lat,), (lon,)) or (len(dims_lat) == len(dims_lon) == 1)


def _has_bounds(file: GridFile, pair: tuple[str, str]) -> bool:
    return all(bounds_name(file, name) is not None for name in pair)


def _rectilinear(file: GridFile, lat: str, lon: str) -> Polygons:
    """Cells between parallels and meridians. Longitude is fastest, unless the data variable has latitude last."""
    rows = read_axis(file, lat, latitude=True)
    cols = read_axis(file, lon, latitude=False, doubt_bounds=rows.misplaced)
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
        disjoint=single_turn(cols),
    )
