"""Exchange arrays and errors between the ranks of a communicator; ``None`` means a single process.

A distributed directory tells which rank owns a global id: rank ``i % size`` keeps the entry of id ``i``. No rank holds
an array of the whole globe.
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
    """Raise on every rank if any rank has an error: its own error, or else the error of the first such rank."""
    raise_first(error, gather_failures(error, comm))


def gather_failures(error: BaseException | None, comm: Any) -> list[tuple[str, dict[str, str | None]] | None]:
    """The facts of the error of each rank, ``None`` for ranks without one. Collective."""
    own = None if error is None else error_facts(error)
    return [own] if comm is None else list(comm.allgather(own))


def raise_first(error: BaseException | None, failures: Sequence[tuple[str, dict[str, str | None]] | None]) -> None:
    """Raise this rank's error, or else the first of the failures; nothing if there are none."""
    if error is not None:
        raise error
    for rank, failure in enumerate(failures):
        if failure is not None:
            kind, facts = failure
            where = f"rank {rank}" if facts["where"] is None else f"{facts['where']}, rank {rank}"
            raise getattr(errors, kind)(**facts | {"where": where})


def error_facts(error: BaseException) -> tuple[str, dict[str, str | None]]:
    """The kind of an error and its texts, as plain strings. Never raises: other ranks wait for the result."""
    name = type(error).__name__
    if not isinstance(error, Ai4LandError):
        return "RemoteError", {"what": "another rank failed", "found": f"{name}: {_text(error)}", "where": None}
    # a plugin's own kind may have another constructor, or be unknown on other ranks: its base class is sent instead
    kind = next(k.__name__ for k in type(error).__mro__ if getattr(errors, k.__name__, None) is k)
    texts = {key: getattr(error, key, None) for key in ("what", "expected", "found", "where", "remedy")}
    facts = {key: None if value is None else _text(value) for key, value in texts.items()}
    return kind, facts | {"what": facts["what"] or name}


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # the text of a plugin's exception may fail too
        return f"a {type(value).__name__} that has no text"


def split_by_rank(values: NDArray[Any], target: NDArray[np.integer[Any]], size: int) -> list[NDArray[Any]]:
    """The rows of ``values`` for each rank, in their original order; ``target`` is the rank of each row."""
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
    # one MPI item is one row, so that counts stay far below the limit of 2**31 - 1
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
    """The rank that owns each wanted global id, or -1 if no rank owns it; shape of ``wanted``. Collective."""
    _, size = rank_and_size(comm)
    known = exchange(split_by_rank(owned, owned % size, size), comm)
    ids = np.concatenate(known)
    rank_of = np.repeat(np.arange(size), [len(part) for part in known])
    order = np.argsort(ids, kind="stable")
    ids, rank_of = ids[order], rank_of[order]

    target = wanted % size
    replies = []
    for asked in exchange(split_by_rank(wanted, target, size), comm):
        place = np.searchsorted(ids, asked)
        hit = place < ids.size
        hit[hit] = ids[place[hit]] == asked[hit]
        reply = np.full(asked.shape, -1, np.int64)
        reply[hit] = rank_of[place[hit]]
        replies.append(reply)
    answer = np.empty(wanted.shape, np.int64)
    answer[np.argsort(target, kind="stable")] = np.concatenate(exchange(replies, comm))
    return answer


def local_index(owned: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """Index in ``owned`` (unsorted, unique) of each of ``ids``, all of which it must hold."""
    order = np.argsort(owned)
    return order[np.searchsorted(owned, ids, sorter=order)]


def indices_to_send(
    owned: NDArray[np.int64], wanted: NDArray[np.int64], owner: NDArray[np.int64], comm: Any
) -> list[NDArray[np.intp]]:
    """For each rank, the local indices of the owned cells that it wants. Collective.

    ``owner`` is the rank of each wanted global id, from :func:`owners`.
    """
    _, size = rank_and_size(comm)
    asked = exchange(split_by_rank(wanted, owner, size), comm)
    ends = np.cumsum([len(part) for part in asked])
    return np.split(local_index(owned, np.concatenate(asked)), ends[:-1])


def send_to_owners(
    owned: NDArray[np.int64], ids: NDArray[np.int64], columns: Sequence[NDArray[Any]], comm: Any
) -> list[NDArray[Any]]:
    """Send records to the ranks that own their global ids. Collective.

    Parameters
    ----------
    owned:
        Global ids that this rank owns.
    ids:
        Global id of each record of this rank, (n,). Records whose id no rank owns are dropped.
    columns:
        Values (n, ...) of the records.

    Returns
    -------
    The columns of the records that arrived here, by sending rank.
    """
    _, size = rank_and_size(comm)
    distinct, inverse = np.unique(ids, return_inverse=True)
    target = owners(owned, distinct, comm)[inverse.ravel()]
    taken = target >= 0
    return [np.concatenate(exchange(split_by_rank(column[taken], target[taken], size), comm)) for column in columns]
