"""The cells of a block that may change, in the order of their forcing cells, and the sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.parallel.block_plan import Block, BlockPlan

#: Cells of a block that are allocated together, about.
PART = 2**18


def parts_of(plan: BlockPlan, block: Block) -> Iterator[tuple[Block, slice, slice]]:
    """Parts of a block of whole forcing rows, in the order of the fine rows.

    Forcing cells do not meet in an allocation. So a large block goes part by part, to need less memory.
    Each part comes with its fine rows and its forcing rows inside of the block.
    """
    core, forcing = block.core, block.forcing
    its = plan.forcing_row[core.row0 : core.row1]
    ends = np.append(np.flatnonzero(np.diff(its)) + 1, its.size)
    number = -(-core.size // PART)
    cuts = np.unique(ends[np.searchsorted(ends, np.arange(1, number + 1) * its.size // number)])
    for start, end in pairwise([0, *cuts.tolist()]):
        first, last = int(its[start:end].min()), int(its[start:end].max()) + 1
        part = Block(
            block.id,
            Box(first, last, forcing.col0, forcing.col1),
            Box(core.row0 + start, core.row0 + end, core.col0, core.col1),
        )
        yield part, slice(start, end), slice(first - forcing.row0, last - forcing.row0)


class LandCells:
    """The cells of a block that may change, flattened, forcing cell by forcing cell; inside these row by row.

    Parameters
    ----------
    classes:
        Class of each cell of the block, int8 (rows, cols); ``OUTSIDE`` where nothing changes.
    """

    def __init__(
        self, plan: BlockPlan, block: Block, classes: NDArray[np.int8], group_of_class: NDArray[np.int8]
    ) -> None:
        core, forcing = block.core, block.forcing
        row, col = plan.forcing_of(core)
        place, home_size = _by_home(row - forcing.row0, col - forcing.col0, forcing.shape)
        classes = classes.reshape(-1)[place]
        land = np.flatnonzero(classes >= 0)
        self.index, self.classes = place[land], classes[land]
        self.group = group_of_class[self.classes]
        self.n_forcing = forcing.size
        ends = np.searchsorted(land, np.cumsum(home_size))
        self.count = np.diff(ends, prepend=0)
        self.forcing = np.repeat(np.arange(self.n_forcing), self.count)
        row = self.index // core.shape[1]
        self.shape = core.shape
        self.row_area = plan.fine.row_area[core.row0 : core.row1]
        self.area = self.row_area[row]
        self.ids = (row + core.row0) * plan.fine.nlon + (self.index - row * core.shape[1] + core.col0)

    @property
    def mean_cell_area(self) -> NDArray[np.float64]:
        """Mean area of the cells of each forcing cell (m2); 1 where it holds none."""
        area = np.bincount(self.forcing, weights=self.area, minlength=self.n_forcing)
        return np.asarray(np.where(self.count > 0, area / np.maximum(self.count, 1), 1.0))


class LandSums:
    """Sums over the cells of a block, added part by part."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self.land, self.changed, self.unpaired = 0, 0, 0.0
        #: Area (m2) by class before and class after, flattened.
        self.transition_area = np.zeros(classes**2)

    def add(self, land: LandCells, new: NDArray[np.int8], changed: int, unpaired: float) -> None:
        """Add the cells of the next rows of the block."""
        self.land += land.index.size
        self.changed += changed
        self.unpaired += unpaired
        # rounding depends on the order of a sum: it goes on from the last part, row by row
        sums = self.transition_area.size
        key = np.full(sums + land.shape[0] * land.shape[1], sums)
        key[:sums] = np.arange(sums)
        key[sums:][land.index] = land.classes * np.int64(self._classes) + new
        area = np.concatenate([self.transition_area, np.repeat(land.row_area, land.shape[1])])
        self.transition_area = np.asarray(np.bincount(key, weights=area, minlength=sums)[:sums], np.float64)


def _by_home(
    row: NDArray[np.int64], col: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of a block in the order of its forcing cells, and the number of places of each.

    Parameters
    ----------
    row, col:
        Row and column of the forcing grid of each row and column of the block.
    shape:
        Rows and columns of the forcing grid.
    """
    rows, cols = (np.argsort(of, kind="stable") for of in (row, col))
    heights, widths = np.bincount(row, minlength=shape[0]), np.bincount(col, minlength=shape[1])
    # places of the cells of a band of rows, forcing cell by forcing cell; they are the same in bands of one height
    within = {}
    for height in set(heights.tolist()):
        band = np.arange(height * col.size).reshape(height, col.size)
        within[height] = np.concatenate([part.ravel() for part in np.split(band, np.cumsum(widths)[:-1], axis=1)])
    place = (rows[:, None] * col.size + cols).reshape(-1)
    first = np.cumsum(heights) - heights
    parts = [place[start * col.size :][within[height]] for start, height in zip(first, heights.tolist(), strict=True)]
    return np.concatenate(parts), np.outer(heights, widths).reshape(-1)
