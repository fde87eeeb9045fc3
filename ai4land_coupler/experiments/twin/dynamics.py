"""Chooses the cells that change: the known driver, the hidden noise, and the yearly step.

The cells with the largest gain change from class a to class b::

    gain = suitability_b - suitability_a + NEIGHBOUR * (share_b - share_a) + hidden_b - hidden_a + event_b + chance_b

The first two terms are the known driver: static fields and the map of the year before. The others are hidden: a static
field, a yearly field (both correlated in space), and a random number for each cell and year.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.experiments.twin.demand import PAIRS, Demand, class_counts
from ai4land_coupler.experiments.twin.landscape import N_DYNAMIC, UNIT, Landscape
from ai4land_coupler.experiments.twin.noise import OCTAVES, gradient_noise

#: Weight of the share of a class among the cells within NEIGHBOUR_REACH rows and columns.
NEIGHBOUR = 1.0
NEIGHBOUR_REACH = 2
_EVENT, _EVENT_NODES, _EVENT_WEIGHT = 140, 1800, 0.40
_CHANCE, _CHANCE_WEIGHT = 141, 0.7
Maps = NDArray[np.int8]
Moves = NDArray[np.int64]


def neighbour_shares(around: Maps) -> NDArray[np.int32]:
    """Share of each dynamic class in the land around each cell, including the cell, in thousandths; (6, Y, X).

    ``around``: the map with NEIGHBOUR_REACH more cells on every side.
    """
    width = 2 * NEIGHBOUR_REACH + 1

    def box(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
        sums = np.pad(mask.astype(np.int32), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        return np.asarray(
            sums[width:, width:] - sums[:-width, width:] - sums[width:, :-width] + sums[:-width, :-width], np.int32
        )

    land = np.maximum(box(around >= 0), 1)
    return np.stack([UNIT * box(around == c) // land for c in range(N_DYNAMIC)])


@dataclass(frozen=True)
class Driver:
    """Ranks the cells for each change. The twin uses it with ``noise``, the oracle without."""

    landscape: Landscape
    noise: bool = True

    def place(self, cover: Maps, year: int, moves: Moves, around: Maps | None = None) -> Maps:
        """The map of ``year`` from the map of the year before.

        Parameters
        ----------
        cover:
            Map of the year before, view classes, int8 (Y, X).
        moves:
            Number of cells to change, (pairs, J). If a forcing cell has fewer cells of the class, all of them change.
        around:
            ``cover`` with NEIGHBOUR_REACH more cells on every side. Default: there is no land around it.

        Returns
        -------
        A new map. Of cells with equal gain, the one with the lower id changes.
        """
        if not moves.any():
            return cover.copy()
        world = self.landscape
        if around is None:
            around = np.pad(cover, NEIGHBOUR_REACH, constant_values=OUTSIDE)
        shares = neighbour_shares(around).reshape(N_DYNAMIC, -1)
        events: dict[int, NDArray[np.float64]] = {}
        old, new = cover.ravel(), cover.ravel().copy()
        forcing, suitability = world.forcing.ravel(), world.suitability.reshape(N_DYNAMIC, -1)
        free = world.movable.ravel() & (moves.sum(axis=0) > 0)[forcing]
        by_class = [np.flatnonzero(free & (old == c)) for c in range(N_DYNAMIC)]
        for (a, b), number in zip(PAIRS, moves, strict=True):
            if not number.any():
                continue
            candidates = by_class[a][number[forcing[by_class[a]]] > 0]
            candidates = candidates[new[candidates] == a]
            gain = suitability[b, candidates].astype(np.int64) - suitability[a, candidates]
            # Without the noise: if b is more suitable than the present class a, there are hidden reasons for a.
            if self.noise:
                if b not in events:
                    events[b] = self._event(b, year)
                gain += self._hidden_gain(a, b, year, candidates, events[b])
            else:
                np.minimum(gain, 0, out=gain)
            gain += (NEIGHBOUR * (shares[b, candidates] - shares[a, candidates])).astype(np.int64)
            owner = forcing[candidates]
            # Sort by forcing cell, then by falling gain. The sort is stable: equal gains stay in the order of ids.
            order = np.argsort((owner << 32) - gain, kind="stable")
            owner = owner[order]
            rank = np.arange(owner.size) - np.searchsorted(owner, owner)
            new[candidates[order[rank < number[owner]]]] = b
        return new.reshape(cover.shape)

    def _event(self, b: int, year: int) -> NDArray[np.float64]:
        """The yearly field of a class, for all cells (Y * X)."""
        lon, lat = self.landscape.part.centres()
        rng = self.landscape.rng.at(year=year, stream=_EVENT * OCTAVES + b)
        return gradient_noise(rng, lon[None, :], lat[:, None], _EVENT_NODES).ravel()

    def _hidden_gain(
        self, a: int, b: int, year: int, cells: NDArray[np.int64], event: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """The hidden part of the gain, which is in no file, for flat indices of cells of the part."""
        world = self.landscape
        hidden = world.hidden.reshape(N_DYNAMIC, -1)
        chance = world.rng.at(year=year, stream=_CHANCE * OCTAVES + b).uniform(world.cell.ravel()[cells]) - 0.5
        yearly = np.rint((_EVENT_WEIGHT * event[cells] + _CHANCE_WEIGHT * chance) * UNIT).astype(np.int64)
        return np.asarray(hidden[b, cells].astype(np.int64) - hidden[a, cells] + yearly)


def simulate(landscape: Landscape) -> Iterator[tuple[int, Maps, Moves]]:
    """The maps of the twin, one per year.

    Yields
    ------
    Year, map of view classes (Y, X), and the numbers of cells (pairs, J) that changed since the year before (zero for
    the first map).
    """
    cells = np.arange(landscape.part.forcing.size)
    demand, driver = Demand(landscape.options, landscape.dry_area, cells), Driver(landscape)
    cover = landscape.first_map()
    first, *years = landscape.options.years
    yield first, cover, np.zeros((len(PAIRS), cells.size), np.int64)
    for year in years:
        moves = demand.moves(year, class_counts(landscape, cover))
        after = driver.place(cover, year, moves)
        demand.record(changed_area(landscape, cover, after))
        cover = after
        yield year, cover, moves


def changed_area(landscape: Landscape, before: Maps, after: Maps) -> int:
    """Area with different classes in two maps (dm2)."""
    return int((before != after).sum(axis=1) @ landscape.row_area)
