"""The initial land: relief, soil, suitabilities, hidden noise, and the first map.

Everything here depends only on the place and the seed: a cell has the same values in every region. Suitabilities are
rounded to integers before cells are ranked, so that the last bit of a floating-point sum cannot change a map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE, get_legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.twin.earth import land_at, smooth_at
from ai4land_coupler.experiments.twin.noise import OCTAVES, Floats, fractal_noise
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.relief import heights, row_areas, slopes, town_influence, tree_line
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
class Landscape:
    """Static fields of the land cells (Y, X), and indices of the cells.

    ``suitability`` is the known driver, ``hidden`` the part that is in no file. Both are int16 (6, Y, X), in
    thousandths of a unit of utility, in the order of the legend's view without water.
    """

    options: TwinOptions
    cell: NDArray[np.int64]
    forcing: NDArray[np.int64]
    row_area: NDArray[np.int64]
    land: NDArray[np.bool_]
    water: NDArray[np.bool_]
    movable: NDArray[np.bool_]
    zone: NDArray[np.uint8]
    elevation: Floats
    slope: Floats
    aspect: Floats
    clay: Floats
    sand: Floats
    organic_carbon: Floats
    suitability: NDArray[np.int16]
    hidden: NDArray[np.int16]
    forest_code: NDArray[np.uint8]
    crop_type: NDArray[np.uint8]
    rangeland: NDArray[np.bool_]
    wild: NDArray[np.bool_]
    age: NDArray[np.int16]
    biomass: NDArray[np.int32]

    @property
    def rng(self) -> KeyedRng:
        return KeyedRng(self.options.seed)

    @property
    def shape(self) -> tuple[int, int]:
        return self.options.land_grid.shape

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


def make_landscape(options: TwinOptions) -> Landscape:
    """Build the static fields of a region.

    Raises
    ------
    ConfigError
        If the region has no land.
    """
    rng = KeyedRng(options.seed)
    lon, lat = options.centres()
    x, y = lon[None, :], lat[:, None]
    land = land_at(lon, lat)
    if not land.any():
        raise ConfigError(
            "the region of the Twin Earth holds no land",
            expected="a box with land in it",
            found=f"{options.lon0} to {options.lon1} E, {options.lat0} to {options.lat1} N",
            where="lon0, lon1, lat0, lat1",
        )
    zone = zone_at(lon, lat)
    # The slope needs one more cell on every side.
    wide, wide_river = heights(rng, *options.centres(pad=1))
    elevation, river = wide[1:-1, 1:-1], wide_river[1:-1, 1:-1]
    gradient, aspect = slopes(wide, lat, options.resolution)
    lake = fractal_noise(rng, x, y, 720, 4, _LAKE) + 0.55 * river - 0.0006 * elevation
    water = land & (lake > 1.28)

    cold, dry = _in_zones(zone, "DE"), _in_zones(zone, "B")
    clay = np.clip(0.24 + 0.16 * fractal_noise(rng, x, y, 360, 4, _CLAY) + 0.10 * river - 0.06 * dry, 0.03, 0.65)
    sand = np.clip((1 - clay) * (0.48 + 0.28 * fractal_noise(rng, x, y, 300, 4, _SAND)), 0.03, 0.92)
    patchy = 1 + 0.5 * fractal_noise(rng, x, y, 420, 4, _ORGANIC)
    organic = np.clip((22 + 26 * cold - 14 * dry + 0.022 * elevation) * patchy, 2, 250)
    town = town_influence(rng, lon, lat)
    suitability = _suitability(rng, lon, lat, elevation / 1000, gradient, clay, sand, organic, river, town)
    hidden = 0.28 * np.stack([fractal_noise(rng, x, y, 2400, 4, _HIDDEN + c) for c in range(N_DYNAMIC)])
    hidden[URBAN] *= 0.6

    box, coarse = options.land_box, options.forcing_grid
    rows, cols = np.arange(box.row0, box.row1)[:, None], np.arange(box.col0, box.col1)[None, :]
    cell = (rows * options.global_land_grid.nlon + cols).astype(np.int64)
    code = _forest_codes(rng, lon, lat, zone, elevation / 1000)
    biomass = np.zeros(256, np.int32)
    biomass[list(_BIOMASS)] = [v * 1000 for v in _BIOMASS.values()]
    rough = gradient * 7 + elevation / 1600
    return Landscape(
        options=options,
        cell=cell,
        forcing=coarse.rows_of(lat)[:, None] * coarse.nlon + coarse.cols_of(lon)[None, :],
        row_area=row_areas(options),
        land=land,
        water=water,
        movable=land & ~water & (zone != ZONES.index("EF") + 1),
        zone=zone,
        elevation=elevation,
        slope=np.rad2deg(np.arctan(gradient)),
        aspect=aspect,
        clay=clay,
        sand=sand,
        organic_carbon=organic,
        suitability=np.rint(np.clip(suitability, -8, 8) * UNIT).astype(np.int16),
        hidden=np.rint(hidden * UNIT).astype(np.int16),
        forest_code=code,
        crop_type=_crop_type(rng, x, y, cell, dry),
        rangeland=fractal_noise(rng, x, y, 360, 3, _RANGE) + 1.2 * dry + elevation / 2500 > 0.45,
        wild=(town <= 0) & (rough + fractal_noise(rng, x, y, 240, 3, _WILD) > 0.25),
        age=(5 + 115 * rng.at(stream=_AGE * OCTAVES).uniform(cell)).astype(np.int16),
        biomass=biomass[code],
    )


def _in_zones(zone: NDArray[np.uint8], letters: str) -> NDArray[np.bool_]:
    """True where the first letter of the climate zone is one of ``letters``."""
    return np.isin(zone, [number for number, name in enumerate(ZONES, 1) if name[0] in letters])


def _suitability(
    rng: KeyedRng,
    lon: Floats,
    lat: Floats,
    km: Floats,
    gradient: Floats,
    clay: Floats,
    sand: Floats,
    organic: Floats,
    river: Floats,
    town: Floats,
) -> Floats:
    """Utility of each dynamic class, (6, Y, X), without the hidden noise.

    Elevation in km, gradient in m per m, soil fractions 0 to 1, organic carbon in g kg-1.
    """
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
