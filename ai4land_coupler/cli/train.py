"""``ai4land train``."""

from __future__ import annotations

from pathlib import Path

import click

from ai4land_coupler.cli.options import config_argument, set_option
from ai4land_coupler.cli.terminal import out, progress_bar, world
from ai4land_coupler.errors import ConfigError, RunError


@click.command(short_help="Train a predictor on pairs of maps.")
@config_argument
@set_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder to write the bundle to. DIR.training gets curves, split and checkpoints.",
)
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint.")
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Minutes between two checkpoints.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    help="Processes that read prepared stores ahead. Default: one for each processor, at most 4.",
)
def train(
    config: Path,
    overrides: tuple[str, ...],
    output: Path,
    resume: bool,
    checkpoint_minutes: float,
    workers: int | None,
) -> None:
    """Train a predictor on pairs of maps and write its bundle: the weights and a card that describes them.

    Ctrl-C and SIGTERM end the training after the present step, with a checkpoint; `--resume` continues from it. To
    use several processes or GPUs: `torchrun --nproc-per-node N --no-python ai4land train CONFIG -o DIR`.
    """
    from ai4land_coupler.experiments.training.config import load_train_config
    from ai4land_coupler.experiments.training.run import launched
    from ai4land_coupler.experiments.training.train import train as train_predictor

    comm = world()
    if comm is not None:
        raise ConfigError(
            "a training is not started with mpiexec, because each rank would train the same network",
            expected="one process, or the processes of torchrun",
            found=f"{comm.size} ranks of MPI",
            remedy=f"torchrun --nproc-per-node {comm.size} --no-python ai4land train {config} -o {output}",
        )
    with progress_bar() as bar:
        task = bar.add_task("reading", total=100, visible=launched()[0] == 0)

        def advance(done: float, note: str) -> None:
            bar.update(task, completed=100 * done, description=note)

        try:
            result = train_predictor(
                load_train_config(config, overrides),
                output,
                advance,
                resume=resume,
                checkpoint_minutes=checkpoint_minutes,
                workers=workers,
            )
        except KeyboardInterrupt:  # before the first step, or the second Ctrl-C
            raise RunError(
                "the training was interrupted",
                remedy="start it again; with --resume it continues from the last checkpoint, if there is one",
            ) from None
    if launched()[0] > 0:
        return
    for line in result.lines():
        out.print(line, markup=False, soft_wrap=True)
    out.print(f"the bundle is in {output}", markup=False, soft_wrap=True)
