"""Joins files of one kind along time, and compares them where one follows another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    DataError,
    GridError,
    InputFile,
    LatLonGrid,
    Registration,
    TimeError,
    open_netcdf,
    read_native_values,
    register,
)
from ai4land_luh2.layout import Layout, read_layout
from ai4land_luh2.variables import CROPS, FRACTIONS, KINDS, Kind, LuhVariable

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Joint:
    """The differences between two files in the first year of the later one, over the cells that both cover.

    Parameters
    ----------
    mean, largest:
        State to the mean and the largest absolute difference (fractions of the cell). If only one file has a state,
        the state counts as 0 in the other. If one file has ``crop``, the five crop states of the other are summed.
    cells:
        Number of cells that were compared.
    """

    year: int
    earlier: str
    later: str
    mean: Mapping[str, float]
    largest: Mapping[str, float]
    cells: int

    def jumps(self, tolerance: float) -> list[str]:
        """States whose mean difference exceeds a tolerance, the worst first."""
        return sorted((n for n, m in self.mean.items() if m > tolerance), key=lambda n: -self.mean[n])

    def line(self) -> str:
        """A line of text for users."""
        worst = max(self.mean, key=lambda n: self.mean[n])
        return (
            f"joined in {self.year}: states of {self.cells} cells differ by {self.mean[worst]:.2g} in the mean "
            f"({worst}), by {max(self.largest.values()):.2g} at most"
        )


@dataclass(frozen=True)
class Series:
    """Files of one kind, one after the other. Years that two files hold are read from the later one."""

    kind: Kind
    layouts: tuple[Layout, ...]

    @cached_property
    def variables(self) -> Mapping[str, LuhVariable]:
        """The variables that the files hold for the years that are read from them."""
        held = set().union(*(layout.units for layout, years in self._owned() if years or self.kind == "static"))
        return {name: variable for name, variable in KINDS[self.kind].items() if name in held}

    @property
    def grid(self) -> LatLonGrid:
        """The grid of the last file."""
        return self.layouts[-1].grid

    @property
    def where(self) -> str:
        return ", ".join(layout.where for layout in self.layouts)

    @property
    def first(self) -> int:
        return self.layouts[0].first

    @property
    def last(self) -> int:
        return max(layout.last for layout in self.layouts)

    def years(self, name: str) -> tuple[int, int]:
        """First and last year of a variable."""
        held = [year for layout, years in self._owned() if name in layout.units for year in years]
        return min(held), max(held)

    def gaps(self, name: str) -> tuple[int, ...]:
        """The years of a variable, between its first and last year, that no file holds."""
        held = {year for layout, years in self._owned() if name in layout.units for year in years}
        return tuple(sorted(set(range(min(held), max(held) + 1)) - held))

    def _owned(self) -> Iterator[tuple[Layout, list[int]]]:
        """Each file with the years that are read from it."""
        later: set[int] = set()
        for layout in reversed(self.layouts):
            yield layout, [year for year in layout.years if year not in later]
            later.update(layout.years)

    def owner(self, year: int) -> Layout:
        """The file from which a year is read.

        Raises
        ------
        TimeError
            No file holds the year. The error names the first and the last year.
        """
        for layout in reversed(self.layouts):
            if year in layout.years:
                return layout
        remedy = "change the years of the run, or choose files that cover them"
        if self.kind == "transitions":
            remedy += "; a transition belongs to the year it starts from, so they end a year before the states"
        raise TimeError(
            f"the year {year} is not in the data",
            expected=f"a year from {self.first} to {self.last}",
            found=year,
            where=self.where,
            remedy=remedy,
        )

    def gather(
        self, layout: Layout, names: Iterable[str], grid: LatLonGrid, year: int | None = None
    ) -> dict[str, Array]:
        """Read variables of one file, in the units of :data:`KINDS`, on the cells of a grid; NaN where missing.

        The result is float32 if the file holds float32 in these units, else float64.
        """
        place = register(layout.grid, grid, where=layout.where)
        step = () if year is None else (layout.years.index(year),)
        return _read(layout, {name: KINDS[self.kind][name] for name in names}, place, step)

    def joints(self) -> Iterator[Joint]:
        """The differences between each two successive files that hold the same year."""
        for earlier, later in pairwise(self.layouts):
            if later.first in earlier.years:
                yield self._joint(earlier, later)

    def _joint(self, earlier: Layout, later: Layout) -> Joint:
        year, grid = later.first, later.grid
        mean, largest, cells = {}, {}, 0
        for name, sides in _comparable(earlier, later).items():
            one, other = (
                np.sum([*self.gather(layout, parts, grid, year).values()], axis=0, dtype=np.float64)
                if parts
                else np.zeros(grid.shape)
                for layout, parts in zip((earlier, later), sides, strict=True)
            )
            difference = np.abs(one - other)
            difference = difference[np.isfinite(difference)]
            if difference.size:
                mean[name], largest[name] = float(difference.mean()), float(difference.max())
                cells = max(cells, difference.size)
        if not cells:
            raise DataError(
                "two files that follow one another share no cell with data",
                where=f"{earlier.where} and {later.where}, year {year}",
                remedy="choose files of the same region",
            )
        return Joint(year, earlier.where, later.where, mean, largest, cells)


def _comparable(earlier: Layout, later: Layout) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Name of a state -> the variables of each of the two files that sum to it."""
    together = any("crop" in x.units and not set(CROPS) & set(x.units) for x in (earlier, later))
    names = [n for n in FRACTIONS if not (together and n in CROPS)]
    parts = {n: (n,) for n in names} | ({"crop": CROPS} if together else {})
    found = {}
    for name, members in parts.items():
        sides = [(name,) if name in x.units else tuple(m for m in members if m in x.units) for x in (earlier, later)]
        if any(sides):
            found[name] = (sides[0], sides[1])
    return found


