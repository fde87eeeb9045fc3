"""Distances to the classes, and the land cells of a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ai4land_coupler.api import OUTSIDE


def distances(
    cover: NDArray[np.int8], classes: Sequence[int], rows: NDArray[np.int64], cols: NDArray[np.int64], longest: int
) -> NDArray[np.float32]:
    """Distance from each of some cells to the nearest cell of each class, in cells, at most ``longest``.

    Parameters
    ----------
    cover:
        The map (Y, X). It must hold all cells up to ``longest`` away, or end with the domain.
    classes:
        The classes; :data:`OUTSIDE` is the sea.
    rows, cols:
        The cells, (n,).

    Returns
    -------
    (class, n).
    """
    found = np.full((len(classes), rows.size), longest, np.float32)
    for place, k in enumerate(classes):
        elsewhere = cover != k
        if not elsewhere.all():
            found[place] = np.minimum(distance_transform_edt(elsewhere)[rows, cols], longest)
    return found


def land_cells(cover: NDArray[np.int8], core: tuple[slice, slice]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns, in the window, of the land cells of its core."""
    rows, cols = np.nonzero(cover[core] != OUTSIDE)
    return rows + (core[0].start or 0), cols + (core[1].start or 0)
