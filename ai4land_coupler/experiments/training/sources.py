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


class MapSource(ABC):
    """Maps by year, forcing by name and year, and static fields by name. Boxes may reach beyond the map."""

    #: Whether all data are arrays in this process.
    in_memory: ClassVar[bool]

    @abstractmethod
    def cover(self, year: int, box: Box) -> NDArray[np.int8]:
        """Classes of the view of one year (rows, cols), -1 outside of the land and of the map."""

    @abstractmethod
    def static(self, names: Sequence[str], box: Box) -> dict[str, NDArray[np.float32]]:
        """Static fields over a box of the land grid (rows, cols), NaN where missing."""

    @abstractmethod
    def forcing(self, names: Sequence[str], year: int, box: Box) -> dict[str, NDArray[np.float32]]:
        """Forcing of a year of the maps over a box of the forcing grid (rows, cols), NaN where missing."""


@dataclass(frozen=True)
class MemorySource(MapSource):
    """Whole maps in memory.

    Parameters
    ----------
    fine:
        The land grid.
    covers:
        Classes of the view by year, (rows, cols), int8.
    statics:
        Fields by name, (rows, cols) of the land grid.
    coarse:
        Fields by (name, year of the map), (rows, cols) of the forcing grid.
    """

    in_memory = True
    fine: LatLonGrid
    covers: Mapping[int, NDArray[np.int8]]
    statics: Mapping[str, NDArray[np.float32]]
    coarse: Mapping[tuple[str, int], NDArray[np.float32]]

    def cover(self, year: int, box: Box) -> NDArray[np.int8]:
        return np.asarray(window_of(self.covers[year], box, periodic=self.fine.periodic), np.int8)

    def static(self, names: Sequence[str], box: Box) -> dict[str, NDArray[np.float32]]:
        periodic = self.fine.periodic
        return {
            name: np.asarray(window_of(self.statics[name], box, periodic=periodic, fill=np.nan), np.float32)
            for name in names
        }

    def forcing(self, names: Sequence[str], year: int, box: Box) -> dict[str, NDArray[np.float32]]:
        return {name: self.coarse[name, year][box.slices()] for name in names}


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

    def cover(self, year: int, box: Box) -> NDArray[np.int8]:
        part = self._on_map(box)
        codes = self.maps.read(Request((COVER,), self.fine.sub(part), (year,)))[COVER].values[0]
        return _padded(self.legend.to_view(codes), part, box, OUTSIDE)

    def static(self, names: Sequence[str], box: Box) -> dict[str, NDArray[np.float32]]:
        part = self._on_map(box)
        read = _read({name: self.statics[name] for name in names}, self.fine.sub(part), ())
        return {name: _padded(values, part, box, np.nan) for name, values in read.items()}

    def _on_map(self, box: Box) -> Box:
        """The part of a box that lies on the map. Columns go on across the last column of a globe."""
        part = box.intersect(self.fine.box)
        return Box(part.row0, part.row1, box.col0, box.col1) if self.fine.periodic else part

    def forcing(self, names: Sequence[str], year: int, box: Box) -> dict[str, NDArray[np.float32]]:
        data_year = year if self.fixed_year is None else self.fixed_year
        return _read({name: self.coarse[name, year] for name in names}, self.grid.sub(box), (data_year,))


def _padded(values: NDArray[T], part: Box, box: Box, fill: float) -> NDArray[T]:
    """The values of a part of a box, in the whole box."""
    if part == box:
        return values
    whole = np.full(box.shape, fill, values.dtype)
    whole[part.slices(box)] = values
    return whole


def _read(
    fields: Mapping[str, StoredField], grid: LatLonGrid, years: tuple[int, ...]
) -> dict[str, NDArray[np.float32]]:
    """Read fields in one call of each adapter."""
    found: dict[str, NDArray[np.float32]] = {}
    for adapter in {id(field.adapter): field.adapter for field in fields.values()}.values():
        names = tuple(name for name, field in fields.items() if field.adapter is adapter)
        data = adapter.read(Request(names, grid, years))
        for name in names:
            values = np.asarray(data[name].values, np.float32).reshape(grid.shape)
            scale = fields[name].factor
            found[name] = values if scale == 1 else values * np.float32(scale)
    return found
