"""Predicts by a transition matrix between classes (a Markov chain), for all land or by region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_baselines.bundle import Bundle, ObservedRates, refuse_arrays
from ai4land_baselines.parts import cell_numbers, core_of, make_spec, predicted_box, previous_map
from ai4land_coupler import api

#: Least probability of a transition, so that a scenario can demand one that no training map has.
LEAST = 1e-6
#: Random numbers up to this are added to logits: they decide between cells of equal probability, and change
#: probabilities by a thousandth at most.
TIE = 1e-3


def regions_of(batch: api.Batch, item: int, side: float | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of the region of each predicted cell, broadcast over (Y, X).

    Parameters
    ----------
    side:
        Side of the regions in degrees, counted from 0 N, 0 E; ``None``: all land is region (0, 0).
    """
    if side is None:
        return np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64)
    box = predicted_box(batch, item)
    assert batch.grid is not None  # predicted_box checks it
    grid = batch.grid
    lat = grid.lat0 + grid.dlat * (np.arange(box.row0, box.row1) + 0.5)
    lon = grid.lon0 + grid.dlon * (np.arange(box.col0, box.col1) % grid.nlon + 0.5)
    lon = (lon + 180) % 360 - 180
    return (
        np.floor(lat / side).astype(np.int64)[:, None],
        np.floor(lon / side).astype(np.int64)[None, :],
    )


class Markov(api.Predictor):
    """Logits are the logarithms of the row of the matrix that belongs to the class of the step before."""

    def __init__(self, bundle: Bundle) -> None:
        card = bundle.card
        self._region, self._classes = card.region, len(card.classes)
        self._chances, self._places = (bundle.arrays.get(name) for name in ("chances", "places"))
        rows = 0 if self._places is None else len(self._places)
        wanted = (rows + 1, self._classes, self._classes)
        if self._places is None or self._chances is None or self._chances.shape != wanted:
            found = {name: values.shape for name, values in bundle.arrays.items()}
            raise refuse_arrays(bundle, {"chances": wanted, "places": (rows, 2)}, found)
        self.spec = make_spec(card.legend, card.step, card.direction)
        self.gross = ObservedRates(card.gross_rates)
        self.identity = bundle.identity
        self.bytes_per_cell = 16.0 * self._classes + 20

    def predict(self, batch: api.Batch, rng: api.KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``, float32 (B, class, Y, X); 0 outside of the land."""
        return {api.LOGITS: np.stack([self._window(batch, item, rng) for item in range(len(batch.tiles))])}

    def _window(self, batch: api.Batch, item: int, rng: api.KeyedRng) -> NDArray[np.float32]:
        cover = previous_map(batch, item)[core_of(batch, item)]
        logits = cell_numbers(batch, item, self._classes, rng)
        logits *= TIE
        assert self._chances is not None
        table = np.log(np.maximum(self._chances, LEAST))
        row, col = regions_of(batch, item, self._region)
        matrix = self._matrix_of(row, col)
        for k in range(self._classes):
            logits[k] += table[matrix, cover, k]
        logits[:, cover == api.OUTSIDE] = 0
        return logits.astype(np.float32)

    def _matrix_of(self, row: NDArray[np.int64], col: NDArray[np.int64]) -> NDArray[np.int64]:
        """The matrix of each region, broadcast over (Y, X); that of all land, the last one, for unknown regions."""
        assert self._places is not None
        matrix = np.full(np.broadcast_shapes(row.shape, col.shape), len(self._places), np.int64)
        for number, (south, west) in enumerate(self._places):
            matrix[(row == south) & (col == west)] = number
        return matrix
