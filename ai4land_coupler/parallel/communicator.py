"""A communicator that turns one rank's failure into every rank's error.

The component never touches COMM_WORLD: it duplicates the communicator that it is given, so its messages
cannot meet the host's. Local work that may fail runs inside :meth:`Communicator.guard`; the ranks agree at its
end, before any of them enters the next collective call. Without that one raising rank leaves the rest hanging.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ai4land_coupler.errors import RemoteError, StateError


class Communicator:
    """A private copy of an MPI communicator, or a single process where ``comm`` is ``None``."""

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
    def guard(self, what: str) -> Iterator[None]:
        """Run local work; raise on every rank when it failed on one. No collective call may happen inside."""
        error: BaseException | None = None
        try:
            yield
        except BaseException as caught:  # SystemExit of a plugin must not leave the others waiting
            error = caught
        self.agree(error, what)

    def agree(self, error: BaseException | None, what: str = "") -> None:
        """Collective: raise ``error`` where there is one, and a :class:`RemoteError` on all other ranks."""
        if self._comm is not None:
            failed = self._comm.allgather(error is not None)
            if any(failed):
                first = failed.index(True)
                facts = None
                if self.rank == first:
                    name = type(error).__name__
                    facts = (f"{name}: {error}", getattr(error, "exit_code", 1))
                message, exit_code = self._comm.bcast(facts, root=first)
                if error is None:
                    remote = RemoteError(
                        f"rank {first} failed{' while ' + what if what else ''}",
                        found=message,
                        remedy="mend what that rank reports; all ranks stopped before the next exchange",
                    )
                    remote.exit_code = exit_code
                    raise remote
        if error is not None:
            raise error

    def allgather(self, value: Any) -> list[Any]:
        return [value] if self._comm is None else list(self._comm.allgather(value))

    def gather(self, value: Any, root: int = 0) -> list[Any] | None:
        return [value] if self._comm is None else self._comm.gather(value, root=root)

    def bcast(self, value: Any, root: int = 0) -> Any:
        return value if self._comm is None else self._comm.bcast(value, root=root)

    def alltoall(self, values: Sequence[Any]) -> list[Any]:
        return list(values) if self._comm is None else list(self._comm.alltoall(values))

    def barrier(self) -> None:
        if self._comm is not None:
            self._comm.Barrier()

    def free(self) -> None:
        """Give the duplicate back. After MPI_Finalize there is nothing left to free (it would abort the host)."""
        if self._comm is not None:
            from mpi4py import MPI

            if not MPI.Is_finalized():
                self._comm.Free()
            self._comm = None
