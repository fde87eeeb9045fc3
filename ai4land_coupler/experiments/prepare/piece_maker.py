"""Makes pieces of a prepared store: reads values through the adapters and writes their shards.

Runs in the calling process or in worker processes. An interrupted piece has no entry in the journal
(:mod:`~ai4land_coupler.experiments.prepare.journal`) and is made again, with the same bytes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.experiments.prepare.layout import Piece, PreparedLayout
from ai4land_coupler.experiments.prepare.shard import encode_shard
from ai4land_coupler.files.durable import disk_errors
from ai4land_coupler.inputs.adapters import make_adapter
from ai4land_coupler.inputs.catalogue import Mended, make_catalogue
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.first_state import read_cover
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.store.format import array_file

#: Cache of GDAL in each process (megabytes). The default is 5 % of the machine's memory.
GDAL_CACHE = "64"
#: Beside the unfinished store: a file that every worker holds a shared lock of while it lives.
WORKERS = "workers"


class MadePiece(NamedTuple):
    """A written piece: sizes of its files by path relative to the store, and counts of mended values."""

    piece: Piece
    files: dict[str, int]
    mended: list[list[Any]]


@dataclass
class PieceMaker:
    """Makes the pieces of one store. Can be pickled before its first use."""

    config: Config
    layout: PreparedLayout
    store: Path
    _reader: _PieceReader | None = field(default=None, repr=False)

    def make(self, piece: Piece) -> MadePiece:
        """Write the shards of one piece, without synchronising them to disk.

        Raises
        ------
        Ai4LandError
            As the adapters raise; ``RunError`` if writing to disk fails.
        """
        if self._reader is None:
            self._reader = _PieceReader(self.config, self.layout, self.store)
        values, mended = self._reader.read(piece)
        files: dict[str, int] = {}
        for name, array in values.items():
            file = self._write(f"{piece.part}/{name}", piece, array)
            files[file.relative_to(self.store).as_posix()] = file.stat().st_size
        return MadePiece(piece, files, [[*key, n] for key, n in mended.items() if n])

    def _write(self, name: str, piece: Piece, values: NDArray[Any]) -> Path:
        assert self._reader is not None
        array = self._reader.arrays[name]
        at = () if piece.year is None else (self.layout.years(piece.part).index(piece.year),)
        file = array_file(self.store, name, array, (*at, piece.box.row0, piece.box.col0))
        shards, chunks = array.shards[-2:], array.chunks[-2:]
        content = encode_shard(np.asarray(values, array.dtype), chunks, shards, array.fill_value)
        with disk_errors("a piece of a prepared store could not be written", file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return file


class _PieceReader:
    """The adapters and arrays that a process has opened."""

    def __init__(self, config: Config, layout: PreparedLayout, store: Path) -> None:
        import zarr

        self._layout = layout
        self._legend = get_legend(layout.legend)
        plugins = load_plugins(config.plugins.allow)
        self._initial = make_adapter(config, plugins, "initial", config.initial)
        self._forcing, self._static = (make_catalogue(config, plugins, kind) for kind in ("forcing", "static"))
        self._compared: set[tuple[int, Box]] = set()
        group = zarr.open_group(store, mode="r")
        self.arrays: dict[str, Any] = {v.array: group[v.array] for v in layout.variables}

    def read(self, piece: Piece) -> tuple[Mapping[str, NDArray[Any]], dict[Mended, int]]:
        """The values (rows, columns) of each variable of a piece, and the counts of mended values."""
        layout = self._layout
        units = {v.name: v.units for v in layout.of(piece.part)}
        grid = layout.grid(piece.part)
        assert grid is not None
        if piece.part == "maps":
            assert piece.year is not None
            cover = read_cover(self._initial, self._legend, grid.sub(piece.box), piece.year)
            return {piece.names[0]: cover}, {}
        if piece.part == "forcing":
            cells = grid.sub(piece.box)
            self._read_first(piece, cells, units)
            self._forcing.mended.clear()
            return self._forcing.read({n: units[n] for n in piece.names}, cells, piece.year), self._mended_of(piece)
        # Read the same pieces as a run does, so that interpolated values have the same bits.
        self._static.mended.clear()
        reader = StaticReader(self._static, grid, cache=0)
        return {n: reader.read(FieldSpec(n, units[n], "static"), piece.box) for n in piece.names}, self._static.mended

    def _read_first(self, piece: Piece, cells: LatLonGrid, units: Mapping[str, str]) -> None:
        """Let the catalogue read the first year of each data set once per process: it compares later masks with it."""
        if piece.year is None:
            return
        years = self._layout.years("forcing")
        serving = {name: self._forcing.find(name, piece.year) for name in piece.names}
        for index in sorted(set(serving.values())):
            if (index, piece.box) not in self._compared:
                self._compared.add((index, piece.box))
                names = [name for name in piece.names if serving[name] == index]
                stored = {v.name: v.years or years for v in self._layout.of("forcing")}
                first = min(y for n in names for y in stored[n] if self._forcing.find(n, y) == index)
                shown = {n: units[n] for n in names if first in stored[n] and self._forcing.find(n, first) == index}
                self._forcing.read(shown, cells, first)

    def _mended_of(self, piece: Piece) -> dict[Mended, int]:
        """Counts of the piece's own year only. The catalogue may have read other years too, to compare data sets."""
        own = {
            (entry.name, None if piece.year is None else entry.data_year(piece.year, info.years))
            for entry in self._forcing.adapters
            for info in entry.adapter.fields().values()
        }
        return {k: n for k, n in self._forcing.mended.items() if (k.adapter, k.year) in own}


# ---- in a worker process ------------------------------------------------------------------------------------------

_piece_maker: PieceMaker | None = None
_lock: IO[str] | None = None


def start_worker(maker: PieceMaker) -> None:
    """Prepare a worker: store the piece maker, and show that this worker lives."""
    global _piece_maker, _lock  # noqa: PLW0603 - workers of a pool can keep objects only in globals
    _lock = (maker.store.parent / WORKERS).open("w")
    fcntl.flock(_lock, fcntl.LOCK_SH)
    os.environ.setdefault("GDAL_CACHEMAX", GDAL_CACHE)
    _piece_maker = maker


def make_in_worker(piece: Piece) -> MadePiece:
    """Make a piece with the piece maker of this process."""
    assert _piece_maker is not None
    return _piece_maker.make(piece)
