"""Trains the trees of gradient boosting with scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_baselines.boosting import Boosting
from ai4land_baselines.bundle import Card, Input, describe, score_and_save, serialise
from ai4land_baselines.features import Features, WindowFeatures
from ai4land_baselines.options import BoostingTrainerOptions, TreeOptions
from ai4land_baselines.parts import Direction, core_of, make_spec, previous_map
from ai4land_baselines.suitability import suitability_features
from ai4land_baselines.trees import Trees, from_sklearn, spread
from ai4land_coupler.api import OUTSIDE, ConfigError, Trainer, TrainingChannel, TrainingData, TrainResult

#: Side of the windows that are read (cells).
_WINDOW = 512


class BoostingTrainer(Trainer):
    """Trains two models; see :class:`ai4land_baselines.options.BoostingTrainerOptions`."""

    def __init__(self, options: BoostingTrainerOptions) -> None:
        self._options = options

    def train(self, data: TrainingData, folder: Path, progress: Callable[[float, str], None]) -> TrainResult:
        """Train, compute scores on the held-out cells, and write the bundle.

        Raises
        ------
        ConfigError
            If scikit-learn is missing, or no training cell changes.
        """
        began, options = time.monotonic(), self._options
        grow = _Grower(options.seed)
        inputs = tuple(_input(channel) for channel in data.channels if channel.source != "cover")
        features = Features(
            len(data.legend.view), options.radii, options.distance, inputs, options.suitability is not None
        )
        progress(0.0, "reading")
        cells = choose_cells(data, features, options)
        changed = cells.before != cells.after
        arrays: dict[str, NDArray[Any]] = {}
        if options.suitability is not None:
            progress(0.2, f"trees of suitability, {changed.size} cells")
            trees, cells = _suitability(grow, options.suitability, cells, features.classes)
            arrays |= trees.arrays("suitability")
        progress(0.3, f"trees of change, {changed.size} cells")
        change = from_sklearn(grow(options.change, cells.table, changed, cells.weight))
        progress(0.7, f"trees of the new class, {np.count_nonzero(changed)} cells")
        target = _target(grow, options.target, cells, changed, features.classes)
        arrays |= change.arrays("change") | target.arrays("target")
        card = Card(
            kind="boosting",
            **options.model_dump(include={"name", "description", "licence", "radii", "distance"}),
            **describe(data),
            inputs=inputs,
            suitability=features.suitability,
            numbers_sha256=serialise(arrays)[1],
            training={
                "record": dict(data.record),
                "options": options.model_dump(mode="json"),
                "cells": changed.size,
                "changed_cells": int(np.count_nonzero(changed)),
                "scikit_learn": grow.version,
            },
        )
        progress(0.9, "scoring")
        metrics = score_and_save(folder, card, arrays, Boosting, data)
        rounds = sum(trees.rounds for trees in (options.suitability, options.change, options.target) if trees)
        return TrainResult(folder, card.numbers_sha256, rounds, time.monotonic() - began, metrics)


@dataclass(frozen=True)
class TrainingCells:
    """The cells to train with: features (n, feature), class before and after, and weight (``None``: all are 1).

    ``surroundings`` are the features (n, feature) of the trees of suitability; without these it has no columns.
    """

    table: NDArray[np.float32]
    surroundings: NDArray[np.float32]
    before: NDArray[np.int8]
    after: NDArray[np.int8]
    weight: NDArray[np.float64] | None


def choose_cells(data: TrainingData, features: Features, options: BoostingTrainerOptions) -> TrainingCells:
    """Choose at most about ``options.cells`` training cells, changed and unchanged ones each with equal chances.

    The weight of a cell is the number of cells that it stands for.

    Raises
    ------
    ConfigError
        If no training cell changes.
    """
    direction: Direction = "forward" if data.direction == 1 else "backward"
    plain = make_spec(data.legend.name, data.step, direction)
    spec = make_spec(data.legend.name, data.step, direction, features.fields(), features.halo)
    total = changed = 0
    for batch, target in data.each_window(_WINDOW, spec=plain):
        known = target != OUTSIDE
        total += int(np.count_nonzero(known))
        changed += int(np.count_nonzero(known & (target != previous_map(batch, 0)[core_of(batch, 0)])))
    if not changed:
        raise ConfigError(
            "no training cell changes its class",
            expected="maps with change",
            found=f"{total} cells without",
            remedy="train with more years or land; a copy of the map is the predictor `persistence`",
        )
    share_changed = min(1.0, options.cells / 2 / changed)
    share_other = min(1.0, (options.cells - share_changed * changed) / max(total - changed, 1))
    rng = np.random.default_rng(options.seed)
    tables, surroundings, before, after = [], [], [], []
    for batch, target in data.each_window(_WINDOW, spec=spec):
        moves = target != previous_map(batch, 0)[core_of(batch, 0)]
        chosen = (target != OUTSIDE) & (rng.random(target.shape) < np.where(moves, share_changed, share_other))
        if chosen.any():
            window = WindowFeatures(features, batch, 0, chosen)
            tables.append(window.table(slice(None)))
            if features.suitability:
                surroundings.append(window.surroundings(slice(None)))
            before.append(window.current)
            after.append(target[window.rows, window.cols])
    old, new = np.concatenate(before), np.concatenate(after)
    weight = None
    if min(share_changed, share_other) < 1:
        weight = np.where(old != new, 1 / share_changed, 1 / share_other)
    around = np.concatenate(surroundings, axis=1).T if surroundings else np.empty((old.size, 0), np.float32)
    return TrainingCells(np.concatenate(tables, axis=1).T, around, old, new, weight)


def _input(channel: TrainingChannel) -> Input:
    """An input without scaling, which trees do not need; a cosine is more than a scaling."""
    assert channel.source != "cover"
    return Input(
        name=channel.name,
        units=channel.units,
        source=channel.source,
        offset=channel.offset,
        missing=channel.missing,
        fill=channel.fill,
        minus=channel.minus,
        cosine=channel.scaling == "cos",
    )


class _Grower:
    """Grows trees with scikit-learn.

    Raises
    ------
    ConfigError
        If it is not installed.
    """

    def __init__(self, seed: int) -> None:
        try:
            import sklearn
            from sklearn.ensemble import HistGradientBoostingClassifier
        except ImportError as error:
            raise ConfigError(
                "the trainer `boosting` needs scikit-learn",
                found=error,
                remedy="pip install 'ai4land_coupler[baselines]'; a trained bundle runs without it",
            ) from None
        self.version: str = sklearn.__version__
        self._model, self._seed = HistGradientBoostingClassifier, seed

    def __call__(
        self, options: TreeOptions, table: NDArray[np.float32], label: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> Any:
        """A fitted ``HistGradientBoostingClassifier`` (Ke et al. 2017, LightGBM)."""
        model = self._model(
            max_iter=options.rounds,
            learning_rate=options.learning_rate,
            max_leaf_nodes=options.leaves,
            min_samples_leaf=options.least_leaf,
            l2_regularization=options.l2,
            max_features=options.features,
            early_stopping=False,
            random_state=self._seed,
        )
        return model.fit(table, label, sample_weight=weight)


def _suitability(
    grow: _Grower, options: TreeOptions, cells: TrainingCells, classes: int
) -> tuple[Trees, TrainingCells]:
    """The trees of suitability, and the cells with the features that come from them."""
    trees = _of_classes(grow, options, cells.surroundings, cells.before, cells.weight, classes)
    more = suitability_features(trees, np.ascontiguousarray(cells.surroundings.T), cells.before)
    return trees, replace(cells, table=np.concatenate([cells.table, more.T], axis=1))


def _target(
    grow: _Grower, options: TreeOptions, cells: TrainingCells, changed: NDArray[np.bool_], classes: int
) -> Trees:
    """The trees of the new class of cells that change."""
    weight = None if cells.weight is None else cells.weight[changed]
    return _of_classes(grow, options, cells.table[changed], cells.after[changed], weight, classes)


def _of_classes(
    grow: _Grower,
    options: TreeOptions,
    table: NDArray[np.float32],
    label: NDArray[np.int8],
    weight: NDArray[np.float64] | None,
    classes: int,
) -> Trees:
    """Trees that tell the class of cells, of which some classes may not occur."""
    labels = np.unique(label).astype(np.int64)
    if labels.size == 1:
        empty = {"feature": "int16", "threshold": "float32", "left": "int32", "right": "int32", "value": "float64"}
        none = {name: np.zeros(0, kind) for name, kind in empty.items()}
        return spread(Trees(**none, roots=np.zeros((0, 1), np.int32), start=np.zeros(1)), labels, classes)
    return spread(from_sklearn(grow(options, table, label, weight)), labels, classes)
