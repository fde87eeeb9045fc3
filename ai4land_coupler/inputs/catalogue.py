"""Finds the adapter of each variable, and reads variables in the units, on the grid and for the year of a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import FieldInfo, Request
from ai4land_coupler.config.sections import Config, PluginChoice
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import Crosswalk
from ai4land_coupler.core.registration import register
from ai4land_coupler.core.units import convert, factor
from ai4land_coupler.errors import DataError, GridError, TimeError, nearest
from ai4land_coupler.inputs.adapters import NamedAdapter, make_adapter
from ai4land_coupler.inputs.causes import cause_of_gaps
from ai4land_coupler.inputs.checks import Policy, check_delivery, check_lattice, check_values, field_rule
from ai4land_coupler.inputs.land_sums import LAND_USE, SumsInTime
from ai4land_coupler.inputs.sums import check_sums, sum_members
from ai4land_coupler.registry.loading import Plugins


class Mended(NamedTuple):
    """Key of a count of mended values; ``cells`` identifies the grid that was read."""

    adapter: str
    fault: str
    year: int | None
    cells: str


class Catalogue:
    """The adapters of one kind (forcing, static or climate), in the order of the configuration.

    Parameters
    ----------
    policy:
        ``stop``: a fault of the data ends the run. ``mend``: faults are mended and counted.
    jump:
        Largest mean difference of a fraction in the year in which one adapter follows another.
    """

    def __init__(
        self, kind: str, adapters: Sequence[NamedAdapter], policy: Policy = "stop", jump: float = 0.02
    ) -> None:
        self.kind, self.adapters = kind, tuple(adapters)
        self._policy, self._jump = policy, jump
        self._fields = [entry.adapter.fields() for entry in adapters]
        for entry, fields in zip(self.adapters, self._fields, strict=True):
            self._check_adapter(entry, fields)
        #: Counts of the values that were mended while reading. A window that is read twice counts once.
        self.mended: dict[Mended, int] = {}
        self._masks: dict[tuple[int, str, str], tuple[str, NDArray[np.bool_]]] = {}
        self._served: dict[str, int] = {}
        self._sums = SumsInTime(policy)

    def __contains__(self, name: str) -> bool:
        return any(name in fields for fields in self._fields)

    @property
    def names(self) -> set[str]:
        return {name for fields in self._fields for name in fields}

    @property
    def mended_counts(self) -> Counter[str]:
        """Counts of the mended values, by adapter and fault."""
        return total(self.mended)

    def available(self, year: int) -> set[str]:
        """Names of the variables that have data for a year."""
        return {name for i, fields in enumerate(self._fields) for name in fields if self._has(i, name, year)}

    @property
    def lattice(self) -> LatLonGrid:
        """The grid of the first adapter that has one, with rows from north to south.

        Raises
        ------
        GridError
            No adapter has a grid, or the cells of another adapter are not on it, for example shifted by half a cell.
        """
        grids = [(entry, grid) for entry in self.adapters if (grid := entry.adapter.grid()) is not None]
        if not grids:
            raise GridError(
                f"no {self.kind} adapter says which grid its data are on", found=[a.name for a in self.adapters]
            )
        first = grids[0][1]
        for entry, grid in grids[1:]:
            register(grid, first, where=f"{self.kind} {entry}")
        if first.dlat > 0:
            first = replace(first, lat0=first.lat0 + first.nlat * first.dlat, dlat=-first.dlat)
        return first

    def read(
        self, names: Mapping[str, str], grid: LatLonGrid, year: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Read variables and check their values. Each adapter is called once.

        Parameters
        ----------
        names:
            Each variable with the units of the result.
        grid:
            The cells to read.
        year:
            The year, or ``None`` for static variables.

        Returns
        -------
        float32 (rows, cols) by name, NaN where missing.

        Raises
        ------
        DataError
            No adapter has a variable, or its values are faulty (see :mod:`ai4land_coupler.inputs.checks`).
        TimeError
            No adapter has a variable for that year; the error names the years that have data.
        """
        together: dict[tuple[int, int | None], list[str]] = {}
        for name in names:
            index = self.find(name, year)
            together.setdefault((index, self._data_year(index, name, year)), []).append(name)
        read = {}
        for (index, data_year), wanted in together.items():
            if year is not None:
                self._check_joints(index, wanted, grid, year)
            for name, values in self._read(index, wanted, grid, data_year).items():
                where = f"{self.kind} {self.adapters[index]}, variable {name}"
                scale = factor(self._fields[index][name].units, names[name], where=where)
                read[name] = values if scale == 1 else values * np.float32(scale)
        return read

    def read_months(
        self, name: str, units: str, grid: LatLonGrid, year: int, months: Sequence[int]
    ) -> NDArray[np.float32]:
        """Read months of a variable and check their values. A variable with one value a year has it in each month.

        Parameters
        ----------
        months:
            1 to 12.

        Returns
        -------
        float32 (months, rows, cols) in ``units``, NaN where missing.

        Raises
        ------
        DataError, FieldError, TimeError
            As :meth:`read`; the error names the month.
        """
        index = self.find(name, year, months)
        entry, info = self.adapters[index], self._fields[index][name]
        data_year = entry.data_year(year, info.years)
        if info.monthly:
            dataset = entry.adapter.read(Request((name,), grid, (data_year,), tuple(months)))
            if name not in dataset or dataset[name].sizes.get("month") != len(months):
                raise DataError(
                    f"months of {name!r} were not delivered",
                    expected=f"{len(months)} months along the dimension 'month'",
                    found=dict(dataset.sizes),
                    where=f"{self.kind} {entry}",
                    remedy="this is a fault of the adapter: it declares the variable as monthly",
                )
            layers = []
            for i, month in enumerate(months):
                where = f"{self.kind} {entry}, {data_year}-{month:02d}"
                layers.append(self._checked(index, [name], dataset.isel(month=i), grid, data_year, where)[name])
        else:
            layers = [self._read(index, [name], grid, data_year)[name]] * len(months)
        return convert(np.stack(layers), info.units, units, f"{self.kind} {entry}, variable {name}")

    def check_land_sums(self, read: Mapping[str, NDArray[np.float32]], grid: LatLonGrid, year: int) -> None:
        """Check that the states of a cell add up to the same in all years that are read.

        Parameters
        ----------
        read:
            Variables of the year, as fractions. Nothing is checked unless all states of the data set are there.

        Raises
        ------
        DataError
            See :class:`SumsInTime`.
        """
        states = sum_members(read).get(LAND_USE, [])
        if not states or set(states) != set(sum_members(self.available(year)).get(LAND_USE, [])):
            return
        entries = {self.find(name, year) for name in states}
        source = f"{self.kind} {', '.join(str(self.adapters[i]) for i in sorted(entries))}"
        data_year = self.adapters[min(entries)].data_year(year)
        for fault, count in self._sums.check(source, {n: read[n] for n in states}, grid, data_year).items():
            self.mended[Mended(self.adapters[min(entries)].name, fault, data_year, grid.hash)] = count

    def find(self, name: str, year: int | None, months: Sequence[int] = ()) -> int:
        """Index of the adapter that delivers a variable in a year, and in these months; errors as :meth:`read`."""
        offers = [i for i, fields in enumerate(self._fields) if name in fields]
        if not offers:
            raise DataError(
                f"no {self.kind} adapter has the variable {name!r}",
                found=f"adapters {', '.join(map(str, self.adapters)) or 'none'}",
                remedy=nearest(name, self.names),
            )
        # Data of the year itself come first, then those that another year stands for (`beyond`).
        for stands_for in (False, True):
            for i in offers:
                if year is None or self._has(i, name, year, months, stands_for=stands_for):
                    return i
        self._refuse_month_gaps(offers, name, year, months)
        spans = "; ".join(
            f"{self.adapters[i].name}: {span[0]}-{span[1]}"
            + (f" without {', '.join(map(str, gaps))}" if (gaps := self._fields[i][name].gaps) else "")
            for i in offers
            if (span := self._fields[i][name].years)
        )
        raise TimeError(
            f"no {self.kind} adapter has {name!r} for the year {year}",
            expected=spans,
            found=year,
            where=", ".join(map(str, self.adapters)),
            remedy="change time.start or time.stop, add an adapter that has the year, or set `beyond: hold` or `cycle` "
            "in the section of the adapter: then other years stand for those after its last one",
        )

    def _refuse_month_gaps(self, offers: Iterable[int], name: str, year: int | None, months: Sequence[int]) -> None:
        """Name the months that an adapter lacks in a year that it has."""
        for i in offers:
            if year is None or not self._has(i, name, year):
                continue
            entry, info = self.adapters[i], self._fields[i][name]
            data_year = entry.data_year(year, info.years)
            lacking = [m for m in months if (data_year, m) in info.month_gaps]
            raise TimeError(
                f"months of {name!r} are missing",
                expected=f"the months {', '.join(map(str, months))} of {data_year}",
                found=f"none for {', '.join(f'{data_year}-{month:02d}' for month in lacking)}",
                where=f"{self.kind} {entry}",
                remedy="add the file that has them, change the years of the run, or set `beyond` in the section of the "
                "adapter",
            )

    def offer(self, name: str, year: int | None = None) -> tuple[NamedAdapter, FieldInfo]:
        """The adapter of a variable in a year, with its description of the variable; errors as :meth:`read`."""
        index = self.find(name, year)
        return self.adapters[index], self._fields[index][name]

    def choose(self, crosswalk: Crosswalk, year: int) -> dict[str, tuple[str, ...]]:
        """The states of each group that have data in a year.

        Raises
        ------
        TimeError
            No adapter has data for that year.
        FieldError
            A state is missing.
        """
        states = sorted({name for names in crosswalk.states.values() for name in names} & self.names)
        if states and not self.available(year):
            self.find(states[0], year)
        return crosswalk.choose(self.available(year), where=self.at(year))

    def at(self, year: int) -> str:
        """A text for messages: the year and all adapters."""
        return f"{self.kind} of {year}: {', '.join(map(str, self.adapters))}"

    def offers(self, name: str) -> list[NamedAdapter]:
        """The adapters that have a variable, in the order of the search; of static fields only the first is used."""
        found = [entry for entry, fields in zip(self.adapters, self._fields, strict=True) if name in fields]
        return found[:1] if self.kind == "static" else found

    def source(self, name: str) -> str:
        """A text for messages: a variable and the adapters that deliver it."""
        return f"{self.kind} {', '.join(map(str, self.offers(name)))}, variable {name}"

    def cause_of_gaps(self, name: str) -> str | None:
        """Why values of a variable may be missing, as far as the attributes of its files tell."""
        return cause_of_gaps(name, [path for entry in self.offers(name) for path in entry.input_files().values()])

    def spans(self, name: str) -> list[str]:
        """Texts with the first and last year of a variable, for each adapter that has it."""
        return [
            f"{span[0]}-{span[1]}" + (" again and again" if entry.cycle else _then(entry))
            for i, entry in enumerate(self.adapters)
            if name in self._fields[i] and (span := self._data_span(i, name))
        ]

    # ---- one adapter ------------------------------------------------------------------------------------------

    def _has(self, index: int, name: str, year: int, months: Iterable[int] = (), *, stands_for: bool = True) -> bool:
        """Whether an adapter has data for a year, and for these months of it.

        ``stands_for``: data of another year count too (``beyond``).
        """
        info, entry = self._fields[index][name], self.adapters[index]
        year = entry.data_year(year, info.years if stands_for else None)
        if any((year, month) in info.month_gaps for month in months):
            return False
        return info.years is None or (info.years[0] <= year <= info.years[1] and year not in info.gaps)

    def _data_year(self, index: int, name: str, year: int | None) -> int | None:
        """The year of the data that an adapter has for a year of the run."""
        return None if year is None else self.adapters[index].data_year(year, self._fields[index][name].years)

    def _read(
        self, index: int, names: Sequence[str], grid: LatLonGrid, data_year: int | None
    ) -> dict[str, NDArray[np.float32]]:
        """Read variables of one adapter and one year of its data in its own units, and check them."""
        entry = self.adapters[index]
        dataset = entry.adapter.read(Request(tuple(names), grid, () if data_year is None else (data_year,)))
        where = f"{self.kind} {entry}" + ("" if data_year is None else f", year {data_year}")
        return self._checked(index, names, dataset, grid, data_year, where)

    def _checked(
        self, index: int, names: Sequence[str], dataset: Any, grid: LatLonGrid, data_year: int | None, where: str
    ) -> dict[str, NDArray[np.float32]]:
        """The values of a dataset that an adapter delivered, checked; float32 (rows, cols) by name."""
        entry, fields = self.adapters[index], self._fields[index]
        check_delivery(dataset, names, fields, grid, data_year, where)
        counts = Counter({fault: int(n) for fault, n in dataset.attrs.get("quality", {}).items()})
        read = {}
        for name in names:
            values = np.asarray(dataset[name].values, np.float32).reshape(grid.shape)
            read[name], found = check_values(name, values, fields[name].units, grid, where, self._policy)
            counts += found
            if data_year is not None and np.isnan(read[name]).all():
                raise DataError(
                    f"variable {name!r} has no data at all",
                    where=where,
                    remedy=self.cause_of_gaps(name) or "check that the file covers the region, and its mask",
                )
            counts += self._check_mask(index, name, read[name], grid, where)
        read, found = check_sums(read, where, self._policy)
        for fault, count in (counts + found).items():
            key = Mended(entry.name, fault, data_year, grid.hash)
            self.mended[key] = max(count, self.mended.get(key, 0))  # other variables of the year may come later
        return read

    def _check_mask(
        self, index: int, name: str, values: NDArray[np.float32], grid: LatLonGrid, where: str
    ) -> Counter[str]:
        """Check that variables with one mask have data in the same cells in all years as the first one that was read.

        Prepared data are not checked again.
        """
        rule = field_rule(name)
        if rule is None or rule.mask is None or self.adapters[index].adapter.prepared:
            return Counter()
        missing = np.isnan(values)
        first, mask = self._masks.setdefault((index, rule.mask, grid.hash), (f"{name!r} ({where})", missing))
        differ = missing != mask
        number = int(differ.sum())
        if number and self._policy == "stop":
            row, col = divmod(int(differ.argmax()), grid.nlon)
            raise DataError(
                f"variable {name!r} has data in other cells than {first}",
                expected=f"the {rule.mask} variables of a data set to have data in the same cells in every year",
                found=f"{number} cells that differ, the first at {grid.lat[row]:.4f} N {grid.lon[col]:.4f} E",
                where=where,
                remedy=self.cause_of_gaps(name)
                or "part of one of them is lost; `quality.policy: mend` counts such cells and lets them pass",
            )
        return Counter({"partly_missing": number}) if number else Counter()

    def _check_joints(self, index: int, names: Iterable[str], grid: LatLonGrid, year: int) -> None:
        """Compare two adapters in the year in which one of them follows the other for a variable."""
        before: dict[int, list[str]] = {}
        for name in names:
            served = self._served.setdefault(name, index)
            rule = field_rule(name)
            if served != index and rule is not None and rule.kind == "fraction":
                before.setdefault(served, []).append(name)
            self._served[name] = index
        for other, joined in before.items():
            self.compare(other, index, joined, grid)

    def compare(self, one: int, other: int, names: Sequence[str], grid: LatLonGrid) -> dict[str, float]:
        """Mean difference of fractions between two adapters, one of which follows the other.

        They are compared in a year that both have, else in the last year of one and the first year of the other.

        Raises
        ------
        DataError
            A difference is above ``jump``, under the policy ``stop``.
        """
        spans = [self._data_span(i, names[0]) for i in (one, other)]
        if spans[0] is None or spans[1] is None:
            return {}
        years = _joint(spans[0], spans[1])
        read = [self._read(i, names, grid, year) for i, year in zip((one, other), years, strict=True)]
        found = {}
        for name in names:
            gap = np.abs(read[0][name] - read[1][name])
            found[name] = float(np.nanmean(gap)) if np.isfinite(gap).any() else 0.0
        name = max(found, key=lambda key: found[key])
        one_, other_ = self.adapters[one], self.adapters[other]
        if found[name] > self._jump:
            if self._policy == "stop":
                raise DataError(
                    f"variable {name!r} jumps where one data set follows another",
                    expected=f"a mean difference of at most {self._jump:g} (quality.jump)",
                    found=f"{found[name]:.4g} between {years[0]} of {one_.name} and {years[1]} of {other_.name}",
                    where=f"{one_}, {other_}",
                    remedy="take the history that the scenario was harmonised with; where the jump is meant, raise the "
                    "limit: the run would show it as change of land",
                )
            self.mended[Mended(f"{one_.name} to {other_.name}", "jump", years[1], grid.hash)] = 1
        return found

    def _data_span(self, index: int, name: str) -> tuple[int, int] | None:
        """First and last year of the data of a variable, or of the cycle of the adapter if it has one."""
        return self.adapters[index].cycle or self._fields[index][name].years

    def _check_adapter(self, entry: NamedAdapter, fields: Mapping[str, FieldInfo]) -> None:
        """Check that the grid of an adapter is at its published place and that it has all years of its cycle."""
        where = f"{self.kind} {entry}"
        grid = entry.adapter.grid()
        if grid is not None:
            check_lattice(fields, grid, where)
        used = (entry.beyond.first, entry.beyond.last) if entry.beyond else entry.cycle
        if used is None or (entry.beyond and entry.beyond.holds):  # each variable has its own last year
            return
        spans = [info for info in fields.values() if info.years is not None]
        wanted = range(used[0], used[1] + 1)
        for info in spans:
            assert info.years is not None  # chosen so
            lacking = [y for y in wanted if not info.years[0] <= y <= info.years[1] or y in info.gaps]
            if lacking:
                raise TimeError(
                    f"the data lack a year that is to stand for others: {lacking[0]}",
                    expected=f"years from {info.years[0]} to {info.years[1]}",
                    found=f"{used[0]} to {used[1]}",
                    where=f"{where}, variable {info.name}",
                    remedy="change constant_year or repeat (with `beyond: cycle`: give repeat)",
                )


def make_catalogue(config: Config, plugins: Plugins, kind: Literal["forcing", "static", "climate"]) -> Catalogue:
    """Create the adapters of one kind that the configuration names."""
    choices: Sequence[PluginChoice] = getattr(config, kind)
    adapters = [make_adapter(config, plugins, f"{kind}[{i}]", choice) for i, choice in enumerate(choices)]
    return Catalogue(kind, adapters, config.quality.policy, config.quality.jump)


def _joint(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """The years in which two data sets are compared: one that both have, else the nearest two."""
    low, high = max(one[0], other[0]), min(one[1], other[1])
    if low <= high:
        return low, low
    return (one[1], other[0]) if one[1] < other[0] else (one[0], other[1])


def _then(entry: NamedAdapter) -> str:
    """A text for reports: the years that follow after the last year of the data."""
    beyond = entry.beyond
    if beyond is None:
        return ""
    return ", then held" if beyond.holds else f", then {beyond.first}-{beyond.last} again and again"


def total(mended: Mapping[Mended, int]) -> Counter[str]:
    """Counts by adapter and fault, summed over all years and windows."""
    counts: Counter[str] = Counter()
    for key, count in mended.items():
        if count:
            counts[f"{key.adapter}: {key.fault}"] += count
    return counts
