"""Annual land-use states in the layout of LUH2: the history (v2h) and the futures share it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ai4land_coupler.api import (
    DataError,
    FieldInfo,
    GridError,
    LatLonGrid,
    Options,
    Registration,
    Request,
    TimeError,
    factor,
    nearest,
    register,
)
from ai4land_luh2.closure import COUNTS, Checker
from ai4land_luh2.layout import Layout, read_layout
from ai4land_luh2.netcdf import open_netcdf, values

if TYPE_CHECKING:
    import xarray as xr

_CROPS = ("c3ann", "c4ann", "c3per", "c4per", "c3nfx")

#: The 12 states, fractions of the cell. Their sum is 1 - icwtr.
FRACTIONS = ("primf", "primn", "secdf", "secdn", "urban", *_CROPS, "pastr", "range")

#: Variable -> units, long name. `crop` is all five crop states together, as derived data sets give it.
#: secmb and secma are no fractions and take no part in the closure.
STATES: Mapping[str, tuple[str, str]] = {
    "primf": ("1", "forested primary land"),
    "primn": ("1", "non-forested primary land"),
    "secdf": ("1", "potentially forested secondary land"),
    "secdn": ("1", "potentially non-forested secondary land"),
    "urban": ("1", "urban land"),
    "c3ann": ("1", "C3 annual crops"),
    "c4ann": ("1", "C4 annual crops"),
    "c3per": ("1", "C3 perennial crops"),
    "c4per": ("1", "C4 perennial crops"),
    "c3nfx": ("1", "C3 nitrogen-fixing crops"),
    "pastr": ("1", "managed pasture"),
    "range": ("1", "rangeland"),
    "crop": ("1", "cropland, all crop states together"),
    "secmb": ("kg m-2", "secondary mean biomass carbon density"),
    "secma": ("year", "secondary mean age"),
}

#: Variables of the static file.
STATICS: Mapping[str, tuple[str, str]] = {
    "icwtr": ("1", "ice and water fraction"),
    "fstnf": ("1", "potentially forested (1) or not (0)"),
    "carea": ("m2", "area of the grid cell"),
    "ptbio": ("kg m-2", "potential biomass carbon density"),
}

_UNITS = {name: units for name, (units, _) in (*STATES.items(), *STATICS.items())}

#: No value of a state or a static field is larger; a fill value that was averaged with others is.
_LARGEST = {"1": 1.01, "kg m-2": 1e4, "year": 1e5, "m2": 1e10}


class StatesOptions(Options):
    """Options of an adapter of land-use states.

    Parameters
    ----------
    states:
        The netCDF file of the states.
    static:
        The LUH2 static file (``staticData_quarterdeg.nc``); adds ``icwtr, fstnf, carea, ptbio``.
    tolerance:
        How far the states of a cell may sum over 1. Such sums are scaled to 1 and counted.
    policy:
        ``stop``: values that are no fractions and larger sums end the run. ``mend``: such values become
        missing, such sums are scaled to 1, and both are counted.
    """

    states: Path
    static: Path | None = None
    tolerance: float = Field(default=0.01, ge=0.0, lt=1.0)
    policy: Literal["stop", "mend"] = "stop"


class StatesAdapter:
    """Delivers annual states, and static fields where a static file is given, on the lattice of the files."""

    def __init__(self, options: StatesOptions, attrs: Mapping[str, str]) -> None:
        self._options = options
        self._attrs = dict(attrs)
        self._states = read_layout(options.states, STATES, timed=True)
        self._static = None if options.static is None else read_layout(options.static, STATICS, timed=False)
        if self._static is not None:
            self._check_static(self._static)
        in_file = self._states.units
        self._closure = tuple(n for n in FRACTIONS if n in in_file)
        if "crop" in in_file and not set(_CROPS) & set(in_file):
            self._closure += ("crop",)
        for name in self._closure:
            self._factor(self._states, name)

    def fields(self) -> Mapping[str, FieldInfo]:
        years = min(self._states.years), max(self._states.years)
        found = {n: FieldInfo(n, *STATES[n], years=years) for n in self._states.units}
        if self._static is not None:
            found |= {n: FieldInfo(n, *STATICS[n]) for n in self._static.units}
        return found

    def grid(self) -> LatLonGrid:
        return self._states.grid

    def read(self, request: Request) -> xr.Dataset:
        """States over (year, lat, lon) and static fields over (lat, lon), float32, NaN where missing.

        ``attrs["quality"]`` counts, over all years, what :meth:`Checker.close` mended, and as ``outside`` the
        cells of the request that the file of the states does not cover.
        """
        import xarray as xr

        self._check_names(request)
        grid, years = request.grid, request.years
        states = [n for n in request.variables if n in self._states.units]
        place = register(self._states.grid, grid, where=self._states.path)
        counts: Counter[str] = Counter({"outside": place.outside, **dict.fromkeys(COUNTS, 0)})
        data: dict[str, Any] = {
            n: (("lat", "lon"), self._read_static(n, grid)) for n in request.variables if n not in states
        }
        if states:
            out = {n: np.empty((len(years), *grid.shape), np.float32) for n in states}
            land = self._land(grid)
            for index, year in enumerate(years):
                for name, array in self._read_year(states, year, grid, place, land, counts).items():
                    out[name][index] = array
            data |= {n: (("year", "lat", "lon"), out[n]) for n in states}
        coords = {"lat": grid.lat, "lon": grid.lon} | ({"year": list(years)} if states else {})
        dataset = xr.Dataset(data, coords, attrs={**self._attrs, "quality": dict(counts)})
        for name, info in self.fields().items():
            if name in dataset:
                dataset[name].attrs = {"units": info.units, "long_name": info.long_name}
        return dataset

    def _check_names(self, request: Request) -> None:
        known = self.fields()
        for name in request.variables:
            if name not in known:
                raise DataError(
                    f"variable {name!r} is missing from the land-use states",
                    where=", ".join(str(part.path) for part in (self._states, self._static) if part is not None),
                    remedy=nearest(name, known),
                )
        if not request.years and set(request.variables) & set(self._states.units):
            raise TimeError("land-use states were asked for without a year", found=request.variables)
        for year in request.years:
            self._states.step(year)

    def _check_static(self, static: Layout) -> None:
        try:
            register(static.grid, self._states.grid, where=static.path)
        except GridError as error:
            raise GridError(
                "the static file is not on the grid of the states",
                expected=self._states.grid,
                found=static.grid,
                where=static.path,
            ) from error

    def _factor(self, layout: Layout, name: str) -> float:
        return factor(layout.units[name], _UNITS[name], where=f"{layout.path}, variable {name!r}")

    def _read_year(
        self,
        names: list[str],
        year: int,
        grid: LatLonGrid,
        place: Registration,
        land: NDArray[np.float64] | None,
        counts: Counter[str],
    ) -> dict[str, NDArray[np.float64]]:
        """The named states of one year; reads all fractions where one is named, as they close together."""
        closure = self._closure if set(names) & set(self._closure) else ()
        step = self._states.step(year)
        arrays = self._gather(self._states, dict.fromkeys((*closure, *names)), place, step)
        if closure:
            options = self._options
            checker = Checker(self._states.path, grid, options.tolerance, options.policy == "mend")
            counts.update(checker.close({n: arrays[n] for n in closure}, year, land))
        return {n: arrays[n] for n in names}

    def _read_static(self, name: str, grid: LatLonGrid) -> NDArray[np.float32]:
        assert self._static is not None  # the name was found in it
        place = register(self._static.grid, grid, where=self._static.path)
        return self._gather(self._static, (name,), place)[name].astype(np.float32)

    def _land(self, grid: LatLonGrid) -> NDArray[np.float64] | None:
        """1 - icwtr on the grid of the request, where the static file tells."""
        if self._static is None or "icwtr" not in self._static.units:
            return None
        return 1.0 - self._read_static("icwtr", grid).astype(np.float64)

    def _gather(
        self, layout: Layout, names: Iterable[str], place: Registration, step: int | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Read variables on the cells of a request in our units, refusing what no such variable can hold."""
        time = () if step is None else (step,)
        arrays: dict[str, NDArray[np.float64]] = {}
        with open_netcdf(layout.path) as dataset:
            for name in names:
                scale = self._factor(layout, name)
                arrays[name] = scale * place.gather(partial(values, dataset[name], *time), np.nan, np.float64)
        for name, array in arrays.items():
            units = _UNITS[name]
            if step is not None and name in self._closure:
                continue  # the closure checks these, by its own policy
            wrong = np.abs(array) > _LARGEST[units]
            if wrong.any():
                raise DataError(
                    f"variable {name!r} holds values that it cannot have in {int(wrong.sum())} cells",
                    expected=f"at most {_LARGEST[units]:g} ({units}), or 1e20 where missing",
                    found=f"{array[wrong].flat[0]:.6g}",
                    where=layout.path if step is None else f"{layout.path}, year {layout.years[step]}",
                    remedy="such values are fill values that were averaged or not masked: mask before regridding",
                )
        return arrays
