"""Registers the predictor ``phenology``."""

from ai4land_coupler.api import Registry, hookimpl
from ai4land_phenology.predictor import Phenology, PhenologyOptions


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.predictor("phenology", Phenology, PhenologyOptions)
