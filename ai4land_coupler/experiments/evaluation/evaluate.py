"""Evaluates predictors, baselines and stores (``ai4land evaluate``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ai4land_coupler.errors import DataError
from ai4land_coupler.experiments.evaluation import chance, change
from ai4land_coupler.experiments.evaluation.bootstrap import Draws
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig
from ai4land_coupler.experiments.evaluation.groups import Groups
from ai4land_coupler.experiments.evaluation.judged import (
    Judged,
    Kind,
    Timing,
    find_timing,
    make_predictor,
    with_defaults,
)
from ai4land_coupler.experiments.evaluation.measures import MAPS, Measure, of_chance, of_map
from ai4land_coupler.experiments.evaluation.one_step import STEP, OneStep
from ai4land_coupler.experiments.evaluation.result import FORMAT, number, part_result
from ai4land_coupler.registry.loading import Plugins, load_plugins

#: Called with the share that is done and a short message.
Progress = Callable[[float, str], None]


def _silent(done: float, note: str) -> None:
    """Default of ``progress``: does nothing."""


def evaluate(config: EvaluateConfig, progress: Progress = _silent) -> dict[str, Any]:
    """Judge everything that a configuration names.

    Returns
    -------
    The result as plain JSON (see docs/evaluation.md).

    Raises
    ------
    Ai4LandError
        If the configuration and the data do not fit together, or no land is judged.
    """
    plugins = load_plugins(config.plugins.allow)
    timing = find_timing(config, plugins)
    judged, classes = _one_step(config, plugins, timing, progress)
    result: dict[str, Any] = {"format": FORMAT, "title": config.title, "classes": list(classes)}
    result |= _settings(config, timing)
    result |= _step_results(config, judged, step_measures(classes))
    return result


def step_measures(classes: Sequence[str]) -> list[Measure]:
    """The measures of one step, in the order of the tables."""
    return [*of_chance(), *(measure for name in MAPS for measure in of_map(name, classes))]


def _one_step(
    config: EvaluateConfig, plugins: Plugins, timing: Timing, progress: Progress
) -> tuple[list[Judged], Sequence[str]]:
    pairs = timing.pairs(config.cover.all_years())
    kinds: list[tuple[Kind, Any]] = [("predictor", choice) for choice in config.predictors]
    kinds += [("baseline", choice) for choice in config.baselines]
    found, classes, groups = [], (), None
    for number_of, (kind, choice) in enumerate(kinds):
        progress(number_of / len(kinds), choice.title)
        choice = with_defaults(choice, plugins, config, timing)
        make_predictor(choice, plugins, config)
        step = OneStep(config, choice, pairs)
        groups = groups or Groups.make(config, plugins, step.setup.grid)
        classes = step.setup.legend.classes
        judged = Judged(choice.title, kind)
        step.judge(judged, groups, lambda pair, maps: None)
        if (STEP, "") not in judged.parts:
            raise DataError(
                "no land is judged",
                expected="cells that are land in both maps of a pair, and held out",
                where=config.where,
                remedy="check `held_out` and the maps",
            )
        found.append(judged)
    progress(1.0, "intervals")
    return found, classes


def _settings(config: EvaluateConfig, timing: Timing) -> dict[str, Any]:
    return {
        "step": timing.step,
        "direction": "forward" if timing.direction == 1 else "backward",
        "pairs": [list(pair) for pair in timing.pairs(config.cover.all_years())],
        "level": config.bootstrap.level,
        "weights": config.weights,
        "config": config.model_dump(mode="json"),
    }


def _step_results(config: EvaluateConfig, judged: Sequence[Judged], measures: Sequence[Measure]) -> dict[str, Any]:
    first = judged[0].parts[STEP, ""]
    table = sum(sums["argmax.cells"] for sums in first.values())
    groups = sorted({group for item in judged for _, group in item.parts})
    samples, seed = config.bootstrap.samples, config.bootstrap.seed
    results: dict[str, Any] = {}
    for group in groups:
        blocks = sorted({block for item in judged for block in item.parts.get((STEP, group), {})})
        draws = Draws.make(blocks, samples, seed)
        results[group] = part_result(judged, STEP, group, draws, measures, config.bootstrap.level)
    return {
        "judged": {item.label: item.kind for item in judged},
        "blocks": len(first),
        "weight": number(float(change.total(table))),
        "change": number(float(change.observed_change(table))),
        "one_step": results.pop(""),
        "groups": results,
        "reliability": {item.label: _reliability(item) for item in judged},
    }


def _reliability(judged: Judged) -> list[list[float | None]]:
    bins = sum(sums["chance_bins"] for sums in judged.parts[STEP, ""].values())
    return [[number(value) for value in row] for row in chance.reliability(bins).tolist()]
