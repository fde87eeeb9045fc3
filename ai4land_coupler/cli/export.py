"""``ai4land export``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.terminal import out, progress_bar, size
from ai4land_coupler.errors import ConfigError


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("kind", metavar="FORMAT", type=click.Choice(["netcdf", "geotiff", "luh2", "cmip", "clm"]))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A file for netcdf ({year} in its name: one a year), luh2 and clm; a folder for geotiff and cmip.",
)
@click.option("--years", metavar="A:B", help="Years to export, both included, or one year; default all.")
@click.option("--host", metavar="NAME", help="Export the fields of this host grid (netcdf, cmip).")
@click.option(
    "--resolution",
    type=click.Choice(["0.25", "0.5", "1"]),
    help="Grid of cmip in degrees, without --host; default 0.5.",
)
@click.option("--surface", type=click.Path(path_type=Path), metavar="FSURDAT", help="CLM's surface data set, for clm.")
@click.option(
    "--attr", "attrs", multiple=True, metavar="NAME=TEXT", help="Global attribute of netCDF files, such as license."
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def export(
    store: Path,
    kind: str,
    output: Path,
    years: str | None,
    host: str | None,
    resolution: str | None,
    surface: Path | None,
    attrs: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Write the committed years of STORE as netcdf, geotiff, luh2, cmip or clm.

    FORMAT netcdf: maps, class areas and continuous fields (CF-1.11). geotiff: a map a year, as HILDA+ has them.
    luh2: fractions at 0.25 degrees, laid out as LUH2 states. cmip: variables of the CMIP6 tables, in per cent.
    clm: a land-use time series (flanduse_timeseries) that starts from CLM's own surface data set.
    """
    from ai4land_coupler.formats import export as write

    extra = {}
    for text in attrs:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise ConfigError("a global attribute is malformed", expected="NAME=TEXT", found=text)
        extra[name] = value
    with progress_bar() as bar:
        task = bar.add_task("export", total=None)
        files = write(
            store,
            kind,  # type: ignore[arg-type]
            output,
            years=years,
            host=host,
            resolution=None if resolution is None else float(resolution),
            surface=surface,
            attrs=extra,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for file in files:
        out.print(f"{file} ({size(file.stat().st_size)})", markup=False, soft_wrap=True)
