"""What all benchmarks share: interleaved pairs, the cost of a process, and a report as text and as JSON.

A program makes a :class:`Report`, adds rows to it and ends it::

    options = arguments(__doc__).parse_args()
    report = Report("aggregate", options)
    report.ratio("codes / a field a class", pairs(by_codes, by_fields), goal=at_most(0.25))
    report.end()

A goal that is not met is no failure of the program. With ``--json FILE`` the report is also written to a file, and
``benchmarks/run_all.py`` collects these files.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ai4land_coupler.store.provenance import instruction_set

#: Distributions whose versions a report names, if they are installed.
DISTRIBUTIONS = ("ai4land_coupler", "numpy", "torch", "zarr")
#: Widths of the columns of the table, and its heads.
WIDTHS = (52, 22, 20, 18, 4)
HEADS = ("what", "measured", "spread", "goal", "met")


@dataclass(frozen=True)
class Goal:
    """A limit, and whether the measured value must be ``at least`` or ``at most`` as large."""

    limit: float
    direction: str

    def __str__(self) -> str:
        return f"{self.direction} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.direction == "at least" else value <= self.limit


def at_least(limit: float) -> Goal:
    return Goal(limit, "at least")


def at_most(limit: float) -> Goal:
    return Goal(limit, "at most")


@dataclass(frozen=True)
class Pairs:
    """Seconds of two sides that were measured in turns; item i of both belongs to pair i."""

    ours: Sequence[float]
    other: Sequence[float]

    def ratios(self, *, speed: bool = False) -> list[float]:
        """Time of ours by time of the other side, pair by pair; with ``speed`` the other way around."""
        return [b / a if speed else a / b for a, b in zip(self.ours, self.other, strict=True)]


def seconds(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call (s)."""
    begin = clock()
    function()
    return clock() - begin


def pairs(
    ours: Callable[[], object],
    other: Callable[[], object],
    repeat: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> Pairs:
    """Time two functions in turns. Each is called once before. The order changes from pair to pair."""
    ours()
    other()
    found: dict[Callable[[], object], list[float]] = {ours: [], other: []}
    for number in range(repeat):
        for side in (ours, other) if number % 2 == 0 else (other, ours):
            found[side].append(seconds(side, clock))
    return Pairs(found[ours], found[other])


@dataclass(frozen=True)
class ProcessCost:
    """Cost of a whole process: processor seconds, wall seconds, peak resident memory (bytes), its last line."""

    cpu: float
    wall: float
    memory: int
    last: str


def process_cost(command: Sequence[str | Path]) -> ProcessCost:
    """Run a process and measure its cost. ``RuntimeError`` if it fails."""
    begin = time.perf_counter()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = child.stdout.read().strip().splitlines()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    if child.returncode:
        raise RuntimeError(f"exit status {child.returncode} of {' '.join(map(str, command))}")
    return ProcessCost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss * 1024, lines[-1] if lines else "")


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options of all benchmarks."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report to this file")
    return parser


@dataclass
class Row:
    """One line of a report.

    Attributes
    ----------
    low, high:
        Smallest and largest value of the repetitions; ``None`` for a single measurement.
    sides:
        Median of each side of a ratio, in the unit ``side_unit``.
    """

    what: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    sides: dict[str, float] = field(default_factory=dict)
    side_unit: str = "s"
    goal: Goal | None = None
    met: bool | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> Row:
        """A row of a JSON file."""
        goal = content["goal"]
        return cls(**content | {"goal": None if goal is None else Goal(**goal)})


