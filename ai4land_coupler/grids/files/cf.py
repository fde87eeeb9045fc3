"""CF conventions (cfconventions.org, chapters 5 and 7): grids with latitudes, longitudes and their bounds."""

from __future__ import annotations

import numpy as np

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.cf_coordinates import Kind
from ai4land_coupler.files.grid_mapping import GEOGRAPHIC, read_grid_mapping
from ai4land_coupler.grids.files.axes import bounds_name, read_axis, single_turn
from ai4land_coupler.grids.files.curvilinear import cell_dimensions, read_cells
from ai4land_coupler.grids.files.rotated import read_rotated_pole, refuse_contradiction, rotated_axes
from ai4land_coupler.grids.files.variables import NAME_A_VARIABLE, GridFile
from ai4land_coupler.grids.latlon import box_corners
from ai4land_coupler.grids.polygons import Polygons

#: Names that are meant as coordinates even if their units are none: reading them then says so.
_NAMES: dict[str, Kind] = {
    **dict.fromkeys(("lat", "latitude", "nav_lat"), "latitude"),
    **dict.fromkeys(("lon", "longitude", "nav_lon"), "longitude"),
}


def read_cf(file: GridFile) -> Polygons | None:
    """The cells of a CF file, or ``None`` if it has no latitudes and longitudes.

    Raises
    ------
    DataError
        The file has several grids and no data variable is named, or bounds are missing and cannot be computed, or 2-D
        coordinates contradict the rotated pole of the file.
    """
    rotated = rotated_axes(file)
    pairs = coordinate_pairs(file)
    if rotated:
        for pair in pairs:
            refuse_contradiction(file, rotated, *pair)
        if not any(has_bounds(file, pair) for pair in pairs):
            return read_rotated_pole(file, rotated)
    if not pairs:
        return None
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if has_bounds(file, pair)] or pairs
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


def refuse_projected(file: GridFile, lat: str, lon: str) -> None:
    """Refuse axes that are latitudes and longitudes by their attributes, but not by the grid mapping of the data.

    Raises
    ------
    DataError
        The data have the grid mapping of a rotated pole or of a map projection.
    GridError
        Longitudes do not count from Greenwich.
    """
    axes = {dim for name in (lat, lon) for dim in file.variables[name].dimensions}
    names = [file.variable] if file.variable is not None else list(file.variables)
    for name in names:
        if name is None or not axes <= set(file.variables[name].dimensions):
            continue
        mapping = read_grid_mapping(file.dataset, name, file.path)
        if mapping is not None and mapping.kind != GEOGRAPHIC:
            raise DataError(
                "coordinates contradict each other",
                expected=f"the grid mapping of {name} to be {GEOGRAPHIC}, as its axes {lat} and {lon} are",
                found=mapping.kind,
                where=f"{file.path}: {name}",
                remedy="give rotated axes the standard names grid_latitude and grid_longitude, or correct grid_mapping",
            )


def coordinate_pairs(file: GridFile) -> list[tuple[str, str]]:
    """Pairs of latitudes and longitudes: with the same dimensions, or two coordinate variables (n,) and (m,).

    If a data variable is named: the pairs of its dimensions and of its attribute ``coordinates``; without those, the
    pairs over its dimensions.
    """
    if file.variable is None:
        return _pairs_of(file, list(file.variables))
    dimensions = file.known(file.variable).dimensions
    own = file.attribute(file.variable, "coordinates").split()
    named = [name for name in dict.fromkeys([*dimensions, *own]) if name in file.variables]
    over = [name for name in file.variables if set(cell_dimensions(file, name)) <= set(dimensions)]
    return _pairs_of(file, named) or _pairs_of(file, [name for name in over if name != file.variable])


def _pairs_of(file: GridFile, names: list[str]) -> list[tuple[str, str]]:
    bounds = {bounds_name(file, name) for name in names}
    names = [name for name in names if name not in bounds]
    kinds = {
        name: file.kind(name) or (None if file.attribute(name, "standard_name") else _NAMES.get(name)) for name in names
    }
    latitudes, longitudes = ([name for name in names if kinds[name] == kind] for kind in ("latitude", "longitude"))
    pairs = [(lat, lon) for lat in latitudes for lon in longitudes if _belong(file, lat, lon)]
    told = [pair for pair in pairs if all(file.kind(name, by_name=False) for name in pair)]
    return told or pairs


def _belong(file: GridFile, lat: str, lon: str) -> bool:
    dims_lat, dims_lon = cell_dimensions(file, lat), cell_dimensions(file, lon)
    if dims_lat == dims_lon:
        return len(dims_lat) in (1, 2)
    return (dims_lat, dims_lon) == ((lat,), (lon,)) or (len(dims_lat) == len(dims_lon) == 1)


def has_bounds(file: GridFile, pair: tuple[str, str]) -> bool:
    return all(bounds_name(file, name) is not None for name in pair)


def _rectilinear(file: GridFile, lat: str, lon: str) -> Polygons:
    """Cells between parallels and meridians. Longitude is fastest, unless the data variable has latitude last."""
    refuse_projected(file, lat, lon)
    rows = read_axis(file, lat, latitude=True)
    cols = read_axis(file, lon, latitude=False, doubt_bounds=rows.misplaced)
    shape, swap = (rows.values.size, cols.values.size), False
    if file.variable is not None:
        dims = file.variables[file.variable].dimensions
        order = [file.variables[name].dimensions[0] for name in (lat, lon)]
        swap = dims.index(order[1]) < dims.index(order[0]) if set(order) <= set(dims) else False
    row, col = (index.ravel() for index in np.indices(shape))
    dimensions = (file.variables[lat].dimensions[0], file.variables[lon].dimensions[0])
    if swap:
        shape, dimensions = (shape[1], shape[0]), (dimensions[1], dimensions[0])
        col, row = (index.ravel() for index in np.indices(shape))
    corner_lon, corner_lat = box_corners(cols.low[col], cols.high[col], rows.low[row], rows.high[row])
    notes = tuple(axis.note for axis in (rows, cols) if axis.note)
    return Polygons(
        corner_lon,
        corner_lat,
        file.taken(shape, dimensions=dimensions),
        cols.values[col],
        rows.values[row],
        file.cell_measure(shape),
        notes,
        disjoint=single_turn(cols),
    )
