"""Registers the adapter ``prepared``.

It reads with zarr only. It does not load netCDF, HDF5 or GDAL, because a host may link its own versions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    DataAdapter,
    DataError,
    FieldInfo,
    LatLonGrid,
    Options,
    Registry,
    Request,
    TimeError,
    gaps_of,
    get_legend,
    hookimpl,
    nearest,
    register,
)
from ai4land_prepared.chunks import ChunkedArray

if TYPE_CHECKING:
    import xarray as xr

FORMAT = 1
ATTRIBUTE = "ai4land_prepared"
_REMEDY = "look at it with `ai4land inspect --verify`; put the files back from a copy, or prepare it again"


class PreparedOptions(Options):
    """Options of ``prepared``.

    Parameters
    ----------
    store:
        A prepared store (``ai4land prepare``).
    part:
        The part of the store: ``maps`` in the section ``initial``, ``forcing`` and ``static`` in the sections of the
        same name.
    """

    store: Path
    part: Literal["maps", "forcing", "static"]


class PreparedAdapter(DataAdapter):
    """Delivers one part of a prepared store on the cells of its grid."""

    #: ``ai4land prepare`` checked the data.
    prepared = True

    def __init__(self, options: PreparedOptions) -> None:
        self._store, self._part = options.store, options.part
        content = _description(options.store)
        self._legend = get_legend(content["legend"])
        self._variables = {v["name"]: v for v in content["variables"] if v["part"] == options.part}
        grid = content["forcing" if options.part == "forcing" else "land"]
        if grid is None or not (self._variables or options.part == "forcing"):
            raise DataError(
                f"a prepared store has no {options.part}",
                where=options.store,
                remedy="prepare it from a configuration that has them",
            )
        self._grid = LatLonGrid(*grid)
        # A run plans its blocks on the grid of the original files, to have the same blocks as with these files.
        self._lattice = LatLonGrid(*content["lattice"]) if options.part == "forcing" else self._grid
        self._years = sorted({year for v in self._variables.values() for year in v["years"] or ()})
        self._arrays: dict[str, tuple[Any, ChunkedArray | None]] = {}

    def fields(self) -> dict[str, FieldInfo]:
        return {name: _info(v) for name, v in self._variables.items()}

    def grid(self) -> LatLonGrid:
        return self._lattice

    def files(self, years: Sequence[int] = ()) -> dict[str, Path]:
        """The seal of the store. It has the digests of all metadata, which name the original files."""
        seal = self._store / "maps" / "year" / "prepared.json"
        return {str(seal): seal}

    def read(self, request: Request) -> xr.Dataset:
        """Read variables over (year, lat, lon), or over (lat, lon) if they have no years. ``outside`` counts requested
        cells that the store does not cover."""
        import xarray as xr

        place = register(self._grid, request.grid, where=self._store)
        data: dict[str, Any] = {}
        for name in request.variables:
            if name not in self._variables:
                raise DataError(
                    f"variable {name!r} is missing from the {self._part} of a prepared store",
                    where=self._store,
                    remedy=f"prepare it for this run; {nearest(name, self._variables)}",
                )
            missing, dtype = (self._legend.ocean[0], np.uint8) if self._part == "maps" else (np.nan, np.float32)
            variable = self._variables[name]
            attrs = {"units": variable["units"], "long_name": variable["long_name"]}
            if self._part == "maps":
                attrs["legend"] = self._legend.name
            if variable["years"] is None:
                data[name] = (("lat", "lon"), place.gather(partial(self._window, name, ()), missing, dtype), attrs)
                continue
            maps = np.empty((len(request.years), *request.grid.shape), dtype)
            for index, year in enumerate(request.years):
                at = self._index(variable, year)
                maps[index] = place.gather(partial(self._window, name, (at,)), missing, dtype)
            data[name] = (("year", "lat", "lon"), maps, attrs)
        timed = any(len(dims) == 3 for dims, *_ in data.values())
        coords = {"lat": ("lat", request.grid.lat), "lon": ("lon", request.grid.lon)}
        if timed:
            coords["year"] = ("year", np.array(request.years))
        return xr.Dataset(
            data,
            # Without indexes, which take longer to make than a small window takes to read.
            xr.Coordinates(coords, indexes={}),
            attrs={"source": self._store.name, "quality": {"outside": place.outside}},
        )

    def _index(self, variable: dict[str, Any], year: int) -> int:
        if year not in variable["years"]:
            raise TimeError(
                f"the year {year} is not in the prepared store",
                expected=f"one of {', '.join(map(str, variable['years']))}",
                found=year,
                where=f"{self._store}, variable {variable['name']!r}",
                remedy="prepare it for the years of this run",
            )
        return self._years.index(year)

    def _window(self, name: str, at: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        """Read a window of an array. Its files must exist: Zarr reads fill values if a file is missing."""
        import zarr

        where = self._store / self._part / name
        try:
            if name not in self._arrays:
                array = zarr.open_array(where, mode="r")
                self._arrays[name] = array, None if array.shards is None else ChunkedArray(where, array)
            array, chunked = self._arrays[name]
            if chunked is not None and chunked.is_small(rows, cols):
                try:
                    return np.asarray(chunked.read(at, rows, cols))
                except FileNotFoundError as error:
                    raise _lost(error.filename, where) from None
            grid = array.shards or array.chunks
            touched = [range(s.start // n, (s.stop - 1) // n + 1) for s, n in zip((rows, cols), grid[-2:], strict=True)]
            for key in itertools.product(*touched):
                file = where.joinpath("c", *map(str, (*at, *key)))
                if not file.is_file():
                    raise _lost(file, where)
            return np.asarray(array[(*at, rows, cols)])
        except DataError:
            raise
        except Exception as error:  # Each codec raises its own errors.
            raise DataError(
                "a prepared store cannot be read",
                found=f"{type(error).__name__}: {error}",
                where=where,
                remedy=_REMEDY,
            ) from error


def _lost(file: object, where: Path) -> DataError:
    return DataError("a prepared store has lost a file", expected=file, where=where, remedy=_REMEDY)


def _info(variable: dict[str, Any]) -> FieldInfo:
    years = variable["years"]
    if years is None:
        return FieldInfo(variable["name"], variable["units"], variable["long_name"])
    return FieldInfo(variable["name"], variable["units"], variable["long_name"], (years[0], years[-1]), gaps_of(years))


def _description(store: Path) -> dict[str, Any]:
    try:
        found = json.loads(json.loads((store / "zarr.json").read_bytes())["attributes"][ATTRIBUTE])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "there is no prepared store",
            expected=f"a Zarr group with the attribute {ATTRIBUTE}",
            found="no such folder" if not store.exists() else f"{type(error).__name__}: {error}",
            where=store,
            remedy="check the path, or make the store with `ai4land prepare`",
        ) from error
    if found.get("format") != FORMAT:
        raise DataError(
            "a prepared store has a format that this version does not read",
            expected=FORMAT,
            found=found.get("format"),
            where=store,
            remedy="prepare the inputs again",
        )
    content: dict[str, Any] = found
    return content


def prepared(options: PreparedOptions) -> DataAdapter:
    """Inputs in a prepared store (``ai4land prepare``)."""
    return PreparedAdapter(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("prepared", prepared, PreparedOptions)
