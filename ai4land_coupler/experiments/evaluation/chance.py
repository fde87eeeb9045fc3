"""Measures of the predicted probability of change, from the sums of :func:`..sums.chance_sums`.

Brier (1950), https://doi.org/10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2. Average precision without interpolation:
Davis and Goadrich (2006), https://doi.org/10.1145/1143844.1143874. Calibration error: Naeini et al. (2015),
https://doi.org/10.1609/aaai.v29i1.9602.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.experiments.evaluation.change import ratio
from ai4land_coupler.experiments.evaluation.sums import BINS, LOWEST, WIDTH

Values = NDArray[np.float64]

#: Edges of the bins of the reliability, as probabilities. Change is rare, so they are fine near 0.
RELIABILITY_EDGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def brier(sums: Values) -> Values:
    """Mean square difference between the probability of change and change (0 or 1)."""
    return ratio(sums[..., 1], sums[..., 0])


def log_loss(sums: Values) -> Values:
    """Mean negative logarithm of the probability of what happened: change or no change."""
    return ratio(sums[..., 2], sums[..., 0])


def class_log_loss(sums: Values) -> Values:
    """Mean negative logarithm of the probability of the observed class."""
    return ratio(sums[..., 3], sums[..., 0])


def expected_change(sums: Values) -> Values:
    """Mean probability of change."""
    return ratio(sums[..., 4], sums[..., 0])


def average_precision(bins: Values) -> Values:
    """Area under precision against recall of change, from a histogram of scores (..., BINS, 3).

    The precision of the cells of a bin is that in the middle of the bin.
    """
    changed, both = bins[..., ::-1, 0], bins[..., ::-1, :2].sum(axis=-1)
    found, called = changed.cumsum(axis=-1), both.cumsum(axis=-1)
    precision = np.nan_to_num(ratio(found - changed / 2, called - both / 2))
    return ratio((precision * changed).sum(axis=-1), found[..., -1])


def merit_of_amount(bins: Values) -> Values:
    """Figure of merit if as much land changes as was observed, in the cells with the largest gain (..., BINS, 3).

    The gain is the difference between the logits of the best other class and of the class before. Of the last bin,
    the part that is needed counts, with the mean composition of the bin.
    """
    falling = bins[..., ::-1, :]
    amount = falling[..., :2].sum(axis=(-2, -1))
    size = falling.sum(axis=-1)
    reached = size.cumsum(axis=-1)
    taken = np.clip(amount[..., None] - (reached - size), 0, size)
    share = np.nan_to_num(ratio(taken, size))
    hits, alarms = (np.asarray((share * falling[..., i]).sum(axis=-1)) for i in (0, 2))
    return ratio(hits, amount + alarms)


def reliability(bins: Values) -> Values:
    """Weight, mean probability and observed share of change in bins of probability: (..., bins, 3)."""
    middle = LOWEST + WIDTH * (np.arange(BINS) + 0.5)
    edges = np.asarray(RELIABILITY_EDGES)
    which = np.clip(np.searchsorted(edges, 1 / (1 + np.exp(-middle)), side="right") - 1, 0, edges.size - 2)
    table = np.stack([bins[..., which == i, :].sum(axis=-2) for i in range(edges.size - 1)], axis=-2)
    weight = table[..., 0] + table[..., 1]
    return np.stack([weight, ratio(table[..., 2], weight), ratio(table[..., 0], weight)], axis=-1)


def calibration_error(bins: Values) -> Values:
    """Mean absolute difference between probability and observed share of change over the bins of the reliability."""
    table = reliability(bins)
    weight, gap = table[..., 0], np.nan_to_num(np.abs(table[..., 1] - table[..., 2]))
    return ratio((weight * gap).sum(axis=-1), weight.sum(axis=-1))
