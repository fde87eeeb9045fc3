"""Arrays and errors between the ranks of a communicator; ``None`` stands for a single process.

Global ids are found again through a distributed directory: the home of id ``i`` is rank ``i % size``, which
knows who owns it. No rank holds an array of the whole globe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler import errors
from ai4land_coupler.errors import Ai4LandError


def rank_and_size(comm: Any) -> tuple[int, int]:
    return (0, 1) if comm is None else (comm.rank, comm.size)


def agree(error: BaseException | None, comm: Any) -> None:
    """Raise on every rank when one has an error: its own where it has one, that of the first rank elsewhere."""
    if comm is not None:
        failures = comm.allgather(None if error is None else _facts(error))
        first = next((rank for rank, facts in enumerate(failures) if facts is not None), None)
        if error is None and first is not None:
            kind, facts = failures[first]
            facts["where"] = f"rank {first}" if facts["where"] is None else f"{facts['where']}, rank {first}"
            raise getattr(errors, kind)(**facts)
    if error is not None:
        raise error


def _facts(error: BaseException) -> tuple[str, dict[str, str | None]]:
    """The kind of an error and its texts. Plain strings, and never an error of its own: others wait for them."""
    name = type(error).__name__
    if not isinstance(error, Ai4LandError):
        return "RemoteError", {"what": "another rank failed", "found": f"{name}: {_text(error)}", "where": None}
    # a plugin's own kind may have another constructor, or be unknown elsewhere: the kind it is based on travels
    kind = next(k.__name__ for k in type(error).__mro__ if getattr(errors, k.__name__, None) is k)
    texts = {key: getattr(error, key, None) for key in ("what", "expected", "found", "where", "remedy")}
    facts = {key: None if value is None else _text(value) for key, value in texts.items()}
    return kind, facts | {"what": facts["what"] or name}


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # a plugin's exception may fail at this too
        return f"a {type(value).__name__} that has no text"


def split_by_rank(values: NDArray[Any], target: NDArray[np.integer[Any]], size: int) -> list[NDArray[Any]]:
    """The rows of ``values`` for each rank, in their order; ``target`` is the rank of each row."""
    order = np.argsort(target, kind="stable")
    return np.split(values[order], np.searchsorted(target[order], np.arange(1, size)))


def exchange(parts: Sequence[NDArray[Any]], comm: Any) -> list[NDArray[Any]]:
    """Send ``parts[r]`` to rank r and return what each rank sent here. Collective.

    Parts are arrays (n, ...) of one dtype and one trailing shape on all ranks.
    """
    if comm is None:
        return list(parts)
    from mpi4py import MPI

    trailing, dtype = parts[0].shape[1:], parts[0].dtype
    counts = np.array([len(part) for part in parts], np.int64)
    arriving = np.empty_like(counts)
    comm.Alltoall(counts, arriving)
    outgoing = np.ascontiguousarray(np.concatenate(parts))
    incoming = np.empty((int(arriving.sum()), *trailing), dtype)
    # one MPI item a row, so that counts stay far from the limit of 2**31 - 1
    row = MPI.BYTE.Create_contiguous(dtype.itemsize * int(np.prod(trailing, dtype=np.int64))).Commit()
    try:
        comm.Alltoallv(
            [outgoing, counts, np.cumsum(counts) - counts, row],
            [incoming, arriving, np.cumsum(arriving) - arriving, row],
        )
    finally:
        row.Free()
    return np.split(incoming, np.cumsum(arriving)[:-1])


def repeated_id(ids: NDArray[np.int64], comm: Any) -> int | None:
    """The smallest global id that occurs more than once over all ranks, or ``None``. Collective."""
    _, size = rank_and_size(comm)
    held = np.sort(np.concatenate(exchange(split_by_rank(ids, ids % size, size), comm)))
    again = held[1:][held[1:] == held[:-1]]
    local = int(again[0]) if again.size else None
    found = [local] if comm is None else comm.allgather(local)
    return min((value for value in found if value is not None), default=None)


def owners(owned: NDArray[np.int64], wanted: NDArray[np.int64], comm: Any) -> NDArray[np.int64]:
    """The rank that owns each wanted global id, -1 where none does; shape of ``wanted``. Collective."""
    _, size = rank_and_size(comm)
    known = exchange(split_by_rank(owned, owned % size, size), comm)
    ids = np.concatenate(known)
    rank_of = np.repeat(np.arange(size), [len(part) for part in known])
    order = np.argsort(ids, kind="stable")
    ids, rank_of = ids[order], rank_of[order]

    home = wanted % size
    replies = []
    for asked in exchange(split_by_rank(wanted, home, size), comm):
        place = np.searchsorted(ids, asked)
        hit = place < ids.size
        hit[hit] = ids[place[hit]] == asked[hit]
        reply = np.full(asked.shape, -1, np.int64)
        reply[hit] = rank_of[place[hit]]
        replies.append(reply)
    answer = np.empty(wanted.shape, np.int64)
    answer[np.argsort(home, kind="stable")] = np.concatenate(exchange(replies, comm))
    return answer
