"""The axes of a rectilinear grid in a CF file, read without making its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.netcdf import open_netcdf
from ai4land_coupler.grids.files import cf
from ai4land_coupler.grids.files.axes import read_axis
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
    if not path.is_file():
        return named_rectilinear(path.name)
    with open_netcdf(path, what="a grid file") as dataset:
        dataset.set_auto_maskandscale(False)
        file = GridFile(dataset, path, variable, mask)
        file.check_names()
        names = _axes(file)
        if names is None:
            return None
        lat, lon = names
        rows, cols = read_axis(file, lat, latitude=True), read_axis(file, lon, latitude=False)
        if not cf._single_turn(cols):
            return None
        grid = RectilinearGrid(
            path.stem,
            np.clip(rows.low, -90.0, 90.0) if np.abs(rows.low).max() < 90.001 else rows.low,
            np.clip(rows.high, -90.0, 90.0) if np.abs(rows.high).max() < 90.001 else rows.high,
            rows.values,
            cols.low,
            cols.high,
            cols.values,
            _mask(file, (rows.values.size, cols.values.size)),
            tuple(axis.note for axis in (rows, cols) if axis.note),
        )
    grid.check()
    return grid


def _axes(file: GridFile) -> tuple[str, str] | None:
    """Names of the latitude and longitude axes; ``None`` if the cells have to be read one by one."""
    if any(name in file.variables for name in _OTHER_LAYOUTS):
        return None
    if any(file.attribute(name, "cf_role") == "mesh_topology" for name in file.variables):
        return None
    pairs = cf._pairs(file)
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if cf._has_bounds(file, pair)] or pairs
    if len(pairs) != 1 or cf._rotated_axes(file):
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


def _mask(file: GridFile, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The user's mask, read in slices of rows."""
    if file.mask is None:
        return None
    variable: Any = file._known(file.mask)
    first = (0,) * (variable.ndim - 2)
    if variable.ndim < 2 or variable.shape[-2:] != shape or 0 in variable.shape:
        raise DataError(
            f"mask {file.mask!r} does not fit the cells",
            expected=f"the shape {shape}",
            found=variable.shape,
            where=file.path,
        )
    taken = np.empty(shape, bool)
    step = max(1, _PIECE // shape[1])
    for start in range(0, shape[0], step):
        part = slice(start, start + step)
        taken[part] = _is_set(variable, np.asarray(variable[(*first, part)]))
    return taken


def _is_set(variable: Any, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where the values of a mask are neither 0 nor missing."""
    set_ = (values != 0) & (np.abs(values) < 1e15)
    for key in ("_FillValue", "missing_value"):
        if hasattr(variable, key):
            set_ &= ~np.isin(values, np.asarray(getattr(variable, key)))
    return np.asarray(set_)
