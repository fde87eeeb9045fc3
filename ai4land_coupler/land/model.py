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
from ai4land_coupler.core.fields import Tile
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import PluginError
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.block_size import static_cache
from ai4land_coupler.land.forcing import StepForcing
from ai4land_coupler.land.input_windows import InputWindows, LandField, LandFields
from ai4land_coupler.land.moments import (
    LandSource,
    coarse_fields,
    history_depths,
    land_sources,
    monthly_outputs,
    next_history,
    predicted,
)
from ai4land_coupler.land.prediction import Prediction
from ai4land_coupler.land.predictors import NamedPredictor, order_predictors, waiting_for_imports
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.land.sliding import ExactTiling, Outputs, Tiling, make_tiling
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import BlockPlan, Communicator

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
    cores:
        The cores of the tiles of a block, by id; the whole block where there are none. The rest has no land.
    threads:
        Threads that allocate while the next tiles are predicted.
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
    threads: int = 1
    cores: Mapping[int, Sequence[Box]] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)

    @cached_property
    def late(self) -> frozenset[str]:
        """Names of the predictors that wait for a host's imports."""
        return waiting_for_imports(self.predictors)

    @cached_property
    def monthly(self) -> frozenset[str]:
        """Names of the outputs with one value in each month."""
        return monthly_outputs(self.predictors)

    @cached_property
    def history(self) -> dict[str, int]:
        """How many states before the last one are kept of the map and of each field."""
        return history_depths(self.predictors)

    @cached_property
    def _tiles(self) -> dict[str, list[Tile]]:
        whole = (self.plan.blocks[i] for i in self.land_blocks)
        blocks = [replace(block, core=core) for block in whole for core in self.cores.get(block.id, (block.core,))]
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
            Monthly fields of the host on the whole forcing grid, float32 (months, rows, cols): as many months before 1
            January of the new year as predictors read, the last one is December.
        clock:
            The clock at the new year.
        """
        return self.complete(state, self.begin(state, forcing, clock), forcing, imports)

    def begin(self, state: LandState, forcing: StepForcing, clock: Clock) -> StepResult:
        """Take the part of a step that needs no imports. It may run before the host has finished the year."""
        diagnostics: dict[int, Mapping[str, NDArray[np.float64]]] = {}
        new = LandState(clock.now, state.cover, {}, dict(state.memory), next_history(state, self.history))
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
            if entry.spec.monthly:
                new = self._predict_months(entry, state, new, forcing, imports)
            else:
                new = self._predict_year(entry, state, new, forcing, imports, diagnostics)
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
        time = (new.year, 0)
        coarse = coarse_fields(entry.spec, time, forcing.fields, imports)
        sources = land_sources(entry.spec, time, state, new, {}, self.monthly)
        held = self._windows.inputs(entry, sources, {})
        windows = _by_offset(sources, held) | self._windows.memories(entry, new)

        def allocate(tile: Tile, outputs: Outputs) -> tuple[Tile, Outputs, BlockResult | None]:
            made = self._allocate(tile, outputs[LOGITS], state, new, forcing) if LOGITS in outputs else None
            return tile, {name: values for name, values in outputs.items() if name != LOGITS}, made

        cover, fields, memory = dict(new.cover), _copy(new.fields), _copy(new.memory)
        with self.comm.guard() as end_if_another_failed:
            results = self._prediction.run(
                entry, self._own_tiles(entry), windows, coarse, time, allocate, end_if_another_failed
            )
            for tile, outputs, made in results:
                if made is not None:
                    cover[tile.id] = made.cover
                    diagnostics[tile.id] = made.diagnostics
                    for kept, value in made.memory.items():
                        memory[f"allocation.{kept}"][tile.id] = value
                for name, values in outputs.items():
                    if name in entry.spec.memory:
                        memory[entry.memory_name(name)][tile.id] = self._on_block(tile, values)
                    else:
                        fields.setdefault(name, {})[tile.id] = self._on_block(tile, _one_time(entry, name, values))
        return replace(new, cover=cover, fields=fields, memory=memory)

    def _predict_months(
        self,
        entry: NamedPredictor,
        state: LandState,
        new: LandState,
        forcing: StepForcing,
        imports: Mapping[str, NDArray[np.float32]],
    ) -> LandState:
        """Run a monthly predictor for the twelve months before 1 January of the new year."""
        made: dict[str, list[dict[int, NDArray[np.float32]]]] = {output.name: [] for output in entry.spec.outputs}
        held: dict[tuple[str, int, int], LandField] = {}
        tiles = self._own_tiles(entry)
        for time in predicted(entry.spec, new.year):
            coarse = coarse_fields(entry.spec, time, forcing.fields, imports)
            sources = land_sources(entry.spec, time, state, new, made, self.monthly)
            held = self._windows.inputs(entry, sources, held)
            windows = _by_offset(sources, held) | self._windows.memories(entry, new)
            memory = _copy(new.memory)
            with self.comm.guard() as end_if_another_failed:
                for months in made.values():
                    months.append({})
                results = self._prediction.run(
                    entry, tiles, windows, coarse, time, lambda *result: result, end_if_another_failed
                )
                for tile, outputs in results:
                    for name, values in outputs.items():
                        if name in entry.spec.memory:
                            memory[entry.memory_name(name)][tile.id] = self._on_block(tile, values)
                        else:
                            made[name][-1][tile.id] = self._on_block(tile, _one_time(entry, name, values))
            new = replace(new, memory=memory)
        fields = _copy(new.fields)
        for name, months in made.items():
            # each block leaves the months when they are joined, so that they are not held twice
            fields[name] = {i: np.concatenate([month.pop(i) for month in months]) for i in list(months[0])}
        return replace(new, fields=fields)

    def _allocate(
        self, tile: Tile, logits: NDArray[np.float32], state: LandState, new: LandState, forcing: StepForcing
    ) -> BlockResult:
        """Make the next map of one block from its last map and the memory of the allocation."""
        block, before = self.plan.blocks[tile.id], state.cover[tile.id]
        part, inside = replace(block, core=tile.core), tile.core.slices(block.core)
        memory = {name: new.memory[f"allocation.{name}"][tile.id] for name in ALLOCATION_MEMORY}
        rows, cols = block.forcing.slices()
        shares = memory["base_share"] if forcing.shares is None else forcing.shares[:, rows, cols]
        made = self.map_maker.step(part, before[inside], logits, shares, memory, self.rng.at(year=new.year))
        if tile.core == block.core:
            return made
        cover = before.copy()
        cover[inside] = made.cover
        return replace(made, cover=cover)

    def _on_block(self, tile: Tile, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of a tile on the cells of its block, NaN on those outside of the tile."""
        core = self.plan.blocks[tile.id].core
        if tile.core == core:
            return values
        whole = np.full((*values.shape[:-2], *core.shape), np.nan, np.float32)
        whole[(..., *tile.core.slices(core))] = values
        return whole

    @cached_property
    def _windows(self) -> InputWindows:
        return InputWindows(self.comm, self.plan, self.owner, self.legend, self._tiles, self.timers)

    @cached_property
    def _prediction(self) -> Prediction:
        return Prediction(self.plan, self.static, self.rng, self.tiling, self.threads, self.timers)

    def _own_tiles(self, entry: NamedPredictor) -> list[Tile]:
        return [tile for tile in self._tiles[entry.name] if self.owner[tile.id] == self.comm.rank]


