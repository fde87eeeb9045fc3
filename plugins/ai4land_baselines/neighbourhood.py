"""A cell becomes what its neighbours are: the suitability of a class is its share in windows of several sizes.

The rule of most cellular automata of land use (White and Engelen 1993, https://doi.org/10.1068/a251175), with equal
weights: near cells count more because they lie in all of the windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ai4land_baselines.parts import RunOptions, core_of, make_spec, previous_map
from ai4land_baselines.shares import land_cells
from ai4land_coupler import api

#: Added to each share, so that a class without a neighbour has a logit too.
_LEAST = 1e-4
#: Cells that are computed together.
_STRIP = 1 << 16


class NeighbourhoodOptions(RunOptions):
    """Options of ``neighbourhood``.

    Parameters
    ----------
    radii:
        The windows have 2 * radius + 1 cells on each side.
    favour:
        Added to the logit of the present class, so that `argmax` and `sample` change few cells. `allocate` places the
        same change with any number.
    """

    radii: tuple[int, ...] = Field((1, 3, 12), min_length=1)
    favour: float = Field(5.0, ge=0)

    @field_validator("radii")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1 or len(set(value)) != len(value):
            raise ValueError("radii are different whole numbers above 0")
        return value


class Neighbourhood(api.Predictor):
    """Logits are the logarithms of the mean share of each class in the windows around a cell."""

    def __init__(self, options: NeighbourhoodOptions) -> None:
        self._options = options
        self._classes = len(api.get_legend(options.legend).view)
        self.spec = make_spec(options.legend, options.step, options.direction, halo=max(options.radii))
        self.bytes_per_cell = 8.0 * self._classes + 10

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``, float32 (B, class, Y, X); 0 outside of the land."""
        count = len(batch.fields["land_cover"])
        return {api.LOGITS: np.stack([self._window(batch, item) for item in range(count)])}

    def _window(self, batch: api.Batch, item: int) -> NDArray[np.float32]:
        cover, core = previous_map(batch, item), core_of(batch, item)
        sums = api.cell_sums(cover, self._classes)
        logits = np.zeros((self._classes, *cover[core].shape), np.float32)
        rows, cols = land_cells(cover, core)
        for start in range(0, rows.size, _STRIP):
            part = slice(start, start + _STRIP)
            row, col = rows[part], cols[part]
            mean = np.zeros((self._classes, row.size))
            for radius in self._options.radii:
                counts = api.counts_around(sums, row, col, radius)
                mean += counts / counts.sum(axis=0)
            mean /= len(self._options.radii)
            values = np.log(mean + _LEAST)
            values[cover[row, col], np.arange(row.size)] += self._options.favour
            logits[:, row - (core[0].start or 0), col - (core[1].start or 0)] = values
        return logits
