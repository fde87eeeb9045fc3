"""Gross change: pairs of fine cells of one forcing cell exchange their classes, so that no area changes.

Net change alone is too small: real land changes several times more than its net. Rates by class, observed in the
training maps, give the amount of gross change; the logits give the places.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.placement import Cells, order_by, rank_within


def swap_cells(
    cells: Cells, classes: NDArray[np.int8], free: NDArray[np.bool_], amount: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Exchange the classes of pairs of cells, best pairs first.

    A cell may change to its most likely other class; if there are too few partners, to its two most likely, and so on.
    The k-th best cell from A to B is paired with the k-th best cell from B to A. Pairs are ranked by the sum of their
    gains. If two pairs share a cell, the better one wins.

    Parameters
    ----------
    classes:
        Class of each cell now, int8 (n,).
    free:
        Cells that may still change in this step, bool (n,).
    amount:
        Cells to change in each forcing cell, int64 (n_forcing,); an odd cell is left over.

    Returns
    -------
    The new classes, and the number of cells without a partner (n_forcing,): in those forcing cells no two free cells
    can exchange their classes.
    """
    classes, free, amount = classes.copy(), free.copy(), amount.copy()
    for choices in range(1, cells.logits.shape[0]):
        contested = True
        while contested:
            offered = np.flatnonzero(free & (amount[cells.forcing] > 1))
            if offered.size == 0:
                return classes, amount
            first, second, total = _pairs(cells, classes, *_offers(cells, classes, offered, choices))
            home = cells.forcing[first]
            order = order_by(home, total)
            first, second, home = first[order], second[order], home[order]
            best = _uncontested(first, second, free.size)
            contested = not best.all()
            first, second, home = first[best], second[best], home[best]
            taken = rank_within(home) < amount[home] // 2
            first, second, home = first[taken], second[taken], home[taken]
            classes[first], classes[second] = classes[second], classes[first]
            free[first] = free[second] = False
            amount -= 2 * np.bincount(home, minlength=cells.n_forcing)
    return classes, amount


def _offers(
    cells: Cells, classes: NDArray[np.int8], offered: NDArray[np.int64], choices: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The likeliest other classes of each cell that it may enter: cells and classes, at most ``choices`` a cell."""
    now = classes[offered]
    open_to = cells.allowed[now].T & (cells.group_of_class >= 0)[:, None]
    open_to[now, np.arange(offered.size)] = False
    ranked = np.where(open_to, cells.logits[:, offered], np.float32(-np.inf))
    order = ranked.argmax(axis=0)[None] if choices == 1 else (-ranked).argsort(axis=0, kind="stable")[:choices]
    place, choice = np.nonzero(np.take_along_axis(open_to, order, axis=0).T)
    return offered[place], order[choice, place]


def _pairs(
    cells: Cells, classes: NDArray[np.int8], cell: NDArray[np.int64], new: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Match offers A -> B with offers B -> A of the same forcing cell, rank by rank: two cells and their gain."""
    count = cells.logits.shape[0]
    now = classes[cell].astype(np.int64)
    gain = cells.logits[new, cell] - cells.logits[now, cell]
    low, high = np.minimum(now, new), np.maximum(now, new)
    # both directions of a pair of classes of a forcing cell have neighbouring keys, so their runs lie side by side
    key = ((cells.forcing[cell] * count + low) * count + high) * 2 + (now > new)
    order = order_by(key, gain)
    cell, gain, key = cell[order], gain[order], key[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    length = np.diff(np.append(start, key.size))
    partnered = np.flatnonzero((key[start[:-1]] % 2 == 0) & (key[start[1:]] == key[start[:-1]] + 1))
    matched = np.minimum(length[partnered], length[partnered + 1])
    rank = np.arange(matched.sum()) - np.repeat(np.cumsum(matched) - matched, matched)
    one = np.repeat(start[partnered], matched) + rank
    other = np.repeat(start[partnered + 1], matched) + rank
    return cell[one], cell[other], gain[one] + gain[other]


def _uncontested(first: NDArray[np.int64], second: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Pairs, best first, of which neither cell is in a better pair."""
    place = np.arange(first.size)
    best = np.full(n, first.size)
    np.minimum.at(best, first, place)
    np.minimum.at(best, second, place)
    return np.asarray((best[first] == place) & (best[second] == place))
