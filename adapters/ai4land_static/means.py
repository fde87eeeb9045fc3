"""Means over the cells of a fine grid, by the area that they share with the cells of a coarse one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LatLonGrid
from ai4land_static.geometry import Geometry, edges

Array = NDArray[np.float64]

#: Cells of the source that are held at once (each layer: 8 bytes a cell).
BLOCK = 1 << 23
#: A mean stands for a cell of which data cover at least this share.
COVERED = 0.5


@dataclass(frozen=True)
class CellMeans:
    """Weights of a window of source cells in target cells: separable, as both grids follow parallels and meridians.

    Parameters
    ----------
    window:
        The source cells, with one neighbour more on each side where there is one, for differences.
    rows, cols:
        Sparse (target, source): shared difference of sin(latitude), and of longitude (degrees).
    size:
        Of the target cells in the same measure, (rows, columns).
    """

    window: Geometry
    rows: Any
    cols: Any
    size: Array

    def apply(self, layers: Array) -> Array:
        """Mean over each target cell (rows, columns, layer); NaN where data cover less than half of it.

        Parameters
        ----------
        layers:
            (rows, columns, layer) of the window, NaN where missing.
        """
        found = []
        for layer in np.moveaxis(layers, -1, 0):
            present = np.isfinite(layer)
            total = self.rows @ np.where(present, layer, 0.0) @ self.cols.T
            weight = self.rows @ present.astype(np.float64) @ self.cols.T
            enough = weight >= COVERED * self.size
            found.append(np.divide(total, weight, out=np.full(total.shape, np.nan), where=enough & (weight > 0)))
        return np.stack(found, axis=-1)


def cell_means(geometry: Geometry, grid: LatLonGrid) -> Iterator[tuple[slice, CellMeans]]:
    """Weights for stretches of rows of a grid, each with a window of bounded size.

    Yields
    ------
    The rows of ``grid``, and their weights. Rows that no data touch are left out.
    """
    axes = geometry.once_around()
    tops = np.sin(np.deg2rad(np.sort(np.stack([grid.lat_edges[:-1], grid.lat_edges[1:]]), axis=0)))
    lat_edges = np.sin(np.deg2rad(np.clip(edges(axes.lat), -90.0, 90.0)))
    # Three turns, so that a target cell finds its sources wherever the file begins.
    turns = np.array([-360.0, 0.0, 360.0])
    lon_edges = edges(axes.lon)
    lefts, rights = ((turns[:, None] + side[None, :]).ravel() for side in (lon_edges[:-1], lon_edges[1:]))
    centres = (turns[:, None] + axes.lon[None, :]).ravel()
    columns = np.tile(axes.cols, turns.size)
    west = axes.lon[0] + (grid.lon0 - axes.lon[0]) % 360.0
    targets = west + grid.dlon * np.arange(grid.nlon + 1)
    shared = _overlaps(targets[:-1], targets[1:], lefts, rights)
    if shared is None:
        return
    cols, (col0, col1) = shared
    col0, col1 = _with_neighbours(col0, col1, lefts, rights)
    cols = cols[:, col0:col1]
    step = max(int(BLOCK / max(col1 - col0, 1) * abs(np.diff(axes.lat).mean() / grid.dlat)), 1)
    for row in range(0, grid.nlat, step):
        block = slice(row, min(row + step, grid.nlat))
        shared = _overlaps(tops[0, block], tops[1, block], lat_edges[:-1], lat_edges[1:])
        if shared is None:
            continue
        rows, (row0, row1) = shared
        row0, row1 = max(row0 - 1, 0), min(row1 + 1, axes.lat.size)
        window = Geometry(
            axes.lat[row0:row1], centres[col0:col1], axes.rows[row0:row1], columns[col0:col1], axes.dims, None
        )
        size = (tops[1, block] - tops[0, block])[:, None] * np.full(grid.nlon, grid.dlon)[None, :]
        yield block, CellMeans(window, rows[:, row0:row1], cols, size)


def _overlaps(low: Array, high: Array, left: Array, right: Array) -> tuple[Any, tuple[int, int]] | None:
    """Length that target intervals share with rising source intervals: sparse (target, source), and the sources' range.

    ``None`` where none share anything.
    """
    from scipy.sparse import csr_array

    first = np.searchsorted(right, low, "right")
    last = np.searchsorted(left, high, "left")
    counts = np.maximum(last - first, 0)
    if not counts.any():
        return None
    target = np.repeat(np.arange(low.size), counts)
    source = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    length = np.minimum(high[target], right[source]) - np.maximum(low[target], left[source])
    matrix = csr_array((length, (target, source)), shape=(low.size, left.size))
    return matrix, (int(source.min()), int(source.max()) + 1)


def _with_neighbours(start: int, stop: int, left: Array, right: Array) -> tuple[int, int]:
    """One source more on each side, unless a gap lies between."""
    gap = 1e-6
    if start > 0 and left[start] - right[start - 1] < gap:
        start -= 1
    if stop < left.size and left[stop] - right[stop - 1] < gap:
        stop += 1
    return start, stop
