"""Distribute land evenly over all ranks, independent of which ranks own it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.parallel.collective import exchange, split_by_rank


class DealtLand:
    """Distributes the blocks with land of all ranks in turn (round-robin). Collective.

    Parameters
    ----------
    land:
        Which fine cells of this rank's blocks are land, bool of the shape of the block.
    comm:
        mpi4py communicator.

    Attributes
    ----------
    land:
        The same for the blocks that this rank received.
    """

    def __init__(self, plan: BlockPlan, land: Mapping[int, NDArray[np.bool_]], comm: Any) -> None:
        self._comm = comm
        owned: list[list[int]] = comm.allgather(sorted(block for block, mask in land.items() if mask.any()))
        owner = {block: rank for rank, blocks in enumerate(owned) for block in blocks}
        self._blocks = np.array(sorted(owner), np.int64)
        self._owner = np.array([owner[block] for block in sorted(owner)], np.int64)
        worker = {block: number % comm.size for number, block in enumerate(sorted(owner))}
        # one bit per cell; blocks by ascending id, each starts at a new byte
        bits = [
            [np.packbits(land[block]) for block in owned[comm.rank] if worker[block] == rank]
            for rank in range(comm.size)
        ]
        arrived = exchange([np.concatenate([np.empty(0, np.uint8), *part]) for part in bits], comm)
        self.land: dict[int, NDArray[np.bool_]] = {}
        for blocks, packed in zip(owned, arrived, strict=True):
            place = 0
            for block in blocks:
                if worker[block] == comm.rank:
                    core = plan.blocks[block].core
                    length = -(-core.size // 8)
                    mask = np.unpackbits(packed[place : place + length], count=core.size)
                    self.land[block] = mask.reshape(core.shape).view(bool)
                    place += length

    def send_to_owners(self, blocks: NDArray[np.int64], columns: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Send records of the received blocks to the owners of the blocks. Collective.

        Parameters
        ----------
        blocks:
            Block of each record, (n,).
        columns:
            Values (n,) of the records.

        Returns
        -------
        The columns of this rank's own blocks, by ascending block; records of one block keep their order.
        """
        target = self._owner[np.searchsorted(self._blocks, blocks)]
        arrived = np.concatenate(exchange(split_by_rank(blocks, target, self._comm.size), self._comm))
        order = np.argsort(arrived, kind="stable")
        parts = [exchange(split_by_rank(values, target, self._comm.size), self._comm) for values in columns]
        return [np.concatenate(part)[order] for part in parts]
