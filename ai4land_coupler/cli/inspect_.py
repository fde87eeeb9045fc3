"""``ai4land inspect``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from ai4land_coupler.cli.terminal import out, size


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Read every committed chunk and check its checksum.")
def inspect(store: Path, verify: bool) -> None:
    """What a store holds: years, arrays, sizes; with --verify, whether every byte is sound."""
    from ai4land_coupler.store import inspect as inspect_store

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
    if verify:
        out.print(f"[green]{facts['files_verified']} files verified[/]")
