"""``ai4land plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from ai4land_coupler.cli.options import config_argument, configurations, part_option, set_option
from ai4land_coupler.cli.terminal import duration, out, print_part, size

if TYPE_CHECKING:
    from ai4land_coupler.config.sections import Config


@click.command(short_help="Estimate memory, disk and time of a run.")
@config_argument
@set_option
@click.option("--ranks", default=1, show_default=True, help="Number of MPI ranks of the run.")
@part_option
def plan(config: Path, overrides: tuple[str, ...], ranks: int, part: str | None) -> None:
    """Estimate tiles, memory, disk and time of a run. Predicts one tile and scales up."""
    for name, settings in configurations(config, overrides, part).items():
        print_part(name)
        _print_cost(settings, ranks)


def _print_cost(settings: Config, ranks: int) -> None:
    from ai4land_coupler.preflight.cost import estimate_cost

    estimate = estimate_cost(settings, ranks)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("land grid", str(estimate.grid))
    table.add_row("blocks", f"{estimate.blocks}, {estimate.land_blocks} of them with land")
    table.add_row(
        "largest tile",
        f"core {estimate.core[0]} x {estimate.core[1]}, window {estimate.window[0]} x {estimate.window[1]}",
    )
    table.add_row("useful share", f"{100 * estimate.useful:.0f} % of the cells that are predicted")
    table.add_row("steps", f"{estimate.steps}")
    table.add_row(
        "memory",
        f"about {size(estimate.memory)} per rank on {ranks} {'rank' if ranks == 1 else 'ranks'}, before regrid weights",
    )
    table.add_row("disk", f"about {size(estimate.disk)} for the store")
    table.add_row("time", f"about {duration(estimate.seconds)}, after the start and the regrid weights")
    out.print(table)
    for text in estimate.advice:
        out.print(f"warning: {text}", markup=False, soft_wrap=True)
