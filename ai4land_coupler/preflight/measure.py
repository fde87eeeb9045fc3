"""Measures parts of a run for an estimate of its cost: some typical tiles, and the output of one block."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from ai4land_coupler.component.output import RunOutput
from ai4land_coupler.component.performance import peak_memory
from ai4land_coupler.component.threads import torch_threads
from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.state import LandState
from ai4land_coupler.host.field_table import make_field_table
from ai4land_coupler.host.grids import HostGrids
from ai4land_coupler.host.imports import HostImports
from ai4land_coupler.land.dealing import predicted_cores
from ai4land_coupler.land.first_state import FirstState, read_blocks
from ai4land_coupler.land.forcing import LandForcing
from ai4land_coupler.land.model import LandModel, make_model
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.land.sliding import make_tiling
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.store.output import OutputStore
from ai4land_coupler.store.restart import RestartWriter, block_arrays

#: Typical tiles that are measured. More than the stream reads ahead, so that its memory is measured too.
TILES = 4


@dataclass(frozen=True)
class Measured:
    """Costs of parts of a run on one rank.

    Attributes
    ----------
    forcing:
        Seconds to read the forcing of one step.
    one, several:
        Seconds of one tile, and of ``sample`` tiles as a stream.
    sample:
        Ids of the measured blocks; the first is the one of ``one``.
    write, restart:
        Seconds to write the output and the restart of a land cell of a block.
    commit:
        Seconds to write the time series of a year and to commit it.
    peak:
        Peak memory of the process with the measured tiles (bytes).
    held:
        Bytes of the state of a cell of a block with land.
    """

    forcing: float
    one: float
    several: float
    sample: tuple[int, ...]
    write: float
    restart: float
    commit: float
    peak: float
    held: float


def count_land(setup: LandSetup) -> tuple[NDArray[np.int64], dict[int, tuple[Box, ...]], int]:
    """Land cells of each block of the initial map, the cores of its tiles, and the map's compressed size (bytes).

    Holds one row of blocks.
    """
    land, cores, compressed = np.zeros(len(setup.plan.blocks), np.int64), {}, 0
    for block, codes in read_blocks(setup, setup.plan.blocks):
        cores[block.id], land[block.id] = predicted_cores(setup, block, codes)
        compressed += len(Zstd(level=3).encode(codes))
    return land, cores, compressed


def typical_blocks(land: NDArray[np.int64], count: int = TILES) -> tuple[int, ...]:
    """The blocks with the median amount of land among those with land, and the next ones by amount."""
    order = np.argsort(land, kind="stable")[np.count_nonzero(land == 0) :]
    first = max(0, (order.size - count) // 2)
    chosen = order[first : first + count]
    middle = chosen.size // 2
    return tuple(int(i) for i in (*chosen[middle:], *chosen[:middle]))


def measure(setup: LandSetup, sample: tuple[int, ...]) -> Measured:
    """Predict some blocks, and write the first of them. Reads the map only where their windows need it."""
    local = replace(setup, owner=np.where(np.isin(np.arange(setup.owner.size), _near(setup, sample)), 0, 1))
    table, comm = make_field_table(setup), Communicator(None)
    forcing = LandForcing(setup, table.pass_through_inputs)
    state = FirstState(local, forcing).from_map().frozen()
    clock = setup.clock.at(state.year).next()
    began = HostDate(state.year)
    imports = HostImports(setup, table, HostGrids(comm), began, comm, online=False).read(clock, HostCalendar())
    inputs = forcing.of_step(clock)
    # The first call also opens the files. A later step reads one more year.
    if clock.done:
        forcing.reader.forget(())
    begin = time.perf_counter()
    forcing.of_step(clock if clock.done else clock.next())
    read = time.perf_counter() - begin
    cores = {i: predicted_cores(setup, setup.plan.blocks[i], state.cover[i])[0] for i in sample}
    model = make_model(setup, {i: boxes for i, boxes in cores.items() if boxes}, comm)

    def advance(part: LandModel) -> tuple[float, LandState]:
        begin = time.perf_counter()
        result = part.advance(state, inputs, imports, clock).state
        return time.perf_counter() - begin, result

    with torch_threads(setup.config.parallel.threads):
        advance(model)  # reads the static fields, and prepares the network
        one = min(advance(model.only(sample[:1]))[0] for _ in range(2))
        several, new = advance(model)
    write, commit, restart = _output_cost(setup, new, sample[0], RunOutput(setup, table.exports, {}, comm))
    earlier = (blocks for states in new.history.values() for blocks in states)
    arrays = [b for b in (*new.memory.values(), *new.fields.values(), *earlier) if sample[0] in b]
    cells = setup.plan.blocks[sample[0]].core.size
    held = 1 + sum(blocks[sample[0]].nbytes for blocks in arrays) / cells
    return Measured(read, one, several, sample, write, restart, commit, peak_memory(), held)


def _near(setup: LandSetup, sample: Sequence[int]) -> list[int]:
    """The blocks that the windows of some blocks touch."""
    tiling, plan = make_tiling(setup.config.parallel.tiling), setup.plan
    windows = [tiling.tile(plan, plan.blocks[i], entry.spec).window for i in sample for entry in setup.predictors]
    return sorted({block.id for window in windows for block, _ in plan.touching(window)} | set(sample))


def _output_cost(setup: LandSetup, state: LandState, block: int, output: RunOutput) -> tuple[float, float, float]:
    """Seconds of a cell in the store, of the time series and the commit, and of a cell in the restart."""
    config, core = setup.config, setup.plan.blocks[block].core
    whole = output.layout(1024 if config.output is None else config.output.shard)
    years = (state.year, state.year + 1)
    fields = tuple(replace(field, behind=0) for field in whole.land_fields)  # each year has all that a year costs
    layout = replace(whole, grid=setup.grid.sub(core), years=years, land_fields=fields)
    place = None if config.output is None else config.resolve(config.output.store).parent
    with tempfile.TemporaryDirectory(dir=place if place is not None and place.is_dir() else None) as name:
        store = OutputStore.create(Path(name) / "block.zarr", layout, {})
        for year in years:  # the second counts: the first call of each library takes longer
            begin = time.perf_counter()
            for box in store.shard_boxes():
                store.write_land_cover(year, box, state.cover[block][box.slices()])
                for item in store.land_fields:
                    values = state.fields[item.name][block][(..., *box.slices())]
                    store.write_field(item.name, year, box, values if item.samples > 1 else values[0])
            store.sync()
            written = time.perf_counter()
            store.write_diagnostic("class_area", year, np.zeros(len(setup.legend.view)))
            for series in layout.diagnostics:
                store.write_diagnostic(series.name, year, np.zeros(len(series.labels)) if series.labels else 0.0)
            store.commit(year)
            committed = time.perf_counter()
            RestartWriter(Path(name) / "restart", year).write_block(block, block_arrays(state, block))
            ended = time.perf_counter()
    return (written - begin) / core.size, committed - written, (ended - committed) / core.size
