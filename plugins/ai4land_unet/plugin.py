"""Registers the predictor ``unet`` and its trainer. Imports torch only when one of them is created."""

from __future__ import annotations

from ai4land_coupler.api import Predictor, Registry, Trainer, hookimpl
from ai4land_unet.options import TrainerOptions, UNetOptions


def unet(options: UNetOptions) -> Predictor:
    """Land cover by a U-Net, from a bundle of weights."""
    from ai4land_unet.bundled import BundledUNet

    return BundledUNet(options)


def unet_trainer(options: TrainerOptions) -> Trainer:
    """Trains a U-Net and writes its bundle."""
    from ai4land_unet.training import UNetTrainer

    return UNetTrainer(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.predictor("unet", unet, UNetOptions)
    registry.trainer("unet", unet_trainer, TrainerOptions)
