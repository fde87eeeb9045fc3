"""Observed maps, read window by window."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataAdapter, Request
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE, Legend
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig
from ai4land_coupler.experiments.training.split import Split
from ai4land_coupler.land.assemble import window_of

#: Bands of rows that are kept in memory.
_KEPT = 4


@dataclass
class ObservedMaps:
    """The observed maps of some years.

    Neighbouring windows share rows, so a band of whole rows is read at once, and a few bands are kept. Memory grows
    with the width of the maps, not with their height or the number of years.
    """

    adapter: DataAdapter
    grid: LatLonGrid
    legend: Legend
    _bands: OrderedDict[tuple[int, int, int], NDArray[np.uint8]] = field(default_factory=OrderedDict)

    def codes(self, year: int, window: Box) -> NDArray[np.uint8]:
        """Native codes of a window, which may reach beyond the grid; there it has the legend's code for no data."""
        rows = window.intersect(self.grid.box)
        band = self._band(year, rows.row0, rows.row1)
        inside = Box(window.row0 - rows.row0, window.row1 - rows.row0, window.col0, window.col1)
        found = window_of(band, inside, periodic=self.grid.periodic, fill=self.legend.no_data)
        return np.asarray(found, np.uint8)

    def classes(self, year: int, window: Box) -> NDArray[np.int8]:
        """Classes of a window, ``OUTSIDE`` in the sea and beyond the grid."""
        return self.legend.to_view(self.codes(year, window))

    def _band(self, year: int, row0: int, row1: int) -> NDArray[np.uint8]:
        for (kept_year, first, last), band in self._bands.items():
            if kept_year == year and first <= row0 and row1 <= last:
                self._bands.move_to_end((kept_year, first, last))
                return band[row0 - first : row1 - first]
        grid = self.grid.sub(Box(row0, row1, 0, self.grid.nlon))
        found = self.adapter.read(Request(("land_cover",), grid, (year,)))["land_cover"]
        if found.attrs.get("legend") != self.legend.name:
            raise ConfigError(
                "the observed maps have another legend than the evaluation",
                expected=self.legend.name,
                found=found.attrs.get("legend"),
                where="cover",
                remedy="choose the same legend in `legend` and in the options of `cover`",
            )
        band = np.asarray(found.values[0], np.uint8)
        self._bands[year, row0, row1] = band
        while len(self._bands) > _KEPT:
            self._bands.popitem(last=False)
        return band


@dataclass(frozen=True)
class Judging:
    """Which cells are judged: those that are held out, and all cells without ``split``."""

    split: Split | None

    @classmethod
    def make(cls, config: EvaluateConfig, grid: LatLonGrid) -> Judging:
        """From the section ``held_out``."""
        return cls(None if config.held_out is None else config.held_out.split(grid, config.base))

    def cells(self, box: Box, *maps: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Cells of a box that are held out and are land in all maps, (rows, cols)."""
        land = np.logical_and.reduce([part != OUTSIDE for part in maps])
        return np.asarray(land if self.split is None else land & self.split.held_out(box))
