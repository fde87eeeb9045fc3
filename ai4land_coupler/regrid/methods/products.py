"""Conservative weights between two rectilinear grids, as products of the overlaps of rows and of columns.

The overlap of two boxes is the overlap of their longitudes times that of the sines of their latitudes. So the weights
between two grids of rows and columns are products of two short tables, and no list of cells or weights is needed: they
are made row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.api import Norm
from ai4land_coupler.grids.rectilinear import RectilinearGrid
from ai4land_coupler.regrid.methods.closed_form import expand

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Edges closer than this (degrees; 1 micrometre) are one edge, so that rounding makes no links.
_SAME_EDGE = 1e-11
#: A row or column is completely covered if at most this share of it is missing.
_COVERED = 1e-9
#: About this number of links is made at a time: arrays that stay in the cache of the CPU.
_PIECE = 100_000
#: Number of patterns of links that are kept.
_PATTERNS = 3


class AxisOverlaps(NamedTuple):
    """Overlaps of the rows, or of the columns, of two grids.

    ``destination``, ``source`` and ``size`` of each overlap (n,), by destination and then by source; ``start``
    (destinations + 1,) is the first overlap of each destination. Sizes are differences of longitude (rad) or of the
    sine of latitude; ``source_size`` and ``destination_size`` are those of whole cells. If the overlaps cover a cell
    completely, they add up to its size.
    """

    destination: Ints
    source: Ints
    size: Floats
    start: Ints
    source_size: Floats
    destination_size: Floats

    def table(self) -> sp.csr_matrix:
        """Sizes as a matrix (destinations, sources)."""
        shape = self.destination_size.size, self.source_size.size
        return sp.csr_matrix((self.size, self.source, self.start), shape)


def column_overlaps(source: RectilinearGrid, destination: RectilinearGrid) -> AxisOverlaps:
    """Overlaps of the longitudes, for any turn of both grids."""
    base = float(source.west.min())
    turn = 360.0 * np.floor((destination.west - base) / 360.0)
    west, east = destination.west - turn, destination.east - turn
    parts = []
    # a destination now begins in the turn of the source; its end may be in the next turn, or a little beyond
    for shift in (360.0, 0.0, -360.0):
        parts.append(_pairs(source.west, source.east, west + shift, east + shift))
    own, other, low, high = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _joined(
        own,
        other,
        _radians(low, high),
        _radians(source.west, source.east),
        _radians(destination.west, destination.east),
    )


def row_overlaps(source: RectilinearGrid, destination: RectilinearGrid) -> AxisOverlaps:
    """Overlaps of the sines of the latitudes."""
    own, other, low, high = _pairs(source.south, source.north, destination.south, destination.north)
    return _joined(
        own, other, _sines(low, high), _sines(source.south, source.north), _sines(destination.south, destination.north)
    )


def _pairs(source_low: Floats, source_high: Floats, low: Floats, high: Floats) -> tuple[Ints, Ints, Floats, Floats]:
    """Destination, source, lower and upper end of each overlap of intervals. The sources do not overlap each other."""
    order = np.argsort(source_low, kind="stable")
    edges = np.unique(np.concatenate([source_low, source_high]))
    low, high = _snapped(low, edges), _snapped(high, edges)
    first = np.searchsorted(np.maximum.accumulate(source_high[order]), low, side="right")
    last = np.searchsorted(source_low[order], high, side="left")
    own, place = expand(first, np.maximum(last - first, 0))
    other = order[place]
    begin, end = np.maximum(low[own], source_low[other]), np.minimum(high[own], source_high[other])
    some = end > begin
    return own[some], other[some], begin[some], end[some]


def _snapped(values: Floats, edges: Floats) -> Floats:
    """The nearest of the sorted edges in place of each value, if it is nearer than :data:`_SAME_EDGE`."""
    place = np.clip(np.searchsorted(edges, values), 1, edges.size - 1)
    nearest = np.where(values - edges[place - 1] <= edges[place] - values, edges[place - 1], edges[place])
    return np.where(np.abs(values - nearest) <= _SAME_EDGE, nearest, values)


def _radians(low: Floats, high: Floats) -> Floats:
    return np.asarray(np.deg2rad(high - low))


def _sines(south: Floats, north: Floats) -> Floats:
    """sin(north) - sin(south) by the product formula, with the colatitude near the poles: small cells keep their
    digits."""
    middle, half = np.abs(south + north) / 2, (north - south) / 2
    return np.asarray(2.0 * np.sin(np.deg2rad(90.0 - middle)) * np.sin(np.deg2rad(half)))


def _joined(own: Ints, other: Ints, size: Floats, source_size: Floats, destination_size: Floats) -> AxisOverlaps:
    """Sort the overlaps. Sizes of completely covered cells agree to the last digits with those of their overlaps."""
    order = np.lexsort((other, own))
    own, other, size = own[order], other[order], size[order]
    total = np.bincount(other, weights=size, minlength=source_size.size)
    covered = np.abs(total - source_size) <= _COVERED * source_size
    scale = np.ones(source_size.size)
    scale[covered] = source_size[covered] / total[covered]
    size = size * scale[other]
    # now the overlaps of a source are right; a covered destination gets the sum of its own
    total = np.bincount(own, weights=size, minlength=destination_size.size)
    covered = np.abs(total - destination_size) <= _COVERED * destination_size
    destination_size = np.where(covered, total, destination_size)
    start = np.searchsorted(own, np.arange(destination_size.size + 1))
    return AxisOverlaps(own, other, size, start, source_size, destination_size)


@dataclass(frozen=True)
class ProductWeights:
    """First-order conservative weights between two rectilinear grids. Nothing is as large as a grid, but masks."""

    source: RectilinearGrid
    destination: RectilinearGrid
    norm: Norm
    rows: AxisOverlaps
    columns: AxisOverlaps
    _kept: dict[int, list[tuple[Ints, Ints, Ints, Floats]]] = field(default_factory=dict, repr=False)

    @classmethod
    def between(cls, source: RectilinearGrid, destination: RectilinearGrid, norm: Norm) -> ProductWeights:
        return cls(source, destination, norm, row_overlaps(source, destination), column_overlaps(source, destination))

    def count(self) -> int:
        """Number of links."""
        if self.source.mask is None and self.destination.mask is None:
            return self.rows.size.size * self.columns.size.size
        own, other = self.columns.destination, self.columns.source
        return sum(
            int(np.count_nonzero(self.destination.taken(row)[own] & self.source.taken(at)[other]))
            for row, at in zip(self.rows.destination, self.rows.source, strict=True)
        )

    def links(self) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Row and column (0-based ids) and value of the links, by row and then by column, in pieces."""
        for row in range(self.destination.lat.size):
            if self.rows.start[row] < self.rows.start[row + 1] and self.destination.taken(row).any():
                yield from self._links_of(row)

    def _links_of(self, row: int) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Links of the cells of a destination row."""
        near = slice(self.rows.start[row], self.rows.start[row + 1])
        source_rows, heights = self.rows.source[near], self.rows.size[near]
        share = self.fraction_of_row("destination", row) if self.norm == "fraction" else None
        n_destination, n_source = self.destination.lon.size, self.source.lon.size
        heights = heights / self.rows.destination_size[row]
        for cell, which, col, width in self._patterns(heights.size):
            value = heights[which] * width
            if share is not None:  # cells without a share have no links once masked cells are left out
                value = value / np.where(share > 0, share, 1.0)[cell]
            source = source_rows[which] * n_source + col
            if self.source.mask is None and self.destination.mask is None:
                yield row * n_destination + cell, source, value
                continue
            kept = self.source.taken(source_rows)[which, col] & self.destination.taken(row)[cell]
            yield row * n_destination + cell[kept], source[kept], value[kept]

    def _patterns(self, n: int) -> list[tuple[Ints, Ints, Ints, Floats]]:
        """How the links of a destination row with ``n`` source rows follow each other, in pieces.

        Column of the destination, number of the source row (0 to n - 1), column of the source, and share of the width
        of the destination; each (links,). Most rows have one of two numbers of source rows, so patterns are kept.
        """
        if n not in self._kept:
            columns, found = self.columns, []
            counts, share = np.diff(columns.start), columns.size / columns.destination_size[columns.destination]
            bounds = np.searchsorted(columns.start, np.arange(0, columns.size.size, max(1, _PIECE // n)))
            for cells in np.split(np.arange(counts.size), np.unique(bounds)[1:]):
                # each cell, and in it each row of the source, has the cell's columns
                pair, place = expand(np.repeat(columns.start[cells], n), np.repeat(counts[cells], n))
                which = np.tile(np.arange(n), cells.size)[pair]
                found.append((columns.destination[place], which, columns.source[place], share[place]))
            if len(self._kept) >= _PATTERNS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[n] = found
        return self._kept[n]

    def fractions(self, side: str) -> Iterator[Floats]:
        """Covered share of the cells of each row of the source or the destination, (columns,)."""
        grid = self.source if side == "source" else self.destination
        for row in range(grid.lat.size):
            yield self.fraction_of_row(side, row)

    def fraction_of_row(self, side: str, row: int) -> Floats:
        """Share of each cell of a row that unmasked cells of the other grid cover, (columns,); 0 for masked cells."""
        rows, table = self.rows, self._table
        if side == "source":
            grid, other, height = self.source, self.destination, rows.source_size[row]
            order, start = self._by_source
            near = order[start[row] : start[row + 1]]
            number, width, table = rows.destination[near], self.columns.source_size, self._back
        else:
            grid, other, height = self.destination, self.source, rows.destination_size[row]
            near = np.arange(rows.start[row], rows.start[row + 1])
            number, width = rows.source[near], self.columns.destination_size
        if other.mask is None:
            found = rows.size[near].sum() / height * (self._widths[side] / width)
        else:
            found = np.asarray(table @ (rows.size[near] @ other.mask[number])) / (height * width)
        return found if grid.mask is None else np.where(grid.mask[row], found, 0.0)

    def areas(self, side: str) -> Iterator[Floats]:
        """Areas of the cells of each row (steradians), (columns,)."""
        rows, columns = (
            (self.rows.source_size, self.columns.source_size)
            if side == "source"
            else (self.rows.destination_size, self.columns.destination_size)
        )
        for height in rows:
            yield height * columns

    @cached_property
    def _table(self) -> sp.csr_matrix:
        return self.columns.table()

    @cached_property
    def _widths(self) -> dict[str, Floats]:
        """Sums of the overlaps of the columns of both grids."""
        columns = self.columns
        sides: dict[str, Floats] = {}
        for side, own, size in (
            ("source", columns.source, columns.source_size),
            ("destination", columns.destination, columns.destination_size),
        ):
            sides[side] = np.bincount(own, weights=columns.size, minlength=size.size).astype(np.float64)
        return sides

    @cached_property
    def _back(self) -> sp.csr_matrix:
        return self._table.T.tocsr()

    @cached_property
    def _by_source(self) -> tuple[Ints, Ints]:
        """Overlaps of rows by source, and the first of each source."""
        order = np.argsort(self.rows.source, kind="stable")
        return order, np.searchsorted(self.rows.source[order], np.arange(self.rows.source_size.size + 1))
