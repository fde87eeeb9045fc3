"""``ai4land twin``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.terminal import out, progress_bar


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the data set.")
@click.option("--region", nargs=4, type=float, metavar="WEST EAST SOUTH NORTH", help="Degrees.")
@click.option("--resolution", type=float, help="Cell size of the land grid in degrees.")
@click.option("--years", nargs=2, type=int, metavar="FIRST LAST", help="Years of the data set.")
@click.option("--seed", type=int, help="Another seed is another Earth.")
@click.option("--edition", help="A frozen benchmark edition by name, instead of the options above.")
def twin(
    output: Path,
    region: tuple[float, float, float, float] | None,
    resolution: float | None,
    years: tuple[int, int] | None,
    seed: int | None,
    edition: str | None,
) -> None:
    """Make a Twin Earth: synthetic land over the real coasts, in the layouts of the real data sets."""
    from ai4land_coupler.experiments.twin import benchmark_edition, generate, twin_options

    options = benchmark_edition(edition).options if edition else twin_options(region, resolution, years, seed)
    with progress_bar() as bar:
        task = bar.add_task("making the twin", total=None)

        def advance(done: int, total: int, note: str) -> None:
            bar.update(task, completed=done, total=total, description=note)

        report = generate(options, output, advance)
    for line in report.lines():
        out.print(line, markup=False)
