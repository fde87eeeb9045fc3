"""Net change on whole cells: what is asked is met where it can be, on the cells that gain most."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import plain
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.allocation.cells import Cells
from ai4land_coupler.allocation.placement import place_net_change

#: Five classes in three groups; the last class belongs to none (water).
GROUP = np.array([0, 1, 2, 2, -1], np.int8)
CLASSES = 5


def cells_of(
    forcing: list[int] | np.ndarray, logits: np.ndarray, n_forcing: int, allowed: np.ndarray | None = None
) -> Cells:
    every = np.ones((CLASSES, CLASSES), bool)
    return Cells(np.asarray(forcing, np.int64), logits, GROUP, every if allowed is None else allowed, n_forcing)


def counts(cells: Cells, classes: np.ndarray) -> np.ndarray:
    """Cells of each group in each forcing cell, by a loop."""
    table = np.zeros((cells.n_forcing, 3), np.int64)
    for home, now in zip(cells.forcing, classes, strict=True):
        table[home, GROUP[now]] += 1
    return table


def check(cells: Cells, before: np.ndarray, need: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place, and check what holds of every answer, cell by cell."""
    kept = before.copy(), need.copy()
    for array in (before, need, cells.logits, cells.forcing):
        array.flags.writeable = False
    after, unmet = place_net_change(cells, before, need)
    assert (before == kept[0]).all()
    assert (need == kept[1]).all()
    assert after.dtype == np.int8

    np.testing.assert_array_equal(counts(cells, after) - counts(cells, before), need - unmet)
    assert (unmet * need >= 0).all()
    assert (np.abs(unmet) <= np.abs(need)).all()
    assert (unmet.sum(axis=1) == 0).all()
    for i in np.flatnonzero(after != before):
        home, now, new = cells.forcing[i], before[i], after[i]
        assert need[home, GROUP[now]] < 0 < need[home, GROUP[new]]
        assert cells.allowed[now, new]
        peers = [k for k in range(CLASSES) if GROUP[k] == GROUP[new] and cells.allowed[now, k]]
        assert cells.logits[new, i] == max(cells.logits[k, i] for k in peers)
    return after, unmet


@st.composite
def problems(draw: st.DrawFn, most: int = 24, *, forbid: bool = False) -> tuple[Cells, np.ndarray, np.ndarray]:
    """Random cells with whole-numbered logits (ties occur), and a need whose rows sum to zero."""
    seed, n, n_forcing = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, most)), draw(st.integers(1, 3))
    rng = np.random.default_rng(seed)
    logits = rng.integers(-6, 7, (CLASSES, n)).astype(np.float32)
    allowed = np.ones((CLASSES, CLASSES), bool)
    if forbid:
        allowed = rng.random((CLASSES, CLASSES)) < 0.7
        np.fill_diagonal(allowed, True)
    cells = cells_of(np.sort(rng.integers(0, n_forcing, n)), logits, n_forcing, allowed)
    classes = rng.integers(0, 4, n).astype(np.int8)
    need = rng.integers(-most // 3, most // 3 + 1, (n_forcing, 3))
    need[:, 2] = -need[:, :2].sum(axis=1)
    return cells, classes, need


# --- feasibility


@examples(300)
@given(problems())
def test_the_need_is_met_exactly_where_the_land_suffices(problem: tuple[Cells, np.ndarray, np.ndarray]) -> None:
    cells, classes, need = problem
    _, unmet = check(cells, classes, need)
    # every transition is allowed, so a group gives what it must lose, or all that it has
    short = np.minimum(need + counts(cells, classes), 0)
    np.testing.assert_array_equal(np.minimum(unmet, 0), short)


@examples(300)
@given(problems(forbid=True))
def test_with_forbidden_transitions_it_stops_only_where_no_cell_could_still_go(
    problem: tuple[Cells, np.ndarray, np.ndarray],
) -> None:
    cells, classes, need = problem
    after, unmet = check(cells, classes, need)
    for i, now in enumerate(after):
        home = cells.forcing[i]
        if unmet[home, GROUP[now]] < 0:
            lacking = [k for k in range(4) if unmet[home, GROUP[k]] > 0]
            assert not any(cells.allowed[now, k] for k in lacking)


def test_a_need_beyond_the_land_is_returned() -> None:
    cells = cells_of([0, 0, 0], np.zeros((CLASSES, 3), np.float32), 1)
    after, unmet = check(cells, np.array([0, 0, 1], np.int8), np.array([[-5, 5, 0]]))
    assert after.tolist() == [1, 1, 1]
    assert unmet.tolist() == [[-3, 3, 0]]


def test_no_cells_at_all() -> None:
    cells = cells_of([], np.zeros((CLASSES, 0), np.float32), 2)
    after, unmet = check(cells, np.zeros(0, np.int8), np.array([[1, -1, 0], [0, 0, 0]]))
    assert after.size == 0
    assert unmet.tolist() == [[1, -1, 0], [0, 0, 0]]


def test_classes_without_a_group_are_never_entered() -> None:
    logits = np.zeros((CLASSES, 4), np.float32)
    logits[4] = 100  # all would rather be water
    after, _ = check(cells_of([0] * 4, logits, 1), np.array([0, 0, 0, 0], np.int8), np.array([[-3, 1, 2]]))
    assert sorted(after.tolist()) == [0, 1, 2, 2]


def test_a_class_that_may_not_be_entered_gives_way_to_the_next_of_its_group() -> None:
    allowed = np.ones((CLASSES, CLASSES), bool)
    allowed[0, 3] = False
    logits = np.zeros((CLASSES, 2), np.float32)
    logits[3] = 5  # class 3 is likelier than 2, of the same group
    classes, need = np.array([0, 1], np.int8), np.array([[-1, -1, 2]])
    after, _ = check(cells_of([0, 0], logits, 1, allowed), classes, need)
    assert after.tolist() == [2, 3]


# --- the best cells


def best_sum(cells: Cells, classes: np.ndarray, need: np.ndarray) -> float | None:
    """Highest sum of gains over every way to meet the need of one forcing cell; ``None`` where there is none.

    Cells go from a group that loses to one that gains; a chain over a third group would be gross change.
    """
    n, best = classes.size, None
    for after in product(range(4), repeat=n):
        new = np.array(after, np.int8)
        moved = np.flatnonzero(GROUP[new] != GROUP[classes])
        still = np.flatnonzero(GROUP[new] == GROUP[classes])
        if (new[still] != classes[still]).any() or (counts(cells, new) - counts(cells, classes) != need).any():
            continue
        if not all(cells.allowed[classes[i], new[i]] and need[0, GROUP[new[i]]] > 0 for i in moved):
            continue
        total = sum(float(cells.logits[new[i], i] - cells.logits[classes[i], i]) for i in moved)
        best = total if best is None else max(best, total)
    return best


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.booleans())
def test_with_one_group_that_gains_the_sum_of_gains_is_the_highest_there_is(seed: int, n: int, forbid: bool) -> None:
    rng = np.random.default_rng(seed)
    allowed = rng.random((CLASSES, CLASSES)) < (0.6 if forbid else 2)
    np.fill_diagonal(allowed, True)
    cells = cells_of([0] * n, rng.normal(size=(CLASSES, n)).astype(np.float32), 1, allowed)
    classes = rng.integers(0, 4, n).astype(np.int8)
    have = counts(cells, classes)[0]
    gaining = int(rng.integers(3))
    need = np.array([[0 if g == gaining else -rng.integers(0, have[g] + 1) for g in range(3)]])
    need[0, gaining] = -need.sum()

    after, unmet = check(cells, classes, need)
    best = best_sum(cells, classes, need)
    assert (best is not None) == (not unmet.any())
    if best is not None:
        moved = np.flatnonzero(GROUP[after] != GROUP[classes])
        total = sum(float(cells.logits[after[i], i] - cells.logits[classes[i], i]) for i in moved)
        assert total == pytest.approx(best, abs=1e-5)


