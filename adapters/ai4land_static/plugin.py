"""Registers the adapter ``static``."""

from __future__ import annotations

from ai4land_coupler.api import DataAdapter, Registry, hookimpl
from ai4land_static.fields import StaticAdapter
from ai4land_static.options import StaticOptions


def static(options: StaticOptions) -> DataAdapter:
    """Static fields of one netCDF file; a configuration may list several."""
    return StaticAdapter(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("static", static, StaticOptions)
