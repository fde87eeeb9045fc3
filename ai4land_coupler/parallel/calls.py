"""Check that all ranks make the same collective call, before any of them waits for another inside of it.

A rank that refuses a call (for example, because its date is impossible) tells the others and does not wait for them.
A rank that ends tells the others too. So no rank waits for ever for a rank that will not come.

Each call of a rank, made or refused, has a number. Rank 0 collects call ``k`` of all ranks and answers each of them.
Messages are a few hundred bytes: MPI libraries send them without waiting for the receiver.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ai4land_coupler import errors
from ai4land_coupler.errors import Ai4LandError, RemoteError
from ai4land_coupler.parallel.collective import error_facts
from ai4land_coupler.parallel.same import ranks_text

_TAG = 4711
#: Sends of ranks that ended; MPI may still need their memory.
_LAST_SENDS: list[Any] = []


class Call(NamedTuple):
    """A collective call. ``value`` is what must be the same on all ranks, as text.

    ``kind`` is the class of the error if it is not (of ``errors.py``), ``what`` the first line of its message.
    """

    name: str
    value: str = ""
    kind: str = "StateError"
    what: str = "ranks gave different arguments to a collective call"


class _Refused(NamedTuple):
    kind: str
    facts: dict[str, Any]


class _Ended(NamedTuple):
    rank: int


class CallCheck:
    """Compares the collective calls of all ranks. Does nothing on a single process.

    Parameters
    ----------
    comm:
        mpi4py communicator, or ``None``. It is duplicated (collective), and the duplicate stays until MPI_Finalize: a
        message of a rank that ended may still arrive after the communicator is no longer used here.
    """

    def __init__(self, comm: Any) -> None:
        self._comm: Any = None
        if comm is not None and comm.size > 1:
            from mpi4py import MPI

            self._comm = comm.Dup()
            self._comm.Set_errhandler(MPI.ERRORS_RETURN)
        #: Refused calls: other ranks have answers (rank 0: messages) of them that were not received yet.
        self._refused = 0
        self._ended: dict[int, _Ended] = {}
        self._requests: list[Any] = []

    def enter(self, call: Call) -> None:
        """Make a call together with all other ranks. Collective.

        Raises
        ------
        Ai4LandError
            On every rank that makes the call: another rank refused it, has ended, or makes another call.
        """
        if self._comm is None:
            return
        own = self._comm.rank
        answer: Any
        if own == 0:
            for _ in range(self._refused):
                self._collect(None)
            messages = self._collect(call)
            answer = _answer(messages)
            for rank in messages:
                if rank != own and rank not in self._ended:
                    self._send(answer, rank)
        else:
            if 0 not in self._ended:
                self._send(call, 0)
            answer = self._next_answer(self._refused + 1)
        self._refused = 0
        if answer is not None:
            raise _error(answer)

    def refuse(self, error: BaseException) -> None:
        """Tell the other ranks that this rank does not make its next call; does not wait for them. Local."""
        if self._comm is None:
            return
        message = _Refused(*error_facts(error))
        where = message.facts["where"]
        message.facts["where"] = f"rank {self._comm.rank}" if where is None else f"{where}, rank {self._comm.rank}"
        self._tell(message)
        self._refused += 1

    def end(self) -> None:
        """Tell the other ranks that this rank makes no more calls. Local, allowed at any time."""
        if self._comm is not None:
            from mpi4py import MPI

            if not MPI.Is_finalized():
                self._tell(_Ended(self._comm.rank))
                _LAST_SENDS.extend(request for request in self._requests if not request.Test())
            self._comm, self._requests = None, []

    # ---- messages ---------------------------------------------------------------------------------------------

    def _tell(self, message: _Refused | _Ended) -> None:
        """Send to rank 0; rank 0 sends to all others, because it answers their calls."""
        for rank in range(1, self._comm.size) if self._comm.rank == 0 else (0,):
            self._send(message, rank)

    def _send(self, message: Any, rank: int) -> None:
        self._requests = [request for request in self._requests if not request.Test()]
        self._requests.append(self._comm.isend(message, rank, _TAG))

    def _collect(self, own: Call | None) -> dict[int, Any]:
        """The next call of each rank, on rank 0."""
        messages: dict[int, Any] = {0: own}
        for rank in range(1, self._comm.size):
            message = self._ended.get(rank) or self._comm.recv(source=rank, tag=_TAG)
            if isinstance(message, _Ended):
                self._ended[rank] = message
            messages[rank] = message
        return messages

    def _next_answer(self, count: int) -> Any:
        """The last of the next ``count`` answers of rank 0."""
        answer = None
        for _ in range(count):
            answer = self._ended.get(0) or self._comm.recv(source=0, tag=_TAG)
            if isinstance(answer, _Ended) and answer.rank == 0:
                self._ended[0] = answer
        return answer


def _answer(messages: dict[int, Any]) -> Any:
    """Rank 0's answer to a call: ``None`` if all ranks make the same one, else what is wrong."""
    for kind in (_Refused, _Ended):
        for message in messages.values():
            if isinstance(message, kind):
                return message
    calls: dict[Call, list[int]] = {}
    for rank, call in messages.items():
        calls.setdefault(call, []).append(rank)
    if len(calls) == 1:
        return None
    first = messages[0]
    remedy: str | None = "give the same on all ranks"
    if len({call.name for call in calls}) > 1:
        kind_name, what = "StateError", "ranks made different collective calls"
        remedy = "make the same calls in the same order on all ranks"
        found = ", ".join(f"{call.name} {call.value}".rstrip() + f" ({ranks_text(r)})" for call, r in calls.items())
    else:
        kind_name, what = first.kind, first.what
        found = ", ".join(f"{call.value or 'none'} ({ranks_text(r)})" for call, r in calls.items())
    facts = {"what": what, "expected": "the same on all ranks", "found": found, "where": first.name, "remedy": remedy}
    return _Refused(kind_name, facts)


def _error(answer: _Refused | _Ended) -> Ai4LandError:
    if isinstance(answer, _Refused):
        error: Ai4LandError = getattr(errors, answer.kind)(**answer.facts)
        return error
    return RemoteError(
        "another rank has ended, so it takes part in no more calls",
        expected="a call on all ranks",
        found=f"rank {answer.rank} finalized its component, or its program ended",
        remedy="see the messages of that rank; finalize on all ranks after the last call",
    )
