"""Amounts of change in each 0.25-degree forcing cell: net demand of the scenario, and swaps.

The amounts depend on the map of the year before and on fields that are smooth in space and time. They are flows between
classes, in cells per year. Parts of a cell are carried to the next year.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.experiments.twin.landscape import (
    CROPLAND,
    FOREST,
    GRASS,
    N_DYNAMIC,
    OTHER,
    PASTURE,
    URBAN,
    Landscape,
)
from ai4land_coupler.experiments.twin.noise import OCTAVES, Floats, fractal_noise, gradient_noise
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.relief import row_areas

#: All ordered pairs of classes between which cells can change. Urban cells never change.
PAIRS = tuple((a, b) for a in range(N_DYNAMIC) for b in range(N_DYNAMIC) if a not in (b, URBAN))

# Pair of classes, weight, and trend towards the second class in the years of _ERAS.
_ERAS = (1850, 1950, 1990, 2015, 2050, 2100)
_NET = (
    (CROPLAND, FOREST, 1.0, (-0.7, -0.5, 0.0, 0.2, 0.6, 0.5)),
    (CROPLAND, GRASS, 0.5, (-0.4, -0.2, 0.1, 0.2, 0.3, 0.2)),
    (PASTURE, FOREST, 0.8, (-0.5, -0.4, 0.0, 0.3, 0.7, 0.4)),
    (PASTURE, GRASS, 0.5, (-0.4, -0.2, 0.1, 0.2, 0.3, 0.2)),
    (CROPLAND, PASTURE, 0.6, (-0.1, 0.0, 0.0, 0.0, -0.2, -0.2)),
    (FOREST, GRASS, 0.2, (0.0, 0.0, 0.0, 0.0, -0.1, -0.1)),
    (GRASS, OTHER, 0.2, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    (CROPLAND, URBAN, 0.20, (0.2, 0.6, 0.8, 0.7, 0.5, 0.3)),
    (PASTURE, URBAN, 0.16, (0.2, 0.6, 0.8, 0.7, 0.5, 0.3)),
    (FOREST, URBAN, 0.05, (0.2, 0.6, 0.8, 0.7, 0.5, 0.3)),
    (GRASS, URBAN, 0.08, (0.2, 0.6, 0.8, 0.7, 0.5, 0.3)),
)
_SWAPS = (
    (CROPLAND, PASTURE, 1.0),
    (CROPLAND, FOREST, 0.5),
    (CROPLAND, GRASS, 0.6),
    (PASTURE, FOREST, 0.6),
    (PASTURE, GRASS, 0.6),
    (FOREST, GRASS, 0.5),
    (GRASS, OTHER, 0.3),
)
#: Years between two random fields of the scenario's trend. Between them, the trend is interpolated smoothly.
_TREND_YEARS = 25
#: Years over which missing gross change is compensated.
_CATCH_UP = 4
#: An amount that is never rounded up to a cell.
_NEVER = -1e9
_TREND, _HEAT, _CARRY = 100, 130, 131


def class_counts(landscape: Landscape, cover: NDArray[np.int8]) -> NDArray[np.int64]:
    """Number of cells of each dynamic class in each forcing cell, shape (6, J). Fixed cells do not count."""
    size = landscape.part.forcing.size
    use = landscape.movable
    index = cover[use].astype(np.int64) * size + landscape.forcing[use]
    return np.bincount(index, minlength=N_DYNAMIC * size).reshape(N_DYNAMIC, size)


@dataclass
class Demand:
    """Yearly numbers of cells to change, by ordered pair of classes and forcing cell.

    Stores the remainders, and the requested and realised areas up to now. Swaps compensate for change that was missing
    in earlier years, so that the long-term gross rate is correct.

    Parameters
    ----------
    land_area:
        Land without inland water (dm2).
    cells:
        Numbers of the forcing cells (J), in rising order. Those without cells that can change may be left out.
    """

    options: TwinOptions
    land_area: int
    cells: NDArray[np.int64]
    asked: float = 0.0
    realised: float = 0.0
    carry: Floats = field(init=False)
    swap_carry: Floats = field(init=False)
    heat: Floats = field(init=False)

    def __post_init__(self) -> None:
        grid, box = self.options.forcing_grid, self.options.forcing_box
        row, col = np.divmod(self.cells, grid.nlon)
        self._rng, self._lon, self._lat = KeyedRng(self.options.seed), grid.lon[col], grid.lat[row]
        warm = 0.15 + np.clip(fractal_noise(self._rng, self._lon, self._lat, 240, 3, _HEAT), 0, None)
        self.heat = warm * warm
        ids = (box.row0 + row) * 1440 + box.col0 + col

        # Initial remainders are random between zero and one cell. Otherwise nothing would change in the first years.
        def start(number: int, stream: int) -> Floats:
            first = (_CARRY + stream) * OCTAVES
            return np.stack([self._rng.at(stream=first + k).uniform(ids) for k in range(number)])

        self.carry, self.swap_carry = start(len(_NET), 0), start(len(_SWAPS), 2)

    def trend(self, number: int, year: int) -> Floats:
        """Trend of the scenario towards the second class of a pair, shape (J,); smooth in space and time."""
        knot, part = divmod(year, _TREND_YEARS)
        t = part / _TREND_YEARS
        t = t * t * (3 - 2 * t)
        fields = [
            gradient_noise(self._rng.at(year=k, stream=_TREND * OCTAVES + number), self._lon, self._lat, 90, shift=0.37)
            for k in (knot, knot + 1)
        ]
        era = float(np.interp(year, _ERAS, _NET[number][3]))
        return np.asarray((1 - t) * fields[0] + t * fields[1] + era)

    def moves(self, year: int, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of cells to change in the step that ends in ``year``, shape (pairs, J), in the order of :data:`PAIRS`.

        ``counts``: number of cells of each class in the map of the year before. It limits the losses of a class.
        """
        options = self.options
        cell_area = row_areas(options).mean()
        land = float(self.land_area)
        total = np.maximum(counts.sum(axis=0), 1)
        left = counts.copy()
        moves = np.zeros((len(PAIRS), counts.shape[1]), np.int64)

        flows = []
        for number, (a, b, weight, _) in enumerate(_NET):
            push = self.trend(number, year)
            source, target = np.where(push > 0, counts[a], counts[b]), np.where(push > 0, counts[b], counts[a])
            if b == URBAN:
                # Towns only grow, and more slowly the more of the forcing cell they cover.
                room = 1 - 2 * counts[b] / total
                push, source, target = np.maximum(push, 0) * np.maximum(room, 0), counts[a], counts[b]
            flows.append(weight * push * self.heat * source * (target + 0.02 * total) / total)
        planned = math.fsum(np.abs(flows).ravel())
        wanted = options.net_share * options.gross_rate * land / cell_area
        for number, (a, b, _, _) in enumerate(_NET):
            if planned > 0:
                self.carry[number] += flows[number] * (wanted / planned)
            whole = np.floor(self.carry[number]).astype(np.int64)
            forth = np.minimum(np.maximum(whole, 0), left[a])
            back = np.minimum(np.maximum(-whole, 0), left[b])
            self.carry[number] -= forth - back
            moves[PAIRS.index((a, b))] += forth
            left[a] -= forth
            if b != URBAN:
                moves[PAIRS.index((b, a))] += back
                left[b] -= back

        room = np.stack([np.minimum(left[a], left[b]) for a, b, _ in _SWAPS])
        exchange = np.array([w for *_, w in _SWAPS])[:, None] * self.heat * room
        planned = 2 * math.fsum(exchange.ravel())
        # Compensate for missing change over a few years, not at once.
        missed = self.asked - self.realised
        wanted = max((options.gross_rate * land + missed / _CATCH_UP) / cell_area - float(moves.sum()), 0.0)
        if planned > 0:
            self.swap_carry += exchange * (wanted / planned)
        swaps = _whole(np.where(room > 0, self.swap_carry, _NEVER), round(wanted / 2))
        for number, (a, b, _) in enumerate(_SWAPS):
            both = np.minimum(swaps[number], np.minimum(left[a], left[b]))
            self.swap_carry[number] -= both
            for pair in ((a, b), (b, a)):
                moves[PAIRS.index(pair)] += both
                left[pair[0]] -= both
        self.asked += options.gross_rate * land
        return moves

    def record(self, area: int) -> None:
        """Add the area (dm2) that changed in a step."""
        self.realised += area


def _whole(amounts: Floats, total: int) -> NDArray[np.int64]:
    """Round the amounts to integers with a given sum: the largest remainders are rounded up.

    If the sum of the whole parts exceeds the total, those with the smallest remainders are reduced. Of equal
    remainders, the first is rounded up.
    """
    flat = amounts.ravel()
    whole = np.maximum(np.floor(flat), 0).astype(np.int64)
    missing = total - int(whole.sum())
    if missing > 0:
        whole[np.argsort(whole - flat, kind="stable")[:missing]] += 1
    elif missing < 0:
        holders = np.flatnonzero(whole)
        last = np.argsort((flat - whole)[holders], kind="stable")[:-missing]
        whole[holders[last]] -= 1
    return whole.reshape(amounts.shape)
