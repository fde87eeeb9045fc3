"""Checks the sum of the land-use states of a cell: it is the land of the cell, 1 - icwtr, in every year.

Hurtt et al. 2020 (https://doi.org/10.5194/gmd-13-5425-2020): the states of a cell and its ice and water add up to 1.
States that are lost in one year would look like change of land, because the run takes states as shares of their sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import DataError
from ai4land_coupler.inputs.checks import Policy, Values
from ai4land_coupler.inputs.sums import sum_members

#: The sum whose members are the states of land use.
LAND_USE = "land use"
#: Derived data sets leave this state out. Their sums then change with time.
_OFTEN_LEFT_OUT = "range"

# In the published data and in twins the sum of a cell changes by less than 1e-6 from year to year. In the scenario of
# the British Isles, which was regridded and has no rangeland, it changes from 2015 to 2100 by more than 0.01 in 15 %
# of the cells, by 0.05 in none, and by 0.0033 in the mean over all cells. States rounded to per cent change sums by
# 0.01 in single cells and by less than 0.001 in the mean.

#: A cell counts as changed if its sum changes by more than this.
_CELL = 0.05
#: More changed cells than this share of the cells with states are refused.
_CELLS = 0.001
#: A larger change of the mean sum is refused: if all states are there, and if rangeland is left out.
_MEAN, _MEAN_WITHOUT = 0.002, 0.02

#: At least this many cells must be all land on the map, before the largest sum says anything about the states.
_FULL_CELLS = 10
#: The states of cells that are all land on the map: lakes and glaciers leave the largest sum near 1.
_LEAST_SUM = 0.75


@dataclass(frozen=True)
class _Year:
    """The states of the first year: the sum of each cell, NaN without data, and the mean of each state."""

    year: int
    total: Values
    means: Mapping[str, float]


class SumsInTime:
    """Compares the sum of the states in each cell with the one in the first year that was read. Local to a rank."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._first: dict[tuple[str, str, tuple[str, ...]], _Year] = {}

    def check(self, source: str, states: Mapping[str, Values], grid: LatLonGrid, year: int) -> Counter[str]:
        """Check the states of a year.

        Parameters
        ----------
        source:
            The data set, for messages; each has its own first year.
        states:
            All states of the data set, (rows, cols) fractions of the cell, NaN where missing.

        Returns
        -------
        ``sum_changed``: cells whose sum changed.

        Raises
        ------
        DataError
            Under the policy ``stop``: sums change in too many cells, or in the mean.
        """
        total = _total(states.values())
        key = source, grid.hash, tuple(sorted(states))
        if key not in self._first:
            self._first[key] = _Year(year, total, {name: _mean(values) for name, values in states.items()})
            return Counter()
        first = self._first[key]
        change = total - first.total
        known = np.isfinite(change)
        cells = int(np.count_nonzero(known))
        changed = int(np.count_nonzero(np.abs(change[known]) > _CELL))
        mean = float(np.sum(change[known], dtype=np.float64)) / max(cells, 1)
        complete = _OFTEN_LEFT_OUT in states
        lost = _lost(first, states, year, mean) if complete else []
        limit = _MEAN if complete else _MEAN_WITHOUT
        if not (changed > _CELLS * cells or abs(mean) > limit or lost):
            return Counter(sum_changed=changed) if changed else Counter()
        if self._policy == "stop":
            row, col = divmod(int(np.nanargmax(np.abs(change))), grid.nlon)
            raise DataError(
                "the land-use states of a cell do not add up to the same in every year",
                expected=f"a sum that stays the land of the cell, 1 - icwtr, over {', '.join(sorted(states))}",
                found=f"from {first.year} to {year} it changes by {mean:.3g} in the mean and by more than {_CELL:g} in "
                f"{changed} of {cells} cells, such as from {first.total[row, col]:.4g} to {total[row, col]:.4g} "
                f"at {grid.lat[row]:.4f} N {grid.lon[col]:.4f} E" + "".join(f"; {text}" for text in lost),
                where=source,
                remedy=f"compare {first.year} and {year} in the file: part of the states is lost in one of them; get "
                "the file again, or prepare it again. `quality.policy: mend` counts such cells and lets them pass",
            )
        return Counter(sum_changed=max(changed, 1))


def land_use_total(read: Mapping[str, Values]) -> Values | None:
    """The sum of the states among the variables that were read, NaN without data; ``None`` if there are none."""
    members = sum_members(read).get(LAND_USE, [])
    return _total(read[name] for name in members) if members else None


def _total(states: Iterable[Values]) -> Values:
    """The sum of the states, NaN where one is missing."""
    first, *others = states
    total = first.copy()
    for values in others:
        total += values
    return total


def _mean(values: Values) -> float:
    known = np.isfinite(values)
    return float(np.sum(values, where=known, dtype=np.float64)) / max(int(np.count_nonzero(known)), 1)


def _lost(first: _Year, states: Mapping[str, Values], year: int, change: float) -> list[str]:
    """Texts for the states that are 0 in all cells of one of two years, where the sum of all states shows the loss.

    A state may end or begin: then others gain or lose the same area.
    """
    zero = {name for name, values in states.items() if not float(np.fmax.reduce(values, axis=None)) > 0}
    now = [name for name in sorted(zero) if -change > first.means[name] / 2 > 0]
    then = [n for n, mean in first.means.items() if mean == 0 and n not in zero and change > _mean(states[n]) / 2]
    return [f"all cells have 0 of {', '.join(n)} in {y}" for n, y in ((now, year), (then, first.year)) if n]


@dataclass(frozen=True)
class LargestSum:
    """The largest sum of the states, over the ``cells`` forcing cells with states that are all land on the map."""

    cells: int = 0
    largest: float = 0.0

    def __add__(self, other: LargestSum) -> LargestSum:
        return LargestSum(self.cells + other.cells, max(self.largest, other.largest))


def largest_sum(read: Mapping[str, Values], full: NDArray[np.bool_]) -> LargestSum:
    """The largest sum of the states over the cells that are all land (``full``)."""
    total = land_use_total(read)
    if total is None:
        return LargestSum()
    total = total[full & (total > 0)]
    return LargestSum(total.size, float(total.max(initial=0.0)))


def count_small_sums(found: LargestSum, where: str, policy: Policy) -> int:
    """Refuse states that are too small everywhere: as after a wrong unit, or if a regridding has spread them.

    Returns
    -------
    Under the policy ``mend``, the number of cells that are all land on the map, if no sum fills three quarters of one.

    Raises
    ------
    DataError
        Under the policy ``stop``: no cell that is all land on the map has states that fill three quarters of it.
    """
    if found.cells < _FULL_CELLS or found.largest >= _LEAST_SUM:
        return 0
    if policy == "stop":
        raise DataError(
            f"the land-use states are too small: the largest sum is {found.largest:.3g}",
            expected="a sum near 1, the land of the cell, in cells that are all land on the map",
            found=f"at most {found.largest:.3g} in {found.cells} such cells",
            where=where,
            remedy="fractions under units of per cent are a hundred times too small; fractions that were regridded by "
            "area must be divided by the covered share of each cell. `quality.policy: mend` lets them pass",
        )
    return found.cells
