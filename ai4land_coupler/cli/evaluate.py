"""``ai4land evaluate``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from ai4land_coupler.cli.options import config_argument, set_option
from ai4land_coupler.cli.terminal import out, progress_bar

#: Columns of text that a table may have. A terminal breaks longer lines.
WIDTH = 400


@click.command(short_help="Judge predictors and runs against observed maps.")
@config_argument
@set_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the results: evaluation.json and the page evaluation.html.",
)
def evaluate(config: Path, overrides: tuple[str, ...], output: Path | None) -> None:
    """Judge predictors, baselines and finished runs against observed maps.

    Prints a table of measures with intervals, and the difference to the best baseline.
    """
    from ai4land_coupler.experiments.evaluation.config import load_evaluate_config
    from ai4land_coupler.experiments.evaluation.evaluate import evaluate as run_evaluation
    from ai4land_coupler.experiments.evaluation.table import contents, tables
    from ai4land_coupler.report.evaluation_page import write_evaluation_page

    with progress_bar() as bar:
        task = bar.add_task("reading", total=100)

        def advance(done: float, note: str) -> None:
            bar.update(task, completed=round(100 * done), description=note)

        evaluation = run_evaluation(load_evaluate_config(config, overrides), advance)
    wide = Console(highlight=False, width=WIDTH)
    for table in tables(evaluation.result):
        wide.print(table)
        wide.print()
    if output is not None:
        results = evaluation.write_json(output / "evaluation.json")
        page = output / "evaluation.html"
        write_evaluation_page(evaluation.result, contents(evaluation.result), evaluation.pictures, page)
        out.print(f"results: {results}\npage: {page}", markup=False, soft_wrap=True)
