"""Prepares the inputs of a run: reads and checks raw files once and writes one Zarr store (``docs/prepare.md``)."""

from ai4land_coupler.experiments.prepare.layout import PreparedLayout
from ai4land_coupler.experiments.prepare.run import Prepared, prepare
from ai4land_coupler.experiments.prepare.verify import inspect_prepared, is_prepared

__all__ = ["Prepared", "PreparedLayout", "inspect_prepared", "is_prepared", "prepare"]
