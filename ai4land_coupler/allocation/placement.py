"""Places the net change of each forcing cell on the fine cells that are most likely to change.

The method is greedy in the gain of log-probability, z[new] - z[now]: the group with the largest need takes the best
cells of the groups that must shrink, then the next group does. Whole cells move; sorting solves all forcing cells
together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.cells import Cells, order_within, rank_in_run


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
    classes, need = classes.copy(), need.copy()
    giving = _Giving(cells, classes, need)
    hopeless = np.zeros_like(need, bool)
    every = np.arange(cells.n_forcing)
    while True:
        wanted = np.where(hopeless, 0, need)
        most = wanted.argmax(axis=1)
        lacking = wanted[every, most]
        if not (lacking > 0).any():
            return classes, need
        moved = giving.serve(classes, need, most, lacking)
        # a group that finds no further cell in this round never will: its candidates only get fewer
        hopeless[every, most] |= (lacking > 0) & (moved < lacking)


class _Giving:
    """The cells of the groups that must shrink. They only get fewer: a group that has gained does not shrink."""

    def __init__(self, cells: Cells, classes: NDArray[np.int8], need: NDArray[np.int64]) -> None:
        self._cells, groups = cells, cells.groups
        key = cells.forcing * groups
        key += cells.group_of_class[classes]
        self._cell = np.flatnonzero((need < 0).take(key))
        self._key = key[self._cell]  # forcing cell and group
        self._home = cells.forcing[self._cell]
        self._now = classes[self._cell]
        self._value = cells.value(self._now, self._cell)
        #: Classes of each group, filled up with -1: (group, most classes of a group).
        members = [np.flatnonzero(cells.group_of_class == group) for group in range(groups)]
        self._members = np.full((groups, max(map(len, members))), -1, np.int8)
        for group, its in enumerate(members):
            self._members[group, : len(its)] = its

    def serve(
        self,
        classes: NDArray[np.int8],
        need: NDArray[np.int64],
        most: NDArray[np.int64],
        lacking: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Give each forcing cell's most wanted group its best cells; updates ``classes`` and ``need``."""
        cells = self._cells
        candidate = np.flatnonzero(((need < 0) & (lacking > 0)[:, None]).take(self._key))
        target, gain = self._best_entry(candidate, most)
        usable = np.isfinite(gain)
        if not usable.all():
            candidate, target, gain = candidate[usable], target[usable], gain[usable]

        # a group gives no more than it must lose, and the wanted one takes no more than it lacks
        home, key = self._home[candidate], self._key[candidate]
        order = order_within(home, key - home * cells.groups, gain)
        key = key[order]
        given = np.sort(order[rank_in_run(key) < -need.take(key)])
        candidate, target, gain, home = candidate[given], target[given], gain[given], home[given]
        order = order_within(home, np.zeros_like(home), gain)
        home = home[order]
        taken = order[rank_in_run(home) < lacking[home]]
        candidate, target = candidate[taken], target[taken]

        classes[self._cell[candidate]] = target
        home, key = self._home[candidate], self._key[candidate]
        need += np.bincount(key, minlength=need.size).reshape(need.shape)
        moved = np.bincount(home, minlength=cells.n_forcing)
        need[np.arange(cells.n_forcing), most] -= moved
        self._key[candidate] = home * cells.groups + most[home]
        return moved

    def _best_entry(
        self, candidate: NDArray[np.int64], most: NDArray[np.int64]
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """The likeliest allowed class of the wanted group for each candidate, and the gain of entering it.

        The gain is -inf where there is none.
        """
        cell, now = self._cell[candidate], self._now[candidate]
        value_now = self._value[candidate]
        gain = np.full(candidate.size, -np.inf, np.float32)
        target = np.full(candidate.size, -1, np.int8)
        group = most[self._home[candidate]]
        allowed = self._cells.allowed
        for classes in self._members.T:
            entered = classes[group]
            fits = np.flatnonzero((entered >= 0) & allowed[now, entered])
            entered = entered[fits]
            value = self._cells.value(entered, cell[fits]) - value_now[fits]
            better = value > gain[fits]
            fits = fits[better]
            gain[fits] = value[better]
            target[fits] = entered[better]
        return target, gain
