"""The demand of the scenario in each forcing cell: shares of land by group, and the change in whole cells.

The scenario and the map disagree on levels (LUH2 and HILDA+ define pasture differently). So a run follows the change of
the scenario since the base year, as a share of land, applied to the mapped land. These are shares of land, not of the
cell: so the change sums to zero over the groups.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import Crosswalk

#: A forcing cell changes only if that reduces the squared distance to the demand (cells squared) by this much. Over
#: 0.25 degrees of a meridian the area of a cell changes by 0.4 % at 45 degrees and by 2.5 % at 80, and a moved cell
#: counts twice.
REST = 0.05


def group_shares(crosswalk: Crosswalk, states: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Sum states into groups, as shares of the land that the states cover.

    Parameters
    ----------
    states:
        LUH2 state fractions of the cell (rows, cols), NaN where missing: those that :meth:`Crosswalk.choose` names.

    Returns
    -------
    (group, rows, cols) float64, summing to 1; NaN where the scenario has no land or lacks a state.

    Raises
    ------
    FieldError
        As :meth:`Crosswalk.choose`.
    """
    chosen = crosswalk.choose(states)
    shares = np.stack(
        [np.sum([np.asarray(states[s], np.float64) for s in chosen[g]], axis=0) for g in crosswalk.groups]
    )
    total = shares.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(total > 1e-6, shares / total, np.nan))


def round_to_sum(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round rows to whole numbers that keep the row's (rounded) sum: the largest-remainder method.

    Ties go to the first column, so the answer is the same everywhere. Shape (n, groups) in and out.
    """
    floors = np.floor(values)
    missing = np.rint(values.sum(axis=1) - floors.sum(axis=1)).astype(np.int64)
    order = np.argsort(-(values - floors), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(values.shape[1]), order.shape), axis=1)
    return np.asarray(floors.astype(np.int64) + (rank < missing[:, None]))


def whole_cells(missing: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole cells that each group of a forcing cell must gain (or lose, negative), from the missing area in cells.

    A forcing cell does not change if rounding brings it nearer to its demand by less than ``REST``: cells of different
    rows differ in area, so a near tie between two groups would move a cell back and forth each year.
    Shape (n_forcing, groups) in and out; rows sum to zero.
    """
    need = round_to_sum(missing)
    gained = (missing**2).sum(axis=1) - ((missing - need) ** 2).sum(axis=1)
    return np.where(gained[:, None] < REST, 0, need)


def sum_by_cell(
    cell: NDArray[np.int64], group: NDArray[np.int8], weight: NDArray[np.float64], cells: int, groups: int
) -> NDArray[np.float64]:
    """Sum weights by forcing cell and group, in the order of the fine cells: (cells, groups) float64."""
    key = cell * groups + group
    sums = np.bincount(key, weights=weight, minlength=cells * groups).astype(np.float64)
    return sums.reshape(cells, groups)
