"""Where a training reads its maps and fields: arrays in memory, or windows of a prepared store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataAdapter, Request
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE, Legend
from ai4land_coupler.land.assemble import window_of

COVER = "land_cover"
T = TypeVar("T", np.int8, np.float32)
Y = TypeVar("Y", int, None)


class MapSource(ABC):
    """Maps by year, forcing by name and year, and static fields by name. Boxes may reach beyond the map."""

    #: Whether all data are arrays in this process.
    in_memory: ClassVar[bool]

    @abstractmethod
    def covers(self, years: Sequence[int], box: Box) -> dict[int, NDArray[np.int8]]:
        """Classes of the view by year, each (rows, cols), -1 outside of the land and of the map."""

    @abstractmethod
    def static(self, names: Sequence[str], box: Box) -> dict[str, NDArray[np.float32]]:
        """Static fields over a box of the land grid (rows, cols), NaN where missing."""

    @abstractmethod
    def forcing(self, wanted: Sequence[tuple[str, int]], box: Box) -> dict[tuple[str, int], NDArray[np.float32]]:
        """Forcing by (name, year of the map) over a box of the forcing grid (rows, cols), NaN where missing."""


@dataclass(frozen=True)
class MemorySource(MapSource):
    """Whole maps in memory.

    Parameters
    ----------
    fine:
        The land grid.
    maps:
        Classes of the view by year, (rows, cols), int8.
    statics:
        Fields by name, (rows, cols) of the land grid.
    coarse:
        Fields by (name, year of the map), (rows, cols) of the forcing grid.
    """

    in_memory = True
    fine: LatLonGrid
    maps: Mapping[int, NDArray[np.int8]]
    statics: Mapping[str, NDArray[np.float32]]
    coarse: Mapping[tuple[str, int], NDArray[np.float32]]

    def covers(self, years: Sequence[int], box: Box) -> dict[int, NDArray[np.int8]]:
        periodic = self.fine.periodic
        return {year: np.asarray(window_of(self.maps[year], box, periodic=periodic), np.int8) for year in years}

    def static(self, names: Sequence[str], box: Box) -> dict[str, NDArray[np.float32]]:
        periodic = self.fine.periodic
        return {
            name: np.asarray(window_of(self.statics[name], box, periodic=periodic, fill=np.nan), np.float32)
            for name in names
        }

    def forcing(self, wanted: Sequence[tuple[str, int]], box: Box) -> dict[tuple[str, int], NDArray[np.float32]]:
        return {key: self.coarse[key][box.slices()] for key in wanted}


@dataclass(frozen=True)
class StoredField:
    """One variable of a store: the adapter that reads it, and the factor to the units of the training."""

    adapter: DataAdapter
    factor: float


@dataclass(frozen=True)
class StoreSource(MapSource):
    """Windows of prepared stores, read when they are asked for. Keeps nothing, so its memory has a bound.

    Parameters
    ----------
    fine, grid:
        The land grid and the forcing grid.
    maps:
        Adapter of the maps.
    legend:
        Legend of the maps.
    statics:
        Static fields by name.
    coarse:
        Forcing by (name, year of the map).
    fixed_year:
        The year whose forcing is used for all years.
    """

    in_memory = False
    fine: LatLonGrid
    grid: LatLonGrid
    maps: DataAdapter
    legend: Legend
    statics: Mapping[str, StoredField]
    coarse: Mapping[tuple[str, int], StoredField]
    fixed_year: int | None = None

    def covers(self, years: Sequence[int], box: Box) -> dict[int, NDArray[np.int8]]:
        part = self._on_map(box)
        codes = self.maps.read(Request((COVER,), self.fine.sub(part), tuple(years))).variables[COVER].values
        return {
            year: _padded(self.legend.to_view(layer), part, box, OUTSIDE)
            for year, layer in zip(years, codes, strict=True)
        }

    def static(self, names: Sequence[str], box: Box) -> dict[str, NDArray[np.float32]]:
        part = self._on_map(box)
        grid = self.fine.sub(part)
        found: dict[str, NDArray[np.float32]] = {}
        for (adapter, _), together in _together({(name, None): self.statics[name] for name in names}).items():
            data = adapter.read(Request(together, grid, ()))
            for name in together:
                values = _scaled(data.variables[name].values, self.statics[name].factor)
                found[name] = _padded(values, part, box, np.nan)
        return found

    def _on_map(self, box: Box) -> Box:
        """The part of a box that lies on the map. Columns go on across the last column of a globe."""
        part = box.intersect(self.fine.box)
        return Box(part.row0, part.row1, box.col0, box.col1) if self.fine.periodic else part

    def forcing(self, wanted: Sequence[tuple[str, int]], box: Box) -> dict[tuple[str, int], NDArray[np.float32]]:
        grid = self.grid.sub(box)
        found: dict[tuple[str, int], NDArray[np.float32]] = {}
        for (adapter, years), names in _together({key: self.coarse[key] for key in wanted}).items():
            data = adapter.read(Request(names, grid, years if self.fixed_year is None else (self.fixed_year,)))
            for name in names:
                layers = data.variables[name].values
                for index, year in enumerate(years):
                    layer = layers[index if self.fixed_year is None else 0]
                    found[name, year] = _scaled(layer, self.coarse[name, year].factor)
        return found


def _together(fields: Mapping[tuple[str, Y], StoredField]) -> dict[tuple[DataAdapter, tuple[Y, ...]], tuple[str, ...]]:
    """The names that one call of an adapter reads, by adapter and years. Few calls are fast."""
    years: dict[tuple[DataAdapter, str], list[Y]] = {}
    for (name, year), field in fields.items():
        years.setdefault((field.adapter, name), []).append(year)
    names: dict[tuple[DataAdapter, tuple[Y, ...]], list[str]] = {}
    for (adapter, name), of_name in years.items():
        names.setdefault((adapter, tuple(of_name)), []).append(name)
    return {key: tuple(together) for key, together in names.items()}


def _scaled(values: NDArray[np.generic], scale: float) -> NDArray[np.float32]:
    found = np.asarray(values, np.float32)
    return found if scale == 1 else found * np.float32(scale)


def _padded(values: NDArray[T], part: Box, box: Box, fill: float) -> NDArray[T]:
    """The values of a part of a box, in the whole box."""
    if part == box:
        return values
    whole = np.full(box.shape, fill, values.dtype)
    whole[part.slices(box)] = values
    return whole
