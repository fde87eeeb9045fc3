"""Gross change: cells exchange their classes, best pairs first, and no area changes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import plain
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.allocation.cells import Cells
from ai4land_coupler.allocation.swaps import swap_cells

#: Four classes in two groups and water, which belongs to none.
GROUP = np.array([0, 0, 1, 1, -1], np.int8)
CLASSES = 5
EVERY = np.ones((CLASSES, CLASSES), bool)


def cells_of(forcing: list[int] | np.ndarray, logits: np.ndarray, n_forcing: int, allowed: np.ndarray = EVERY) -> Cells:
    return Cells(np.asarray(forcing, np.int64), logits, GROUP, allowed, n_forcing)


def check(cells: Cells, before: np.ndarray, free: np.ndarray, amount: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Swap, and check what holds of every answer."""
    kept = before.copy(), free.copy(), amount.copy()
    for array in (before, free, amount, cells.logits):
        array.flags.writeable = False
    after, left = swap_cells(cells, before, free, amount)
    for array, as_it_was in zip((before, free, amount), kept, strict=True):
        assert (array == as_it_was).all()

    changed = after != before
    for home in range(cells.n_forcing):
        inside = cells.forcing == home
        flows = np.zeros((CLASSES, CLASSES), int)
        np.add.at(flows, (before[inside & changed], after[inside & changed]), 1)
        # what goes from A to B comes back from B to A: stricter than equal areas
        np.testing.assert_array_equal(flows, flows.T)
        assert changed[inside].sum() == amount[home] - left[home]
        assert 0 <= left[home] <= amount[home]
    assert not changed[~free].any()
    for i in np.flatnonzero(changed):
        assert cells.allowed[before[i], after[i]]
        assert GROUP[before[i]] >= 0
        assert GROUP[after[i]] >= 0
    return after, left


