"""Registers the predictor ``persistence``."""

from ai4land_coupler.api import Registry, hookimpl
from ai4land_persistence.predictor import Persistence, PersistenceOptions


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.predictor("persistence", Persistence, PersistenceOptions)
