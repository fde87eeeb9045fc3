"""Readers of the inputs of a step: forcing and climate on the whole forcing grid, static fields on windows of the
land grid."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.demand import group_shares
from ai4land_coupler.api import FieldSpec
from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.core.legend import Crosswalk
from ai4land_coupler.errors import GridError
from ai4land_coupler.inputs.catalogue import Catalogue

#: Bytes of static fields kept in memory. Others are read again in each step.
STATIC_CACHE = 1 << 28
#: Rows and columns of the pieces of the land grid in which static fields are read. The pieces depend on the grid only:
#: if an adapter interpolates, the last bits of its values depend on the corner of the requested grid.
STATIC_PIECE = 1024


class ForcingReader:
    """Reads forcing on the whole forcing grid of a domain, and keeps a few years of it in memory."""

    def __init__(self, catalogue: Catalogue, grid: LatLonGrid) -> None:
        self.catalogue, self.grid = catalogue, grid
        self._kept: dict[tuple[str, str, int], NDArray[np.float32]] = {}

    def read(self, names: Mapping[str, str], year: int) -> dict[str, NDArray[np.float32]]:
        """Read variables (name to units) of one year, float32 on the whole forcing grid."""
        lacking = {name: units for name, units in names.items() if (name, units, year) not in self._kept}
        if lacking:
            for name, values in self.catalogue.read(lacking, self.grid, year).items():
                self._kept[name, lacking[name], year] = values
            fractions = {name: values for (name, units, y), values in self._kept.items() if y == year and units == "1"}
            self.catalogue.check_land_sums(fractions, self.grid, year)
        return {name: self._kept[name, units, year] for name, units in names.items()}

    def shares(self, crosswalk: Crosswalk, year: int) -> NDArray[np.float64]:
        """The scenario's share of land of each group in a year, float64 (group, rows, cols); NaN without data."""
        chosen = self.catalogue.choose(crosswalk, year)
        return group_shares(crosswalk, self.read({name: "1" for names in chosen.values() for name in names}, year))

    def fields(self, specs: Iterable[FieldSpec], year: int) -> dict[str, NDArray[np.float32]]:
        """Read the fields of predictors. A variable that may be missing, and is, gets the fill value of its spec."""
        wanted, filled = {}, {}
        for spec in specs:
            if spec.name not in self.catalogue and spec.missing == "fill":
                filled[spec.name] = np.full(self.grid.shape, spec.fill, np.float32)
            else:
                wanted[spec.name] = spec.units
        return self.read(wanted, year) | filled

    def forget(self, keep: Iterable[int]) -> None:
        """Drop all years except these."""
        years = set(keep)
        self._kept = {key: value for key, value in self._kept.items() if key[2] in years}


