"""``ai4land weights``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from ai4land_coupler.cli.terminal import out, progress_bar, rank, size, world
from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.errors import ConfigError


@click.command(short_help="Make a file of regrid weights.")
@click.argument("source", required=False)
@click.argument("destination", required=False)
@click.option(
    "--from",
    "given",
    type=click.Path(path_type=Path),
    help="Do not compute weights: read them from this file and write them in another format.",
)
@click.option(
    "-m",
    "--method",
    type=click.Choice(["conservative", "conservative2nd", "bilinear", "nearest"]),
    default="conservative",
    show_default=True,
    help="Regridding method.",
)
@click.option(
    "--norm",
    type=click.Choice(["destination", "fraction"]),
    default="destination",
    show_default=True,
    help="Normalise conservative weights by the area of the whole destination cell, or of its covered part.",
)
@click.option("--backend", default="yac", show_default=True, help="Name of the regridding backend, or auto.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the backend. Can be given several times.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["esmf", "basic", "scrip", "yac"]),
    default="esmf",
    show_default=True,
    help="Format of the file: esmf (for ESMF, xESMF, NCO), basic (esmf without the grids), scrip (for CDO), yac.",
)
@click.option(
    "-v",
    "--variable",
    metavar="NAME",
    help="Data variable whose grid is read, if the grid file has several grids.",
)
@click.option(
    "--mask", metavar="NAME", help="Variable of the grid file that is 0 or missing in cells that take no part."
)
@click.option("--source-variable", metavar="NAME", help="As --variable, if SOURCE and DESTINATION are both files.")
@click.option("--source-mask", metavar="NAME", help="As --mask, if SOURCE and DESTINATION are both files.")
@click.option("--destination-variable", metavar="NAME", help="As --variable, if both are files.")
@click.option("--destination-mask", metavar="NAME", help="As --mask, if both are files.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write: FILE.nc or FILE.zarr."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def weights(
    source: str | None,
    destination: str | None,
    given: Path | None,
    method: Any,
    norm: Any,
    backend: str,
    options: tuple[str, ...],
    layout: Any,
    variable: str | None,
    mask: str | None,
    source_variable: str | None,
    source_mask: str | None,
    destination_variable: str | None,
    destination_mask: str | None,
    output: Path,
    overwrite: bool,
) -> None:
    """Make regrid weights from the grid SOURCE to the grid DESTINATION.

    Each grid is a grid file, a data file with latitudes and longitudes, or a name such as r1440x720, O80 or ne30pg2.

    With MPI: mpiexec -n 4 ai4land weights ...
    """
    from ai4land_coupler.regrid.files import convert_weights, make_weights

    notes: list[str] = []
    if given is not None:
        if source is not None:
            raise ConfigError("give two grids, or --from a weight file", found=f"{source} and --from {given}")
        count = convert_weights(given, output, layout, overwrite) if rank() == 0 else 0
    else:
        if source is None or destination is None:
            raise ConfigError("two grids are needed", expected="SOURCE and DESTINATION, or --from FILE")
        settings = dict(_option(text) for text in options)
        grids = source, destination
        variables = _of_each(grids, "variable", variable, (source_variable, destination_variable))
        masks = _of_each(grids, "mask", mask, (source_mask, destination_mask))
        with contextlib.ExitStack() as stack:
            report = _progress(stack)
            count = make_weights(
                source,
                destination,
                output,
                method=method,
                norm=norm,
                backend=backend,
                options=settings,
                layout=layout,
                overwrite=overwrite,
                comm=world(),
                progress=report,
                variables=variables,
                masks=masks,
                report=notes.append,
            )
    if rank() == 0:
        for note in notes:
            out.print(note, markup=False, soft_wrap=True)
        out.print(f"{output}: {count} weights ({size(_bytes(output))})", markup=False, soft_wrap=True)


def _of_each(
    grids: tuple[str, str], what: str, one: str | None, each: tuple[str | None, str | None]
) -> tuple[str | None, str | None]:
    """The variable or mask of the source and of the destination; ``--variable`` is for the one grid that is a file."""
    if one is None:
        return each
    files = [Path(grid).is_file() for grid in grids]
    if sum(files) != 1 or any(each):
        raise ConfigError(
            f"it is not clear for which grid --{what} is",
            expected=f"--source-{what} or --destination-{what}; --{what} alone if one of both grids is a file",
            found=f"{sum(files)} files" if sum(files) != 1 else f"--{what} and an option for one of the grids",
            where=f"--{what} {one}",
            remedy=f"give --source-{what} or --destination-{what}",
        )
    return (one, None) if files[0] else (None, one)


def _option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise ConfigError("an option is malformed", expected="NAME=VALUE", found=text, where="--option")
    return name, parse_yaml(value, f"--option {text}", "the option")


def _progress(stack: contextlib.ExitStack) -> Any:
    """A progress bar on rank 0; on other ranks a function that does nothing."""
    if rank():
        return lambda done, total, what: None
    bar = stack.enter_context(progress_bar())
    task = bar.add_task("weights", total=None)
    return lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
