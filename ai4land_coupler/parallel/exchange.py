"""Assemble windows (halos, output shards, whole maps) from blocks that are on any ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.parallel.block_plan import BlockPlan
from ai4land_coupler.parallel.communicator import Communicator


def exchange_windows(
    comm: Communicator,
    plan: BlockPlan,
    owner: Sequence[int] | NDArray[np.int64],
    blocks: Mapping[int, NDArray[Any]],
    wanted: Sequence[Mapping[int, Box]],
    fill: float,
    dtype: Any,
    leading: tuple[int, ...] = (),
) -> dict[int, NDArray[Any]]:
    """Assemble windows from blocks. Collective.

    Parameters
    ----------
    owner:
        Rank of each block.
    blocks:
        This rank's blocks, arrays (*leading, rows, cols) of their cores. A block may be absent (for example a block
        without land, on which no predictor runs); its cells get ``fill``.
    wanted:
        For **every** rank, the windows that it wants, by key; the same argument on all ranks. Columns wrap on a
        periodic grid. Cells outside the domain get ``fill``.

    Returns
    -------
    This rank's windows, arrays (*leading, rows, cols).
    """
    outgoing: list[list[NDArray[Any] | None]] = []
    for windows in wanted:
        pieces: list[NDArray[Any] | None] = []
        for _, box in sorted(windows.items()):
            for block_id, part, _ in _pieces(plan, box):
                if owner[block_id] != comm.rank:
                    continue
                if block_id in blocks:
                    rows, cols = part.slices(plan.blocks[block_id].core)
                    pieces.append(np.ascontiguousarray(blocks[block_id][..., rows, cols]))
                else:  # the receiver expects a piece, because it does not know that the block is absent here
                    pieces.append(None)
        outgoing.append(pieces)
    arrived = [iter(pieces) for pieces in comm.alltoall(outgoing)]
    result = {}
    for key, box in sorted(wanted[comm.rank].items()):
        window = np.full((*leading, *box.shape), fill, dtype)
        for block_id, _, target in _pieces(plan, box):
            piece = next(arrived[int(owner[block_id])])
            if piece is not None:
                window[(..., *target)] = piece
        result[key] = window
    return result


def _pieces(plan: BlockPlan, box: Box) -> Iterator[tuple[int, Box, tuple[slice, slice]]]:
    """Parts of blocks that make up a window: block, part in the grid, slices of the window. Same order on all ranks."""
    turns: Sequence[int] = (0,)
    if plan.fine.periodic:
        turns = range(box.col0 // plan.fine.nlon, (box.col1 - 1) // plan.fine.nlon + 1)
    for turn in turns:
        shift = turn * plan.fine.nlon
        shifted = Box(box.row0, box.row1, box.col0 - shift, box.col1 - shift)
        for block, part in plan.touching(shifted):
            yield block.id, part, part.slices(shifted)
