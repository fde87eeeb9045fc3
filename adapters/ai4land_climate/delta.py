"""Corrects the mean climate of a model by months, with the delta method.

The difference between observed and modelled means of the same years is added to each month (temperature), or months
are multiplied by their ratio (amounts and fluxes, which are never negative). Variability and trends stay those of the
model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ai4land_climate.known import KNOWN
from ai4land_coupler.api import LatLonGrid

Array = NDArray[np.float64]
#: Reads months of a field and a year on a grid, (months, rows, columns).
ReadMonths = Callable[[str, int, Sequence[int], LatLonGrid], Array]

#: The largest ratio: a model may have almost no rain in a month.
LARGEST = 10.0
_MONTHS = range(1, 13)


class Delta:
    """The correction of one data set.

    Parameters
    ----------
    model, observed:
        Read months of both.
    years:
        The first and the last year of the means.
    """

    def __init__(self, model: ReadMonths, observed: ReadMonths, years: tuple[int, int]) -> None:
        self._model, self._observed, self._years = model, observed, range(years[0], years[1] + 1)
        #: By field and grid, float32 (12, rows, columns).
        self._held: dict[tuple[str, str], NDArray[np.float32]] = {}

    def apply(self, name: str, values: Array, months: Sequence[int], grid: LatLonGrid) -> Array:
        """Correct values (months, rows, columns) of a field."""
        if (name, grid.hash) not in self._held:
            self._held[name, grid.hash] = self._correction(name, grid).astype(np.float32)
        correction = self._held[name, grid.hash][np.array(months) - 1]
        return np.asarray(values * correction if _is_amount(name) else values + correction, np.float64)

    def _correction(self, name: str, grid: LatLonGrid) -> Array:
        observed, model = self._mean(self._observed, name, grid), self._mean(self._model, name, grid)
        if not _is_amount(name):
            return observed - model
        ratio = np.divide(observed, model, out=np.full(model.shape, LARGEST), where=model > 0)
        return np.where(np.isnan(model) | np.isnan(observed), np.nan, np.minimum(ratio, LARGEST))

    def _mean(self, read: ReadMonths, name: str, grid: LatLonGrid) -> Array:
        """The mean of each month over the years, which are read one after the other."""
        total = np.zeros((12, *grid.shape))
        for year in self._years:
            total += read(name, year, _MONTHS, grid)
        return total / len(self._years)


def _is_amount(name: str) -> bool:
    """Whether a field is never negative, so that a ratio corrects it."""
    return name in KNOWN and name != "air_temperature"
