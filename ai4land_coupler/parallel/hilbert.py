"""The Hilbert curve: an order of the cells of a square in which neighbours on the curve are neighbours in the square.

A piece of the curve is compact, so a rank that owns one has a short border with the other ranks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hilbert_index(row: NDArray[np.int64], col: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """Place of each cell on the Hilbert curve through a square of ``side`` x ``side`` cells, 0 to side**2 - 1.

    The function ``xy2d`` of https://en.wikipedia.org/wiki/Hilbert_curve, for arrays.

    Parameters
    ----------
    side:
        A power of two.
    """
    x, y = np.asarray(col, np.int64), np.asarray(row, np.int64)
    place = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.int64)
    step = side // 2
    while step:
        right, low = (x & step) > 0, (y & step) > 0
        place += step * step * ((3 * right) ^ low)
        turned = right & ~low
        x, y = np.where(turned, side - 1 - x, x), np.where(turned, side - 1 - y, y)
        x, y = np.where(low, x, y), np.where(low, y, x)
        step //= 2
    return place
