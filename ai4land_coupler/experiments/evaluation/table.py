"""The tables of an evaluation for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

#: Rows of the first table by heading: key and name. Overall accuracy comes last.
STEP_ROWS = {
    "places of change, at the observed amount by class and forcing cell": (
        ("amount.merit", "figure of merit"),
        ("amount.merit_5", "in windows of 5 cells"),
        ("amount.merit_25", "in windows of 25 cells"),
        ("amount.edge", "edge density / observed"),
    ),
    "places of change, at the observed amount in all": (("merit", "figure of merit"),),
    "map of a run, with the amounts of the scenario": (
        ("scenario.merit", "figure of merit"),
        ("scenario.mean_iou", "mean IoU"),
        ("scenario.change", "share of change"),
        ("scenario.coarse", "coarse disagreement"),
    ),
    "most likely class": (
        ("argmax.merit", "figure of merit"),
        ("argmax.mean_iou", "mean IoU"),
        ("argmax.change", "share of change"),
        ("argmax.quantity", "quantity disagreement"),
        ("argmax.allocation", "allocation disagreement"),
    ),
    "probability of change": (
        ("average_precision", "average precision"),
        ("brier", "Brier score"),
        ("log_loss", "log loss"),
        ("calibration", "calibration error"),
        ("change", "mean probability"),
    ),
    "overall accuracy (of no use: no change at all scores high)": (("argmax.accuracy", "most likely class"),),
}
#: Rows of the table by class: key of the measure, and heading.
CLASS_ROWS = {
    "argmax.iou": "IoU, most likely class",
    "argmax.gains_found": "share of the gains found, most likely class",
    "argmax.gain_merit": "figure of merit of gains, most likely class",
    "amount.gain_merit": "figure of merit of gains, observed amount",
    "amount.loss_merit": "figure of merit of losses, observed amount",
}
#: Rows of the table by lead: key and heading.
LEAD_ROWS = {
    "map.merit": "figure of merit",
    "map.mean_iou": "mean IoU",
    "map.skill": "skill over persistence: 1 - error / error of persistence",
    "map.edge": "edge density / observed",
}
#: Leads in the table (years), if there are many.
_LEADS = (1, 2, 5, 10, 20, 30, 50, 75, 100)


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of a result."""
    if "one_step" in result:
        share, pairs = 100 * (result["change"] or 0), result["pairs"]
        maps = "one pair of maps" if len(pairs) == 1 else f"{len(pairs)} pairs of maps"
        yield _table(
            f"One step of {result['step']}, {maps}, {share:.3g} % of the land changes",
            result,
            STEP_ROWS,
            result["one_step"],
        )
        rows = {
            title: tuple((f"{key}.{name}", name.replace("_", " / ")) for name in result["classes"])
            for key, title in CLASS_ROWS.items()
        }
        yield _table("By class", result, rows, result["one_step"])
        for group, values in result["groups"].items():
            first = dict(list(STEP_ROWS.items())[:2])
            yield _table(group, result, first | {"most likely class": STEP_ROWS["most likely class"][:2]}, values)
    if "leads" in result:
        yield _lead_table(result)


def _labels(result: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    return [label for label in result["judged"] if label in values]


def _table(
    title: str,
    result: Mapping[str, Any],
    rows: Mapping[str, Sequence[tuple[str, str]]],
    values: Mapping[str, Any],
) -> Table:
    """Values with intervals of what is judged, values of the baselines, and the differences to the best of them."""
    labels = _labels(result, values)
    table = _empty(title, result, labels)
    for heading, its in rows.items():
        filled = [(name, [values[label].get(key) for label in labels]) for key, name in its]
        filled = [(name, entries) for name, entries in filled if any(map(_known, entries))]
        if filled:
            table.add_row(f"[bold]{heading}[/]")
        for name, entries in filled:
            table.add_row(f"  {name}", *_texts(result, labels, entries))
    return table


def _lead_table(result: Mapping[str, Any]) -> Table:
    leads = [lead for lead in result["leads"] if int(lead) in _LEADS or len(result["leads"]) <= len(_LEADS)]
    labels = [label for label in result["judged"] if any(label in values for values in result["leads"].values())]
    table = _empty(f"Free runs {result['direction']} in time, by lead", result, labels)
    for key, heading in LEAD_ROWS.items():
        table.add_row(f"[bold]{heading}[/]")
        for lead in leads:
            entries = [result["leads"][lead].get(label, {}).get(key) for label in labels]
            table.add_row(f"  {lead} years", *_texts(result, labels, entries))
    if any("flip" in values for values in result["rollout"].values()):
        table.add_row("[bold]change that the next step takes back (flip-flop rate)[/]")
        for key, name in (("flip", "predicted"), ("flip_observed", "observed")):
            entries = [result["rollout"].get(label, {}).get(key) for label in labels]
            table.add_row(f"  {name}", *_texts(result, labels, entries))
    return table


def _empty(title: str, result: Mapping[str, Any], labels: Sequence[str]) -> Table:
    blocks = f"; {100 * result['level']:.0f} % intervals" if labels else ""
    table = Table(title=f"[bold]{title}[/]{blocks}", title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    if any(result["judged"][label] != "baseline" for label in labels):
        table.add_column("minus best baseline", no_wrap=True)
    return table


def _texts(
    result: Mapping[str, Any], labels: Sequence[str], entries: Sequence[Mapping[str, Any] | None]
) -> Iterator[str]:
    for label, entry in zip(labels, entries, strict=True):
        yield with_interval(entry, interval=result["judged"][label] != "baseline")
    several = sum(entry is not None and "difference" in entry for entry in entries) > 1
    if any(result["judged"][label] != "baseline" for label in labels):
        yield "\n".join(
            f"{label + ': ' if several else ''}{with_interval(entry['difference'])} {entry['baseline']}"
            for label, entry in zip(labels, entries, strict=True)
            if entry is not None and _known(entry.get("difference"))
        )


def _known(entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and entry["value"] is not None


def with_interval(entry: Mapping[str, Any] | None, *, interval: bool = True) -> str:
    """A value, and its interval if it has one."""
    if entry is None or entry["value"] is None:
        return "-"
    if not interval or entry["low"] is None:
        return short(entry["value"])
    return f"{short(entry['value'])} [{short(entry['low'])} {short(entry['high'])}]"


def short(value: float) -> str:
    """A number with at most four decimals, or two digits if it is smaller than that."""
    return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"
