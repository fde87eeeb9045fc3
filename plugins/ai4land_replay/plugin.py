"""Registers the predictor ``replay``."""

from ai4land_coupler.api import Registry, hookimpl
from ai4land_replay.predictor import Replay, ReplayOptions


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.predictor("replay", Replay, ReplayOptions)
