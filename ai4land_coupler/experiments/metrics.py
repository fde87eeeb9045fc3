"""The figure of merit of predicted land change between maps in memory, and the shares of classes.

Only half a per cent of the land changes in a year, so overall accuracy is not useful. The figure of merit uses the
change: Pontius et al. (2008), https://doi.org/10.1007/s00168-007-0138-2. All other measures are in ``evaluation/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ai4land_coupler.errors import GridError


@dataclass(frozen=True)
class FigureOfMerit:
    """Amounts of correct and wrong change: numbers of cells, or sums of their weights.

    Parameters
    ----------
    hits:
        Observed change that was predicted with the right class.
    wrong:
        Observed change that was predicted with a wrong class.
    misses:
        Observed change that was not predicted.
    false_alarms:
        Predicted change that was not observed.
    """

    hits: float
    wrong: float
    misses: float
    false_alarms: float

    @property
    def value(self) -> float:
        """H / (H + W + M + F). NaN if there is neither observed nor predicted change."""
        total = self.hits + self.wrong + self.misses + self.false_alarms
        return self.hits / total if total else float("nan")

    def __add__(self, other: FigureOfMerit) -> FigureOfMerit:
        return FigureOfMerit(
            self.hits + other.hits,
            self.wrong + other.wrong,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
        )


def _same_shape(*maps: ArrayLike) -> list[NDArray[Any]]:
    arrays = [np.asarray(m) for m in maps]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise GridError(
            "maps that are compared have different shapes", expected=arrays[0].shape, found=sorted(shapes, key=str)
        )
    return arrays


def figure_of_merit(
    before: ArrayLike, observed: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> FigureOfMerit:
    """Compare predicted with observed change since an earlier map.

    Parameters
    ----------
    before, observed, predicted:
        Classes at the start, observed at the end, and predicted for the end; with equal shapes.
    weights:
        Weight of each cell, such as its area. Cells with weight zero do not count. Default: 1.

    Raises
    ------
    GridError
        If the shapes differ.
    """
    start, truth, guess = _same_shape(before, observed, predicted)
    weight = np.ones(start.shape) if weights is None else np.broadcast_to(np.asarray(weights, np.float64), start.shape)
    changed, called, right = truth != start, guess != start, truth == guess

    def total(mask: NDArray[np.bool_]) -> float:
        return float(weight[mask].sum())

    return FigureOfMerit(
        hits=total(changed & called & right),
        wrong=total(changed & called & ~right),
        misses=total(changed & ~called),
        false_alarms=total(~changed & called),
    )


def class_shares(classes: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Share of each class 0 .. n-1 among all cells with one of these classes, shape (n,)."""
    flat = np.asarray(classes).ravel()
    weight = np.ones(flat.size) if weights is None else np.broadcast_to(weights, np.shape(classes)).ravel()
    inside = (flat >= 0) & (flat < n_classes)
    amounts = np.bincount(flat[inside].astype(np.int64), weights=weight[inside], minlength=n_classes)
    return np.asarray(amounts / amounts.sum())
