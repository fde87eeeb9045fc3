"""The estimate of a run's cost: its arithmetic against hand-worked numbers, and what it reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.land import first_state
from ai4land_coupler.land.setup import make_setup
from ai4land_coupler.preflight.cost import Work, estimate_cost, rank_memory, step_seconds
from ai4land_coupler.preflight.measure import Measured, count_land, measure, typical_blocks

#: Four tiles of cost 10: the first takes 2 s, the others 1 s each.
FOUND = Measured(
    forcing=1.0, one=2.0, several=5.0, sample=(0, 1, 2, 3), write=1e-6, restart=2e-6, commit=0.5, peak=100.0, held=3.0
)
TEN = Work(np.full(10, 10.0), cells=1_000_000, land_cells=1000, static=8.0, every=2)


def test_seconds_of_a_step_on_two_ranks() -> None:
    """Five tiles: 2 s and four times 1 s. Output: half of 1 s, and of 2 s every second step."""
    assert step_seconds(FOUND, TEN, 2) == pytest.approx(1 + 6 + 0.5 + 0.5 + 0.5)


def test_a_rank_has_at_least_one_whole_block() -> None:
    work = replace(TEN, cost=np.array([10.0, 10, 10, 10, 60]))  # 100 on 4 ranks are 25, but one block is 60
    assert step_seconds(FOUND, work, 4) == pytest.approx(1 + 2 + 5 + 0.25 + 0.25 + 0.5)


def test_further_tiles_take_time_even_if_the_clock_says_otherwise() -> None:
    """Four tiles in 2 s: each further one takes at least half of the mean of 0.5 s."""
    assert step_seconds(replace(FOUND, several=2.0), TEN, 2) == pytest.approx(1 + 2 + 4 * 0.25 + 1.5)


def test_one_tile_alone() -> None:
    found = replace(FOUND, sample=(0,), several=2.0)
    assert step_seconds(found, replace(TEN, cost=np.array([10.0])), 1) == pytest.approx(1 + 2 + 2 + 0.5)


def test_memory_of_a_rank() -> None:
    """500 cells, of which 200 were measured: 300 old and 300 new ones of 3 bytes, and static fields of 8 bytes."""
    assert rank_memory(FOUND, TEN, 2, 200) == 100 + 1800 + 2400
    assert rank_memory(FOUND, replace(TEN, cache=3000), 2, 200) == 100 + 1800 + 3000 - 1600
    assert rank_memory(FOUND, TEN, 10, 200) == 100  # all of it was measured


def test_typical_blocks_are_around_the_median_and_have_land() -> None:
    land = np.array([0, 5, 1, 9, 3, 0, 7])
    assert typical_blocks(land, 3) == (1, 6, 4)
    assert typical_blocks(land, 9) == (1, 6, 3, 2, 4)
    assert typical_blocks(np.array([0, 4]), 3) == (1,)


def test_the_estimate_reads_the_map_by_rows_of_blocks_and_knows_its_land(
    twin_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = {
        **twin_config,
        "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}],
        "static": [],
        "hosts": {},
    }
    config = parse_config(light, tmp_path, "test")
    setup = make_setup(config)
    whole = first_state.read_cover(setup.initial, setup.legend, setup.grid, 2015)
    read: list[int] = []

    def spy(*arguments: Any) -> Any:
        codes = first_state_read(*arguments)
        read.append(codes.size)
        return codes

    first_state_read = first_state.read_cover
    monkeypatch.setattr(first_state, "read_cover", spy)
    land, cores, compressed = count_land(setup)
    assert land.sum() == (setup.legend.to_view(whole) >= 0).sum()
    assert 0 < compressed < whole.size
    assert cores == {block.id: (block.core,) if land[block.id] else () for block in setup.plan.blocks}
    assert max(read) < whole.size / 2
    found = estimate_cost(config, ranks=2)
    assert max(read) < whole.size / 2
    assert (found.blocks, found.land_blocks, found.steps) == (len(setup.plan.blocks), (land > 0).sum(), 6)
    assert found.seconds > 0
    assert found.memory > 0
    assert not list(tmp_path.iterdir())  # the measured output is removed


def test_a_run_with_months_is_measured(twin_config: dict[str, Any], tmp_path: Path) -> None:
    """A land cell then has a map of a byte, twelve months and the memory of leaf area, of 4 bytes each."""
    legend = {"legend": "hilda-v1.0-f"}
    months = {
        **twin_config,
        "predictors": [{"name": name, "options": legend} for name in ("persistence", "phenology")],
        "imports": {"air_temperature": {"values": 285.0, "units": "K"}},
        "static": [],
        "forcing": [],
        "allocation": {"method": "argmax"},
        "hosts": {},
    }
    setup = make_setup(parse_config(months, tmp_path, "test"))
    found = measure(setup, typical_blocks(count_land(setup)[0], 1))
    assert 1 + 13 * 4 < found.held < 56  # the rest is what the allocation keeps of each forcing cell
