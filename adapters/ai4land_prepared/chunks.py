"""Reads small windows of an array in shards, without Zarr's cost of some milliseconds for each read.

A training reads dozens of arrays for each of its windows. A window that touches few chunks is read here: the index of
the shard, then the bytes of each chunk.

Format: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Chunks that a window may touch. Zarr reads more of them in several threads.
_MOST = 9
#: Place and length of a chunk that has no data.
_NONE = np.uint64(2**64 - 1)


class ChunkedArray:
    """A two-dimensional array, or one with years in front, whose shards hold one year each."""

    def __init__(self, folder: Path, array: Any) -> None:
        self._folder, self._dtype = str(folder / "c"), np.dtype(array.dtype)
        self._fill = array.fill_value
        self._chunk: tuple[int, int] = tuple(array.chunks[-2:])
        shard = tuple(array.shards[-2:])
        self._counts = (shard[0] // self._chunk[0], shard[1] // self._chunk[1])

    def is_small(self, rows: slice, cols: slice) -> bool:
        """Whether a window touches few chunks."""
        down, across = self._touched(rows, cols)
        return len(down) * len(across) <= _MOST

    def _touched(self, rows: slice, cols: slice) -> tuple[range, range]:
        """Rows and columns of the chunks that a window touches."""
        row, col = (
            range(part.start // size, (part.stop - 1) // size + 1)
            for part, size in zip((rows, cols), self._chunk, strict=True)
        )
        return row, col

    def read(self, at: tuple[int, ...], rows: slice, cols: slice) -> NDArray[Any]:
        """A window (rows, cols).

        Parameters
        ----------
        at:
            Position of the year; () for an array without years.

        Raises
        ------
        FileNotFoundError
            If a file is missing.
        OSError, ValueError, RuntimeError
            If a file is damaged.
        """
        window = np.empty((rows.stop - rows.start, cols.stop - cols.start), self._dtype)
        height, width = self._chunk
        touched = self._touched(rows, cols)
        for row in touched[0]:
            for col in touched[1]:
                r0, r1 = max(rows.start, row * height), min(rows.stop, (row + 1) * height)
                c0, c1 = max(cols.start, col * width), min(cols.stop, (col + 1) * width)
                place = slice(r0 - rows.start, r1 - rows.start), slice(c0 - cols.start, c1 - cols.start)
                chunk = self._read_chunk(at, row, col)
                if chunk is None:
                    window[place] = self._fill
                else:
                    window[place] = chunk[r0 - row * height : r1 - row * height, c0 - col * width : c1 - col * width]
        return window

    def _read_chunk(self, at: tuple[int, ...], row: int, col: int) -> NDArray[Any] | None:
        from numcodecs.zstd import decompress

        down, across = self._counts
        # Text, because a training reads a hundred chunks for a window, and paths as objects are slow.
        file = "/".join((self._folder, *map(str, at), str(row // down), str(col // across)))
        start, size = _index(file, self._counts)[row % down, col % across]
        if start == _NONE:
            return None
        number = os.open(file, os.O_RDONLY)
        try:
            content = os.pread(number, int(size), int(start))
        finally:
            os.close(number)
        values = np.frombuffer(decompress(content), self._dtype.newbyteorder("<"))
        return values.reshape(self._chunk)


@lru_cache(maxsize=4096)
def _index(file: str, counts: tuple[int, int]) -> NDArray[np.uint64]:
    """Place and length (bytes) of each chunk of a shard: (rows, cols, 2), at the end of its file."""
    import google_crc32c

    size = counts[0] * counts[1] * 16
    with Path(file).open("rb") as stream:
        stream.seek(-(size + 4), os.SEEK_END)
        content = stream.read(size)
        check = int.from_bytes(stream.read(4), "little")
    if google_crc32c.value(content) != check:
        raise ValueError(f"the index of the shard {file} is damaged")
    return np.frombuffer(content, "<u8").reshape(*counts, 2)
