"""Measures of a predicted map from the table of classes before, observed and predicted.

All functions take a table (..., n, n, n) of weights, so that the bootstrap computes all samples at once. NaN stands for
an undefined measure. Sources: Pontius et al. (2008), https://doi.org/10.1007/s00168-007-0138-2 (figure of merit);
Pontius and Millones (2011), https://doi.org/10.1080/01431161.2011.552923 (quantity and allocation disagreement);
Jaccard (1912), https://doi.org/10.1111/j.1469-8137.1912.tb05611.x (intersection over union).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
Values = NDArray[np.float64]


def ratio(part: Values, whole: Values) -> Values:
    """Quotient; NaN where the denominator is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def total(table: Table) -> Values:
    """Weight of all judged cells."""
    return np.asarray(table.sum(axis=(-3, -2, -1)))


def observed_change(table: Table) -> Values:
    """Share of the weight that changed."""
    return ratio(_moved(table.sum(axis=-1)), total(table))


def predicted_change(table: Table) -> Values:
    """Share of the weight that was predicted to change."""
    return ratio(_moved(table.sum(axis=-2)), total(table))


def merit_parts(table: Table) -> tuple[Values, Values, Values, Values]:
    """Hits, wrong hits, misses and false alarms.

    A wrong hit is observed change that was predicted with a wrong class.
    """
    n = table.shape[-1]
    was, is_, guess = np.ogrid[:n, :n, :n]
    changed, called, right = was != is_, was != guess, is_ == guess
    hits, wrong, misses, alarms = (
        np.asarray((table * mask).sum(axis=(-3, -2, -1)))
        for mask in (changed & called & right, changed & called & ~right, changed & ~called, ~changed & called)
    )
    return hits, wrong, misses, alarms


def figure_of_merit(table: Table) -> Values:
    """Hits / (hits + wrong hits + misses + false alarms): Pontius et al. (2008)."""
    hits, wrong, misses, alarms = merit_parts(table)
    return ratio(hits, hits + wrong + misses + alarms)


def gain_merit(table: Table) -> Values:
    """Figure of merit of the gains of each class: cells that entered it, observed and predicted; (..., n)."""
    n = table.shape[-1]
    gained = np.stack([_without(table, k)[..., k, :].sum(axis=(-2, -1)) for k in range(n)], axis=-1)
    called = np.stack([_without(table, k)[..., :, k].sum(axis=(-2, -1)) for k in range(n)], axis=-1)
    both = np.stack([_without(table, k)[..., k, k].sum(axis=-1) for k in range(n)], axis=-1)
    return ratio(both, gained + called - both)


def gains_found(table: Table) -> Values:
    """Share of the observed gains of each class that was predicted as such; (..., n)."""
    n = table.shape[-1]
    gained = np.stack([_without(table, k)[..., k, :].sum(axis=(-2, -1)) for k in range(n)], axis=-1)
    both = np.stack([_without(table, k)[..., k, k].sum(axis=-1) for k in range(n)], axis=-1)
    return ratio(both, gained)


def loss_merit(table: Table) -> Values:
    """Figure of merit of the losses of each class: cells that left it, to whatever class; (..., n)."""
    n = table.shape[-1]
    of_class = [table[..., k, :, :] for k in range(n)]
    lost = np.stack([t.sum(axis=(-2, -1)) - t[..., k, :].sum(axis=-1) for k, t in enumerate(of_class)], axis=-1)
    called = np.stack([t.sum(axis=(-2, -1)) - t[..., :, k].sum(axis=-1) for k, t in enumerate(of_class)], axis=-1)
    neither = np.stack([t[..., k, k] for k, t in enumerate(of_class)], axis=-1)
    union = np.stack([t.sum(axis=(-2, -1)) for t in of_class], axis=-1) - neither
    return ratio(lost + called - union, union)


def class_iou(table: Table) -> Values:
    """Intersection over union of each class; (..., n)."""
    pairs = table.sum(axis=-3)
    both = np.diagonal(pairs, axis1=-2, axis2=-1)
    return ratio(both, pairs.sum(axis=-1) + pairs.sum(axis=-2) - both)


def mean_iou(table: Table) -> Values:
    """Mean intersection over union of the classes that the observed map has."""
    present = table.sum(axis=(-3, -1)) > 0
    iou = np.where(present, class_iou(table), 0.0)
    return ratio(iou.sum(axis=-1), present.sum(axis=-1).astype(np.float64))


def quantity_disagreement(table: Table) -> Values:
    """Half the sum over classes of the difference in their shares: Pontius and Millones (2011)."""
    pairs = table.sum(axis=-3)
    return ratio(np.abs(pairs.sum(axis=-1) - pairs.sum(axis=-2)).sum(axis=-1) / 2, total(table))


def allocation_disagreement(table: Table) -> Values:
    """The share of wrong cells minus the quantity disagreement: Pontius and Millones (2011)."""
    return np.asarray(error(table) - quantity_disagreement(table))


def error(table: Table) -> Values:
    """Share of the weight with a wrong class."""
    return ratio(_moved(table.sum(axis=-3)), total(table))


def overall_accuracy(table: Table) -> Values:
    """Share of the weight with the right class."""
    return np.asarray(1 - error(table))


def skill_over_persistence(table: Table) -> Values:
    """1 - error / error of a map that does not change. 0 is as good as persistence."""
    return np.asarray(1 - ratio(error(table), observed_change(table)))


def _moved(pairs: Values) -> Values:
    """The sum of (..., n, n) without its diagonal."""
    n = pairs.shape[-1]
    return np.asarray((pairs * ~np.eye(n, dtype=bool)).sum(axis=(-2, -1)))


def _without(table: Table, k: int) -> Table:
    """The table without the cells that had class k before."""
    return np.delete(table, k, axis=-3)
