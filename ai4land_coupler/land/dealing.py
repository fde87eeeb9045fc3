"""Blocks are dealt to the ranks by their work: the cells of their windows and their land cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.land.sliding import ExactTiling, make_tiling
from ai4land_coupler.land.tile_cores import cores_with_land, part_with_land
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
    return cost_of_cores(setup, block, *predicted_cores(setup, block, codes))


def cost_of_cores(setup: LandSetup, block: Block, cores: Iterable[Box], land: int) -> int:
    """The work of a block in a step, from its :func:`predicted_cores` and its number of land cells."""
    if not land:
        return block.core.size
    tiling = make_tiling(setup.config.parallel.tiling)
    parts = [replace(block, core=core) for core in cores]
    windows = (tiling.tile(setup.plan, part, entry.spec).window.size for entry in setup.predictors for part in parts)
    return PREDICTED * (sum(windows) + land)


def predicted_cores(setup: LandSetup, block: Block, codes: NDArray[np.uint8]) -> tuple[tuple[Box, ...], int]:
    """The cores of the tiles of a block, and the number of its land cells; no cores if it has no land."""
    land = setup.legend.to_view(codes) != OUTSIDE
    count = int(np.count_nonzero(land))
    if not count:
        return (), 0
    if setup.cores == "block":
        return (block.core,), count
    if setup.cores == "quarters":
        return (part_with_land(block.core, land),), count
    spec = max((entry.spec for entry in setup.predictors), key=lambda spec: spec.halo)
    # blended windows have fixed places: a cut would not make them fewer
    halo = spec.halo if isinstance(make_tiling(setup.config.parallel.tiling), ExactTiling) else 0
    return cores_with_land(block.core, land, halo, spec.align), count
