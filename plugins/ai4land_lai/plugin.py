"""Registers the predictor and the trainer ``lai``. Imports torch only when a model is trained."""

from __future__ import annotations

from ai4land_coupler.api import Predictor, Registry, Trainer, hookimpl
from ai4land_lai.options import LaiOptions, LaiTrainerOptions


def lai(options: LaiOptions) -> Predictor:
    """Leaf area index of each month, within the observed range of the cell's class."""
    from ai4land_lai.bundle import read_bundle
    from ai4land_lai.predictor import LeafArea

    return LeafArea(read_bundle(options.bundle, options.legend))


def lai_trainer(options: LaiTrainerOptions) -> Trainer:
    """Trains the networks of the predictor ``lai``."""
    from ai4land_lai.training import LaiTrainer

    return LaiTrainer(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.predictor("lai", lai, LaiOptions)
    registry.trainer("lai", lai_trainer, LaiTrainerOptions)
