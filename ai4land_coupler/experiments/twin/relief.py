"""Elevation, rivers and towns. They depend only on the place and the seed."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.experiments.twin.earth import land_at, smooth_at
from ai4land_coupler.experiments.twin.noise import OCTAVES, Floats, fractal_noise
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.inputs.climate_zones import ZONES, zone_at

# Streams of the random fields; landscape.py has those from 20 on.
_MOUNTAIN, _RIDGE, _HILL, _RIVER, _CITY, _VILLAGE, _OUTSKIRTS = range(1, 8)


@cache
def row_areas(options: TwinOptions) -> NDArray[np.int64]:
    """Area of a cell of each row on the sphere (dm2).

    Integers, because their sums are exact: the coarse states do not depend on the order of summation.
    """
    sines = np.array([math.sin(math.radians(lat)) for lat in options.land_grid.lat_edges])
    scale = EARTH_RADIUS**2 * math.radians(options.land_grid.dlon) * 100
    return np.rint(scale * np.abs(np.diff(sines))).astype(np.int64)


def tree_line(lat: Floats) -> Floats:
    """Elevation above which trees do not grow (km)."""
    return np.clip(3.6 - 0.045 * np.abs(lat), 0.3, 3.0)


def heights(rng: KeyedRng, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Elevation (m) and closeness to a river (0 to 1), shape (Y, X)."""
    x, y = lon[None, :], lat[:, None]
    belt = np.clip(fractal_noise(rng, x, y, 60, 3, _MOUNTAIN) * 1.2 - 0.05, 0, 1)
    ridge = np.clip(1 - np.abs(fractal_noise(rng, x, y, 240, 5, _RIDGE)), 0, 1)
    hill = np.clip(0.5 + 0.5 * fractal_noise(rng, x, y, 480, 5, _HILL), 0, 2)
    river = _closeness_to_river(rng, x, y)
    inland = np.clip(smooth_at(land_at, lon, lat, 7) * 1.5 - 0.35, 0.02, 1)
    # Add mountains where the climate zone is colder than usual at its latitude.
    alpine = np.clip(smooth_at(_coldness, lon, lat, 4) * 0.01, 0, 1.5) * tree_line(y)
    height = 15 + 240 * hill * hill + 1600 * belt * ridge * ridge + 1000 * alpine * (0.55 + 0.6 * ridge)
    return inland * height * (1 - 0.5 * river), river


def _closeness_to_river(rng: KeyedRng, lon: Floats, lat: Floats) -> Floats:
    """1 on a river, one half at a distance of 0.04 degrees. Rivers are the zero lines of a noise field."""
    delta = 1 / 256
    here = fractal_noise(rng, lon, lat, 240, 4, _RIVER)
    east = fractal_noise(rng, lon + delta, lat, 240, 4, _RIVER)
    north = fractal_noise(rng, lon, lat + delta, 240, 4, _RIVER)
    steepness = np.sqrt((east - here) ** 2 + (north - here) ** 2) / delta
    distance = np.abs(here) / np.maximum(steepness, 0.5)
    return np.asarray(1 / (1 + (distance / 0.04) ** 2))


def _coldness(lon: Floats, lat: Floats) -> NDArray[np.int64]:
    """How strongly the climate zone indicates high elevation (per cent), shape (Y, X)."""
    table = np.zeros(len(ZONES) + 1, np.int64)
    table[[ZONES.index(z) + 1 for z in ("Cfc", "Dfc", "Dsc", "Dwc")]] = 60
    table[[ZONES.index(z) + 1 for z in ("ET", "EF")]] = 125
    return np.where(np.abs(lat)[:, None] < 57, table[zone_at(lon, lat)], 0)


def slopes(wide: Floats, lat: Floats, steps: tuple[float, float]) -> tuple[Floats, Floats]:
    """Gradient (m per m) and direction in which the slope faces (degrees clockwise from north).

    Parameters
    ----------
    wide:
        Elevation (m) with one more cell on every side, rows from north to south; shape (Y + 2, X + 2).
    lat:
        Latitudes of the inner rows (degrees), shape (Y,).
    steps:
        Size of a cell to the east and to the north (degrees).
    """
    east, north = (EARTH_RADIUS * math.radians(step) for step in steps)
    shrink = np.array([max(math.cos(math.radians(v)), 0.01) for v in lat])[:, None]
    to_east = (wide[1:-1, 2:] - wide[1:-1, :-2]) / (2 * east * shrink)
    to_north = (wide[:-2, 1:-1] - wide[2:, 1:-1]) / (2 * north)
    return np.sqrt(to_east**2 + to_north**2), np.rad2deg(np.arctan2(-to_east, -to_north)) % 360


def town_influence(rng: KeyedRng, lon: Floats, lat: Floats) -> Floats:
    """About 1 in the centre of a town, 0 or less outside of the town; shape (Y, X)."""
    city, village = _towns(rng, lon, lat, 480, 0.30, _CITY), _towns(rng, lon, lat, 1440, 0.07, _VILLAGE)
    town = np.maximum(city, 0.75 * village)
    ragged = 0.22 * fractal_noise(rng, lon[None, :], lat[:, None], 2880, 3, _OUTSKIRTS)
    return np.where(town > 0, town + ragged, town)


def _towns(rng: KeyedRng, lon: Floats, lat: Floats, nodes: int, reach: float, stream: int) -> Floats:
    """Influence of towns on a jittered lattice. The largest radius is ``reach`` degrees; most are much smaller."""
    spacing = 360 / nodes
    x, y = (lon + 180) / spacing, (90 - lat) / spacing
    i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    # Most of the arithmetic is the same for all cells between two columns or rows of the lattice: it is done once.
    columns, column = np.unique(i, return_inverse=True)
    lines, line = np.unique(j, return_inverse=True)
    best = np.zeros((lat.size, lon.size))
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            ids = (lines + dj)[:, None] * nodes + (columns + di) % nodes
            east, south, size = (rng.at(stream=stream * OCTAVES + k).uniform(ids) for k in range(3))
            radius = reach * 0.10 / (size + 0.10)
            weight = 0.6 + 0.6 * radius / reach
            to_east = (x - i - di - east[:, column]) ** 2
            to_south = ((y - j - dj)[:, None] - south[line]) ** 2
            near = np.sqrt(to_east[line] + to_south[:, column])
            near *= spacing
            near /= radius[line][:, column]
            np.subtract(1, near, out=near)
            near *= weight[line][:, column]
            np.maximum(best, near, out=best)
    return best
