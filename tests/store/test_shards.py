"""Shards that are written at once, read back by Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from ai4land_coupler.store.format import array_file
from ai4land_coupler.store.shards import encode_shard


def make(path: Path, dtype: str, compressor: Any) -> zarr.Array[Any]:
    return zarr.create_array(
        path,
        shape=(2, 3, 50, 70),
        dtype=dtype,
        chunks=(1, 1, 8, 16),
        shards=(1, 3, 32, 32),
        compressors=compressor,
        fill_value=7,
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_zarr_reads_what_was_written_also_at_the_ends_of_the_axes(tmp_path: Path, dtype: str) -> None:
    codec = ZstdCodec(level=3, checksum=True)
    array, theirs = make(tmp_path / "ours", dtype, codec), make(tmp_path / "theirs", dtype, codec)
    values = np.random.default_rng(1).integers(0, 9, array.shape).astype(dtype)
    values[1, :, :32, :32] = 7  # all of a shard is the fill value
    theirs[...] = values
    for year, row, col in np.ndindex(2, 2, 3):
        part = values[year : year + 1, :, 32 * row : 32 * row + 32, 32 * col : 32 * col + 32]
        file = array_file(tmp_path / "ours", "", array, (year, 0, 32 * row, 32 * col))
        file.parent.mkdir(parents=True, exist_ok=True)
        content = encode_shard(array, part)
        assert content is not None
        file.write_bytes(content)
        other = array_file(tmp_path / "theirs", "", theirs, (year, 0, 32 * row, 32 * col))
        if other.exists():  # the same chunks, in another order
            assert len(content) == other.stat().st_size
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "ours", mode="r")[...], values)
    np.testing.assert_array_equal(
        zarr.open_array(tmp_path / "ours", mode="r")[1, 2, 30:35, 60:70], values[1, 2, 30:35, 60:70]
    )


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    array = make(tmp_path / "a", "uint8", ZstdCodec(level=3, checksum=True))
    values = np.random.default_rng(1).integers(0, 9, (1, 3, 32, 32)).astype(np.uint8)
    content = bytearray(encode_shard(array, values) or b"")
    file = array_file(tmp_path / "a", "", array, (0, 0, 0, 0))
    file.parent.mkdir(parents=True)
    for place in (40, len(content) - 12):  # in a chunk, and in the index
        broken = content.copy()
        broken[place] ^= 4
        file.write_bytes(broken)
        with pytest.raises(Exception, match=r"(?i)checksum|corrupt|decompression"):
            array[0]


def test_other_codecs_are_left_to_zarr(tmp_path: Path) -> None:
    values = np.zeros((1, 3, 32, 32), np.uint8)
    assert encode_shard(make(tmp_path / "blosc", "uint8", BloscCodec()), values) is None
    plain = zarr.create_array(tmp_path / "plain", shape=(4, 4), dtype="uint8", chunks=(2, 2))
    assert encode_shard(plain, values) is None
