"""Regrid weights on disk: the same records on any number of ranks, whole or not at all, damage found."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ai4land_coupler.regrid.cache import WeightCache, weight_key

KEY = weight_key("a", "b", "conservative", "destination", "yac 3")
LINKS = {
    "id": np.array([4, 4, 0, 7, 7, 7]),
    "source": np.array([9, 11, 3, 2**40, 5, 6]),
    "value": np.array([0.1, 0.9, 1.0, 1 / 3, 1e-17, np.nextafter(0.5, 1)]),
    "corners": np.arange(12, dtype=np.float32).reshape(6, 2),
}
CELLS = {"id": np.array([0, 4, 5, 7]), "area": np.array([1.0, 2.0, 3.0, 4.0])}
TABLES = {"links": LINKS, "cells": CELLS}
WANTED = {"links": np.array([7, 0, 5, 4]), "cells": np.array([5, 7])}


def test_records_come_back_by_id_with_their_bits(tmp_path):
    cache = WeightCache(tmp_path / "new" / "folder")
    assert cache.load(KEY, WANTED) is None
    assert cache.save(KEY, TABLES, {"backend": "yac"})
    found = cache.load(KEY, WANTED)
    assert found is not None
    assert found.about == {"backend": "yac"}
    order = [2, 0, 1, 3, 4, 5]
    for name, values in LINKS.items():
        np.testing.assert_array_equal(found.tables["links"][name], values[order])
        assert found.tables["links"][name].dtype == values.dtype
    np.testing.assert_array_equal(found.tables["cells"]["area"], [3.0, 4.0])
    assert [path.name for path in cache.folder.iterdir()] == [KEY], "nothing is left aside"


def test_another_backend_method_norm_or_grid_is_another_key():
    facts = ["a", "b", "conservative", "destination", "yac 3"]
    keys = {weight_key(*facts)}
    for place in range(5):
        keys.add(weight_key(*[fact + "x" * (i == place) for i, fact in enumerate(facts)]))
    assert len(keys) == 6
    assert weight_key(*facts) == KEY


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["part-0000.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_entry_is_told_and_made_anew(tmp_path, caplog, name, damage):
    cache = WeightCache(tmp_path)
    cache.save(KEY, TABLES, {})
    path = tmp_path / KEY / name
    if damage == "flipped":
        flip(path, path.stat().st_size // 2)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY, WANTED) is None
    assert "damaged" in caplog.text
    assert cache.save(KEY, TABLES, {})
    assert cache.load(KEY, WANTED) is not None
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


def test_what_a_kill_left_behind_is_not_read(tmp_path):
    cache = WeightCache(tmp_path)
    cache.save(KEY, TABLES, {})
    (tmp_path / KEY).rename(tmp_path / f"{KEY}.123.aside")
    assert cache.load(KEY, WANTED) is None


def test_a_cache_that_cannot_be_written_is_told_and_harms_nothing(tmp_path, caplog):
    file = tmp_path / "file"
    file.write_text("not a folder")
    cache = WeightCache(file)
    with caplog.at_level(logging.WARNING):
        assert not cache.save(KEY, TABLES, {})
        assert cache.load(KEY, WANTED) is None
    assert "cannot be written" in caplog.text


def test_many_runs_at_once_keep_one_whole_entry(tmp_path):
    def run(number):
        cache = WeightCache(tmp_path)
        found = cache.load(KEY, WANTED)
        if found is None:
            cache.save(KEY, TABLES, {"run": str(number)})
            found = cache.load(KEY, WANTED)
        return found

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(40)))
    assert all(entry is not None for entry in found)
    assert len({entry.about["run"] for entry in found[8:]}) == 1, "the first entry stays"
    assert [path.name for path in tmp_path.iterdir()] == [KEY]


def test_tables_without_records(tmp_path):
    cache = WeightCache(tmp_path)
    nothing = {"links": {name: values[:0] for name, values in LINKS.items()}, "cells": CELLS}
    cache.save(KEY, nothing, {})
    found = cache.load(KEY, WANTED)
    assert found is not None
    assert found.tables["links"]["corners"].shape == (0, 2)
    assert found.tables["links"]["value"].dtype == np.float64
