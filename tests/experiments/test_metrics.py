"""Measures of change, compared with values calculated by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ai4land_coupler.errors import GridError
from ai4land_coupler.experiments.metrics import (
    class_shares,
    figure_of_merit,
)

BEFORE = np.array([0, 0, 0, 0, 1, 1, 1, 1])
OBSERVED = np.array([1, 2, 1, 0, 1, 0, 1, 1])  # cells 0, 1, 2 and 5 change
PREDICTED = np.array([1, 1, 0, 2, 1, 0, 2, 1])  # hit, wrong, miss, false alarm, -, hit, false alarm, -


def test_figure_of_merit_by_hand() -> None:
    merit = figure_of_merit(BEFORE, OBSERVED, PREDICTED)
    assert (merit.hits, merit.wrong, merit.misses, merit.false_alarms) == (2, 1, 1, 2)
    assert merit.value == pytest.approx(2 / 6)


def test_figure_of_merit_uses_weights() -> None:
    weights = [10, 1, 1, 1, 1, 0, 0, 1]
    merit = figure_of_merit(BEFORE, OBSERVED, PREDICTED, weights)
    assert (merit.hits, merit.wrong, merit.misses, merit.false_alarms) == (10, 1, 1, 1)
    assert merit.value == pytest.approx(10 / 13)


def test_figures_of_merit_can_be_added() -> None:
    total = figure_of_merit(BEFORE, OBSERVED, PREDICTED) + figure_of_merit(BEFORE, OBSERVED, OBSERVED)
    assert total.value == pytest.approx(6 / 10)


def test_persistence_has_0_and_truth_has_1() -> None:
    assert figure_of_merit(BEFORE, OBSERVED, BEFORE).value == 0
    assert figure_of_merit(BEFORE, OBSERVED, OBSERVED).value == 1
    assert math.isnan(figure_of_merit(BEFORE, BEFORE, BEFORE).value)


def test_shares_by_hand() -> None:
    assert class_shares(OBSERVED, 3) == pytest.approx([2 / 8, 5 / 8, 1 / 8])


def test_different_shapes_are_refused() -> None:
    with pytest.raises(GridError, match="different shapes"):
        figure_of_merit(BEFORE, OBSERVED, PREDICTED[:-1])


maps = arrays(np.int8, 30, elements=st.integers(0, 3))


@given(maps, maps, maps)
def test_bounds(before: np.ndarray, observed: np.ndarray, predicted: np.ndarray) -> None:
    """The four amounts count each cell at most once."""
    merit = figure_of_merit(before, observed, predicted)
    assert merit.hits + merit.wrong + merit.misses == (before != observed).sum()
    assert merit.hits + merit.wrong + merit.false_alarms == (before != predicted).sum()
