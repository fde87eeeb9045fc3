"""Compares two files of states in a year that both hold: their cells, and the areas of groups of states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError
from ai4land_luh2.layout import Layout
from ai4land_luh2.variables import CROPS, FRACTIONS

#: Sums of the named variables of a file in a year (lat, lon); NaN where missing.
Sums = Callable[[Layout, Sequence[str], int], NDArray[np.float64]]

GROUPS: Mapping[str, tuple[str, ...]] = {
    "forest": ("primf", "secdf", "pltns"),
    "other natural land": ("primn", "secdn"),
    "cropland": (*CROPS, "crop"),
    "pasture": ("pastr", "range"),
    "urban": ("urban",),
}

#: A smaller difference of areas, as a share of the compared cells, is no jump: data sets round differently.
SMALL = 1e-4


@dataclass(frozen=True)
class Joint:
    """The differences between two files in a year that both hold, over the cells that both cover.

    Parameters
    ----------
    year:
        The first year that is read from the later file.
    compared:
        The year that is compared.
    mean, largest:
        State to the mean and the largest absolute difference (fractions of the cell). If only one file has a state,
        the state counts as 0 in the other. If one file has ``crop``, the five crop states of the other are summed.
    cells:
        Number of cells that were compared.
    area:
        Group of states to the difference of its area, later minus earlier (km2).
    usual:
        Group to its usual yearly change (km2): the larger of the changes in the earlier file to the compared year and
        in the later file from that year. Without groups of which the areas differ little, and without groups of which
        neither file has the other year.
    """

    year: int
    compared: int
    earlier: str
    later: str
    mean: Mapping[str, float]
    largest: Mapping[str, float]
    cells: int
    area: Mapping[str, float]
    usual: Mapping[str, float]

    def jumps(self, tolerance: float) -> list[str]:
        """States whose mean difference exceeds a tolerance, the worst first."""
        return sorted((n for n, m in self.mean.items() if m > tolerance), key=lambda n: -self.mean[n])

    def area_jumps(self) -> list[str]:
        """Groups of which the areas differ by more than they usually change in a year, the worst first."""
        over = {n: abs(self.area[n]) - usual for n, usual in self.usual.items() if abs(self.area[n]) > usual}
        return sorted(over, key=lambda n: -over[n])

    def line(self) -> str:
        """A line of text for users."""
        worst, group = (max(d, key=lambda n: abs(d[n])) for d in (self.mean, self.area))
        return (
            f"joined in {self.year}: states of {self.cells} cells differ by {self.mean[worst]:.2g} in the mean "
            f"({worst}), by {max(self.largest.values()):.2g} at most; "
            f"the area of {group} by {abs(self.area[group]):.3g} km2"
        )


def compare(earlier: Layout, later: Layout, year: int, compared: int, sums: Sums) -> Joint:
    """Compare two files of states.

    Parameters
    ----------
    year:
        The first year that is read from the later file.
    compared:
        A year that both files hold.

    Raises
    ------
    DataError
        The files share no cell with data.
    """
    parts = _comparable(earlier, later)
    cell_area = np.broadcast_to(later.grid.row_area[:, None] / 1e6, later.grid.shape)
    mean, largest, change, cells = {}, {}, {}, 0
    for name, sides in parts.items():
        difference = sums(later, sides[1], compared) - sums(earlier, sides[0], compared)
        both = np.isfinite(difference)
        number = int(np.count_nonzero(both))
        if number:
            size = np.abs(difference[both])
            mean[name], largest[name] = float(size.mean()), float(size.max())
            change[name] = float(difference[both] @ cell_area[both])
            if number > cells:
                cells, whole = number, float(cell_area[both].sum())
    if not cells:
        raise DataError(
            "two files that follow one another share no cell with data",
            where=f"{earlier.where} and {later.where}, year {compared}",
            remedy="choose files of the same region",
        )
    area = {group: sum(change.get(n, 0.0) for n in names) for group, names in GROUPS.items()}

    def yearly(layout: Layout, side: int, other: int, group: str) -> float:
        names = [n for state in GROUPS[group] if state in parts for n in parts[state][side]]
        step = sums(layout, names, other) - sums(layout, names, compared)
        return abs(float(np.nan_to_num(step).ravel() @ cell_area.ravel()))

    # The other years are read only if the files differ: published files that fit are equal.
    usual = {}
    for group in [group for group, size in area.items() if abs(size) > SMALL * whole]:
        steps = [
            yearly(layout, side, other, group)
            for side, (layout, other) in enumerate(((earlier, compared - 1), (later, compared + 1)))
            if other in layout.years
        ]
        if steps:
            usual[group] = max(steps)
    return Joint(year, compared, earlier.where, later.where, mean, largest, cells, area, usual)


def _comparable(earlier: Layout, later: Layout) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Name of a state -> the variables of each of the two files that sum to it."""
    together = any("crop" in x.units and not set(CROPS) & set(x.units) for x in (earlier, later))
    names = [n for n in FRACTIONS if not (together and n in CROPS)]
    parts = {n: (n,) for n in names} | ({"crop": CROPS} if together else {})
    found = {}
    for name, members in parts.items():
        sides = [(name,) if name in x.units else tuple(m for m in members if m in x.units) for x in (earlier, later)]
        if any(sides):
            found[name] = (sides[0], sides[1])
    return found
