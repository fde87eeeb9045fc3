"""Arrays that a host gives: real numbers of any type and layout become float64, masked ones NaN; checks of values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.units import convert
from ai4land_coupler.errors import FieldError
from ai4land_coupler.files.cf_values import MISSING_ABOVE
from ai4land_coupler.inputs.checks import field_rule


def host_values(what: str, values: Any) -> NDArray[np.float64]:
    """Convert an array of a host to float64 in C order. Masked values of ``numpy.ma`` become NaN.

    The result shares memory with ``values`` if these are such an array already.

    Parameters
    ----------
    what:
        Name of the array for messages (``import 'air_temperature'``).

    Raises
    ------
    FieldError
        The array has texts, complex numbers or objects, or its rows have different lengths.
    """
    if isinstance(values, list | tuple) and any(isinstance(part, np.ma.MaskedArray) for part in values):
        values = np.ma.stack(values)  # numpy.asarray would drop the masks
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan) if values.dtype.kind in "biuf" else values.data
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise FieldError(f"{what} is no array", expected="rows of one length", found=error) from None
    if array.dtype.kind not in "biuf":
        raise FieldError(f"{what} has no numbers", expected="real numbers", found=f"the type {array.dtype}")
    return np.asarray(array, np.float64, order="C")


def missing_values(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values are NaN, infinite, or fill values of a file (above 1e19) that nobody masked."""
    with np.errstate(invalid="ignore"):
        return ~(np.abs(values) < MISSING_ABOVE)


def check_range(name: str, values: NDArray[Any], units: str, where: str) -> None:
    """Refuse values outside the range in ``schemas/fields.yaml``; most often the units are wrong."""
    rule = field_rule(name)
    if rule is None or not values.size:
        return
    bounds = np.array(rule.valid)
    low, high = bounds if rule.units is None else convert(bounds, rule.units, units, where)
    lowest, highest = float(values.min()), float(values.max())
    if lowest < low or highest > high:
        raise FieldError(
            f"import {name!r} has impossible values",
            expected=f"{low:g} to {high:g} {units}",
            found=f"{lowest:g} to {highest:g}",
            where=where,
            remedy=f"the values are in {units} unless other units are given with them",
        )
