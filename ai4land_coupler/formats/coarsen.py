"""Computes areas of classes in the cells of a coarse grid: first-order conservative, exact on regular grids.

If the edges of two cells are meridians and parallels, the area of their overlap is R2 dlon dsin(lat): the product of a
factor for the columns and a factor for the rows. Both are stored as sparse matrices of overlap lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS, Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.formats.store_reader import StoreReader

#: Edges that differ less than this from an edge of the lattice count as equal to it (cells of the lattice).
_ON_EDGE = 1e-6


def covering_grid(fine: LatLonGrid, step: float) -> LatLonGrid:
    """The cells of the global lattice of ``step`` degrees (from 180 W, 90 N southward) that cover ``fine``.

    For a global map this is the whole lattice. Column numbers continue beyond 180 E if ``fine`` does.
    """
    lattice = LatLonGrid(-180.0, step, round(360 / step), 90.0, -step, round(180 / step))
    north, south = fine.lat_edges.max(), fine.lat_edges.min()
    west, east = fine.lon_edges[[0, -1]]
    row0, row1 = _outward((90.0 - north) / step, (90.0 - south) / step)
    col0, col1 = _outward((west + 180.0) / step, (east + 180.0) / step)
    # The 36041 columns of HILDA+ end 0.3 cells before the date line; other maps end a rounding error behind it.
    return lattice.sub(Box(max(row0, 0), min(row1, lattice.nlat), col0, min(col1, col0 + lattice.nlon)))


def _outward(low: float, high: float) -> tuple[int, int]:
    return int(np.floor(low + _ON_EDGE)), int(np.ceil(high - _ON_EDGE))


def overlap_lengths(coarse: NDArray[np.float64], fine: NDArray[np.float64]) -> Any:
    """Length of the overlap of each cell of one axis with each cell of another, sparse (coarse cells, fine cells).

    Both axes are given by their edges, (cells + 1,), rising or falling.
    """
    from scipy.sparse import csc_array

    cuts = np.unique(np.concatenate([coarse, fine]))
    low, high = max(coarse.min(), fine.min()), min(coarse.max(), fine.max())
    cuts = cuts[(cuts >= low) & (cuts <= high)]
    start = cuts[:-1]  # Not the middle: between two neighbouring floats there is no other float.
    pair = (_holder(coarse, start), _holder(fine, start))
    return csc_array((np.diff(cuts), pair), shape=(coarse.size - 1, fine.size - 1))


def _holder(edges: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the cell that contains each point. A point on an edge belongs to the cell with larger coordinates."""
    if edges[0] > edges[-1]:
        return edges.size - 2 - _holder(edges[::-1], points)
    return np.asarray(np.searchsorted(edges, points, side="right") - 1, np.int64)


@dataclass(frozen=True)
class Coarsening:
    """Sums values of the land grid of a store over the cells of a coarser latitude-longitude grid."""

    fine: LatLonGrid
    coarse: LatLonGrid
    rows: Any
    cols: Any

    @classmethod
    def between(cls, fine: LatLonGrid, coarse: LatLonGrid) -> Coarsening:
        sines = [np.sin(np.deg2rad(grid.lat_edges)) for grid in (coarse, fine)]
        longitudes = [np.deg2rad(grid.lon_edges) for grid in (coarse, fine)]
        return cls(fine, coarse, overlap_lengths(*sines), overlap_lengths(*longitudes))

    def add(self, total: NDArray[np.float64], box: Box, layers: NDArray[Any]) -> None:
        """Add the area integrals (m2 times the units) of ``layers``, (n, *box.shape), to ``total``, (n, lat, lon)."""
        rows, cols = self.rows[:, box.row0 : box.row1], self.cols[:, box.col0 : box.col1]
        row, col = (slice(index.min(), index.max() + 1) for index in (rows.indices, cols.indices))
        rows, cols = rows.tocsr()[row] * EARTH_RADIUS**2, cols.tocsr()[col]
        for number, layer in enumerate(layers):
            if layer.any():
                total[number, row, col] += (cols @ (rows @ layer.astype(np.float64)).T).T


def class_areas(
    reader: StoreReader, year: int, coarsening: Coarsening, tick: Callable[[], None]
) -> NDArray[np.float64]:
    """Area of each class of the view in each coarse cell (m2), float64 (class, lat, lon), read window by window."""
    total = np.zeros((len(reader.legend.view), *coarsening.coarse.shape))
    for box in reader.windows():
        classes = reader.legend.to_view(reader.codes(year, box))
        if (classes != OUTSIDE).any():
            coarsening.add(total, box, classes == np.arange(len(reader.legend.view))[:, None, None])
        tick()
    return total
