"""One time step on the land grid: the pure function ``advance``.

``advance`` computes the next land state from a land state, the forcing and the imports of a step. Apart from
static fields it reads no files. It does not change its arguments. Inputs may come from adapters or from a host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation import BlockResult, MapMaker
from ai4land_coupler.api import LOGITS
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.fields import FieldSpec, Tile
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.core.state import Blocks, LandState
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.assemble import TileInputs
from ai4land_coupler.land.block_size import static_cache
from ai4land_coupler.land.forcing import StepForcing
from ai4land_coupler.land.predictors import NamedPredictor, order_predictors, waiting_for_imports
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.land.sliding import ExactTiling, Outputs, Tiling, make_tiling
from ai4land_coupler.land.stream import run_stream
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import BlockPlan, Communicator, WindowExchange

#: Names of the arrays that the allocation carries from step to step (see ``MapMaker.begin``).
ALLOCATION_MEMORY = ("base_area", "base_share", "gross_carry", "unmet")
#: Cells of windows that are read and allocated in the calling thread. Python's lock makes threads slower for them.
SMALL_WINDOW = 1 << 17

#: Gives a window of a field on the land grid.
LandField = Callable[[Box], NDArray[Any]]
T = TypeVar("T")


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
    parts:
        The part of a block that is predicted, by id; the whole block where there is none. The rest has no land.
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
    parts: Mapping[int, Box] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)

    @cached_property
    def late(self) -> frozenset[str]:
        """Names of the predictors that wait for a host's imports."""
        return waiting_for_imports(self.predictors)

    @cached_property
    def _tiles(self) -> dict[str, list[Tile]]:
        whole = (self.plan.blocks[i] for i in self.land_blocks)
        blocks = [replace(block, core=self.parts.get(block.id, block.core)) for block in whole]
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
        windows = self._inputs(entry, state, new) | self._memories(entry, new)

        def allocate(tile: Tile, outputs: Outputs) -> tuple[Tile, Outputs, BlockResult | None]:
            made = self._allocate(tile, outputs[LOGITS], state, new, forcing) if LOGITS in outputs else None
            return tile, {name: values for name, values in outputs.items() if name != LOGITS}, made

        cover, fields, memory = dict(new.cover), _copy(new.fields), _copy(new.memory)
        with self.comm.guard() as end_if_another_failed:
            results = self._predict(entry, windows, coarse, (new.year, 0), allocate, end_if_another_failed)
            for tile, outputs, made in results:
                if made is not None:
                    cover[tile.id] = made.cover
                    diagnostics[tile.id] = made.diagnostics
                    for kept, value in made.memory.items():
                        memory[f"allocation.{kept}"][tile.id] = value
                for name, values in outputs.items():
                    blocks = (
                        memory[entry.memory_name(name)] if name in entry.spec.memory else fields.setdefault(name, {})
                    )
                    blocks[tile.id] = self._on_block(tile, values)
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
        windows = self._inputs(entry, state, new)
        for month in range(12):
            coarse = dict(forcing.fields) | {(name, 0): values[month] for name, values in imports.items()}
            remembered, memory = self._memories(entry, new), _copy(new.memory)
            with self.comm.guard() as end_if_another_failed:
                time, given = (new.year, month + 1), windows | remembered
                results = self._predict(entry, given, coarse, time, lambda *result: result, end_if_another_failed)
                for tile, outputs in results:
                    for name, values in outputs.items():
                        if name in entry.spec.memory:
                            memory[entry.memory_name(name)][tile.id] = self._on_block(tile, values)
                        else:
                            whole = self._on_block(tile, values)
                            months.setdefault(name, {}).setdefault(tile.id, []).append(whole)
            new = LandState(new.year, new.cover, new.fields, memory)
        fields = _copy(new.fields)
        for name, blocks in months.items():
            # each block leaves the lists when it is joined, so that the months are not held twice
            fields[name] = {block: np.concatenate(blocks.pop(block)) for block in list(blocks)}
        return LandState(new.year, new.cover, fields, new.memory)

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

    def _predict(
        self,
        entry: NamedPredictor,
        windows: Mapping[tuple[str, int], LandField],
        coarse: Mapping[tuple[str, int], NDArray[np.float32]],
        time: tuple[int, int],
        finish: Callable[[Tile, Outputs], T],
        end_if_another_failed: Callable[[], None],
    ) -> list[T]:
        """Predict the tiles of this rank one by one. Returns what ``finish`` made of the tiles and their outputs."""
        own = [tile for tile in self._tiles[entry.name] if self.owner[tile.id] == self.comm.rank]
        land = {field.name: field for field in entry.spec.inputs if field.source == "static"}
        inputs = TileInputs(
            self.plan.fine,
            self.plan.forcing,
            lambda name, offset, tile: (
                self.static.read(land[name], tile.window) if name in land else windows[name, offset](tile.window)
            ),
            coarse,
        )

        work = self.tiling.work(entry.name, entry.predictor, own, inputs, time, self.rng.at(year=time[0]))

        threads = self._threads_of(entry, own)
        measure = self.timers.in_thread if threads else self.timers

        def read(tile: Tile) -> Any:
            with measure("assemble windows"):
                return work.read(tile)

        def predict(window: Any) -> Outputs:
            end_if_another_failed()
            with self.timers(f"predict {entry.name}"):
                return work.predict(window)

        def finish_tile(tile: Tile, outputs: Outputs) -> T:
            with measure("allocate"):
                return finish(tile, outputs)

        return run_stream(own, read, predict, finish_tile, threads, self.timers)

    def _threads_of(self, entry: NamedPredictor, tiles: Sequence[Tile]) -> int:
        """Threads that allocate while this predictor runs; 0 if the calling thread alone is faster. Same results.

        That is so for few or small tiles, and if the prediction is too short to hide the allocation, which the times of
        the steps before tell.
        """
        if len(tiles) < 2 or sum(tile.window.size for tile in tiles) < SMALL_WINDOW * len(tiles):
            return 0
        allocation = self.timers.seconds.get("allocate", 0.0) + self.timers.busy.get("allocate", 0.0)
        prediction = self.timers.seconds.get(f"predict {entry.name}", allocation)
        return 0 if self.threads == 1 and prediction < allocation else self.threads

    def _inputs(self, entry: NamedPredictor, state: LandState, new: LandState) -> dict[tuple[str, int], LandField]:
        """Exchange the halos of the maps and of other predictors' outputs that a predictor reads. Collective."""
        windows: dict[tuple[str, int], LandField] = {}
        with self.timers("exchange"):
            for field in entry.spec.inputs:
                for offset in field.offsets:
                    source = new if offset == 0 else state
                    if field.source == "cover":
                        windows[field.name, offset] = self._classes(entry, source.cover)
                    elif field.source == "output":
                        windows[field.name, offset] = self._values(entry, _last(source, field))
        return windows

    def _memories(self, entry: NamedPredictor, new: LandState) -> dict[tuple[str, int], LandField]:
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
        for name, tiles in self._tiles.items():
            wanted: list[list[Box]] = [[] for _ in range(self.comm.size)]
            for tile in tiles:
                wanted[int(self.owner[tile.id])].append(tile.window)
            made[name] = WindowExchange(self.comm, self.plan, self.owner, wanted)
        return made


def make_model(setup: LandSetup, parts: Mapping[int, Box], comm: Communicator) -> LandModel:
    """The model of a run on the blocks that have land. ``parts``: the box of each of them that is predicted, by id."""
    config = setup.config
    return LandModel(
        comm,
        setup.plan,
        setup.owner,
        sorted(parts),
        setup.legend,
        order_predictors(setup.predictors),
        setup.map_maker,
        StaticReader(setup.static, setup.grid, static_cache(config.parallel.memory)),
        KeyedRng(config.random.seed, config.random.member),
        make_tiling(config.parallel.tiling),
        config.parallel.threads,
        parts,
    )


def _copy(blocks: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[int, Any]]:
    return {name: dict(values) for name, values in blocks.items()}


def _last(state: LandState, field: FieldSpec) -> dict[int, NDArray[np.float32]]:
    """The last sample of the year of another predictor's output. Empty if it does not exist yet, or without land."""
    return {block: values[-1] for block, values in state.fields.get(field.name, {}).items()}
