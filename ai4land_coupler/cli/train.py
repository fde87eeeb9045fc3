"""``ai4land train``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.options import config_argument, set_option
from ai4land_coupler.cli.terminal import out, progress_bar


@click.command(short_help="Train a predictor on pairs of maps.")
@config_argument
@set_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder to write the bundle to.",
)
def train(config: Path, overrides: tuple[str, ...], output: Path) -> None:
    """Train a predictor on pairs of maps and write its bundle: the weights and a card that describes them."""
    from ai4land_coupler.experiments.training.config import load_train_config
    from ai4land_coupler.experiments.training.train import train as train_predictor

    with progress_bar() as bar:
        task = bar.add_task("reading", total=100)

        def advance(done: float, note: str) -> None:
            bar.update(task, completed=round(100 * done), description=note)

        result = train_predictor(load_train_config(config, overrides), output, advance)
    for line in result.lines():
        out.print(line, markup=False)
    out.print(f"the bundle is in {output}", markup=False, soft_wrap=True)