def _read(
    layout: Layout, wanted: Mapping[str, LuhVariable], place: Registration, step: tuple[int, ...]
) -> dict[str, Array]:
    arrays = {}
    with open_netcdf(layout.path, layout.where) as dataset:
        for name, variable in wanted.items():
            if name not in layout.units:
                raise DataError(
                    f"variable {name!r} is missing from a file, though files of other years have it",
                    where=layout.where,
                    remedy="ask for years of the other files, or drop the variable",
                )
            scale = variable.scale(layout.units[name], f"{layout.where}, variable {name!r}")
            exact = scale == 1 and dataset[name].dtype == np.float32
            array = place.gather(
                partial(read_native_values, dataset[name], *step), np.nan, np.float32 if exact else np.float64
            )
            arrays[name] = array if scale == 1 else scale * array
    return arrays


def open_series(kind: Kind, sources: Iterable[InputFile], history: Iterable[InputFile] = ()) -> Series:
    """Read the layouts of files of one kind and sort them by time.

    Parameters
    ----------
    history:
        Files that come before all others.

    Raises
    ------
    DataError
        Two files start in the same year, or the history starts after the other files.
    TimeError
        Years are missing between two files.
    GridError
        The grids do not fit.
    """
    if kind == "static":
        layouts = [read_layout(source, KINDS[kind], timed=False) for source in sources]
        if len(layouts) > 1:
            raise DataError("more than one static file", found=", ".join(layout.where for layout in layouts))
        return Series(kind, tuple(layouts))
    before, own = (
        sorted((read_layout(s, KINDS[kind], timed=True) for s in part), key=lambda layout: layout.first)
        for part in (history, sources)
    )
    for earlier, later in pairwise([*before, *own]):
        joint = earlier in before and later in own
        if earlier.first > later.first or (earlier.first == later.first and not joint):
            raise DataError(
                "the history starts after the scenario" if joint else f"two files of {kind} start in the same year",
                expected="files that follow one another",
                found=f"{earlier.where} from {earlier.first}, {later.where} from {later.first}",
                remedy="name one of them, or move the other (another version of it?) away",
            )
        if later.first > earlier.last + 1:
            raise TimeError(
                f"years are missing between two files of {kind}",
                expected=f"a file from {earlier.last} or {earlier.last + 1}",
                found=f"a file from {later.first}",
                where=f"{earlier.where} and {later.where}",
            )
        check_grid(f"{earlier.where} and {later.where} are not on one grid", earlier, later.grid)
    return Series(kind, (*before, *own))


def check_grid(what: str, layout: Layout, grid: LatLonGrid) -> None:
    """Refuse a file whose cells are not cells of a grid. The grid may be larger than the file."""
    try:
        register(layout.grid, grid, where=layout.where)
    except GridError as error:
        raise GridError(what, expected=grid, found=layout.grid, where=layout.where) from error
