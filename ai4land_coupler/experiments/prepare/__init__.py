"""Prepare the inputs of a run once: raw files to one analysis-ready Zarr store, see ``docs/prepare.md``."""

from ai4land_coupler.experiments.prepare.layout import PreparedLayout
from ai4land_coupler.experiments.prepare.run import Prepared, prepare
from ai4land_coupler.experiments.prepare.verify import inspect_prepared, is_prepared

__all__ = ["Prepared", "PreparedLayout", "inspect_prepared", "is_prepared", "prepare"]
