"""Means of the cells of a fine grid in the cells of a coarse grid, weighted by the overlap areas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LatLonGrid
from ai4land_static.geometry import Geometry, edges

Array = NDArray[np.float64]

#: Number of source cells in memory at once (each layer: 8 bytes a cell).
BLOCK = 1 << 23
#: A cell has a mean if data cover at least this share of it.
COVERED = 0.5


@dataclass(frozen=True)
class CellMeans:
    """Weights of a window of source cells in target cells. Weights of rows and columns are separate, because the edges
    of both grids are parallels and meridians.

    Parameters
    ----------
    window:
        The source cells, with one more neighbour on each side (if there is one), for differences.
    rows, cols:
        Sparse (target, source): overlap in sin(latitude), and in longitude (degrees).
    size:
        Size of the target cells in the same units, (rows, columns).
    """

    window: Geometry
    rows: Any
    cols: Any
    size: Array

    def apply(self, layers: Array, covered: float = COVERED) -> Array:
        """Mean over each target cell (rows, columns, layer); NaN if data cover less of it than a share.

        Parameters
        ----------
        layers:
            (rows, columns, layer) of the window, NaN where missing.
        covered:
            The share; default: half of the cell.
        """
        found = []
        for layer in np.moveaxis(layers, -1, 0):
            present = np.isfinite(layer)
            total = self.rows @ np.where(present, layer, 0.0) @ self.cols.T
            weight = self.rows @ present.astype(np.float64) @ self.cols.T
            enough = weight >= covered * self.size
            found.append(np.divide(total, weight, out=np.full(total.shape, np.nan), where=enough & (weight > 0)))
        return np.stack(found, axis=-1)


def cell_means(geometry: Geometry, grid: LatLonGrid) -> Iterator[tuple[slice, CellMeans]]:
    """Weights for groups of rows of a grid, each with a window of limited size.

    Yields
    ------
    The rows of ``grid``, and their weights. Groups of rows without data are left out.
    """
    axes = geometry.once_around()
    tops = np.sin(np.deg2rad(np.sort(np.stack([grid.lat_edges[:-1], grid.lat_edges[1:]]), axis=0)))
    lat_edges = np.sin(np.deg2rad(np.clip(edges(axes.lat), -90.0, 90.0)))
    # The columns are repeated at -360 and +360 degrees: the file may begin at any longitude.
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
    """Overlap lengths of target intervals and ascending source intervals, and the range of the sources.

    The lengths are sparse (target, source). Returns ``None`` if there is no overlap.
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
    """Add one source on each side, unless there is a gap."""
    gap = 1e-6
    if start > 0 and left[start] - right[start - 1] < gap:
        start -= 1
    if stop < left.size and left[stop] - right[stop - 1] < gap:
        stop += 1
    return start, stop
