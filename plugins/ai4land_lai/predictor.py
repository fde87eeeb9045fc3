"""Predicts the leaf area index of a month.

A cell of the land grid has one class, so its leaf area index is that of its class: between the least and the most that
was observed of this class. A cell that changes its class therefore has the leaves of the new class from the first month
with the new map. Water and ice have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler import api
from ai4land_lai.bundle import Bundle
from ai4land_lai.card import COVER, OUTPUTS
from ai4land_lai.features import Features, cells_of, land_of


class LeafArea(api.Predictor):
    """Leaf area index per area of ground, of low and of high vegetation, with standard deviations.

    In a cell with the share f_low of low and f_high of high vegetation, ``lai = f_low * lai_lv + f_high * lai_hv``. In
    a cell of the land grid one of them is 1, or both are 0; ``lai_lv`` is 0 where there is no low vegetation, and
    ``lai_hv`` where there is no high vegetation.
    """

    def __init__(self, bundle: Bundle) -> None:
        card = bundle.card
        self._features, self._networks = Features.of(card), bundle.networks
        # OUTSIDE (-1) selects the last element.
        kinds = [item.vegetation for item in card.ranges.values()] + ["none"]
        self._low, self._high = (np.array([kind == name for kind in kinds]) for name in ("low", "high"))
        self.spec = self._features.spec(card.legend)
        self.identity = card.weights_sha256[:16]
        # features and their parts before they are joined, sums of cells, and the outputs
        self.bytes_per_cell = 8.0 * self._features.count + 4.0 * len(card.classes) + 4.0 * len(OUTPUTS) + 32.0

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """The outputs, float32 (B, 1, Y, X); 0 outside of the land and where there are no leaves."""
        windows = [self._window(batch, item) for item in range(len(batch.fields[COVER]))]
        return {name: np.stack([window[name] for window in windows])[:, None] for name in OUTPUTS}

    def _window(self, batch: api.Batch, item: int) -> dict[str, NDArray[np.float32]]:
        core = land_of(batch, item)
        cover = batch.fields[COVER][item, 0]
        rows, cols = cells_of(batch, item)
        green = (self._low | self._high)[cover[rows, cols]]
        rows, cols = rows[green], cols[green]
        classes = cover[rows, cols]
        table, season = self._features.table(batch, item, rows, cols)
        mean, variance = self._networks.class_leaves(table, classes)
        deviation = np.sqrt(variance + np.square(self._networks.noise[classes, season]))
        place = rows - (core[0].start or 0), cols - (core[1].start or 0)
        outputs = {name: np.zeros(cover[core].shape, np.float32) for name in OUTPUTS}
        for name, of_class in (("lai", None), ("lai_lv", self._low), ("lai_hv", self._high)):
            share = np.float32(1) if of_class is None else of_class[classes].astype(np.float32)
            outputs[name][place] = share * mean
            outputs[f"{name}_sd"][place] = share * deviation
        return outputs
