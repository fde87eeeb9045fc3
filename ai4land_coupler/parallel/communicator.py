"""A communicator that turns the failure of one rank into an error on every rank.

The component never uses COMM_WORLD. It duplicates the communicator that it gets, so that its messages do not mix with
those of the host. Local work that may fail runs in :meth:`Communicator.guard`. At its end the ranks tell each other
whether they failed, before any rank enters the next collective call. Otherwise one failed rank would leave the other
ranks waiting.

Long work asks now and then whether another rank has failed, and then ends early. For this a rank that fails sends each
other rank an empty message. All ranks receive these messages at the end of the guard, so none is left for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import StateError
from ai4land_coupler.parallel.collective import exchange, gather_failures, raise_first

#: Tag of the empty message of a rank that failed.
_FAILED = 4712


class _AnotherRankFailed(Exception):
    """Ends the work of this rank in a guard. The guard raises the other rank's error instead."""


class Communicator:
    """A private copy of an MPI communicator, or a single process if ``comm`` is ``None``."""

    def __init__(self, comm: Any = None) -> None:
        self._comm: Any = None
        self.rank, self.size = 0, 1
        if comm is not None:
            from mpi4py import MPI

            if not MPI.Is_initialized() or MPI.Is_finalized():
                raise StateError("MPI is not running", remedy="pass a communicator between MPI_Init and MPI_Finalize")
            self._comm = comm.Dup()
            self._comm.Set_errhandler(MPI.ERRORS_RETURN)
            self.rank, self.size = self._comm.rank, self._comm.size

    @property
    def mpi(self) -> Any:
        """The mpi4py communicator, or ``None``."""
        return self._comm

    @contextmanager
    def guard(self) -> Iterator[Callable[[], None]]:
        """Run local work; raise on every rank if it failed on one. The block must not contain a collective call.

        Yields
        ------
        A function that ends the block if another rank has failed already. Long work calls it now and then, in the
        calling thread. It takes about a microsecond and does not wait.
        """
        error: BaseException | None = None
        try:
            yield self._end_if_another_failed
        except _AnotherRankFailed:
            pass
        except BaseException as caught:  # SystemExit of a plugin must not leave other ranks waiting
            error = caught
        others = [rank for rank in range(self.size) if rank != self.rank] if self._comm is not None else []
        sent = [] if error is None else [self._comm.Isend(b"", rank, _FAILED) for rank in others]
        failures = gather_failures(error, self._comm)
        for rank in others:
            if failures[rank] is not None:
                self._comm.Recv(bytearray(), rank, _FAILED)
        for request in sent:
            request.Wait()
        raise_first(error, failures)

    def _end_if_another_failed(self) -> None:
        if self._comm is not None and self._comm.Iprobe(tag=_FAILED):
            raise _AnotherRankFailed

    def allgather(self, value: Any) -> list[Any]:
        return [value] if self._comm is None else list(self._comm.allgather(value))

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        return [value] if self._comm is None else self._comm.gather(value, root=root)

    def bcast(self, value: Any, root: int = 0) -> Any:
        return value if self._comm is None else self._comm.bcast(value, root=root)

    def alltoall(self, values: Sequence[Any]) -> list[Any]:
        return list(values) if self._comm is None else list(self._comm.alltoall(values))

    def sum(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of whole numbers over all ranks, in an array of one shape on all ranks. Collective."""
        if self._comm is None:
            return values
        total = np.empty_like(values)
        self._comm.Allreduce(np.ascontiguousarray(values), total)
        return total

    def sum_by_block(self, own: Mapping[int, Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """Sums over the blocks of all ranks, by name. Collective.

        Values are added in the order of blocks, so the sums have the same bits on any number of ranks.

        Parameters
        ----------
        own:
            The values of this rank's blocks, by block id and name.
        """
        kinds: dict[str, tuple[tuple[int, ...], str]] = {}
        for part in self.allgather({n: (v.shape, v.dtype.str) for block in own.values() for n, v in block.items()}):
            kinds |= part
        sums: dict[str, NDArray[Any]] = {}
        for name, (shape, dtype) in kinds.items():
            held = [block for block in own if name in own[block]]
            values = np.array([own[block][name] for block in held], dtype).reshape(-1, *shape)
            ids, values = (self._gather_rows(rows) for rows in (np.array(held, np.int64), values))
            ordered = iter(values[np.argsort(ids)])
            sums[name] = np.array(next(ordered))
            for value in ordered:
                sums[name] = sums[name] + value
        return sums

    def _gather_rows(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The rows of all ranks one after the other, as an array on every rank. Collective."""
        return np.concatenate(exchange([rows] * self.size, self._comm))

    def free(self) -> None:
        """Free the duplicate. After MPI_Finalize nothing is freed, because that would abort the host."""
        if self._comm is not None:
            from mpi4py import MPI

            if not MPI.Is_finalized():
                self._comm.Free()
            self._comm = None
