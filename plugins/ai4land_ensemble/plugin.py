"""Registers the predictor ``ensemble``."""

from __future__ import annotations

from ai4land_coupler.api import Registry, hookimpl
from ai4land_ensemble.predictor import Ensemble, EnsembleOptions


@hookimpl
def ai4land_register(registry: Registry) -> None:
    def ensemble(options: EnsembleOptions) -> Ensemble:
        """Land cover by the weighted mean of other predictors."""
        made = [registry.make_predictor(m.name, m.options, options.base) for m in options.members]
        return Ensemble(made, [m.weight for m in options.members])

    registry.predictor("ensemble", ensemble, EnsembleOptions)
