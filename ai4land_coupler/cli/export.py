"""``ai4land export``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.terminal import out, progress_bar, size
from ai4land_coupler.errors import ConfigError


@click.command(short_help="Convert a store to netCDF, GeoTIFF, LUH2, CMIP or CLM files.")
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("kind", metavar="FORMAT", type=click.Choice(["netcdf", "geotiff", "luh2", "cmip", "clm"]))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A file for netcdf, luh2 and clm; a folder for geotiff and cmip. netcdf with {year} in it: yearly files.",
)
@click.option(
    "--years", metavar="A:B", help="First and last year to export, or one year. Default: all committed years."
)
@click.option("--host", metavar="NAME", help="Export the fields of this host grid. For netcdf and cmip.")
@click.option(
    "--resolution",
    type=click.Choice(["0.25", "0.5", "1"]),
    help="Cell size of the cmip grid in degrees. Default: 0.5. Not with --host.",
)
@click.option(
    "--surface", type=click.Path(path_type=Path), metavar="FSURDAT", help="Surface data set of CLM. Required for clm."
)
@click.option(
    "--attr",
    "attrs",
    multiple=True,
    metavar="NAME=TEXT",
    help="Add a global attribute to netCDF files, such as license. Can be given several times.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
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
    """Convert the committed years of STORE to another FORMAT (docs/formats.md).

    \b
    netcdf   maps, class areas and continuous fields, CF-1.11
    geotiff  one map a year, like HILDA+
    luh2     fractions at 0.25 degrees, like the states of LUH2
    cmip     variables of the CMIP6 tables, in per cent
    clm      land-use time series (flanduse_timeseries) that starts from CLM's surface data set
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
