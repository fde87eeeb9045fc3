"""Evaluates predictors, baselines and stores (``ai4land evaluate``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError, RunError
from ai4land_coupler.experiments.evaluation.blocks import EvaluationBlocks
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig, JudgedSection, RolloutSection
from ai4land_coupler.experiments.evaluation.groups import Groups
from ai4land_coupler.experiments.evaluation.judged import (
    Judged,
    Kind,
    Timing,
    find_timing,
    make_predictor,
    with_defaults,
)
from ai4land_coupler.experiments.evaluation.maps import Judging, ObservedMaps
from ai4land_coupler.experiments.evaluation.one_step import STEP, OneStep, StepMaps
from ai4land_coupler.experiments.evaluation.picture import Outcomes
from ai4land_coupler.experiments.evaluation.result import FORMAT, rollout_results, step_results
from ai4land_coupler.experiments.evaluation.rollout import Rollouts
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.land.setup import LandSetup, make_setup
from ai4land_coupler.registry.loading import Plugins, load_plugins
from ai4land_coupler.store.output import open_store
from ai4land_coupler.version import __version__

#: Called with the share that is done and a short message.
Progress = Callable[[float, str], None]


def _silent(done: float, note: str) -> None:
    """Default of ``progress``: does nothing."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation.

    Parameters
    ----------
    result:
        Plain JSON (see docs/evaluation.md).
    pictures:
        Hits, misses and false alarms of the last step by label, uint8 (rows, cols) of :data:`..picture.OUTCOMES`.
    """

    result: dict[str, Any]
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def write_json(self, path: Path) -> Path:
        """Write the result to a file.

        Raises
        ------
        RunError
            If writing to disk fails.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, (json.dumps(self.result, indent=1, allow_nan=False) + "\n").encode())
        except OSError as error:
            raise RunError(
                "the results could not be written", found=error, where=path, remedy="choose another folder with -o"
            ) from error
        return path


def evaluate(config: EvaluateConfig, progress: Progress = _silent) -> Evaluation:
    """Judge everything that a configuration names.

    Raises
    ------
    Ai4LandError
        If the configuration and the data do not fit together, or no land is judged.
    """
    return evaluate_folds([config], progress)


def evaluate_folds(configs: Sequence[EvaluateConfig], progress: Progress = _silent) -> Evaluation:
    """Judge the same predictors on several folds of the land, and put the results together.

    Parameters
    ----------
    configs:
        One configuration for each fold. Labels, maps and measures are the same.

    Returns
    -------
    The evaluation of all folds together. With more than one, ``folds`` in the result has the results of one step of
    each.
    """
    works: list[_Work] = []
    results: list[dict[str, Any]] = []
    for number, config in enumerate(configs):
        work = _Work(config, _part_of(progress, number, len(configs)))
        work.run()
        works.append(work)
        if len(configs) > 1:
            results.append(work.result().result["one_step"])
    first = works[0]
    for other in works[1:]:
        first.include(other)
    progress(1.0, "intervals")
    found = first.result()
    if results:
        found.result["folds"] = results
    return found


def _part_of(progress: Progress, number: int, parts: int) -> Progress:
    """The progress of one of several equal parts."""
    return lambda done, note: progress((number + done) / parts, note)


