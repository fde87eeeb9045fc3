"""``ai4land inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from ai4land_coupler.cli.terminal import out, sheet_table, size


@click.command(short_help="Show what a store contains, or verify its files.")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Also read all committed data and check their checksums.")
def inspect(store: Path, verify: bool) -> None:
    """Show the years, arrays and sizes of an output store or a prepared store."""
    from ai4land_coupler.component.performance import read_sheets
    from ai4land_coupler.experiments.prepare import inspect_prepared, is_prepared
    from ai4land_coupler.inputs.mended_log import read_mended
    from ai4land_coupler.store.output import inspect as inspect_store

    if is_prepared(store):
        _print_prepared(inspect_prepared(store, verify=verify), verify)
        return
    facts = inspect_store(store, verify=verify)
    committed = facts["committed"]
    out.print(f"store: {facts['path']}", markup=False, soft_wrap=True)
    out.print(f"land grid: {facts['grid']}; legend {facts['legend']}", markup=False)
    span = f", {committed[0]} to {committed[-1]}" if committed else ""
    out.print(f"years: {len(committed)} of {len(facts['years'])} committed{span}")
    table = Table(box=None, pad_edge=False)
    for column in ("array", "shape", "units", "on disk"):
        table.add_column(column, justify="right" if column == "on disk" else "left")
    for name, array in facts["arrays"].items():
        table.add_row(name, " x ".join(map(str, array["shape"])), array["units"] or "", size(array["bytes"]))
    out.print(table)
    out.print(f"in all {size(facts['bytes'])}")
    for sheet in read_sheets(store):
        out.print(sheet_table(sheet))
    quality = read_mended(store)
    for fault, count in (quality["total"] if quality else {}).items():
        out.print(f"mended while reading: {fault}: {count}", markup=False)
    if verify:
        out.print(f"[green]{facts['files_verified']} files verified[/]")


def _print_prepared(facts: dict[str, Any], verify: bool) -> None:
    out.print(f"prepared store: {facts['path']}", markup=False, soft_wrap=True)
    out.print(f"land grid: {facts['land']}; legend {facts['legend']}", markup=False)
    out.print(f"forcing grid: {facts['forcing'] or 'none'}", markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("array", "years", "units", "from", "on disk"):
        table.add_column(column, justify="right" if column == "on disk" else "left")
    for name, array in facts["arrays"].items():
        if array["source"] is not None:
            years = array["years"]
            span = "" if years is None else f"{len(years)}, {years[0]} to {years[-1]}"
            table.add_row(name, span, array["units"] or "", array["source"], size(array["bytes"]))
    out.print(table)
    for fault, count in facts["quality"].items():
        out.print(f"mended while reading: {fault}: {count}", markup=False)
    for item in facts["inputs"]:
        out.print(f"from {item['name']} sha256 {item.get('sha256', 'unknown')}", markup=False, soft_wrap=True)
    out.print(f"in all {size(facts['bytes'])}")
    if verify:
        out.print(f"[green]{facts['files_verified']} files verified[/]")
