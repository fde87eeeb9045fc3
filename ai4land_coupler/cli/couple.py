"""``ai4land couple``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ai4land_coupler.cli.options import config_argument, one_configuration, part_option, set_option
from ai4land_coupler.cli.terminal import abort_other_ranks, out, report_error
from ai4land_coupler.errors import Ai4LandError


@click.command(short_help="Run as a component of a model coupled by YAC.")
@config_argument
@set_option
@click.option("--component", default="ai4land", show_default=True, help="Name of this component in YAC.")
@click.option("--grid", help="Name of the host grid, as under `hosts` in CONFIG. Not needed if there is only one.")
@click.option(
    "--calendar",
    type=click.Choice(["proleptic_gregorian", "noleap", "360_day"]),
    default="proleptic_gregorian",
    show_default=True,
    help="The calendar of the coupled run.",
)
@click.option(
    "--coupling",
    type=click.Path(path_type=Path),
    metavar="YAML",
    help="Configuration file of YAC that this component shall read.",
)
@click.option(
    "--restart-from",
    "restart",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Continue from the newest restart in this folder.",
)
@part_option
@click.option("--check", is_flag=True, help="Only check what would make YAC abort the job, then stop.")
def couple(config: Path, overrides: tuple[str, ...], part: str | None, check: bool, **options: Any) -> None:
    """Run as a component of a coupled model that uses YAC.

    Start it with the other components: mpiexec -n 2 ai4land couple CONFIG : -n 16 MODEL

    It sends the fields of one host grid each year and receives the host's fields each month (docs/yac.md).
    """
    from ai4land_coupler.interfaces import yac as yac_component

    try:
        settings = one_configuration(config, overrides, part)
        choice = yac_component.YacOptions(**options)
        if check:
            grid, notes = yac_component.check(settings, choice)
            for note in notes:
                out.print(f"grid {grid}: {note}", markup=False)
            out.print(f"ready: component {choice.component}, grid {grid}", markup=False)
            return
        yac_component.couple(settings, choice)
    except Ai4LandError as error:
        # The other programs of the job wait for this one in YAC and would wait for ever.
        report_error(str(error), everywhere=True)
        abort_other_ranks()
        raise SystemExit(error.exit_code) from error
