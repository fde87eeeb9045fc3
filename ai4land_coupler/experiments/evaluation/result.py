"""The result of an evaluation as plain JSON: values, intervals, and differences to the best baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ai4land_coupler.experiments.evaluation.bootstrap import Draws, Estimate, Sampled
from ai4land_coupler.experiments.evaluation.judged import Judged
from ai4land_coupler.experiments.evaluation.measures import Measure

FORMAT = "ai4land-evaluation/1"


def part_result(
    judged: Sequence[Judged], part: str, group: str, draws: Draws, measures: Sequence[Measure], level: float
) -> dict[str, Any]:
    """The results of one part of an evaluation on one group of land.

    Returns
    -------
    For each label and key of a measure: ``value``, ``low`` and ``high``; and for what is no baseline, if there is a
    baseline and one is better than others: ``baseline`` (the label of the best baseline of this measure) and
    ``difference``, a mapping of the same three.
    """
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
            entry = as_json(sampled[measure.key].estimate(level))
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
        label: float(measure.better(np.float64(sampled[measure.key].value)))
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
