"""Regrid weights kept on disk, so that a grid is met once: by any number of ranks, and by several runs at a time.

An entry is a folder, named by its key::

    <folder>/<key>/manifest.json     what it holds, with its own SHA-256 and that of each part
    <folder>/<key>/part-0000.npz     the records of some ranks: arrays TABLE/COLUMN, numpy's format

A *table* is a set of columns of equal length; the column ``id`` (int64) says which cell a record belongs to. Records
are found again by id, sorted by id, whatever ranks wrote them: so they are the same on any number of ranks.

A folder is written aside and renamed when it is complete: a reader sees an entry as a whole or not at all. Of two runs
that make the same entry at the same time, the first one's stays. Damage is found by the digests; the entry is then
made anew. A cache that cannot be read or written costs time, never a run: that is logged.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.files.durable import aside_of, clear_dead, remove, seal, sync_path, unseal, write_durably
from ai4land_coupler.parallel.collective import exchange, owners, rank_and_size, split_by_rank

#: Columns (n, ...) by name, ``id`` (int64) among them.
Table = Mapping[str, NDArray[Any]]

#: Layout of the entries, and meaning of what the coupler keeps in them: another number, another key.
FORMAT = 1
#: Files that one entry has at most, however many ranks there are.
_PARTS = 64
_MANIFEST = "manifest.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedTables:
    """What was kept under a key: the records of the ids that were asked for, by table, and facts about them."""

    tables: dict[str, dict[str, NDArray[Any]]]
    about: dict[str, str]


def weight_key(source: str, destination: str, method: str, norm: str, backend: str) -> str:
    """Key of the weights between two grids.

    Parameters
    ----------
    source, destination:
        Hashes of the whole grids.
    backend:
        All else that decides the weights: name, version and options of what makes them.
    """
    facts = json.dumps([FORMAT, source, destination, method, norm, backend])
    return f"{method}-{norm}-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"


class WeightCache:
    """Tables of records on disk, by key. Collective over ``comm`` in every method.

    Parameters
    ----------
    folder:
        Seen by all ranks; made where it does not exist. Whatever lies in it may be deleted between runs.
    comm:
        mpi4py communicator; ``None`` for a single process.
    """

    def __init__(self, folder: str | Path, comm: Any = None) -> None:
        self.folder = Path(folder)
        self._comm = comm
        self._rank, self._size = rank_and_size(comm)
        if self._rank == 0:  # a run that finds all it wants writes nothing
            clear_dead(self.folder, None)

    def load(self, key: str, wanted: Mapping[str, NDArray[np.int64]]) -> CachedTables | None:
        """Records of an entry.

        Parameters
        ----------
        wanted:
            Table to the ids that this rank wants, int64 (n,), each wanted by one rank at most.

        Returns
        -------
        The records by ascending id, those of one id in the order in which they were saved; ``None`` on every rank
        where there is no such entry, or it is damaged.
        """
        manifest = self._manifest(key)
        if manifest is None:
            return None
        parts: list[dict[str, NDArray[Any]]] = []
        reason = None
        for part in manifest["parts"][self._rank :: self._size]:
            try:
                parts.append(_read_part(self.folder / key / part["file"], part["sha256"]))
            except (OSError, ValueError, KeyError) as error:
                reason = f"{part['file']}: {error}"
                break
        if self._told(reason, f"cached regrid weights are damaged and are made anew: {self.folder / key}"):
            if self._rank == 0:
                self._remove(key)
            return None
        tables = {}
        for table, ids in sorted(wanted.items()):
            columns = {
                column: np.concatenate(
                    [np.empty((0, *shape), dtype), *(part[f"{table}/{column}"] for part in parts)], dtype=dtype
                )
                for column, (dtype, shape) in manifest["tables"][table].items()
            }
            tables[table] = self._deliver(columns, ids)
        return CachedTables(tables, manifest["about"])

    def save(self, key: str, tables: Mapping[str, Table], about: Mapping[str, str]) -> bool:
        """Keep tables under a key; what is there already stays.

        Parameters
        ----------
        tables:
            This rank's records. Names, columns, types and trailing shapes are those of all ranks; the records of one
            id are all on one rank.

        Returns
        -------
        Whether they were kept, the same on all ranks; the reason why not is logged.
        """
        name = aside_of(self.folder / key).name
        name = name if self._comm is None else self._comm.bcast(name)
        aside, reason = self.folder / name, None
        # some ranks write for the others, so that thousands of ranks do not make thousands of files
        step = -(-self._size // _PARTS)
        writer = np.arange(self._size) // step * step
        gathered = {
            f"{table}/{column}": np.concatenate(
                exchange(split_by_rank(values, np.full(len(values), writer[self._rank]), self._size), self._comm)
            )
            for table, columns in sorted(tables.items())
            for column, values in sorted(columns.items())
        }
        try:
            aside.mkdir(parents=True, exist_ok=True)
            written = self._write_part(aside, gathered)
        except OSError as error:
            written, reason = None, str(error)
        failed = self._told(reason, f"regrid weights are not cached, {self.folder} cannot be written")
        entries = [written] if self._comm is None else self._comm.gather(written)
        if self._rank == 0 and entries is not None:
            try:
                if not failed:
                    content = {
                        "tables": {name: _kinds(columns) for name, columns in sorted(tables.items())},
                        "parts": [entry for entry in entries if entry is not None],
                        "about": dict(about),
                    }
                    write_durably(aside / _MANIFEST, seal(content))
                    self._put_in_place(aside, self.folder / key)
            except OSError as error:
                reason = str(error)
            finally:
                remove(aside)
        return not (failed or self._told(reason, f"regrid weights are not cached, {self.folder} cannot be written"))

    def _manifest(self, key: str) -> dict[str, Any] | None:
        """What an entry holds, as rank 0 reads it; ``None`` on every rank where there is none."""
        found: dict[str, Any] | None = None
        if self._rank == 0:
            path = self.folder / key / _MANIFEST
            try:
                found = unseal(path.read_bytes(), path, "delete it") if path.parent.exists() else None
            except (OSError, Ai4LandError) as error:
                _log.warning("cached regrid weights are damaged and are made anew: %s\n%s", path.parent, error)
                self._remove(key)
        return found if self._comm is None else self._comm.bcast(found)

    def _deliver(self, columns: Mapping[str, NDArray[Any]], wanted: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Send records that were read here to the ranks that want their ids."""
        ids, record = np.unique(columns["id"], return_inverse=True)
        target = owners(np.asarray(wanted, np.int64), ids, self._comm)[record.ravel()]
        taken = target >= 0
        arrived = {
            name: np.concatenate(exchange(split_by_rank(values[taken], target[taken], self._size), self._comm))
            for name, values in sorted(columns.items())
        }
        order = np.argsort(arrived["id"], kind="stable")
        return {name: values[order] for name, values in arrived.items()}

    def _write_part(self, aside: Path, columns: Mapping[str, NDArray[Any]]) -> dict[str, str] | None:
        """Write the records that were gathered here; name and digest, ``None`` where there are none."""
        if not any(len(values) for values in columns.values()):
            return None
        path = aside / f"part-{self._rank:04d}.npz"
        np.savez(path, **columns)  # type: ignore[arg-type]
        sync_path(path)
        return {"file": path.name, "sha256": _digest(path)}

    def _put_in_place(self, aside: Path, entry: Path) -> None:
        """Rename a complete entry to its name; where one is there already, it stays."""
        try:
            aside.replace(entry)
        except OSError:
            if not (entry / _MANIFEST).is_file():  # else another run was faster, with the same weights
                raise
        sync_path(self.folder)

    def _remove(self, key: str) -> None:
        """Take a damaged entry away. Where that fails, it is in the way of a better one, and found damaged again."""
        aside = aside_of(self.folder / key)
        try:
            (self.folder / key).replace(aside)
        except OSError as error:
            _log.warning("a damaged entry of the cache cannot be removed: %s", error)
        remove(aside)

    def _told(self, reason: str | None, what: str) -> bool:
        """Whether any rank has a reason; rank 0 logs the first."""
        reasons = [reason] if self._comm is None else self._comm.allgather(reason)
        first = next((text for text in reasons if text is not None), None)
        if first is not None and self._rank == 0:
            _log.warning("%s\n  found: %s", what, first)
        return first is not None


def _kinds(columns: Table) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (values.dtype.str, values.shape[1:]) for name, values in sorted(columns.items())}


def _read_part(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    found = _digest(path)
    if found != sha256:
        raise ValueError(f"expected sha256 {sha256}, found {found}")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
