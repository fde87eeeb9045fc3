"""The land decomposition: blocks of whole forcing cells. It depends on the grids and never on the number of ranks.

A fine cell belongs to the forcing cell that holds its centre, and a forcing cell belongs to one block. 0.25 degrees are
25.03 cells of HILDA+, so the sizes of blocks differ by a row or a column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.fields import Tile
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.errors import GridError
from ai4land_coupler.parallel.hilbert import hilbert_index


@dataclass(frozen=True)
class Block:
    """One block: a box of forcing cells, and the box of fine cells that belong to them."""

    id: int
    forcing: Box
    core: Box


@dataclass(frozen=True)
class BlockPlan:
    """All blocks of a domain.

    Parameters
    ----------
    fine:
        The land grid.
    forcing:
        The forcing cells that hold the centres of the fine cells (``grid.forcing_lattice``).
    block:
        Forcing cells along each side of a block.
    """

    fine: LatLonGrid
    forcing: LatLonGrid
    block: int

    def __post_init__(self) -> None:
        if self.block < 1:
            raise GridError("a block must hold at least one forcing cell", found=self.block)
        for name, index, count in (
            ("row", self.forcing_row, self.forcing.nlat),
            ("column", self.forcing_col, self.forcing.nlon),
        ):
            if index.min() < 0 or index.max() >= count:
                raise GridError(
                    f"the land grid reaches beyond the forcing grid (by {name})",
                    expected=self.forcing,
                    found=self.fine,
                )

    @cached_property
    def forcing_row(self) -> NDArray[np.int64]:
        """Forcing row that each fine row belongs to."""
        return self.forcing.rows_of(self.fine.lat)

    @cached_property
    def forcing_col(self) -> NDArray[np.int64]:
        """Forcing column that each fine column belongs to."""
        # a domain that spans the globe must not fold its last column onto the first
        return self.forcing.cols_of(self.fine.lon, wrap=False)

    def forcing_of(self, box: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Forcing row of each fine row of a box, and forcing column of each fine column."""
        return self.forcing_row[box.row0 : box.row1], self.forcing_col[box.col0 : box.col1]

    @cached_property
    def _row_cuts(self) -> NDArray[np.int64]:
        return _cuts(self.forcing_row // self.block)

    @cached_property
    def _col_cuts(self) -> NDArray[np.int64]:
        return _cuts(self.forcing_col // self.block)

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Blocks in row-major order; the id of a block is its index here."""
        rows, cols = self._row_cuts, self._col_cuts
        blocks: list[Block] = []
        for r0, r1 in pairwise(rows):
            for c0, c1 in pairwise(cols):
                forcing = Box(
                    int(self.forcing_row[r0:r1].min()),
                    int(self.forcing_row[r0:r1].max()) + 1,
                    int(self.forcing_col[c0]),
                    int(self.forcing_col[c1 - 1]) + 1,
                )
                blocks.append(Block(len(blocks), forcing, Box(int(r0), int(r1), int(c0), int(c1))))
        return tuple(blocks)

    def touching(self, box: Box) -> Iterator[tuple[Block, Box]]:
        """Blocks that a box overlaps, each with the overlap. The box must lie inside the grid."""
        inside = box.intersect(self.fine.box)
        if inside.size == 0 or min(inside.shape) <= 0:
            return
        rows, cols = self._row_cuts, self._col_cuts
        row_range = np.searchsorted(rows, [inside.row0, inside.row1 - 1], "right") - 1
        col_range = np.searchsorted(cols, [inside.col0, inside.col1 - 1], "right") - 1
        for i in range(int(row_range[0]), int(row_range[1]) + 1):
            for j in range(int(col_range[0]), int(col_range[1]) + 1):
                block = self.blocks[i * (len(cols) - 1) + j]
                yield block, block.core.intersect(inside)

    def tile(self, block: Block, halo: int, align: int) -> Tile:
        """The block as a tile: its window is the core plus the halo, rounded outward to multiples of ``align``.

        At the edges of the domain the window ends with the domain rounded up to ``align``; along a periodic
        longitude it wraps, so its columns may be negative or beyond the last.
        """
        return tile_around(self.fine, block.core, halo, align, block.id)

    def owners(self, workers: int, cost: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """Worker of each block: each worker gets a contiguous piece of the order of blocks, of about equal cost.

        Parameters
        ----------
        cost:
            Cost of each block, above zero. The blocks are then in the order of a Hilbert curve, so that the piece of a
            worker is compact. ``None``: the cost is the number of fine cells, and the order is row by row, so that a
            worker reads whole rows of a file.
        """
        order = np.arange(len(self.blocks)) if cost is None else self._curve
        given = np.array([b.core.size for b in self.blocks], np.float64) if cost is None else cost
        ordered = given[order]
        middle = np.cumsum(ordered) - ordered / 2
        owner = np.empty(order.size, np.int64)
        owner[order] = np.minimum((middle / ordered.sum() * workers).astype(np.int64), workers - 1)
        return owner

    @cached_property
    def _curve(self) -> NDArray[np.int64]:
        """The ids of the blocks in the order of a Hilbert curve through their rows and columns."""
        rows, cols = len(self._row_cuts) - 1, len(self._col_cuts) - 1
        row, col = np.divmod(np.arange(rows * cols), cols)
        side = 1 << (max(rows, cols) - 1).bit_length()
        return np.argsort(hilbert_index(row, col, side), kind="stable")

    def cell_ids(self, box: Box) -> NDArray[np.int64]:
        """Global ids of the fine cells of a box, shape of the box."""
        rows = np.arange(box.row0, box.row1, dtype=np.int64)[:, None]
        cols = np.arange(box.col0, box.col1, dtype=np.int64)[None, :] % self.fine.nlon
        return np.asarray(rows * self.fine.nlon + cols)

    @property
    def hash(self) -> str:
        """Identifies the plan in restarts, because the last bits of results depend on it."""
        return block_plan_hash(self.fine, self.forcing, self.block)


def block_plan_hash(fine: LatLonGrid, forcing: LatLonGrid, block: int) -> str:
    """The hash of a block plan, without making it."""
    return hashlib.sha256(f"{fine.hash} {forcing.hash} {block}".encode()).hexdigest()[:16]


def _cuts(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices where a monotonic group index changes, with both ends."""
    return np.concatenate([[0], np.flatnonzero(np.diff(group)) + 1, [group.size]]).astype(np.int64)


def tile_around(fine: LatLonGrid, core: Box, halo: int, align: int, number: int = 0) -> Tile:
    """A part of the land grid as a tile, as :meth:`BlockPlan.tile`."""
    nrow = -(-fine.nlat // align) * align
    ncol = -(-fine.nlon // align) * align
    row0, row1 = _outward(core.row0 - halo, core.row1 + halo, align)
    col0, col1 = _outward(core.col0 - halo, core.col1 + halo, align)
    if not fine.periodic:
        col0, col1 = max(col0, 0), min(col1, ncol)
    return Tile(number, core, Box(max(row0, 0), min(row1, nrow), col0, col1))


def _outward(low: int, high: int, align: int) -> tuple[int, int]:
    return low // align * align, -(-high // align) * align
