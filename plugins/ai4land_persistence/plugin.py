"""Registers the predictor ``persistence``."""

from ai4land_coupler.api import Registry, hookimpl
from ai4land_persistence.predictor import Options, Persistence


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.predictor("persistence", Persistence, Options)
