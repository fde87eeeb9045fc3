"""Estimates the cost of a run before it starts: predicts one tile and scales up."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import numpy as np
from numcodecs.zstd import Zstd

from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.grid import LatLonGrid


@dataclass(frozen=True)
class CostEstimate:
    """``useful``: cells of the cores over cells of the windows. ``memory``: bytes per rank. ``disk``: bytes."""

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


def estimate_cost(config: Config, ranks: int = 1) -> CostEstimate:
    """Initialise a run, predict one of its tiles, and scale the measured cost up to the whole run.

    Disk: size of the compressed initial map times the number of years. Memory: peak memory of this process after the
    tile, with only one rank's share of the maps. Regridding weights can need more memory for a short time.
    """
    component = LandComponent(config, online=False)
    component.initialize()
    model, clock = component.model, component.clock
    tiles = [tile for entry in model.predictors for tile in model.tiles(entry)]
    largest = max(tiles, key=lambda tile: tile.window.size)
    seconds = 0.0
    if not clock.done:
        forcing, imports = component.read_inputs(clock.next())
        one = model.only([largest.id])
        # The first call is not timed, because it also reads the static fields.
        one.advance(component.state, forcing, imports, clock.next())
        begin = time.perf_counter()
        one.advance(component.state, forcing, imports, clock.next())
        seconds = time.perf_counter() - begin
    cells = sum(tile.window.size for tile in tiles)
    steps = len(clock.years()) - 1
    codes = np.concatenate([block.reshape(-1) for block in component.state.cover.values()])
    compressed = len(Zstd(level=3).encode(codes))
    maps = sum(a.nbytes for blocks in component.state.memory.values() for a in blocks.values()) + codes.nbytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return CostEstimate(
        component.setup.grid,
        len(component.setup.plan.blocks),
        len({tile.id for tile in tiles}),
        largest.core.shape,
        largest.window.shape,
        sum(tile.core.size for tile in tiles) / max(cells, 1),
        steps,
        peak - maps * (1 - 1 / ranks),
        compressed * (steps + 1) * 1.05,
        seconds / max(largest.window.size, 1) * cells * steps / ranks,
    )
