"""Measures of probabilities: values by hand, and those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.experiments.evaluation import chance
from ai4land_coupler.experiments.evaluation.sums import BINS, Cells, bins_of, chance_sums
from ai4land_coupler.experiments.metrics import figure_of_merit
from ai4land_coupler.experiments.training.scores import placed_change


def random_case(size: int = 5000, *, by_area: bool = False) -> tuple[Cells, np.ndarray, np.ndarray, np.ndarray]:
    """Cells, classes before and observed, and logits that know something about the change."""
    rng = np.random.default_rng(3)
    shape = (50, size // 50)
    grid = LatLonGrid(0.0, 0.1, shape[1], 60.0, -0.1, shape[0])
    before = rng.integers(0, 4, shape).astype(np.int8)
    logits = rng.normal(size=(4, *shape)).astype(np.float32)
    logits += 3 * (np.arange(4)[:, None, None] == before)
    chances = np.exp(logits) / np.exp(logits).sum(axis=0)
    drawn = (chances.cumsum(axis=0) < rng.random(shape)).sum(axis=0)
    observed = np.minimum(drawn, 3).astype(np.int8)
    return Cells(grid, grid.box, rng.random(shape) < 0.9, by_area), before, observed, logits


def of_change(logits: np.ndarray, before: np.ndarray) -> np.ndarray:
    values = np.exp(logits.astype(np.float64))
    return 1 - np.take_along_axis(values, before[None].astype(np.int64), 0)[0] / values.sum(axis=0)


@pytest.mark.parametrize("by_area", [False, True])
def test_scores_are_those_of_scikit_learn(by_area: bool) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    cells, before, observed, logits = random_case(50_000, by_area=by_area)
    sums = chance_sums(cells, before, observed, logits)
    inside = cells.judged
    changed, p, w = (observed != before)[inside], of_change(logits, before)[inside], cells.weight[inside]
    assert chance.brier(sums["chance"]) == pytest.approx(metrics.brier_score_loss(changed, p, sample_weight=w))
    assert chance.log_loss(sums["chance"]) == pytest.approx(metrics.log_loss(changed, p, sample_weight=w))
    values = np.exp(logits[:, inside].astype(np.float64)).T
    expected = metrics.log_loss(observed[inside], values / values.sum(axis=1, keepdims=True), sample_weight=w)
    assert chance.class_log_loss(sums["chance"]) == pytest.approx(expected)
    precision = metrics.average_precision_score(changed, p, sample_weight=w)
    assert chance.average_precision(sums["chance_bins"]) == pytest.approx(precision, abs=1e-3)
    assert chance.expected_change(sums["chance"]) == pytest.approx(np.average(p, weights=w))


def test_merit_of_the_observed_amount_is_that_of_the_training() -> None:
    cells, before, observed, logits = random_case()
    sums = chance_sums(cells, before, observed, logits)
    inside = cells.judged
    amount = int(np.count_nonzero((observed != before)[inside]))
    placed = placed_change(before[inside], logits[:, inside].T, amount)
    expected = figure_of_merit(before[inside], observed[inside], placed).value
    assert chance.merit_of_amount(sums["gain_bins"]) == pytest.approx(expected, abs=2e-3)


def test_merit_of_the_observed_amount_by_hand() -> None:
    bins = np.zeros((BINS, 3))
    bins[10] = [2, 0, 1]  # the best three cells: two right, one that does not change
    bins[5] = [1, 1, 2]  # of these four, one is still wanted, as four cells change: a quarter of each
    # hits 2 + 1/4; observed change 4; false alarms 1 + 2/4
    assert chance.merit_of_amount(bins) == pytest.approx(2.25 / (4 + 1.5))


def test_average_precision_by_hand() -> None:
    bins = np.zeros((BINS, 3))
    bins[30, :2], bins[20, :2], bins[10, :2] = [1, 0], [0, 1], [1, 1]
    # precision 1 for half of the change, 2/4 for the other half
    assert chance.average_precision(bins) == pytest.approx(0.75)
    assert np.isnan(chance.average_precision(np.zeros((BINS, 3))))


def test_well_calibrated_chances_have_a_small_error_and_others_have_not() -> None:
    cells, before, observed, logits = random_case(50_000)
    good = chance_sums(cells, before, observed, logits)["chance_bins"]
    assert chance.calibration_error(good) < 0.01
    table = chance.reliability(good)
    assert table[:, 0].sum() == cells.judged.sum()
    used = table[:, 0] > 500
    assert np.abs(table[used, 1] - table[used, 2]).max() < 0.06
    timid = chance_sums(cells, before, observed, 2 * logits)["chance_bins"]
    assert chance.calibration_error(timid) > 0.05


def test_calibration_error_by_hand() -> None:
    bins = np.zeros((BINS, 3))
    at = bins_of(np.array([np.log(0.25 / 0.75), np.log(0.65 / 0.35)]))
    bins[at[0]] = [1, 3, 4 * 0.25]  # chance 0.25, observed 0.25
    bins[at[1]] = [4, 0, 4 * 0.65]  # chance 0.65, observed 1
    assert chance.calibration_error(bins) == pytest.approx(0.35 / 2)


def test_extreme_logits_stay_finite() -> None:
    grid = LatLonGrid(0.0, 0.1, 2, 60.0, -0.1, 1)
    before, observed = np.array([[0, 1]], np.int8), np.array([[0, 0]], np.int8)
    logits = np.array([[[200.0, -200.0]], [[-200.0, 200.0]]], np.float32)
    sums = chance_sums(Cells(grid, grid.box, np.ones((1, 2), bool)), before, observed, logits)
    assert all(np.isfinite(values).all() for values in sums.values())
    assert chance.log_loss(sums["chance"]) == pytest.approx(200, rel=0.01)  # half of 400: the second cell was certain
