"""Which adapter delivers which variable, in the units, on the grid and for the year that a step needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.demand import group_shares
from ai4land_coupler.api import DataAdapter, FieldSpec, Request
from ai4land_coupler.errors import DataError, GridError, TimeError, nearest
from ai4land_coupler.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.legend import Crosswalk
from ai4land_coupler.units import factor

#: Bytes of static windows kept in memory; beyond it they are read anew each step.
STATIC_CACHE = 1 << 30


@dataclass(frozen=True)
class NamedAdapter:
    """An adapter and the name that messages and provenance give it."""

    name: str
    adapter: DataAdapter


class Catalogue:
    """The adapters of one kind (forcing or static), searched in the order of the configuration."""

    def __init__(self, kind: str, adapters: Sequence[NamedAdapter]) -> None:
        self.kind, self.adapters = kind, tuple(adapters)
        self._fields = [entry.adapter.fields() for entry in adapters]
        #: What adapters mended while reading, by (adapter, fault).
        self.quality: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        return any(name in fields for fields in self._fields)

    @property
    def names(self) -> set[str]:
        return {name for fields in self._fields for name in fields}

    def available(self, year: int) -> set[str]:
        """Names of the variables that there are for a year."""
        return {
            name
            for fields in self._fields
            for name, info in fields.items()
            if info.years is None or info.years[0] <= year <= info.years[1]
        }

    @property
    def lattice(self) -> LatLonGrid:
        """The grid of the first adapter that has one."""
        for entry in self.adapters:
            grid = entry.adapter.grid()
            if grid is not None:
                return grid
        raise GridError(
            f"no {self.kind} adapter says which grid its data are on", found=[a.name for a in self.adapters]
        )

    def read(
        self, names: Mapping[str, str], grid: LatLonGrid, year: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Read variables, each adapter once.

        Parameters
        ----------
        names:
            Variable to the units in which it is wanted.
        grid:
            Cells to deliver.
        year:
            The year, or ``None`` for static variables.

        Returns
        -------
        float32 (rows, cols) by name, NaN where missing.

        Raises
        ------
        DataError
            No adapter has a variable.
        TimeError
            None has it for that year; says which years there are.
        """
        by_adapter: dict[int, list[str]] = {}
        for name in names:
            by_adapter.setdefault(self._find(name, year), []).append(name)
        read = {}
        for index, wanted in by_adapter.items():
            entry = self.adapters[index]
            dataset = entry.adapter.read(Request(tuple(wanted), grid, () if year is None else (year,)))
            for fault, count in dataset.attrs.get("quality", {}).items():
                if count:
                    self.quality[f"{entry.name}: {fault}"] += int(count)
            for name in wanted:
                values = np.asarray(dataset[name].values, np.float32)
                where = f"{self.kind} {entry.name}, variable {name}"
                scale = factor(self._fields[index][name].units, names[name], where=where)
                values = values.reshape(values.shape[-2:])
                read[name] = values if scale == 1 else values * np.float32(scale)
        return read

    def _find(self, name: str, year: int | None) -> int:
        offers = [i for i, fields in enumerate(self._fields) if name in fields]
        if not offers:
            raise DataError(
                f"no {self.kind} adapter has the variable {name!r}",
                found=f"adapters {', '.join(a.name for a in self.adapters) or 'none'}",
                remedy=nearest(name, self.names),
            )
        for i in offers:
            span = self._fields[i][name].years
            if year is None or span is None or span[0] <= year <= span[1]:
                return i
        spans = "; ".join(
            f"{self.adapters[i].name}: {span[0]}-{span[1]}" for i in offers if (span := self._fields[i][name].years)
        )
        raise TimeError(
            f"no {self.kind} adapter has {name!r} for the year {year}",
            expected=spans,
            found=year,
            remedy="change time.start or time.stop, or add an adapter that covers the year",
        )


class ForcingReader:
    """Forcing on the whole forcing grid of a domain, a few years of it kept."""

    def __init__(self, catalogue: Catalogue, grid: LatLonGrid) -> None:
        self.catalogue, self.grid = catalogue, grid
        self._kept: dict[tuple[str, str, int], NDArray[np.float32]] = {}

    def read(self, names: Mapping[str, str], year: int) -> dict[str, NDArray[np.float32]]:
        """Variables (name to units) of one year, float32 on the whole forcing grid."""
        lacking = {name: units for name, units in names.items() if (name, units, year) not in self._kept}
        if lacking:
            for name, values in self.catalogue.read(lacking, self.grid, year).items():
                self._kept[name, lacking[name], year] = values
        return {name: self._kept[name, units, year] for name, units in names.items()}

    def shares(self, crosswalk: Crosswalk, year: int) -> NDArray[np.float64]:
        """The scenario's shares of land by group in a year, float64 (group, rows, cols); NaN without data."""
        chosen = crosswalk.choose(self.catalogue.available(year), where=f"forcing of {year}")
        return group_shares(crosswalk, self.read({name: "1" for names in chosen.values() for name in names}, year))

    def fields(self, specs: Iterable[FieldSpec], year: int) -> dict[str, NDArray[np.float32]]:
        """What predictors ask for, or the fill where a spec says that the variable may be missing."""
        wanted, filled = {}, {}
        for spec in specs:
            if spec.name not in self.catalogue and spec.missing == "fill":
                filled[spec.name] = np.full(self.grid.shape, spec.fill, np.float32)
            else:
                wanted[spec.name] = spec.units
        return self.read(wanted, year) | filled

    def forget(self, keep: Iterable[int]) -> None:
        """Drop all years but these."""
        years = set(keep)
        self._kept = {key: value for key, value in self._kept.items() if key[2] in years}


class StaticReader:
    """Static fields on windows of the land grid."""

    def __init__(self, catalogue: Catalogue, grid: LatLonGrid) -> None:
        self.catalogue, self.grid = catalogue, grid
        self._kept: dict[tuple[str, Box], NDArray[np.float32]] = {}
        self._bytes = 0

    def read(self, spec: FieldSpec, window: Box) -> NDArray[np.float32]:
        """A static field over a window, NaN beyond the poles and where data are missing."""
        key = (spec.name, window)
        if key in self._kept:
            return self._kept[key]
        if spec.name not in self.catalogue and spec.missing == "fill":
            return np.full(window.shape, spec.fill, np.float32)
        inside = Box(max(window.row0, 0), min(window.row1, self.grid.nlat), window.col0, window.col1)
        values = np.full(window.shape, np.nan, np.float32)
        values[inside.slices(window)] = self.catalogue.read({spec.name: spec.units}, self.grid.sub(inside))[spec.name]
        if self._bytes + values.nbytes <= STATIC_CACHE:
            self._kept[key] = values
            self._bytes += values.nbytes
        return values


def domain_forcing_grid(land: LatLonGrid, lattice: LatLonGrid, where: str) -> LatLonGrid:
    """The forcing cells that hold the centres of a land grid.

    Raises
    ------
    GridError
        When the forcing is finer than the land grid.
    """
    if lattice.dlon < land.dlon or abs(lattice.dlat) < abs(land.dlat):
        raise GridError(
            "the forcing is finer than the land grid",
            expected=f"forcing cells of at least {land.dlon:.6g} degrees",
            found=f"{lattice.dlon:.6g} degrees",
            where=where,
        )
    return forcing_lattice(land, lattice)
