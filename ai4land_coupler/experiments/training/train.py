"""Trains a predictor as a configuration says (``ai4land train``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ai4land_coupler.api import Trainer, TrainResult
from ai4land_coupler.experiments.training.config import TrainConfig, load_train_config, parse_train_config
from ai4land_coupler.experiments.training.reader import read_training_data
from ai4land_coupler.registry.loading import load_plugins

__all__ = ["TrainConfig", "TrainResult", "load_train_config", "parse_train_config", "train"]


def _silent(done: float, note: str) -> None:
    """Report nothing."""


def train(config: TrainConfig, folder: Path, progress: Callable[[float, str], None] = _silent) -> TrainResult:
    """Read the data, train, score on what is held out, and write the bundle.

    Parameters
    ----------
    config:
        From :func:`load_train_config`.
    folder:
        Where the bundle goes.
    progress:
        Called with the share that is done and a word on how it goes.

    Raises
    ------
    Ai4LandError
        For a configuration or data that do not fit.
    """
    plugins = load_plugins(config.plugins.allow)
    trainer: Trainer = plugins.create(
        "trainer", config.trainer.name, config.trainer.options, f"{config.where}: trainer", base=config.base
    )
    progress(0.0, "reading")
    return trainer.train(read_training_data(config, plugins), folder, progress)
