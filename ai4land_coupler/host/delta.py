"""The delta method: the host's own surface of the first year, plus the change of the map since then.

Change of land use is put on the surface data of a climate model in this way: Lawrence et al. 2012,
https://doi.org/10.1175/JCLI-D-11-00256.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.host.profiles import LEAST_SHARE, HostProfile


def add_change(
    base: NDArray[np.float64], change: NDArray[np.float64], rounding: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add the change of the map to the host's own fractions.

    The result is ``max(0, base + change)``. In cells where this cuts off a negative value, the rest is scaled so that
    the sum over classes equals that of ``base``. All other cells get exactly the change of the map. Without change, the
    result equals ``base`` to the bit.

    Parameters
    ----------
    base:
        The host's own fractions in the first year, shares of the cell, (class, cells).
    change:
        Change of the same fractions on the map since the first year, (class, cells).
    rounding:
        Negative values of this size or less are rounding errors: their cells are not scaled.

    Returns
    -------
    The fractions (class, cells), and the share of each cell that was cut off (cells,).
    """
    wanted = base + change
    cut = np.maximum(-wanted, 0.0).sum(axis=0)
    values = np.maximum(wanted, 0.0)
    land, total = base.sum(axis=0), values.sum(axis=0)
    scale = np.divide(land, total, out=np.ones_like(land), where=(cut > rounding) & (total > rounding))
    return values * scale, cut


def add_type_change(
    profile: HostProfile,
    now: NDArray[np.float64],
    start: NDArray[np.float64],
    host: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add the change of the map to the host's own surface types, group by group (:func:`add_change`).

    Types that are kept do not change. The types of a group keep the proportions that the host has. If the host has
    nothing of the group, they get the proportions of the crosswalk.

    Parameters
    ----------
    now, start:
        Share of the cell by type after the crosswalk, in this year and in the first year; (type, cells).
    host:
        The host's own share of its land by type, (type, cells); columns sum to 1 on land and to 0 elsewhere.

    Returns
    -------
    The cover as shares of the host's land (type, cells), and the share that was cut off (cells,).
    """
    rows = _rows_by_group(profile)
    shares_now, shares_start = _shares(now), _shares(start)
    own = np.stack([host[r].sum(axis=0) for r in rows])
    change = np.stack([(shares_now[r] - shares_start[r]).sum(axis=0) for r in rows])
    # The change is known only if the map has land in both years.
    mapped = (now.sum(axis=0) > LEAST_SHARE) & (start.sum(axis=0) > LEAST_SHARE)
    groups, cut = add_change(own, np.where(mapped, change, 0.0), LEAST_SHARE)

    result = np.array(host, np.float64)
    for r, group, had in zip(rows, groups, own, strict=True):
        composition = np.where(had > LEAST_SHARE, host[r], shares_now[r])
        whole = composition.sum(axis=0)
        factor = np.divide(group, whole, out=np.zeros_like(whole), where=whole > LEAST_SHARE)
        result[r] = composition * factor
    return result, cut


def _rows_by_group(profile: HostProfile) -> list[NDArray[np.int64]]:
    """Rows of the types of each group, without the types that are kept."""
    rows: dict[str, list[int]] = {}
    for row, item in enumerate(profile.types.values()):
        if not item.keep:
            rows.setdefault(item.group, []).append(row)
    return [np.array(members, np.int64) for members in rows.values()]


def _shares(cover: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cover as shares of the cell's total; 0 if the cell has no cover."""
    whole = cover.sum(axis=0)
    return np.asarray(np.divide(cover, whole, out=np.zeros_like(cover), where=whole > LEAST_SHARE))
