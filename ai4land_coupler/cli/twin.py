"""``ai4land twin``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from ai4land_coupler.cli.terminal import out, progress_bar, rank, world
from ai4land_coupler.config.faults import config_error
from ai4land_coupler.errors import ConfigError


@click.command(short_help="Generate synthetic inputs (Twin Earth).")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to write to."
)
@click.option("--region", nargs=4, type=float, metavar="WEST EAST SOUTH NORTH", help="Region in degrees.")
@click.option(
    "--globe",
    is_flag=True,
    help="The whole globe. Without --resolution: on the grid of HILDA+ v1.0, 36041 x 18021 cells.",
)
@click.option("--resolution", type=float, help="Cell size of the land grid in degrees.")
@click.option("--years", nargs=2, type=int, metavar="FIRST LAST", help="First and last year of the data set.")
@click.option("--scenario-start", type=int, help="Year in which the historical file ends and the scenario file begins.")
@click.option("--seed", type=int, help="Seed of the random numbers.")
@click.option("--edition", metavar="NAME", help="Generate this frozen benchmark edition. Replaces the options above.")
@click.option(
    "--cmip7",
    is_flag=True,
    help="Also write DIR/cmip7: the history and all scenarios under the names that CMIP7 publishes (LUH3).",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Number of processes of a large twin. Default: one for each available processor.",
)
def twin(output: Path, edition: str | None, cmip7: bool, processes: int | None, **given: Any) -> None:
    """Generate a Twin Earth: synthetic land use on the real land mask.

    The files have the formats of HILDA+, LUH2 and its scenarios. Use them to try ai4land without the real data. Large
    twins are made in blocks by several processes, or under `mpiexec -n N` by all ranks but the first.
    """
    from ai4land_coupler.experiments.twin import TwinOptions, benchmark_edition, generate, write_cmip7_of
    from ai4land_coupler.experiments.twin.generate import AT_ONCE

    frozen = None if edition is None else benchmark_edition(edition)
    try:
        options = TwinOptions.model_validate(_named(given)) if frozen is None else frozen.options
    except ValidationError as error:
        raise config_error(error, "options of ai4land twin", TwinOptions) from None
    if processes is None:
        processes = len(os.sched_getaffinity(0)) if options.land_grid.size > AT_ONCE else 1
    with progress_bar() as bar:
        task = bar.add_task("simulating years", total=None, visible=rank() == 0)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        report = generate(options, output, advance, processes=processes, comm=world())
    if rank() != 0:
        return
    for line in report.lines():
        out.print(line, markup=False)
    if cmip7:
        files = write_cmip7_of(report)
        out.print(f"  {sum(map(len, files.values()))} files in {report.folder / 'cmip7'}", markup=False)
    if frozen is not None:
        frozen.check(report)
        out.print(f"[green]it is the frozen edition {edition!r}, to the bit[/]")


def _named(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, by their names in ``TwinOptions``."""
    named = {key: given[key] for key in ("resolution", "scenario_start", "seed")}
    if given["globe"]:
        if given["region"]:
            raise ConfigError("--globe and --region exclude each other", remedy="give one of them")
        named |= {"lon0": -180, "lon1": 180, "lat0": -90, "lat1": 90, "published_grid": given["resolution"] is None}
    if given["region"]:
        named |= dict(zip(("lon0", "lon1", "lat0", "lat1"), given["region"], strict=True))
    if given["years"]:
        named |= dict(zip(("first_year", "last_year"), given["years"], strict=True))
    return {key: value for key, value in named.items() if value is not None}
