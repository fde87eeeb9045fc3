"""The map at the observed amount: the allocation of a run, told how much land changes in each forcing cell.

So it shows how well a predictor chooses the places of change, whatever it knows about amounts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation import MapMaker
from ai4land_coupler.allocation.cells import Cells
from ai4land_coupler.allocation.land_cells import LandCells, parts_of
from ai4land_coupler.allocation.placement import place_net_change
from ai4land_coupler.allocation.swaps import swap_cells
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.parallel import Block

Classes = NDArray[np.int8]


def map_at_observed_amount(
    maker: MapMaker,
    block: Block,
    before: Classes,
    observed: Classes,
    judged: NDArray[np.bool_],
    logits: NDArray[np.float32],
) -> Classes:
    """Place the observed amounts of change of each forcing cell on the cells that a predictor finds most likely.

    First the net change of each class is placed, then pairs of cells exchange their classes until as many cells have
    changed as were observed (less one if that number is odd). Fixed classes, such as water, neither change nor count.

    Parameters
    ----------
    before, observed:
        Classes of the block, (rows, cols).
    judged:
        Cells that may change, (rows, cols): all amounts are those of these cells.
    logits:
        float32 (class, rows, cols).

    Returns
    -------
    The map, (rows, cols), as ``before`` outside of the judged cells.
    """
    fixed = maker.legend.fixed
    count = fixed.size
    # every class is a group of its own
    groups = np.full(count, OUTSIDE, np.int8)
    groups[~fixed] = np.arange(np.count_nonzero(~fixed))
    moving = judged & ~fixed[before] & ~fixed[observed]
    values, made = logits.reshape(count, -1), before.copy()
    for part, fine, _ in parts_of(maker.plan, block):
        land = LandCells(maker.plan, part, np.where(moving[fine], before[fine], np.int8(OUTSIDE)), groups)
        if land.index.size == 0:
            continue
        column = land.index + fine.start * block.core.shape[1]
        after = observed.reshape(-1)[column]
        cells = Cells(land.forcing, values, groups, maker.allowed, land.n_forcing, column)
        n = cells.groups
        need = sum(
            sign * np.bincount(land.forcing * n + groups[classes], minlength=land.n_forcing * n).reshape(-1, n)
            for sign, classes in ((1, after), (-1, land.classes))
        )
        new, _ = place_net_change(cells, land.classes, np.asarray(need, np.int64))
        moved = new != land.classes
        changed, placed = (
            np.bincount(land.forcing[where], minlength=land.n_forcing) for where in (after != land.classes, moved)
        )
        amount = 2 * (np.maximum(changed - placed, 0) // 2)
        new, _ = swap_cells(cells, new, ~moved, amount)
        made.reshape(-1)[column] = new
    return made
