"""Small files in the layouts that the adapters read, written without the code under test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import rasterio
from rasterio.transform import Affine

FILL = np.float32(1e20)

LAT = 60.125 - 0.25 * np.arange(6)
LON = -3.875 + 0.25 * np.arange(8)
STATES = ("primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range")


def fractions(years: int = 3, seed: int = 0, names: tuple[str, ...] = STATES) -> dict[str, np.ndarray]:
    """Random fractions (year, lat, lon) that sum to 1; the two westernmost columns are sea."""
    rng = np.random.default_rng(seed)
    parts = rng.dirichlet(np.ones(len(names)), (years, LAT.size, LON.size)).astype(np.float32)
    parts[:, :, :2] = FILL
    return {name: parts[..., i].copy() for i, name in enumerate(names)}


def write_states(
    path: Path,
    states: Mapping[str, np.ndarray],
    lat: np.ndarray = LAT,
    lon: np.ndarray = LON,
    first: float = 1165.0,
    time_units: str = "years since 850-01-01 0:0:0",
    units: Mapping[str, str] | None = None,
    fill_attribute: str | None = "_fillvalue",
) -> Path:
    """A file in the layout of LUH2 ``states.nc``."""
    steps = next(iter(states.values())).shape[0]
    with netCDF4.Dataset(path, "w") as ds:
        for name, values in (("time", first + np.arange(steps)), ("lat", lat), ("lon", lon)):
            ds.createDimension(name, len(values))
            ds.createVariable(name, "f8", (name,))[:] = values
        ds["time"].units, ds["time"].calendar = time_units, "noleap"
        for name, values in states.items():
            variable = ds.createVariable(name, "f4", ("time", "lat", "lon"), fill_value=False)
            variable.units = (units or {}).get(name, {"secma": "years", "secmb": "kg m-2"}.get(name, "1"))
            if fill_attribute is not None:
                variable.setncattr(fill_attribute, FILL)
            variable[:] = values
    return path


def write_fields(
    path: Path,
    fields: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]],
    y: np.ndarray,
    x: np.ndarray,
    dims: tuple[str, str] = ("lat", "lon"),
    pole: Mapping[str, float] | None = None,
    transpose: bool = False,
) -> Path:
    """A file of static fields: name -> values (y, x), attributes. ``pole``: attributes of a rotated pole."""
    with netCDF4.Dataset(path, "w") as ds:
        for name, values in zip(dims, (y, x), strict=True):
            ds.createDimension(name, len(values))
            ds.createVariable(name, "f8", (name,))[:] = values
        if pole is not None:
            crs = ds.createVariable("rotated_pole", "i4", ())
            crs.setncatts({"grid_mapping_name": "rotated_latitude_longitude", **pole})
        for name, (values, attributes) in fields.items():
            variable = ds.createVariable(name, "f8", dims[::-1] if transpose else dims, fill_value=False)
            variable.setncatts(dict(attributes) | ({"grid_mapping": "rotated_pole"} if pole else {}))
            variable[:] = values.T if transpose else values
    return path


def write_map(
    path: Path,
    codes: np.ndarray,
    west: float = -3.0,
    north: float = 55.0,
    steps: tuple[float, float] = (0.0099, 0.0101),
    crs: str | None = "EPSG:4326",
    nodata: float | None = None,
) -> Path:
    """A GeoTIFF of class codes (rows from north to south); ``steps`` are those of longitude and latitude."""
    transform = Affine(steps[0], 0.0, west, 0.0, -steps[1], north)
    profile = {"driver": "GTiff", "height": codes.shape[0], "width": codes.shape[1], "count": 1}
    with rasterio.open(
        path, "w", dtype=codes.dtype, crs=crs, transform=transform, nodata=nodata, **profile
    ) as destination:
        destination.write(codes, 1)
    return path
