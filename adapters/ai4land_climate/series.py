"""Reads a series with one number a year, such as the CO2 of the air, which all cells get."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ai4land_climate.options import SeriesOptions
from ai4land_coupler.api import (
    DataAdapter,
    DataError,
    FieldInfo,
    InputFile,
    Request,
    TimeError,
    find_files,
    find_positions,
    gaps_of,
    nearest,
    open_netcdf,
    read_values,
    read_years,
    time_dimension,
)

if TYPE_CHECKING:
    import xarray as xr

_TEXT = (".csv", ".txt", ".dat")


class SeriesAdapter(DataAdapter):
    """Delivers one number a year, the same in all cells."""

    def __init__(self, options: SeriesOptions) -> None:
        self._options = options
        self._file = None if options.path is None else find_files(options.path)[0]
        if self._file is None:
            self._values, self._units = dict(options.values or {}), options.units or "1"
        elif self._file.stem.lower().endswith(_TEXT):
            self._values, self._units = _read_text(self._file, options), _given_units(options, self._file)
        else:
            self._values, self._units = _read_netcdf(self._file, options)
        bad = [year for year, value in self._values.items() if not np.isfinite(value)]
        if bad:
            raise DataError(
                f"the series {options.name!r} has years without a number", found=sorted(bad), where=self._where
            )

    def fields(self) -> Mapping[str, FieldInfo]:
        years = sorted(self._values)
        span = years[0], years[-1]
        return {self._options.name: FieldInfo(self._options.name, self._units, "", span, gaps_of(years))}

    def grid(self) -> None:
        """Any grid."""
        return None

    def files(self, years: Sequence[int] = ()) -> dict[str, Path]:
        """The file, if there is one."""
        return {} if self._file is None else {self._file.name: self._file.path}

    def describe(self) -> str:
        """A text for users: the years, and the first and the last number."""
        years = sorted(self._values)
        ends = " to ".join(f"{self._values[year]:g} in {year}" for year in (years[0], years[-1]))
        return f"{self._options.name}: {len(years)} years, {ends} ({self._units})"

    def read(self, request: Request) -> xr.Dataset:
        """The numbers of the years, float32 (year, lat, lon)."""
        import xarray as xr

        lacking = [year for year in request.years if year not in self._values]
        if lacking or not request.years:
            raise TimeError(
                f"the series {self._options.name!r} lacks a year",
                expected=f"years from {min(self._values)} to {max(self._values)}",
                found=lacking or "no year",
                where=self._where,
            )
        numbers = np.array([self._values[year] for year in request.years], np.float32)
        values = np.broadcast_to(numbers[:, None, None], (numbers.size, *request.grid.shape)).copy()
        coords = {"year": list(request.years), "lat": request.grid.lat, "lon": request.grid.lon}
        arrays = {name: (("year", "lat", "lon"), values, {"units": self._units}) for name in request.variables}
        return xr.Dataset(arrays, coords, attrs={"quality": {}})

    @property
    def _where(self) -> str:
        return "option values" if self._file is None else self._file.name


def _given_units(options: SeriesOptions, file: InputFile) -> str:
    if options.units is None:
        raise DataError(
            "a text file says nothing of its units",
            expected="the option units, such as ppm",
            where=file.name,
        )
    return options.units


def _read_text(file: InputFile, options: SeriesOptions) -> dict[int, float]:
    """The years and numbers of a text file with commas."""
    try:
        lines = [line for line in file.path.read_text().splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("a series cannot be read", found=error, where=file.name) from error
    rows = [[word.strip() for word in row] for row in csv.reader(lines)]
    names = rows.pop(0) if rows and not _is_number(rows[0][0]) else []
    if options.column is not None and options.column not in names:
        raise DataError(
            "a text file has no such column",
            expected=options.column,
            found=", ".join(names) or "no line with names",
            where=file.name,
            remedy=nearest(options.column, names),
        )
    place = 1 if options.column is None else names.index(options.column)
    series: dict[int, float] = {}
    for row in rows:
        if len(row) <= place or not (_is_number(row[0]) and float(row[0]).is_integer() and _is_number(row[place])):
            raise DataError(
                "a line of a series is no year with a number",
                expected="a line such as 2015,400.1",
                found=",".join(row),
                where=file.name,
            )
        if int(float(row[0])) in series:
            raise TimeError("a series has a year twice", found=row[0], where=file.name)
        series[int(float(row[0]))] = float(row[place])
    if not series:
        raise DataError(
            "a series has no years",
            expected="a line such as 2015,399.7 for each year",
            found=", ".join(names) or "no lines",
            where=file.name,
        )
    return series


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_netcdf(file: InputFile, options: SeriesOptions) -> tuple[dict[int, float], str]:
    """The years and numbers of a netCDF variable, and its units. Twelve steps of a year are averaged."""
    name = options.column or options.name
    with open_netcdf(file.path, file.name) as dataset:
        if name not in dataset.variables:
            raise DataError(
                f"variable {name!r} is missing from the file",
                where=file.name,
                remedy=f"give its name as `column`; {nearest(name, dataset.variables)}",
            )
        variable, where = dataset[name], f"{file.name}, variable {name!r}"
        time = time_dimension(dataset, variable.dimensions)
        if time is None:
            raise TimeError("a series has no time", found=variable.dimensions, where=where)
        index: list[int | slice] = []
        for dim, size in zip(variable.dimensions, variable.shape, strict=True):
            if dim in options.select:
                index.append(find_positions(dataset, name, dim, (options.select[dim],), where)[0])
            elif dim != time and size > 1:
                raise DataError(
                    "a series has a dimension too many",
                    expected=time,
                    found=f"{dim!r} of {size}",
                    where=where,
                    remedy=f"choose one with `select: {{{dim}: ...}}`",
                )
            else:
                index.append(slice(None) if dim == time else 0)
        numbers, years = read_values(variable, *index), read_years(dataset, time, where)
        units = options.units or str(getattr(variable, "units", "")) or "1"
    series = {}
    for year in np.unique(years).tolist():
        own = numbers[years == year]
        if own.size not in (1, 12):
            raise TimeError(
                "a series has neither one nor twelve steps in a year", found=f"{own.size} in {year}", where=where
            )
        series[year] = float(own.mean())
    return series, units
