"""Knows nothing of places: with the allocation ``allocate``, the scenario's exact areas change on random cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ai4land_baselines.parts import RunOptions, cell_numbers, core_of, make_spec, previous_map
from ai4land_coupler import api

#: Logit of a cell's present class, above the random numbers in [0, 1) of the other classes. As in ``persistence``,
#: `argmax` and `sample` keep the map.
FAVOUR = 12.0


class ExactAreasOptions(RunOptions):
    """Options of ``exact-areas``: the legend, step and direction of the run."""


class ExactAreas(api.Predictor):
    """Logits that are random, by a key of the cell and the year: any cell is as likely to change as another."""

    bytes_per_cell = 130.0

    def __init__(self, options: ExactAreasOptions) -> None:
        self._classes = len(api.get_legend(options.legend).view)
        self.spec = make_spec(options.legend, options.step, options.direction)

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``: ``FAVOUR`` for the class of the step before, a number in [0, 1) for the others."""
        logits = []
        for item in range(len(batch.tiles)):
            current = previous_map(batch, item)[core_of(batch, item)]
            values = cell_numbers(batch, item, self._classes, rng).astype(np.float32)
            own = current == np.arange(self._classes, dtype=np.int8)[:, None, None]
            values[own] = FAVOUR
            values[:, current == api.OUTSIDE] = 0
            logits.append(values)
        return {api.LOGITS: np.stack(logits)}
