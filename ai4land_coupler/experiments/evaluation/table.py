"""The tables of an evaluation for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from ai4land_coupler.experiments.evaluation.measures import Measure, of_chance, of_map

#: Measures of the first table: key, in the order of its rows. Overall accuracy comes last.
HEADLINES = (
    "amount.merit",
    "merit",
    "argmax.merit",
    "scenario.merit",
    "amount.merit_5",
    "amount.merit_25",
    "argmax.mean_iou",
    "average_precision",
    "brier",
    "log_loss",
    "calibration",
    "change",
    "argmax.change",
    "argmax.quantity",
    "argmax.allocation",
    "scenario.coarse",
    "amount.edge",
    "argmax.accuracy",
)
#: Measures by class of the second table.
BY_CLASS = ("argmax.iou", "argmax.gains_found", "amount.gain_merit", "amount.loss_merit")


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of a result."""
    labels = list(result["judged"])
    titles = {measure.key: measure.title for measure in all_measures(result["classes"])}
    share, years = 100 * result["change"], result["pairs"]
    yield _table(
        f"one step ({result['step']}), {len(years)} pairs of maps, {share:.3g} % of the land changes; "
        f"{100 * result['level']:.0f} % intervals from {result['blocks']} blocks",
        labels,
        [(titles[key], key) for key in HEADLINES],
        result["one_step"],
    )
    rows = [(f"{titles[f'{key}.{name}']}", f"{key}.{name}") for key in BY_CLASS for name in result["classes"]]
    yield _table("by class", labels, rows, result["one_step"])


def all_measures(classes: Sequence[str]) -> list[Measure]:
    """All measures that a table may show."""
    return [*of_chance(), *(m for name in ("amount", "argmax", "scenario", "map") for m in of_map(name, classes))]


def _table(title: str, labels: Sequence[str], rows: Sequence[tuple[str, str]], values: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for label in labels:
        table.add_column(label, justify="right")
    table.add_column("against the best baseline", justify="left")
    for name, key in rows:
        entries = [values[label].get(key) for label in labels]
        if all(entry is None or entry["value"] is None for entry in entries):
            continue
        table.add_row(name, *map(with_interval, entries), "; ".join(_differences(labels, entries)))
    return table


def with_interval(entry: Mapping[str, Any] | None) -> str:
    """A value and its interval."""
    if entry is None or entry["value"] is None:
        return "-"
    if entry["low"] is None:
        return short(entry["value"])
    return f"{short(entry['value'])} [{short(entry['low'])} {short(entry['high'])}]"


def short(value: float) -> str:
    """A number with four decimals, or three digits if it is small."""
    return f"{value:.4f}" if abs(value) >= 0.01 or value == 0 else f"{value:.3g}"


def _differences(labels: Sequence[str], entries: Sequence[Mapping[str, Any] | None]) -> Iterator[str]:
    several = sum(entry is not None and "difference" in entry for entry in entries) > 1
    for label, entry in zip(labels, entries, strict=True):
        if entry is not None and "difference" in entry:
            name = f"{label}: " if several else ""
            yield f"{name}{with_interval(entry['difference'])} ({entry['baseline']})"
