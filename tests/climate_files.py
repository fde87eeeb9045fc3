"""Small files of monthly climate as ERA5 and CMIP write them, made without the code under test."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import cftime
import numpy as np
import xarray as xr

Values = Mapping[str, tuple[np.ndarray, str]]
#: ERA5 numbers hours of the standard calendar, CMIP days of the model's calendar.
ERA5_TIME = {"units": "hours since 1900-01-01 00:00:00.0", "calendar": "gregorian"}


def months_from(year: int, count: int, month: int = 1) -> list[tuple[int, int]]:
    return [((12 * year + month - 1 + i) // 12, (month - 1 + i) % 12 + 1) for i in range(count)]


def cmip(
    path: Path,
    values: Values,
    months: Sequence[tuple[int, int]],
    lat: np.ndarray,
    lon: np.ndarray,
    calendar: str = "noleap",
) -> Path:
    """A file or store (``.zarr``) of a table of CMIP: name -> values (time, lat, lon), units. Times are the middles of
    their bounds."""
    units = f"days since {months[0][0] - 15}-01-01"
    dates = [cftime.datetime(y, m, 1, calendar=calendar) for y, m in [*months, next_month(*months[-1])]]
    edges = cftime.date2num(dates, units, calendar=calendar).astype(np.float64)
    centres = (edges[1:] + edges[:-1]) / 2
    attributes = {"units": units, "calendar": calendar, "standard_name": "time", "axis": "T"}
    if all(one == next_month(*before) for before, one in itertools.pairwise(months)):
        attributes["bounds"] = "time_bnds"
    else:  # months are left out, so the middles of the edges say nothing
        dates = [cftime.datetime(y, m, 15, calendar=calendar) for y, m in months]
        centres = cftime.date2num(dates, units, calendar=calendar).astype(np.float64)
    dataset = xr.Dataset(coords={"time": ("time", centres, attributes)})
    if "bounds" in attributes:
        dataset["time_bnds"] = (("time", "bnds"), np.stack([edges[:-1], edges[1:]], axis=1))
    dataset = dataset.assign_coords(
        lat=("lat", lat, {"units": "degrees_north", "standard_name": "latitude"}),
        lon=("lon", lon, {"units": "degrees_east", "standard_name": "longitude"}),
        height=((), 2.0, {"units": "m"}),
    )
    for name, (array, unit) in values.items():
        dataset[name] = (
            ("time", "lat", "lon"),
            array.astype(np.float32),
            {"units": unit, "cell_methods": "time: mean"},
        )
    return _write(path, dataset)


def era5(path: Path, values: Values, months: Sequence[tuple[int, int]], lat: np.ndarray, lon: np.ndarray) -> Path:
    """A file or store of monthly means of ERA5: the first hour of each month, rows from north to south."""
    dates = [cftime.datetime(y, m, 1, calendar="standard") for y, m in months]
    hours = cftime.date2num(dates, **ERA5_TIME)
    dataset = xr.Dataset(
        coords={
            "valid_time": ("valid_time", np.asarray(hours, np.int64), ERA5_TIME),
            "latitude": ("latitude", lat, {"units": "degrees_north"}),
            "longitude": ("longitude", lon, {"units": "degrees_east"}),
        }
    )
    for name, (array, unit) in values.items():
        dataset[name] = (("valid_time", "latitude", "longitude"), array.astype(np.float32), {"units": unit})
    return _write(path, dataset)


def next_month(year: int, month: int) -> tuple[int, int]:
    return year + month // 12, month % 12 + 1


def _write(path: Path, dataset: xr.Dataset) -> Path:
    plain = {name: {"_FillValue": np.float32(1e20)} for name in dataset.data_vars if dataset[name].dtype == np.float32}
    if path.suffix == ".zarr":
        dataset.to_zarr(path, consolidated=False, encoding=plain)
    else:
        dataset.to_netcdf(path, encoding=plain)
    return path
