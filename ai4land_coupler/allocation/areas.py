"""Areas of classes on the land grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE, Legend
from ai4land_coupler.parallel.block_plan import Block, BlockPlan


def class_area(plan: BlockPlan, legend: Legend, block: Block, cover: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Area of each class of the view in a block (m2), float64 (class,); ocean counts in none.

    Parameters
    ----------
    cover:
        Native codes of the block.
    """
    classes = legend.to_view(cover)
    land = classes != OUTSIDE
    area = np.broadcast_to(plan.fine.row_area[block.core.row0 : block.core.row1, None], block.core.shape)
    counted = np.bincount(classes[land].astype(np.int64), weights=area[land], minlength=len(legend.view))
    return np.asarray(counted, np.float64)
