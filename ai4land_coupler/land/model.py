"""One time step on the land grid: the pure function ``advance``.

``advance`` computes the next land state from a land state, the forcing and the imports of a step. Apart from
static fields it reads no files. It does not change its arguments. Inputs may come from adapters or from a host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation import BlockResult, MapMaker
from ai4land_coupler.api import LOGITS
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.fields import FieldSpec, Tile
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import OUTSIDE, Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.core.state import LandState
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.assemble import TileInputs
from ai4land_coupler.land.forcing import StepForcing
from ai4land_coupler.land.predictors import NamedPredictor, waiting_for_imports
from ai4land_coupler.land.sliding import ExactTiling, Tiling
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import BlockPlan, Communicator, exchange_windows

#: Names of the arrays that the allocation carries from step to step (see ``MapMaker.begin``).
ALLOCATION_MEMORY = ("base_area", "base_share", "gross_carry", "unmet")


@dataclass(frozen=True)
class StepResult:
    """The new state, and sums for the diagnostics by id of this rank's blocks."""

    state: LandState
    diagnostics: Mapping[int, Mapping[str, NDArray[np.float64]]]


@dataclass(frozen=True)
class LandModel:
    """The predictors and the allocation on one block plan.

    Parameters
    ----------
    owner:
        Rank of each block.
    land_blocks:
        Ids of the blocks of all ranks that have land. Only these are predicted.
    predictors:
        In the order of a step (see :func:`order_predictors`).
    """

    comm: Communicator
    plan: BlockPlan
    owner: NDArray[np.int64]
    land_blocks: Sequence[int]
    legend: Legend
    predictors: Sequence[NamedPredictor]
    map_maker: MapMaker
    static: StaticReader
    rng: KeyedRng
    tiling: Tiling = field(default_factory=ExactTiling)
    timers: Timers = field(default_factory=Timers)

    @cached_property
    def late(self) -> frozenset[str]:
        """Names of the predictors that wait for a host's imports."""
        return waiting_for_imports(self.predictors)

    @cached_property
    def _tiles(self) -> dict[str, list[Tile]]:
        blocks = [self.plan.blocks[i] for i in self.land_blocks]
        return {
            entry.name: [self.tiling.tile(self.plan, block, entry.spec) for block in blocks]
            for entry in self.predictors
        }

    def tiles(self, entry: NamedPredictor) -> list[Tile]:
        """The tiles of all ranks on which a predictor runs."""
        return self._tiles[entry.name]

    def only(self, blocks: Sequence[int]) -> LandModel:
        """The same model on some of its blocks. The other blocks keep their state."""
        return replace(self, land_blocks=blocks)

    def advance(
        self, state: LandState, forcing: StepForcing, imports: Mapping[str, NDArray[np.float32]], clock: Clock
    ) -> StepResult:
        """Take one step. Collective over the communicator.

        Parameters
        ----------
        imports:
            Monthly fields of the host on the whole forcing grid, float32 (12, rows, cols).
        clock:
            The clock at the new year.
        """
        return self.complete(state, self.begin(state, forcing, clock), forcing, imports)

    def begin(self, state: LandState, forcing: StepForcing, clock: Clock) -> StepResult:
        """Take the part of a step that needs no imports. It may run before the host has finished the year."""
        diagnostics: dict[int, Mapping[str, NDArray[np.float64]]] = {}
        new = LandState(clock.now, state.cover, {}, dict(state.memory))
        early = [entry for entry in self.predictors if entry.name not in self.late]
        return self._run(early, state, new, forcing, {}, diagnostics)

    def complete(
        self,
        state: LandState,
        begun: StepResult,
        forcing: StepForcing,
        imports: Mapping[str, NDArray[np.float32]],
    ) -> StepResult:
        """Finish a step that :meth:`begin` started from the same state. Together they equal :meth:`advance`."""
        late = [entry for entry in self.predictors if entry.name in self.late]
        return self._run(late, state, begun.state, forcing, imports, dict(begun.diagnostics))

    def _run(
        self,
        entries: Sequence[NamedPredictor],
        state: LandState,
        new: LandState,
        forcing: StepForcing,
        imports: Mapping[str, NDArray[np.float32]],
        diagnostics: dict[int, Mapping[str, NDArray[np.float64]]],
    ) -> StepResult:
        for entry in entries:
            if entry.spec.interval.years:
                new = self._predict_year(entry, state, new, forcing, imports, diagnostics)
            else:
                new = self._predict_months(entry, state, new, forcing, imports)
        return StepResult(new.frozen(), diagnostics)

    def _predict_year(
        self,
        entry: NamedPredictor,
        state: LandState,
        new: LandState,
        forcing: StepForcing,
        imports: Mapping[str, NDArray[np.float32]],
        diagnostics: dict[int, Mapping[str, NDArray[np.float64]]],
    ) -> LandState:
        """Run a predictor with yearly (or longer) steps on this rank's tiles."""
        coarse = dict(forcing.fields) | {(name, 0): values.mean(axis=0) for name, values in imports.items()}
        inputs = self._inputs(entry, state, new, coarse)
        cover, fields, memory = dict(new.cover), _copy(new.fields), _copy(new.memory)
        with self.comm.guard():
            for tile, outputs in self._predict(entry, inputs, (new.year, 0)):
                for name, values in outputs.items():
                    if name == LOGITS:
                        made = self._allocate(tile, values, state, new, forcing)
                        cover[tile.id] = made.cover
                        diagnostics[tile.id] = made.diagnostics
                        for kept, value in made.memory.items():
                            memory[f"allocation.{kept}"][tile.id] = value
                    elif name in entry.spec.memory:
                        memory[entry.memory_name(name)][tile.id] = values
                    else:
                        fields.setdefault(name, {})[tile.id] = values
        return LandState(new.year, cover, fields, memory)

    def _predict_months(
        self,
        entry: NamedPredictor,
        state: LandState,
        new: LandState,
        forcing: StepForcing,
        imports: Mapping[str, NDArray[np.float32]],
    ) -> LandState:
        """Run a monthly predictor for the twelve months before 1 January of the new year."""
        months: dict[str, dict[int, list[NDArray[np.float32]]]] = {}
        for month in range(12):
            coarse = dict(forcing.fields) | {(name, 0): values[month] for name, values in imports.items()}
            inputs = self._inputs(entry, state, new, coarse)
            memory = _copy(new.memory)
            with self.comm.guard():
                for tile, outputs in self._predict(entry, inputs, (new.year, month + 1)):
                    for name, values in outputs.items():
                        if name in entry.spec.memory:
                            memory[entry.memory_name(name)][tile.id] = values
                        else:
                            months.setdefault(name, {}).setdefault(tile.id, []).append(values)
            new = LandState(new.year, new.cover, new.fields, memory)
        fields = _copy(new.fields)
        for name, blocks in months.items():
            fields[name] = {block: np.concatenate(values) for block, values in blocks.items()}
        return LandState(new.year, new.cover, fields, new.memory)

    def _allocate(
        self, tile: Tile, logits: NDArray[np.float32], state: LandState, new: LandState, forcing: StepForcing
    ) -> BlockResult:
        """Make the next map of one block from its last map and the memory of the allocation."""
        block = self.plan.blocks[tile.id]
        memory = {name: new.memory[f"allocation.{name}"][tile.id] for name in ALLOCATION_MEMORY}
        rows, cols = block.forcing.slices()
        shares = memory["base_share"] if forcing.shares is None else forcing.shares[:, rows, cols]
        with self.timers("allocate"):
            return self.map_maker.step(block, state.cover[tile.id], logits, shares, memory, self.rng.at(year=new.year))

    def _predict(self, entry: NamedPredictor, inputs: TileInputs, time: tuple[int, int]) -> Any:
        """Predict the tiles of this rank one by one, and measure the time."""
        own = [tile for tile in self._tiles[entry.name] if self.owner[tile.id] == self.comm.rank]
        stream = self.tiling.predict(entry.name, entry.predictor, own, inputs, time, self.rng.at(year=time[0]))
        while True:
            with self.timers(f"predict {entry.name}"):
                item = next(stream, None)
            if item is None:
                return
            yield item

    def _inputs(
        self,
        entry: NamedPredictor,
        state: LandState,
        new: LandState,
        coarse: Mapping[tuple[str, int], NDArray[np.float32]],
    ) -> TileInputs:
        """Exchange the halos of all land fields that the predictor reads, before the first tile is predicted."""
        windows: dict[tuple[str, int], dict[int, NDArray[Any]]] = {}
        with self.timers("exchange"):
            for field in entry.spec.inputs:
                for offset in field.offsets:
                    if field.source == "cover":
                        source = new if offset == 0 else state
                        classes = {i: self.legend.to_view(codes) for i, codes in source.cover.items()}
                        windows[field.name, offset] = self._windows(entry, classes, OUTSIDE, np.int8)
                    elif field.source == "output":
                        source = new if offset == 0 else state
                        windows[field.name, offset] = self._windows(entry, _last(source, field), np.nan, np.float32)
            for name in entry.spec.memory:
                windows[name, -1] = self._windows(entry, new.memory[entry.memory_name(name)], np.nan, np.float32)
        static = {field.name: field for field in entry.spec.inputs if field.source == "static"}

        def land(name: str, offset: int, tile: Tile) -> NDArray[Any]:
            if name in static:
                return self.static.read(static[name], tile.window)
            return windows[name, offset][tile.id]

        return TileInputs(self.plan.fine, self.plan.forcing, land, coarse)

    def _windows(
        self, entry: NamedPredictor, blocks: Mapping[int, NDArray[Any]], fill: float, dtype: Any
    ) -> dict[int, NDArray[Any]]:
        wanted: list[dict[int, Box]] = [{} for _ in range(self.comm.size)]
        for tile in self._tiles[entry.name]:
            wanted[int(self.owner[tile.id])][tile.id] = tile.window
        return exchange_windows(self.comm, self.plan, self.owner, blocks, wanted, fill, dtype)


def _copy(blocks: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[int, Any]]:
    return {name: dict(values) for name, values in blocks.items()}


def _last(state: LandState, field: FieldSpec) -> dict[int, NDArray[np.float32]]:
    """The last sample of the year of another predictor's output. Empty if it does not exist yet, or without land."""
    return {block: values[-1] for block, values in state.fields.get(field.name, {}).items()}
