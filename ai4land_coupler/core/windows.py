"""Numbers of cells of each class in moving windows.

They are whole numbers, so results do not depend on the tile in which a cell lies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cell_sums(cover: NDArray[np.int8], classes: int) -> NDArray[np.int32]:
    """Number of cells of each class above and to the left of each corner of a cell, int32 (class, Y + 1, X + 1)."""
    sums = np.zeros((classes, cover.shape[0] + 1, cover.shape[1] + 1), np.int32)
    for k in range(classes):
        inner = sums[k, 1:, 1:]
        np.cumsum(cover == k, axis=0, dtype=np.int32, out=inner)
        np.cumsum(inner, axis=1, out=inner)
    return sums


def counts_around(
    sums: NDArray[np.int32], rows: NDArray[np.int64], cols: NDArray[np.int64], radius: int
) -> NDArray[np.int32]:
    """Number of cells of each class in the square around each of some cells; cells beyond the window count as sea.

    Parameters
    ----------
    sums:
        From :func:`cell_sums`.
    rows, cols:
        The cells, (n,).
    radius:
        The square has 2 * radius + 1 cells on each side.

    Returns
    -------
    (class, n).
    """
    last_row, last_col = sums.shape[1] - 1, sums.shape[2] - 1
    width = sums.shape[2]
    top, bottom = np.maximum(rows - radius, 0) * width, np.minimum(rows + radius + 1, last_row) * width
    left, right = np.maximum(cols - radius, 0), np.minimum(cols + radius + 1, last_col)
    flat = sums.reshape(len(sums), -1)
    counts = flat.take(bottom + right, axis=1)
    counts -= flat.take(top + right, axis=1)
    counts -= flat.take(bottom + left, axis=1)
    counts += flat.take(top + left, axis=1)
    return np.asarray(counts)
