"""Encoding a whole shard at once, in the calling thread.

Zarr encodes the chunks of a shard through an event loop and threads, which takes about as long again as compressing
them. The bytes are those that Zarr writes (``tests/experiments/test_prepare.py`` compares them).

Format: Zarr v3, codec ``sharding_indexed`` with the index at the end
(https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html).
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Level of the codec zstd of all arrays: level 3 takes up to twice as long, for 1 % less of land use and maps and 5 %
#: less of elevation. Its frames carry no checksum by default, and then let bit flips through.
LEVEL, CHECKSUM = 1, True
#: Offset and length of a chunk that is not there.
NONE = 2**64 - 1


def encode_shard(values: NDArray[Any], chunk: tuple[int, int], shard: tuple[int, int], fill: Any) -> bytes:
    """The file of a shard.

    Parameters
    ----------
    values:
        (rows, cols) from the shard's first corner on, in the type that is stored; the shard may reach beyond them.
    chunk, shard:
        Rows and columns; the shard's are multiples of the chunk's.
    fill:
        What is stored beyond ``values`` in a chunk that holds some of them; other chunks are left out.
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
    """The order of the chunks in the file, which Zarr leaves open and its Python library does by the Morton code."""
    bits = [(count - 1).bit_length() for count in counts]
    places = [(axis, bit) for bit in range(max(bits)) for axis in (0, 1) if bit < bits[axis]]

    def code(at: tuple[int, int]) -> int:
        return sum((at[axis] >> bit & 1) << place for place, (axis, bit) in enumerate(places))

    return tuple(sorted(itertools.product(range(counts[0]), range(counts[1])), key=code))