class _Work:
    """One evaluation."""

    def __init__(self, config: EvaluateConfig, progress: Progress) -> None:
        self._config, self._progress = config, progress
        self._plugins: Plugins = load_plugins(config.plugins.allow)
        self._timing: Timing = find_timing(config, self._plugins)
        self._pairs = self._timing.pairs(config.cover.all_years())
        chosen: list[tuple[Kind, JudgedSection]] = [("predictor", choice) for choice in config.predictors]
        chosen += [("baseline", choice) for choice in config.baselines]
        self._chosen = [(kind, with_defaults(choice, self._plugins, config, self._timing)) for kind, choice in chosen]
        for _, choice in self._chosen:
            make_predictor(choice, self._plugins, config)
        self._judged = [Judged(choice.title, kind) for kind, choice in self._chosen]
        self._stores = [Judged(label, "store") for label in config.stores]
        self._rollout, self._only_baselines = self._runs()
        self._pictures: dict[str, NDArray[np.uint8]] = {}
        self._classes: Sequence[str] = ()
        self._done, self._units = 0, 1

    def run(self) -> None:
        """Judge everything."""
        setup = self._frame()
        self._classes = setup.legend.classes
        self._units = len(self._pairs) * len(self._chosen) + 1
        rollouts = self._rollouts(setup)
        if self._pairs:
            self._one_step(Groups.make(self._config, self._plugins, setup.grid))
        if rollouts is not None:
            self._free_runs(rollouts)

    def result(self) -> Evaluation:
        """The results so far."""
        return Evaluation(self._result(self._classes), self._pictures)

    def include(self, other: _Work) -> None:
        """Add the sums of another fold."""
        mine, others = ([*work._judged, *work._stores] for work in (self, other))
        for judged, more in zip(mine, others, strict=True):
            for (part, group), blocks in more.parts.items():
                for block, sums in blocks.items():
                    judged.add(part, group, block, sums)
        for label, picture in other._pictures.items():
            np.maximum(self._pictures[label], picture, out=self._pictures[label])

    def _frame(self) -> LandSetup:
        """The grids, the legend and the maps of the evaluation."""
        choice = with_defaults(JudgedSection(name="persistence"), self._plugins, self._config, self._timing)
        year = self._config.cover.all_years()[0]
        return make_setup(self._config.run_of(choice, year, year + self._timing.years, parallel={"block": 1}))

    def _runs(self) -> tuple[RolloutSection | None, bool]:
        """The free runs, and whether only baselines run. To judge a store, baselines run through its years."""
        if self._config.rollout is not None or not self._config.stores:
            return self._config.rollout, False
        years = open_store(self._config.base / next(iter(self._config.stores.values())))["year"].values.tolist()
        if len(years) < 2:
            return None, True
        return RolloutSection(years=abs(years[-1] - years[0]), starts=(years[0],)), True

    def _one_step(self, groups: Groups) -> None:
        for judged, (_, choice) in zip(self._judged, self._chosen, strict=True):
            self._note(f"{judged.label}: one step")
            step = OneStep(self._config, choice, self._pairs)
            picture = Outcomes(step.setup.grid)

            def seen(pair: tuple[int, int], maps: StepMaps, picture: Outcomes = picture) -> None:
                if pair == self._pairs[-1]:
                    core = maps.tile.whole.core
                    picture.add(core, maps.before, maps.observed, maps.made["amount"], maps.judged)

            for pair in self._pairs:
                step.judge(judged, groups, pair, seen)
                self._note(f"{judged.label}: {pair[0]} to {pair[1]}", 1)
            if (STEP, "") not in judged.parts:
                raise DataError(
                    "no land is judged",
                    expected="cells that are land in both maps of a pair, and held out",
                    where=self._config.where,
                    remedy="check `held_out` and the maps",
                )
            self._pictures[judged.label] = picture.values

    def _rollouts(self, setup: LandSetup) -> Rollouts | None:
        """The judge of free runs; ``None`` if there are none. Checks their first years."""
        if self._rollout is None:
            return None
        config = self._config.model_copy(update={"rollout": self._rollout})
        observed = ObservedMaps(setup.initial.adapter, setup.grid, setup.legend)
        blocks, judging = EvaluationBlocks(setup.plan, config.block), Judging.make(config, setup.grid)
        rollouts = Rollouts(config, self._timing, observed, blocks, judging)
        rollouts.starts()
        return rollouts

    def _free_runs(self, rollouts: Rollouts) -> None:
        for judged, (kind, choice) in zip(self._judged, self._chosen, strict=True):
            if kind == "baseline" or not self._only_baselines:
                for start, year in rollouts.judge_run(judged, choice):
                    self._note(f"{judged.label}: free run from {start}, {year}")
        for judged, path in zip(self._stores, self._config.stores.values(), strict=True):
            for _, year in rollouts.judge_store(judged, self._config.base / path):
                self._note(f"{judged.label}: {year}")

    def _note(self, text: str, done: int = 0) -> None:
        self._done += done
        self._progress(self._done / self._units, text)

    def _result(self, classes: Sequence[str]) -> dict[str, Any]:
        config, timing, judged = self._config, self._timing, [*self._judged, *self._stores]
        result: dict[str, Any] = {
            "format": FORMAT,
            "version": __version__,
            "title": config.title,
            "classes": list(classes),
            "step": timing.step,
            "direction": "forward" if timing.direction == 1 else "backward",
            "pairs": [list(pair) for pair in self._pairs],
            "level": config.bootstrap.level,
            "weights": config.weights,
            "judged": {item.label: item.kind for item in judged},
        }
        if self._pairs and self._judged:
            result |= step_results(config.bootstrap, self._judged, classes)
        if self._rollout is not None:
            result |= rollout_results(config.bootstrap, judged, classes)
        return result | {"config": config.model_dump(mode="json")}
