"""The land state. A step returns a new state and does not change the old one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Arrays of this rank's blocks, by block id.
Blocks = Mapping[int, NDArray[Any]]


@dataclass(frozen=True)
class LandState:
    """The land state on 1 January of ``year``, for the blocks that this rank owns.

    Parameters
    ----------
    year:
        The state is valid from 1 January of this year up to 1 January of the next.
    cover:
        Block id to native legend codes, uint8 (rows, cols) of the block.
    fields:
        Name to blocks of continuous results of this year, float32 (time, rows, cols).
    memory:
        Name to blocks of the arrays that predictors and the allocation carry to the next step, float64 or float32.
        Shapes: (rows, cols) for predictors, (group, forcing rows, forcing cols) for the allocation.
    """

    year: int
    cover: Blocks
    fields: Mapping[str, Blocks] = field(default_factory=dict)
    memory: Mapping[str, Blocks] = field(default_factory=dict)

    def frozen(self) -> LandState:
        """Mark the arrays read-only, so that a plugin that writes into them fails immediately."""
        for blocks in (self.cover, *self.fields.values(), *self.memory.values()):
            for array in blocks.values():
                np.asarray(array).flags.writeable = False
        return self
