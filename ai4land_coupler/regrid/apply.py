"""Apply the weights of any regridding backend to class codes and to continuous fields.

Missing values spread here; :mod:`ai4land_coupler.regrid.files.averaging` has the other rules for missing values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.api import FieldError, GridError, LocalWeights
from ai4land_coupler.parallel.collective import agree, exchange, indices_to_send, owners, rank_and_size


class RegridPlan:
    """Weights of this rank's destination cells, and the exchange that brings source values to this rank.

    The sum of each row runs by ascending global source id, so results have the same bits on any number of ranks. Every
    rank must call every method, even if it has no cells.

    Parameters
    ----------
    weights:
        Rows are the owned destination cells, each sorted by global source id.
    source_ids_owned:
        Global ids of the source cells whose values this rank holds, int64 (n_owned,), in the order of the values;
        unique over all ranks.
    comm:
        mpi4py communicator, private to the component; ``None`` for a single process. Collective.

    Raises
    ------
    GridError
        On every rank: no rank owns a source cell that the weights need.
    """

    def __init__(self, weights: LocalWeights, source_ids_owned: NDArray[np.int64], comm: Any = None) -> None:
        self.weights = weights
        self._comm = comm
        self._n_owned = int(source_ids_owned.size)
        self._n_destination = int(np.size(weights.destination_area))
        needed, place = np.unique(np.asarray(weights.source_ids, np.int64), return_inverse=True)
        indptr = np.asarray(weights.indptr, np.int64)

        _, size = rank_and_size(comm)
        owner = owners(np.asarray(source_ids_owned, np.int64), needed, comm)
        agree(_unowned(needed[owner < 0]), comm)
        sent = indices_to_send(source_ids_owned, needed, owner, comm)
        # Columns have the order in which values arrive; on one rank this is the order of the owned cells. The entries
        # of a row stay sorted by global id.
        self._sent = sent if size > 1 else None
        if size > 1:
            arrival = np.empty(needed.size, np.int64)
            arrival[np.argsort(owner, kind="stable")] = np.arange(needed.size)
        else:
            arrival = sent[0]
        n_columns = needed.size if size > 1 else self._n_owned
        entries = np.asarray(weights.values, np.float64), arrival[place.ravel()], indptr
        matrix = sp.csr_matrix(entries, (self._n_destination, n_columns))
        # rows that use neighbouring columns follow each other: else most values come from memory, not from the cache
        first = np.append(matrix.indices, 0)[np.minimum(matrix.indptr[:-1], matrix.nnz)]
        self._order = None if (np.diff(first) >= 0).all() else np.argsort(first, kind="stable")
        self._matrix = matrix if self._order is None else matrix[self._order]
        self._single: sp.csr_matrix | None = None

    def aggregate(self, codes_owned: NDArray[np.integer[Any]], n_codes: int) -> NDArray[np.float64]:
        """Share of each destination cell's area that each code covers. Collective.

        Parameters
        ----------
        codes_owned:
            Integer code of each owned source cell, (n_owned,); negative codes are not counted. Ranks send one byte
            per cell if there are fewer than 128 codes.
        n_codes:
            Codes are 0 to ``n_codes - 1``; a code may combine class and zone.

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
        code = self._halo(narrow)[self._matrix.indices]
        rows = np.repeat(np.arange(self._n_destination), np.diff(self._matrix.indptr))
        taken = code >= 0
        key = rows[taken] * n_codes + code[taken]
        sums = np.bincount(key, weights=self._matrix.data[taken], minlength=self._n_destination * n_codes)
        return np.ascontiguousarray(self._in_place(sums.reshape(self._n_destination, n_codes)).T)

    def apply(self, values_owned: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Regrid continuous fields: the sum of weight times value. Collective.

        It is fastest if the fields of a cell are contiguous in memory, as in ``np.empty((n_owned, k)).T``.

        Parameters
        ----------
        values_owned:
            Real (..., n_owned); the leading axes, the dtype and the order in memory are the same on all ranks.
            Missing values are NaN, or masked. A missing value spreads to every destination cell that overlaps its cell.

        Returns
        -------
        (..., n_destination_owned): float32 if the values are float32, summed in float32; else float64. With weights of
        the norm ``destination`` it is a mean over the whole destination cell, and parts that no source covers count as
        zero (divide by ``destination_fraction`` for a mean over the covered part).

        Raises
        ------
        FieldError
            On every rank: the last axis does not fit the owned source cells, or values are not real.
        """
        values = values_owned if isinstance(values_owned, np.ma.MaskedArray) else np.asarray(values_owned)
        agree(self._bad_values(values), self._comm)
        dtype = np.float32 if values.dtype == np.float32 else np.float64
        values = np.ma.filled(values.astype(dtype, copy=False), np.nan)
        leading = values.shape[:-1]
        n_fields = int(np.prod(leading))
        fields = values.reshape(n_fields, self._n_owned).T
        interleaved = n_fields > 1 and fields.flags.c_contiguous
        halo, matrix = self._halo(fields), self._matrix_of(fields.dtype)
        if interleaved:
            found = np.ascontiguousarray(self._in_place(matrix @ halo).T)
        else:  # one field after the other, as they are in memory: interleaving them would take longer
            found = np.empty((n_fields, self._n_destination), dtype)
            for field in range(n_fields):
                found[field] = self._in_place(matrix @ np.ascontiguousarray(halo[:, field]))
        return found.reshape(*leading, self._n_destination)

    def _in_place(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Bring rows of the matrix (n_destination, ...) into the order of the destination cells."""
        if self._order is None:
            return np.asarray(rows)
        found = np.empty_like(rows)
        found[self._order] = rows
        return found

    def _matrix_of(self, dtype: np.dtype[Any]) -> sp.csr_matrix:
        if dtype != np.float32:
            return self._matrix
        if self._single is None:
            # the indices are shared with the matrix of double precision
            entries = self._matrix.data.astype(np.float32), self._matrix.indices, self._matrix.indptr
            self._single = sp.csr_matrix(entries, self._matrix.shape, copy=False)
        return self._single

    def _halo(self, owned: NDArray[Any]) -> NDArray[Any]:
        """Values (n_columns, ...) of the source cells that the rows use, in the order of the columns."""
        if self._sent is None:
            return owned
        return np.concatenate(exchange([owned[index] for index in self._sent], self._comm))

    def _bad_values(self, values: NDArray[Any]) -> FieldError | None:
        if not (np.issubdtype(values.dtype, np.floating) or values.dtype.kind in "iub"):
            return FieldError("values cannot be regridded", expected="real numbers", found=values.dtype)
        return self._bad_shape(values.shape[-1:])

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
