"""The static fields that are known by name: units, CF standard names, and possible values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """A known field: units, CF standard name, and range of possible values."""

    units: str
    standard_name: str
    long_name: str
    valid: tuple[float, float]


KNOWN: Mapping[str, Known] = {
    "elevation": Known("m", "surface_altitude", "surface elevation", (-12_000.0, 9_000.0)),
    "slope": Known("degree", "ground_slope_angle", "slope", (0.0, 90.0)),
    "aspect": Known("degree", "ground_slope_direction", "aspect, clockwise from north, downslope", (0.0, 360.0)),
    "clay": Known("1", "volume_fraction_of_clay_in_soil", "clay content of the soil", (0.0, 1.0)),
    "sand": Known("1", "volume_fraction_of_sand_in_soil", "sand content of the soil", (0.0, 1.0)),
    "organic_carbon": Known("g kg-1", "", "organic carbon content of the soil", (0.0, 1_000.0)),
    "land_fraction": Known("1", "land_area_fraction", "share of land in the cell", (0.0, 1.0)),
    # A density, because a count must not be interpolated. Predictors take log(1 + x) themselves. The most densely
    # populated square kilometres on Earth have about 10^5 people.
    "population_density": Known("m-2", "", "people per area", (0.0, 1.0)),
}

#: Computed from elevation if the file does not have them.
DERIVED = ("slope", "aspect")
