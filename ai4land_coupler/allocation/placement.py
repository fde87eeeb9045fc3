"""Places the net change of each forcing cell on the fine cells that are most likely to change.

The method is greedy in the gain of log-probability, z[new] - z[now]: the group with the largest need takes the best
cells of the groups that must shrink, then the next group does. Whole cells move; sorting solves all forcing cells
together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cells:
    """The fine cells that may change, flattened.

    Parameters
    ----------
    forcing:
        Index of the forcing cell of each, 0 .. n_forcing-1.
    logits:
        float32 (class, n): log-probabilities up to a constant, with noise if there is a temperature.
    group_of_class:
        Group of each class, -1 for classes that nothing may enter or leave.
    allowed:
        bool (class from, class to).
    """

    forcing: NDArray[np.int64]
    logits: NDArray[np.float32]
    group_of_class: NDArray[np.int8]
    allowed: NDArray[np.bool_]
    n_forcing: int

    @property
    def groups(self) -> int:
        return int(self.group_of_class.max()) + 1


def rank_within(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each element among those of equal key that come before it: 0, 1, 2 ... Any order of keys."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    counts = np.diff(np.concatenate([starts, [ordered.size]]))
    rank = np.empty(key.size, np.int64)
    rank[order] = np.arange(key.size) - np.repeat(starts, counts)
    return rank


def order_by(key: NDArray[np.int64], value: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order that sorts by rising key, then by falling value, then by place; keys are 0 .. 2**32 - 1, no NaN.

    The same as ``np.lexsort((-value, key))`` in half its time: floats sort as their bits do, once those of negative
    numbers are turned over, so one integer holds both.
    """
    bits = (np.float32(0) - value).view(np.uint32)  # not -value: the bits of -0.0 are others than those of 0.0
    bits = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return np.argsort(key.astype(np.uint64) << np.uint64(32) | bits, kind="stable")


def place_net_change(
    cells: Cells, classes: NDArray[np.int8], need: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Move whole cells between groups until the need of each forcing cell is met.

    Parameters
    ----------
    classes:
        Class of each cell now, int8 (n,).
    need:
        Cells that each group must gain (or lose, negative), int64 (n_forcing, groups); rows sum to zero.

    Returns
    -------
    The new classes, and the need that could not be met (same shape and sign as ``need``).
    """
    classes = classes.copy()
    need = need.copy()
    hopeless = np.zeros_like(need, bool)
    while True:
        wanted = np.where(hopeless, 0, need)
        most = wanted.argmax(axis=1)
        lacking = wanted[np.arange(cells.n_forcing), most]
        if not (lacking > 0).any():
            return classes, need
        moved = _serve(cells, classes, need, most, lacking)
        # a group that finds no further cell in this round never will: its candidates only get fewer
        hopeless[np.arange(cells.n_forcing), most] |= (lacking > 0) & (moved < lacking)


def _serve(
    cells: Cells,
    classes: NDArray[np.int8],
    need: NDArray[np.int64],
    most: NDArray[np.int64],
    lacking: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Give each forcing cell's most wanted group its best cells; updates ``classes`` and ``need``."""
    group = cells.group_of_class[classes]
    surplus = need[cells.forcing, group] < 0
    candidate = np.flatnonzero(surplus & (lacking[cells.forcing] > 0))
    target, gain = _best_entry(cells, classes, candidate, most[cells.forcing[candidate]])
    usable = np.isfinite(gain)
    candidate, target, gain = candidate[usable], target[usable], gain[usable]

    order = order_by(cells.forcing[candidate], gain)
    candidate, target = candidate[order], target[order]
    home, source = cells.forcing[candidate], group[candidate].astype(np.int64)
    # a group gives no more than it must lose, and the wanted one takes no more than it lacks
    given = rank_within(home * cells.groups + source) < -need[home, source]
    candidate, target, home, source = candidate[given], target[given], home[given], source[given]
    taken = rank_within(home) < lacking[home]
    candidate, target, home, source = candidate[taken], target[taken], home[taken], source[taken]

    classes[candidate] = target
    np.add.at(need, (home, source), 1)
    moved = np.bincount(home, minlength=cells.n_forcing)
    need[np.arange(cells.n_forcing), most] -= moved
    return moved


def _best_entry(
    cells: Cells, classes: NDArray[np.int8], candidate: NDArray[np.int64], group: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The likeliest allowed class of a group for each candidate, and the gain of entering it (-inf: none)."""
    now = classes[candidate]
    gain = np.full(candidate.size, -np.inf, np.float32)
    target = np.full(candidate.size, -1, np.int8)
    logit_now = cells.logits[now, candidate]
    for index, its_group in enumerate(cells.group_of_class):
        if its_group < 0:
            continue
        fits = (group == its_group) & cells.allowed[now, index]
        value = np.where(fits, cells.logits[index, candidate] - logit_now, np.float32(-np.inf))
        better = value > gain
        gain = np.where(better, value, gain)
        target = np.where(better, np.int8(index), target)
    return target, gain
