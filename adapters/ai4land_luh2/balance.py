"""Checks that the states of a year and its transitions give the states of the next year.

Hurtt et al. 2020 (https://doi.org/10.5194/gmd-13-5425-2020, section 2.1):
states(t+1) = states(t) - outflows(t) + inflows(t). Harvest turns primary land into secondary land of the same kind.
All other harvest does not change the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError
from ai4land_luh2.closure import extremes
from ai4land_luh2.variables import FRACTIONS

#: Harvest that changes the state -> (state before, state after).
_HARVEST = {"primf_harv": ("primf", "secdf"), "primn_harv": ("primn", "secdn")}


def flows_between(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The variables that change the state of land -> (state before, state after)."""
    found = {}
    for name in names:
        source, _, target = name.partition("_to_")
        if name in _HARVEST:
            found[name] = _HARVEST[name]
        elif source in FRACTIONS and target in FRACTIONS:
            found[name] = (source, target)
    return found


def imbalance(
    before: Mapping[str, NDArray[Any]], after: Mapping[str, NDArray[Any]], flows: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.float64]]:
    """States of the next year minus those computed from this year's states and transitions (fractions of the cell).

    NaN where a state is missing. A missing transition counts as 0.
    """
    rest = {name: np.asarray(after[name], np.float64) - before[name] for name in before.keys() & after.keys()}
    for name, (source, target) in flows_between(flows).items():
        moved = np.nan_to_num(flows[name])
        for state, sign in ((source, 1.0), (target, -1.0)):
            if state in rest:
                rest[state] += sign * moved
    return rest


def count_unbalanced(rest: Mapping[str, NDArray[np.float64]], tolerance: float, mend: bool, where: str) -> int:
    """Number of cells in which the :func:`imbalance` of a state exceeds the tolerance (fraction of the cell).

    Raises
    ------
    DataError
        There are such cells, and ``mend`` is false.
    """
    number = int(np.count_nonzero(np.logical_or.reduce([np.abs(gap) > tolerance for gap in rest.values()])))
    if number and not mend:
        worst = {name: max(abs(extreme) for extreme in extremes(gap)) for name, gap in rest.items()}
        state = max(worst, key=lambda name: np.nan_to_num(worst[name]))
        raise DataError(
            f"states and transitions do not balance in {number} cells",
            expected=f"the next year's states within {tolerance:g} of what this year's states and transitions give",
            found=f"a difference of {worst[state]:.4g} in {state!r}",
            where=where,
            remedy="take transitions and states of one data set, whole (a cut file lacks some transitions); a larger "
            "`balance_tolerance` accepts the difference, and `policy: mend` counts such cells",
        )
    return number
