"""Blocks are dealt to the ranks by their work: the cells of their windows and their land cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.land.sliding import make_tiling
from ai4land_coupler.parallel import Block, Communicator

#: Reads the native codes of blocks, one block after the other.
ReadCover = Callable[[Iterable[Block]], Iterator[tuple[Block, NDArray[np.uint8]]]]
#: Cost of a cell of a block without land, which is stored but not predicted. Cells of windows and land cells cost 1.
EMPTY = 0.01


def deal_blocks(setup: LandSetup, read: ReadCover, comm: Communicator) -> LandSetup:
    """The same setup with the blocks dealt by their work. Collective.

    Each rank reads the blocks that it owns so far to count their land. Results do not depend on the owners.
    """
    if len(setup.workers) == 1:
        return setup
    land = np.zeros(len(setup.plan.blocks), np.int64)
    with comm.guard():
        for block, codes in read(setup.own_blocks):
            land[block.id] = np.count_nonzero(setup.legend.to_view(codes) != OUTSIDE)
    cost = block_costs(setup, comm.sum(land))
    return replace(setup, owner=setup.workers[setup.plan.owners(len(setup.workers), cost)])


def block_costs(setup: LandSetup, land: NDArray[np.int64]) -> NDArray[np.float64]:
    """The cost of each block of the plan, from its number of land cells."""
    tiling = make_tiling(setup.config.parallel.tiling)
    cost = np.array([EMPTY * block.core.size for block in setup.plan.blocks])
    for block in setup.plan.blocks:
        if land[block.id]:
            windows = (tiling.tile(setup.plan, block, entry.spec).window for entry in setup.predictors)
            cost[block.id] = sum(window.size for window in windows) + land[block.id]
    return cost