def test_the_best_cells_of_two_classes_by_every_subset() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(CLASSES, 8)).astype(np.float32)
    after, _ = check(cells_of([0] * 8, logits, 1), np.zeros(8, np.int8), np.array([[-3, 3, 0]]))
    gain = logits[1] - logits[0]
    best = max(combinations(range(8), 3), key=lambda chosen: gain[list(chosen)].sum())
    assert tuple(np.flatnonzero(after)) == best


def test_the_greatest_need_is_served_first() -> None:
    # the first cell is best for both: group 1 lacks more and takes it, although group 2 loses its best two
    logits = np.zeros((CLASSES, 4), np.float32)
    logits[1] = [9, 1, 1, 0]
    logits[2] = [9, 8, 0, 0]
    logits[3] = -9
    after, _ = check(cells_of([0] * 4, logits, 1), np.zeros(4, np.int8), np.array([[-3, 2, 1]]))
    assert after.tolist() == [1, 1, 2, 0]  # cells 2 and 3 tie for group 2: by position


# --- ties and order


def test_ties_go_by_position() -> None:
    cells = cells_of([0, 0, 0, 1, 1, 1], np.zeros((CLASSES, 6), np.float32), 2)
    after, _ = check(cells, np.zeros(6, np.int8), np.array([[-2, 2, 0], [-1, 0, 1]]))
    assert after.tolist() == [1, 1, 0, 2, 0, 0]


@examples(100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_the_order_of_cells_does_not_matter_but_for_ties(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(CLASSES, n)).astype(np.float32)
    forcing, classes = np.sort(rng.integers(0, 2, n)), rng.integers(0, 4, n).astype(np.int8)
    gains = logits[:, None] - logits[None, :]
    away = ~np.eye(CLASSES, dtype=bool)
    assume(np.unique(gains[away]).size == gains[away].size)
    need = rng.integers(-5, 6, (2, 3))
    need[:, 2] = -need[:, :2].sum(axis=1)
    one, _ = check(cells_of(forcing, logits, 2), classes, need)
    mixed = rng.permutation(n)
    mixed = mixed[np.argsort(forcing[mixed], kind="stable")]  # inside each forcing cell
    other, _ = check(cells_of(forcing, np.ascontiguousarray(logits[:, mixed]), 2), classes[mixed], need)
    np.testing.assert_array_equal(other, one[mixed])


@examples(100)
@given(problems(forbid=True))
def test_forcing_cells_do_not_meet(problem: tuple[Cells, np.ndarray, np.ndarray]) -> None:
    cells, classes, need = problem
    together, unmet = check(cells, classes, need)
    for home in range(cells.n_forcing):
        inside = cells.forcing == home
        alone = cells_of(np.zeros(inside.sum(), int), cells.logits[:, inside], 1, cells.allowed)
        after, left = check(alone, classes[inside], need[home : home + 1])
        np.testing.assert_array_equal(after, together[inside])
        np.testing.assert_array_equal(left[0], unmet[home])


@examples(300)
@given(problems(forbid=True))
def test_it_follows_the_rules_as_loops_do(problem: tuple[Cells, np.ndarray, np.ndarray]) -> None:
    cells, classes, need = problem
    after, unmet = check(cells, classes, need)
    for home in range(cells.n_forcing):
        at = cells.forcing == home
        expected, left = plain.place(cells.logits[:, at], classes[at], GROUP, cells.allowed, need[home])
        assert after[at].tolist() == expected.tolist()
        assert unmet[home].tolist() == left.tolist()
