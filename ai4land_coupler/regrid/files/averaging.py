"""Weighted means and largest shares on a destination grid, with rules for missing values."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.errors import FieldError, GridError
from ai4land_coupler.regrid.weight_files.read import WeightFile

Rule = Literal["mean", "largest-share"]
Missing = Literal["renormalise", "conserve", "spread"]

#: Shares that differ by less than this are equal. Then the smaller code wins, so that rounding does not decide.
_TIE = 1e-12
_MOST_CATEGORIES = 4096


class Averaging:
    """Applies the weights of a file to fields (fields, cells).

    Parameters
    ----------
    n_source:
        Cells of the fields.
    rule:
        ``mean`` or ``largest-share``.
    missing:
        ``renormalise``: the mean of the values that are not missing. ``conserve``: the sum of weight times value; with
        weights of the norm ``destination`` this keeps the integral of the values over the cell. ``spread``: a
        destination value is missing if any of its source values is missing.
    min_share:
        A destination value is missing if source values cover less than this share of its cell. It is always missing if
        they cover nothing.
    """

    def __init__(self, file: WeightFile, n_source: int, rule: Rule, missing: Missing, min_share: float) -> None:
        self.rule, self._missing, self._min_share = rule, missing, min_share
        largest = int(file.col.max()) + 1 if file.col.size else 0
        expected = file.source.size
        if (expected is not None and expected != n_source) or largest > n_source:
            raise GridError("fields do not fit the weights", expected=f"{expected or largest} cells", found=n_source)
        size = file.destination.size
        self.n_destination = size if size is not None else (int(file.row.max()) + 1 if file.row.size else 0)
        values = file.values
        if file.norm == "none":
            if file.destination.area is None:
                raise GridError("weights are areas, but the file does not tell those of the destination cells")
            values = values / file.destination.area[file.row]
        shape = (self.n_destination, n_source)
        self._matrix = sp.csr_matrix((values, (file.row, file.col)), shape)
        # which cells are linked; only one rule needs it, and it is as large as the weights
        ones = np.ones(values.size if missing == "spread" else 0)
        self._links = sp.csr_matrix((ones, (file.row[: ones.size], file.col[: ones.size])), shape)
        self._sums = np.asarray(self._matrix.sum(axis=1)).ravel()
        # weights of the norm "fraction" are shares of this part of the cell
        fraction = file.destination.fraction
        self._cell = fraction if file.norm == "fraction" and fraction is not None else np.ones(self.n_destination)

    def apply(self, values: NDArray[np.float64], where: str) -> NDArray[np.float64]:
        """Regrid fields (fields, cells), NaN where missing, to (fields, destination cells).

        Raises
        ------
        FieldError
            With ``largest-share``: values are not integers, or there are too many different ones.
        """
        valid = np.isfinite(values)
        if valid.all():
            known = np.broadcast_to(self._sums, (len(values), self.n_destination))
        else:
            known = (self._matrix @ valid.T.astype(np.float64)).T
        filled = np.where(valid, values, 0.0)
        if self.rule == "largest-share":
            found = self._largest(filled, valid, where)
        else:
            found = (self._matrix @ filled.T).T
            if self._missing != "conserve":
                with np.errstate(invalid="ignore", divide="ignore"):
                    found = found / known
        absent = (known <= 0) | (known * self._cell < self._min_share - _TIE)
        if self._missing == "spread" and not valid.all():
            absent |= (self._links @ (~valid).T.astype(np.float64)).T > 0
        return np.where(absent, np.nan, found)

    def _largest(self, values: NDArray[np.float64], valid: NDArray[np.bool_], where: str) -> NDArray[np.float64]:
        codes = np.unique(values[valid])
        if codes.size > _MOST_CATEGORIES or (codes != np.round(codes)).any():
            raise FieldError(
                "values are no categories",
                expected=f"at most {_MOST_CATEGORIES} different integers",
                found=f"{codes.size} different values, as {codes[codes != np.round(codes)][:3].tolist()}",
                where=where,
            )
        best = np.zeros((len(values), self.n_destination))
        winner = np.full(best.shape, np.nan)
        for code in codes:
            share = (self._matrix @ ((values == code) & valid).T.astype(np.float64)).T
            more = share > best + _TIE
            best[more], winner[more] = share[more], code
        return winner
