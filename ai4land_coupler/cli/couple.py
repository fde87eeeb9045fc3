"""``ai4land couple``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ai4land_coupler.cli.options import config_argument, set_option
from ai4land_coupler.cli.terminal import abort_other_ranks, out, report_error
from ai4land_coupler.errors import Ai4LandError


@click.command()
@config_argument
@set_option
@click.option("--component", default="ai4land", show_default=True, help="Name of this component in YAC.")
@click.option("--grid", help="Entry of the configuration's hosts; default: the only one.")
@click.option(
    "--calendar",
    type=click.Choice(["proleptic_gregorian", "noleap", "360_day"]),
    default="proleptic_gregorian",
    show_default=True,
    help="The calendar of the coupled run.",
)
@click.option(
    "--coupling", type=click.Path(path_type=Path), metavar="YAML", help="YAC's configuration file, to read here."
)
@click.option(
    "--restart-from", "restart", type=click.Path(path_type=Path), help="Continue from a restart of this folder."
)
@click.option("--check", is_flag=True, help="Only look at what YAC would end the job for.")
def couple(config: Path, overrides: tuple[str, ...], check: bool, **options: Any) -> None:
    """Take part in a run that YAC couples: mpiexec -n 2 ai4land couple CONFIG : -n 16 MODEL.

    Exports are fields of one host grid, put each year; imports are got each month (docs/coupling.md).
    """
    from ai4land_coupler.config.sections import load_config
    from ai4land_coupler.interfaces import yac as yac_component

    try:
        settings, choice = load_config(config, overrides), yac_component.YacOptions(**options)
        if check:
            grid = yac_component.check(settings, choice)
            out.print(f"ready: component {choice.component}, grid {grid}", markup=False)
            return
        yac_component.couple(settings, choice)
    except Ai4LandError as error:
        # the other programs of the job wait in YAC and would wait for ever
        report_error(str(error), everywhere=True)
        abort_other_ranks()
        raise SystemExit(error.exit_code) from error