class Report:
    """Rows and notes of one program. Prints each when it is added.

    Parameters
    ----------
    options:
        Parsed arguments of :func:`arguments`.
    threads:
        Threads that the measured code may use.
    """

    def __init__(self, program: str, options: argparse.Namespace, threads: int = 1) -> None:
        self._file: Path | None = options.json
        self.content: dict[str, Any] = {
            "program": program,
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "threads": threads,
            "versions": versions(),
        }
        self.rows: list[Row] = []
        self.notes: list[str] = []
        facts = self.content["machine"]
        cores = f"{facts['cores']} {'core' if facts['cores'] == 1 else 'cores'}"
        print(
            f"{program}: {facts['cpu']}, {cores}, {facts['instruction_set']}, load before {facts['load']:.1f}, ", end=""
        )
        print(f"{threads} {'thread' if threads == 1 else 'threads'}")
        print(", ".join(f"{name} {version}" for name, version in self.content["versions"].items()))
        print(table_line(HEADS), flush=True)

    def add(self, row: Row) -> None:
        """Add a row and print it, with the sides of a ratio below it."""
        if row.goal is not None:
            row.met = row.goal.is_met(row.value)
        self.rows.append(row)
        for line in row_lines(row):
            print(line, flush=True)

    def value(self, what: str, value: float, unit: str = "", goal: Goal | None = None) -> None:
        """A single figure."""
        self.add(Row(what, float(value), unit, goal=goal))

    def values(self, what: str, found: Sequence[float], unit: str = "", goal: Goal | None = None) -> None:
        """The median of several figures."""
        self.add(Row(what, statistics.median(found), unit, min(found), max(found), goal=goal))

    def ratio(
        self,
        what: str,
        found: Pairs,
        *,
        names: tuple[str, str] = ("ours", "other"),
        speed: bool = False,
        work: float | None = None,
        unit: str = "s",
        goal: Goal | None = None,
    ) -> float:
        """The median ratio of pairs, with the median of both sides.

        Parameters
        ----------
        speed:
            Divide speeds, not times.
        work:
            What one call does, such as its number of cells: the sides are then ``work`` by time, in ``unit``.
        """
        ratios = found.ratios(speed=speed)
        medians = [statistics.median(side) for side in (found.ours, found.other)]
        sides = dict(zip(names, medians if work is None else [work / m for m in medians], strict=True))
        value = statistics.median(ratios)
        self.add(Row(what, value, "", min(ratios), max(ratios), sides, unit, goal))
        return value

    def process(self, what: str, cost: ProcessCost) -> None:
        """The cost of a process."""
        print(f"{what}: {cost.last}" if cost.last else what)
        self.value(f"  {what}, processor time", cost.cpu, "s")
        self.value(f"  {what}, wall time", cost.wall, "s")
        self.value(f"  {what}, peak memory", cost.memory / 1e6, "MB")

    def note(self, text: str) -> None:
        """A sentence, such as why something was not measured."""
        self.notes.append(text)
        print(text, flush=True)

    def end(self) -> None:
        """Write the JSON file, if one is wanted."""
        self.content |= {"rows": [asdict(row) for row in self.rows], "notes": self.notes}
        if self._file is not None:
            self._file.write_text(json.dumps(self.content, indent=1) + "\n")


def table_line(columns: Sequence[str]) -> str:
    """One line of a table as text."""
    return "  ".join(text.ljust(width) for text, width in zip(columns, WIDTHS, strict=True)).rstrip()


def row_lines(row: Row) -> list[str]:
    """A row of a report as lines of the table."""
    spread = "" if row.low is None or row.high is None else f"{number(row.low)} to {number(row.high)}"
    met = "" if row.met is None else "yes" if row.met else "no"
    measured = f"{number(row.value)} {row.unit}".rstrip()
    lines = [table_line((row.what, measured, spread, "" if row.goal is None else str(row.goal), met))]
    return lines + [
        table_line((f"  {name}", f"{number(side)} {row.side_unit}", "", "", "")) for name, side in row.sides.items()
    ]


def number(value: float) -> str:
    """A number with three significant digits, large ones without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, load of the last minute, instruction set."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": cpu, "cores": cores, "load": os.getloadavg()[0], "instruction_set": instruction_set()}


def versions() -> dict[str, str]:
    """Versions of Python and of the distributions that matter."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
