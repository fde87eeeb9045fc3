"""Land cells of the map without data of a variable, or with values that land cannot have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.units import factor
from ai4land_coupler.errors import DataError
from ai4land_coupler.inputs.checks import Policy, Values, field_rule


@dataclass(frozen=True)
class LandGaps:
    """Numbers of land cells: all, those without data of a variable, and those with a value that land cannot have."""

    land: int
    missing: int
    impossible: int

    def __add__(self, other: LandGaps) -> LandGaps:
        return LandGaps(self.land + other.land, self.missing + other.missing, self.impossible + other.impossible)


def gaps_on_land(name: str, values: Values, land: NDArray[np.bool_], units: str) -> LandGaps:
    """Count the gaps and the impossible values of a variable on the cells of the land map."""
    rule = field_rule(name)
    impossible = 0
    if rule is not None:
        scale = 1.0 if rule.units is None else factor(units, rule.units)
        low, high = rule.valid_on_land
        impossible = int((land & ((values * scale < low) | (values * scale > high))).sum())
    return LandGaps(int(land.sum()), int((land & np.isnan(values)).sum()), impossible)


def refuse_gaps(
    name: str,
    gaps: LandGaps,
    limit: float,
    where: str,
    policy: Policy,
    cause: Callable[[str], str | None] = lambda name: None,
) -> None:
    """Refuse a variable that has too many gaps on land, or values that land cannot have.

    Parameters
    ----------
    cause:
        Explains why values of a variable are missing; called only then.

    Raises
    ------
    DataError
        Under the policy ``stop``: more than the share ``limit`` of the land has no data, or a value is impossible.
        Under both policies: no land has data.
    """
    if not gaps.land:
        return
    share = gaps.missing / gaps.land
    if share == 1 or (share > limit and policy == "stop"):
        raise DataError(
            f"variable {name!r} has no data on {100 * share:.3g} % of the land",
            expected=f"at most {100 * limit:g} % (quality.missing_static, quality.missing_forcing)",
            found=f"{gaps.missing} of {gaps.land} land cells without data",
            where=where,
            remedy=cause(name)
            or "check that the file covers the region and that its mask is right; where the gaps are meant, raise "
            "the limit: such cells get the predictor's fill value and are counted",
        )
    rule = field_rule(name)
    if gaps.impossible and rule is not None and policy == "stop":
        raise DataError(
            f"variable {name!r} holds values that land cannot have in {gaps.impossible} land cells",
            expected=f"{rule.valid_on_land[0]:g} to {rule.valid_on_land[1]:g} {rule.units}",
            where=where,
            remedy="declare the fill value of the file as _FillValue; `quality.policy: mend` lets them pass, counted",
        )
