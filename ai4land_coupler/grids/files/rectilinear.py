"""The axes of a rectilinear grid in a CF file, read without making its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.arrays import is_data
from ai4land_coupler.files.cf_values import decode_values
from ai4land_coupler.files.netcdf import attributes_of, open_netcdf
from ai4land_coupler.grids.files import cf
from ai4land_coupler.grids.files.axes import read_axis, single_turn
from ai4land_coupler.grids.files.rotated import rotated_axes
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.rectilinear import RectilinearGrid, named_rectilinear

#: Variables of layouts that come before CF when a file is read.
_OTHER_LAYOUTS = ("nodeCoords", "elementConn", "verticesOnCell", "grid_corner_lon", "clon_vertices")
#: Rows of a mask that are read at a time hold this number of cells.
_PIECE = 4_000_000


def read_rectilinear(path: str | Path, variable: str | None = None, mask: str | None = None) -> RectilinearGrid | None:
    """The axes of a grid, from a CF file or a name; ``None`` if it is not rectilinear with longitude fastest.

    The cells are those that :func:`ai4land_coupler.grids.read_mesh` reads, in the same order. Needs 1 byte for each
    cell if there is a mask, else only the axes.

    Raises
    ------
    DataError, GridError
        The file cannot be read, or its axes are faulty.
    """
    path = Path(path)
    if not is_data(path):
        grid = named_rectilinear(path.name)
        if grid is not None:
            refuse_variables(path, variable, mask)
        return grid
    with open_netcdf(path, what="a grid file") as dataset:
        dataset.set_auto_maskandscale(False)
        file = GridFile(dataset, path, variable, mask)
        file.check_names()
        names = _axes(file)
        if names is None:
            return None
        lat, lon = names
        cf.refuse_projected(file, lat, lon)
        rows = read_axis(file, lat, latitude=True)
        cols = read_axis(file, lon, latitude=False, doubt_bounds=rows.misplaced)
        if not single_turn(cols):
            return None
        grid = RectilinearGrid(
            path.stem,
            np.clip(rows.low, -90.0, 90.0) if np.abs(rows.low).max() < 90.001 else rows.low,
            np.clip(rows.high, -90.0, 90.0) if np.abs(rows.high).max() < 90.001 else rows.high,
            rows.values,
            cols.low,
            cols.high,
            cols.values,
            _mask(file, lat, lon),
            (*file.notes, *(axis.note for axis in (rows, cols) if axis.note)),
        )
    grid.check()
    return grid


def refuse_variables(name: Path, variable: str | None, mask: str | None) -> None:
    """Refuse a data variable or a mask of a grid that has a name and no file."""
    if variable is not None or mask is not None:
        raise DataError(
            "a grid without a file has no variables",
            expected="a grid file, or no variable and no mask",
            found=", ".join(filter(None, (variable, mask))),
            where=name,
            remedy="leave out the variable and the mask, or give a file with the grid and the mask",
        )


def _axes(file: GridFile) -> tuple[str, str] | None:
    """Names of the latitude and longitude axes; ``None`` if the cells have to be read one by one."""
    if any(name in file.variables for name in _OTHER_LAYOUTS):
        return None
    kinds = {"cf_role": "mesh_topology", "grid_mapping_name": "healpix"}
    if any(file.attribute(name, key) == kind for name in file.variables for key, kind in kinds.items()):
        return None
    pairs = cf.coordinate_pairs(file)
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if cf.has_bounds(file, pair)] or pairs
    if len(pairs) != 1 or rotated_axes(file):
        return None
    lat, lon = pairs[0]
    dims = [file.variables[name].dimensions for name in (lat, lon)]
    if dims[0] == dims[1] or any(len(own) != 1 for own in dims):
        return None
    if file.variable is not None:
        own = file.variables[file.variable].dimensions
        if dims[0][0] in own and dims[1][0] in own and own.index(dims[1][0]) < own.index(dims[0][0]):
            return None
    return lat, lon


def _mask(file: GridFile, lat: str, lon: str) -> NDArray[np.bool_] | None:
    """The user's mask (rows, columns), read in slices of rows; of other dimensions its first field."""
    if file.mask is None:
        return None
    variable: Any = file.known(file.mask)
    rows, cols = (file.variables[name].dimensions[0] for name in (lat, lon))
    shape = tuple(file.variables[name].size for name in (lat, lon))
    if not {rows, cols} <= set(variable.dimensions) or 0 in variable.shape:
        raise DataError(
            f"mask {file.mask!r} does not fit the cells",
            expected=f"the dimensions {rows} and {cols}, {shape}",
            found=f"{variable.dimensions}, {variable.shape}",
            where=file.path,
        )
    taken = np.empty(shape, bool)
    step = max(1, _PIECE // shape[1])
    for start in range(0, shape[0], step):
        part = {rows: slice(start, start + step), cols: slice(None)}
        stored = np.asarray(variable[tuple(part.get(dim, 0) for dim in variable.dimensions)])
        values = decode_values(stored, attributes_of(variable), f"{file.path}: {file.mask}")
        in_order = variable.dimensions.index(rows) < variable.dimensions.index(cols)
        taken[part[rows]] = np.nan_to_num(values if in_order else values.T, nan=0.0) != 0
    return taken
