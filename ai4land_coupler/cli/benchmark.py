"""``ai4land benchmark``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ai4land_coupler.cli.evaluate import WIDTH
from ai4land_coupler.cli.terminal import out, progress_bar
from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.errors import ConfigError

#: Stands for ``{fold}`` while YAML is read, in which braces have a meaning.
_FOLD = "__fold__"


@click.command(short_help="Compare a predictor with baselines on frozen data.")
@click.argument("name", metavar="[BENCHMARK]", required=False)
@click.option("--predictor", metavar="NAME", help="Registered name of the predictor. Default: judge baselines alone.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the predictor. {fold} becomes the number of the fold. Can be given several times.",
)
@click.option("--label", help="Name of the entry. Default: the name of the predictor.")
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data; twins are made there."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of entries, to which this one is added.",
)
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="DIR", help="Only make the page of a folder of entries."
)
def benchmark(
    name: str | None,
    predictor: str | None,
    options: tuple[str, ...],
    label: str | None,
    data: Path | None,
    output: Path | None,
    page: Path | None,
) -> None:
    """Judge a predictor and the baselines on a benchmark: small, standard, standard-seed-2, standard-seed-3 or uk.

    The data are generated, or taken from the folder of the sample data, and their hashes are checked. With -o, an entry
    is written, and the page of all entries of the folder, leaderboard.html.
    """
    from ai4land_coupler.experiments.benchmark.editions import benchmark_list, find_benchmark
    from ai4land_coupler.experiments.benchmark.entry import run_benchmark, write_entry
    from ai4land_coupler.experiments.evaluation.table import contents, tables
    from ai4land_coupler.report.evaluation_page import write_evaluation_page

    if page is not None:
        _write_board(page)
        return
    if name is None:
        raise ConfigError("no benchmark is named", expected=", ".join(benchmark_list()), remedy="name one of them")
    chosen = find_benchmark(name)
    judged: dict[str, Any] | None = None
    if predictor is not None:
        judged = {"name": predictor, "label": label or predictor, "options": dict(map(parse_option, options))}
    with tempfile.TemporaryDirectory() as scratch, progress_bar() as bar:
        task = bar.add_task("reading", total=100)

        def advance(done: float, note: str) -> None:
            bar.update(task, completed=round(100 * done), description=note)

        folder = _data(chosen.twin is not None, data, Path(scratch))
        work = (data / f"{name}-baselines") if data is not None and chosen.twin is not None else Path(scratch)
        entry, evaluation = run_benchmark(chosen, judged, folder, work, Path.cwd(), advance)
    wide = Console(highlight=False, width=WIDTH)
    for table in tables(evaluation.result):
        wide.print(table)
        wide.print()
    if output is not None:
        path = write_entry(entry, output)
        pictures = evaluation.pictures
        write_evaluation_page(evaluation.result, contents(evaluation.result), pictures, path.with_suffix(".html"))
        out.print(f"entry: {path} ({entry['seconds']} s)", markup=False, soft_wrap=True)
        _write_board(output)


def parse_option(text: str) -> tuple[str, Any]:
    """Key and value of ``--option``; values are YAML, in which ``{fold}`` is a text."""
    from ai4land_coupler.experiments.benchmark.entry import FOLD, replace_in_texts

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError("an option is malformed", expected="KEY=VALUE", found=text, where="--option")
    parsed = parse_yaml(value.replace(FOLD, _FOLD), f"--option {text}", "the option")
    return key, replace_in_texts(parsed, _FOLD, FOLD)


def _data(is_twin: bool, given: Path | None, scratch: Path) -> Path:
    """The folder of the data: for a twin any folder, else that of the sample data."""
    if given is not None:
        return given
    return scratch if is_twin else Path(os.environ.get("AI4LAND_SAMPLE_DATA", "../shared/data"))


def _write_board(folder: Path) -> None:
    from ai4land_coupler.experiments.benchmark.entry import read_entries
    from ai4land_coupler.experiments.benchmark.leaderboard import boards
    from ai4land_coupler.report.leaderboard_page import write_leaderboard

    page = write_leaderboard(boards(read_entries(folder)), folder / "leaderboard.html")
    out.print(f"page: {page}", markup=False, soft_wrap=True)
