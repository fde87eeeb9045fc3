"""The result of an evaluation as plain JSON: values, intervals, and differences to the best baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ai4land_coupler.experiments.evaluation import chance, change
from ai4land_coupler.experiments.evaluation.bootstrap import Draws, Estimate, Sampled
from ai4land_coupler.experiments.evaluation.config import BootstrapSection
from ai4land_coupler.experiments.evaluation.judged import Judged
from ai4land_coupler.experiments.evaluation.measures import MAPS, Measure, of_chance, of_map, of_run
from ai4land_coupler.experiments.evaluation.one_step import STEP
from ai4land_coupler.experiments.evaluation.rollout import MAP, ROLLOUT, part_of

FORMAT = "ai4land-evaluation/1"


def part_result(
    judged: Sequence[Judged], part: str, group: str, bootstrap: BootstrapSection, measures: Sequence[Measure]
) -> dict[str, Any]:
    """The results of one part of an evaluation on one group of land.

    Returns
    -------
    For each label and key of a measure: ``value``, ``low`` and ``high``; and for what is no baseline, if there is a
    baseline and one is better than others: ``baseline`` (the label of the best baseline of this measure) and
    ``difference``, a mapping of the same three.
    """
    level = bootstrap.level
    blocks = sorted({block for item in judged for block in item.parts.get((part, group), {})})
    draws = Draws.make(blocks, bootstrap.samples, bootstrap.seed)
    found = {
        item.label: draws.measure(item.parts[part, group], measures) for item in judged if (part, group) in item.parts
    }
    baselines = [item.label for item in judged if item.kind == "baseline" and item.label in found]
    result: dict[str, Any] = {label: {} for label in found}
    for measure in measures:
        best = _best(measure, {label: found[label] for label in baselines})
        for label, sampled in found.items():
            if measure.key not in sampled:
                continue
            entry: dict[str, Any] = dict(as_json(sampled[measure.key].estimate(level)))
            if best is not None and label not in baselines:
                difference = sampled[measure.key].minus(found[best][measure.key])
                entry |= {"baseline": best, "difference": as_json(difference.estimate(level))}
            result[label][measure.key] = entry
    return result


def _best(measure: Measure, baselines: Mapping[str, Mapping[str, Sampled]]) -> str | None:
    """The label of the baseline that is best by this measure; ``None`` if none is known."""
    if measure.best is None:
        return None
    scores = {
        label: measure.better(sampled[measure.key].value)
        for label, sampled in baselines.items()
        if measure.key in sampled and math.isfinite(sampled[measure.key].value)
    }
    return max(scores, key=lambda label: scores[label]) if scores else None


def as_json(estimate: Estimate) -> dict[str, float | None]:
    """Value and interval; ``None`` instead of NaN, which JSON does not have."""
    return {name: number(getattr(estimate, name)) for name in ("value", "low", "high")}


def number(value: float) -> float | None:
    """A number with six significant digits; ``None`` instead of NaN and infinity."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def step_measures(classes: Sequence[str]) -> list[Measure]:
    """The measures of one step, in the order of the tables."""
    return [*of_chance(), *(measure for name in MAPS for measure in of_map(name, classes))]


def step_results(bootstrap: BootstrapSection, judged: Sequence[Judged], classes: Sequence[str]) -> dict[str, Any]:
    """The results of one step: on all land, by group, and the reliability of the probabilities."""
    measures = step_measures(classes)
    first = judged[0].parts[STEP, ""]
    table = np.sum([sums["argmax.cells"] for sums in first.values()], axis=0)
    groups = {}
    for group in sorted({group for item in judged for part, group in item.parts if part == STEP and group}):
        groups[group] = part_result(judged, STEP, group, bootstrap, measures)
    return {
        "blocks": len(first),
        "weight": number(float(change.total(table))),
        "change": number(float(change.observed_change(table))),
        "one_step": part_result(judged, STEP, "", bootstrap, measures),
        "groups": groups,
        "reliability": {item.label: _reliability(item) for item in judged},
    }


def rollout_results(bootstrap: BootstrapSection, judged: Sequence[Judged], classes: Sequence[str]) -> dict[str, Any]:
    """The results of free runs and stores: by lead in years, and of all years together."""
    parts = {part for item in judged for part, _ in item.parts}
    leads = sorted(int(part.removeprefix("lead ")) for part in parts if part.startswith("lead "))
    measures = of_map(MAP, classes)
    return {
        "leads": {str(lead): part_result(judged, part_of(lead), "", bootstrap, measures) for lead in leads},
        "rollout": part_result(judged, ROLLOUT, "", bootstrap, of_run()),
    }


def _reliability(judged: Judged) -> list[list[float | None]]:
    """Weight, mean probability and observed share of change by bin of the probability."""
    bins = np.sum([sums["chance_bins"] for sums in judged.parts[STEP, ""].values()], axis=0)
    return [[number(value) for value in row] for row in chance.reliability(bins).tolist()]
