"""Gross change: pairs of fine cells of one forcing cell exchange their classes, so that no area changes.

Net change alone is too small: real land changes several times more than its net. Rates by class, observed in the
training maps, give the amount of gross change; the logits give the places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.cells import STRIP, Cells, order_within, rank_in_run, run_starts


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
    offered = np.flatnonzero(free & (amount > 1)[cells.forcing])
    offers = _first_choices(cells, classes, offered)
    # a cell has one offer, so no pair is contested, and at most this many pairs of two classes are wanted
    first, second, total = _pairs(cells, classes, *offers, amount // 2)
    _exchange(cells, classes, free, amount, first, second, total)
    choices: _Choices | None = None
    for count in range(2, cells.logits.shape[0]):
        contested = True
        while contested:
            still = free[offered] & (amount > 1)[cells.forcing[offered]]
            offered = offered[still]
            if offered.size == 0:
                return classes, amount
            choices = _Choices.rank(cells, classes, offered) if choices is None else choices.keep(still)
            first, second, total = _pairs(cells, classes, *choices.offers(offered, count), None)
            contested = _exchange(cells, classes, free, amount, first, second, total)
    return classes, amount


def _closed(cells: Cells) -> NDArray[np.bool_]:
    """Classes that a cell of each class may not change to: (class to, class now)."""
    closed = ~cells.allowed.T | (cells.group_of_class < 0)[:, None]
    np.fill_diagonal(closed, True)
    return closed


def _first_choices(
    cells: Cells, classes: NDArray[np.int8], offered: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.float32]]:
    """The likeliest other class of each cell that it may enter: cells, classes and gains."""
    closed = _closed(cells)
    forbidden = [k for k in cells.enterable if np.count_nonzero(closed[k, cells.enterable]) > 1]
    choice, gain = np.zeros(offered.size, np.int8), np.empty(offered.size, np.float32)
    for start in range(0, offered.size, STRIP):
        part = slice(start, start + STRIP)
        cell = offered[part]
        now, values = classes[cell], cells.values(cell)
        place = now * np.int64(cell.size) + np.arange(cell.size)
        value_now = values.take(place)
        values.put(place, -np.inf)
        for k in forbidden:
            values[k][closed[k].take(now)] = -np.inf
        best, chosen = np.full(cell.size, -np.inf, np.float32), choice[part]
        for k in cells.enterable:
            better = values[k] > best
            np.maximum(best, values[k], out=best)
            np.maximum(chosen, better * np.int8(k), out=chosen)  # the classes come in rising order
        gain[part] = best - value_now
    found = np.flatnonzero(gain > -np.inf)
    if found.size < offered.size:
        offered, choice, gain = offered[found], choice[found], gain[found]
    return offered, choice, gain


@dataclass(frozen=True)
class _Choices:
    """The other classes of each cell, likeliest first, with their gains; arrays (class, cell)."""

    classes: NDArray[np.int8]
    gain: NDArray[np.float32]
    open: NDArray[np.bool_]

    @classmethod
    def rank(cls, cells: Cells, classes: NDArray[np.int8], cell: NDArray[np.int64]) -> _Choices:
        now, values = classes[cell], cells.values(cell)
        value_now = values[now, np.arange(cell.size)]
        closed = _closed(cells).take(now, axis=1)
        values[closed] = -np.inf
        order = (-values).argsort(axis=0, kind="stable")
        gain = np.take_along_axis(values, order, axis=0) - value_now
        return cls(order.astype(np.int8), gain, ~np.take_along_axis(closed, order, axis=0))

    def keep(self, cells: NDArray[np.bool_]) -> _Choices:
        """The choices of some of the cells."""
        return self if cells.all() else _Choices(self.classes[:, cells], self.gain[:, cells], self.open[:, cells])

    def offers(
        self, cell: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.float32]]:
        """At most ``count`` offers of each cell: cells, classes and gains."""
        place, choice = np.nonzero(self.open[:count].T)
        return cell[place], self.classes[choice, place], self.gain[choice, place]


def _pairs(
    cells: Cells,
    classes: NDArray[np.int8],
    cell: NDArray[np.int64],
    new: NDArray[np.int8],
    gain: NDArray[np.float32],
    most: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Match offers A -> B with offers B -> A of the same forcing cell, rank by rank: two cells and their gain.

    Of any two classes in a forcing cell, the best ``most[forcing cell]`` pairs are enough; ``None`` for all.
    """
    count = cells.logits.shape[0]
    # both directions of a pair of classes have neighbouring numbers, so their runs lie side by side
    number = np.zeros((count, count), np.int64)
    low, high = np.triu_indices(count, 1)
    number[low, high] = 2 * np.arange(low.size)
    number[high, low] = number[low, high] + 1
    home, direction = cells.forcing[cell], number[classes[cell], new]
    order = order_within(home, direction, gain)
    directions = count * (count - 1)  # an even number, so the two runs of a pair are an even and an odd key
    key = (home * directions + direction)[order]
    start = run_starts(key)
    length = np.diff(start, append=key.size)
    run = key[start]
    partnered = np.flatnonzero((run[:-1] % 2 == 0) & (run[1:] == run[:-1] + 1))
    matched = np.minimum(length[partnered], length[partnered + 1])
    if most is not None:
        matched = np.minimum(matched, most[run[partnered] // directions])
    rank = np.arange(matched.sum()) - np.repeat(np.cumsum(matched) - matched, matched)
    one = order[np.repeat(start[partnered], matched) + rank]
    other = order[np.repeat(start[partnered + 1], matched) + rank]
    return cell[one], cell[other], gain[one] + gain[other]


def _exchange(
    cells: Cells,
    classes: NDArray[np.int8],
    free: NDArray[np.bool_],
    amount: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    total: NDArray[np.float32],
) -> bool:
    """Exchange the classes of the best pairs; updates ``classes``, ``free`` and ``amount``.

    Returns whether a pair shared a cell with a better pair.
    """
    home = cells.forcing[first]
    order = order_within(home, np.zeros_like(home), total)
    first, second, home = first[order], second[order], home[order]
    best = _uncontested(first, second, free.size)
    contested = not best.all()
    if contested:
        first, second, home = first[best], second[best], home[best]
    taken = rank_in_run(home) < amount[home] // 2
    first, second, home = first[taken], second[taken], home[taken]
    classes[first], classes[second] = classes[second], classes[first]
    free[first] = free[second] = False
    amount -= 2 * np.bincount(home, minlength=cells.n_forcing)
    return contested


def _uncontested(first: NDArray[np.int64], second: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Pairs, best first, of which neither cell is in a better pair."""
    place = np.arange(first.size)
    best = np.full(n, first.size)
    np.minimum.at(best, first, place)
    np.minimum.at(best, second, place)
    return np.asarray((best[first] == place) & (best[second] == place))
