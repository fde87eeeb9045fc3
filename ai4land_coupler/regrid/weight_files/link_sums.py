"""Sums of the weights of a file: they show whether weights are possible, and which norm they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError, Mesh, Method, Norm
from ai4land_coupler.parallel.collective import local_index, send_to_owners
from ai4land_coupler.regrid.weight_files.read import FileNorm

#: Sums of shares may exceed 1 by this much, because cells of grids in single precision overlap slightly.
_OVERLAP = 1e-4
#: Overlaps may exceed the area of a source cell by this share, because edges are great circles in some files and
#: parallels in others.
_EDGES = 0.02


class LinkSums:
    """Sums of the weights of the owned rows."""

    def __init__(self, row: NDArray[np.int64], values: NDArray[np.float64], n: int) -> None:
        self._row, self._values = row, values
        self.sums = np.bincount(row, weights=values, minlength=n).astype(np.float64)
        self._used = np.bincount(row, minlength=n) > 0

    def likely_norm(self, asked: Norm, fits: Callable[[], bool], comm: Any) -> Norm | None:
        """Norm of a file that does not name it. Collective.

        Weights of the norm ``fraction`` add up to 1. If all sums are 1, both norms are the same where source cells
        cover all these destination cells completely.

        Parameters
        ----------
        fits:
            Whether the source cells are large enough for this (:func:`sources_suffice`); collective.

        Returns
        -------
        ``None`` if all sums are 1 and the file must say what they mean.
        """
        ones = np.allclose(self.sums[self._used], 1.0, rtol=0, atol=_OVERLAP)
        if comm is not None:
            ones = all(comm.allgather(ones))
        if not ones:
            return "destination"
        return asked if asked == "fraction" or fits() else None

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


def sources_suffice(
    source: Mesh, area: NDArray[np.float64], col: NDArray[np.int64], overlap: NDArray[np.float64], comm: Any
) -> bool:
    """Whether no source cell gives more than its own area. Collective.

    Parameters
    ----------
    area:
        Areas of the owned source cells (n,), in the unit of ``overlap``.
    col, overlap:
        Global id of the source cell, and area of the overlap of each link.
    """
    ids, given = send_to_owners(source.cell_ids, col, (col, overlap), comm)
    sums = np.bincount(local_index(source.cell_ids, ids), weights=given, minlength=source.size)
    fits = bool((sums <= area * (1 + _EDGES)).all())
    return fits if comm is None else all(comm.allgather(fits))
