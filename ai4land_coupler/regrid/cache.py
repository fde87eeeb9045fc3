"""A cache of regrid weights on disk, for any number of ranks and for several runs at the same time.

An entry is a folder, named by its key::

    <folder>/<key>/manifest.json     names of tables and parts, with its own SHA-256 and that of each part
    <folder>/<key>/part-0000.npz     the records of some ranks: arrays TABLE/COLUMN in the format of numpy

A *table* is a set of columns of equal length. The column ``id`` (int64) is the cell that a record belongs to. Records
are read by id and sorted by id, so they are the same on any number of ranks, whichever ranks wrote them.

An entry is written to a temporary folder, which is renamed when it is complete. So a reader sees a complete entry or
none. If two runs make the same entry at the same time, the first one stays. Digests reveal damage; a damaged entry is
made again. If the cache cannot be read or written, the run logs this and makes the weights itself.
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
from ai4land_coupler.files.durable import clear_dead, remove, seal, sync_path, temporary_path, unseal, write_durably
from ai4land_coupler.parallel.collective import exchange, rank_and_size, send_to_owners, split_by_rank

#: Columns (n, ...) by name, ``id`` (int64) among them.
Table = Mapping[str, NDArray[Any]]

#: Version of the layout and meaning of entries. It is a part of the key.
FORMAT = 1
#: Largest number of files of one entry, for any number of ranks.
_PARTS = 64
_MANIFEST = "manifest.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedTables:
    """An entry of the cache: the records of the requested ids by table, and text attributes (``about``)."""

    tables: dict[str, dict[str, NDArray[Any]]]
    about: dict[str, str]


def weight_key(source: str, destination: str, method: str, norm: str, backend: str) -> str:
    """Key of the weights between two grids.

    Parameters
    ----------
    source, destination:
        Hashes of the whole grids.
    backend:
        Everything else that the weights depend on: name, version and options of the backend.
    """
    facts = json.dumps([FORMAT, source, destination, method, norm, backend])
    return f"{method}-{norm}-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"


class WeightCache:
    """Tables of records on disk, by key. Every method is collective over ``comm``.

    Parameters
    ----------
    folder:
        All ranks must see it; it is made if it does not exist. Its content may be deleted between runs.
    comm:
        mpi4py communicator; ``None`` for a single process.
    """

    def __init__(self, folder: str | Path, comm: Any = None) -> None:
        self.folder = Path(folder)
        self._comm = comm
        self._rank, self._size = rank_and_size(comm)
        if self._rank == 0:  # here, because a run that finds all its weights writes nothing
            clear_dead(self.folder, None)

    def load(self, key: str, wanted: Mapping[str, NDArray[np.int64]]) -> CachedTables | None:
        """Read records of an entry.

        Parameters
        ----------
        wanted:
            For each table, the ids that this rank wants, int64 (n,). Only one rank may want a given id.

        Returns
        -------
        The records by ascending id; records of one id keep the order in which they were saved. ``None`` on every rank
        if there is no such entry or it is damaged.
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
        if self._log_failure(reason, f"cached regrid weights are damaged and are made anew: {self.folder / key}"):
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
        """Write tables under a key. An existing entry stays unchanged.

        Parameters
        ----------
        tables:
            This rank's records. Names, columns, types and trailing shapes must be the same on all ranks. All records
            of one id must be on one rank.

        Returns
        -------
        Whether the entry was written, the same on all ranks. If not, the reason is logged.
        """
        name = temporary_path(self.folder / key).name
        name = name if self._comm is None else self._comm.bcast(name)
        temporary, reason = self.folder / name, None
        # some ranks also write the records of other ranks, so that thousands of ranks do not make thousands of files
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
            temporary.mkdir(parents=True, exist_ok=True)
            written = self._write_part(temporary, gathered)
        except OSError as error:
            written, reason = None, str(error)
        failed = self._log_failure(reason, f"regrid weights are not cached, {self.folder} cannot be written")
        entries = [written] if self._comm is None else self._comm.gather(written)
        if self._rank == 0 and entries is not None:
            try:
                if not failed:
                    content = {
                        "tables": {name: _kinds(columns) for name, columns in sorted(tables.items())},
                        "parts": [entry for entry in entries if entry is not None],
                        "about": dict(about),
                    }
                    write_durably(temporary / _MANIFEST, seal(content))
                    self._put_in_place(temporary, self.folder / key)
            except OSError as error:
                reason = str(error)
            finally:
                remove(temporary)
        message = f"regrid weights are not cached, {self.folder} cannot be written"
        return not (failed or self._log_failure(reason, message))

    def _manifest(self, key: str) -> dict[str, Any] | None:
        """The manifest of an entry, read by rank 0; ``None`` on every rank if there is no intact entry."""
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
        """Send the records that this rank read to the ranks that want their ids."""
        names = sorted(columns)
        parts = send_to_owners(np.asarray(wanted, np.int64), columns["id"], [columns[n] for n in names], self._comm)
        arrived = dict(zip(names, parts, strict=True))
        order = np.argsort(arrived["id"], kind="stable")
        return {name: values[order] for name, values in arrived.items()}

    def _write_part(self, temporary: Path, columns: Mapping[str, NDArray[Any]]) -> dict[str, str] | None:
        """Write the records that were gathered here. Returns name and digest, or ``None`` if there are no records."""
        if not any(len(values) for values in columns.values()):
            return None
        path = temporary / f"part-{self._rank:04d}.npz"
        np.savez(path, **columns)  # type: ignore[arg-type]
        sync_path(path)
        return {"file": path.name, "sha256": _digest(path)}

    def _put_in_place(self, temporary: Path, entry: Path) -> None:
        """Rename a complete entry to its final name. An existing entry stays."""
        try:
            temporary.replace(entry)
        except OSError:
            if not (entry / _MANIFEST).is_file():  # otherwise another run has written the same weights first
                raise
        sync_path(self.folder)

    def _remove(self, key: str) -> None:
        """Remove a damaged entry. If that fails, it stays, and the next run finds it damaged again."""
        temporary = temporary_path(self.folder / key)
        try:
            (self.folder / key).replace(temporary)
        except OSError as error:
            _log.warning("a damaged entry of the cache cannot be removed: %s", error)
        remove(temporary)

    def _log_failure(self, reason: str | None, what: str) -> bool:
        """Whether any rank failed (has a reason). Rank 0 logs the first reason. Collective."""
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
