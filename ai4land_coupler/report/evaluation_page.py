"""The page of an evaluation: charts, maps and tables in one HTML file, without scripts. It loads nothing else."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import RunError
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.report.svg import COLOURS, Axis, Series, axis_of, intervals, lines
from ai4land_coupler.report.web_page import page_part, source_of
from ai4land_coupler.version import __version__

#: What a cell of a picture of change shows: name and colour, by its number.
OUTCOMES = (
    ("not judged", "#dfe9ef"),
    ("no change", "#f1eee6"),
    ("missed change", "#3b5fb0"),
    ("false alarm", "#e39a2d"),
    ("wrong class", "#8a3d8f"),
    ("hit", "#12805f"),
)
#: Measures of the charts: key, title, whether the axis begins at 0.
HEADLINES = (
    ("amount.merit", "Figure of merit, observed amount by class and forcing cell", True),
    ("scenario.merit", "Figure of merit, as a run with the scenario", True),
    ("argmax.mean_iou", "Mean IoU, most likely class", False),
    ("average_precision", "Average precision of change", True),
)
LEADS = (
    ("map.merit", "Figure of merit of change since the first year"),
    ("map.mean_iou", "Mean IoU"),
    ("map.skill", "Skill over persistence"),
    ("map.edge", "Edge density / observed"),
)


def write_evaluation_page(
    result: Mapping[str, Any],
    tables: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, NDArray[np.uint8]],
    target: Path,
) -> Path:
    """Write the page of an evaluation.

    Parameters
    ----------
    result, tables, pictures:
        The result as JSON, the contents of its tables, and numbers of :data:`OUTCOMES` by label.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    colours = {label: i % COLOURS for i, label in enumerate(result["judged"])}
    sections = [
        _headlines(result, colours),
        _maps(pictures),
        _reliability(result, colours),
        _by_lead(result, colours),
        *(_table(result, content) for content in tables),
    ]
    return write_page_text(page_of(str(result["title"]), _lead(result), sections), target)


def page_of(title: str, lead: str, sections: Sequence[str]) -> str:
    """An HTML page with the style of the project. ``title`` and ``lead`` are text, ``sections`` are HTML."""
    style = page_part("page.css") + page_part("evaluation.css")
    policy = f"default-src 'none'; style-src '{source_of(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    name = html.escape(title)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><title>{name}</title><style>{style}</style></head>
