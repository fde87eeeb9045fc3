"""Encodes a whole shard at once, in the calling thread.

Zarr encodes the chunks of a shard through an event loop and threads, which doubles the time. This module writes the
same bytes as Zarr (``tests/experiments/test_prepare.py`` compares them).

Format: Zarr v3, codec ``sharding_indexed`` with the index at the end
(https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html).
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Level of zstd for all arrays. Level 3 takes up to twice as long and saves 1 % (land use, maps) to 5 % (elevation).
#: The checksum is needed: without it (the default), zstd does not notice bit flips.
LEVEL, CHECKSUM = 1, True
#: Offset and length of a chunk that is not stored.
NONE = 2**64 - 1


def encode_shard(values: NDArray[Any], chunk: tuple[int, int], shard: tuple[int, int], fill: Any) -> bytes:
    """The content of a shard's file.

    Parameters
    ----------
    values:
        (rows, cols) from the shard's first corner, in the stored type. The shard may extend beyond them.
    chunk, shard:
        Sizes in rows and columns. The shard is a multiple of the chunk.
    fill:
        Fills the rest of chunks that ``values`` cover partly. Chunks without any value are not stored.
    """
    import google_crc32c
    from numcodecs.zstd import Zstd

    zstd = Zstd(level=LEVEL, checksum=CHECKSUM)
    little = values.dtype.newbyteorder("<")
    counts = shard[0] // chunk[0], shard[1] // chunk[1]
    index = np.full((*counts, 2), NONE, "<u8")
    parts: list[bytes] = []
    start = 0
    for row, col in _order(counts):
        part = values[row * chunk[0] : (row + 1) * chunk[0], col * chunk[1] : (col + 1) * chunk[1]]
        if not part.size:
            continue
        if part.shape != chunk:
            padded = np.full(chunk, fill, little)
            padded[: part.shape[0], : part.shape[1]] = part
            part = padded
        parts.append(zstd.encode(np.ascontiguousarray(part, little)))
        index[row, col] = start, len(parts[-1])
        start += len(parts[-1])
    table = index.tobytes()
    return b"".join([*parts, table, google_crc32c.value(table).to_bytes(4, "little")])


@cache
def _order(counts: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Order of the chunks in the file: by Morton code, as in Zarr's Python library. The format allows any order."""
    bits = [(count - 1).bit_length() for count in counts]
    places = [(axis, bit) for bit in range(max(bits)) for axis in (0, 1) if bit < bits[axis]]

    def code(at: tuple[int, int]) -> int:
        return sum((at[axis] >> bit & 1) << place for place, (axis, bit) in enumerate(places))

    return tuple(sorted(itertools.product(range(counts[0]), range(counts[1])), key=code))