@st.composite
def problems(draw: st.DrawFn) -> tuple[Cells, np.ndarray, np.ndarray, np.ndarray]:
    """Random cells with whole-numbered logits (ties occur), some of them not free, some transitions forbidden."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_forcing = draw(st.integers(0, 40)), draw(st.integers(1, 3))
    allowed = rng.random((CLASSES, CLASSES)) < draw(st.sampled_from([0.6, 2.0]))
    np.fill_diagonal(allowed, True)
    logits = rng.integers(-4, 5, (CLASSES, n)).astype(np.float32)
    cells = cells_of(np.sort(rng.integers(0, n_forcing, n)), logits, n_forcing, allowed)
    return cells, rng.integers(0, 4, n).astype(np.int8), rng.random(n) < 0.8, rng.integers(0, 30, n_forcing)


@examples(300)
@given(problems())
def test_areas_stay_and_only_what_may_change_does(problem: tuple[Cells, np.ndarray, np.ndarray, np.ndarray]) -> None:
    check(*problem)


@examples(300)
@given(problems())
def test_it_stops_only_where_no_two_cells_could_still_swap(
    problem: tuple[Cells, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    cells, classes, free, _ = problem
    after, left = check(*problem)
    waiting = [i for i in np.flatnonzero(free & (after == classes)) if left[cells.forcing[i]] > 1]
    for i, j in combinations(waiting, 2):
        a, b = after[i], after[j]
        assert cells.forcing[i] != cells.forcing[j] or a == b or not (cells.allowed[a, b] and cells.allowed[b, a])


@examples(300)
@given(problems())
def test_it_follows_the_rules_as_loops_do(problem: tuple[Cells, np.ndarray, np.ndarray, np.ndarray]) -> None:
    cells, classes, free, amount = problem
    after, left = check(*problem)
    for home in range(cells.n_forcing):
        at = cells.forcing == home
        expected, alone = plain.swap(
            cells.logits[:, at], classes[at], GROUP, cells.allowed, free[at], int(amount[home])
        )
        assert after[at].tolist() == expected.tolist()
        assert left[home] == alone


@examples(200)
@given(problems())
def test_forcing_cells_do_not_meet(problem: tuple[Cells, np.ndarray, np.ndarray, np.ndarray]) -> None:
    cells, classes, free, amount = problem
    together, left = check(*problem)
    for home in range(cells.n_forcing):
        inside = cells.forcing == home
        alone = cells_of(np.zeros(inside.sum(), int), cells.logits[:, inside], 1, cells.allowed)
        after, rest = check(alone, classes[inside], free[inside], amount[home : home + 1])
        np.testing.assert_array_equal(after, together[inside])
        assert rest[0] == left[home]


@examples(200)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 50))
def test_between_two_classes_it_stops_only_when_partners_run_out(seed: int, n: int, amount: int) -> None:
    rng = np.random.default_rng(seed)
    allowed = EVERY.copy()
    allowed[:2, 2:] = allowed[2:, :2] = False
    classes = rng.integers(0, 2, n).astype(np.int8)
    cells = cells_of([0] * n, rng.normal(size=(CLASSES, n)).astype(np.float32), 1, allowed)
    after, _ = check(cells, classes, np.ones(n, bool), np.array([amount]))
    pairs = min(amount // 2, np.count_nonzero(classes == 0), np.count_nonzero(classes == 1))
    assert (after != classes).sum() == 2 * pairs


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_the_best_pairs_are_those_of_a_search_over_all(pairs: int) -> None:
    rng = np.random.default_rng(8)
    allowed = EVERY.copy()
    allowed[:2, 2:] = allowed[2:, :2] = False
    logits = rng.normal(size=(CLASSES, 8)).astype(np.float32)
    classes = np.array([0, 1, 0, 1, 0, 1, 0, 1], np.int8)
    after, _ = check(cells_of([0] * 8, logits, 1, allowed), classes, np.ones(8, bool), np.array([2 * pairs]))
    gain = np.where(classes == 0, logits[1] - logits[0], logits[0] - logits[1])
    best = max(
        (a + b for a in combinations(range(0, 8, 2), pairs) for b in combinations(range(1, 8, 2), pairs)),
        key=lambda chosen: gain[list(chosen)].sum(),
    )
    assert sorted(best) == np.flatnonzero(after != classes).tolist()


def test_pairs_of_all_classes_compete_by_the_sum_of_their_gains() -> None:
    # 0 <-> 1 gains 3 + 1, 2 <-> 3 gains 5 + 0, 0 <-> 2 gains 2 + 1; each cell wants one class only
    wants = [(0, 1, 3), (1, 0, 1), (2, 3, 5), (3, 2, 0.5), (0, 2, 2), (2, 0, 1)]
    logits = np.full((CLASSES, 6), -50, np.float32)
    for i, (now, new, gain) in enumerate(wants):
        logits[now, i], logits[new, i] = 0, gain
    classes = np.array([now for now, _, _ in wants], np.int8)
    order = [{2, 3}, {0, 1}, {4, 5}]
    for pairs in (1, 2, 3):
        after, left = check(cells_of([0] * 6, logits, 1), classes, np.ones(6, bool), np.array([2 * pairs]))
        assert set(np.flatnonzero(after != classes)) == set().union(*order[:pairs])
        assert left.tolist() == [0]


def test_a_cell_that_finds_no_partner_for_its_first_choice_offers_its_second() -> None:
    logits = np.full((CLASSES, 2), -9, np.float32)
    logits[:, 0] = [0, 1, 2, -9, -9]  # of class 0: would rather be 2, then 1
    logits[:, 1] = [3, 0, -9, -9, -9]  # of class 1: would be 0
    classes = np.array([0, 1], np.int8)
    after, left = check(cells_of([0, 0], logits, 1), classes, np.ones(2, bool), np.array([2]))
    assert after.tolist() == [1, 0]
    assert left.tolist() == [0]


@pytest.mark.parametrize(("amount", "changed"), [(0, 0), (1, 0), (2, 2), (3, 2), (5, 4)])
def test_an_odd_cell_stays_over(amount: int, changed: int) -> None:
    classes = np.array([0, 0, 0, 1, 1, 1], np.int8)
    cells = cells_of([0] * 6, np.zeros((CLASSES, 6), np.float32), 1)
    after, left = check(cells, classes, np.ones(6, bool), np.array([amount]))
    assert (after != classes).sum() == changed
    assert left.tolist() == [amount - changed]


@pytest.mark.parametrize("forbidden", [(0, 1), (1, 0)])
def test_a_swap_needs_both_ways_allowed(forbidden: tuple[int, int]) -> None:
    allowed = EVERY.copy()
    allowed[forbidden] = False
    classes = np.array([0, 0, 1, 1], np.int8)
    cells = cells_of([0] * 4, np.zeros((CLASSES, 4), np.float32), 1, allowed)
    after, left = check(cells, classes, np.ones(4, bool), np.array([4]))
    assert (after == classes).all()
    assert left.tolist() == [4]


def test_partners_are_of_one_forcing_cell() -> None:
    cells = cells_of([0, 1], np.zeros((CLASSES, 2), np.float32), 2)
    after, left = check(cells, np.array([0, 1], np.int8), np.ones(2, bool), np.array([2, 2]))
    assert after.tolist() == [0, 1]
    assert left.tolist() == [2, 2]
