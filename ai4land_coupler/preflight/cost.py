"""Estimates the cost of a run before it starts: measures some typical tiles and scales up.

Memory and time of the estimate do not depend on the size of the land grid, but for reading the initial map once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.component.performance import peak_memory
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.inputs.readers import STATIC_CACHE
from ai4land_coupler.land.block_size import static_cache
from ai4land_coupler.land.dealing import cost_of_cores
from ai4land_coupler.land.forcing import static_needs
from ai4land_coupler.land.setup import make_setup
from ai4land_coupler.land.sliding import make_tiling
from ai4land_coupler.preflight.measure import Measured, count_land, measure, typical_blocks


@dataclass(frozen=True)
class CostEstimate:
    """``useful``: cells of the cores over cells of the windows. ``memory``: bytes per rank. ``disk``: bytes.

    ``advice``: what the predictors advise on this machine.
    """

    grid: LatLonGrid
    blocks: int
    land_blocks: int
    core: tuple[int, int]
    window: tuple[int, int]
    useful: float
    steps: int
    memory: float
    disk: float
    seconds: float
    advice: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """The work of a step.

    Attributes
    ----------
    cost:
        Cost of each block, in any unit.
    cells, land_cells:
        Cells of the land grid, and of the blocks with land: the others need no memory of their own.
    static:
        Bytes of the static fields of a cell.
    every:
        Steps between restarts.
    cache:
        Bytes of static fields that a rank keeps.
    """

    cost: NDArray[np.float64]
    cells: int
    land_cells: int
    static: float
    every: int = 1
    cache: int = STATIC_CACHE


def step_seconds(found: Measured, work: Work, ranks: int) -> float:
    """Seconds of a step on some ranks.

    A stream of tiles takes a time for its start and end, which one tile shows, and a time for each further tile. The
    latter grows with the cost of the tiles. A rank has its share of the blocks, but at least one whole block.
    """
    sample = work.cost[list(found.sample)]
    rest = sample[1:].sum()
    # The times vary. A further tile takes at least a part of the time of the first.
    per_cost = max(found.several - found.one, 0.5 * found.several * rest / sample.sum()) / rest if rest else 0.0
    if not rest:
        per_cost = found.one / sample[0]
    share = max(work.cost.sum() / ranks, work.cost.max())
    tiles = max(0.0, found.one + per_cost * (share - sample[0]))
    output = (found.write * work.cells + found.restart * work.cells / work.every) / ranks
    return float(found.forcing + tiles + output + found.commit)


def rank_memory(found: Measured, work: Work, ranks: int, measured_cells: int) -> float:
    """Peak memory of a rank (bytes).

    It is the peak that was measured (libraries, network, forcing, windows in flight and the state around them), and the
    old and the new state and the static fields of the rank's other cells.

    Parameters
    ----------
    measured_cells:
        Cells whose state and static fields were in memory when the peak was measured.
    """
    cells = max(0.0, work.land_cells / ranks - measured_cells)
    static = min(work.static * work.land_cells / ranks, work.cache) - work.static * measured_cells
    return found.peak + 2 * found.held * cells + max(0.0, static)


def estimate_cost(config: Config, ranks: int = 1) -> CostEstimate:
    """Read the initial map, measure some typical tiles, and scale up to the whole run.

    Disk: size of the compressed initial map times the number of years. Neither regridding to host grids nor its weights
    are included.
    """
    setup = make_setup(config)
    plan, tiling = setup.plan, make_tiling(config.parallel.tiling)
    land, cores, compressed = count_land(setup)
    with_land = [block for block in plan.blocks if land[block.id]]
    parts = [replace(block, core=core) for block in with_land for core in cores[block.id]]
    tiles = [tiling.tile(plan, part, entry.spec) for entry in setup.predictors for part in parts]
    steps = len(setup.clock.years()) - 1
    seconds, memory = 0.0, float(peak_memory())
    if steps and with_land:
        work = Work(
            np.array(
                [cost_of_cores(setup, block, cores[block.id], int(land[block.id])) for block in plan.blocks], float
            ),
            setup.grid.size,
            sum(block.core.size for block in with_land),
            4.0 * len(static_needs(setup)),
            config.restart.every,
            static_cache(config.parallel.memory),
        )
        found = measure(setup, typical_blocks(land))
        seconds = steps * step_seconds(found, work, ranks)
        memory = rank_memory(found, work, ranks, sum(plan.blocks[i].core.size for i in found.sample))
    largest = max(tiles, key=lambda tile: tile.window.size, default=None)
    return CostEstimate(
        setup.grid,
        len(plan.blocks),
        len(with_land),
        (0, 0) if largest is None else largest.core.shape,
        (0, 0) if largest is None else largest.window.shape,
        sum(tile.core.size for tile in tiles) / max(sum(tile.window.size for tile in tiles), 1),
        steps,
        memory,
        compressed * (steps + 1) * 1.05,
        seconds,
        setup.advice,
    )
