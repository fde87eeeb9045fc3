"""``ai4land regrid``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ai4land_coupler.cli.terminal import err, out, progress_bar


@click.command(short_help="Regrid a netCDF or Zarr file with a weight file.")
@click.argument("weights", type=click.Path(path_type=Path))
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "-v",
    "--variable",
    "variables",
    multiple=True,
    metavar="NAME",
    help="Variable to regrid. Default: all variables on the source grid. Can be given several times.",
)
@click.option(
    "--method",
    "rule",
    type=click.Choice(["mean", "largest-share"]),
    default=None,
    help="mean: the weighted mean. largest-share: the category that covers most of the cell. Default: mean, but "
    "variables with flag_values or flag_meanings are refused.",
)
@click.option(
    "--missing",
    type=click.Choice(["renormalise", "conserve", "spread"]),
    default="renormalise",
    show_default=True,
    help="Treatment of missing source cells. renormalise: mean of the valid cells. conserve: keep the integral. "
    "spread: missing if any source cell is missing.",
)
@click.option(
    "--min-share",
    type=float,
    default=0.0,
    show_default=True,
    help="A cell is missing if valid source cells cover less than this share of it.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
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
    """Regrid the variables of INPUT with WEIGHTS, a file from `ai4land weights`, ESMF, CDO or YAC.

    INPUT and OUTPUT are netCDF files, or Zarr stores if the name ends in .zarr. Time, levels and attributes are kept.
    """
    from ai4land_coupler.regrid.files import regrid_file

    notes: list[str] = []
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
            note=notes.append,
        )
    for text in notes:
        err.print(f"note: {text}", markup=False, soft_wrap=True)
    out.print(f"{output}: {', '.join(names)}", markup=False, soft_wrap=True)
