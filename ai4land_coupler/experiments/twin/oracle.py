"""The upper limit of skill on a twin: a predictor that knows the rules and the amounts, but not the hidden noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ai4land_coupler.experiments.metrics import FigureOfMerit, figure_of_merit
from ai4land_coupler.experiments.twin.demand import PAIRS, class_counts
from ai4land_coupler.experiments.twin.dynamics import Driver, Maps, Moves
from ai4land_coupler.experiments.twin.landscape import Landscape

Amounts = Literal["gross", "net"]


class Skill(BaseModel):
    """Figures of merit of change for one lead time, pooled over the start years.

    ``oracle`` knows the exact net and gross amounts of each forcing cell and year, ``oracle_net`` only the net change
    of each class. Both use the known driver to choose the cells. ``accuracy`` is the overall accuracy of persistence;
    it shows that overall accuracy is not a useful measure.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lead: int
    starts: tuple[int, ...]
    oracle: float
    oracle_net: float
    persistence: float
    accuracy: float


def net_moves(landscape: Landscape, before: Maps, after: Maps) -> Moves:
    """The smallest numbers of changes that give each forcing cell the class counts of the second map; (pairs, J).

    The scenario does not determine which loss belongs to which gain: they are assigned in the order of the pairs.
    """
    change = class_counts(landscape, after) - class_counts(landscape, before)
    lost, gained = np.maximum(-change, 0), np.maximum(change, 0)
    moves = np.zeros((len(PAIRS), change.shape[1]), np.int64)
    for number, (a, b) in enumerate(PAIRS):
        flow = np.minimum(lost[a], gained[b])
        moves[number] = flow
        lost[a] -= flow
        gained[b] -= flow
    return moves


def oracle(
    landscape: Landscape,
    maps: Mapping[int, Maps],
    moves: Mapping[int, Moves],
    start: int,
    lead: int,
    amounts: Amounts = "gross",
) -> Maps:
    """Predict ``lead`` yearly steps from the true map of ``start``. Each step uses the predicted map before.

    Parameters
    ----------
    maps, moves:
        The twin's maps, and the numbers of cells that changed before each of them.
    amounts:
        ``gross``: use the number of changes between each pair of classes in each forcing cell and year.
        ``net``: use only the net change of each class, which the coarse states contain.
    """
    driver, cover = Driver(landscape, noise=False), maps[start]
    for year in range(start + 1, start + lead + 1):
        known = moves[year] if amounts == "gross" else net_moves(landscape, maps[year - 1], maps[year])
        cover = driver.place(cover, year, known)
    return cover


def skill(
    landscape: Landscape, maps: Mapping[int, Maps], moves: Mapping[int, Moves], lead: int, starts: Sequence[int]
) -> Skill:
    """Score the oracle and persistence for one lead time and several start years, on land without inland water."""
    dry = landscape.land & ~landscape.water

    def score(start: int, guess: Maps) -> FigureOfMerit:
        return figure_of_merit(maps[start][dry], maps[start + lead][dry], guess[dry])

    nothing = FigureOfMerit(0, 0, 0, 0)
    sums = {
        "oracle": sum((score(s, oracle(landscape, maps, moves, s, lead)) for s in starts), nothing),
        "oracle_net": sum((score(s, oracle(landscape, maps, moves, s, lead, "net")) for s in starts), nothing),
        "persistence": sum((score(s, maps[s]) for s in starts), nothing),
    }
    accuracy = np.mean([np.mean(maps[s][dry] == maps[s + lead][dry]) for s in starts])
    return Skill(
        lead=lead,
        starts=tuple(starts),
        accuracy=round(float(accuracy), 6),
        **{name: round(total.value, 6) for name, total in sums.items()},
    )


def spread_starts(years: range, lead: int, number: int) -> tuple[int, ...]:
    """Up to ``number`` evenly spaced years from which ``lead`` steps stay within the years."""
    last = years[-1] - lead
    if last < years[0]:
        return ()
    return tuple(sorted({years[0] + (last - years[0]) * k // max(number - 1, 1) for k in range(number)}))
