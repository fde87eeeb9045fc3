"""Registers the adapter ``netcdf``."""

from __future__ import annotations

from ai4land_coupler.api import DataAdapter, Registry, hookimpl
from ai4land_netcdf.adapter import NetcdfAdapter
from ai4land_netcdf.options import NetcdfOptions


def netcdf(options: NetcdfOptions) -> DataAdapter:
    """Variables of any netCDF file on a regular latitude-longitude grid, as the configuration describes them."""
    return NetcdfAdapter(options)


@hookimpl
def ai4land_register(registry: Registry) -> None:
    registry.adapter("netcdf", netcdf, NetcdfOptions)