class ClimateReader:
    """Reads the months before a state on the whole forcing grid. It holds those of one step."""

    def __init__(self, catalogue: Catalogue, grid: LatLonGrid) -> None:
        self._catalogue, self._grid = catalogue, grid
        #: By variable and units: the number of the first month (12 x year + month - 1), and the months.
        self._held: dict[tuple[str, str], tuple[int, NDArray[np.float32]]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._catalogue

    def check(self, name: str, year: int, count: int) -> None:
        """Check that the data have the months that :meth:`read` would read. No values are read.

        Raises
        ------
        TimeError
            A month is missing.
        """
        for own, months in _by_year(range(12 * year - count, 12 * year)).items():
            self._catalogue.find(name, own, months)

    def read(self, name: str, units: str, year: int, count: int) -> NDArray[np.float32]:
        """The last months before 1 January of a year, float32 (count, rows, cols). A year is read at a time."""
        first = 12 * year - count
        begin, held = self._held.get((name, units), (first, np.empty((0, *self._grid.shape), np.float32)))
        values = np.empty((count, *self._grid.shape), np.float32)
        numbers = range(first, 12 * year)
        known = [number for number in numbers if begin <= number < begin + len(held)]
        for number in known:
            values[number - first] = held[number - begin]
        for own, months in _by_year(sorted({*numbers} - {*known})).items():
            place = 12 * own + np.array(months) - 1 - first
            values[place] = self._catalogue.read_months(name, units, self._grid, own, months)
        self._held[name, units] = first, values
        return values


def _by_year(numbers: Iterable[int]) -> dict[int, list[int]]:
    """Numbers of months (12 x year + month - 1) as year -> months from 1 to 12."""
    years: dict[int, list[int]] = {}
    for number in numbers:
        years.setdefault(number // 12, []).append(number % 12 + 1)
    return years


class StaticReader:
    """Reads static fields on windows of the land grid. A cell has bit-identical values in all windows.

    Threads may share it: they read one after the other, because the netCDF library allows no more.

    Parameters
    ----------
    cache:
        Bytes that it may keep in memory. The first half is kept for the whole run: each step reads all windows in the
        same order, so a cache that only keeps the newest pieces would never hold the next one. The second half is for
        the newest pieces, which neighbouring windows share.
    """

    def __init__(self, catalogue: Catalogue, grid: LatLonGrid, cache: int = STATIC_CACHE) -> None:
        self.catalogue, self.grid = catalogue, grid
        self._cache = cache
        self._kept: dict[tuple[str, Box], NDArray[np.float32]] = {}
        self._newest: OrderedDict[tuple[str, Box], NDArray[np.float32]] = OrderedDict()
        self._kept_bytes = self._newest_bytes = 0
        self._lock = threading.Lock()

    def read(self, spec: FieldSpec, window: Box) -> NDArray[np.float32]:
        """Read a static field over a window; NaN if missing or outside the land grid, whose columns may be periodic."""
        if spec.name not in self.catalogue and spec.missing == "fill":
            return np.full(window.shape, spec.fill, np.float32)
        values = np.full(window.shape, np.nan, np.float32)
        for turn in (-1, 0, 1) if self.grid.periodic else (0,):
            shift = turn * self.grid.nlon
            seen = Box(window.row0, window.row1, window.col0 + shift, window.col1 + shift)
            for piece in self._pieces(seen.intersect(self.grid.box)):
                part = piece.intersect(seen)
                values[part.slices(seen)] = self._piece(spec, piece)[part.slices(piece)]
        return values

    def _pieces(self, box: Box) -> Iterator[Box]:
        """The pieces of the land grid that overlap a box."""
        if box.size:
            rows, cols = ((a - a % STATIC_PIECE, b) for a, b in ((box.row0, box.row1), (box.col0, box.col1)))
            for row in range(*rows, STATIC_PIECE):
                for col in range(*cols, STATIC_PIECE):
                    yield Box(row, row + STATIC_PIECE, col, col + STATIC_PIECE).intersect(self.grid.box)

    def _piece(self, spec: FieldSpec, piece: Box) -> NDArray[np.float32]:
        key = (spec.name, piece)
        with self._lock:
            if key in self._kept:
                return self._kept[key]
            if key in self._newest:
                self._newest.move_to_end(key)
                return self._newest[key]
            values = self.catalogue.read({spec.name: spec.units}, self.grid.sub(piece))[spec.name]
            if self._kept_bytes + values.nbytes <= self._cache // 2:
                self._kept[key] = values
                self._kept_bytes += values.nbytes
            else:
                self._newest[key] = values
                self._newest_bytes += values.nbytes
                while self._kept_bytes + self._newest_bytes > self._cache:
                    self._newest_bytes -= self._newest.popitem(last=False)[1].nbytes
            return values


def domain_forcing_grid(land: LatLonGrid, lattice: LatLonGrid, where: str) -> LatLonGrid:
    """The forcing cells that contain the centres of a land grid.

    Raises
    ------
    GridError
        The forcing is finer than the land grid.
    """
    if lattice.dlon < land.dlon or abs(lattice.dlat) < abs(land.dlat):
        raise GridError(
            "the forcing is finer than the land grid",
            expected=f"forcing cells of at least {land.dlon:.6g} degrees",
            found=f"{lattice.dlon:.6g} degrees",
            where=where,
        )
    return forcing_lattice(land, lattice)
