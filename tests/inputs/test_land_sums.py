"""The sum of the states of a cell is its land in every year; hand-made states have known sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import DataError
from ai4land_coupler.inputs.land_sums import LargestSum, SumsInTime, count_small_sums, land_use_total, largest_sum

STATES = ("primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range")
GRID = LatLonGrid(0.0, 0.25, 40, 50.0, -0.25, 50)
#: Land of each cell: sea in the first columns, a coast, then land of 1.
LAND = np.broadcast_to(np.clip((np.arange(40) - 3) / 4, 0, 1), GRID.shape)


def states(seed: int, names: tuple[str, ...] = STATES) -> dict[str, np.ndarray]:
    """Random states that sum to the land; NaN over the sea. The smallest, c4per, has 0.2 % of the land."""
    shares = np.random.default_rng(seed).dirichlet([0.02 if n == "c4per" else 1.0 for n in names], GRID.shape)
    parts = np.where(LAND[..., None] > 0, shares * LAND[..., None], np.nan).astype(np.float32)
    return {name: parts[..., i].copy() for i, name in enumerate(names)}


def compare(second: dict[str, np.ndarray], policy="stop", names: tuple[str, ...] = STATES):
    checker = SumsInTime(policy)
    assert not checker.check("here", states(1, names), GRID, 2015)
    return checker.check("here", second, GRID, 2017)


def test_states_that_change_within_their_land_are_good() -> None:
    assert not compare(states(2))


@pytest.mark.parametrize("name", STATES)
def test_each_state_that_is_lost_in_a_year_is_refused_by_name(name: str) -> None:
    broken = states(2)
    broken[name][np.isfinite(broken[name])] = 0
    with pytest.raises(DataError, match=rf"from 2015 to 2017(.|\n)*all cells have 0 of {name} in 2017") as caught:
        compare(broken)
    assert "same in every year" in str(caught.value)
    counts = compare(broken, "mend")
    assert counts["sum_changed"] >= 1


def test_a_state_that_is_lost_in_the_first_year_is_refused() -> None:
    checker = SumsInTime("stop")
    broken = states(1)
    broken["pastr"] *= 0
    checker.check("here", broken, GRID, 2015)
    with pytest.raises(DataError, match="all cells have 0 of pastr in 2015"):
        checker.check("here", states(2), GRID, 2016)


def test_states_of_0_in_a_year_are_refused() -> None:
    with pytest.raises(DataError, match=r"-0\.9\d* in the mean"):
        compare({name: values * 0 for name, values in states(2).items()})


def test_a_lost_part_of_a_map_is_refused_and_single_cells_are_counted() -> None:
    broken = states(2)
    for values in broken.values():
        values[:2, 20:22] = 0
    with pytest.raises(DataError, match="in 4 of 1800 cells, such as from 1 to 0"):  # 1800 cells are not sea
        compare(broken)
    broken = states(2)
    for values in broken.values():
        values[0, 20] = 0
    assert compare(broken) == {"sum_changed": 1}


def test_a_state_that_ends_is_good_where_others_take_its_land() -> None:
    ended = states(2)
    ended["secdf"] += ended["primf"]
    ended["primf"] *= 0
    assert not compare(ended)


def test_sums_that_change_a_little_without_rangeland_are_good() -> None:
    """As in the scenario of the British Isles: up to 0.05 in a cell, and 0.0033 in the mean."""
    names = tuple(name for name in STATES if name != "range")
    drift = states(2, names)
    drift["pastr"] = np.clip(drift["pastr"] * 1.05, 0, None)
    assert not compare(drift, names=names)
    drift["urban"] *= 0
    with pytest.raises(DataError, match="do not add up to the same"):
        compare(drift, names=names)


def test_states_rounded_to_per_cent_are_good() -> None:
    first, second = ({n: np.round(v, 2) for n, v in states(seed).items()} for seed in (1, 2))
    checker = SumsInTime("stop")
    checker.check("here", first, GRID, 2015)
    checker.check("here", second, GRID, 2016)


def test_data_sets_and_grids_are_not_compared_with_one_another() -> None:
    checker = SumsInTime("stop")
    checker.check("history", states(1), GRID, 2014)
    half = {name: values / 2 for name, values in states(2).items()}
    checker.check("scenario", half, GRID, 2015)
    with pytest.raises(DataError, match="where: history"):
        checker.check("history", half, GRID, 2015)


def test_the_total_of_states_and_of_all_crops_together() -> None:
    given = states(1)
    np.testing.assert_allclose(land_use_total(given), np.where(LAND > 0, LAND, np.nan), atol=1e-6)
    given["urban"][7] = np.nan  # NaN where a state is missing
    assert np.isnan(land_use_total(given)).sum() == (LAND == 0).sum() + (LAND[7] > 0).sum()
    assert land_use_total({"elevation": LAND.astype(np.float32)}) is None


@pytest.mark.parametrize(("scale", "refused"), [(1.0, False), (0.8, False), (0.7, True), (0.25, True), (0.01, True)])
def test_states_that_are_too_small_where_all_is_land(scale: float, refused: bool) -> None:
    full = LAND == 1
    small = {name: values * np.float32(scale) for name, values in states(1).items()}
    found = largest_sum(small, full)
    assert found.cells == full.sum()
    assert found.largest == pytest.approx(scale, rel=1e-5)
    assert count_small_sums(found, "here", "mend") == (found.cells if refused else 0)
    if refused:
        with pytest.raises(DataError, match=rf"the largest sum is {scale:g}"):
            count_small_sums(found, "here", "stop")
    else:
        assert count_small_sums(found, "here", "stop") == 0


def test_islands_say_nothing_about_the_size_of_states() -> None:
    """Cells with little land have small sums; so do a few cells that the map takes for land."""
    assert count_small_sums(LargestSum(9, 0.1) + LargestSum(0, 0.0), "here", "stop") == 0
    assert count_small_sums(LargestSum(9, 0.1) + LargestSum(1, 0.2), "here", "mend") == 10
    lake = {name: values * 0 for name, values in states(1).items()}
    assert largest_sum(lake, LAND == 1).cells == 0


@pytest.mark.real_data
def test_the_real_scenario_of_the_british_isles_is_good(sample_data: Path) -> None:
    import netCDF4

    checker, grid = SumsInTime("stop"), LatLonGrid(-14.0, 0.25, 69, 62.0, -0.25, 52)
    with netCDF4.Dataset(next((sample_data / "scenario").glob("*.nc"))) as file:
        names = [n for n in file.variables if n in (*STATES, "crop")]
        assert "range" not in names
        for step in range(86):
            read = {n: np.ma.filled(file[n][step], np.nan).astype(np.float32) for n in names}
            read = {n: np.where(np.abs(v) > 1e19, np.float32(np.nan), v) for n, v in read.items()}
            assert not checker.check("scenario", read, grid, 2015 + step)
