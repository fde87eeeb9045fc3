"""Gross change: pairs of fine cells of one forcing cell exchange their classes, so that no area changes.

Net demand alone leaves most of the world still: real land changes several times more than the net of it. How
much is swapped is a model of its own (rates by class, observed in the training maps); where, the logits say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.placement import Cells, rank_within


def swap_cells(
    cells: Cells, classes: NDArray[np.int8], free: NDArray[np.bool_], amount: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Exchange the classes of pairs of cells, best pairs first.

    A cell offers itself first for its likeliest other class, in later rounds for the next ones. The k-th best
    cell that would go from A to B is paired with the k-th best that would go from B to A; pairs are ranked by
    the sum of their gains.

    Parameters
    ----------
    classes:
        Class of each cell now, int8 (n,).
    free:
        Cells that may still change in this step, bool (n,).
    amount:
        Cells to change in each forcing cell, int64 (n_forcing,); an odd one stays over.

    Returns
    -------
    The new classes, and the cells that found no partner (n_forcing,).
    """
    classes, free, amount = classes.copy(), free.copy(), amount.copy()
    choices = _choices(cells, classes)
    for choice in choices:
        offered = np.flatnonzero(free & (choice >= 0) & (amount[cells.forcing] > 1))
        if offered.size == 0:
            continue
        first, second, total = _pairs(cells, classes, choice, offered)
        home = cells.forcing[first]
        order = np.lexsort((-total, home))
        first, second, home = first[order], second[order], home[order]
        taken = rank_within(home) < amount[home] // 2
        first, second, home = first[taken], second[taken], home[taken]
        classes[first], classes[second] = classes[second], classes[first]
        free[first] = free[second] = False
        amount -= 2 * np.bincount(home, minlength=cells.n_forcing)
    return classes, amount


def _choices(cells: Cells, classes: NDArray[np.int8]) -> NDArray[np.int8]:
    """Other classes of each cell from likeliest to least: (class - 1, n), -1 where a class is not allowed."""
    count = cells.logits.shape[0]
    open_to = cells.allowed[classes].T & (cells.group_of_class >= 0)[:, None]
    open_to[classes, np.arange(classes.size)] = False
    ranked = np.where(open_to, cells.logits, np.float32(-np.inf))
    order = np.argsort(-ranked, axis=0, kind="stable").astype(np.int8)
    reachable = np.take_along_axis(open_to, order.astype(np.int64), axis=0)
    return np.asarray(np.where(reachable, order, np.int8(-1))[: count - 1])


def _pairs(
    cells: Cells, classes: NDArray[np.int8], choice: NDArray[np.int8], offered: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Match offers A -> B with offers B -> A of the same forcing cell, rank by rank."""
    count = cells.logits.shape[0]
    now, new = classes[offered].astype(np.int64), choice[offered].astype(np.int64)
    gain = cells.logits[new, offered] - cells.logits[now, offered]
    order = np.lexsort((-gain, cells.forcing[offered]))
    offered, now, new, gain = offered[order], now[order], new[order], gain[order]
    home = cells.forcing[offered]
    rank = rank_within((home * count + now) * count + new)
    low, high = np.minimum(now, new), np.maximum(now, new)
    key = ((home * count + low) * count + high) * (offered.size + 1) + rank
    upward = now < new
    _, one, other = np.intersect1d(key[upward], key[~upward], assume_unique=True, return_indices=True)
    first, second = np.flatnonzero(upward)[one], np.flatnonzero(~upward)[other]
    return offered[first], offered[second], gain[first] + gain[second]
