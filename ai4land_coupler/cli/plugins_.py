"""``ai4land plugins``."""

from __future__ import annotations

import click
from rich.table import Table

from ai4land_coupler.cli.terminal import out


@click.command(short_help="List the installed plugins.")
def plugins() -> None:
    """List the installed predictors, adapters and regridding backends, and plugins that failed to load."""
    from ai4land_coupler.registry.loading import load_plugins

    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "from", "what it is"):
        table.add_column(column, overflow="fold")
    for row in load_plugins().describe():
        style = "red" if row.kind == "failed" else None
        table.add_row(row.kind, row.name or row.plugin, f"{row.distribution} {row.version}", row.summary, style=style)
    out.print(table)
