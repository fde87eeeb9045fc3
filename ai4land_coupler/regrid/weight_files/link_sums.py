"""Sums of the weights of a file: they show whether weights are possible, and which norm they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError, Method, Norm
from ai4land_coupler.regrid.weight_files.read import FileNorm

#: Sums of shares may exceed 1 by this much, because cells of grids in single precision overlap slightly.
_OVERLAP = 1e-4


class LinkSums:
    """Sums of the weights of the owned rows."""

    def __init__(self, row: NDArray[np.int64], values: NDArray[np.float64], n: int) -> None:
        self._row, self._values = row, values
        self.sums = np.bincount(row, weights=values, minlength=n).astype(np.float64)
        self._used = np.bincount(row, minlength=n) > 0

    def likely_norm(self, asked: Norm, comm: Any) -> Norm:
        """Norm of a file that does not name it: weights of the norm ``fraction`` add up to 1. Collective."""
        ones = np.allclose(self.sums[self._used], 1.0, rtol=0, atol=_OVERLAP)
        if comm is not None:
            ones = all(comm.allgather(ones))
        return asked if ones else "destination"

    def wrong_sums(
        self, norm: FileNorm, fraction: NDArray[np.float64] | None, method: Method, path: Path
    ) -> DataError | None:
        """An error if weights or their sums are impossible, else ``None``."""
        sums, values = self.sums[self._used], self._values
        if method == "conservative" and values.size and values.min() < -_OVERLAP:
            return DataError("conservative weights are negative", found=float(values.min()), where=path)
        if norm == "none":
            return None
        if sums.size and sums.max() > 1 + _OVERLAP:
            return DataError(
                "weights of a destination cell add up to more than 1",
                expected=f"at most {1 + _OVERLAP}",
                found=f"{int((sums > 1 + _OVERLAP).sum())} cells, up to {sums.max():.6g}",
                where=path,
                remedy="source cells overlap, or values are no weights; mask one of each pair and make the file again",
            )
        if norm == "fraction" and sums.size and sums.min() < 1 - _OVERLAP:
            return DataError("weights of a destination cell do not add up to 1", found=float(sums.min()), where=path)
        if norm == "destination" and fraction is not None:
            off = np.abs(self.sums - fraction).max(initial=0.0)
            if off > _OVERLAP:
                return DataError(
                    "weights do not add up to the fractions that a file tells",
                    expected=f"differences below {_OVERLAP}",
                    found=float(off),
                    where=path,
                )
        return None

    def converted(
        self, norm: FileNorm, asked: Norm, fraction: NDArray[np.float64] | None, steradians: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights converted to the norm ``asked``, and the covered share of each cell.

        ``fraction`` is needed to convert from norm ``fraction`` to norm ``destination``.
        """
        row, values, covered = self._row, self._values, self.sums
        if norm == "fraction":
            covered = self._used.astype(np.float64) if fraction is None else fraction
            return (values, covered) if asked == "fraction" else (values * covered[row], covered)
        if norm == "none":
            values, covered = values / steradians[row], covered / steradians
        return (values, covered) if asked == "destination" else (values / covered[row], covered)
