"""Measures of the skill of predicted land change.

Only half a per cent of the land changes in a year, so overall accuracy is not useful. These measures use the change.
Pontius et al. (2008), https://doi.org/10.1007/s00168-007-0138-2, for the figure of merit; Pontius and Millones
(2011), https://doi.org/10.1080/01431161.2011.552923, for quantity and allocation disagreement.
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


def quantity_disagreement(
    observed: ArrayLike, predicted: ArrayLike, n_classes: int, weights: ArrayLike | None = None
) -> float:
    """Half the sum over all classes of the difference in their shares. Moving cells cannot reduce this error.

    Cells without one of the classes 0 .. n-1 in the observed map do not count. The predicted map must have a class in
    all other cells.

    Raises
    ------
    GridError
        If the shapes differ, or a cell has a class in the observed map only.
    """
    p, q, _ = _compared(observed, predicted, n_classes, weights)
    return float(np.abs(p - q).sum() / 2)


def allocation_disagreement(
    observed: ArrayLike, predicted: ArrayLike, n_classes: int, weights: ArrayLike | None = None
) -> float:
    """The share of wrong cells minus the quantity disagreement. Swapping cells could correct this error.

    Arguments and errors as for :func:`quantity_disagreement`.
    """
    p, q, error = _compared(observed, predicted, n_classes, weights)
    return float(error - np.abs(p - q).sum() / 2)


def _compared(
    observed: ArrayLike, predicted: ArrayLike, n_classes: int, weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Shares of the classes in both maps, and the share of cells that differ."""
    truth, guess = _same_shape(observed, predicted)
    weight = np.ones(truth.shape) if weights is None else np.broadcast_to(np.asarray(weights, np.float64), truth.shape)
    inside = (truth >= 0) & (truth < n_classes)
    truth, guess, weight = truth[inside], guess[inside], weight[inside]
    if not ((guess >= 0) & (guess < n_classes)).all():
        raise GridError(
            "the predicted map has no class where the observed one has",
            expected=f"classes 0 to {n_classes - 1}",
            found=f"{int(((guess < 0) | (guess >= n_classes)).sum())} cells without",
        )
    error = float(weight[truth != guess].sum() / weight.sum())
    return class_shares(truth, n_classes, weight), class_shares(guess, n_classes, weight), error
