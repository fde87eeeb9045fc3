"""The measures of an evaluation: their names, and how each follows from the sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.experiments.evaluation import chance, change
from ai4land_coupler.experiments.evaluation.sums import SCALES

Values = NDArray[np.float64]
Stacked = Mapping[str, Values]
#: The largest or the smallest value is best, or the one nearest to one; ``None`` if none is.
Best = Literal["high", "low", "one"] | None

#: The maps of a step, by their short names.
MAPS = {
    "amount": "observed amount",
    "argmax": "most likely class",
    "scenario": "amount of the scenario",
}


@dataclass(frozen=True)
class Measure:
    """One number of an evaluation.

    Parameters
    ----------
    key:
        Name in files.
    title:
        Name in tables.
    best:
        Which value is best.
    needs:
        Name of the sums that it needs.
    of:
        Sums, stacked along any leading axes, to values.
    """

    key: str
    title: str
    best: Best
    needs: str
    of: Callable[[Stacked], Values]

    def better(self, value: float) -> float:
        """A number that is larger for better values."""
        return {"high": value, "low": -value, "one": -abs(value - 1), None: value}[self.best]


def of_map(name: str, classes: Sequence[str]) -> list[Measure]:
    """The measures of one map of a step, or of a free run.

    Parameters
    ----------
    name:
        Beginning of the names of its sums, and of the keys of its measures.
    """
    title = f", {MAPS.get(name, name)}"

    def table(key: str, label: str, best: Best, function: Callable[[Values], Values]) -> Measure:
        needs = f"{name}.cells"
        return Measure(f"{name}.{key}", label + title, best, needs, lambda sums: function(sums[needs]))

    def quotient(key: str, label: str, best: Best, part: int, whole: int) -> Measure:
        needs = f"{name}.{key}"
        return Measure(
            needs,
            label + title,
            best,
            needs,
            lambda sums: change.ratio(sums[needs][..., part], sums[needs][..., whole]),
        )

    def coarse(sums: Stacked) -> Values:
        return change.ratio(sums[f"{name}.coarse"][..., 0], change.total(sums[f"{name}.cells"]))

    measures = [
        table("merit", "figure of merit", "high", change.figure_of_merit),
        *(quotient(f"merit_{n}", f"figure of merit in windows of {n} cells", "high", 0, 1) for n in SCALES),
        table("mean_iou", "mean IoU", "high", change.mean_iou),
        table("quantity", "quantity disagreement", "low", change.quantity_disagreement),
        table("allocation", "allocation disagreement", "low", change.allocation_disagreement),
        Measure(f"{name}.coarse", f"coarse disagreement{title}", "low", f"{name}.coarse", coarse),
        quotient("edge", "edge density relative to the observed one", "one", 1, 0),
        table("change", "share of change", None, change.predicted_change),
        table("skill", "skill over persistence", "high", change.skill_over_persistence),
    ]
    for key, label, function in (
        ("iou", "IoU", change.class_iou),
        ("gain_merit", "figure of merit of gains", change.gain_merit),
        ("gains_found", "gains found", change.gains_found),
        ("loss_merit", "figure of merit of losses", change.loss_merit),
    ):
        for k, name_of_class in enumerate(classes):
            measures.append(
                table(f"{key}.{name_of_class}", f"{label} of {name_of_class}", "high", _of_class(function, k))
            )
    return [*measures, table("accuracy", "overall accuracy", "high", change.overall_accuracy)]


def _of_class(function: Callable[[Values], Values], k: int) -> Callable[[Values], Values]:
    """One class of a measure by class."""
    return lambda table: function(table)[..., k]


def of_chance() -> list[Measure]:
    """The measures of the probabilities."""
    return [
        Measure(
            "merit",
            "figure of merit, observed amount in all",
            "high",
            "gain_bins",
            lambda s: chance.merit_of_amount(s["gain_bins"]),
        ),
        Measure(
            "average_precision",
            "average precision of change",
            "high",
            "chance_bins",
            lambda s: chance.average_precision(s["chance_bins"]),
        ),
        Measure("brier", "Brier score of change", "low", "chance", lambda s: chance.brier(s["chance"])),
        Measure("log_loss", "log loss of change", "low", "chance", lambda s: chance.log_loss(s["chance"])),
        Measure(
            "class_log_loss", "log loss of the class", "low", "chance", lambda s: chance.class_log_loss(s["chance"])
        ),
        Measure(
            "calibration",
            "calibration error of change",
            "low",
            "chance_bins",
            lambda s: chance.calibration_error(s["chance_bins"]),
        ),
        Measure("change", "expected share of change", None, "chance", lambda s: chance.expected_change(s["chance"])),
    ]


def of_run() -> list[Measure]:
    """The measures of all years of a free run together."""
    return [
        Measure("flip", "flip-flop rate", None, "flip", lambda s: change.ratio(s["flip"][..., 1], s["flip"][..., 0])),
        Measure(
            "flip_observed",
            "flip-flop rate, observed",
            None,
            "flip",
            lambda s: change.ratio(s["flip"][..., 3], s["flip"][..., 2]),
        ),
    ]
