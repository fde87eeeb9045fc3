"""An adapter: made-up land-use states that sum to 1, on any grid."""

import numpy as np
import xarray as xr

from ai4land_coupler import api

STATES = ("urban", "c3ann", "pastr", "secdf", "secdn")


class Options(api.Options):
    first: int = 1850
    last: int = 2100
    growth: float = 0.002  # growth of cropland in a year, as a share of the land


class SyntheticForcing(api.DataAdapter):
    def __init__(self, options: Options) -> None:
        self.options = options

    def fields(self) -> dict[str, api.FieldInfo]:
        years = self.options.first, self.options.last
        return {name: api.FieldInfo(name, "1", f"share of {name}", years) for name in STATES}

    def grid(self) -> None:
        return None

    def read(self, request: api.Request) -> xr.Dataset:
        for name in request.variables:
            if name not in STATES:
                raise api.FieldError("unknown variable", found=name, remedy=api.nearest(name, STATES))
        for year in request.years:
            if not self.options.first <= year <= self.options.last:
                raise api.TimeError("no states of this year", expected=self.options.first, found=year)
        lat, lon = np.deg2rad(request.grid.lat)[:, None], np.deg2rad(request.grid.lon)[None, :]
        years = np.asarray(request.years).reshape(-1, 1, 1)
        weights = np.stack(
            np.broadcast_arrays(
                0.1 + 0 * years + 0 * lat * lon,
                1 + np.cos(lat) + self.options.growth * (years - self.options.first),
                1 + np.cos(lon),
                1 + np.sin(3 * lon) * np.cos(lat),
                1 + np.sin(2 * lat) ** 2,
            )
        )
        shares = (weights / weights.sum(axis=0)).astype(np.float32)
        arrays = {name: (("year", "lat", "lon"), shares[STATES.index(name)]) for name in request.variables}
        coords = {"year": list(request.years), "lat": request.grid.lat, "lon": request.grid.lon}
        return xr.Dataset(arrays, coords, attrs={"quality": {}})


@api.hookimpl
def ai4land_register(registry: api.Registry) -> None:
    registry.adapter("synthetic-forcing", SyntheticForcing, Options)
