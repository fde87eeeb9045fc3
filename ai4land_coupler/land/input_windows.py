"""The inputs of a predictor that change from step to step: ranks send each other the rims of blocks (halos)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.fields import Tile
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.state import Blocks, LandState
from ai4land_coupler.land.moments import LandSource
from ai4land_coupler.land.predictors import NamedPredictor
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import BlockPlan, Communicator, WindowExchange

#: Gives a window of a field on the land grid.
LandField = Callable[[Box], NDArray[Any]]
#: The fields of a predictor, by name and offset.
LandFields = dict[tuple[str, int], LandField]


@dataclass(frozen=True)
class InputWindows:
    """Windows of maps, of other predictors' outputs, and of memories.

    Parameters
    ----------
    owner:
        Rank of each block.
    tiles:
        The tiles of all ranks, by name of the predictor.
    """

    comm: Communicator
    plan: BlockPlan
    owner: NDArray[np.int64]
    legend: Legend
    tiles: Mapping[str, Sequence[Tile]]
    timers: Timers

    def inputs(
        self,
        entry: NamedPredictor,
        sources: Mapping[tuple[str, int], LandSource],
        held: Mapping[tuple[str, int, int], LandField],
    ) -> dict[tuple[str, int, int], LandField]:
        """Exchange the halos of the maps and of the outputs that a predictor reads. Collective.

        Parameters
        ----------
        sources:
            What it reads, by name and offset.
        held:
            What was exchanged for the month before: it is not exchanged again.

        Returns
        -------
        The windows, by the keys of the sources.
        """
        windows: dict[tuple[str, int, int], LandField] = {}
        with self.timers("exchange"):
            for source in sources.values():
                if source.key in held:
                    windows[source.key] = held[source.key]
                elif source.key not in windows:
                    exchange = self._classes if source.is_cover else self._values
                    windows[source.key] = exchange(entry, source.blocks)
        return windows

    def memories(self, entry: NamedPredictor, new: LandState) -> LandFields:
        """Exchange the halos of the memories of a predictor. Collective."""
        with self.timers("exchange"):
            return {(name, -1): self._values(entry, new.memory[entry.memory_name(name)]) for name in entry.spec.memory}

    def _classes(self, entry: NamedPredictor, cover: Blocks) -> LandField:
        """Windows of a map. Native codes are held and sent; each window is converted when it is read."""
        codes = self._exchanges[entry.name].collect(cover, self.legend.ocean[0], np.uint8)
        return lambda window: self.legend.to_view(codes.window(window))

    def _values(self, entry: NamedPredictor, blocks: Blocks) -> LandField:
        return self._exchanges[entry.name].collect(blocks, np.nan, np.float32).window

    @cached_property
    def _exchanges(self) -> dict[str, WindowExchange]:
        """What the ranks exchange for each predictor; the same in all steps."""
        made = {}
        for name, tiles in self.tiles.items():
            wanted: list[list[Box]] = [[] for _ in range(self.comm.size)]
            for tile in tiles:
                wanted[int(self.owner[tile.id])].append(tile.window)
            made[name] = WindowExchange(self.comm, self.plan, self.owner, wanted)
        return made
