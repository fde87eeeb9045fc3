"""Restarts are exact, complete or absent, and refused if they do not fit the run."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import examples
from victims import Moments, Victim

from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import ConfigError, DataError, StateError
from ai4land_coupler.store.restart import (
    Restart,
    RestartFile,
    RestartWriter,
    block_arrays,
    check_compatible,
    discard_after,
    latest,
    prune,
    read_state,
    years,
)

BLOCKS = 5
TYPES = ["u1", "i1", "<u2", "<i4", "<i8", "<u8", "<f2", "<f4", "<f8", ">f8", ">i4", "?"]


def state_of(year: int) -> LandState:
    """A land state that is a known function of the year; blocks differ in shape, not all have a memory."""
    rng = np.random.default_rng(year)
    shapes = {block: (3 + block, 7) for block in range(BLOCKS)}
    return LandState(
        year,
        {block: rng.integers(0, 99, shape).astype(np.uint8) for block, shape in shapes.items()},
        fields={"lai": {block: np.zeros((12, *shape), np.float32) for block, shape in shapes.items()}},
        memory={
            "remainder": {block: rng.normal(size=(4, 2, 1 + block)) for block in range(BLOCKS)},
            "phenology/carry": {block: rng.normal(size=shapes[block]).astype(np.float32) for block in (1, 3)},
        },
    )


def write(folder: Path, year: int, attrs: dict[str, Any] | None = None) -> list[RestartFile]:
    writer, state = RestartWriter(folder, year), state_of(year)
    for block in range(BLOCKS):
        writer.write_block(block, block_arrays(state, block))
    writer.finish(attrs or {"grid": "abc"}, writer.entries, range(BLOCKS))
    return writer.entries


def assert_state(found: LandState, year: int) -> None:
    truth = state_of(year)
    assert found.year == year
    assert found.memory.keys() == truth.memory.keys()
    for name, blocks in {"cover": truth.cover, **truth.memory}.items():
        there = found.cover if name == "cover" else found.memory[name]
        assert there.keys() == blocks.keys()
        for block, array in blocks.items():
            assert there[block].dtype == array.dtype
            np.testing.assert_array_equal(there[block], array)


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "restarts", 2015, {"grid": "abc", "seed": 1, "bundles": ["x", "y"], "dtype": None})
    restart = Restart.open(tmp_path / "restarts", 2015)
    assert restart.attrs == {"grid": "abc", "seed": 1, "bundles": ["x", "y"], "dtype": None}
    assert restart.blocks == tuple(range(BLOCKS))
    assert_state(read_state(restart, restart.blocks), 2015)
    part = read_state(restart, [3])
    assert list(part.cover) == [3]
    assert list(part.memory) == ["phenology/carry", "remainder"]


def test_equal_blocks_share_a_file(tmp_path: Path) -> None:
    """The list of files has an entry for each block, as older versions read it."""
    writer = RestartWriter(tmp_path, 2015)
    ocean, land = np.zeros((3, 4), np.uint8), np.arange(12, dtype=np.uint8).reshape(3, 4)
    # a view of one value, as runs hold ocean, is the same content; another shape is not
    blocks = {0: ocean, 1: land, 2: np.broadcast_to(np.uint8(0), (3, 4)), 3: ocean.reshape(4, 3), 4: ocean}
    for block, codes in blocks.items():
        writer.write_block(block, {"cover": codes})
    writer.finish({}, writer.entries, range(5))
    restart = Restart.open(tmp_path)
    assert len(list(restart.path.glob("*.safetensors"))) == 3
    assert {restart.files[block]._replace(block=0) for block in (0, 2, 4)} == {restart.files[0]}
    state = read_state(restart, range(5))
    for block, codes in blocks.items():
        np.testing.assert_array_equal(state.cover[block], codes)


arrays = st.sampled_from(TYPES).flatmap(lambda t: hnp.arrays(np.dtype(t), hnp.array_shapes(min_dims=0, min_side=0)))


@examples(60, HealthCheck.function_scoped_fixture)
@given(st.dictionaries(st.text("abc/é _-", min_size=1), arrays, max_size=4), st.integers(0, 10**6), st.booleans())
def test_any_arrays_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, block: dict[str, np.ndarray], block_id: int, strided: bool
) -> None:
    folder = tmp_path_factory.mktemp("restart")
    given_arrays = {name: array.T if strided else array for name, array in block.items()}
    writer = RestartWriter(folder, 1850)
    writer.write_block(block_id, given_arrays)
    writer.finish({}, writer.entries)
    found = Restart.open(folder).read_block(block_id)
    assert found.keys() == given_arrays.keys()
    for name, array in given_arrays.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("=")
        assert found[name].tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


def test_every_second_column_is_not_mistaken(tmp_path: Path) -> None:
    whole = np.arange(24.0).reshape(4, 6)
    writer = RestartWriter(tmp_path, 2015)
    writer.write_block(0, {"strided": whole[:, ::2], "fortran": np.asfortranarray(whole)})
    writer.finish({}, writer.entries)
    found = Restart.open(tmp_path).read_block(0)
    assert found["strided"].tolist() == [[0, 2, 4], [6, 8, 10], [12, 14, 16], [18, 20, 22]]
    assert found["fortran"].tolist() == whole.tolist()


def test_types_that_cannot_be_held_are_refused(tmp_path: Path) -> None:
    writer = RestartWriter(tmp_path, 2015)
    for array in (np.array(["a"]), np.array([None]), np.zeros(2, complex), np.zeros(2, "M8[s]")):
        with pytest.raises(StateError, match=r"cannot hold this type(.|\n)*'carry' of block 4"):
            writer.write_block(4, {"carry": array})
    with pytest.raises(StateError, match="not plain JSON"):
        writer.finish({"dtype": np.float32}, [])
    with pytest.raises(StateError, match="not plain JSON"):
        writer.finish({"rate": float("nan")}, [])


def test_ranks_write_their_own_blocks(tmp_path: Path) -> None:
    state = state_of(2015)
    ranks = [RestartWriter(tmp_path, 2015) for _ in range(2)]
    for block in range(BLOCKS):
        ranks[block % 2].write_block(block, block_arrays(state, block))
    assert years(tmp_path) == []
    gathered = [*ranks[0].entries, *ranks[1].entries]
    with pytest.raises(StateError, match=r"missing: \[1, 3\]"):
        ranks[0].finish({}, ranks[0].entries, range(BLOCKS))
    with pytest.raises(StateError, match=r"twice: \[0, 2, 4\]"):
        ranks[0].finish({}, [*gathered, *ranks[0].entries], range(BLOCKS))
    with pytest.raises(StateError, match=r"unknown: \[4\]"):
        ranks[0].finish({}, gathered, range(BLOCKS - 1))
    ranks[0].finish({}, gathered, range(BLOCKS))
    assert_state(read_state(Restart.open(tmp_path), range(BLOCKS)), 2015)


def test_damage_is_named_with_the_way_out(tmp_path: Path) -> None:
    write(tmp_path, 2014)
    entries = write(tmp_path, 2015)
    file = tmp_path / "2015" / entries[2].file
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 4
    for damaged in (bytes(flipped), whole[:-3], whole + b"x", b""):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"damaged(.|\n)*{file.name}(.|\n)*another year \(2014\)"):
            Restart.open(tmp_path, 2015).read_block(2)
    Restart.open(tmp_path, 2015).read_block(1)
    file.unlink()
    with pytest.raises(DataError, match=rf"cannot be read(.|\n)*{file.name}"):
        Restart.open(tmp_path, 2015).read_block(2)
    with pytest.raises(StateError, match="no such block"):
        Restart.open(tmp_path, 2015).read_block(99)


def test_damaged_or_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no restart to continue from"):
        Restart.open(tmp_path)
    write(tmp_path, 2015)
    with pytest.raises(DataError, match=r"no finished restart of year 2020(.|\n)*\[2015\]"):
        Restart.open(tmp_path, 2020)
    manifest = tmp_path / "2015" / "manifest.json"
    text = manifest.read_bytes()
    for damaged in (text.replace(b'"size": ', b'"size": 1'), text[: len(text) // 2], b"\xff\xfe", b"3"):
        assert damaged != text
        manifest.write_bytes(damaged)
        with pytest.raises(DataError, match=r"damaged(.|\n)*manifest.json(.|\n)*start the run anew"):
            Restart.open(tmp_path)


def test_latest_prune_and_discard_follow_the_direction(tmp_path: Path) -> None:
    for year in (1998, 1999, 2000, 2001):
        write(tmp_path, year)
    RestartWriter(tmp_path, 2002).write_block(0, {"cover": np.zeros(3)})
    (tmp_path / "notes").mkdir()
    assert years(tmp_path) == [1998, 1999, 2000, 2001]
    assert latest(tmp_path) == 2001
    assert latest(tmp_path, direction=-1) == 1998
    assert Restart.open(tmp_path, direction=-1).year == 1998
    discard_after(tmp_path, 2000)
    assert years(tmp_path) == [1998, 1999, 2000]
    discard_after(tmp_path, 1999, direction=-1)
    assert years(tmp_path) == [1999, 2000]
    prune(tmp_path, 1, direction=-1)
    assert years(tmp_path) == [1999]
    prune(tmp_path, 3)
    assert years(tmp_path) == [1999]
    with pytest.raises(ConfigError, match="at least one restart"):
        prune(tmp_path, 0)
    assert latest(tmp_path / "nowhere") is None


def test_writing_again_leaves_the_new_one_only(tmp_path: Path) -> None:
    write(tmp_path, 2015, {"attempt": 1})
    writer = RestartWriter(tmp_path, 2015)
    writer.write_block(0, {"cover": np.arange(3)})
    # Until the second is finished, the first counts.
    first = Restart.open(tmp_path)
    assert first.attrs == {"attempt": 1}
    assert_state(read_state(first, first.blocks), 2015)
    writer.finish({"attempt": 2}, writer.entries)
    second = Restart.open(tmp_path)
    assert second.attrs == {"attempt": 2}
    assert second.read_block(0)["cover"].tolist() == [0, 1, 2]
    assert len(list((tmp_path / "2015").iterdir())) == 2


def test_what_must_agree_and_what_may_differ() -> None:
    attrs = {"grid": "aa", "legend": "hilda-v1.0", "regrid": "yac", "threads": 4, "instruction_set": "AVX512", "x": [1]}
    assert check_compatible(attrs, {"grid": "aa", "x": (1,)}) == []
    warned = check_compatible(attrs, {**attrs, "threads": 2, "instruction_set": "AVX2"})
    assert warned == [
        "the restart was written with instruction_set AVX512, this run has AVX2; results may differ in the last bits",
        "the restart was written with threads 4, this run has 2; results may differ in the last bits",
    ]
    with pytest.raises(ConfigError) as caught:
        check_compatible(attrs, {**attrs, "grid": "bb", "regrid": "esmf", "seed": 3, "threads": 1})
    text = str(caught.value)
    assert "expected: grid bb; regrid esmf; seed 3" in text
    assert "found: grid aa; regrid yac; seed (absent)" in text
    assert "threads" not in text


def _run(folder: Path, moments: Moments) -> None:
    """A restarted run: from the last restart on, one for each year, two kept."""
    moments.before_each_rename()
    last = latest(folder, -1)
    for year in range(2500 if last is None else last - 1, 0, -1):
        writer, state = RestartWriter(folder, year), state_of(year)
        for block in range(BLOCKS):
            writer.write_block(block, block_arrays(state, block))
            moments("block")
        writer.finish({"year": year}, writer.entries, range(BLOCKS))
        moments("finished")
        prune(folder, 2, direction=-1)
        moments("pruned")


@pytest.mark.parametrize("anywhere", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_kills(tmp_path: Path, anywhere: bool) -> None:
    """30 of them: before a file gets its name, between the parts of a restart, or anywhere after that."""
    rng = random.Random(3)
    last, unfinished = 2501, 0
    for _ in range(30):
        # 13 moments to a year
        Victim(_run, tmp_path).kill(rng.randrange(1, 45), rng.uniform(0, 0.01) if anywhere else None)
        found = years(tmp_path)
        unfinished += any(not (folder / "manifest.json").exists() for folder in tmp_path.iterdir())
        for year in found:
            restart = Restart.open(tmp_path, year)
            assert restart.attrs == {"year": year}
            assert_state(read_state(restart, restart.blocks), year)
        # No finished restart is ever lost but for the pruned ones, which have later ones.
        assert (found[0] if found else 2501) <= last
        assert found == list(range(found[0], found[0] + len(found))) if found else last == 2501
        last = found[0] if found else 2501
    assert last < 2495
    assert unfinished >= 5
    # The next start takes away what was not finished, and what was not wholly removed.
    (tmp_path / "2016").write_text("a file")
    discard_after(tmp_path, last, direction=-1)
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(["2016", *map(str, years(tmp_path))])


def test_nothing_of_others_is_discarded(tmp_path: Path) -> None:
    write(tmp_path, 2015)
    for name in ("2014/notes.txt", "2016/block_000000.safetensors", "2017/block_000000.0123456789ab.safetensors"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("mine?")
    (tmp_path / "2017" / "notes.txt").write_text("mine")
    (tmp_path / "2018").mkdir()
    before = sorted(tmp_path.rglob("*"))
    discard_after(tmp_path, 2015)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "2017" / "notes.txt").unlink()
    discard_after(tmp_path, 2015)
    assert not (tmp_path / "2017").exists()
