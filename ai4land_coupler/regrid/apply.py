"""Apply regrid weights: of classes, by codes, and of continuous fields. Works for the weights of any backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.api import FieldError, GridError, LocalWeights
from ai4land_coupler.collective import agree, exchange, owners, rank_and_size, split_by_rank


class RegridPlan:
    """Weights of this rank's destination cells, and the way by which source values get here.

    Sums run over the source cells of a row by ascending global id, so results have the same bits on any number of
    ranks. Every rank calls every method, also without cells.

    Parameters
    ----------
    weights:
        Rows are the owned destination cells, each sorted by global source id.
    source_ids_owned:
        Global ids of the source cells whose values this rank holds, int64 (n_owned,), in the order in which
        values are given; unique over all ranks.
    comm:
        mpi4py communicator, private to the component; ``None`` for a single process. Collective.

    Raises
    ------
    GridError
        On every rank: a source cell that the weights need belongs to no rank.
    """

    def __init__(self, weights: LocalWeights, source_ids_owned: NDArray[np.int64], comm: Any = None) -> None:
        self.weights = weights
        self._comm = comm
        self._n_owned = int(source_ids_owned.size)
        self._n_destination = int(np.size(weights.destination_area))
        needed, columns = np.unique(np.asarray(weights.source_ids, np.int64), return_inverse=True)
        indptr = np.asarray(weights.indptr, np.int64)
        self._rows = np.repeat(np.arange(self._n_destination), np.diff(indptr))
        self._columns = columns.ravel()
        self._values = np.asarray(weights.values, np.float64)
        self._matrix = sp.csr_matrix((self._values, self._columns, indptr), (self._n_destination, needed.size))

        _, size = rank_and_size(comm)
        owner = owners(np.asarray(source_ids_owned, np.int64), needed, comm)
        agree(_unowned(needed[owner < 0]), comm)
        wanted = exchange(split_by_rank(needed, owner, size), comm)
        by_id = np.argsort(source_ids_owned)
        self._sent = [by_id[np.searchsorted(source_ids_owned, ids, sorter=by_id)] for ids in wanted]
        self._arrival = np.argsort(owner, kind="stable")

    def aggregate(self, codes_owned: NDArray[np.integer[Any]], n_codes: int) -> NDArray[np.float64]:
        """Share of each destination cell's area that each code covers. Collective.

        Parameters
        ----------
        codes_owned:
            Integer code of each owned source cell, (n_owned,); negative codes count nowhere. One byte a cell
            travels between ranks as long as there are fewer than 128 codes.
        n_codes:
            Codes are 0 to ``n_codes - 1``; a code may stand for class x zone.

        Returns
        -------
        float64 (n_codes, n_destination_owned).

        Raises
        ------
        FieldError
            On every rank: wrong shape or type, or a code of ``n_codes`` and above.
        """
        codes = np.asarray(codes_owned)
        agree(self._bad_codes(codes, n_codes), self._comm)
        narrow = np.maximum(codes.astype(np.int64), -1).astype(np.min_scalar_type(-n_codes))
        code = self._halo(narrow)[self._columns]
        taken = code >= 0
        key = self._rows[taken] * n_codes + code[taken]
        sums = np.bincount(key, weights=self._values[taken], minlength=self._n_destination * n_codes)
        return np.ascontiguousarray(sums.reshape(self._n_destination, n_codes).T)

    def apply(self, values_owned: NDArray[Any]) -> NDArray[np.float64]:
        """Regrid continuous fields: the sum of weight times value. Collective.

        Parameters
        ----------
        values_owned:
            Real (..., n_owned); the leading axes are the same on all ranks. NaN spreads to every destination cell
            that has a share in its cell.

        Returns
        -------
        float64 (..., n_destination_owned): a mean over the whole destination cell, where parts that no source
        covers count as zero (divide by ``destination_fraction`` for a mean over the covered part).

        Raises
        ------
        FieldError
            On every rank: the last axis is not that of the owned source cells.
        """
        values = np.asarray(values_owned, np.float64)
        agree(self._bad_shape(values.shape[-1:]), self._comm)
        leading = values.shape[:-1]
        fields = self._halo(np.ascontiguousarray(values.reshape(int(np.prod(leading)), self._n_owned).T))
        return np.ascontiguousarray((self._matrix @ fields).T).reshape(*leading, self._n_destination)

    def _halo(self, owned: NDArray[Any]) -> NDArray[Any]:
        """Values (n_needed, ...) of the source cells that the rows use, by ascending global id."""
        arrived = np.concatenate(exchange([owned[index] for index in self._sent], self._comm))
        halo = np.empty_like(arrived)
        halo[self._arrival] = arrived
        return halo

    def _bad_codes(self, codes: NDArray[Any], n_codes: int) -> FieldError | None:
        if n_codes < 1 or not np.issubdtype(codes.dtype, np.integer):
            return FieldError("codes cannot be aggregated", expected="integers, at least 1 code", found=codes.dtype)
        error = self._bad_shape(codes.shape)
        if error is None and codes.size and codes.max() >= n_codes:
            return FieldError(
                "a code is outside of its legend",
                expected=f"0 to {n_codes - 1}, or negative outside of the land",
                found=int(codes.max()),
            )
        return error

    def _bad_shape(self, shape: tuple[int, ...]) -> FieldError | None:
        if shape == (self._n_owned,):
            return None
        return FieldError(
            "values do not fit the source cells of this rank", expected=f"(..., {self._n_owned})", found=shape
        )


def _unowned(ids: NDArray[np.int64]) -> GridError | None:
    if ids.size == 0:
        return None
    return GridError(
        "regrid weights use source cells that belong to no rank",
        found=f"{ids.size} cells, first global id {ids[0]}",
        remedy="make the weights from the same source mesh",
    )
