"""Reads monthly climate of ERA5-like and CMIP-like files, on any grid and in the units of hosts."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_climate.delta import Delta
from ai4land_climate.known import KNOWN, LAYERS, WATER
from ai4land_climate.options import ClimateOptions, ClimateVariable
from ai4land_climate.regrid import regrid
from ai4land_coupler.api import (
    DataAdapter,
    DataError,
    FieldError,
    FieldInfo,
    InputFile,
    LatLonGrid,
    Request,
    TimeError,
    convert,
    find_files,
    gaps_of,
    nearest,
    open_netcdf,
    read_months,
    read_native_values,
    time_dimension,
)
from ai4land_static.geometry import Geometry, read_geometry

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
Month = tuple[int, int]

#: Bytes of a window that are read at once: months are read one by one if they are large.
_AT_ONCE = 1 << 28
_SECONDS = {"hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True)
class Step:
    """A month of a variable: its file, its place along the dimension of time, and the grid."""

    file: InputFile
    index: int
    time: str
    geometry: Geometry


@dataclass(frozen=True)
class Source:
    """The variables of the files whose weighted sum is a field, and the units that they should have."""

    variables: tuple[str, ...]
    weights: tuple[float, ...]
    wanted: str | None
    file_units: str | None = None


class ClimateAdapter(DataAdapter):
    """Delivers months of climate on the requested cells; see :func:`ai4land_climate.regrid.regrid`."""

    def __init__(self, options: ClimateOptions) -> None:
        self._options, self._files = options, find_files(options.path)
        #: By variable of the files.
        self._steps: dict[str, dict[Month, Step]] = {}
        self._units: dict[str, str] = {}
        for file in self._files:
            self._survey(file)
        self._sources = self._find_sources()
        for source in self._sources.values():
            for variable in source.variables:
                self._check_units(source, variable)
        self._observed: ClimateAdapter | None = None
        self._delta: Delta | None = None
        if options.delta is not None:
            self._observed = ClimateAdapter(
                ClimateOptions(path=options.delta.path, accumulated=options.delta.accumulated)
            )
            self._check_delta(self._observed, options.delta.years)
            self._delta = Delta(self._uncorrected, self._observed._uncorrected, options.delta.years)

    def fields(self) -> Mapping[str, FieldInfo]:
        found = {}
        for name, source in self._sources.items():
            months = self._months(source)
            years = sorted({year for year, _ in months})
            lacking = frozenset({(y, m) for y in years for m in range(1, 13)} - months)
            text = KNOWN[name].long_name if name in KNOWN else ", ".join(source.variables)
            found[name] = FieldInfo(
                name, self._delivered(source), text, (years[0], years[-1]), gaps_of(years), True, lacking
            )
        return found

    def grid(self) -> None:
        """Any grid."""
        return None

    def files(self, years: Sequence[int] = ()) -> dict[str, Path]:
        """All files, also those of observed climate."""
        observed = {} if self._observed is None else self._observed.files()
        return {file.name: file.path for file in self._files} | observed

    def describe(self) -> str:
        """A text for users: the files, and the origin of each field."""
        lines = [f"files: {len(self._files)}, such as {self._files[0].name}"]
        for name, source in self._sources.items():
            months, first = sorted(self._months(source)), source.variables[0]
            rows, cols = (len(axis) for axis in self._geometry(first))
            span = " to ".join(f"{year}-{month:02d}" for year, month in (months[0], months[-1]))
            added = "" if self._fits(source, first) else f", added up over each {self._options.accumulated}"
            lines.append(
                f"{name}: {' + '.join(source.variables)} ({self._file_units(source, first) or 'no units'}{added}), "
                f"delivered in {self._delivered(source)}; {len(months)} months from {span} on {rows} x {cols} cells"
            )
        if self._observed is not None and self._options.delta is not None:
            years = "-".join(map(str, self._options.delta.years))
            lines.append(f"corrected to the means of {years} of {self._options.delta.path}")
        return "\n".join(lines)

    def read(self, request: Request) -> xr.Dataset:
        """Read months of variables, float32 (year, month, lat, lon); NaN where no data are near."""
        import xarray as xr

        if not request.months:
            raise TimeError("climate is monthly", expected="months", found="none", where=self._options.path)
        coords = {
            "year": list(request.years),
            "month": list(request.months),
            "lat": request.grid.lat,
            "lon": request.grid.lon,
        }
        dataset = xr.Dataset(coords=coords, attrs={"source": self._files[0].stem, "quality": {}})
        for name in request.variables:
            if name not in self._sources:
                raise DataError(
                    f"variable {name!r} is not in the climate files",
                    found=", ".join(self._sources),
                    where=self._options.path,
                    remedy=nearest(name, self._sources),
                )
            values = np.stack([self._year(name, year, request.months, request.grid) for year in request.years])
            attributes = {"units": self._delivered(self._sources[name])}
            dataset[name] = (("year", "month", "lat", "lon"), values, attributes)
        return dataset

    # --- what the files hold

    def _survey(self, file: InputFile) -> None:
        wanted = self._wanted()
        with open_netcdf(file.path, file.name) as dataset:
            for name in sorted(wanted & {*dataset.variables}):
                variable, where = dataset[name], f"{file.name}, variable {name!r}"
                time = time_dimension(dataset, variable.dimensions)
                if time is None:
                    raise TimeError("a variable has no time", expected="months", found=variable.dimensions, where=where)
                geometry = read_geometry(dataset, name, file.name, along=time)
                units = str(getattr(variable, "units", ""))
                if self._units.setdefault(name, units) != units:
                    raise FieldError(
                        "the units of a variable differ between files",
                        expected=self._units[name],
                        found=units,
                        where=where,
                        remedy="list the adapter twice, each with the files of one kind",
                    )
                steps = self._steps.setdefault(name, {})
                for index, (year, month) in enumerate(read_months(dataset, time, where).tolist()):
                    other = steps.setdefault((year, month), Step(file, index, time, geometry))
                    if other.file != file:
                        raise TimeError(
                            f"two files have variable {name!r} for {year}-{month:02d}",
                            expected="each month once",
                            found=f"{other.file.name}, {file.name}",
                            where=self._options.path,
                            remedy="choose files of one model and one experiment that do not overlap; list the "
                            "adapter once for each experiment",
                        )

    def _wanted(self) -> set[str]:
        """The variables that may be used."""
        if self._options.variables is not None:
            return {v if isinstance(v, str) else v.name for v in self._options.variables.values()}
        return {name for known in KNOWN.values() for group in (known.names, *known.layers) for name in group}

    def _find_sources(self) -> dict[str, Source]:
        found: dict[str, Source] = {}
        if self._options.variables is not None:
            for name, entry in self._options.variables.items():
                variable = ClimateVariable(name=entry) if isinstance(entry, str) else entry
                if variable.name not in self._steps:
                    raise DataError(
                        f"variable {variable.name!r} is in none of the files",
                        found=", ".join(self._steps) or "none of the variables",
                        where=self._options.path,
                        remedy="correct the name in `variables`",
                    )
                wanted = KNOWN[name].units if name in KNOWN else None
                found[name] = Source((variable.name,), (1.0,), wanted, variable.file_units)
            return found
        for name, known in KNOWN.items():
            offers = [Source((v,), (1.0,), known.units) for v in known.names if v in self._steps]
            depths = tuple(WATER * thickness for thickness in LAYERS)
            offers += [Source(group, depths, "m3 m-3") for group in known.layers if {*group} <= {*self._steps}]
            if len(offers) > 1:
                raise DataError(
                    f"several variables could be {name!r}",
                    found=", ".join(" + ".join(source.variables) for source in offers),
                    where=self._options.path,
                    remedy=f"choose one: `variables: {{{name}: {offers[0].variables[0]}}}`",
                )
            if offers:
                found[name] = offers[0]
        if not found:
            raise DataError(
                "the files hold none of the climate variables",
                expected=f"some of {', '.join(sorted(self._wanted()))}",
                where=self._options.path,
                remedy="say which is which with `variables`",
            )
        return found

    def _months(self, source: Source) -> set[Month]:
        """The months that all variables of a field have."""
        months = set.intersection(*({*self._steps[variable]} for variable in source.variables))
        if not months:
            raise TimeError(
                "variables of one field have no month in common",
                found=", ".join(source.variables),
                where=self._options.path,
            )
        return months

    def _geometry(self, variable: str) -> tuple[Array, Array]:
        """Latitudes and longitudes of a variable."""
        axes = next(iter(self._steps[variable].values())).geometry.once_around()
        return axes.lat, axes.lon

    def _check_delta(self, observed: ClimateAdapter, years: tuple[int, int]) -> None:
        """Refuse to correct fields that are not observed, or over years that one of the data sets lacks."""
        lacking = sorted({*self._sources} - {*observed._sources})
        if lacking:
            raise DataError(
                "the observed climate lacks fields of the data that it should correct",
                expected=", ".join(self._sources),
                found=", ".join(observed._sources),
                where=observed._options.path,
                remedy=f"choose the other fields with `variables`, and list the adapter again for {', '.join(lacking)}",
            )
        wanted = {(year, month) for year in range(years[0], years[1] + 1) for month in range(1, 13)}
        for adapter in (self, observed):
            for name in self._sources:
                months = sorted(wanted - adapter._months(adapter._sources[name]))
                if months:
                    raise TimeError(
                        f"climate lacks months of the years of the correction: {name!r}",
                        expected=f"all months from {years[0]} to {years[1]}",
                        found=f"{len(months)} missing, the first {months[0][0]}-{months[0][1]:02d}",
                        where=adapter._options.path,
                        remedy="change `delta.years`",
                    )

    # --- units

    def _file_units(self, source: Source, variable: str) -> str:
        return self._units[variable] if source.file_units is None else source.file_units

    def _delivered(self, source: Source) -> str:
        if len(source.variables) > 1:
            return KNOWN["mass_content_of_water_in_soil"].units
        return source.wanted or self._file_units(source, source.variables[0]) or "1"

    def _fits(self, source: Source, variable: str) -> bool:
        """Whether the units are not those of an amount that was added up."""
        return source.wanted is None or _converts(self._file_units(source, variable), source.wanted)

    def _check_units(self, source: Source, variable: str) -> None:
        units = self._file_units(source, variable)
        if source.wanted is None or self._fits(source, variable) or _converts(f"{units} s-1", source.wanted):
            return
        step = next(iter(self._steps[variable].values()))
        raise FieldError(
            f"variable {variable!r} has the wrong units",
            expected=f"{source.wanted}, or units that convert to them",
            found=units or "none",
            where=step.file.name,
            remedy="correct the attribute `units` of the files, or give `file_units` in `variables`",
        )

    def _in_units(self, values: Array, source: Source, variable: str, months: Sequence[Month]) -> Array:
        """Values (months, rows, columns) in the units of the field."""
        units, where = self._file_units(source, variable), f"{self._options.path}, variable {variable!r}"
        if source.wanted is None:
            return values
        if self._fits(source, variable):
            return np.asarray(convert(values, units, source.wanted, where))
        over = self._options.accumulated
        days = np.array([calendar.monthrange(*month)[1] for month in months])
        seconds = days * 86400.0 if over == "month" else np.full(days.size, _SECONDS[over])
        return np.asarray(convert(values / seconds[:, None, None], f"{units} s-1", source.wanted, where))

    # --- what is read

    def _year(self, name: str, year: int, months: Sequence[int], grid: LatLonGrid) -> NDArray[np.float32]:
        """Months of a year of a field, (months, rows, columns)."""
        values = self._uncorrected(name, year, months, grid)
        if self._delta is not None:
            values = self._delta.apply(name, values, months, grid)
        return values.astype(np.float32)

    def _uncorrected(self, name: str, year: int, months: Sequence[int], grid: LatLonGrid) -> Array:
        """:meth:`_year` as the files have it, float64."""
        source, wanted = self._sources[name], [(year, month) for month in months]
        total = np.zeros((len(wanted), *grid.shape))
        for variable, weight in zip(source.variables, source.weights, strict=True):
            lacking = [f"{y}-{m:02d}" for y, m in wanted if (y, m) not in self._steps[variable]]
            if lacking:
                raise TimeError(
                    f"variable {variable!r} lacks months",
                    expected=f"{len(wanted)} months of {year}",
                    found=f"none for {', '.join(lacking)}",
                    where=self._options.path,
                )
            values = np.concatenate(list(self._parts(variable, wanted, grid)))
            total += weight * self._in_units(values, source, variable, wanted)
        return total

    def _parts(self, variable: str, months: Sequence[Month], grid: LatLonGrid) -> Iterator[Array]:
        """The months one after the other, in groups of one file and limited size."""
        steps = [self._steps[variable][month] for month in months]
        for _, group in groupby(steps, key=lambda step: step.file):
            own = list(group)
            first = own[0]
            cells = first.geometry.lat.size * first.geometry.lon.size
            size = max(1, _AT_ONCE // (8 * cells))
            with open_netcdf(first.file.path, first.file.name) as dataset:
                for start in range(0, len(own), size):
                    indices = np.array([step.index for step in own[start : start + size]])
                    read = partial(_block, dataset[variable], time=first.time, steps=indices, where=first.file.name)
                    yield regrid(first.geometry, grid, read)


def _converts(units: str, wanted: str) -> bool:
    try:
        convert(np.zeros(1), units, wanted)
    except FieldError:
        return False
    return True


def _block(variable: Any, window: Geometry, time: str, steps: NDArray[np.int64], where: str) -> Array:
    """Values (rows, columns, step) of a window at some steps, with NaN where they are missing."""
    places = {window.dims[0]: window.rows, window.dims[1]: window.cols, time: steps}
    index = {dim: slice(int(at.min()), int(at.max()) + 1) for dim, at in places.items()}
    part = read_native_values(variable, *(index.get(dim, 0) for dim in variable.dimensions))
    order = [dim for dim in variable.dimensions if dim in places]
    part = part.transpose([order.index(dim) for dim in places])
    part = part[np.ix_(*(at - at.min() for at in places.values()))]
    if np.isinf(part).any():
        raise DataError(
            f"variable {variable.name!r} is infinite in {int(np.isinf(part).sum())} cells",
            expected="finite values, or the fill value of the file",
            where=where,
        )
    return part.astype(np.float64)
