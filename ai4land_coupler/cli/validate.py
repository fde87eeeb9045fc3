"""``ai4land validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ai4land_coupler.cli.options import config_argument, configurations, part_option, set_option
from ai4land_coupler.cli.terminal import out, print_part, world

if TYPE_CHECKING:
    from ai4land_coupler.config.sections import Config


@click.command(short_help="Check a configuration and open its inputs.")
@config_argument
@set_option
@part_option
def validate(config: Path, overrides: tuple[str, ...], part: str | None) -> None:
    """Check a configuration: keys, plugins, files, grids, years, legends and weights.

    Initialises the run but does not advance it. `ai4land check` also checks the values in the input files.
    """
    for name, settings in configurations(config, overrides, part).items():
        print_part(name)
        _validate(settings)
    out.print("[green]the configuration is good[/]")


def _validate(settings: Config) -> None:
    from ai4land_coupler.component.component import LandComponent
    from ai4land_coupler.host.grids import configured_mesh

    component = LandComponent(settings, world(), online=False)
    component.initialize()
    component.check_forcing()
    for name in settings.hosts:
        mesh = configured_mesh(settings, name)
        out.print(f"host grid {name}: {mesh.size} cells, edges {mesh.edges}", markup=False)
        masked = mesh.size - int(mesh.mask.sum())
        if masked:
            out.print(f"  {masked} of {mesh.size} cells are masked and take no part", markup=False)
        for note in mesh.notes:
            out.print(f"  {note}", markup=False)
    out.print(f"land grid: {component.setup.grid}", markup=False)
    out.print(f"forcing grid: {component.setup.plan.forcing}", markup=False)
    clock = component.clock
    held = "" if clock.last == clock.stop else f"; the state of {clock.last} holds to {clock.stop}"
    out.print(f"years: {clock.start} to {clock.last} in {len(clock.years()) - 1} steps of {clock.step}{held}")
    for entry in component.setup.predictors:
        out.print(f"predictor {entry.name}: {len(entry.spec.inputs)} inputs, step {entry.spec.step}", markup=False)
    for fault, count in sorted(component.mended_counts.items()):
        out.print(f"mended while reading: {fault}: {count}", markup=False)
    component.finalize()
