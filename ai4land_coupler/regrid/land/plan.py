"""Regrid classes and continuous fields from the land grid to a host grid, by exact sums over blocks.

Each rank adds up the land of its blocks by destination cell. The sums of the blocks are sent to the owners of the cells
and added there by ascending block. So results have the same bits on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.api import FieldError, GridError
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.parallel.collective import agree, exchange, local_index, owners, rank_and_size, split_by_rank
from ai4land_coupler.regrid.land.weights import LandWeights


class LandPlan:
    """Overlaps of this rank's blocks with a host grid, and the exchange of sums with the owners of its cells.

    Every rank must call every method, even if it has no blocks or cells.

    Parameters
    ----------
    plan:
        The blocks.
    weights:
        Overlaps of this rank's blocks (:func:`ai4land_coupler.regrid.land.weights.land_weights`).
    mesh:
        The destination cells that this rank owns.
    comm:
        mpi4py communicator, private to the component; ``None`` for a single process. Collective.

    Attributes
    ----------
    destination_area:
        Area of the owned destination cells (m2), exact for their kind of edges; 0 for masked cells without an area.
    destination_fraction:
        Land fraction of each of these cells.

    Raises
    ------
    GridError
        On every rank: the weights belong to another host grid.
    """

    def __init__(self, plan: BlockPlan, weights: LandWeights, mesh: Mesh, comm: Any = None) -> None:
        self._comm = comm
        self.provenance = weights.provenance
        # masked cells may be clockwise, or have no corners
        self.destination_area = np.maximum(np.nan_to_num(cell_area(mesh)), 0.0)
        self._blocks = {block: _BlockSums(plan, block, weights) for block in map(int, np.unique(weights.runs.block))}

        cells = np.concatenate([np.empty(0, np.int64), *(part.cells for part in self._blocks.values())])
        block_of = np.repeat(np.array(list(self._blocks), np.int64), [len(p.cells) for p in self._blocks.values()])
        self._target = owners(mesh.cell_ids, cells, comm)
        agree(_unowned(cells[self._target < 0]), comm)
        arrived_cell, arrived_block = (self._send(values) for values in (cells, block_of))
        row = local_index(mesh.cell_ids, arrived_cell)
        order = np.lexsort((arrived_block, row))
        # rows add up in the order in which their entries are stored
        self._collect = sp.csr_matrix(
            (np.ones(len(row)), order, np.searchsorted(row[order], np.arange(mesh.size + 1))), (mesh.size, len(row))
        )
        everywhere = {block: np.zeros(part.shape, np.int8) for block, part in self._blocks.items()}
        self.destination_fraction = self.aggregate(everywhere, 1)[0]

    def aggregate(self, codes: Mapping[int, NDArray[np.integer[Any]]], n_codes: int) -> NDArray[np.float64]:
        """Share of each destination cell's area that each code covers. Collective.

        Parameters
        ----------
        codes:
            Integer code of each fine cell of this rank's blocks, of the shape of the block. Negative codes, and cells
            that are not land, are not counted.
        n_codes:
            Codes are 0 to ``n_codes - 1``.

        Returns
        -------
        float64 (n_codes, n_destination_owned).

        Raises
        ------
        FieldError
            On every rank: wrong shape or type, a missing block, or a code of ``n_codes`` and above.
        """
        agree(self._bad_blocks(codes) or self._bad_codes(codes, n_codes), self._comm)
        sums = [part.aggregate(codes[block], n_codes) for block, part in self._blocks.items()]
        return self._gather(sums, n_codes)

    def apply(self, values: Mapping[int, NDArray[Any]], samples: int = 1) -> NDArray[np.float64]:
        """Regrid continuous fields. Collective.

        Parameters
        ----------
        values:
            Real (samples, rows, cols) for each of this rank's blocks. NaN of a land cell spreads to every
            destination cell that overlaps it.

        Returns
        -------
        float64 (samples, n_destination_owned): a mean over the whole destination cell; parts that are not land
        count as zero (divide by ``destination_fraction`` for a mean over the land).

        Raises
        ------
        FieldError
            On every rank: a missing block, or one of another shape.
        """
        agree(self._bad_blocks(values, (samples,)), self._comm)
        sums = [part.apply(values[block].reshape(samples, -1)) for block, part in self._blocks.items()]
        return self._gather(sums, samples)

    def _gather(self, sums: list[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
        """Add the sums of blocks (cells, count) on the owners of the cells, as shares of cell areas (count, owned)."""
        total = self._collect @ self._send(np.concatenate([np.empty((0, count)), *sums]))
        area = np.where(self.destination_area > 0, self.destination_area, 1.0)
        return np.ascontiguousarray((total / area[:, None]).T)

    def _send(self, values: NDArray[Any]) -> NDArray[Any]:
        """Send a value (n, ...) for each cell of each block to the owner of the cell."""
        _, size = rank_and_size(self._comm)
        return np.concatenate(exchange(split_by_rank(values, self._target, size), self._comm))

    def _bad_blocks(self, fields: Mapping[int, NDArray[Any]], leading: tuple[int, ...] = ()) -> FieldError | None:
        for block, part in self._blocks.items():
            found = np.shape(fields[block]) if block in fields else None
            if found != (*leading, *part.shape):
                return FieldError(
                    "a field does not fit the land",
                    expected=(*leading, *part.shape),
                    found="nothing" if found is None else found,
                    where=f"block {block}",
                )
        return None

    def _bad_codes(self, codes: Mapping[int, NDArray[Any]], n_codes: int) -> FieldError | None:
        for block in self._blocks:
            if n_codes < 1 or not np.issubdtype(codes[block].dtype, np.integer):
                return FieldError(
                    "codes cannot be aggregated", expected="integers, at least 1 code", found=codes[block].dtype
                )
            if codes[block].max() >= n_codes:
                return FieldError(
                    "a code is outside of its legend",
                    expected=f"0 to {n_codes - 1}, or negative outside of the land",
                    found=int(codes[block].max()),
                    where=f"block {block}",
                )
        return None


class _BlockSums:
    """Sums over one block by destination cell; ``cells`` are the global ids of these cells, ascending."""

    def __init__(self, plan: BlockPlan, block: int, weights: LandWeights) -> None:
        core = plan.blocks[block].core
        self.shape = core.shape
        first, last = np.searchsorted(weights.runs.block, [block, block + 1])
        start, cell = weights.runs.start[first:last], weights.runs.cell[first:last]
        first, last = np.searchsorted(weights.cuts.block, [block, block + 1])
        self._cut, cut_cell = weights.cuts.place[first:last], weights.cuts.cell[first:last]
        self._cut_area = weights.cuts.area[first:last]
        self._start, self._length = start, np.diff(start, append=np.int32(core.size))

        held = np.flatnonzero(cell >= 0)
        self.cells = np.unique(np.concatenate([cell[held], cut_cell]))
        self._cut_cell = np.searchsorted(self.cells, cut_cell)
        row_area = plan.fine.row_area[core.row0 + start[held] // max(core.shape[1], 1)]
        place = np.searchsorted(self.cells, cell[held])
        order = np.argsort(place, kind="stable")
        #: Area of one fine cell of each run, by destination cell.
        self._inside = sp.csr_matrix(
            (row_area[order], held[order], np.searchsorted(place[order], np.arange(len(self.cells) + 1))),
            (len(self.cells), len(start)),
        )

    def aggregate(self, codes: NDArray[np.integer[Any]], n_codes: int) -> NDArray[np.float64]:
        """Area (m2) of each code in each of ``cells``, (cells, n_codes).

        Fine cells of a run are counted, and counts are exact. Only the sum over runs is rounded.
        """
        signed = codes.ravel().astype(np.result_type(codes.dtype, np.int8), copy=False)
        codes = np.maximum(signed, -1)
        width = n_codes + 1
        # the first of the ``width`` numbers of a run counts negative codes
        key = np.repeat(np.arange(len(self._start)) * width + 1, self._length)
        key += codes
        counts = np.bincount(key, minlength=len(self._start) * width).reshape(-1, width)[:, 1:]
        code = codes[self._cut].astype(np.int64)
        taken = code >= 0
        key, size = self._cut_cell[taken] * n_codes + code[taken], len(self.cells) * n_codes
        cut = np.bincount(key, weights=self._cut_area[taken], minlength=size).reshape(-1, n_codes)
        return np.asarray(self._inside @ counts.astype(np.float64) + cut)

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum of area times value (samples, n) in each of ``cells``, (cells, samples)."""
        values = values.astype(np.float64)
        sums = self._inside @ np.add.reduceat(values, self._start, axis=1).T
        products = values[:, self._cut] * self._cut_area
        cut = [np.bincount(self._cut_cell, weights=row, minlength=len(self.cells)) for row in products]
        return np.asarray(sums + np.stack(cut, axis=1))


def _unowned(ids: NDArray[np.int64]) -> GridError | None:
    if ids.size == 0:
        return None
    return GridError(
        "regrid weights of the land are those of another host grid",
        found=f"{ids.size} cells that nobody owns, first global id {ids[0]}",
        remedy="make the weights from the same grid",
    )
