"""Converts the values of a map file to class codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError

#: Larger values are not codes of any legend.
_LARGEST = 1e6


def to_codes(
    raw: NDArray[Any], missing: NDArray[np.bool_] | None, no_data: int, where: object
) -> NDArray[np.int32 | np.uint8]:
    """Convert values of any type to codes; ``no_data`` where they are missing or NaN.

    Parameters
    ----------
    missing:
        The missing values, or ``None`` if there are none.

    Returns
    -------
    uint8 for uint8 values, else int32.

    Raises
    ------
    DataError
        A value is not a whole number: the map was interpolated.
    """
    if raw.dtype.kind == "f":
        missing = np.isnan(raw) if missing is None else missing | np.isnan(raw)
    filled = raw if missing is None else np.where(missing, raw.dtype.type(no_data), raw)
    if filled.dtype == np.uint8:
        return filled
    odd = np.zeros(filled.shape, bool)
    if filled.dtype.kind == "f":
        odd = filled != np.rint(filled)
    if filled.dtype.itemsize > 2:
        odd |= np.abs(filled) > _LARGEST
    if odd.any():
        raise DataError(
            f"a land-cover map holds values that are no class codes in {int(odd.sum())} cells",
            expected="whole numbers, NaN or the nodata value of the file",
            found=filled[odd][0],
            where=where,
            remedy="the map was averaged or interpolated; take the original, or aggregate by nearest neighbour",
        )
    return filled.astype(np.int32)
