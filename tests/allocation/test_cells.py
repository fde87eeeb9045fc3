"""The order of cells, and the noise on their logits."""

from __future__ import annotations

import numpy as np
import plain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.allocation.cells import NOISE, STRIP, Cells, Noise, order_within, rank_in_run, run_starts
from ai4land_coupler.core.rng import KeyedRng

HOMES = st.integers(0, 3) | st.just(2**40)
VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf]) | st.floats(width=32, allow_nan=False)


@pytest.mark.parametrize("most", [3, 2**31 - 1, 2**62])  # the last two: more than one integer of 64 bits can hold
@examples(100)
@given(st.data())
def test_the_order_is_that_of_a_sort_with_python_keys(most: int, data: st.DataObject) -> None:
    keys = st.integers(0, 2) | st.just(most)
    cells = sorted(data.draw(st.lists(st.tuples(HOMES, keys, VALUES), max_size=30)), key=lambda cell: cell[0])
    home = np.array([cell[0] for cell in cells], np.int64)
    key = np.array([cell[1] for cell in cells], np.int64)
    value = np.array([cell[2] for cell in cells], np.float32)
    expected = sorted(range(len(cells)), key=lambda i: (cells[i][0], cells[i][1], -cells[i][2]))  # ties stay in place
    assert order_within(home, key, value).tolist() == expected


@given(st.lists(st.integers(0, 2), max_size=30))
def test_ranks_are_counted_in_runs(keys: list[int]) -> None:
    expected = []
    for i, key in enumerate(keys):
        expected.append(expected[-1] + 1 if i and keys[i - 1] == key else 0)
    assert rank_in_run(np.array(keys, np.int64)).tolist() == expected
    assert run_starts(np.array(keys, np.int64)).tolist() == [i for i, rank in enumerate(expected) if rank == 0]


def test_noise_is_that_of_the_published_random_numbers_in_any_selection_of_cells() -> None:
    rng, group = KeyedRng(7, member=2, year=1999), np.array([0, 1, 2, -1, 1], np.int8)
    ids = np.random.default_rng(0).permutation(2 * STRIP)[:100] + 2**31
    logits = np.random.default_rng(1).normal(size=(5, 150)).astype(np.float32)
    column = np.random.default_rng(2).permutation(150)[:100]
    cells = Cells(np.zeros(100, int), logits, group, np.ones((5, 5), bool), 1, column, Noise(rng, ids, 0.3))
    expected = logits[:, column].copy()
    for k in (0, 1, 2, 4):
        numbers = plain.uniform(rng.at(stream=NOISE + k), ids)
        expected[k] += np.float32(0.3) * (-np.log(-np.log(numbers + 2.0**-54))).astype(np.float32)
    some = np.array([5, 99, 0, 17])
    np.testing.assert_array_equal(cells.values(np.arange(100)), expected)
    np.testing.assert_array_equal(cells.values(some), expected[:, some])
    classes = np.array([4, 0, 1, 4], np.int8)
    np.testing.assert_array_equal(cells.value(classes, some), expected[classes, some])
