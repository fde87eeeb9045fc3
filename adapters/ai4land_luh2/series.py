"""Joins files of one kind along time, and compares them where one follows another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    register,
)
from ai4land_luh2.joint import Joint, compare
from ai4land_luh2.layout import Layout, read_layout
from ai4land_luh2.variables import KINDS, PLANTATIONS, Kind, LuhVariable

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Series:
    """Files of one kind, one after the other. Years that two files hold are read from the later one.

    Parameters
    ----------
    history:
        The number of files, at the front, that belong to the history.
    joint_year:
        The first year that is not read from the history. Default: the first year of the files after it.
    """

    kind: Kind
    layouts: tuple[Layout, ...]
    history: int = 0
    joint_year: int | None = None
    _empty: dict[tuple[str, str, int], bool] = field(default_factory=dict, init=False, compare=False, repr=False)

    @cached_property
    def variables(self) -> Mapping[str, LuhVariable]:
        """The variables that the files hold for the years that are read from them."""
        held = set().union(*(layout.units for layout, years in self.owned() if years or self.kind == "static"))
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
        held = [year for layout, years in self.owned() if name in layout.units for year in years]
        return min(held), max(held)

    def gaps(self, name: str) -> tuple[int, ...]:
        """The years of a variable, between its first and last year, that no file holds."""
        held = {year for layout, years in self.owned() if name in layout.units for year in years}
        return tuple(sorted(set(range(min(held), max(held) + 1)) - held))

    def owned(self) -> Iterator[tuple[Layout, list[int]]]:
        """Each file with the years that are read from it."""
        later: set[int] = set()
        for number, layout in reversed([*enumerate(self.layouts)]):
            read = [year for year in layout.years if year not in later and not self._left_out(number, year)]
            yield layout, read
            later.update(read)

    def _left_out(self, number: int, year: int) -> bool:
        """Whether a year of a file is on the other side of ``joint_year``."""
        return self.joint_year is not None and (number >= self.history) == (year < self.joint_year)

    def owner(self, year: int) -> Layout:
        """The file from which a year is read.

        Raises
        ------
        TimeError
            No file holds the year. The error names the first and the last year.
        """
        for number, layout in reversed([*enumerate(self.layouts)]):
            if year in layout.years and not self._left_out(number, year):
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
        return _read(layout, {name: KINDS[self.kind][name] for name in names}, place, year)

    def no_data(self, layout: Layout, name: str, year: int) -> bool:
        """Whether a plantation variable has no value anywhere in a year of a file: it is known to be "no-data"."""
        if name not in PLANTATIONS or name not in layout.units:
            return False
        key = (layout.where, name, year)
        if key not in self._empty:
            with open_netcdf(layout.path, layout.where) as dataset:
                values = layout.read(dataset[name], year, slice(0, layout.grid.nlat), slice(0, layout.grid.nlon))
            self._empty[key] = bool(np.isnan(values).all())
        return self._empty[key]

    def joints(self) -> Iterator[Joint]:
        """The differences between each two successive files that hold the same year."""
        for number, (earlier, later) in enumerate(pairwise(self.layouts), 1):
            year = later.first
            if number == self.history and self.joint_year is not None:
                year = self.joint_year
            shared = [held for held in (year, year - 1) if held in earlier.years and held in later.years]
            if shared:
                yield compare(earlier, later, year, shared[0], self._sums)

    def _sums(self, layout: Layout, names: Sequence[str], year: int) -> NDArray[np.float64]:
        """Sum of variables of a file, on the grid of the last one. Plantations without data are no plantations."""
        names = [name for name in names if not self.no_data(layout, name, year)]
        if not names:
            return np.zeros(self.grid.shape)
        arrays = self.gather(layout, names, self.grid, year)
        return np.asarray(np.sum([*arrays.values()], axis=0, dtype=np.float64))


def _read(layout: Layout, wanted: Mapping[str, LuhVariable], place: Registration, year: int | None) -> dict[str, Array]:
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
            read = partial(layout.read, dataset[name], year)
            array = place.gather(read, np.nan, np.float32 if exact else np.float64)
            arrays[name] = array if scale == 1 else scale * array
    return arrays


def open_series(
    kind: Kind, sources: Iterable[InputFile], history: Iterable[InputFile] = (), joint_year: int | None = None
) -> Series:
    """Read the layouts of files of one kind and sort them by time.

    Parameters
    ----------
    history:
        Files that come before all others.
    joint_year:
        The first year that is not read from the history. Default: the first year of the other files.

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
    if joint_year is not None and before and kind == "transitions":
        joint_year = min(joint_year, before[-1].last + 1)  # they end a year before the states
    if joint_year is not None and before and not own[0].first <= joint_year <= before[-1].last + 1:
        raise TimeError(
            f"the history and the scenario cannot be joined in {joint_year}",
            expected=f"a `joint_year` from {own[0].first} to {before[-1].last + 1}: the scenario must have that year, "
            "and the history the year before it",
            found=joint_year,
            where=f"{kind}: {before[-1].where} and {own[0].where}",
            remedy="choose another `joint_year`, or leave it out: then the scenario is read from its first year on",
        )
    return Series(kind, (*before, *own), len(before), joint_year if before else None)


def check_grid(what: str, layout: Layout, grid: LatLonGrid) -> None:
    """Refuse a file whose cells are not cells of a grid. The grid may be larger than the file."""
    try:
        register(layout.grid, grid, where=layout.where)
    except GridError as error:
        difference = error.what.rpartition(": ")[2]  # the texts of two grids may look the same
        raise GridError(f"{what}: {difference}", expected=grid, found=layout.grid, where=layout.where) from error
