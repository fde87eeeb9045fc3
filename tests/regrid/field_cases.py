"""Files on the source grid of :mod:`weight_cases`, for the tests of regridding of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from weight_cases import SOURCE

SHAPE = (SOURCE.nlat, SOURCE.nlon)
LAT, LON = SOURCE.lat, SOURCE.lon


def write(path: Path, dims: dict[str, int], kind: str = "NETCDF4", **variables: Any) -> Path:
    """A netCDF file of variables (dims, values, attributes); values are stored exactly as they are given."""
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.set_fill_off()
        for name, length in dims.items():
            file.createDimension(name, length)
        for name, (axes, values, attrs) in variables.items():
            values, attrs = np.asarray(values), dict(attrs)
            made = file.createVariable(name, values.dtype, axes, fill_value=attrs.pop("_FillValue", False))
            made.set_auto_maskandscale(False)
            made.setncatts(attrs)
            made[:] = values
    return path


def read(path: Path, name: str) -> np.ndarray:
    """Values in float64, NaN where missing."""
    with netCDF4.Dataset(path) as file:
        return np.ma.filled(file[name][:].astype(np.float64), np.nan)


def north(units: str = "degrees_north") -> dict[str, str]:
    return {"units": units, "standard_name": "latitude"}


def east(units: str = "degrees_east") -> dict[str, str]:
    return {"units": units, "standard_name": "longitude"}
