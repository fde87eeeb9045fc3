"""``ai4land check``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ai4land_coupler.cli.options import config_argument, configurations, part_option, set_option
from ai4land_coupler.cli.terminal import out, print_part, progress_bar

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ai4land_coupler.preflight.input_report import InputReport, VariableReport


@click.command(short_help="Check the values in all inputs of a run.")
@config_argument
@set_option
@click.option(
    "--years",
    type=click.Choice(["ends", "all"]),
    default="all",
    show_default=True,
    help="Years of the forcing to read: all that the run reads, or the first and the last (less time, less certain).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; with parts, a report for each part.")
@part_option
def check(config: Path, overrides: tuple[str, ...], years: str, as_json: bool, part: str | None) -> int:
    """Read the inputs of a run and report ranges, gaps, sums and years.

    Lists the values that the run would mend, warnings, and all faults that would stop it. Exit code 2 if there is such
    a fault.
    """
    from ai4land_coupler.preflight.inputs import check_inputs

    reports = {}
    with progress_bar() as bar:
        for name, settings in configurations(config, overrides, part).items():
            task = bar.add_task("reading", total=1.0)

            def advance(share: float, what: str, task: TaskID = task) -> None:
                bar.update(task, completed=share, description=what)

            reports[name] = check_inputs(settings, cast(Literal["ends", "all"], years), advance)
            bar.update(task, completed=1.0, description="read")
    if as_json:
        contents = {name: report.as_json() for name, report in reports.items()}
        click.echo(json.dumps(contents.get("", contents), indent=1))
    else:
        for name, report in reports.items():
            print_part(name)
            _print(report)
    return 2 if any(report.faults for report in reports.values()) else 0


def _print(report: InputReport) -> None:
    for line in report.adapters:
        out.print(line, markup=False, soft_wrap=True)
        for said in report.descriptions.get(line, "").splitlines():
            out.print(f"  {said}", markup=False, highlight=False, soft_wrap=True)
    for kind in ("forcing", "static", "climate"):
        lines = [line for line in report.variables if line.kind == kind]
        if lines:
            out.print(_table(kind, lines))
    for label, (low, high) in report.closure.items():
        out.print(f"{label} fractions of a cell add up to {low:.4g} to {high:.6g}")
    for fault, count in report.mended.items():
        out.print(f"counted while reading: {fault}: {count}", markup=False)
    for text in report.warnings:
        out.print(f"[yellow]warning:[/] {escape(text)}", highlight=False, soft_wrap=True)
    for fault in report.faults:
        out.print(Panel(Text(fault), title="fault", title_align="left", border_style="red"))
    if not report.faults:
        count = len(report.warnings)
        noted = "" if not count else ", with one warning" if count == 1 else f", with {count} warnings"
        out.print(f"[green]the inputs are good[/]{noted} (quality.policy: {report.policy})")
    else:
        number = "one fault" if len(report.faults) == 1 else f"{len(report.faults)} faults"
        out.print(f"[red]the run would stop: {number}[/] (quality.policy: {report.policy})")


def _table(kind: str, lines: list[VariableReport]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in (kind, "units", "from", "years", "read"):
        table.add_column(column, overflow="fold")
    for column in ("lowest", "highest", "land without data"):
        table.add_column(column, justify="right")
    for line in lines:
        read = "" if not line.read else f"{line.read[0]}-{line.read[-1]} ({len(line.read)})"
        numbers = ["none" if math.isnan(x) else f"{x:.4g}" for x in (line.low, line.high)]
        missing = "" if math.isnan(line.missing) else f"{100 * line.missing:.2f} %"
        adapters = ", ".join(source.partition(" (")[0] for source in line.sources)
        table.add_row(line.name, line.units, adapters, ", ".join(line.available), read, *numbers, missing)
    return table
