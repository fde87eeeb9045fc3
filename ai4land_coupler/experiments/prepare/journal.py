"""Records which pieces of a store are complete, so that an interrupted run continues with the other pieces.

Pieces are recorded in batches: first all shards of a batch are synchronised to disk, then its entry is written. After a
kill or a power failure, the pieces without an entry are made again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ai4land_coupler.errors import DataError
from ai4land_coupler.experiments.prepare.layout import Piece
from ai4land_coupler.experiments.prepare.piece_maker import MadePiece
from ai4land_coupler.files.durable import disk_errors, seal, sync_files, unseal, write_durably

#: Largest number of pieces, bytes and seconds of a batch: the work that a kill can lose.
PIECES, BYTES, AGE = 16, 256 << 20, 5.0

REMEDY = "run the same command again: it continues with the missing pieces"


class Journal:
    """The journal of an unfinished store.

    Parameters
    ----------
    folder:
        Contains one file per batch.
    store:
        The unfinished store.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder, self._store = folder, store
        self._batch: list[MadePiece] = []
        self._batch_start = 0.0
        self._next = 1 + max((int(path.stem) for path in folder.glob("[0-9]*.json")), default=0)

    def add(self, made: MadePiece) -> Sequence[MadePiece]:
        """Add a written piece. Returns the pieces that this call records: none, or the whole batch.

        Raises
        ------
        RunError
            If writing to disk fails.
        """
        if not self._batch:
            self._batch_start = time.monotonic()
        self._batch.append(made)
        size = sum(sum(item.files.values()) for item in self._batch)
        full = len(self._batch) >= PIECES or size >= BYTES or time.monotonic() - self._batch_start > AGE
        return self.flush() if full else ()

    def flush(self) -> Sequence[MadePiece]:
        """Record the pieces of the current batch, and return them."""
        batch, self._batch = self._batch, []
        if batch:
            with disk_errors("pieces of a prepared store could not be brought to disk", self._store):
                sync_files((self._store / name for made in batch for name in made.files), self._store)
                pieces = {made.piece.id: {"files": made.files, "mended": made.mended} for made in batch}
                write_durably(self._folder / f"{self._next}.json", seal(pieces))
            self._next += 1
        return batch

    def read(self, pieces: Sequence[Piece]) -> Mapping[str, dict[str, Any]]:
        """Entries of the complete pieces, by id: those that are undamaged, and whose files have the recorded sizes."""
        entries: dict[str, dict[str, Any]] = {}
        for path in sorted(self._folder.glob("[0-9]*.json"), key=lambda path: int(path.stem)):
            try:
                entries |= unseal(path.read_bytes(), path, REMEDY)
            except (OSError, DataError):
                continue
        return {
            piece.id: entry
            for piece in pieces
            if (entry := entries.get(piece.id)) and self._is_complete(entry["files"])
        }

    def _is_complete(self, files: Mapping[str, int]) -> bool:
        try:
            return all((self._store / name).stat().st_size == size for name, size in files.items())
        except OSError:
            return False
