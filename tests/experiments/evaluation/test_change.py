"""Measures of maps: values by hand, and those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ai4land_coupler.core.grid import EARTH_RADIUS, Box, LatLonGrid
from ai4land_coupler.experiments.evaluation import change
from ai4land_coupler.experiments.evaluation.sums import Cells, edge_length, map_sums, window_merit
from ai4land_coupler.experiments.metrics import figure_of_merit

# one row of ten cells; the letters of docs/evaluation.md
BEFORE = np.array([[0, 0, 0, 0, 1, 1, 1, 1, 2, 2]], np.int8)
OBSERVED = np.array([[1, 2, 1, 0, 1, 0, 1, 1, 2, 1]], np.int8)  # cells 0, 1, 2, 5 and 9 change
PREDICTED = np.array([[1, 1, 0, 2, 1, 0, 2, 1, 2, 2]], np.int8)  # hit, wrong, miss, alarm, -, hit, alarm, -, -, miss
GRID = LatLonGrid(0.0, 0.25, 10, 50.0, -0.25, 1)


def table_of(before: np.ndarray, observed: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    table = np.zeros((classes, classes, classes))
    np.add.at(table, (before.ravel(), observed.ravel(), predicted.ravel()), 1.0)
    return table


TABLE = table_of(BEFORE, OBSERVED, PREDICTED, 3)


def test_change_by_hand() -> None:
    assert [float(part) for part in change.merit_parts(TABLE)] == [2, 1, 2, 2]
    assert change.figure_of_merit(TABLE) == pytest.approx(2 / 7)
    assert change.observed_change(TABLE) == pytest.approx(0.5)
    assert change.predicted_change(TABLE) == pytest.approx(0.5)
    assert change.overall_accuracy(TABLE) == pytest.approx(0.5)
    assert change.skill_over_persistence(TABLE) == pytest.approx(0)


def test_gains_and_losses_by_hand() -> None:
    # gains of 1: observed in cells 0, 2 and 9, predicted in 0 and 1; of 0: cell 5 in both; of 2: cell 1, and 3 and 6
    assert change.gain_merit(TABLE) == pytest.approx([1, 1 / 4, 0])
    assert change.gains_found(TABLE) == pytest.approx([1, 1 / 3, 0])
    # losses of 0: observed 0, 1, 2, predicted 0, 1, 3; of 1: 5, and 5 and 6; of 2: 9, and none
    assert change.loss_merit(TABLE) == pytest.approx([2 / 4, 1 / 2, 0])


def test_disagreement_by_hand() -> None:
    # classes observed: 2 x 0, 6 x 1, 2 x 2; predicted: 2 x 0, 4 x 1, 4 x 2; five of ten cells are wrong
    assert change.quantity_disagreement(TABLE) == pytest.approx(2 / 10)
    assert change.allocation_disagreement(TABLE) == pytest.approx(5 / 10 - 2 / 10)


def test_nothing_to_judge_is_undefined() -> None:
    empty = np.zeros((3, 3, 3))
    for measure in (change.figure_of_merit, change.mean_iou, change.quantity_disagreement, change.overall_accuracy):
        assert np.isnan(measure(empty))
    still = table_of(BEFORE, BEFORE, BEFORE, 3)
    assert np.isnan(change.figure_of_merit(still))
    assert np.isnan(change.gain_merit(still)).all()
    assert change.mean_iou(still) == 1


def test_persistence_finds_nothing_and_truth_all() -> None:
    assert change.figure_of_merit(table_of(BEFORE, OBSERVED, BEFORE, 3)) == 0
    assert change.figure_of_merit(table_of(BEFORE, OBSERVED, OBSERVED, 3)) == 1


def test_iou_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    before, observed, predicted = rng.integers(0, 5, (3, 1, 400))
    table = table_of(before, observed, predicted, 6)
    expected = metrics.jaccard_score(observed.ravel(), predicted.ravel(), average=None)
    assert change.class_iou(table)[:5] == pytest.approx(expected)
    assert np.isnan(change.class_iou(table)[5])
    assert change.mean_iou(table) == pytest.approx(expected.mean())  # the absent class does not count


def test_measures_of_samples_are_those_of_each() -> None:
    other = table_of(BEFORE, PREDICTED, OBSERVED, 3)
    both = np.stack([TABLE, other])
    for measure in (change.figure_of_merit, change.mean_iou, change.gain_merit, change.loss_merit, change.class_iou):
        assert np.array_equal(measure(both), np.stack([measure(TABLE), measure(other)]), equal_nan=True)


def cells(shape: tuple[int, int], judged: np.ndarray | None = None, *, by_area: bool = False) -> Cells:
    grid = LatLonGrid(0.0, 0.25, shape[1], 50.0, -0.25, shape[0])
    return Cells(grid, grid.box, np.ones(shape, bool) if judged is None else judged, by_area)


def test_sums_are_weighted_by_area() -> None:
    column = [np.array(m, np.int8)[:, None] for m in ([0, 0, 0], [1, 1, 0], [1, 0, 1])]
    its = cells((3, 1), by_area=True)
    sums = map_sums(its, *column, np.zeros((3, 1), np.int64), 2)
    area = its.grid.row_area
    assert sums["cells"][0, 1, 1] == pytest.approx(area[0])  # hit
    assert change.figure_of_merit(sums["cells"]) == pytest.approx(area[0] / area.sum())
    # observed 1: rows 0 and 1; predicted 1: rows 0 and 2
    assert sums["coarse"][0] == pytest.approx(abs(area[1] - area[2]))


def test_cells_that_are_not_judged_do_not_count() -> None:
    judged = np.array([[True] * 4 + [False] * 6])
    outside = np.where(judged, PREDICTED, np.int8(-1))
    sums = map_sums(cells((1, 10), judged), BEFORE, OBSERVED, outside, np.zeros((1, 10), np.int64), 3)
    assert [float(part) for part in change.merit_parts(sums["cells"])] == [1, 1, 1, 1]


def test_coarse_disagreement_counts_each_forcing_cell() -> None:
    forcing = np.array([[0] * 5 + [1] * 5])
    sums = map_sums(cells((1, 10)), BEFORE, OBSERVED, PREDICTED, forcing, 3)
    # first five cells: observed 1 x 0, 3 x 1, 1 x 2, predicted 1 3 1; others: observed 1 3 1, predicted 1 1 3
    assert sums["coarse"][0] == 2


def test_merit_of_windows_by_hand() -> None:
    before = np.zeros((2, 6), np.int8)
    observed, predicted = before.copy(), before.copy()
    observed[0, 0] = observed[0, 5] = 1
    predicted[1, 1] = predicted[1, 2] = 1  # the first is one cell off in the first window, the second in the other
    its = cells((2, 6))
    assert window_merit(its, before, observed, predicted, 1, 2).tolist() == [0, 4]
    assert window_merit(its, before, observed, predicted, 3, 2).tolist() == [1, 3]
    assert window_merit(its, before, observed, predicted, 25, 2).tolist() == [2, 2]


maps = arrays(np.int8, (7, 9), elements=st.integers(0, 3))


@given(maps, maps, maps)
def test_merit_in_windows_of_one_cell_is_the_figure_of_merit(
    before: np.ndarray, observed: np.ndarray, predicted: np.ndarray
) -> None:
    correct, union = window_merit(cells((7, 9)), before, observed, predicted, 1, 4)
    merit = figure_of_merit(before, observed, predicted)
    assert correct == merit.hits
    assert union == merit.hits + merit.wrong + merit.misses + merit.false_alarms


@given(maps, maps, maps)
def test_both_disagreements_are_the_error(before: np.ndarray, observed: np.ndarray, predicted: np.ndarray) -> None:
    table = table_of(before, observed, predicted, 4)
    quantity, allocation = change.quantity_disagreement(table), change.allocation_disagreement(table)
    assert quantity >= 0
    assert allocation >= -1e-12
    assert quantity + allocation == pytest.approx(np.mean(observed != predicted))
    assert change.figure_of_merit(table) == pytest.approx(
        figure_of_merit(before, observed, predicted).value, nan_ok=True
    )


def test_edges_have_the_length_of_the_cells_sides() -> None:
    grid = LatLonGrid(0.0, 1.0, 2, 61.0, -1.0, 2)  # the rows meet at 60 N, where a degree of longitude is half as long
    classes = np.array([[0, 1], [1, 1]], np.int8)
    its = Cells(grid, Box(0, 2, 0, 2), np.ones((2, 2), bool))
    degree = EARTH_RADIUS / 1000 * np.pi / 180
    assert edge_length(its, classes) == pytest.approx(degree + degree / 2)
    hidden = Cells(grid, Box(0, 2, 0, 2), np.array([[False, True], [True, True]]))
    assert edge_length(hidden, classes) == 0
