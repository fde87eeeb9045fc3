"""The coarse states of the twin: the 12 LUH2 states, secondary age and biomass, as exact aggregates of the map.

LUH2 divides classes that the map does not: types of crops, managed pasture and rangeland, primary and secondary land.
In the twin they are hidden attributes of the cells, which depend on the place or on the time since the last change.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.experiments.twin.landscape import (
    CROPLAND,
    FOREST,
    GRASS,
    OTHER,
    PASTURE,
    URBAN,
    Landscape,
)

#: The states of LUH2 that are fractions, in the order of the files. The adapter ``luh2`` has its own list on purpose:
#: the twin's files test that adapter, so the two must not share names.
# fmt: off
FRACTIONS = (
    "primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range"
)
# fmt: on
STATES = (*FRACTIONS, "secma", "secmb")
MISSING = np.float32(1e20)
_NONE = -1
#: Age (years) at which secondary land has half of its potential biomass.
_HALF_AGE = 30


@dataclass
class States:
    """Updates the hidden attributes every year, and aggregates the states.

    ``primary``: land that was never used. ``age``: years since the last change of secondary land. Both (Y, X).
    """

    landscape: Landscape
    cover: NDArray[np.int8]
    primary: NDArray[np.bool_]
    age: NDArray[np.int16]
    area: NDArray[np.int64] = field(init=False)
    total: NDArray[np.float64] = field(init=False)

    @classmethod
    def first(cls, landscape: Landscape, cover: NDArray[np.int8]) -> States:
        """The states of the first year: deserts, ice, high mountains and remote land were never used."""
        primary = (landscape.wild & np.isin(cover, (FOREST, GRASS))) | (cover == OTHER)
        return cls(landscape, cover, np.asarray(primary), landscape.age.copy())

    def __post_init__(self) -> None:
        world = self.landscape
        self.area = np.broadcast_to(world.row_area[:, None], world.shape).ravel()
        self.total = self._sum(self.area, np.ones(world.shape, bool).ravel())

    def _sum(self, values: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Sum over each forcing cell, shape (J,). Exact for integers."""
        size = self.landscape.part.forcing.size
        forcing = self.landscape.forcing.ravel()[mask]
        return np.asarray(np.bincount(forcing, weights=values[mask].astype(np.float64), minlength=size), np.float64)

    def advance(self, cover: NDArray[np.int8]) -> None:
        """Go to the map of the next year. Land that changed becomes secondary, with age zero."""
        changed = cover != self.cover
        self.primary = self.primary & ~changed
        self.age = np.where(changed, 0, np.minimum(self.age + 1, 999)).astype(np.int16)
        self.cover = cover

    def index(self) -> NDArray[np.int8]:
        """Index in :data:`FRACTIONS` of each cell's state; -1 for none."""
        world, cover = self.landscape, self.cover
        index = np.full(world.shape, _NONE, np.int8)
        secondary = np.where(self.primary, 0, 2)
        index = np.where(cover == FOREST, secondary, index)
        index = np.where((cover == GRASS) | (cover == OTHER), secondary + 1, index)
        index = np.where(cover == URBAN, 4, index)
        index = np.where(cover == CROPLAND, 5 + world.crop_type, index)
        return np.where(cover == PASTURE, 10 + world.rangeland, index).astype(np.int8)

    def aggregate(self) -> NDArray[np.float32]:
        """The states of the current year, float32 (14, J) in the order of :data:`STATES`; 1e20 off the land.

        A fraction is the area of its cells divided by the area of all cells (including ocean and water) whose centres
        are in the forcing cell, summed exactly and rounded once. ``secma`` is in years, ``secmb`` in kg C m-2;
        both are means over secondary land, and zero without secondary land.
        """
        world, index = self.landscape, self.index().ravel()
        size = self.total.size
        result = np.full((len(STATES), size), MISSING, np.float32)
        on = index != _NONE
        joint = index[on].astype(np.int64) * size + world.forcing.ravel()[on]
        sums = np.bincount(joint, weights=self.area[on], minlength=len(FRACTIONS) * size).reshape(-1, size)
        land = sums.sum(axis=0) > 0
        result[: len(FRACTIONS), land] = (sums[:, land] / self.total[land]).astype(np.float32)

        secondary = (index == 2) | (index == 3)
        area, age = self._sum(self.area, secondary), self.age.ravel().astype(np.int64)
        # Open land has a twelfth of the biomass of potential forest (g C m-2, integers).
        potential = np.where(index == 2, world.biomass.ravel(), world.biomass.ravel() // 12)
        stock = potential * age // (age + _HALF_AGE)
        for row, values, scale in ((-2, age, 1.0), (-1, stock, 1e-3)):
            mean = scale * self._sum(self.area * values, secondary) / np.maximum(area, 1)
            result[row, land] = mean[land].astype(np.float32)
        return result

    def ice_and_water(self) -> NDArray[np.float64]:
        """Share of ocean and inland water in each forcing cell, shape (J,): 1 minus the sum of the fractions."""
        return self._sum(self.area, self.index().ravel() == _NONE) / self.total
