"""A picture of where change was found: hits, misses and false alarms of one step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE

Classes = NDArray[np.int8]

#: What a cell of the picture shows. Where several cells share one, the largest number wins.
OUTCOMES = ("not judged", "no change", "miss", "false alarm", "wrong class", "hit")
#: Rows and columns of a picture, at most.
_MOST = 800


@dataclass
class Outcomes:
    """The picture of one predictor, uint8 (rows, cols) of :data:`OUTCOMES`.

    Parameters
    ----------
    grid:
        The land grid.
    """

    grid: LatLonGrid
    values: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        shape = tuple(-(-n // self.thin) for n in self.grid.shape)
        self.values = np.zeros(shape, np.uint8)

    @property
    def thin(self) -> int:
        """Rows and columns of land cells in one cell of the picture."""
        return -(-max(self.grid.shape) // _MOST)

    def add(self, box: Box, before: Classes, observed: Classes, made: Classes, judged: NDArray[np.bool_]) -> None:
        """Add the cells of a box."""
        changed, called = observed != before, made != before
        outcome = np.where(changed, np.where(called, np.where(made == observed, 5, 4), 2), np.where(called, 3, 1))
        outcome = np.where(judged & (before != OUTSIDE), outcome, 0).astype(np.uint8)
        row, col = (np.arange(first, last) // self.thin for first, last in ((box.row0, box.row1), (box.col0, box.col1)))
        np.maximum.at(self.values, (row[:, None], col[None, :]), outcome)
