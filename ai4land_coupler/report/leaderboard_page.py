"""The page of a folder of entries of the benchmarks: a table for each benchmark, best first."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ai4land_coupler.report.evaluation_page import entry_of, figure, page_of, section, write_page_text
from ai4land_coupler.report.svg import COLOURS, intervals


def write_leaderboard(boards: Sequence[Mapping[str, Any]], target: Path) -> Path:
    """Write the page of a folder of entries.

    Parameters
    ----------
    boards:
        From :func:`ai4land_coupler.experiments.benchmark.leaderboard.boards`.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    sections = [_board(board) for board in boards]
    lead = "One step, and the last lead of the free runs. Baselines are judged with every entry."
    return write_page_text(page_of("Leaderboard", lead, sections), target)


def _board(board: Mapping[str, Any]) -> str:
    late = next((row["lead"] for row in board["rows"] if row["lead"]), None)
    columns = [*board["columns"], *([f"figure of merit after {late} years of a free run"] if late else [])]
    heads = "".join(f"<th>{html.escape(title)}</th>" for title in columns)
    body = ""
    for row in board["rows"]:
        values = [*row["values"], *([row["late"]] if late else [])]
        cells = "".join(f"<td>{entry_of(value)}</td>" for value in values)
        kind = "" if row["kind"] == "predictor" else f" <small>({row['kind']})</small>"
        body += f'<tr><th scope="row">{html.escape(row["label"])}{kind}</th>{cells}</tr>'
    table = f'<table class="values wrapped"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>'
    rows = [
        (int(number), row["label"], row["values"][0]) for number, row in enumerate(board["rows"]) if row["values"][0]
    ]
    chart = intervals(
        board["columns"][0],
        [(label, number % COLOURS, (v["value"], v["low"], v["high"])) for number, label, v in rows],
        zero=True,
    )
    facts = "".join(
        f'<details class="card"><summary>{html.escape(row["label"])}</summary><table class="pairs">'
        + "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(text)}</td></tr>"
            for key, text in row["facts"].items()
            if text
        )
        + "</table></details>"
        for row in board["rows"]
        if row["kind"] == "predictor"
    )
    hint = "Data: " + "; ".join(f"{key} {value[:16]}" for key, value in board["hashes"].items())
    if board["oracle"]:
        leads = ", ".join(f"{value:.3f} after {lead} years" for lead, value in board["oracle"].items())
        hint += f". Figure of merit of the oracle, which knows the rules and the amounts: {leads}."
    charts = f'<div class="pair">{figure(board["columns"][0], chart)}</div>' if rows else ""
    return section(board["title"], hint, charts + f'<div class="card scroll">{table}</div>{facts}')
