"""Predicts with trees of gradient boosting: first whether a cell changes, then to which class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_baselines.bundle import Bundle, ObservedRates, refuse_arrays
from ai4land_baselines.features import Features, WindowFeatures
from ai4land_baselines.parts import core_of, make_spec, previous_map
from ai4land_baselines.suitability import suitability_features
from ai4land_baselines.trees import Trees
from ai4land_coupler import api

#: Cells that go through the trees together: their features then stay in the processor's cache.
_STRIP = 1 << 14
#: Largest difference between logits, so that a scenario can demand what no training map has.
_LARGEST = 20.0


class Boosting(api.Predictor):
    """Logits are logarithms of probabilities. See :class:`Features` for what they depend on."""

    def __init__(self, bundle: Bundle) -> None:
        card = bundle.card
        self._features, self._classes = Features.of_card(card), len(card.classes)
        try:
            self._change, self._target = (
                Trees.of(bundle.arrays, name, self._features.count) for name in ("change", "target")
            )
            self._suitability = (
                Trees.of(bundle.arrays, "suitability", self._features.surroundings) if card.suitability else None
            )
        except ValueError as error:
            raise refuse_arrays(bundle, "trees for the features of the card", error) from None
        found = self._change.start.size, self._target.start.size
        if found != (1, self._classes):
            raise refuse_arrays(bundle, f"trees for 1 and {self._classes} outputs", found)
        if self._suitability is not None and self._suitability.start.size != self._classes:
            raise refuse_arrays(bundle, f"trees for {self._classes} outputs", self._suitability.start.size)
        self.spec = make_spec(card.legend, card.step, card.direction, self._features.fields(), halo=self._features.halo)
        self.gross = ObservedRates(card.gross_rates)
        self.identity = bundle.identity
        # logits, sums of cells, distances with what their transform needs, and the inputs
        self.bytes_per_cell = 12.0 * self._classes + 4.0 * len(card.inputs) + 50.0

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``, float32 (B, class, Y, X); 0 outside of the land."""
        count = len(batch.fields["land_cover"])
        return {api.LOGITS: np.stack([self._window(batch, item) for item in range(count)])}

    def _window(self, batch: api.Batch, item: int) -> NDArray[np.float32]:
        shape = previous_map(batch, item)[core_of(batch, item)].shape
        logits = np.zeros((self._classes, *shape), np.float32)
        cells = WindowFeatures(self._features, batch, item)
        for start in range(0, cells.current.size, _STRIP):
            part = slice(start, start + _STRIP)
            table, current = cells.table(part), cells.current[part]
            if self._suitability is not None:
                more = suitability_features(self._suitability, cells.surroundings(part), current)
                table = np.concatenate([table, more])
            logits[:, cells.rows[part], cells.cols[part]] = self.logits(table, current)
        return logits

    def logits(self, table: NDArray[np.float32], current: NDArray[np.int8]) -> NDArray[np.float32]:
        """Logits (class, n) of features (feature, n) and present classes (n,)."""
        (change,) = self._change.sums(table)
        target = self._target.sums(table)
        cell = np.arange(current.size)
        target[current, cell] = -np.inf
        target -= target.max(axis=0)
        target -= np.log(np.exp(target).sum(axis=0))
        target -= np.logaddexp(0, -change)
        target[current, cell] = -np.logaddexp(0, change)
        return np.asarray(np.maximum(target, target.max(axis=0) - _LARGEST), np.float32)
