"""Writes a whole shard of a Zarr array at once.

Zarr itself writes each chunk of a shard with several tasks, which takes four times as long as the compression. Format:
https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import zarr

#: Offset and size of a chunk that a shard does not hold.
_ABSENT = (2**64 - 1, 2**64 - 1)


def encode_shard(array: zarr.Array[Any], values: NDArray[Any]) -> bytes | None:
    """The content of the file of a shard; ``None`` if the array is not made as :func:`make_store` makes it.

    Parameters
    ----------
    values:
        The shard, or at the end of an axis the part of it that lies in the array.
    """
    from google_crc32c import value as crc32c  # Zarr needs it too
    from numcodecs.zstd import Zstd

    settings = _zstd_settings(array)
    if settings is None:
        return None
    compressor = Zstd(**settings)
    chunks, shards = array.chunks, array.shards
    assert shards is not None
    dtype = array.dtype.newbyteorder("<")
    content: list[bytes] = []
    index: list[tuple[int, int]] = []
    size = 0
    for at in itertools.product(*(range(0, n, step) for n, step in zip(shards, chunks, strict=True))):
        part = values[tuple(slice(i, i + n) for i, n in zip(at, chunks, strict=True))]
        if not part.size:
            index.append(_ABSENT)
            continue
        chunk = np.full(chunks, array.fill_value, dtype)
        chunk[tuple(slice(0, n) for n in part.shape)] = part
        content.append(compressor.encode(chunk))
        index.append((size, len(content[-1])))
        size += len(content[-1])
    table = np.array(index, "<u8").tobytes()
    return b"".join([*content, table, np.array(crc32c(table), "<u4").tobytes()])


def _zstd_settings(array: zarr.Array[Any]) -> dict[str, Any] | None:
    """Level and checksum of the compression in the shards of an array; ``None`` if it has other codecs."""
    codecs = json.loads(json.dumps(array.metadata.to_dict()["codecs"]))
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    match codecs:
        case [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "codecs": [{"name": "bytes", **order}, {"name": "zstd", "configuration": settings}],
                    "index_codecs": [index, {"name": "crc32c"}],
                    "index_location": "end",
                },
            }
        ] if index == little and order.get("configuration", little["configuration"]) == little["configuration"]:
            return dict(settings)
    return None
