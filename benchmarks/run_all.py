"""Runs the benchmarks one after the other, and prints one table of goal, measured, met or not.

    python benchmarks/run_all.py            # the short set: a few minutes on two cores
    python benchmarks/run_all.py --long     # also the long ones: hours, some need sample data or other programs
    python benchmarks/run_all.py step.py "scaling.py --small" --json folder

A program that fails does not stop the others, but the exit status is then 1. A missed goal does not change it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from runner import HEADS, Row, row_lines, table_line

HERE = Path(__file__).parent
SHORT = (
    "aggregate.py",
    "allocation.py",
    "allocation.py --size 1000",
    "encode.py",
    "step.py --small",
    "no_network.py --small",
    "weights.py",
    "gpu.py",
)
LONG = (
    "step.py",
    "no_network.py",
    "scaling.py",
    "apply.py",
    "c_interface.py",
    "prepare.py",
    "globe.py",
    "global_year.py",
    "huge.py",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", help="programs of this folder with their arguments; default: a set")
    parser.add_argument("--long", action="store_true", help="also the long ones")
    parser.add_argument("--json", type=Path, metavar="FOLDER", help="keep the report of each program here")
    options = parser.parse_args()
    commands = options.commands or (*SHORT, *(LONG if options.long else ()))
    with tempfile.TemporaryDirectory() as name:
        folder = options.json or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        reports, failed = run(commands, folder)
    for line in summary(reports, failed):
        print(line)
    sys.exit(1 if failed else 0)


def run(commands: list[str], folder: Path, home: Path = HERE) -> tuple[dict[str, Any], dict[str, int]]:
    """Run the programs. Returns the report of each command that wrote one, and the exit status of each that failed."""
    reports, failed = {}, {}
    for number, command in enumerate(commands):
        print(f"== {command}", flush=True)
        program, *words = shlex.split(command)
        file = folder / f"{number:02d}-{Path(program).stem}.json"
        file.unlink(missing_ok=True)
        status = subprocess.run([sys.executable, home / program, *words, "--json", file], check=False).returncode
        if status:
            failed[command] = status
        if file.is_file():
            reports[command] = json.loads(file.read_text())
    return reports, failed


def summary(reports: dict[str, Any], failed: dict[str, int]) -> list[str]:
    """Lines of the last table: each row that has a goal, each program without one, and each that failed."""
    lines = ["", table_line(HEADS)]
    for command, report in reports.items():
        rows = [Row.of(row) for row in report["rows"]]
        goals = [row for row in rows if row.goal is not None]
        for row in goals:
            row.what, row.sides = f"{report['program']}: {row.what}", {}
            lines += row_lines(row)
        if not goals and command not in failed:
            lines.append(table_line((command, "; ".join(report["notes"]) if not rows else "no goal", "", "", "")))
    lines += [table_line((command, f"FAILED, exit status {status}", "", "", "")) for command, status in failed.items()]
    return lines


if __name__ == "__main__":
    main()
