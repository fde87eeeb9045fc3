"""Scores of predicted change, compared with an observed map.

Overall accuracy is not a useful score: a copy of the previous map has 0.995 after a year.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.experiments.metrics import figure_of_merit

Classes = NDArray[np.int8]

#: Number of confidence bins of the expected calibration error.
_BINS = 15


def change_scores(
    previous: Classes, observed: Classes, logits: NDArray[np.float32], classes: Sequence[str]
) -> dict[str, Any]:
    """Scores of a prediction on the given cells.

    Parameters
    ----------
    previous, observed:
        (n,) classes of the view.
    logits:
        (n, class).
    classes:
        Names of the view's classes.

    Returns
    -------
    ``cells``; share of change observed (``changed_share``), predicted (``changed_share_argmax``) and expected from the
    probabilities (``changed_share_expected``); overall accuracy of persistence and of the prediction; figure of merit
    of the most probable class, and of the observed amount of change on the most probable cells; mean intersection over
    union; recall of each class; expected calibration error. ``None`` for undefined scores.
    """
    shifted = logits - logits.max(1, keepdims=True)
    chance = np.exp(shifted, dtype=np.float64)
    chance /= chance.sum(1, keepdims=True)
    best = logits.argmax(1).astype(np.int8)
    right_amount = placed_change(previous, logits, int(np.count_nonzero(previous != observed)))
    stays = np.take_along_axis(chance, previous[:, None].astype(np.int64), 1)
    present = [k for k in range(len(classes)) if np.any(observed == k)]
    return {
        "cells": int(previous.size),
        "changed_share": _rounded(np.mean(previous != observed)),
        "changed_share_argmax": _rounded(np.mean(previous != best)),
        "changed_share_expected": _rounded(1 - stays.mean()),
        "overall_accuracy_persistence": _rounded(np.mean(previous == observed)),
        "overall_accuracy": _rounded(np.mean(best == observed)),
        "figure_of_merit": _rounded(figure_of_merit(previous, observed, best).value),
        "figure_of_merit_right_amount": _rounded(figure_of_merit(previous, observed, right_amount).value),
        "mean_iou": _rounded(np.mean([_iou(best == k, observed == k) for k in present])),
        "calibration_error": _rounded(_calibration_error(chance.max(1), best == observed)),
        "recall": {classes[k]: _rounded(np.mean(best[observed == k] == k)) for k in present},
    }


def placed_change(previous: Classes, logits: NDArray[np.float32], amount: int) -> Classes:
    """The previous map, with ``amount`` cells changed: those whose best other class is closest to the present class.

    Parameters
    ----------
    previous:
        (n,) classes.
    logits:
        (n, class).
    amount:
        Number of cells to change.
    """
    index = previous[:, None].astype(np.int64)
    others = logits.copy()
    np.put_along_axis(others, index, -np.inf, 1)
    gain = others.max(1) - np.take_along_axis(logits, index, 1)[:, 0]
    chosen = np.argsort(-gain, kind="stable")[:amount]
    placed = previous.copy()
    placed[chosen] = others[chosen].argmax(1)
    return placed


def _iou(predicted: NDArray[np.bool_], observed: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(predicted & observed) / np.count_nonzero(predicted | observed))


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error of the most probable class (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""
    which = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    gap = np.bincount(which, confidence - right, minlength=_BINS)
    return float(np.abs(gap).sum() / confidence.size)


def _rounded(value: Any) -> float | None:
    """Round to five decimals. ``None`` instead of NaN, which JSON does not have."""
    return None if np.isnan(value) else round(float(value), 5)
