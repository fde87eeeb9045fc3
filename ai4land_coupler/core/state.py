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
        Name to blocks of the continuous results of the step to this state, float32 (time, rows, cols): one value of
        this year, or the twelve months before its 1 January.
    memory:
        Name to blocks of the arrays that predictors and the allocation carry to the next step, float64 or float32.
        Shapes: (rows, cols) for predictors, (group, forcing rows, forcing cols) for the allocation.
    history:
        ``land_cover``, or the name of a field, to its blocks in the states before this one, the newest first, as far
        back as a predictor reads. A field has no blocks in states that no step made.
    """

    year: int
    cover: Blocks
    fields: Mapping[str, Blocks] = field(default_factory=dict)
    memory: Mapping[str, Blocks] = field(default_factory=dict)
    history: Mapping[str, tuple[Blocks, ...]] = field(default_factory=dict)

    def frozen(self) -> LandState:
        """Mark the arrays read-only, so that a plugin that writes into them fails immediately."""
        earlier = (blocks for states in self.history.values() for blocks in states)
        for blocks in (self.cover, *self.fields.values(), *self.memory.values(), *earlier):
            for array in blocks.values():
                np.asarray(array).flags.writeable = False
        return self