def make_model(setup: LandSetup, cores: Mapping[int, Sequence[Box]], comm: Communicator) -> LandModel:
    """The model of a run on the blocks that have land. ``cores``: the cores of the tiles of each of them, by id."""
    config = setup.config
    return LandModel(
        comm,
        setup.plan,
        setup.owner,
        sorted(cores),
        setup.legend,
        order_predictors(setup.predictors),
        setup.map_maker,
        StaticReader(setup.static, setup.grid, static_cache(config.parallel.memory)),
        KeyedRng(config.random.seed, config.random.member),
        make_tiling(config.parallel.tiling),
        config.parallel.threads,
        cores,
    )


def _by_offset(
    sources: Mapping[tuple[str, int], LandSource], held: Mapping[tuple[str, int, int], LandField]
) -> LandFields:
    return {wanted: held[source.key] for wanted, source in sources.items()}


def _one_time(entry: NamedPredictor, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The values of an output if they are of one time: the predicted one."""
    if len(values) != 1:
        raise PluginError(
            f"a predictor returned {name!r} at several times",
            expected=f"one: the {'month' if entry.spec.monthly else 'year'} that is predicted",
            found=len(values),
            where=f"predictor {entry.name!r}",
        )
    return values


def _copy(blocks: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[int, Any]]:
    return {name: dict(values) for name, values in blocks.items()}
