"""Reads windows of land-cover codes from netCDF files, which hold many years.

The published files hold ``LULC_states`` (time, latitude, longitude), with coordinates in single precision. Their time
is in years without units, or is an index from 1899 on (index = year - 1899 in ``hildaplus_vGLOB-1.0-f_states.nc``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    DataError,
    InputFile,
    MapAxes,
    TimeError,
    attributes_of,
    decode_codes,
    open_netcdf,
    read_axes,
    read_stored,
    read_values,
    read_years,
    time_dimension,
)
from ai4land_hilda.codes import to_codes

#: Year of index 0 of the published files.
FIRST_YEAR = 1899


def is_netcdf(file: InputFile) -> bool:
    """Whether the name of a file ends like that of a netCDF file."""
    return file.stem.lower().endswith((".nc", ".nc4", ".netcdf"))


@contextmanager
def open_states(file: InputFile, name: str) -> Iterator[tuple[Any, MapAxes]]:
    """Open the variable of the states (a netCDF4.Variable), with its axes.

    Raises
    ------
    DataError
        The file is missing, unreadable or has no variable of this name.
    GridError
        Its coordinates are not a regular grid.
    """
    with open_netcdf(file.path, file.name) as dataset:
        if name not in dataset.variables:
            raise DataError(
                "a file holds no land-cover states in the layout of HILDA+",
                expected=name,
                found=", ".join(dataset.variables),
                where=file.name,
                remedy="choose the file whose name ends in _states.nc; for another layout name its `variable`",
            )
        yield dataset[name], read_axes(dataset, name, f"{file.name}, variable {name!r}")


def years_of(file: InputFile, name: str) -> tuple[int, ...]:
    """Year of each step of a file. Returns () if the file has no time axis.

    Raises
    ------
    TimeError
        The time axis holds no years, or holds a year twice.
    """
    where = f"{file.name}, variable 'time'"
    with open_states(file, name) as (variable, axes):
        dim = time_dimension(variable.group(), variable.dimensions)
        sizes = dict(zip(variable.dimensions, variable.shape, strict=True))
        extra = [d for d, size in sizes.items() if d not in (*axes.dims, dim) and size > 1]
        if extra:
            raise DataError("the land-cover states have a dimension too many", found=", ".join(extra), where=file.name)
        if dim is None:
            return ()
        time = variable.group().variables.get(dim)
        steps = None if time is None else read_values(time, slice(None))
        if steps is not None and not hasattr(time, "units") and np.array_equal(steps, np.arange(steps.size)):
            return tuple(range(FIRST_YEAR, FIRST_YEAR + steps.size))
        years = tuple(int(y) for y in read_years(variable.group(), dim, where))
    if len(set(years)) != len(years):
        raise TimeError("a year is twice in the land-cover states", found=sorted(years), where=where)
    return years


def read_codes(
    variable: Any, axes: MapAxes, step: int | None, no_data: int, where: object, rows: slice, cols: slice
) -> NDArray[np.int32 | np.uint8]:
    """Read the class codes (rows, columns) of a window of a step; ``no_data`` where the file has none."""
    time = time_dimension(variable.group(), variable.dimensions)
    attributes = attributes_of(variable)
    stored = axes.block(variable, step, time, rows, cols, read_stored)
    codes = decode_codes(stored, attributes, where)
    return to_codes(np.ma.getdata(codes), np.ma.getmaskarray(codes), no_data, where)


@contextmanager
def open_year(
    file: InputFile, name: str, years: tuple[int, ...], year: int, no_data: int, where: object
) -> Iterator[Any]:
    """Give a function that reads a window (rows, columns) of the map of a year."""
    with open_states(file, name) as (variable, axes):
        step = years.index(year) if year in years else 0
        yield partial(read_codes, variable, axes, step, no_data, where)
