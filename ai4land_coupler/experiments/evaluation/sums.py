"""The sums over one block from which all measures follow. They can be added over blocks, years and tiles.

So an evaluation never holds whole maps, and the bootstrap only adds rows of a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS, Box, LatLonGrid

#: Sums by name. All values are float64 arrays of fixed shapes.
Sums = dict[str, NDArray[np.float64]]
Classes = NDArray[np.int8]

#: Windows of the merit by scale (cells along each side), besides single cells.
SCALES = (5, 25)
#: Bins of scores. Scores are log-odds (or differences of logits): bin i begins at LOWEST + i * WIDTH. The first and the
#: last bin are open. In one bin the odds differ by 6 %.
BINS, LOWEST, WIDTH = 512, -16.0, 1 / 16


@dataclass(frozen=True)
class Cells:
    """The cells of a box of the land grid that are judged.

    Parameters
    ----------
    grid, box:
        The land grid, and the box in it.
    judged:
        bool (rows, cols).
    by_area:
        Whether the weight of a cell is its area (m2), or 1.
    """

    grid: LatLonGrid
    box: Box
    judged: NDArray[np.bool_]
    by_area: bool = True

    @property
    def weight(self) -> NDArray[np.float64]:
        """Weight of each cell, (rows, cols)."""
        rows = self.grid.row_area[self.box.row0 : self.box.row1] if self.by_area else np.ones(self.box.shape[0])
        return np.broadcast_to(rows[:, None], self.box.shape)


def add(total: Sums, more: Mapping[str, NDArray[np.float64]]) -> None:
    """Add sums to others, in place."""
    for name, values in more.items():
        total[name] = total[name] + values if name in total else values


def map_sums(
    cells: Cells,
    before: Classes,
    observed: Classes,
    predicted: Classes,
    forcing: NDArray[np.int64],
    classes: int,
) -> Sums:
    """Sums of a predicted map; all maps (rows, cols) with classes 0 .. n-1 in judged cells.

    Parameters
    ----------
    forcing:
        Index of the forcing cell of each cell, from 0.

    Returns
    -------
    ``cells``: weight by class before, observed and predicted (n, n, n). ``merit_5``, ``merit_25``: correct change and
    the union of observed and predicted change in windows (:func:`window_merit`). ``edge``: length of the edges between
    classes (km) in the observed and the predicted map. ``coarse``: half the differences between the weights of classes
    in forcing cells.
    """
    inside, weight = cells.judged, cells.weight
    was, is_, guess = (part[inside].astype(np.int64) for part in (before, observed, predicted))
    key, its = (was * classes + is_) * classes + guess, weight[inside]
    table = np.bincount(key, its, classes**3).astype(np.float64)
    sums: Sums = {"cells": table.reshape(classes, classes, classes)}
    for scale in SCALES:
        sums[f"merit_{scale}"] = window_merit(cells, before, observed, predicted, scale, classes)
    sums["edge"] = np.array([edge_length(cells, observed), edge_length(cells, predicted)])
    home = forcing[inside] * classes
    size = (int(forcing.max(initial=-1)) + 1) * classes
    gap = np.bincount(home + guess, its, size) - np.bincount(home + is_, its, size)
    sums["coarse"] = np.array([np.abs(gap).sum() / 2])
    return sums


def window_merit(
    cells: Cells, before: Classes, observed: Classes, predicted: Classes, scale: int, classes: int
) -> NDArray[np.float64]:
    """Correct change, and the union of observed and predicted change, in windows of ``scale`` x ``scale`` cells: (2,).

    In a window, change from class a to class b is correct up to the smaller of its observed and predicted weight. The
    union counts, for each class a, the larger of the observed and the predicted weight of all change from a. For
    windows of one cell the quotient is the figure of merit. Windows count from the corner of the box.
    """
    rows, cols = cells.box.shape
    wide = -(-cols // scale)
    window = (np.arange(rows)[:, None] // scale) * wide + np.arange(cols) // scale
    size = -(-rows // scale) * wide
    amounts = []
    for after in (observed, predicted):
        moved = cells.judged & (after != before)
        key = (window[moved] * classes + before[moved]) * classes + after[moved]
        amount = np.bincount(key, cells.weight[moved], size * classes**2)
        amounts.append(amount.reshape(size, classes, classes))
    correct = np.minimum(*amounts).sum()
    union = np.maximum(*(amount.sum(axis=2) for amount in amounts)).sum()
    return np.array([correct, union])


def edge_length(cells: Cells, classes: Classes) -> float:
    """Length of the edges between judged neighbours of different classes (km); neighbours in rows and columns."""
    grid, box, judged = cells.grid, cells.box, cells.judged
    radius = EARTH_RADIUS / 1000
    across = judged[:, 1:] & judged[:, :-1] & (classes[:, 1:] != classes[:, :-1])
    down = judged[1:] & judged[:-1] & (classes[1:] != classes[:-1])
    parallels = np.cos(np.deg2rad(grid.lat_edges[box.row0 + 1 : box.row1])) * np.deg2rad(grid.dlon)
    meridians = np.deg2rad(abs(grid.dlat)) * np.count_nonzero(across)
    return float(radius * (meridians + (down.sum(axis=1) * parallels).sum()))


def chance_sums(cells: Cells, before: Classes, observed: Classes, logits: NDArray[np.float32]) -> Sums:
    """Sums of predicted probabilities. ``logits``: (class, rows, cols).

    Returns
    -------
    ``chance``: weight, Brier score of change, log loss of change, log loss of the class, and probability of change,
    each times the weight (5,). ``chance_bins``: weight of change, weight of no change, and probability of change times
    weight, by the log-odds of change (BINS, 3). ``gain_bins``: weight of changed cells whose best other class is right,
    of changed cells whose best other class is wrong, and of unchanged cells, by the difference between the logits of
    the best other class and of the class before (BINS, 3).
    """
    inside = cells.judged
    weight, was, is_ = cells.weight[inside], before[inside].astype(np.int64), observed[inside].astype(np.int64)
    values = logits[:, inside].astype(np.float64)
    place = np.arange(was.size)
    stay, right = values[was, place], values[is_, place]
    others = values.copy()
    others[was, place] = -np.inf
    best = others.argmax(axis=0)
    gain = others[best, place] - stay
    leave = _log_sum_exp(others)  # the log-probability of change, up to the same constant as ``stay``
    total = np.logaddexp(leave, stay)
    odds, chance = leave - stay, np.exp(leave - total)
    changed = was != is_
    log_of_change = np.where(changed, leave, stay) - total
    sums = np.array(
        [
            weight.sum(),
            (weight * (chance - changed) ** 2).sum(),
            -(weight * log_of_change).sum(),
            -(weight * (right - total)).sum(),
            (weight * chance).sum(),
        ]
    )
    by_odds, by_gain = bins_of(odds), bins_of(gain)
    hit = changed & (best == is_)
    return {
        "chance": sums,
        "chance_bins": np.stack(
            [np.bincount(by_odds, its, BINS) for its in (weight * changed, weight * ~changed, weight * chance)], axis=1
        ),
        "gain_bins": np.stack(
            [np.bincount(by_gain, its, BINS) for its in (weight * hit, weight * (changed & ~hit), weight * ~changed)],
            axis=1,
        ),
    }


def bins_of(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each score."""
    return np.clip(np.floor((score - LOWEST) / WIDTH), 0, BINS - 1).astype(np.int64)


def _log_sum_exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the sum of exponentials along the first axis."""
    top = values.max(axis=0)
    return np.asarray(top + np.log(np.exp(values - top).sum(axis=0)))
