"""The initial land: relief, soil, suitabilities, hidden noise, and the first map.

Everything here depends only on the place and the seed: a cell has the same values in every region. Suitabilities are
rounded to integers before cells are ranked, so that the last bit of a floating-point sum cannot change a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE, get_legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.twin.earth import land_at, smooth_at
from ai4land_coupler.experiments.twin.noise import OCTAVES, Floats, fractal_noise
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.part import Part, whole
from ai4land_coupler.experiments.twin.relief import heights, slopes, town_influence, tree_line
from ai4land_coupler.inputs.climate_zones import ZONES, zone_at

LEGEND = "hilda-v1.0-f"
CLASSES = get_legend(LEGEND).classes
URBAN, CROPLAND, PASTURE, FOREST, GRASS, OTHER, WATER = range(7)
#: Number of classes that can change (all but water).
N_DYNAMIC = 6
#: Integer value of one unit of utility.
UNIT = 1000

# Streams of the random fields; relief.py has those below 20.
_LAKE, _CLAY, _SAND, _ORGANIC, _CROPTYPE, _RANGE, _AGE, _WILD, _FORESTTYPE = range(20, 29)
_KNOWN, _HIDDEN = 30, 40

# Utility of cropland, pasture, forest, grass and other land by climate, before relief, soil and noise.
_UTILITY = {
    "Af Am": (-0.25, -0.30, 0.85, -0.60, -1.6),
    "As Aw": (0.20, 0.25, 0.30, 0.35, -1.2),
    "BSh BSk": (0.15, 0.40, -0.70, 0.60, 0.10),
    "BWh BWk": (-0.90, -0.30, -1.60, 0.20, 0.90),
    "Cfa Cfb": (0.22, 0.30, 0.30, -0.25, -1.4),
    "Cfc": (-0.40, 0.35, 0.00, 0.35, -0.5),
    "Csa Csb Csc": (0.35, 0.15, 0.10, 0.15, -0.8),
    "Cwa Cwb Cwc": (0.40, 0.15, 0.30, -0.05, -1.2),
    "Dfa Dfb Dsa Dsb Dwa Dwb": (0.35, 0.10, 0.45, -0.20, -1.4),
    "Dfc Dfd Dsc Dsd Dwc Dwd": (-0.70, -0.40, 0.75, 0.10, -0.5),
    "ET": (-1.60, -0.60, -0.70, 0.50, 0.45),
    "EF": (-3.00, -3.00, -3.00, -1.00, 2.0),
}
# Native code of forest by climate.
_FOREST = {
    "Af Am Cwa Cwb": 42,
    "As Aw BSh BWh Cfa Cfb Cwc": 44,
    "BSk BWk Csa Csb Csc Cfc Dfc Dsc Dwc ET EF": 41,
    "Dfa Dfb Dsa Dsb Dwa Dwb": 45,
    "Dfd Dsd Dwd": 43,
}
# Potential biomass (kg C m-2) by native code of forest. Open land has a twelfth of it.
_BIOMASS = {41: 12, 42: 20, 43: 9, 44: 14, 45: 13}


def _by_zone(table: Mapping[str, float | tuple[float, ...]], size: int) -> Floats:
    values = np.full((len(ZONES) + 1, size), np.nan)
    for names, value in table.items():
        for name in names.split():
            values[ZONES.index(name) + 1] = value
    return values


@dataclass(frozen=True)
class Ground:
    """Land mask, climate, relief and soil of a part (Y, X): most of them are in the files of static fields.

    ``river`` is the closeness to a river, ``gradient`` the slope in metres per metre.
    """

    part: Part
    land: NDArray[np.bool_]
    zone: NDArray[np.uint8]
    elevation: Floats
    river: Floats
    gradient: Floats
    aspect: Floats
    clay: Floats
    sand: Floats
    organic_carbon: Floats

    @property
    def slope(self) -> Floats:
        """Slope (degrees)."""
        return np.asarray(np.rad2deg(np.arctan(self.gradient)))


@dataclass(frozen=True)
class Landscape:
    """What decides about the land cover of the cells of a part (Y, X), and indices of the cells.

    ``suitability`` is the known driver, ``hidden`` the part that is in no file. Both are int16 (6, Y, X), in
    thousandths of a unit of utility, in the order of the legend's view without water.
    """

    part: Part
    land: NDArray[np.bool_]
    water: NDArray[np.bool_]
    movable: NDArray[np.bool_]
    suitability: NDArray[np.int16]
    hidden: NDArray[np.int16]
    forest_code: NDArray[np.uint8]
    crop_type: NDArray[np.uint8]
    rangeland: NDArray[np.bool_]
    wild: NDArray[np.bool_]
    age: NDArray[np.int16]

    @property
    def options(self) -> TwinOptions:
        return self.part.options

    @cached_property
    def cell(self) -> NDArray[np.int64]:
        """Ids of the cells on the globe."""
        return self.part.cells()

    @cached_property
    def forcing(self) -> NDArray[np.int64]:
        """Number of each cell's forcing cell, counted in the part."""
        return self.part.forcing_cells()

    @property
    def row_area(self) -> NDArray[np.int64]:
        """Area of a cell of each row (dm2)."""
        return self.part.row_area()

    @property
    def dry_area(self) -> int:
        """Land without inland water (dm2)."""
        return int((self.land & ~self.water).sum(axis=1) @ self.row_area)

    @property
    def biomass(self) -> NDArray[np.int32]:
        """Potential biomass if a cell is forest (g C m-2)."""
        table = np.zeros(256, np.int32)
        table[list(_BIOMASS)] = [v * 1000 for v in _BIOMASS.values()]
        return np.asarray(table[self.forest_code])

    @property
    def rng(self) -> KeyedRng:
        return KeyedRng(self.options.seed)

    @property
    def shape(self) -> tuple[int, int]:
        return self.part.shape

    def first_map(self) -> NDArray[np.int8]:
        """Classes of the legend's view in the first year: those with the largest utility; (Y, X)."""
        utility = self.suitability.astype(np.int32) + self.hidden
        cover = utility.argmax(axis=0).astype(np.int8)
        cover[self.water] = WATER
        cover[~self.land] = OUTSIDE
        return np.asarray(cover)

    def codes(self, cover: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Native codes of a map of view classes: forest by climate, 0 for the ocean."""
        table = np.zeros(8, np.uint8)
        table[:7] = get_legend(LEGEND).new_codes
        codes = table[cover]
        return np.asarray(np.where(cover == FOREST, self.forest_code, codes), np.uint8)


def make_ground(part: Part) -> Ground:
    """Build mask, relief and soil of a part."""
    rng, grid = KeyedRng(part.options.seed), part.options.land_grid
    lon, lat = part.centres()
    x, y = lon[None, :], lat[:, None]
    zone = zone_at(lon, lat)
    # The slope needs one more cell on every side.
    wide, wide_river = heights(rng, *part.centres(pad=1))
    elevation, river = wide[1:-1, 1:-1], wide_river[1:-1, 1:-1]
    gradient, aspect = slopes(wide, lat, (grid.dlon, -grid.dlat))
    cold, dry = _in_zones(zone, "DE"), _in_zones(zone, "B")
    clay = np.clip(0.24 + 0.16 * fractal_noise(rng, x, y, 360, 4, _CLAY) + 0.10 * river - 0.06 * dry, 0.03, 0.65)
    sand = np.clip((1 - clay) * (0.48 + 0.28 * fractal_noise(rng, x, y, 300, 4, _SAND)), 0.03, 0.92)
    patchy = 1 + 0.5 * fractal_noise(rng, x, y, 420, 4, _ORGANIC)
    organic = np.clip((22 + 26 * cold - 14 * dry + 0.022 * elevation) * patchy, 2, 250)
    return Ground(part, land_at(lon, lat), zone, elevation, river, gradient, aspect, clay, sand, organic)


def make_landscape(options: TwinOptions) -> Landscape:
    """Build the landscape of a whole twin.

    Raises
    ------
    ConfigError
        If the region has no land.
    """
    ground = make_ground(whole(options))
    check_land(options, bool(ground.land.any()))
    return landscape_on(ground)


def check_land(options: TwinOptions, found: bool) -> None:
    """Raise ``ConfigError`` if no land was found in the region."""
    if not found:
        raise ConfigError(
            "the region of the Twin Earth holds no land",
            expected="a box with land in it",
            found=f"{options.lon0} to {options.lon1} E, {options.lat0} to {options.lat1} N",
            where="lon0, lon1, lat0, lat1",
        )


def landscape_on(ground: Ground) -> Landscape:
    """Build what decides about the land cover of a part."""
    part, land, zone, elevation = ground.part, ground.land, ground.zone, ground.elevation
    rng = KeyedRng(part.options.seed)
    lon, lat = part.centres()
    x, y = lon[None, :], lat[:, None]
    dry = _in_zones(zone, "B")
    lake = fractal_noise(rng, x, y, 720, 4, _LAKE) + 0.55 * ground.river - 0.0006 * elevation
    water = land & (lake > 1.28)
    town = town_influence(rng, lon, lat)
    hidden = 0.28 * np.stack([fractal_noise(rng, x, y, 2400, 4, _HIDDEN + c) for c in range(N_DYNAMIC)])
    hidden[URBAN] *= 0.6
    cell = part.cells()
    rough = ground.gradient * 7 + elevation / 1600
    return Landscape(
        part=part,
        land=land,
        water=water,
        movable=land & ~water & (zone != ZONES.index("EF") + 1),
        suitability=np.rint(np.clip(_suitability(rng, ground, town), -8, 8) * UNIT).astype(np.int16),
        hidden=np.rint(hidden * UNIT).astype(np.int16),
        forest_code=_forest_codes(rng, lon, lat, zone, elevation / 1000),
        crop_type=_crop_type(rng, x, y, cell, dry),
        rangeland=fractal_noise(rng, x, y, 360, 3, _RANGE) + 1.2 * dry + elevation / 2500 > 0.45,
        wild=(town <= 0) & (rough + fractal_noise(rng, x, y, 240, 3, _WILD) > 0.25),
        age=(5 + 115 * rng.at(stream=_AGE * OCTAVES).uniform(cell)).astype(np.int16),
    )


def _in_zones(zone: NDArray[np.uint8], letters: str) -> NDArray[np.bool_]:
    """True where the first letter of the climate zone is one of ``letters``."""
    return np.isin(zone, [number for number, name in enumerate(ZONES, 1) if name[0] in letters])


def _suitability(rng: KeyedRng, ground: Ground, town: Floats) -> Floats:
    """Utility of each dynamic class, (6, Y, X), without the hidden noise."""
    lon, lat = ground.part.centres()
    km, gradient, river = ground.elevation / 1000, ground.gradient, ground.river
    clay, sand, organic = ground.clay, ground.sand, ground.organic_carbon
    utility = np.rint(np.nan_to_num(_by_zone(_UTILITY, 5)) * UNIT).astype(np.int64)
    base = smooth_at(lambda a, b: np.moveaxis(utility[zone_at(a, b)], -1, 0), lon, lat, 2) / UNIT
    above = np.clip(km - tree_line(lat[:, None]), 0, None)
    loam = 1 - 5 * np.abs(clay - 0.26) - 1.2 * np.abs(sand - 0.40)
    steep = np.clip(gradient * 14, 0, 2)
    habitable = 0.35 * loam + 0.5 * river - 0.5 * km - 0.6 * steep + np.clip(base[0], -1, 0.2)
    near = np.clip(town, 0, 1)
    known = np.stack([fractal_noise(rng, lon[None, :], lat[:, None], 300, 4, _KNOWN + c) for c in range(N_DYNAMIC)])
    suitability = np.stack(
        [
            -0.55 + 2.6 * near + 0.6 * habitable - 1.5 * above,
            base[0] + 0.70 * loam + 0.15 * river - 1.0 * km - 0.8 * steep + 0.25 * near,
            base[1] + 0.30 * clay - 0.25 * km - 0.1 * steep + 0.004 * organic,
            base[2] - 0.40 * loam + 0.25 * km + 0.60 * steep - 2.5 * above,
            base[3] - 0.30 * loam + 0.45 * km + 0.15 * steep - 0.8 * above,
            base[4] + 0.20 * steep + 2.6 * above,
        ]
    )
    weight = np.array([0.1, 0.4, 0.4, 0.4, 0.4, 0.4])[:, None, None]
    return suitability + weight * known


def _forest_codes(rng: KeyedRng, lon: Floats, lat: Floats, zone: NDArray[np.uint8], km: Floats) -> NDArray[np.uint8]:
    """Native code of a cell if it is forest; elevation in km."""
    mix = fractal_noise(rng, lon[None, :], lat[:, None], 480, 4, _FORESTTYPE)
    code = np.nan_to_num(_by_zone(_FOREST, 1))[zone][..., 0].astype(np.uint8)
    mild = np.isin(code, (44, 45))
    code = np.where(mild & (mix > 0.55), 45, np.where(mild & (mix < -0.6), 44, code))
    return np.where(mild & (km > 0.55 * tree_line(lat[:, None])), 41, code).astype(np.uint8)


def _crop_type(
    rng: KeyedRng, lon: Floats, lat: Floats, cell: NDArray[np.int64], dry: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Crop state of a cell if it is cropland: 0 to 4 for c3ann c4ann c3per c4per c3nfx."""
    tropical = np.abs(lat) < 24
    region = fractal_noise(rng, lon, lat, 240, 3, _CROPTYPE)
    draw = rng.at(stream=_CROPTYPE * OCTAVES + OCTAVES - 1).uniform(cell)
    # Upper limits of the random numbers for c4ann, c3per, c4per and c3nfx; the rest is c3ann.
    c4ann = np.clip(0.18 + 0.25 * region + 0.10 * tropical + 0.05 * dry, 0.02, 0.6)
    c3per = c4ann + 0.08
    c4per = c3per + 0.01 + 0.05 * tropical
    ends = np.stack([c4ann, c3per, c4per, c4per + 0.12])
    return np.asarray(np.array([1, 2, 3, 4, 0], np.uint8)[(draw >= ends).sum(axis=0)])
