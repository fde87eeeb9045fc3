"""``ai4land run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from ai4land_coupler.cli.options import config_argument, part_option, refuse_part, set_option
from ai4land_coupler.cli.terminal import duration, out, print_part, progress_bar, rank, sheet_table, size, world
from ai4land_coupler.errors import ConfigError

if TYPE_CHECKING:
    from ai4land_coupler.config.parts import PartsConfig
    from ai4land_coupler.simulation import Simulation, Summary


@click.command(short_help="Run a simulation.")
@config_argument
@set_option
@click.option("--restart", is_flag=True, help="Continue from the newest complete restart. Without one, start anew.")
@click.option(
    "--restart-from",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Continue from the newest restart in this folder.",
)
@part_option
def run(config: Path, overrides: tuple[str, ...], restart: bool, restart_from: Path | None, part: str | None) -> None:
    """Run the simulation that the YAML file CONFIG describes, or all its parts one after the other.

    With MPI: mpiexec -n 4 ai4land run CONFIG
    """
    from ai4land_coupler.config.parts import PartsConfig, load_run
    from ai4land_coupler.simulation import Simulation

    is_silent = rank() != 0
    settings = load_run(config, overrides)
    if isinstance(settings, PartsConfig):
        if restart_from is not None:
            raise ConfigError(
                "each part of a run has restarts of its own", found="--restart-from", remedy="use --restart"
            )
        _run_parts(settings, part, restart)
        return
    refuse_part(part, config)
    with progress_bar() as bar:
        task = bar.add_task("starting", total=None, visible=not is_silent)

        def advance(done: int, total: int, year: int) -> None:
            bar.update(task, completed=done, total=total, description=f"year {year}")

        simulation = Simulation(settings, world(), advance)
        summary = simulation.run(restart=restart_from or restart)
    if not is_silent:
        _print_summary(simulation, summary)


def _run_parts(settings: PartsConfig, part: str | None, restart: bool) -> None:
    from ai4land_coupler.parts import run_parts

    with progress_bar() as bar:
        task = bar.add_task("starting", total=None, visible=rank() == 0)

        def advance(name: str, done: int, total: int, year: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{name}: year {year}")

        def print_done(name: str, simulation: Simulation, summary: Summary) -> None:
            print_part(name)
            _print_summary(simulation, summary)

        joined = run_parts(settings, world(), only=part, restart=restart, progress=advance, part_done=print_done)
    if rank() != 0:
        return
    for store in joined:
        copied = f" ({size(store.copied)} copied: the file system has no hard links)" if store.copied else ""
        first, last = store.years
        out.print(f"years {first} to {last} are in {store.path}{copied}", markup=False, soft_wrap=True)


def _print_summary(simulation: Simulation, summary: Summary) -> None:
    phases = Table(box=None, pad_edge=False)
    phases.add_column("where the time went (rank 0)")
    phases.add_column("", justify="right")
    for phase, seconds in sorted(summary.seconds.items(), key=lambda item: -item[1]):
        phases.add_row(phase, duration(seconds))
    out.print(phases)
    if summary.performance:
        out.print(sheet_table(summary.performance))
    if summary.changed_share:
        mean = sum(summary.changed_share.values()) / len(summary.changed_share)
        unmet = list(summary.unmet_area.values())[-1] / 1e6
        out.print(
            f"land that changed in a step: {100 * mean:.2f} % on average; demand unmet at the end: {unmet:.0f} km2"
        )
    for name, host in sorted(simulation.component.hosts.items()):
        for note in host.mesh.notes:
            out.print(f"host grid {name}: {note}", markup=False, soft_wrap=True)
    for fault, count in sorted(summary.mended.items()):
        out.print(f"mended while reading: {fault}: {count}", markup=False)
    for warning in summary.warnings:
        out.print(f"warning: {warning}", markup=False)
    out.print(f"years {summary.years[0]} to {summary.years[-1]} are in {summary.store}", markup=False, soft_wrap=True)
