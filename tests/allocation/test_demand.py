"""Shares of land by group, whole cells that keep their sum, and sums by forcing cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import examples

from ai4land_coupler.allocation.demand import group_shares, round_to_sum, sum_by_cell, whole_cells
from ai4land_coupler.core.legend import get_crosswalk
from ai4land_coupler.errors import FieldError

CROSSWALK = get_crosswalk("luh2-hilda")
URBAN, CROPLAND, PASTURE, FOREST, OPEN = range(5)


def states(**values: float | list[float]) -> dict[str, np.ndarray]:
    """LUH2 states on one row of cells."""
    return {name: np.atleast_2d(np.asarray(value, np.float32)) for name, value in values.items()}


# --- group_shares


def test_a_hand_worked_cell() -> None:
    # 0.8 of the cell is land: the rest is ice and water
    cell = states(
        urban=0.08, c3ann=0.1, c4ann=0.02, c3per=0.02, c4per=0.01, c3nfx=0.01, pastr=0.12, range=0.04,
        primf=0.2, secdf=0.1, primn=0.04, secdn=0.06,
    )  # fmt: skip
    shares = group_shares(CROSSWALK, cell)
    assert shares.dtype == np.float64
    np.testing.assert_allclose(shares[:, 0, 0], [0.1, 0.2, 0.2, 0.375, 0.125], rtol=1e-6)


def test_the_sum_of_the_crop_states_stands_for_the_five() -> None:
    rest = {"urban": 0.08, "pastr": 0.12, "range": 0.04, "primf": 0.2, "secdf": 0.1, "primn": 0.04, "secdn": 0.06}
    five = states(**rest, c3ann=0.1, c4ann=0.02, c3per=0.02, c4per=0.01, c3nfx=0.01)
    one = states(**rest, crop=0.16)
    np.testing.assert_allclose(group_shares(CROSSWALK, one), group_shares(CROSSWALK, five), rtol=1e-6)


def test_crops_that_are_given_twice_count_once() -> None:
    rest = {"urban": 0.1, "pastr": 0.1, "primf": 0.2, "secdf": 0.1, "primn": 0.1, "secdn": 0.0}
    five = {"c3ann": 0.3, "c4ann": 0.1, "c3per": 0.0, "c4per": 0.0, "c3nfx": 0.0}
    shares = group_shares(CROSSWALK, states(**rest, **five, crop=0.4))
    np.testing.assert_allclose(shares[:, 0, 0], [0.1, 0.4, 0.1, 0.3, 0.1], rtol=1e-6)


def test_a_data_set_may_lack_rangeland() -> None:
    # as the derived scenario of the British Isles does
    shares = group_shares(CROSSWALK, states(urban=0.1, crop=0.3, pastr=0.2, primf=0.1, secdf=0.2, primn=0.1, secdn=0))
    np.testing.assert_allclose(shares[:, 0, 0], [0.1, 0.3, 0.2, 0.3, 0.1], rtol=1e-6)


def test_a_missing_state_is_refused_by_name() -> None:
    with pytest.raises(FieldError, match="the scenario lacks secdf of group 'forest'"):
        group_shares(CROSSWALK, states(urban=0.1, crop=0.3, pastr=0.2, primf=0.4, primn=0.1, secdn=0.1))


def test_no_land_and_missing_states_are_nan_in_every_group() -> None:
    cell = states(
        urban=[0.0, np.nan, 0.1, 0.0],
        crop=[0.0, np.nan, 0.1, 0.0],
        pastr=[0.0, np.nan, np.nan, 0.0],
        primf=[0.0, np.nan, 0.1, 1.0],
        secdf=[0.0, np.nan, 0.1, 0.0],
        primn=[0.0, np.nan, 0.1, 0.0],
        secdn=[0.0, np.nan, 0.1, 0.0],
    )
    shares = group_shares(CROSSWALK, cell)
    assert np.isnan(shares[:, 0, :3]).all()
    np.testing.assert_array_equal(shares[:, 0, 3], [0, 0, 0, 1, 0])


@given(hnp.arrays(np.float32, (12, 3, 4), elements=st.floats(0, np.float32(1 / 12), width=32)))
def test_shares_sum_to_one(values: np.ndarray) -> None:
    names = ["urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range", "primf", "secdf", "primn", "secdn"]
    shares = group_shares(CROSSWALK, dict(zip(names, values, strict=True)))
    land = values.astype(np.float64).sum(axis=0) > 1e-6
    np.testing.assert_allclose(shares.sum(axis=0)[land], 1, rtol=1e-12)
    assert np.isnan(shares[:, ~land]).all()
    assert (shares[:, land] >= 0).all()


# --- round_to_sum


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        ([1.4, -0.9, -0.5], [1, -1, 0]),  # fractions 0.4, 0.1, 0.5 make one more: the largest remainder gets it
        ([0.5, 0.5, -1.0], [1, 0, -1]),  # a tie goes to the first
        ([0.25, 0.25, 0.25, 0.25], [1, 0, 0, 0]),
        ([-0.5, 0.5], [0, 0]),
        ([2.0, -2.0, 0.0], [2, -2, 0]),
        ([0.2, -0.1, -0.1], [0, 0, 0]),
        ([-1e-17, 0.0, 0.0], [0, 0, 0]),
    ],
)
def test_hand_worked_rounding(values: list[float], whole: list[int]) -> None:
    np.testing.assert_array_equal(round_to_sum(np.array([values])), [whole])


rows_of_numbers = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 7)), elements=st.floats(-1e5, 1e5, allow_subnormal=False)
)


@examples(300)
@given(rows_of_numbers)
def test_rounding_keeps_the_sum_and_moves_no_number_by_a_whole(values: np.ndarray) -> None:
    whole = round_to_sum(values)
    assert whole.dtype == np.int64
    # the rounded sum is kept, but for the rounding of the sum itself
    assert (np.abs(whole.sum(axis=1) - values.sum(axis=1)) <= 0.5 + 1e-9).all()
    assert (np.abs(whole - values) < 1 + 1e-9).all()
    balanced = np.concatenate([values, -values.sum(axis=1, keepdims=True)], axis=1)
    assert (round_to_sum(balanced).sum(axis=1) == 0).all()


@examples(100)
@given(rows_of_numbers)
def test_rounding_is_row_by_row_and_leaves_whole_numbers_alone(values: np.ndarray) -> None:
    whole = round_to_sum(values)
    for i, row in enumerate(values):
        np.testing.assert_array_equal(round_to_sum(row[None])[0], whole[i])
    np.testing.assert_array_equal(round_to_sum(whole.astype(np.float64)), whole)


@examples(100)
@given(hnp.arrays(np.float64, (1, 5), elements=st.floats(-50, 50, allow_subnormal=False)))
def test_the_largest_remainders_are_rounded_up(values: np.ndarray) -> None:
    up = round_to_sum(values)[0] > np.floor(values[0])
    remainder = values[0] - np.floor(values[0])
    assert remainder[up].min(initial=1) >= remainder[~up].max(initial=0)


@examples(200)
@given(hnp.arrays(np.int64, (3, 5), elements=st.integers(-500, 500)))
def test_what_was_rounded_away_asks_for_nothing_more(sixteenths: np.ndarray) -> None:
    """Else a scenario at rest would move a cell to and fro each year."""
    values = sixteenths / 16
    assert not round_to_sum(values - round_to_sum(values)).any()


def test_a_near_tie_rests() -> None:
    # the second group lost half a cell too much, by a little: to move it back would gain next to nothing
    missing = np.array([[0.45, -0.555, 0.105], [0.45, -0.7, 0.25], [0.5, -0.5, 0.0], [0.52, -0.52, 0.0]])
    np.testing.assert_array_equal(round_to_sum(missing), [[1, -1, 0], [1, -1, 0], [1, -1, 0], [1, -1, 0]])
    np.testing.assert_array_equal(whole_cells(missing), [[0, 0, 0], [1, -1, 0], [0, 0, 0], [1, -1, 0]])


@examples(200)
@given(hnp.arrays(np.float64, (4, 4), elements=st.floats(-50, 50, allow_subnormal=False)))
def test_a_forcing_cell_that_rests_is_within_a_cell_of_its_demand(values: np.ndarray) -> None:
    missing = np.concatenate([values, -values.sum(axis=1, keepdims=True)], axis=1)
    need = whole_cells(missing)
    assert (need.sum(axis=1) == 0).all()
    assert (np.abs(missing - need) < 1 + 1e-9).all()


# --- sum_by_cell


@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_sums_are_those_of_a_loop(n: int, cells: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell, group = rng.integers(0, cells, n), rng.integers(0, groups, n).astype(np.int8)
    weight = rng.uniform(0, 1e6, n)
    naive = np.zeros((cells, groups))
    for i in range(n):
        naive[cell[i], group[i]] += weight[i]
    np.testing.assert_array_equal(sum_by_cell(cell, group, weight, cells, groups), naive)


def test_many_forcing_cells_do_not_overflow_the_small_type_of_groups() -> None:
    cell = np.array([1000, 1000, 70000])
    sums = sum_by_cell(cell, np.array([4, 0, 4], np.int8), np.array([1.0, 2.0, 3.0]), 70001, 5)
    assert (sums[1000].tolist(), sums[70000].tolist(), sums.sum()) == ([2, 0, 0, 0, 1], [0, 0, 0, 0, 3], 6)
