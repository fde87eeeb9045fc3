"""AI4Land's land-use and land-cover prediction as a coupling component for Earth system models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ai4land_coupler.version import __version__

if TYPE_CHECKING:
    from ai4land_coupler.component.component import LandComponent
    from ai4land_coupler.config.sections import load_config
    from ai4land_coupler.grids import mesh_from_arrays
    from ai4land_coupler.simulation import Simulation

__all__ = ["LandComponent", "Simulation", "__version__", "load_config", "mesh_from_arrays"]

_HOME = {
    "LandComponent": "ai4land_coupler.component.component",
    "Simulation": "ai4land_coupler.simulation",
    "load_config": "ai4land_coupler.config.sections",
    "mesh_from_arrays": "ai4land_coupler.grids",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: plugins import this package, and need ``api`` only."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
