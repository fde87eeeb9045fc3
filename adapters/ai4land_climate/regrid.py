"""Brings climate from the cells of a file to those of a grid, with the weights of the adapter ``static``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LatLonGrid
from ai4land_static.geometry import Geometry
from ai4land_static.means import cell_means

Array = NDArray[np.float64]

#: A weight of data below this is rounding.
_ROUNDING = 1e-6


def regrid(geometry: Geometry, grid: LatLonGrid, read: Callable[[Geometry], Array]) -> Array:
    """Average cells that are less than half as long as those of the grid by area; else interpolate bilinearly.

    Missing values are left out, and the weights of the others are scaled up: climate of the land reaches the coast.

    Parameters
    ----------
    read:
        Reads values (rows, columns, layer) of a part of the data, with NaN where they are missing.

    Returns
    -------
    (layer, rows, columns) of the grid, NaN where no data are near.
    """
    if geometry.much_finer_than(grid):
        parts = [(rows, means.apply(read(means.window), _ROUNDING)) for rows, means in cell_means(geometry, grid)]
    else:
        y, x, place = geometry.locate(grid)
        window = geometry.window(y, x) if y.size and x.size else None
        parts = [] if window is None else [(place, _interpolated(window, read(window), y, x))]
    layers = parts[0][1].shape[-1] if parts else 1
    found = np.full((*grid.shape, layers), np.nan)
    for place, values in parts:
        found[place] = values
    return np.moveaxis(found, -1, 0)


def _interpolated(window: Geometry, values: Array, y: Array, x: Array) -> Array:
    """Values (rows, columns, layer) at the points of :meth:`Geometry.locate`."""
    found = []
    for layer in np.moveaxis(values, -1, 0):
        present = np.isfinite(layer)
        total = window.interpolate(np.where(present, layer, 0.0), y, x)
        if not present.all():
            weight = window.interpolate(present.astype(np.float64), y, x)
            total = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > _ROUNDING)
        found.append(total)
    return np.stack(found, axis=-1)
