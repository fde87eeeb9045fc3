"""Registers the baselines. Imports scikit-learn only when a boosting model is trained."""

from __future__ import annotations

from ai4land_baselines.exact_areas import ExactAreas, ExactAreasOptions
from ai4land_baselines.neighbourhood import Neighbourhood, NeighbourhoodOptions
from ai4land_baselines.options import BoostingTrainerOptions, BundleOptions, MarkovTrainerOptions
from ai4land_coupler.api import Predictor, Registry, Trainer, hookimpl


def markov(options: BundleOptions) -> Predictor:
    """Land cover by a transition matrix between classes, counted from training maps."""
    from ai4land_baselines.bundle import read_bundle
    from ai4land_baselines.markov import Markov

    return Markov(read_bundle(options.bundle, "markov", options.legend))


def markov_trainer(options: MarkovTrainerOptions) -> Trainer:
    """Counts a transition matrix, for all land or by region."""
    from ai4land_baselines.markov_training import MarkovTrainer

    return MarkovTrainer(options)


def boosting(options: BundleOptions) -> Predictor:
    """Land cover by gradient boosting: decision trees on the neighbourhood, the forcing and static fields."""
    from ai4land_baselines.boosting import Boosting
    from ai4land_baselines.bundle import read_bundle

    return Boosting(read_bundle(options.bundle, "boosting", options.legend))


def boosting_trainer(options: BoostingTrainerOptions) -> Trainer:
    """Trains the trees of gradient boosting with scikit-learn."""
    from ai4land_baselines.boosting_training import BoostingTrainer

    return BoostingTrainer(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.predictor("exact-areas", ExactAreas, ExactAreasOptions)
    registry.predictor("neighbourhood", Neighbourhood, NeighbourhoodOptions)
    registry.predictor("markov", markov, BundleOptions)
    registry.trainer("markov", markov_trainer, MarkovTrainerOptions)
    registry.predictor("boosting", boosting, BundleOptions)
    registry.trainer("boosting", boosting_trainer, BoostingTrainerOptions)
