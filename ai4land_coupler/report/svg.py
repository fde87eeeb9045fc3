"""Charts as SVG text, without scripts: lines with intervals, and points with intervals.

Colours come from the style of the page (``.s0`` to ``.s7`` for series), so that they fit a light and a dark page.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: A value with the ends of its interval; ``None`` where undefined.
Interval = tuple[float | None, float | None, float | None]
#: Number of colours in the style.
COLOURS = 8


@dataclass(frozen=True)
class Series:
    """One line: its name, its colour (0 to 7), and points (x, value, low, high)."""

    name: str
    colour: int
    points: Sequence[tuple[float, float | None, float | None, float | None]]

    def known(self) -> list[tuple[float, float]]:
        """The points that have a value."""
        return [(x, y) for x, y, _, _ in self.points if y is not None]


@dataclass(frozen=True)
class Axis:
    """An axis: its range, its label, the values that are marked, and whether it is logarithmic."""

    low: float
    high: float
    label: str
    ticks: Sequence[float]
    log: bool = False

    def place(self, start: float, end: float) -> Callable[[float], float]:
        """Turns values into places between two ends. Values beyond the range lie on its ends."""
        scale = math.log10 if self.log else float

        def at(value: float) -> float:
            value = min(max(value, self.low), self.high)
            share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
            return round(start + share * (end - start), 1)

        return at


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two values, at most ``most`` + 1 of them."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def axis_of(values: Sequence[float], label: str, *, zero: bool = False, whole: bool = False) -> Axis:
    """An axis that holds all values, with a small margin. ``whole``: mark whole numbers only."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = (low if zero and low == 0 else low - margin), high + margin
    ticks = nice_ticks(low, high)
    return Axis(low, high, label, [tick for tick in ticks if not whole or float(tick).is_integer()])


def lines(label: str, series: Sequence[Series], x: Axis, y: Axis, *, diagonal: bool = False) -> str:
    """Lines with points, and with their intervals as bands. ``diagonal``: draw the line y = x."""
    width, height, left, right, top, bottom = 520, 300, 58, 12, 10, 42
    at_x, at_y = x.place(left, width - right), y.place(height - bottom, top)
    parts = [_start(label, width, height)]
    for tick in y.ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{at_y(tick)}" y2="{at_y(tick)}"/>')
        parts.append(_text(left - 6, at_y(tick) + 4, short(tick), "end"))
    for tick in x.ticks:
        parts.append(f'<line class="grid" x1="{at_x(tick)}" x2="{at_x(tick)}" y1="{top}" y2="{height - bottom}"/>')
        parts.append(_text(at_x(tick), height - bottom + 16, short(tick), "middle"))
    parts.append(_text((left + width - right) / 2, height - 6, x.label, "middle"))
    parts.append(_text(left, top + 2, y.label, "start", "name"))
    if diagonal:
        ends = max(x.low, y.low), min(x.high, y.high)
        parts.append(f'<polyline class="demand" points="{_points([(at_x(v), at_y(v)) for v in ends])}"/>')
    for one in series:
        band = [(px, low, high) for px, _, low, high in one.points if low is not None and high is not None]
        there = [(at_x(px), at_y(high)) for px, _, high in band]
        back = [(at_x(px), at_y(low)) for px, low, _ in reversed(band)]
        if len(band) > 1:
            parts.append(f'<polygon class="band s{one.colour}" points="{_points(there + back)}"/>')
    for one in series:
        placed = [(at_x(px), at_y(value)) for px, value in one.known()]
        parts.append(f'<polyline class="line s{one.colour}" points="{_points(placed)}"/>')
        parts += [f'<circle class="s{one.colour}" cx="{px}" cy="{py}" r="2.6"/>' for px, py in placed]
    return "".join([*parts, "</svg>"])


def intervals(label: str, rows: Sequence[tuple[str, int, Interval]], zero: bool = False) -> str:
    """One row for each name: a point and its interval. ``zero``: begin the axis at 0, and mark it."""
    width, left, right, step, top = 520, 150, 14, 24, 8
    height = top + step * len(rows) + 26
    values = [value for _, _, interval in rows for value in interval if value is not None]
    x = axis_of(values, "", zero=zero)
    at = x.place(left, width - right)
    parts = [_start(label, width, height)]
    for tick in x.ticks:
        parts.append(f'<line class="grid" x1="{at(tick)}" x2="{at(tick)}" y1="{top}" y2="{height - 24}"/>')
        parts.append(_text(at(tick), height - 8, short(tick), "middle"))
    if zero:
        parts.append(f'<line class="axis" x1="{at(0)}" x2="{at(0)}" y1="{top}" y2="{height - 24}"/>')
    for number, (name, colour, (value, low, high)) in enumerate(rows):
        y = top + step * (number + 0.5)
        parts.append(_text(left - 8, y + 4, name, "end", "name"))
        if low is not None and high is not None:
            parts.append(f'<line class="whisker s{colour}" x1="{at(low)}" x2="{at(high)}" y1="{y}" y2="{y}"/>')
        if value is not None:
            parts.append(f'<circle class="s{colour}" cx="{at(value)}" cy="{y}" r="4.5"/>')
    return "".join([*parts, "</svg>"])


def short(value: float) -> str:
    """A number in as few digits as needed."""
    return f"{value:.4g}"


def _start(label: str, width: float, height: float) -> str:
    return f'<svg class="chart" role="img" aria-label="{html.escape(label)}" viewBox="0 0 {width} {height}">'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)
