"""Options of a Twin Earth, and its two grids."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.inputs.luh2 import LUH2_LATTICE

#: From the geotransform of HILDA+ v1.0.
HILDA_GRID = LatLonGrid(-180.0, 0.009988624327190708, 36041, 90.0, -0.009988346586746064, 18021)


class TwinOptions(BaseModel):
    """Options of the generator.

    Parameters
    ----------
    lon0, lon1, lat0, lat1:
        The region (degrees east and north). It is extended to whole cells of the 0.25-degree lattice.
    resolution:
        Size of a land cell (degrees). It does not have to divide 0.25. The cells belong to the global lattice of this
        cell size that starts at 180 W, 90 N, as in HILDA+.
    first_year, last_year:
        Years of the first and last map. There is one map per year, valid from 1 January.
    scenario_start:
        Last year of the historical file and first year of the scenario file (both have it, as in LUH2).
    gross_rate:
        Share of the land area (without inland water) that changes class in a year.
    net_share:
        Part of that change that comes from the scenario. The rest are swaps that do not change class areas.
    global_forcing:
        Write the forcing for the whole globe instead of the region (with missing values outside of it).
    published_grid:
        Use the grid of HILDA+ v1.0 (36041 x 18021 cells on the globe) instead of cells of ``resolution``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lon0: float = Field(-4.0, ge=-180, lt=180)
    lon1: float = Field(2.0, gt=-180, le=180)
    lat0: float = Field(50.0, ge=-90, lt=90)
    lat1: float = Field(54.0, gt=-90, le=90)
    resolution: float = Field(0.03, ge=0.001, le=0.125)
    first_year: int = Field(1960, ge=850)
    last_year: int = Field(2030, le=2500)
    scenario_start: int = 2015
    seed: int = Field(1, ge=0, lt=2**32)
    gross_rate: float = Field(0.0053, gt=0, le=0.05)
    net_share: float = Field(0.4, ge=0, le=1)
    global_forcing: bool = False
    published_grid: bool = False

    @model_validator(mode="after")
    def _order(self) -> TwinOptions:
        for low, high in (("lon0", "lon1"), ("lat0", "lat1"), ("first_year", "last_year")):
            if getattr(self, low) >= getattr(self, high):
                raise ValueError(f"{low} must be below {high}; a region may not cross 180 degrees")
        if self.scenario_start < self.first_year:
            raise ValueError("scenario_start must not be before first_year: the history file would be empty")
        return self

    @property
    def years(self) -> range:
        return range(self.first_year, self.last_year + 1)

    @cached_property
    def forcing_grid(self) -> LatLonGrid:
        """The 0.25-degree cells of the region."""
        return LUH2_LATTICE.sub(self.forcing_box)

    @cached_property
    def forcing_box(self) -> Box:
        """The region in cells of the global 0.25-degree lattice, rounded outward."""
        rows = (90 - np.array([self.lat1, self.lat0])) / 0.25
        cols = (np.array([self.lon0, self.lon1]) + 180) / 0.25
        return Box(
            int(np.floor(rows[0] + 1e-9)),
            int(np.ceil(rows[1] - 1e-9)),
            int(np.floor(cols[0] + 1e-9)),
            int(np.ceil(cols[1] - 1e-9)),
        )

    @cached_property
    def global_land_grid(self) -> LatLonGrid:
        """All cells of this size on the globe. Their ids are keys of the random numbers."""
        if self.published_grid:
            return HILDA_GRID
        size = self.resolution
        return LatLonGrid(-180.0, size, int(360 / size + 1e-9), 90.0, -size, int(180 / size + 1e-9))

    @cached_property
    def land_box(self) -> Box:
        """The land cells with centres in the region, in cells of the global land grid.

        Raises
        ------
        ConfigError
            If centres are on edges of forcing cells: rounding would decide to which cell they belong.
        """
        full, box = self.global_land_grid, self.forcing_box
        ranges = []
        for name, offset, first, last in (
            ("latitude", (90 - full.lat) / 0.25, box.row0, box.row1),
            ("longitude", (full.lon + 180) / 0.25, box.col0, box.col1),
        ):
            inside = np.flatnonzero((offset > first) & (offset < last))
            distance = np.abs(offset - np.rint(offset))[inside]
            if distance.min() < 1e-6:
                raise ConfigError(
                    f"cell centres lie on the {name} edges of 0.25-degree forcing cells",
                    expected="every cell centre inside one forcing cell",
                    found=f"cells of {full.dlon} x {-full.dlat} degrees",
                    where="resolution",
                    remedy="choose another cell size, such as 0.03, 0.05, 0.01 or 0.25 divided by an even number",
                )
            ranges += [int(inside[0]), int(inside[-1]) + 1]
        return Box(*ranges)

    @cached_property
    def land_grid(self) -> LatLonGrid:
        """The land cells of the region."""
        return self.global_land_grid.sub(self.land_box)

    def centres(self, pad: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitudes and latitudes of the land cells' centres (degrees), with ``pad`` more cells on every side.

        Computed from the corner of the globe, so that a cell has bit-identical centres in every region.
        """
        box, full = self.land_box, self.global_land_grid
        lon = full.lon0 + full.dlon * (np.arange(box.col0 - pad, box.col1 + pad) + 0.5)
        lat = full.lat0 + full.dlat * (np.arange(box.row0 - pad, box.row1 + pad) + 0.5)
        return np.asarray(lon), np.asarray(lat)
