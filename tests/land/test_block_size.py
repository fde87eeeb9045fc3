"""The size of blocks that ``parallel.block: auto`` chooses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coupling import PERSISTENCE
from stopped_runs import run_until

from ai4land_coupler import Simulation
from ai4land_coupler.api import FieldSpec, Predictor, PredictorSpec
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.land.block_size import choose_block, static_cache, window_bytes
from ai4land_coupler.land.setup import make_setup
from ai4land_coupler.land.sliding import GaussianTiling
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.store.output import open_store

LAND = LatLonGrid(-180.0, 0.009988624327190708, 36041, 90.0, -0.009988346586746064, 18021)
QUARTER = forcing_lattice(LAND, LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720))


class Network(Predictor):
    """Needs 100 bytes a cell, a map and two static fields, and a halo of 96."""

    bytes_per_cell = 100.0
    spec = PredictorSpec(
        inputs=(
            FieldSpec("land_cover", "1", "cover"),
            FieldSpec("elevation", "m", "static"),
            FieldSpec("slope", "1", "static"),
            FieldSpec("urban", "1", "forcing", "coarse"),
        ),
        outputs=(FieldSpec("leaf_area", "1", "output"),),
        legend=None,
        halo=96,
        align=16,
    )

    def predict(self, batch: Any, rng: Any) -> Mapping[str, Any]:
        raise AssertionError("only its spec is read")


def test_without_a_limit_a_block_has_about_a_thousand_cells() -> None:
    assert choose_block(None, LAND, QUARTER, [Network()]) == 42  # 1051 cells


def test_the_windows_of_a_block_fit_the_memory_by_hand() -> None:
    # 30 x 25.03 = 751 cells, with the halo 943, rounded outward at both ends at most 960; 100 + 2 x (1 + 4 + 4) bytes
    assert window_bytes(750.9, [Network()]) == 960**2 * 118
    limit = 960**2 * 118 / 1e9 * 8 / 7  # an eighth is for static fields
    assert choose_block(limit, LAND, QUARTER, [Network()]) == 30
    assert choose_block(limit * 0.999, LAND, QUARTER, [Network()]) == 29


def test_blended_windows_fit_the_memory_by_hand() -> None:
    """Inputs of all windows that overlap a core are read at once, and one window of 512 x 512 is predicted."""
    tiling = GaussianTiling(500, 0.5, 0.125)
    need = (751 + 2 * 511) ** 2 * 2 * 9 + 512**2 * 100 + 2**28
    assert window_bytes(750.9, [Network()], tiling) == need
    limit = need / 1e9 * 8 / 7
    assert choose_block(limit, LAND, QUARTER, [Network()], tiling) == 30
    assert choose_block(limit * 0.999, LAND, QUARTER, [Network()], tiling) == 29
    plan = BlockPlan(LAND, QUARTER, 30)
    sides = [side for block in plan.blocks for side in tiling.tile(plan, block, Network.spec).window.shape]
    assert 751 + 2 * 400 < max(sides) <= 752 + 2 * 511


def test_static_fields_get_an_eighth_of_the_memory() -> None:
    assert static_cache(None) == 2**28
    assert static_cache(4.0) == 500_000_000


def test_a_block_is_never_smaller_than_eight_forcing_cells() -> None:
    assert choose_block(1e-6, LAND, QUARTER, [Network()]) == 8
    assert choose_block(None, LAND, LatLonGrid(-180.0, 5.0, 72, 90.0, -5.0, 36), [Network()]) == 8


def test_the_predictor_with_the_largest_needs_counts() -> None:
    large = Network()
    large.bytes_per_cell = 1000.0
    assert window_bytes(500, [Network(), large]) == window_bytes(500, [large]) > window_bytes(500, [Network()])


@pytest.mark.parametrize("memory", [0.5, 2.0, 8.0])
def test_more_memory_gives_larger_blocks(memory: float) -> None:
    assert choose_block(memory, LAND, QUARTER, [Network()]) >= choose_block(memory / 2, LAND, QUARTER, [Network()])


def test_a_run_keeps_its_blocks_when_auto_would_choose_others(twin_config: dict[str, Any], tmp_path: Path) -> None:
    """It continues with more memory, and its maps are those of a run that was not stopped."""

    def config(name: str, memory: float) -> Config:
        raw = twin_config | {
            "predictors": [PERSISTENCE],
            "time": {"start": 2015, "stop": 2018},
            "parallel": {"block": "auto", "memory": memory},
            "output": {"store": str(tmp_path / f"{name}.zarr"), "shard": 64},
        }
        return parse_config(raw, tmp_path, name)

    Simulation(config("whole", 1e-6)).run()
    run_until(config("stopped", 1e-6), 2016)
    simulation = Simulation(config("stopped", 8.0))
    simulation.run(restart=True)
    setup = simulation.component.setup
    assert [block.forcing.shape for block in setup.plan.blocks] == [(8, 8), (8, 4)]
    assert setup.map_maker.plan is setup.plan
    assert len(make_setup(config("other", 8.0)).plan.blocks) == 1
    whole, stopped = (open_store(tmp_path / f"{name}.zarr")["land_cover"].values for name in ("whole", "stopped"))
    np.testing.assert_array_equal(whole, stopped)
