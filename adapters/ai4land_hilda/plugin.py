"""Registers the adapter ``hilda``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ai4land_coupler.api import (
    DataAdapter,
    DataError,
    FieldInfo,
    GridError,
    LatLonGrid,
    Options,
    Registry,
    Request,
    TimeError,
    get_legend,
    hookimpl,
    nearest,
    register,
)
from ai4land_hilda.geotiff import NO_DATA, open_geotiff, read_codes, read_grid
from ai4land_hilda.names import check_legend, find_files, year_of

if TYPE_CHECKING:
    import xarray as xr

_NAME = "land_cover"


class HildaOptions(Options):
    """Options of ``hilda``.

    Parameters
    ----------
    path:
        A GeoTIFF, or a name with ``{year}`` in it for one file a year.
    legend:
        Name of the legend of the codes: ``hilda-v1.0`` or ``hilda-v1.0-f``.
    year:
        The year of a single file. Wins over the year in its name, so that a map can be declared as the state
        of another year; the variable's attribute ``source_year`` keeps the name's.
    """

    path: Path
    legend: str
    year: int | None = None


class HildaAdapter:
    """Delivers maps of class codes on the grid of their files."""

    def __init__(self, options: HildaOptions) -> None:
        self._legend = get_legend(options.legend)
        self._files = find_files(options.path, options.year)
        for path in self._files.values():
            check_legend(path, options.legend)
        self._grid = read_grid(next(iter(self._files.values())))

    def fields(self) -> dict[str, FieldInfo]:
        years = min(self._files), max(self._files)
        return {_NAME: FieldInfo(_NAME, "1", f"class codes of {self._legend.title}", years)}

    def grid(self) -> LatLonGrid:
        return self._grid

    def read(self, request: Request) -> xr.Dataset:
        """``land_cover`` (year, lat, lon), uint8 native codes; 99 off the files, counted as ``outside``."""
        import xarray as xr

        for name in request.variables:
            if name != _NAME:
                raise DataError(
                    f"variable {name!r} is missing from the land-cover maps",
                    where=next(iter(self._files.values())),
                    remedy=nearest(name, [_NAME]),
                )
        if not request.years:
            raise TimeError("land cover was asked for without a year", expected=f"one of {sorted(self._files)}")
        place = register(self._grid, request.grid, where=next(iter(self._files.values())))
        maps = np.empty((len(request.years), *request.grid.shape), np.uint8)
        for index, year in enumerate(request.years):
            path = self._file(year)
            where = f"{path}, year {year}"
            with open_geotiff(path) as source:
                codes = place.gather(partial(read_codes, source, where), NO_DATA, np.int32)
            self._legend.check(codes, where=where)
            maps[index] = codes
        dataset = xr.Dataset(
            {_NAME: (("year", "lat", "lon"), maps)},
            {"year": list(request.years), "lat": request.grid.lat, "lon": request.grid.lon},
            attrs={"source": "HILDA+", "quality": {"outside": place.outside}},
        )
        names = [year_of(self._files[year]) or year for year in request.years]
        dataset[_NAME].attrs = {"units": "1", "legend": self._legend.name, "source_year": names}
        return dataset

    def _file(self, year: int) -> Path:
        if year not in self._files:
            raise TimeError(
                f"the year {year} is not in the land-cover maps",
                expected=f"one of {', '.join(map(str, self._files))} (from {min(self._files)} to {max(self._files)})",
                found=year,
                where=next(iter(self._files.values())).parent,
            )
        path = self._files[year]
        grid = read_grid(path)
        if grid != self._grid:
            raise GridError(
                "the land-cover maps of two years are on different grids",
                expected=self._grid,
                found=grid,
                where=path,
            )
        return path


def hilda(options: HildaOptions) -> DataAdapter:
    """HILDA+ maps from GeoTIFF."""
    return HildaAdapter(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("hilda", hilda, HildaOptions)
