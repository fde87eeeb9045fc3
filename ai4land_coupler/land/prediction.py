"""The tiles of a rank: read, predicted and allocated one after the other, as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS
from ai4land_coupler.core.fields import Tile
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import PluginError
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.assemble import TileInputs
from ai4land_coupler.land.input_windows import LandField
from ai4land_coupler.land.predictors import NamedPredictor
from ai4land_coupler.land.sliding import Outputs, Tiling
from ai4land_coupler.land.stream import run_stream
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import BlockPlan

#: Cells of windows that are read and allocated in the calling thread. Python's lock makes threads slower for them.
SMALL_WINDOW = 1 << 17
T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What the predictions of all predictors share.

    Parameters
    ----------
    threads:
        Threads that allocate while the next tiles are predicted.
    """

    plan: BlockPlan
    static: StaticReader
    rng: KeyedRng
    tiling: Tiling
    threads: int
    timers: Timers

    def run(
        self,
        entry: NamedPredictor,
        tiles: Sequence[Tile],
        windows: Mapping[tuple[str, int], LandField],
        coarse: Mapping[tuple[str, int], NDArray[np.float32]],
        time: tuple[int, int],
        finish: Callable[[Tile, Outputs], T],
        end_if_another_failed: Callable[[], None],
    ) -> list[T]:
        """Predict tiles with one predictor. Local to a rank.

        Parameters
        ----------
        windows:
            Inputs on the land grid that are not static.
        coarse:
            Inputs on the whole forcing grid.
        time:
            Year and month that are predicted; the month is 0 for steps of years.
        finish:
            Gets the outputs of each block, maybe in another thread. If a block has one tile, these are the tile and its
            outputs over the core. If it has several, the core is the box around theirs; outside of the tiles, logits
            are 0 and other outputs NaN.
        end_if_another_failed:
            Called before each prediction.

        Returns
        -------
        What ``finish`` returned, in the order of the blocks.
        """
        static = {field.name: field for field in entry.spec.inputs if field.source == "static"}

        def land(name: str, offset: int, tile: Tile) -> NDArray[Any]:
            if name in static:
                return self.static.read(static[name], tile.window)
            return windows[name, offset](tile.window)

        inputs = TileInputs(self.plan.fine, self.plan.forcing, land, coarse)
        work = self.tiling.work(
            entry.name, entry.predictor, tiles, inputs, time, self.rng.at(year=time[0], month=time[1])
        )
        threads = self._threads_for(entry, tiles)
        measure = self.timers.in_thread if threads else self.timers

        blocks = _Blocks(tiles)

        def read(tile: Tile) -> tuple[Tile, Any]:
            with measure("assemble windows"):
                return tile, work.read(tile)

        def predict(given: tuple[Tile, Any]) -> tuple[Tile, Outputs] | None:
            end_if_another_failed()
            tile, window = given
            with self.timers(f"predict {entry.name}"):
                return blocks.add(tile, work.predict(window))

        def finish_block(tile: Tile, block: tuple[Tile, Outputs] | None) -> T | None:
            if block is None:
                return None
            with measure("allocate"):
                return finish(*block)

        results = run_stream(tiles, read, predict, finish_block, threads, self.timers)
        return [result for result in results if result is not None]

    def _threads_for(self, entry: NamedPredictor, tiles: Sequence[Tile]) -> int:
        """Threads that allocate while this predictor runs; 0 if the calling thread alone is faster. Same results.

        That is so for few or small tiles, and if the prediction is too short to hide the allocation, which the times of
        the steps before tell.
        """
        if len(tiles) < 2 or sum(tile.window.size for tile in tiles) < SMALL_WINDOW * len(tiles):
            return 0
        allocation = self.timers.seconds.get("allocate", 0.0) + self.timers.busy.get("allocate", 0.0)
        prediction = self.timers.seconds.get(f"predict {entry.name}", allocation)
        return 0 if self.threads == 1 and prediction < allocation else self.threads


class _Blocks:
    """Puts the outputs of the tiles of each block together.

    Parameters
    ----------
    tiles:
        All tiles, in the order in which they are predicted.
    """

    def __init__(self, tiles: Sequence[Tile]) -> None:
        self._left = Counter(tile.id for tile in tiles)
        self._core: dict[int, Box] = {}
        for tile in tiles:
            self._core[tile.id] = _around(self._core.get(tile.id, tile.core), tile.core)
        self._held: dict[int, Outputs] = {}

    def add(self, tile: Tile, outputs: Outputs) -> tuple[Tile, Outputs] | None:
        """Add the outputs of a tile. Returns those of its block with the last one."""
        core = self._core[tile.id]
        if tile.core == core:
            return tile, outputs
        held = self._held.setdefault(tile.id, {})
        for name, values in outputs.items():
            shape = (*values.shape[:-2], *core.shape)
            if name not in held:
                held[name] = np.full(shape, 0.0 if name == LOGITS else np.nan, np.float32)
            elif held[name].shape != shape:
                raise PluginError(
                    f"a predictor returned {name!r} with different times in two windows",
                    expected=held[name].shape[0],
                    found=shape[0],
                    where=f"block {tile.id}",
                )
            held[name][(..., *tile.core.slices(core))] = values
        self._left[tile.id] -= 1
        return None if self._left[tile.id] else (replace(tile, core=core), self._held.pop(tile.id))


def _around(one: Box, other: Box) -> Box:
    """The smallest box that holds two boxes."""
    return Box(
        min(one.row0, other.row0), max(one.row1, other.row1), min(one.col0, other.col0), max(one.col1, other.col1)
    )
