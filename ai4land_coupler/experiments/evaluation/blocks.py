"""The blocks of an evaluation. All sums are kept by block, and the bootstrap draws blocks.

A block holds whole forcing cells: those whose centres lie in one square of some degrees, counted from 0 N, 0 E. So the
blocks depend on the grids alone. Several blocks together make a tile, which is predicted at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.parallel import Block, BlockPlan

#: Cells along each side of a tile, about. Larger tiles waste less work on halos, and need more memory.
_TILE = 512
#: Largest window of the merit by scale (cells). A block is at least as large.
LARGEST_WINDOW = 25


@dataclass(frozen=True)
class EvaluationTile:
    """Blocks that are predicted together: their common box, and the blocks inside of it."""

    whole: Block
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class EvaluationBlocks:
    """The blocks of a domain.

    Parameters
    ----------
    plan:
        Any block plan with the land grid and the forcing grid of the domain.
    degrees:
        Side of a block. It is raised to ``LARGEST_WINDOW`` land cells, and to one forcing cell.
    """

    plan: BlockPlan
    degrees: float

    @property
    def side(self) -> float:
        """Side of a block in degrees."""
        fine, forcing = self.plan.fine, self.plan.forcing
        cell = max(fine.dlon, abs(fine.dlat))
        least = max(LARGEST_WINDOW * cell, forcing.dlon, abs(forcing.dlat))
        return max(self.degrees, least)

    def tiles(self) -> Iterator[EvaluationTile]:
        """All tiles in row-major order."""
        plan = self.plan
        rows = self._cuts(plan.forcing_row, plan.forcing.lat)
        cols = self._cuts(plan.forcing_col, plan.forcing.lon)
        width = len(cols) - 1
        for row_group in _together(rows):
            for col_group in _together(cols):
                blocks = tuple(
                    self._block(i * width + j, rows[i], rows[i + 1], cols[j], cols[j + 1])
                    for i in range(*row_group)
                    for j in range(*col_group)
                )
                (i0, i1), (j0, j1) = row_group, col_group
                yield EvaluationTile(self._block(blocks[0].id, rows[i0], rows[i1], cols[j0], cols[j1]), blocks)

    def forcing_cells(self, block: Block) -> NDArray[np.int64]:
        """Index of the forcing cell of each cell of a block, from 0, (rows, cols)."""
        row, col = self.plan.forcing_of(block.core)
        width = int(col.max()) - int(col.min()) + 1
        return np.asarray((row - row.min())[:, None] * width + (col - col.min()))

    def _cuts(self, index: NDArray[np.int64], centre: NDArray[np.float64]) -> list[int]:
        """First fine rows (or columns) of the blocks, and the number of rows.

        ``index``: forcing row of each fine row. ``centre``: latitude of each forcing row.
        """
        group = np.floor(centre / self.side).astype(np.int64)[index]
        return [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), index.size]

    def _block(self, number: int, row0: int, row1: int, col0: int, col1: int) -> Block:
        row, col = self.plan.forcing_row[row0:row1], self.plan.forcing_col[col0:col1]
        forcing = Box(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
        return Block(number, forcing, Box(row0, row1, col0, col1))


def _together(cuts: list[int]) -> list[tuple[int, int]]:
    """Ranges of neighbouring blocks that together have about ``_TILE`` rows or columns."""
    groups, first = [], 0
    for last, (_, end) in enumerate(pairwise(cuts)):
        if end - cuts[first] >= _TILE or last == len(cuts) - 2:
            groups.append((first, last + 1))
            first = last + 1
    return groups