<body><header><p class="eyebrow">Evaluation of predicted land change</p><h1>{name}</h1>
<p class="lead">{html.escape(lead)}</p></header>
<main>{"".join(sections)}</main>
<footer>ai4land_coupler {html.escape(__version__)}. This file holds everything that it shows.</footer>
</body></html>
"""


def section(title: str, hint: str, body: str) -> str:
    """A section of a page; nothing if it is empty."""
    return (
        f'<section><h2>{html.escape(title)}</h2><p class="hint">{html.escape(hint)}</p>{body}</section>' if body else ""
    )


def figure(title: str, chart: str) -> str:
    """A chart with its title."""
    return f'<figure class="card"><figcaption>{html.escape(title)}</figcaption>{chart}</figure>'


def _lead(result: Mapping[str, Any]) -> str:
    pairs = result["pairs"]
    text = f"Steps of {result['step']}, {result['direction']} in time. "
    if "one_step" in result:
        text += f"{len(pairs)} pairs of maps, {pairs[0][0]} to {pairs[-1][1]}: "
        text += f"{100 * (result['change'] or 0):.3g} % of the land changes in a step. "
    return text + f"Intervals hold {100 * result['level']:.0f} % of the samples of a bootstrap over blocks of land."


def _headlines(result: Mapping[str, Any], colours: Mapping[str, int]) -> str:
    charts = []
    for key, title, zero in HEADLINES:
        rows = [
            (label, colours[label], (entry["value"], entry["low"], entry["high"]))
            for label, values in result.get("one_step", {}).items()
            if (entry := values.get(key)) is not None and entry["value"] is not None
        ]
        if rows:
            charts.append(figure(title, intervals(title, rows, zero)))
    body = f'<div class="pair">{"".join(charts)}</div>' if charts else ""
    return section("One step at a glance", "Points are values, lines are intervals.", body)


def _maps(pictures: Mapping[str, NDArray[np.uint8]]) -> str:
    swatches = "".join(
        _key(f'<svg viewBox="0 0 10 10" aria-hidden="true"><rect width="10" height="10" fill="{colour}"/></svg>', name)
        for name, colour in OUTCOMES
    )
    maps = "".join(
        figure(label, f'<img alt="Hits, misses and false alarms of {html.escape(label)}" src="{_png(values)}">')
        for label, values in pictures.items()
    )
    body = f'<ul class="key">{swatches}</ul><div class="maps">{maps}</div>' if maps else ""
    return section("Where change was found", "The last step, at the observed amount of change.", body)


def _png(values: NDArray[np.uint8]) -> str:
    """A picture as a data URL; small ones are enlarged."""
    from matplotlib.colors import to_rgb
    from matplotlib.image import imsave

    palette = np.array([np.round(np.multiply(to_rgb(colour), 255)) for _, colour in OUTCOMES], np.uint8)
    larger = max(1, 480 // max(values.shape))
    stream = io.BytesIO()
    imsave(stream, palette[values.repeat(larger, 0).repeat(larger, 1)], format="png")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _reliability(result: Mapping[str, Any], colours: Mapping[str, int]) -> str:
    least, ticks = 1e-4, (1e-4, 1e-3, 1e-2, 0.1, 1)
    series, x, y = (
        [],
        Axis(least, 1, "predicted probability of change", ticks, True),
        Axis(least, 1, "observed share", ticks, True),
    )
    for label, table in result.get("reliability", {}).items():
        points = [(row[1], row[2], None, None) for row in table if row[0] and row[1] is not None and row[2] is not None]
        series.append(Series(label, colours[label], [p for p in points if p[0] >= least and p[1] >= least]))
    if not series:
        return ""
    chart = lines("Observed share of change by predicted probability", series, x, y, diagonal=True)
    body = _names(series) + f'<div class="pair">{figure("Reliability of the probability of change", chart)}</div>'
    return section(
        "Reliability", "On the dashed line, change is as frequent as predicted. Both axes are logarithmic.", body
    )


def _by_lead(result: Mapping[str, Any], colours: Mapping[str, int]) -> str:
    charts, shown = [], []
    for key, title in LEADS:
        series = []
        for label in result["judged"]:
            points = [
                (float(lead), entry["value"], entry["low"], entry["high"])
                for lead, values in result.get("leads", {}).items()
                if (entry := values.get(label, {}).get(key)) is not None and entry["value"] is not None
            ]
            if points:
                series.append(Series(label, colours[label], points))
        if series:
            values = [v for one in series for _, *its in one.points for v in its if v is not None and math.isfinite(v)]
            x = axis_of([px for one in series for px, *_ in one.points], "lead (years)", zero=True, whole=True)
            charts.append(figure(title, lines(title, series, x, axis_of(values, ""))))
            shown = series
    body = _names(shown) + f'<div class="pair">{"".join(charts)}</div>' if charts else ""
    return section(
        "Skill by lead",
        "Free runs: each step starts from the map that the step before made. Bands are intervals.",
        body,
    )


def _names(series: Sequence[Series]) -> str:
    """The key of a chart."""
    mark = '<svg class="chart" viewBox="0 0 10 10" aria-hidden="true"><circle class="s{}" cx="5" cy="5" r="5"/></svg>'
    return f'<ul class="key">{"".join(_key(mark.format(one.colour), one.name) for one in series)}</ul>'


def _key(mark: str, name: str) -> str:
    return f"<li>{mark}{html.escape(name)}</li>"


def _table(result: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    labels = content["labels"]
    heads = "".join(f"<th>{html.escape(label)}</th>" for label in labels)
    rows = []
    for heading, its in content["rows"]:
        rows.append(f'<tr class="heading"><th scope="row" colspan="{len(labels) + 2}">{html.escape(heading)}</th></tr>')
        for name, entries in its:
            cells = "".join(f"<td>{entry_of(entry)}</td>" for entry in entries)
            rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}{_difference(labels, entries)}</tr>')
    table = (
        f'<table class="values"><thead><tr><th></th>{heads}<th>minus best baseline</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    hint = f"Values with their {100 * result['level']:.0f} % intervals."
    return section(content["title"], hint, f'<div class="card scroll">{table}</div>')


def entry_of(entry: Mapping[str, Any] | None) -> str:
    """A value and its interval, as HTML."""
    if entry is None or entry["value"] is None:
        return "&ndash;"
    ends = "" if entry["low"] is None else f" <small>{_number(entry['low'])} to {_number(entry['high'])}</small>"
    return _number(entry["value"]) + ends


def _difference(labels: Sequence[str], entries: Sequence[Mapping[str, Any] | None]) -> str:
    texts = [
        f"{html.escape(label)}: {entry_of(entry['difference'])} ({html.escape(entry['baseline'])})"
        for label, entry in zip(labels, entries, strict=True)
        if entry is not None and entry.get("difference") and entry["difference"]["value"] is not None
    ]
    return f"<td>{'<br>'.join(texts)}</td>"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.1e}"


def write_page_text(text: str, target: Path) -> Path:
    """Write a page; ``RunError`` if writing to disk fails."""
    try:
        write_durably(target, text.encode())
    except OSError as error:
        raise RunError(
            "the page could not be written", found=error, where=target, remedy="choose another folder with -o"
        ) from error
    return target
