"""``ai4land plan``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from ai4land_coupler.cli.options import config_argument, set_option
from ai4land_coupler.cli.terminal import duration, out, size


@click.command(short_help="Estimate memory, disk and time of a run.")
@config_argument
@set_option
@click.option("--ranks", default=1, show_default=True, help="Number of MPI ranks of the run.")
def plan(config: Path, overrides: tuple[str, ...], ranks: int) -> None:
    """Estimate tiles, memory, disk and time of a run. Predicts one tile and scales up."""
    from ai4land_coupler.config.sections import load_config
    from ai4land_coupler.preflight.cost import expect

    expected = expect(load_config(config, overrides), ranks)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("land grid", str(expected.grid))
    table.add_row("blocks", f"{expected.blocks}, {expected.land_blocks} of them with land")
    table.add_row(
        "largest tile",
        f"core {expected.core[0]} x {expected.core[1]}, window {expected.window[0]} x {expected.window[1]}",
    )
    table.add_row("useful share", f"{100 * expected.useful:.0f} % of the cells that are predicted")
    table.add_row("steps", f"{expected.steps}")
    table.add_row(
        "memory",
        f"about {size(expected.memory)} per rank on {ranks} {'rank' if ranks == 1 else 'ranks'}, before regrid weights",
    )
    table.add_row("disk", f"about {size(expected.disk)} for the store")
    table.add_row("time", f"about {duration(expected.seconds)}, after the start and the regrid weights")
    out.print(table)
