"""Gives stored maps as logits, so that the component treats them like the output of a network.

Use it with the allocation method ``argmax``: then the run has exactly the stored classes. Logits only distinguish the
classes of the legend's view. So a stored forest type (41-45 of HILDA+ v1.0-f) is lost: a cell that becomes forest gets
the legend's code for new forest ("forest of unknown type", 40); a cell that was forest keeps the code that it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ai4land_coupler import api
from ai4land_replay.maps import REMEDY, open_maps

#: Logit of the stored class. The other six classes together have a probability of 6e-22, so that `sample` follows the
#: map too.
CERTAIN = 50.0


class ReplayOptions(api.Options):
    """Options of ``replay``: path of the maps, legend, step and direction of the run, and what follows the last map."""

    path: Path = Field(description="GeoTIFFs with {year} in their name, or a Zarr store that a run wrote.")
    legend: api.LegendName
    step: str = "P1Y"
    direction: Literal["forward", "backward"] = "forward"
    beyond: Literal["stop", "hold", "cycle"] = Field(
        "stop", description="after the last map: stop, hold the last map, or cycle all maps"
    )


class Replay(api.Predictor):
    """Predicts the stored map of the year. Cells outside of that map keep the class of the step before."""

    def __init__(self, options: ReplayOptions) -> None:
        self.legend = api.get_legend(options.legend)
        self.spec = api.PredictorSpec(
            inputs=(api.FieldSpec("land_cover", "1", source="cover", offsets=(-1,)),),
            outputs=(api.FieldSpec(api.LOGITS, "1", source="output"),),
            legend=options.legend,
            step=options.step,
            direction=1 if options.direction == "forward" else -1,
        )
        self._maps = open_maps(options.path, self.legend)
        self._beyond = options.beyond

    def check_years(self, years: Sequence[int]) -> None:
        """Refuse a run whose years are not all stored."""
        stored = self._maps.years()
        lacking = [year for year in years if self._map_year(year, stored) not in stored]
        if lacking:
            raise api.TimeError(
                f"there is no stored map of {lacking[0]}",
                expected=f"maps of every year of the run, {years[0]} to {years[-1]}",
                found=_spans(stored),
                where=self._maps.name(lacking[0]),
                remedy=REMEDY,
            )

    def _map_year(self, year: int, stored: Sequence[int]) -> int:
        """The year of the map that is used for a year of the run."""
        if self._beyond == "stop" or not stored or year <= stored[-1]:
            return year
        if self._beyond == "hold":
            return stored[-1]
        return stored[0] + (year - stored[-1] - 1) % (stored[-1] - stored[0] + 1)

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """Logits (B, class, Y, X): ``CERTAIN`` for the stored class, else 0; all 0 outside of the land.

        Raises
        ------
        TimeError
            If no map of this year is stored.
        GridError
            If the stored maps are not on the cells of the run's land grid.
        DataError
            If the map has codes that the legend does not have.
        """
        if batch.grid is None:
            raise api.PluginError("replay needs to know the land grid that the tiles count", expected="batch.grid")
        year = batch.time[0]
        if self._beyond != "stop":
            year = self._map_year(year, self._maps.years())
        where = self._maps.name(year)
        whole = api.register(self._maps.grid(year), batch.grid, where)
        stored = np.stack([self._maps.read(year, _window(whole, tile.window, batch.grid)) for tile in batch.tiles])
        self.legend.check(stored, where)
        cover = self.legend.to_view(stored)
        cover = np.where(cover == api.OUTSIDE, batch.fields["land_cover"][:, 0], cover)
        classes = np.arange(len(self.legend.view), dtype=np.int8)
        return {api.LOGITS: np.float32(CERTAIN) * (cover[:, None] == classes[:, None, None])}


def _window(whole: api.Registration, window: api.Box, grid: api.LatLonGrid) -> api.Registration:
    """The part of a registration inside a window. The window may cross the date line or extend beyond the grid."""
    rows = np.arange(window.row0, window.row1)
    cols = np.arange(window.col0, window.col1)
    if grid.periodic:
        cols %= grid.nlon
    return api.Registration(_pick(whole.rows, rows), _pick(whole.cols, cols))


def _pick(index: Any, at: Any) -> Any:
    inside = (at >= 0) & (at < index.size)
    return np.where(inside, index[np.clip(at, 0, index.size - 1)], -1)


def _spans(years: Sequence[int]) -> str:
    """Years as text, with ranges: ``2015-2018, 2020``."""
    starts = [year for year in years if year - 1 not in years]
    ends = [year for year in years if year + 1 not in years]
    parts = (f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
    return ", ".join(parts) or "none"
