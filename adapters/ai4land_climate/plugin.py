"""Registers the adapters ``climate`` and ``series``."""

from __future__ import annotations

from ai4land_climate.adapter import ClimateAdapter
from ai4land_climate.options import ClimateOptions, SeriesOptions
from ai4land_climate.series import SeriesAdapter
from ai4land_coupler.api import DataAdapter, Registry, hookimpl


def climate(options: ClimateOptions) -> DataAdapter:
    """Monthly climate of files like those of ERA5 and CMIP, on any grid."""
    return ClimateAdapter(options)


def series(options: SeriesOptions) -> DataAdapter:
    """A series with one number a year, which all cells get, such as CO2."""
    return SeriesAdapter(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("climate", climate, ClimateOptions)
    registry.adapter("series", series, SeriesOptions)
