"""AI4Land's land-use and land-cover prediction as a coupling component for Earth system models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai4land_coupler.component.component import LandComponent
    from ai4land_coupler.config.sections import load_config
    from ai4land_coupler.simulation import Simulation

__version__ = "0.1.0"
__all__ = ["LandComponent", "Simulation", "__version__", "load_config"]

_MODULE_OF = {
    "LandComponent": "ai4land_coupler.component.component",
    "Simulation": "ai4land_coupler.simulation",
    "load_config": "ai4land_coupler.config.sections",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that plugins which only need ``api`` do not load the rest."""
    if name in _MODULE_OF:
        from importlib import import_module

        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
