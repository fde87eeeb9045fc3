"""Land use in the layouts of LUH2 and LUH3: states, transitions, management and static fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    DataAdapter,
    DataError,
    FieldInfo,
    InputFile,
    LatLonGrid,
    Request,
    TimeError,
    nearest,
    register,
)
from ai4land_luh2.balance import count_unbalanced, flows_between, imbalance
from ai4land_luh2.closure import COUNTS, Checker
from ai4land_luh2.describe import describe
from ai4land_luh2.joint import Joint
from ai4land_luh2.layout import check_lattice, refuse_retracted
from ai4land_luh2.options import JOINT_TOLERANCE, LandUseOptions
from ai4land_luh2.series import Array, Series, check_grid, open_series
from ai4land_luh2.variables import ALL, CROPS, FRACTIONS, PLANTATIONS, Kind

if TYPE_CHECKING:
    import xarray as xr


class LandUseAdapter(DataAdapter):
    """Delivers annual land use, and the fields of the static file if there is one, on the grid of the files.

    Parameters
    ----------
    files:
        Each kind with its files; states are required.
    attrs:
        Attributes of the delivered dataset; ``source`` is the title of the description.
    history:
        Files for earlier years, by kind.
    joint_year:
        The first year that is not read from the history. Default: the first year of the other files.
    """

    def __init__(
        self,
        options: LandUseOptions,
        files: Mapping[Kind, Sequence[InputFile]],
        attrs: Mapping[str, str],
        history: Mapping[Kind, Sequence[InputFile]] | None = None,
        joint_year: int | None = None,
    ) -> None:
        self._options = options
        self._attrs = dict(attrs)
        self._unbalanced: dict[tuple[int, LatLonGrid], int] = {}
        self._kept_land: tuple[LatLonGrid, NDArray[np.float64]] | None = None
        self.series: Mapping[Kind, Series] = {
            kind: open_series(kind, files[kind], (history or {}).get(kind, ()), joint_year) for kind in files
        }
        if options.policy == "stop":
            refuse_retracted(layout for series in self.series.values() for layout in series.layouts)
        grid = self.grid()
        for kind, series in self.series.items():
            name = "static file is" if kind == "static" else f"{kind} are"
            for layout in series.layouts:
                check_grid(f"the {name} not on the grid of the states", layout, grid)
                for variable in layout.units:
                    ALL[variable].scale(layout.units[variable], f"{layout.where}, variable {variable!r}")
        for series in self.series.values():
            for layout in series.layouts:
                check_lattice(layout)

    def fields(self) -> Mapping[str, FieldInfo]:
        return {
            name: FieldInfo(name, variable.units, variable.long_name)
            if kind == "static"
            else FieldInfo(name, variable.units, variable.long_name, series.years(name), series.gaps(name))
            for kind, series in self.series.items()
            for name, variable in series.variables.items()
        }

    def grid(self) -> LatLonGrid:
        return self.series["states"].grid

    def describe(self) -> str:
        """A text for users: files, variables with units, years, grid, what is masked, and how sums are scaled."""
        options = self._options
        return describe(self._attrs, self.series, options.tolerance, options.policy, self._joints_of_states)

    def files(self, years: Sequence[int] = ()) -> dict[str, Path]:
        """All files, whatever the years: which file has a year depends on the years of the other files."""
        return {layout.where: layout.path for series in self.series.values() for layout in series.layouts}

    def joints(self) -> tuple[Joint, ...]:
        """The differences between successive files of states.

        Raises
        ------
        DataError
            A difference exceeds the tolerance, and the policy is ``stop``.
        """
        for joint in self._joints_of_states:
            if self._jumps(joint) and self._options.policy == "stop":
                raise self._jump_error(joint)
        return self._joints_of_states

    def _jumps(self, joint: Joint) -> list[str]:
        """The states that jump; if there are none, and no ``joint_tolerance`` is given, the groups whose area jumps."""
        tolerance = self._options.joint_tolerance
        if tolerance is not None:
            return joint.jumps(tolerance)
        return joint.jumps(JOINT_TOLERANCE) or joint.area_jumps()

    def _jump_error(self, joint: Joint) -> DataError:
        first, *_ = jumps = self._jumps(joint)
        given = self._options.joint_tolerance
        tolerance = JOINT_TOLERANCE if given is None else given
        if first in joint.mean:
            what, expected = (
                "the land-use states jump",
                f"a mean absolute difference of at most {tolerance:g} of the cell",
            )
            found = f"{joint.mean[first]:.4g} for {first}, at most {joint.largest[first]:.4g}"
        else:
            what = "areas of land use jump"
            expected = "a difference of at most the usual change in a year"
            found = f"{joint.area[first]:+.4g} km2 of {first}, which changes by {joint.usual[first]:.4g} km2 in a year"
        return DataError(
            f"{what} where two files are joined: {', '.join(jumps)}",
            expected=expected,
            found=found,
            where=f"{joint.earlier} and {joint.later}, year {joint.compared}",
            remedy="choose a history and a scenario that were harmonized with one another; a larger "
            "`joint_tolerance`, or `policy: mend`, accepts the jump",
        )

    @cached_property
    def _joints_of_states(self) -> tuple[Joint, ...]:
        return tuple(self.series["states"].joints())

    def read(self, request: Request) -> xr.Dataset:
        """Read land use over (year, lat, lon) and static fields over (lat, lon), float32, NaN where missing.

        ``attrs["quality"]`` has counts over all years: those of :class:`Checker`; ``outside``: requested cells that the
        files of the states do not cover; ``jumps``: states that jump between two files; ``missing_on_land``: missing
        values of other variables in cells with states; ``no_plantations``: values of plantation variables that are read
        as 0 because the file has no data of plantations.
        """
        import xarray as xr

        self._check_names(request)
        grid, years = request.grid, request.years
        outside = register(self.grid(), grid, where=self.series["states"].where).outside
        counts: Counter[str] = Counter({"outside": outside, **dict.fromkeys(COUNTS, 0)})
        data: dict[str, Any] = {}
        timed = False
        for kind, series in self.series.items():
            names = [name for name in request.variables if name in series.variables]
            if kind == "static":
                static = self._read_static(names, grid, counts)
                data |= {name: (("lat", "lon"), array) for name, array in static.items()}
            elif names:
                timed = True
                if kind == "states" and len(series.layouts) > 1:
                    counts["jumps"] = sum(len(self._jumps(joint)) for joint in self.joints())
                out = {name: np.empty((len(years), *grid.shape), np.float32) for name in names}
                for index, year in enumerate(years):
                    if kind == "transitions":
                        counts["unbalanced"] += self._count_unbalanced(year, grid)
                    for name, array in self._read_year(series, names, year, grid, counts).items():
                        out[name][index] = array
                data |= {name: (("year", "lat", "lon"), array) for name, array in out.items()}
        coords = {"lat": grid.lat, "lon": grid.lon} | ({"year": list(years)} if timed else {})
        dataset = xr.Dataset(
            {name: data[name] for name in request.variables}, coords, attrs={**self._attrs, "quality": dict(counts)}
        )
        for name in data:
            dataset[name].attrs = {"units": ALL[name].units, "long_name": ALL[name].long_name}
        return dataset

    def _check_names(self, request: Request) -> None:
        held = [set(series.variables) for series in self.series.values()]
        known = set().union(*held)
        for name in request.variables:
            if name not in known:
                raise DataError(
                    f"variable {name!r} is missing from the land-use data",
                    where=", ".join(series.where for series in self.series.values()),
                    remedy=nearest(name, known),
                )
        for kind, series in self.series.items():
            if kind != "static" and set(request.variables) & set(series.variables):
                if not request.years:
                    raise TimeError(f"land-use {kind} were asked for without a year", found=request.variables)
                for year in request.years:
                    series.owner(year)

    def _closure(self, series: Series, year: int) -> tuple[str, ...]:
        """The fractions of a file that sum to land."""
        in_file = series.owner(year).units
        closure = tuple(name for name in FRACTIONS if name in in_file)
        return (*closure, "crop") if "crop" in in_file and not set(CROPS) & set(in_file) else closure

    def _read_year(
        self, series: Series, names: list[str], year: int, grid: LatLonGrid, counts: Counter[str]
    ) -> dict[str, Array]:
        """Read variables of one year. If one is a fraction, all fractions are read, to check their sum."""
        layout = series.owner(year)
        closure: tuple[str, ...] = ()
        if series.kind == "states":
            closure = self._closure(series, year)
            closure = closure if set(names) & set(closure) else ()
        arrays = series.gather(layout, dict.fromkeys((*closure, *names)), grid, year)
        checker = self._checker(layout.where, grid)
        land = np.isfinite(arrays[closure[0]]) if closure else None
        land = self._fill_plantations(series, arrays, year, grid, counts, land)
        if closure:
            per_cent = all(ALL[n].scale(layout.units[n], layout.where) == 0.01 for n in closure)
            states = {n: arrays[n] for n in closure}
            counts.update(checker.close(states, year, self._land(grid), per_cent=per_cent))
        others = [name for name in names if name not in closure]
        for name in others:
            counts.update(checker.within(name, arrays[name], ALL[name], year))
        self._count_missing({name: arrays[name] for name in others}, year, grid, counts, land)
        return {name: arrays[name] for name in names}

    def _count_missing(
        self,
        arrays: Mapping[str, Array],
        year: int,
        grid: LatLonGrid,
        counts: Counter[str],
        land: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count missing values in cells with states (``land``), of that year or of the nearest year with states."""
        if not any(np.isnan(array).any() for array in arrays.values()):
            return
        land = self._cells_with_states(year, grid) if land is None else land
        lost = sum(int(np.count_nonzero(land & np.isnan(array))) for array in arrays.values())
        if lost:
            counts["missing_on_land"] += lost

    def _cells_with_states(self, year: int, grid: LatLonGrid) -> NDArray[np.bool_]:
        """The cells with states in a year, or in the nearest year with states."""
        states = self.series["states"]
        held = min(max(year, states.first), states.last)
        (first,) = states.gather(states.owner(held), self._closure(states, held)[:1], grid, held).values()
        return np.isfinite(first)

    def _fill_plantations(
        self,
        series: Series,
        arrays: Mapping[str, Array],
        year: int,
        grid: LatLonGrid,
        counts: Counter[str],
        land: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_] | None:
        """Set plantation variables without any value in the whole file to 0 in cells with states (``land``).

        Returns ``land``, which is found here if it was not known but needed.
        """
        layout = series.owner(year)
        for name in PLANTATIONS & arrays.keys():
            if np.isnan(arrays[name]).all() and (grid == layout.grid or series.no_data(layout, name, year)):
                land = self._cells_with_states(year, grid) if land is None else land
                arrays[name][land] = 0.0
                counts["no_plantations"] += int(np.count_nonzero(land))
        return land

    def _count_unbalanced(self, year: int, grid: LatLonGrid) -> int:
        """Number of cells in which states and transitions do not give the next states. Cached because it is slow."""
        tolerance, states, moves = self._options.balance_tolerance, self.series["states"], self.series["transitions"]
        if tolerance is None or any(all(y not in x.years for x in states.layouts) for y in (year, year + 1)):
            return 0
        if (year, grid) not in self._unbalanced:
            owner = moves.owner(year)
            before, after = (
                states.gather(states.owner(y), self._closure(states, y), grid, y) for y in (year, year + 1)
            )
            rest = imbalance(before, after, moves.gather(owner, flows_between(owner.units), grid, year))
            where = f"{owner.where}, year {year}, and {states.owner(year + 1).where}"
            self._unbalanced[year, grid] = count_unbalanced(rest, tolerance, self._options.policy == "mend", where)
        return self._unbalanced[year, grid]

    def _checker(self, where: str, grid: LatLonGrid) -> Checker:
        return Checker(where, grid, self._options.tolerance, self._options.policy == "mend")

    def _read_static(
        self, names: Sequence[str], grid: LatLonGrid, counts: Counter[str]
    ) -> dict[str, NDArray[np.float32]]:
        series = self.series["static"]
        layout = series.layouts[0]
        arrays = series.gather(layout, names, grid)
        checker = self._checker(layout.where, grid)
        for name, array in arrays.items():
            counts.update(checker.within(name, array, ALL[name], None))
            if name == "carea":
                checker.areas(array)
        self._count_missing(arrays, self.series["states"].last, grid, counts)
        return {name: array.astype(np.float32) for name, array in arrays.items()}

    def _land(self, grid: LatLonGrid) -> NDArray[np.float64] | None:
        """1 - icwtr on a grid, or ``None`` if no static file has it. The result for the last grid is cached."""
        if "static" not in self.series or "icwtr" not in self.series["static"].variables:
            return None
        if self._kept_land is None or self._kept_land[0] != grid:
            water = self._read_static(("icwtr",), grid, Counter())["icwtr"]
            self._kept_land = grid, 1.0 - water.astype(np.float64)
        return self._kept_land[1]
