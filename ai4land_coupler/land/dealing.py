"""Blocks are dealt to the ranks by their work: the cells of their windows and their land cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.land.block_size import part_with_land
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.land.sliding import make_tiling
from ai4land_coupler.parallel import Block, Communicator

#: Reads the native codes of blocks, one block after the other.
ReadCover = Callable[[Iterable[Block]], Iterator[tuple[Block, NDArray[np.uint8]]]]
#: Cost of a cell of a window, and of a land cell. A cell of a block without land is stored but not predicted; it costs
#: 1.
PREDICTED = 100


def deal_blocks(setup: LandSetup, read: ReadCover, comm: Communicator) -> LandSetup:
    """The same setup with the blocks dealt by their work. Collective.

    Each rank reads the blocks that it owns so far to find their land. Results do not depend on the owners.
    """
    if len(setup.workers) == 1:
        return setup
    cost = np.zeros(len(setup.plan.blocks), np.int64)
    with comm.guard():
        for block, codes in read(setup.own_blocks):
            cost[block.id] = block_cost(setup, block, codes)
    cost = comm.sum(cost)
    return replace(setup, owner=setup.workers[setup.plan.owners(len(setup.workers), cost.astype(np.float64))])


def block_cost(setup: LandSetup, block: Block, codes: NDArray[np.uint8]) -> int:
    """The work of a block in a step, from its native codes."""
    core, land = predicted_part(setup, block, codes)
    return block.core.size if core is None else _predicted(setup, replace(block, core=core), land)


def block_costs(setup: LandSetup, land: NDArray[np.int64]) -> NDArray[np.float64]:
    """The work of each block, estimated from its number of land cells alone, as if all of it were predicted."""
    pairs = zip(setup.plan.blocks, land.tolist(), strict=True)
    return np.array([_predicted(setup, block, n) if n else block.core.size for block, n in pairs], np.float64)


def _predicted(setup: LandSetup, part: Block, land: int) -> int:
    """The work of the part of a block that is predicted."""
    tiling = make_tiling(setup.config.parallel.tiling)
    windows = (tiling.tile(setup.plan, part, entry.spec).window.size for entry in setup.predictors)
    return PREDICTED * (sum(windows) + land)


def predicted_part(setup: LandSetup, block: Block, codes: NDArray[np.uint8]) -> tuple[Box | None, int]:
    """The part of a block that is predicted, and the number of its land cells; ``None`` if it has no land.

    It is the whole block, but with ``parallel.block: auto`` the part that has land.
    """
    land = setup.legend.to_view(codes) != OUTSIDE
    count = int(np.count_nonzero(land))
    if not count:
        return None, 0
    auto = setup.config.parallel.block == "auto"
    return (part_with_land(block.core, land) if auto else block.core), count
