"""Checks of fields that sum to at most 1 in each cell, such as the states of land use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from ai4land_coupler.errors import DataError
from ai4land_coupler.inputs.checks import TOLERANCE, Policy, Values, field_rule


def sum_members(names: Iterable[str]) -> dict[str, list[str]]:
    """The fields of each sum. A field that is the sum of others counts only if none of these is given."""
    given = list(names)
    found: dict[str, list[str]] = {}
    for name in given:
        rule = field_rule(name)
        if rule is not None and rule.sum is not None and not set(rule.parts) & set(given):
            found.setdefault(rule.sum, []).append(name)
    return found


def check_sums(read: Mapping[str, Values], where: str, policy: Policy) -> tuple[dict[str, Values], Counter[str]]:
    """Check that the fields of each sum add up to at most 1 in each cell.

    Under the policy ``mend``, larger sums are scaled to 1 and counted as ``renormalised``.
    """
    values, counts = dict(read), Counter[str]()
    for total_name, members in sum_members(read).items():
        if _surely_closed([values[name] for name in members]):
            continue
        total = np.zeros(values[members[0]].shape)
        for name in members:
            np.add(total, values[name], out=total, where=~np.isnan(values[name]))
        over = total > 1 + TOLERANCE
        if not over.any():
            continue
        if policy == "stop":
            raise DataError(
                f"the {total_name} fractions of {int(over.sum())} cells add up to more than 1",
                expected=f"a sum of at most 1 + {TOLERANCE:g} over {', '.join(members)}",
                found=f"the worst sum is {total.max():.6g}",
                where=where,
                remedy="one of them may be in per cent; `quality.policy: mend` scales such sums to 1 and counts them",
            )
        counts["renormalised"] += int(over.sum())
        for name in members:
            values[name] = np.where(over, values[name] / total, values[name]).astype(np.float32)
    return values, counts


def _surely_closed(fields: list[Values]) -> bool:
    """Whether all sums are clearly below the limit. A quick test in single precision, without negative values."""
    total = np.zeros_like(fields[0])
    for values in fields:
        total += np.fmax(values, np.float32(0))
    return bool(total.max(initial=0.0) < 1 + TOLERANCE / 2)
