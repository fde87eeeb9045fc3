"""Which pieces of a store are done, so that an interrupted run goes on with the others.

Pieces are entered in batches: their shards are brought to disk first, all at once, then the entry. A kill or a loss of
power costs the pieces that were not entered yet, which are made anew.
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

#: A batch ends when it has so many pieces or bytes, or is so old (seconds): that much work a kill may cost.
PIECES, BYTES, AGE = 16, 256 << 20, 5.0

REMEDY = "run the same command again: it goes on with the pieces that are missing"


class Journal:
    """The journal of an unfinished store.

    Parameters
    ----------
    folder:
        Holds one file a batch.
    store:
        The unfinished store.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder, self._store = folder, store
        self._batch: list[MadePiece] = []
        self._begun = 0.0
        self._next = 1 + max((int(path.stem) for path in folder.glob("[0-9]*.json")), default=0)

    def add(self, made: MadePiece) -> Sequence[MadePiece]:
        """Take a piece that was written; returns those that are entered now.

        Raises
        ------
        RunError
            When the disk refuses.
        """
        if not self._batch:
            self._begun = time.monotonic()
        self._batch.append(made)
        size = sum(sum(item.files.values()) for item in self._batch)
        full = len(self._batch) >= PIECES or size >= BYTES or time.monotonic() - self._begun > AGE
        return self.flush() if full else ()

    def flush(self) -> Sequence[MadePiece]:
        """Enter the pieces that wait; returns them."""
        batch, self._batch = self._batch, []
        if batch:
            with disk_errors("pieces of a prepared store could not be brought to disk", self._store):
                sync_files((self._store / name for made in batch for name in made.files), self._store)
                pieces = {made.piece.id: {"files": made.files, "mended": made.mended} for made in batch}
                write_durably(self._folder / f"{self._next}.json", seal(pieces))
            self._next += 1
        return batch

    def read(self, pieces: Sequence[Piece]) -> Mapping[str, dict[str, Any]]:
        """The pieces that are done, by id: their entry is sound, and their files have the size that it tells."""
        entries: dict[str, dict[str, Any]] = {}
        for path in sorted(self._folder.glob("[0-9]*.json"), key=lambda path: int(path.stem)):
            try:
                entries |= unseal(path.read_bytes(), path, REMEDY)
            except (OSError, DataError):
                continue
        return {piece.id: entry for piece in pieces if (entry := entries.get(piece.id)) and self._whole(entry["files"])}

    def _whole(self, files: Mapping[str, int]) -> bool:
        try:
            return all((self._store / name).stat().st_size == size for name, size in files.items())
        except OSError:
            return False
