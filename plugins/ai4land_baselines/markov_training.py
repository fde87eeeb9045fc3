"""Counts the transitions between pairs of maps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ai4land_baselines.bundle import Card, describe, score_and_save, serialise
from ai4land_baselines.markov import Markov, regions_of
from ai4land_baselines.options import MarkovTrainerOptions
from ai4land_baselines.parts import Direction, core_of, make_spec, previous_map
from ai4land_coupler.api import OUTSIDE, ConfigError, Trainer, TrainingData, TrainResult

#: Side of the windows that are read (cells).
_WINDOW = 512

#: Number of cells by class before and class after.
Counts = NDArray[np.int64]


class MarkovTrainer(Trainer):
    """Counts all training cells; see :class:`ai4land_baselines.options.MarkovTrainerOptions`."""

    def __init__(self, options: MarkovTrainerOptions) -> None:
        self._options = options

    def train(self, data: TrainingData, folder: Path, progress: Callable[[float, str], None]) -> TrainResult:
        """Count, compute scores on the held-out cells, and write the bundle.

        Raises
        ------
        ConfigError
            If there is no training cell.
        """
        began, options = time.monotonic(), self._options
        progress(0.0, "counting")
        counts = count_transitions(data, options.region)
        if not counts:
            raise ConfigError(
                "there is no cell to train with", remedy="check the region, the years and the held-out part"
            )
        places = sorted(counts)
        total = np.sum([counts[place] for place in places], axis=0)
        if options.region is None:
            places = []
        matrices = [chances(counts[place], total, options.strength) for place in places]
        arrays = {
            "chances": np.stack([*matrices, chances(total)]),
            "places": np.array(places, np.int64).reshape(-1, 2),
        }
        card = Card(
            kind="markov",
            **options.model_dump(include={"name", "description", "licence", "region"}),
            **describe(data),
            numbers_sha256=serialise(arrays)[1],
            training={
                "record": dict(data.record),
                "options": options.model_dump(mode="json"),
                "transitions": total.tolist(),
            },
        )
        progress(0.9, "scoring")
        metrics = score_and_save(folder, card, arrays, Markov, data)
        return TrainResult(folder, card.numbers_sha256, 1, time.monotonic() - began, metrics)


def count_transitions(data: TrainingData, side: float | None) -> dict[tuple[int, int], Counts]:
    """Transitions of all training cells of all pairs, by region (row, column); without ``side`` all in one region."""
    direction: Direction = "forward" if data.direction == 1 else "backward"
    spec, classes = make_spec(data.legend.name, data.step, direction), len(data.legend.view)
    counts: dict[tuple[int, int], Counts] = {}
    for batch, target in data.each_window(_WINDOW, spec=spec):
        known = target != OUTSIDE
        move = previous_map(batch, 0)[core_of(batch, 0)][known].astype(np.int64) * classes + target[known]
        row, col = (np.broadcast_to(index, target.shape)[known] for index in regions_of(batch, 0, side))
        for place in itertools.product(np.unique(row).tolist(), np.unique(col).tolist()):
            inside = (row == place[0]) & (col == place[1])
            found = np.bincount(move[inside], minlength=classes**2).reshape(classes, classes)
            if found.any():
                counts[place] = counts.get(place, 0) + found
    return counts


def chances(counts: Counts, whole: Counts | None = None, strength: float = 0.0) -> NDArray[np.float64]:
    """Probability of each class after, by class before.

    Parameters
    ----------
    counts:
        Of a region.
    whole:
        Of all land, which stand for ``strength`` cells of each class of the region. A class that has no cell stays.
    """
    counted = counts.astype(np.float64)
    if whole is not None:
        counted = counted + strength * chances(whole)
    cells = counted.sum(axis=1, keepdims=True)
    return np.where(cells > 0, counted / np.maximum(cells, 1), np.eye(len(counts)))
