"""Regrid weights on disk: the same records on any number of ranks, whole or not at all, damage found."""

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import needs
import numpy as np
import pytest
from weight_cases import exact_file, meshes

from ai4land_coupler import LandComponent
from ai4land_coupler.api import GridError, Regridder
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.from_file import FileOptions, FileRegridder
from ai4land_coupler.regrid.cache import WeightCache, weight_key
from ai4land_coupler.regrid.cached import CachedRegridder
from ai4land_coupler.regrid.weight_files.write import write_weights

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


def test_backend_method_norm_and_grid_change_the_key():
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
def test_a_damaged_entry_is_logged_and_made_again(tmp_path, caplog, name, damage):
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


def test_a_cache_that_cannot_be_written_is_logged_and_the_run_continues(tmp_path, caplog):
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


class Counted(Regridder):
    """A backend that counts its calls; weights from a file."""

    methods = frozenset({"conservative"})
    single_rank = True

    def __init__(self, path):
        self.inner, self.calls = FileRegridder(FileOptions(path=path)), 0

    def build(self, *facts):
        self.calls += 1
        return self.inner.build(*facts)


@pytest.fixture
def counted(tmp_path):
    return Counted(write_weights(tmp_path / "w.nc", exact_file()))


def test_weights_are_made_once_for_a_pair_of_grids(tmp_path, counted):
    cached = CachedRegridder(counted, tmp_path / "cache", "backend 1")
    assert cached.methods == counted.methods
    assert cached.single_rank
    source, destination = meshes()
    made = cached.build(source, destination)
    rng = np.random.default_rng(4)
    here, there = rng.permutation(source.size), rng.permutation(destination.size)
    found = cached.build(source.take(here), destination.take(there))
    assert counted.calls == 1
    plans = RegridPlan(made, source.cell_ids), RegridPlan(found, source.cell_ids[here])
    values = rng.normal(size=(3, source.size))
    np.testing.assert_array_equal(plans[0].apply(values)[:, there], plans[1].apply(values[:, here]))
    np.testing.assert_array_equal(found.destination_area, made.destination_area[there])
    np.testing.assert_array_equal(found.destination_fraction, made.destination_fraction[there])
    np.testing.assert_array_equal(found.source_area, made.source_area[here])
    assert found.provenance == made.provenance


def test_another_mask_norm_or_backend_makes_them_anew(tmp_path, counted):
    source, destination = meshes()
    cached = CachedRegridder(counted, tmp_path / "cache", "backend 1")
    cached.build(source, destination)
    cached.build(replace(source, mask=source.cell_ids > 5), destination)
    cached.build(source, destination, "conservative", "fraction")
    CachedRegridder(counted, tmp_path / "cache", "backend 2").build(source, destination)
    assert counted.calls == 4
    cached.build(source, destination)
    assert counted.calls == 4


def test_a_bad_grid_is_refused_and_not_cached(tmp_path, counted):
    source, destination = meshes()
    cached = CachedRegridder(counted, tmp_path / "cache", "backend 1")
    with pytest.raises(GridError, match="clockwise"):
        cached.build(replace(source, corner_lon=-source.corner_lon), destination)
    assert not (tmp_path / "cache").exists()


def test_a_run_meets_its_host_grid_once(tmp_path, twin_config, monkeypatch):
    needs.yac()
    config = parse_config(twin_config | {"regrid": {"cache": "kept"}}, tmp_path, "run.yaml")

    def realized():
        land = LandComponent(config)
        land.initialize()
        land.set_named_grid("host")
        land.realize()
        fraction = land.export("land_cover_fraction").copy()
        land.finalize()
        return fraction

    made = realized()
    assert len(list((tmp_path / "kept").iterdir())) == 1

    def fail(*_, **__):
        raise AssertionError("weights were made again")

    monkeypatch.setattr("ai4land_coupler.regrid.backends.yac.YacRegridder.build", fail)
    np.testing.assert_array_equal(realized(), made)


def test_the_folder_of_the_cache_does_not_change_the_identity_of_a_run(tmp_path, twin_config):
    with_one = parse_config(twin_config | {"regrid": {"cache": "kept"}}, tmp_path, "run.yaml")
    assert with_one.digest == parse_config(twin_config | {"regrid": {}}, tmp_path, "run.yaml").digest


SAVE_FOREVER = """
import sys
import numpy as np
from ai4land_coupler.regrid.cache import WeightCache
rng = np.random.default_rng(0)
tables = {"links": {"id": np.arange(200_000), "value": rng.random(200_000)}}
cache = WeightCache(sys.argv[1])
for number in range(10**6):
    print(number, flush=True)
    cache.save(f"key{number}", tables, {})
"""


@pytest.mark.soak
def test_killed_writers_leave_whole_entries_or_none(tmp_path):
    rng, kept = np.random.default_rng(7), 0
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        with subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, folder], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(rng.integers(1, 5)):
                writer.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.1))
            writer.kill()
        cache = WeightCache(folder)
        for entry in folder.glob("*"):
            assert not entry.name.endswith(".aside"), "the next start clears what was not finished"
            found = cache.load(entry.name, {"links": np.arange(200_000)})
            assert found is not None, "an entry that has its name is whole"
            np.testing.assert_array_equal(found.tables["links"]["id"], np.arange(200_000))
            kept += 1
    assert kept > 0
