"""Registers the adapter ``hilda``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ai4land_coupler.api import (
    ConfigError,
    DataAdapter,
    DataError,
    FieldInfo,
    GridError,
    InputFile,
    LatLonGrid,
    LegendName,
    Location,
    Options,
    Registry,
    Request,
    TimeError,
    find_difference,
    gaps_of,
    get_legend,
    hookimpl,
    nearest,
    register,
)
from ai4land_hilda import geotiff, netcdf
from ai4land_hilda.names import choose_legend, find_maps, is_many, year_in_name, year_of

if TYPE_CHECKING:
    import xarray as xr

_NAME = "land_cover"


class HildaOptions(Options):
    """Options of ``hilda``.

    Parameters
    ----------
    path:
        A GeoTIFF or netCDF file; a name with ``{year}`` or wildcards; a folder; or a URL of fsspec, which may have
        ``{year}`` or wildcards too.
    legend:
        Name of the legend of the codes: ``hilda-v1.0``, ``hilda-v1.0-f``, ``hilda-v2.0`` or ``hilda-v2.1``; or a legend
        file (.yaml) for other maps. Default: from the version in the published names.
    year:
        The year of a single map. It replaces the year in the name of the file: a map can be used as the state of
        another year. The attribute ``source_year`` of the variable keeps the year of the name.
    variable:
        Name of the maps in netCDF files.
    """

    path: Location
    legend: LegendName | None = None
    year: int | None = None
    variable: str = "LULC_states"


class HildaAdapter(DataAdapter):
    """Delivers maps of class codes on the grid of their files."""

    def __init__(self, options: HildaOptions) -> None:
        self._path, self._variable = options.path, options.variable
        found = find_maps(options.path)
        self._legend = get_legend(choose_legend(found, options.legend))
        self._steps = {file: netcdf.years_of(file, options.variable) for file in found if netcdf.is_netcdf(file)}
        self._files = self._years(found, options.year)
        self._grid = self._read_grid(next(iter(self._files.values())))

    def fields(self) -> dict[str, FieldInfo]:
        years = min(self._files), max(self._files)
        return {_NAME: FieldInfo(_NAME, "1", f"class codes of {self._legend.title}", years, gaps_of(self._files))}

    def grid(self) -> LatLonGrid:
        return self._grid

    def years(self) -> tuple[int, ...]:
        """The years of the maps, in order. There may be gaps."""
        return tuple(self._files)

    def describe(self) -> str:
        """A text for users: legend, files, years, grid and classes."""
        count = len(set(self._files.values()))
        first = next(iter(self._files.values()))
        return "\n".join(
            [
                f"land cover: {self._legend.title} (legend {self._legend.name})",
                f"files: {count}, such as {first.name}",
                f"years: {_spans(self._files)}",
                f"grid: {self._grid}",
                f"classes: {', '.join(f'{code} {name}' for code, name in self._legend.names.items())}",
                *self._unwritten(),
            ]
        )

    def _unwritten(self) -> list[str]:
        texts = [geotiff.describe_tiles(file) for file in self._files.values() if file not in self._steps]
        return [f"note: {text}" for text in texts if text]

    def files(self, years: Sequence[int] = ()) -> dict[str, Path]:
        """The files of these years, or all files if no year is given."""
        wanted = [self._files[year] for year in years if year in self._files] or self._files.values()
        return {file.name: file.path for file in wanted}

    def read(self, request: Request) -> xr.Dataset:
        """Read ``land_cover`` (year, lat, lon), uint8 native codes. Cells outside the files have no data
        (99 in HILDA+, else the last code of the legend's ``ocean``), counted as ``outside``."""
        import xarray as xr

        for name in request.variables:
            if name != _NAME:
                raise DataError(
                    f"variable {name!r} is missing from the land-cover maps",
                    where=self._path,
                    remedy=nearest(name, [_NAME]),
                )
        if not request.years:
            raise TimeError("land cover was asked for without a year", expected=f"one of {_spans(self._files)}")
        outside = register(self._grid, request.grid, where=self._path).outside
        maps = np.empty((len(request.years), *request.grid.shape), np.uint8)
        for index, year in enumerate(request.years):
            file, grid = self._file(year)
            where = f"{file.name}, year {year}"
            place = register(grid, request.grid, where=where)  # the rows of two files may run opposite ways
            with self._open(file, year, where) as read:
                codes = place.gather(read, self._legend.no_data)
            self._legend.check(codes, where=where)
            maps[index] = codes
        source = "HILDA+" if self._legend.name.startswith("hilda-") else self._legend.title
        dataset = xr.Dataset(
            {_NAME: (("year", "lat", "lon"), maps)},
            {"year": list(request.years), "lat": request.grid.lat, "lon": request.grid.lon},
            attrs={"source": source, "quality": {"outside": outside}},
        )
        dataset[_NAME].attrs = {
            "units": "1",
            "legend": self._legend.name,
            "source_year": [self._source_year(year) for year in request.years],
        }
        return dataset

    def _years(self, found: list[InputFile], year: int | None) -> dict[int, InputFile]:
        """Each year with its file, in the order of the years."""
        if year is not None:
            steps = self._steps.get(found[0], ())
            if is_many(self._path) or len(steps) > 1:
                raise ConfigError(
                    "`year` belongs to a single file with a single map, not to a name with {year}, wildcards, "
                    "a folder or a file of several years",
                    found=year,
                    where=self._path,
                )
            return {year: found[0]}
        files: dict[int, InputFile] = {}
        for file in found:
            for each in self._steps.get(file) or (year_in_name(file),):
                if each in files:
                    raise DataError(
                        f"two land-cover files hold the year {each}",
                        found=f"{files[each].stem} and {file.stem}",
                        where=self._path,
                        remedy="choose one of them by a name with {year} or wildcards",
                    )
                files[each] = file
        return dict(sorted(files.items()))

    def _source_year(self, year: int) -> int:
        file = self._files[year]
        steps = self._steps.get(file, ())
        return steps[0] if len(steps) == 1 else year if steps else year_of(file.stem) or year

    @contextmanager
    def _open(self, file: InputFile, year: int, where: str) -> Iterator[Any]:
        if file in self._steps:
            steps = self._steps[file]
            with netcdf.open_year(file, self._variable, steps, year, self._legend.no_data, where) as read:
                yield read
        else:
            with geotiff.open_geotiff(file) as source:
                yield partial(geotiff.read_codes, source, self._legend.no_data, where)

    def _file(self, year: int) -> tuple[InputFile, LatLonGrid]:
        if year not in self._files:
            raise TimeError(
                f"the year {year} is not in the land-cover maps",
                expected=f"one of {_spans(self._files)} (from {min(self._files)} to {max(self._files)})",
                found=year,
                where=self._path,
            )
        file = self._files[year]
        grid = self._read_grid(file)
        difference = find_difference(self._grid, grid)
        if difference:
            raise GridError(
                f"the land-cover maps of two years are on different grids: {difference}",
                expected=self._grid,
                found=grid,
                where=file.name,
            )
        return file, grid

    def _read_grid(self, file: InputFile) -> LatLonGrid:
        if file not in self._steps:
            return geotiff.read_grid(file)
        with netcdf.open_states(file, self._variable) as (_, axes):
            return axes.grid


def _spans(years: Iterable[int]) -> str:
    """A text with the ranges of years: ``1960-2019, 2021``."""
    stretches: list[list[int]] = []
    for year in sorted(years):
        if stretches and year == stretches[-1][1] + 1:
            stretches[-1][1] = year
        else:
            stretches.append([year, year])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in stretches)


def hilda(options: HildaOptions) -> DataAdapter:
    """HILDA+ maps from GeoTIFF or netCDF files."""
    return HildaAdapter(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("hilda", hilda, HildaOptions)
