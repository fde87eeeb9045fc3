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


def contents(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tables of a result, without their form.

    Returns
    -------
    For each table: ``title``; ``labels`` of its columns; and ``rows``, a list of headings, each with its rows. A row is
    a name and, for each label, the entry of the result or ``None``.
    """
    found = []
    if "one_step" in result:
        share, pairs = 100 * (result["change"] or 0), result["pairs"]
        maps = "one pair of maps" if len(pairs) == 1 else f"{len(pairs)} pairs of maps"
        title = f"One step of {result['step']}, {maps}, {share:.3g} % of the land changes"
        found.append(_content(title, result, STEP_ROWS, result["one_step"]))
        rows = {
            heading: tuple((f"{key}.{name}", name.replace("_", " / ")) for name in result["classes"])
            for key, heading in CLASS_ROWS.items()
        }
        found.append(_content("By class", result, rows, result["one_step"]))
        some = dict(list(STEP_ROWS.items())[:2]) | {"most likely class": STEP_ROWS["most likely class"][:2]}
        found += [_content(group, result, some, values) for group, values in result["groups"].items()]
    if "leads" in result:
        found.append(_leads(result))
    return found


def _content(
    title: str, result: Mapping[str, Any], rows: Mapping[str, Sequence[tuple[str, str]]], values: Mapping[str, Any]
) -> dict[str, Any]:
    labels = [label for label in result["judged"] if label in values]
    filled = []
    for heading, its in rows.items():
        entries = [[name, [values[label].get(key) for label in labels]] for key, name in its]
        filled.append([heading, [row for row in entries if any(map(_known, row[1]))]])
    return {"title": title, "labels": labels, "rows": [part for part in filled if part[1]]}


def _leads(result: Mapping[str, Any]) -> dict[str, Any]:
    leads = [lead for lead in result["leads"] if int(lead) in _LEADS or len(result["leads"]) <= len(_LEADS)]
    labels = [label for label in result["judged"] if any(label in values for values in result["leads"].values())]
    rows: list[list[Any]] = []
    for key, heading in LEAD_ROWS.items():
        its = [[f"{lead} years", [result["leads"][lead].get(label, {}).get(key) for label in labels]] for lead in leads]
        rows.append([heading, its])
    flips = (("flip", "predicted"), ("flip_observed", "observed"))
    its = [[name, [result["rollout"].get(label, {}).get(key) for label in labels]] for key, name in flips]
    if result["rollout"]:
        rows.append(["change that the next step takes back (flip-flop rate)", its])
    return {"title": f"Free runs {result['direction']} in time, by lead", "labels": labels, "rows": rows}


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of a result for the terminal: intervals only of what is no baseline."""
    for content in contents(result):
        labels = content["labels"]
        judged = [label for label in labels if result["judged"][label] != "baseline"]
        title = f"[bold]{content['title']}[/]; {100 * result['level']:.0f} % intervals"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column("", no_wrap=True)
        for label in labels:
            table.add_column(label, justify="right", no_wrap=True)
        if judged:
            table.add_column("minus best baseline", no_wrap=True)
        for heading, rows in content["rows"]:
            table.add_row(f"[bold]{heading}[/]")
            for name, entries in rows:
                texts = [
                    with_interval(entry, interval=label in judged) for label, entry in zip(labels, entries, strict=True)
                ]
                table.add_row(f"  {name}", *texts, *(["\n".join(differences(labels, entries))] if judged else []))
        yield table


def differences(labels: Sequence[str], entries: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """The differences to the best baseline, with its name."""
    found = [
        (label, entry)
        for label, entry in zip(labels, entries, strict=True)
        if entry is not None and _known(entry.get("difference"))
    ]
    return [
        f"{label + ': ' if len(found) > 1 else ''}{with_interval(entry['difference'])} {entry['baseline']}"
        for label, entry in found
    ]


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
