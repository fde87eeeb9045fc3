"""Trains a predictor (``ai4land train``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ai4land_coupler.api import Trainer, TrainingRun, TrainResult
from ai4land_coupler.experiments.training.config import TrainConfig, load_train_config, parse_train_config
from ai4land_coupler.experiments.training.reader import read_training_data
from ai4land_coupler.registry.loading import load_plugins

__all__ = ["TrainConfig", "TrainResult", "load_train_config", "parse_train_config", "train"]


class _Run(TrainingRun):
    def __init__(self, progress: Callable[[float, str], None]) -> None:
        super().__init__()
        self._progress = progress

    def __call__(self, done: float, note: str) -> None:
        self._progress(done, note)


def _silent(done: float, note: str) -> None:
    """Default of ``progress``: does nothing."""


def train(config: TrainConfig, folder: Path, progress: Callable[[float, str], None] = _silent) -> TrainResult:
    """Read the data, train, compute scores on the held-out cells, and write the bundle.

    Parameters
    ----------
    config:
        From :func:`load_train_config`.
    folder:
        Folder of the new bundle.
    progress:
        Called with the share that is done and a short message.

    Raises
    ------
    Ai4LandError
        If the configuration and the data do not fit together.
    """
    plugins = load_plugins(config.plugins.allow)
    trainer: Trainer = plugins.create(
        "trainer", config.trainer.name, config.trainer.options, f"{config.where}: trainer", base=config.base
    )
    progress(0.0, "reading")
    return trainer.train(read_training_data(config, plugins), folder, _Run(progress))
