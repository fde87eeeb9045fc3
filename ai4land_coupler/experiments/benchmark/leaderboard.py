"""The leaderboards of a folder of entries: one for each benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Columns of a leaderboard: key in the results of one step, and title. The first decides the order.
COLUMNS = (
    ("amount.merit", "figure of merit, observed amount by class and forcing cell"),
    ("merit", "figure of merit, observed amount in all"),
    ("scenario.merit", "figure of merit, as a run"),
    ("argmax.merit", "figure of merit, most likely class"),
    ("argmax.mean_iou", "mean IoU, most likely class"),
    ("average_precision", "average precision"),
    ("brier", "Brier score"),
    ("calibration", "calibration error"),
)


def boards(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The leaderboards.

    Returns
    -------
    For each benchmark: ``title``, ``hashes``, ``oracle``, ``columns``, ``level`` and ``rows``, best first. A row has
    ``label``, ``kind``, ``values`` (entries of the result, or ``None``), ``lead`` (years) and ``late`` (the merit at
    that lead), and ``facts`` (predictor, versions, seeds). Baselines are in every entry, and are shown once.
    """
    found = []
    for name in sorted({entry["benchmark"] for entry in entries}):
        its = [entry for entry in entries if entry["benchmark"] == name]
        rows: dict[str, dict[str, Any]] = {}
        for entry in its:
            for label, kind in entry["result"]["judged"].items():
                # a predictor may have the name of a baseline: it has a row of its own
                rows[f"{kind} {label}"] = _row(entry, label, kind)
        ordered = sorted(rows.values(), key=lambda row: -(_value(row["values"][0]) or -1.0))
        found.append(
            {
                "title": name,
                "hashes": its[0]["hashes"],
                "oracle": its[0].get("oracle", {}),
                "columns": [title for _, title in COLUMNS],
                "level": its[0]["result"]["level"],
                "rows": ordered,
            }
        )
    return found


def _row(entry: Mapping[str, Any], label: str, kind: str) -> dict[str, Any]:
    result = entry["result"]
    leads = result.get("leads", {})
    last = max(leads, key=int) if leads else None
    late = None if last is None else leads[last].get(label, {}).get("map.merit")
    cards = entry["cards"]
    versions = entry["versions"]
    facts = {
        "predictor": f"{entry['predictor']['name']} {entry['predictor']['options']}" if kind == "predictor" else label,
        "card": "; ".join(card.get("description") or card.get("name", "") for card in cards),
        "weights": ", ".join(str(card.get("weights_sha256", card.get("numbers_sha256", "")))[:16] for card in cards),
        "version": f"{versions.get('ai4land_coupler', '')} {versions.get('revision') or ''}".strip(),
        "seeds": ", ".join(f"{name} {seed}" for name, seed in entry["seeds"].items()),
        "seconds": str(entry["seconds"]),
    }
    values = [result["one_step"].get(label, {}).get(key) for key, _ in COLUMNS]
    return {"label": label, "kind": kind, "values": values, "lead": last, "late": late, "facts": facts}


def _value(entry: Mapping[str, Any] | None) -> float | None:
    return None if entry is None else entry["value"]
