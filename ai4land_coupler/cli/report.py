"""``ai4land report``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.terminal import out, size


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The HTML file; by default the store's name with .html."
)
@click.option("--figures", type=click.Path(path_type=Path), metavar="DIR", help="Also write PNG and PDF figures there.")
def report(store: Path, output: Path | None, figures: Path | None) -> None:
    """One HTML file that shows a run: maps by year, what changed, areas against demand, provenance.

    The file holds all that it shows and opens in a browser without a network.
    """
    from ai4land_coupler.report.web_page import write_page

    page = write_page(store, output or store.with_suffix(".html"))
    out.print(f"page: {page} ({size(page.stat().st_size)})", markup=False, soft_wrap=True)
    if figures is not None:
        from ai4land_coupler.report.figures import write_figures

        for path in write_figures(store, figures):
            out.print(f"figure: {path}", markup=False, soft_wrap=True)
