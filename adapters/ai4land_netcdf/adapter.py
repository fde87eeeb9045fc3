"""Reads variables of netCDF files, in the configured names and units, on the grid of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    DataAdapter,
    DataError,
    FieldInfo,
    GridError,
    InputFile,
    LatLonGrid,
    MapAxes,
    Request,
    TimeError,
    attributes_of,
    convert,
    decode_values,
    factor,
    find_difference,
    find_files,
    gaps_of,
    nearest,
    open_netcdf,
    read_axes,
    read_stored,
    read_years,
    register,
    time_dimension,
)
from ai4land_netcdf.options import NetcdfOptions, NetcdfVariable
from ai4land_netcdf.selection import pick

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

#: A fraction may be outside 0 to 1 by the rounding of single precision.
_ROUNDING = 1e-6
#: The area of a cell on the ellipsoid differs from the one on a sphere of the same total area by up to 0.7 %.
_AREA_SLACK = 0.01


@dataclass(frozen=True)
class Step:
    """A step of a variable along time; ``index`` is ``None`` if the variable has no time."""

    source: InputFile
    index: int | None


class NetcdfAdapter(DataAdapter):
    """Delivers variables of the files of one path or glob, on their common grid."""

    def __init__(self, options: NetcdfOptions) -> None:
        self._options = options
        self._sources = find_files(options.path)
        self._units: dict[str, str] = {}
        self._attributes: dict[str, dict[str, Any]] = {}
        #: Variable -> year -> its steps. The year of a variable without time is None.
        self._steps: dict[str, dict[int | None, list[Step]]] = {name: {} for name in options.variables}
        self._axes: dict[InputFile, dict[str, MapAxes]] = {}
        #: Variables whose values are known to be in the units of the file.
        self._scaled: set[str] = set()
        self._picked: dict[tuple[InputFile, str], list[dict[str, int]]] = {}
        for source in self._sources:
            self._survey(source)
        grids = {axes.grid: f"{s.name}, variable {v!r}" for s, found in self._axes.items() for v, axes in found.items()}
        self._grid: LatLonGrid = next(iter(grids))
        for other, where in grids.items():
            difference = find_difference(self._grid, other)
            if difference:
                raise GridError(
                    f"variables of one adapter lie on different grids: {difference}",
                    expected=f"{self._grid} ({grids[self._grid]})",
                    found=other,
                    where=where,
                    remedy="list the adapter twice, each with the variables of one grid",
                )
        for name in options.variables:
            self._check_steps(name)

    def fields(self) -> Mapping[str, FieldInfo]:
        found = {}
        for name, variable in self._options.variables.items():
            years = self._years(name)
            long_name = str(self._attributes[name].get("long_name", variable.name))
            span = (years[0], years[-1]) if years else None
            found[name] = FieldInfo(name, self._delivered(name), long_name, span, gaps_of(years))
        return found

    def grid(self) -> LatLonGrid:
        return self._grid

    def describe(self) -> str:
        """A text for users: files, grid, and the origin of each variable."""
        lines = [f"files: {len(self._sources)}, such as {self._sources[0].name}", f"grid: {self._grid}"]
        for name, variable in self._options.variables.items():
            years = self._years(name)
            span = f"{len(years)} years from {years[0]} to {years[-1]}" if years else "no time"
            scale = f" times {variable.factor:g}" if variable.factor != 1 else ""
            given = self._units[name] or "no units"
            lines.append(
                f"{name}: {variable.kind} from {variable.name!r} ({given}{scale}), "
                f"delivered in {self._delivered(name)}; {span}"
            )
        return "\n".join(lines)

    def files(self, years: Sequence[int] = ()) -> dict[str, Path]:
        """All files."""
        return {source.name: source.path for source in self._sources}

    def read(self, request: Request) -> xr.Dataset:
        """Read variables on the requested cells, float32. Cells outside the file are NaN, counted as ``outside``."""
        import xarray as xr

        for name in request.variables:
            if name not in self._steps:
                raise DataError(
                    f"variable {name!r} is not among those of the configuration",
                    where=self._options.path,
                    remedy=nearest(name, self._steps),
                )
        counts: Counter[str] = Counter(outside=register(self._grid, request.grid, where=self._options.path).outside)
        dims = ("year", "lat", "lon") if request.years else ("lat", "lon")
        dataset = xr.Dataset(coords={"lat": request.grid.lat, "lon": request.grid.lon})
        if request.years:
            dataset = dataset.assign_coords(year=list(request.years))
        for name in request.variables:
            maps = [self._map(name, year, request.grid, counts) for year in request.years or (None,)]
            dataset[name] = (dims, np.stack(maps) if request.years else maps[0], self._describe_variable(name))
        dataset.attrs = {"source": self._sources[0].stem, "quality": dict(counts)}
        return dataset

    # --- what the files hold

    def _survey(self, file: InputFile) -> None:
        self._axes[file] = {}
        with open_netcdf(file.path, file.name) as dataset:
            for name, variable in self._options.variables.items():
                where = f"{file.name}, variable {variable.name!r}"
                if variable.name not in dataset.variables:
                    raise DataError(
                        f"variable {variable.name!r} is missing from the file",
                        where=file.name,
                        remedy=nearest(variable.name, dataset.variables),
                    )
                source = dataset[variable.name]
                axes = read_axes(dataset, variable.name, where, self._options.check_bounds)
                time = time_dimension(dataset, source.dimensions)
                self._picked[file, name] = pick(dataset, variable, (*axes.dims, time), file)
                units = variable.file_units if variable.file_units is not None else str(getattr(source, "units", ""))
                if self._units.setdefault(name, units) != units:
                    raise DataError(
                        "the units of a variable differ between files",
                        expected=self._units[name],
                        found=units,
                        where=where,
                    )
                self._check_units(name, variable, where)
                self._axes[file][variable.name] = axes
                self._attributes.setdefault(name, {k: source.getncattr(k) for k in source.ncattrs()})
                years = (
                    [None] if time is None else [int(y) for y in read_years(dataset, time, f"{file.name}, {time!r}")]
                )
                for index, year in enumerate(years):
                    step = Step(file, None if time is None else index)
                    self._steps[name].setdefault(year, []).append(step)

    def _check_units(self, name: str, variable: NetcdfVariable, where: str) -> None:
        if variable.kind in ("fraction", "area"):
            factor(self._units[name], "1" if variable.kind == "fraction" else "m2", where=where)
        elif variable.kind == "density":
            convert(np.zeros(1), self._units[name], self._delivered(name), where=where)

    def _check_steps(self, name: str) -> None:
        for year, steps in self._steps[name].items():
            if len(steps) == 1 or (self._options.reduce == "mean" and year is not None):
                continue
            raise TimeError(
                f"variable {self._options.variables[name].name!r} has {len(steps)} steps "
                + ("without a year" if year is None else f"in the year {year}"),
                expected="one step a year",
                found=", ".join(sorted({s.source.stem for s in steps})),
                where=self._options.path,
                remedy="set `reduce: mean`, or choose files of yearly data that do not overlap",
            )
        if self._options.reduce == "mean" and self._options.variables[name].kind == "category":
            raise DataError("categories have no mean", found=f"`reduce: mean` for {name!r}", where=self._options.path)

    def _years(self, name: str) -> list[int]:
        return sorted(year for year in self._steps[name] if year is not None)

    def _delivered(self, name: str) -> str:
        variable = self._options.variables[name]
        return (variable.units or self._units[name] or "1") if variable.kind == "density" else "1"

    def _describe_variable(self, name: str) -> dict[str, Any]:
        found = self.fields()[name]
        attributes = self._attributes[name]
        kept: dict[str, Any] = {
            k: attributes[k] for k in ("standard_name", "flag_values", "flag_meanings") if k in attributes
        }
        return {"units": found.units, "long_name": found.long_name, **kept}

    # --- what is read

    def _map(self, name: str, year: int | None, grid: LatLonGrid, counts: Counter[str]) -> NDArray[np.float32]:
        steps = self._steps[name]
        timeless = None in steps
        if not timeless and year not in steps:
            known = self._years(name)
            raise TimeError(
                f"variable {name!r} was asked for without a year"
                if year is None
                else f"there is no {name!r} for the year {year}",
                expected=f"one of {len(known)} years from {known[0]} to {known[-1]}",
                found="none" if year is None else year,
                where=self._options.path,
                remedy="change the years of the run, or choose files that cover them",
            )
        chosen = steps[None if timeless else year]
        values = np.mean([self._values(name, step, grid) for step in chosen], axis=0)
        where = f"{chosen[0].source.name}, variable {self._options.variables[name].name!r}, year {year}"
        return self._in_our_units(name, values, grid, where, counts).astype(np.float32)

    def _values(self, name: str, step: Step, grid: LatLonGrid) -> Array:
        variable = self._options.variables[name]
        axes = self._axes[step.source][variable.name]
        with open_netcdf(step.source.path, step.source.name) as dataset:
            source = dataset[variable.name]
            where = f"{step.source.name}, variable {variable.name!r}"
            time, places = time_dimension(dataset, source.dimensions), self._picked[step.source, name]

            def layer(rows: slice, cols: slice, place: dict[str, int]) -> Array:
                stored = axes.block(source, step.index, time, rows, cols, read_stored, place)
                part = decode_values(stored, attributes_of(source), where).astype(np.float64, copy=False)
                if np.isinf(part).any():
                    raise DataError(
                        f"variable {variable.name!r} is infinite in {int(np.isinf(part).sum())} cells",
                        expected="finite values, or the fill value of the file",
                        where=step.source.name,
                    )
                return part

            def block(rows: slice, cols: slice) -> Array:
                first, *others = (layer(rows, cols, place) for place in places)
                return sum(others, first)

            return np.asarray(register(axes.grid, grid, where=step.source.name).gather(block, np.nan, np.float64))

    def _in_our_units(self, name: str, values: Array, grid: LatLonGrid, where: str, counts: Counter[str]) -> Array:
        variable, units = self._options.variables[name], self._units[name]
        if variable.kind == "category":
            odd = np.isfinite(values) & (values != np.rint(values))
            _refuse(odd, values, "no categories", "whole numbers", where)
            return values
        values = values * variable.factor
        if variable.kind == "density":
            return np.asarray(convert(values, units, self._delivered(name), where=where))
        if variable.kind == "fraction":
            self._check_per_cent(name, values, where)
            values, slack = values * factor(units, "1", where=where), _ROUNDING
        else:
            values = values * factor(units, "m2", where=where) / grid.row_area[:, None]
            slack = _AREA_SLACK
            counts["area beyond the cell"] += int((values > 1 + _ROUNDING).sum())
        what = "no fractions" if variable.kind == "fraction" else "no areas within their cells"
        _refuse((values < -_ROUNDING) | (values > 1 + slack), values, what, "0 to 1, as a share of the cell", where)
        return np.clip(values, 0.0, 1.0)

    def _check_per_cent(self, name: str, values: Array, where: str) -> None:
        """Refuse fractions under units of per cent, when the first values of a variable are read."""
        variable = self._options.variables[name]
        if name in self._scaled or variable.file_units is not None or factor(self._units[name], "1") != 0.01:
            return
        largest = float(np.fmax.reduce(values, axis=None))
        if 0 < largest <= 1:
            raise DataError(
                f"variable {variable.name!r} is in per cent by its units, but no value is larger than 1",
                expected="values up to 100",
                found=f"a largest value of {largest:.6g} {self._units[name]}",
                where=where,
                remedy='say what it is: `file_units: "1"` for fractions, or `file_units: "%"` if there is so little',
            )
        if largest > 1:
            self._scaled.add(name)


def _refuse(wrong: NDArray[np.bool_], values: Array, what: str, expected: str, where: str) -> None:
    if wrong.any():
        raise DataError(
            f"a variable holds values that are {what} in {int(wrong.sum())} cells",
            expected=expected,
            found=f"{values[wrong][0]:.6g}",
            where=where,
            remedy="check its `kind`, its units and its fill value; `file_units` and `factor` correct the units",
        )
