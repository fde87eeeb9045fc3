"""Checks that the fractions of a cell sum to at most 1, and mends or refuses faulty values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError, LatLonGrid
from ai4land_luh2.variables import LuhVariable

Array = NDArray[np.floating[Any]]

#: The sum of a dozen float32 fractions differs from 1 by up to this much because of rounding.
ROUNDING = 1e-6

# The published states of 2015 fill the land of the published static file (1 - icwtr) to 1e-5 in each cell. States that
# were regridded differ from it at coasts, in both directions: in the scenario of the British Isles they leave 12 % of
# the land empty, and put 10 % where the static file has none (Scotland alone: 30 and 5 %). Lost states only leave land
# empty.
#: States that leave more than this share of the land empty are refused ...
LARGEST_EMPTY = 0.02
#: ... if they have less than this part of it where the static file has no land.
BALANCED = 0.1


@dataclass(frozen=True)
class Checker:
    """Checks the values of one file on the requested grid (lat, lon).

    Parameters
    ----------
    where:
        Name of the file.
    tolerance:
        A sum may exceed 1 by this much.
    mend:
        Mend and count faulty values instead of raising an error.
    """

    where: str
    grid: LatLonGrid
    tolerance: float
    mend: bool

    def close(
        self, states: dict[str, Array], year: int, land: Array | None = None, *, per_cent: bool = False
    ) -> Counter[str]:
        """Check and mend the state fractions of a year in place, and count the mended cells.

        Parameters
        ----------
        states:
            All fraction states of the file (lat, lon), NaN where missing. Their sum is the land of a cell.
        land:
            1 - icwtr, if known. Larger sums are only counted: some cells of ice and water have states too.

        per_cent:
            Whether the file gives the states in per cent.

        Returns
        -------
        ``renormalised``: sums scaled to 1. ``clipped``: fractions below 0. ``removed``: cells with values that are no
        fractions. ``partly_missing``: cells in which only some states are missing. ``over_land``: sums larger than the
        land of the cell. ``under_land``: smaller sums.

        Raises
        ------
        DataError
            Values are no fractions, sums are larger than 1, or states leave much land empty.
        """
        counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        # Most years have no fault. The smallest and the largest value show this and save passes over the data.
        ranges = {name: extremes(fraction) for name, fraction in states.items()}
        wild = [name for name, (low, high) in ranges.items() if low < -self.tolerance or high > 1 + self.tolerance]
        if wild:
            removed = np.zeros(self.grid.shape, bool)
            for name in wild:
                removed |= self._not_fractions(name, states[name], year)
            counts["removed"] = int(removed.sum())
            for fraction in states.values():
                fraction[removed] = np.nan
        for name, (low, _) in ranges.items():
            if low < 0:
                counts["clipped"] += int(np.count_nonzero(states[name] < 0))
                np.maximum(states[name], 0.0, out=states[name])

        some, every = np.zeros(self.grid.shape, bool), np.ones(self.grid.shape, bool)
        total = np.zeros(self.grid.shape)
        for fraction in states.values():
            missing = np.isnan(fraction)
            some |= missing
            every &= missing
            total += np.fmax(fraction, 0.0)  # A missing value counts as 0. No value is below 0 at this point.
        counts["partly_missing"] = int(np.count_nonzero(some & ~every))
        if total.max() > 1 + self.tolerance and not self.mend:
            over = int((total > 1 + self.tolerance).sum())
            raise DataError(
                f"land-use states over 1 by more than the tolerance in {over} cells",
                expected=f"a sum of at most 1 + {self.tolerance:g} over {', '.join(states)}",
                found=f"the worst sum is {total.max():.6g}",
                where=self._where(year, total.argmax()),
                remedy="check the file; a larger `tolerance`, or `policy: mend`, scales such sums to 1 and counts them",
            )
        if per_cent and 0 < total.max() <= 0.01 * (1 + self.tolerance) and not self.mend:
            raise DataError(
                "the land-use states are fractions under units of per cent: no cell has states of more than 1 %",
                expected="states that add up to the land of the cell, up to 100 %",
                found=f"a largest sum of {100 * total.max():.4g} %, which is {total.max():.4g} of the cell",
                where=self._where(year, total.argmax()),
                remedy='correct the attribute `units` of the states to "1"',
            )
        if land is not None:
            counts["over_land"] = int(np.sum(total > land + self.tolerance))
            counts["under_land"] = self._under_land(total, land, every, year)
        over_one = np.asarray(total > 1 + ROUNDING)
        counts["renormalised"] = int(np.count_nonzero(over_one))
        if counts["renormalised"]:
            for fraction in states.values():
                fraction[over_one] /= total[over_one]
        return counts

    def _under_land(self, total: NDArray[Any], land: Array, missing: NDArray[np.bool_], year: int) -> int:
        """The number of cells with states whose sum is less than their land. Refuses states that leave much land."""
        known = ~missing & np.isfinite(land)
        gap = land[known] - total[known]
        empty, beyond = (float(np.maximum(sign * gap, 0.0).sum()) for sign in (1, -1))
        whole = float(land[known].sum())
        short = known & (total < land - self.tolerance)
        number = int(np.count_nonzero(short))
        if empty > LARGEST_EMPTY * whole and beyond < BALANCED * empty and not self.mend:
            worst = np.argmax(np.where(short, land - total, -1.0))
            raise DataError(
                f"the land-use states fill less than the land of their cells in {number} cells",
                expected="states that add up to 1 - icwtr, the land of the cell in the static file",
                found=f"they leave {100 * empty / whole:.3g} % of the land empty; the largest sum is "
                f"{total.max():.4g}; the worst one is {total.flat[worst]:.4g} where {land.flat[worst]:.4g} is land",
                where=self._where(year, worst),
                remedy="check that no state is lost or 0, that units are right, and that the static file belongs to "
                "the states; `policy: mend` counts such cells and lets them pass",
            )
        return number

    def _not_fractions(self, name: str, fraction: Array, year: int) -> NDArray[np.bool_]:
        """The cells whose value is neither a fraction nor missing."""
        wrong = np.asarray((fraction > 1 + self.tolerance) | (fraction < -self.tolerance))
        if wrong.any() and not self.mend:
            worst = np.nanargmax(np.abs(fraction - 0.5))
            raise DataError(
                f"variable {name!r} holds values that are no fractions in {int(wrong.sum())} cells",
                expected=f"0 to 1 (+- {self.tolerance:g}), or 1e20 where missing",
                found=f"{fraction.flat[worst]:.6g}",
                where=self._where(year, worst),
                remedy="large values are fill values that were averaged or not masked (mask before regridding), "
                "values up to 100 are per cent under wrong units; `policy: mend` makes such cells missing",
            )
        return wrong

    def within(self, name: str, array: Array, variable: LuhVariable, year: int | None) -> Counter[str]:
        """Check and mend the values (lat, lon) of a variable that is not in the sum of the states, in place.

        Returns
        -------
        ``clipped``: values slightly below 0. ``removed``: values that the variable cannot have.
        """
        slack = self.tolerance if variable.largest == 1.0 else 1e-9 * variable.largest
        low, high = extremes(array)
        if not (low < 0 or high > variable.largest + slack):
            return Counter(clipped=0, removed=0)
        wrong = np.asarray((array > variable.largest + slack) | (array < -slack))
        if wrong.any() and not self.mend:
            worst = np.nanargmax(np.where(wrong, np.abs(array), -1.0))
            raise DataError(
                f"variable {name!r} holds values that it cannot have in {int(wrong.sum())} cells",
                expected=f"0 to {variable.largest:g} ({variable.units}), or 1e20 where missing",
                found=f"{array.flat[worst]:.6g}",
                where=self._where(year, worst),
                remedy="such values are fill values that were averaged or not masked (mask before regridding), or "
                "values under wrong units; `policy: mend` makes such cells missing",
            )
        array[wrong] = np.nan
        clipped = int((array < 0).sum())
        np.maximum(array, 0.0, out=array)
        return Counter(clipped=clipped, removed=int(wrong.sum()))

    def areas(self, area: Array) -> None:
        """Refuse cell areas (m2) that differ much from those of the grid: their units are wrong."""
        ratio = area / self.grid.row_area[:, None]
        if np.isfinite(ratio).any() and not 0.5 < np.nanmedian(ratio) < 2.0:
            raise DataError(
                "variable 'carea' does not hold the areas of its cells",
                expected=f"about {np.median(self.grid.row_area):.4g} m2",
                found=f"{np.nanmedian(area):.4g} m2, by the units that the file names",
                where=self.where,
                remedy="correct the attribute `units`: the published file is in km2",
            )

    def _where(self, year: int | None, cell: np.intp) -> str:
        when = "" if year is None else f", year {year}"
        row, col = divmod(int(cell), self.grid.nlon)
        return f"{self.where}{when}, {self.grid.lat[row]:.4f} N {self.grid.lon[col]:.4f} E"


def extremes(array: Array) -> tuple[float, float]:
    """The smallest and the largest value, without NaN. Both are NaN if all values are."""
    return float(np.fmin.reduce(array, axis=None)), float(np.fmax.reduce(array, axis=None))


#: The counts of :meth:`Checker.close`.
COUNTS = ("renormalised", "clipped", "removed", "partly_missing", "over_land", "under_land")
