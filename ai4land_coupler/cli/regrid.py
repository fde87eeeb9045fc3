"""``ai4land regrid``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ai4land_coupler.cli.terminal import out, progress_bar


@click.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-v", "--variable", "variables", multiple=True, metavar="NAME", help="Default: all on the source grid.")
@click.option(
    "--method",
    "rule",
    type=click.Choice(["mean", "largest-share"]),
    default="mean",
    show_default=True,
    help="largest-share: for categories, the one that covers most of the cell.",
)
@click.option(
    "--missing",
    type=click.Choice(["renormalise", "conserve", "spread"]),
    default="renormalise",
    show_default=True,
    help="Means of what is there; sums that keep integrals; or missing where any source cell is.",
)
@click.option(
    "--min-share", type=float, default=0.0, show_default=True, help="Missing where less of the cell has values."
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def regrid(
    weights: Path,
    source: Path,
    output: Path,
    variables: tuple[str, ...],
    rule: Any,
    missing: Any,
    min_share: float,
    overwrite: bool,
) -> None:
    """Put variables of INPUT on another grid, by WEIGHTS that `ai4land weights`, ESMF, CDO or YAC made.

    INPUT and OUTPUT are netCDF, or Zarr where a name ends in .zarr. Time, levels and attributes are kept.
    """
    from ai4land_coupler.regrid.files import regrid_file

    with progress_bar() as bar:
        task = bar.add_task("regrid", total=None)
        names = regrid_file(
            weights,
            source,
            output,
            variables=variables,
            rule=rule,
            missing=missing,
            min_share=min_share,
            overwrite=overwrite,
            progress=lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
        )
    out.print(f"{output}: {', '.join(names)}", markup=False, soft_wrap=True)
