"""Trains a predictor (``ai4land train``)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ai4land_coupler.api import Trainer, TrainResult
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.training.config import TrainConfig, load_train_config, parse_train_config
from ai4land_coupler.experiments.training.reader import read_training_data
from ai4land_coupler.experiments.training.run import SPLIT, STATISTICS, LoggedRun, launched, signals_to
from ai4land_coupler.registry.loading import load_plugins

__all__ = ["TrainConfig", "TrainResult", "load_train_config", "parse_train_config", "train", "work_folder"]

#: Processes that read ahead, if the caller does not say.
_WORKERS = 4


def _silent(done: float, note: str) -> None:
    """Default of ``progress``: does nothing."""


def work_folder(folder: Path) -> Path:
    """The folder of the curves and checkpoints of a training, beside the folder of its bundle."""
    return folder.with_name(folder.name + ".training")


def train(
    config: TrainConfig,
    folder: Path,
    progress: Callable[[float, str], None] = _silent,
    *,
    resume: bool = False,
    checkpoint_minutes: float = 10.0,
    workers: int | None = None,
) -> TrainResult:
    """Read the data, train, compute scores on the held-out cells, and write the bundle.

    The folder ``FOLDER.training`` beside the bundle gets the curves, the split and the checkpoints.

    Parameters
    ----------
    config:
        From :func:`load_train_config`.
    folder:
        Folder of the new bundle.
    progress:
        Called with the share that is done and a short message.
    resume:
        Whether to continue from the last checkpoint. Without a checkpoint, the training starts from the beginning.
    checkpoint_minutes:
        Minutes between two checkpoints.
    workers:
        Processes that read ahead if the inputs are prepared stores. Default: one for each processor, at most 4, shared
        by the processes of ``torchrun``.

    Raises
    ------
    Ai4LandError
        If the configuration and the data do not fit together, or if the training diverged or was interrupted. An older
        bundle in the folder is then as it was.
    """
    plugins = load_plugins(config.plugins.allow)
    trainer: Trainer = plugins.create(
        "trainer", config.trainer.name, config.trainer.options, f"{config.where}: trainer", base=config.base
    )
    rank, size = launched()
    if size > 1 and not trainer.distributed:
        raise ConfigError(
            f"the trainer {config.trainer.name!r} cannot use several processes",
            expected="one process",
            found=f"{size} processes of torchrun",
            remedy="start it without torchrun",
        )
    if trainer.target is not None:
        raise ConfigError(
            f"the trainer {config.trainer.name!r} trains a continuous field, which a training from maps does not have",
            expected="a trainer of land cover",
            found=f"a trainer of {trainer.target!r}",
            where=f"{config.where}: trainer",
            remedy="call its train() from Python with data that implement ai4land_coupler.api.FieldTrainingData",
        )
    work = work_folder(folder)
    run = LoggedRun(work, progress, resume=resume, every=60 * checkpoint_minutes, writes=rank == 0)
    with signals_to(run), closing(run):
        run(0.0, "reading")
        data = read_training_data(config, plugins, work / STATISTICS, keep=rank == 0)
        if rank == 0:
            data.split.write(work / SPLIT)
        if not data.in_memory:
            run.workers = max(1, min(_WORKERS, (os.cpu_count() or 1) // size)) if workers is None else workers
        return trainer.train(data, folder, run)
