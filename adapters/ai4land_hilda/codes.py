"""Class codes from the values of a map file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError

#: Code of a cell without data.
NO_DATA = 99

#: Beyond this a value is no code of any legend.
_LARGEST = 1e6


def to_codes(raw: NDArray[Any], missing: NDArray[np.bool_] | None, where: object) -> NDArray[np.int32 | np.uint8]:
    """Codes of values of any type; ``NO_DATA`` where they are missing or NaN.

    Parameters
    ----------
    missing:
        ``None`` where no value is.

    Returns
    -------
    uint8 of values that are uint8, else int32.

    Raises
    ------
    DataError
        When a value is no whole number: such a map was interpolated.
    """
    if raw.dtype.kind == "f":
        missing = np.isnan(raw) if missing is None else missing | np.isnan(raw)
    filled = raw if missing is None else np.where(missing, raw.dtype.type(NO_DATA), raw)
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
