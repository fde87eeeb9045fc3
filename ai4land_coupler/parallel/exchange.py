"""Assemble windows (halos, output shards, whole maps) from blocks that are on any ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.parallel.block_plan import BlockPlan
from ai4land_coupler.parallel.collective import exchange
from ai4land_coupler.parallel.communicator import Communicator

#: Bytes that a rank sends at once. More is sent in further rounds, so that the copies of what is sent stay small.
ROUND = 1 << 26

#: A part of a block: its block, and its box in the grid.
Piece = tuple[int, Box]


@dataclass(frozen=True)
class Windows:
    """The windows of one field on this rank. Each is assembled when it is asked for. Threads may share it.

    Attributes
    ----------
    own, received:
        The blocks of this rank, and the pieces of other ranks' blocks, arrays (*leading, rows, cols) by block. Cells of
        other blocks, and cells outside the domain, get ``fill``.
    """

    plan: BlockPlan
    own: Mapping[int, NDArray[Any]]
    received: Mapping[int, Sequence[tuple[Box, NDArray[Any]]]]
    fill: float
    dtype: Any
    leading: tuple[int, ...] = ()

    def window(self, box: Box) -> NDArray[Any]:
        """A window, one of those that were announced: an array (*leading, rows, cols) of its own."""
        window = np.full((*self.leading, *box.shape), self.fill, self.dtype)
        for block, part, target in _pieces(self.plan, box):
            if block in self.own:
                held, values = self.plan.blocks[block].core, self.own[block]
            elif block in self.received:
                held, values = next(item for item in self.received[block] if _holds(item[0], part))
            else:
                continue
            window[(..., *target)] = values[(..., *part.slices(held))]
        return window


class WindowExchange:
    """What the ranks send each other so that each of them can assemble its windows.

    One object serves all fields that have the same windows.

    Parameters
    ----------
    owner:
        Rank of each block.
    wanted:
        For **every** rank, the windows that it wants; the same argument on all ranks. Columns wrap on a periodic grid.
    """

    def __init__(
        self,
        comm: Communicator,
        plan: BlockPlan,
        owner: Sequence[int] | NDArray[np.int64],
        wanted: Sequence[Iterable[Box]],
    ) -> None:
        self._comm, self._plan = comm, plan
        self._outgoing: list[list[Piece]] = [[] for _ in range(comm.size)]
        self._incoming: list[list[Piece]] = [[] for _ in range(comm.size)]
        if comm.size == 1:
            return
        for rank, boxes in enumerate(wanted):
            needed: list[set[Piece]] = [set() for _ in range(comm.size)]
            for box in boxes:
                for block, part, _ in _pieces(plan, box):
                    needed[int(owner[block])].add((block, part))
            if rank == comm.rank:
                self._incoming = [_largest(pieces) for pieces in needed]
                self._incoming[rank] = []
            else:
                self._outgoing[rank] = _largest(needed[comm.rank])

    def collect(
        self, blocks: Mapping[int, NDArray[Any]], fill: float, dtype: Any, leading: tuple[int, ...] = ()
    ) -> Windows:
        """Receive what the windows of this rank need from other ranks. Collective.

        Only these pieces are held. Later changes of the blocks of this rank would show in its windows.

        Parameters
        ----------
        blocks:
            This rank's blocks, arrays (*leading, rows, cols) of their cores. A block may be absent (for example a
            block without land, on which no predictor runs).
        """
        received: dict[int, list[tuple[Box, NDArray[Any]]]] = {}
        if self._comm.size > 1:
            for (block, box), values in self._received(blocks, np.dtype(dtype), leading):
                received.setdefault(block, []).append((box, values))
        return Windows(self._plan, blocks, received, fill, dtype, leading)

    def _received(
        self, blocks: Mapping[int, NDArray[Any]], dtype: np.dtype[Any], leading: tuple[int, ...]
    ) -> Iterator[tuple[Piece, NDArray[Any]]]:
        """The pieces that the other ranks have, from which absent blocks are left out. Collective."""
        comm = self._comm
        # A receiver does not know which blocks are absent on other ranks, so each rank says it for each piece.
        here = [np.array([block in blocks for block, _ in pieces], bool) for pieces in self._outgoing]
        there = exchange(here, comm.mpi)
        coming = [
            iter([piece for piece, is_there in zip(pieces, flags, strict=True) if is_there])
            for pieces, flags in zip(self._incoming, there, strict=True)
        ]
        going = [(rank, piece) for rank, pieces in enumerate(self._outgoing) for piece in pieces if piece[0] in blocks]
        samples = int(np.prod(leading, dtype=np.int64))
        sizes = np.array([samples * box.size for _, (_, box) in going], np.int64)
        turn = (np.cumsum(sizes) - sizes) * dtype.itemsize // ROUND
        for number in range(max(comm.allgather(int(turn.max(initial=-1)))) + 1):
            with comm.guard():
                parts: list[list[NDArray[Any]]] = [[np.empty(0, dtype)] for _ in range(comm.size)]
                for index in np.flatnonzero(turn == number):
                    rank, (block, box) = going[index]
                    rows, cols = box.slices(self._plan.blocks[block].core)
                    parts[rank].append(blocks[block][..., rows, cols].reshape(-1))
                packed = [np.concatenate(pieces, dtype=dtype, casting="unsafe") for pieces in parts]
                del parts
            for rank, arrived in enumerate(exchange(packed, comm.mpi)):
                place = 0
                while place < arrived.size:
                    piece = next(coming[rank])
                    values = arrived[place : place + samples * piece[1].size]
                    yield piece, values.reshape(*leading, *piece[1].shape)
                    place += values.size


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
    """Assemble all windows of one field at once. Collective.

    Parameters
    ----------
    wanted:
        For **every** rank, the windows that it wants, by key. For the others see :class:`WindowExchange`.

    Returns
    -------
    This rank's windows, arrays (*leading, rows, cols).
    """
    windows = WindowExchange(comm, plan, owner, [boxes.values() for boxes in wanted])
    collected = windows.collect(blocks, fill, dtype, leading)
    return {key: collected.window(box) for key, box in sorted(wanted[comm.rank].items())}


def _largest(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces in the order of blocks, without those that lie in another piece. Corners of windows often do."""
    kept: list[Piece] = []
    for block, group in groupby(sorted(pieces), key=itemgetter(0)):
        boxes = [box for _, box in group]
        kept += [(block, box) for box in boxes if not any(_holds(b, box) for b in boxes if b != box)]
    return kept


def _holds(outer: Box, inner: Box) -> bool:
    return outer.intersect(inner) == inner


def _pieces(plan: BlockPlan, box: Box) -> Iterator[tuple[int, Box, tuple[slice, slice]]]:
    """Parts of blocks that make up a window: block, part in the grid, slices of the window."""
    turns: Sequence[int] = (0,)
    if plan.fine.periodic:
        turns = range(box.col0 // plan.fine.nlon, (box.col1 - 1) // plan.fine.nlon + 1)
    for turn in turns:
        shift = turn * plan.fine.nlon
        shifted = Box(box.row0, box.row1, box.col0 - shift, box.col1 - shift)
        for block, part in plan.touching(shifted):
            yield block.id, part, part.slices(shifted)
