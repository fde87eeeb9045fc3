"""Registers the adapter ``luh2``."""

from __future__ import annotations

from ai4land_coupler.api import DataAdapter, Registry, hookimpl
from ai4land_luh2.states import StatesAdapter, StatesOptions


class Luh2Options(StatesOptions):
    """Options of ``luh2``: those of any file of land-use states."""


def luh2(options: Luh2Options) -> DataAdapter:
    """The states of LUH2 v2h, or of a file in its layout."""
    return StatesAdapter(options, {"source": "LUH2", "file": options.states.name})


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("luh2", luh2, Luh2Options)
