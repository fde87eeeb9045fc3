"""``ai4land report``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.terminal import out, size


@click.command(short_help="Show a run on one HTML page.")
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="HTML file to write. Default: STORE with the ending .html."
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write figures as PNG and PDF to this folder.",
)
def report(store: Path, output: Path | None, figures: Path | None) -> None:
    """Write one HTML page about a run: yearly maps, changes, areas and demand, provenance.

    The page contains all its data. A browser can show it without a network connection.
    """
    from ai4land_coupler.report.web_page import write_page

    page = write_page(store, output or store.with_suffix(".html"))
    out.print(f"page: {page} ({size(page.stat().st_size)})", markup=False, soft_wrap=True)
    if figures is not None:
        from ai4land_coupler.report.figures import write_figures

        for path in write_figures(store, figures):
            out.print(f"figure: {path}", markup=False, soft_wrap=True)
