"""The Piave sample as training data: a climatology of twelve months on 53 x 58 cells, with GlobCover's classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from ai4land_coupler.api import OUTSIDE, Batch, Box, LatLonGrid, Legend, PredictorSpec, Tile, TrainingChannel
from ai4land_coupler.core.legend import know_legend, make_legend
from ai4land_coupler.land.assemble import TileInputs, assemble, window_of

#: Cells in a block that is held out.
BLOCK = 9
YEAR = 2010
_TREES, _ICE, _LAKE = (40, 50, 60, 70, 90, 100), (220,), (210,)


def globcover(codes: tuple[int, ...]) -> Legend:
    """A legend with one class for each code of GlobCover (https://due.esrin.esa.int/page_globcover.php)."""

    def kind(code: int) -> str:
        return "trees" if code in _TREES else "land_ice" if code in _ICE else "lake" if code in _LAKE else "vegetation"

    return know_legend(
        make_legend(
            {
                "name": "globcover-piave",
                "title": "GlobCover, the classes of the Piave",
                "ocean": [0],
                "classes": {code: {"name": f"c{code}", "area_type": kind(code)} for code in codes},
                "view": {f"c{code}": {"codes": [code], "new": code, "colour": "#000000"} for code in codes},
            }
        )
    )


@dataclass(frozen=True)
class Piave:
    """Implements :class:`ai4land_coupler.api.FieldTrainingData`.

    Parameters
    ----------
    held:
        Blocks that are held out, by number.
    """

    legend: Legend
    grid: LatLonGrid
    cover: NDArray[np.int8]
    lai: NDArray[np.float32]
    static: Mapping[str, NDArray[np.float32]]
    held: tuple[int, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Piave:
        with xr.open_dataset(path) as data:
            codes = np.nan_to_num(data.globcover.values).astype(np.uint8)
            known = tuple(int(code) for code in np.unique(codes) if code)
            lat, lon = data.lat.values, data.lon.values
            lai, soil = data.lai.values.astype(np.float32), data.soil_texture.values
            height, slope = data.elevation.values, data.slope.values
        legend, step = globcover(known), 1 / 60
        grid = LatLonGrid(float(lon[0]) - step / 2, step, lon.size, float(lat[0]) + step / 2, -step, lat.size)
        static = {"elevation": height, "slope": slope, **terrain(height, slope)}
        static |= {f"soil_{int(k)}": np.where(np.isnan(soil), np.nan, soil == k) for k in np.unique(soil[soil > 0])}
        return cls(legend, grid, legend.to_view(codes), lai, {k: v.astype(np.float32) for k, v in static.items()})

    @property
    def block(self) -> NDArray[np.int64]:
        """Number of the block of each cell (rows, cols)."""
        rows, cols = np.indices(self.cover.shape)
        return np.asarray(rows // BLOCK * -(-self.cover.shape[1] // BLOCK) + cols // BLOCK)

    @property
    def has_held_out(self) -> bool:
        return bool(self.held)

    @property
    def channels(self) -> tuple[TrainingChannel, ...]:
        shown = (self.cover != OUTSIDE) & ~np.isin(self.block, self.held)
        return tuple(
            TrainingChannel(name, "1", "static", 0, "standard", float(v[shown].mean()), float(v[shown].std()) or 1.0)
            for name, v in self.static.items()
        )

    def inputs(self) -> TileInputs:
        fields = {**self.static, "land_cover": self.cover}

        def read(name: str, offset: int, tile: Tile) -> NDArray[Any]:
            fill = OUTSIDE if name == "land_cover" else np.nan
            return window_of(fields[name], tile.window, periodic=False, fill=fill)

        return TileInputs(self.grid, LatLonGrid(11.5, 0.25, 5, 46.75, -0.25, 4), read, {})

    def each_window(
        self, side: int, *, held_out: bool = False, spec: PredictorSpec
    ) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        rows, cols = self.cover.shape
        core = Box(0, rows, 0, cols)
        tile = Tile(0, core, Box(-spec.halo, rows + spec.halo, -spec.halo, cols + spec.halo))
        used = (self.cover != OUTSIDE) & (np.isin(self.block, self.held) == held_out)
        for month in range(1, 13):
            yield assemble(spec, [tile], self.inputs(), (YEAR, month)), np.where(used, self.lai[month - 1], np.nan)


def terrain(height: NDArray[np.floating], slope: NDArray[np.floating]) -> dict[str, NDArray[np.floating]]:
    """Means around each cell, height above them, and the direction of the slope."""
    known = ~np.isnan(height)

    def mean(values: NDArray[np.floating], radius: int) -> NDArray[np.floating]:
        sums, count = (
            uniform_filter(np.where(known, x, 0.0), 2 * radius + 1, mode="constant") for x in (values, known)
        )
        return np.where(known, sums / np.maximum(count, 1e-9), np.nan)

    found = {}
    for radius in (1, 2, 4, 8):
        found[f"elevation_mean_{radius}"] = mean(height, radius)
        found[f"elevation_above_{radius}"] = height - found[f"elevation_mean_{radius}"]
        found[f"slope_mean_{radius}"] = mean(slope, radius)
        squares = mean(height**2, radius) - found[f"elevation_mean_{radius}"] ** 2
        found[f"elevation_spread_{radius}"] = np.sqrt(np.maximum(squares, 0))
    down, right = (np.where(known, np.nan_to_num(x), np.nan) for x in np.gradient(height))
    return found | {"rise_south": down, "rise_east": right}
