"""``ai4land prepare``: runs have the same results as from raw files, and a store has the same bytes after kills."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
import zarr
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from kills import count_operations, kill_at_operation
from properties import examples
from ranks import mpirun

from ai4land_coupler import Simulation, load_config
from ai4land_coupler.cli import cli
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import ConfigError, DataError, RunError, TimeError
from ai4land_coupler.experiments.prepare import PreparedLayout, inspect_prepared, journal, prepare
from ai4land_coupler.experiments.prepare import run as preparing
from ai4land_coupler.experiments.prepare.layout import CELLS, PreparedVariable
from ai4land_coupler.experiments.prepare.shard import CHECKSUM, LEVEL, encode_shard
from ai4land_coupler.land.setup import make_setup
from ai4land_coupler.store.output import open_store
from ai4land_coupler.store.provenance import collect

PERSISTENCE = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
#: Years of the small twin whose maps are prepared if a test needs many pieces.
MAPS = range(2010, 2023)


@pytest.fixture
def light(twin_config: dict[str, Any]) -> dict[str, Any]:
    """A run without a network. It needs maps and the states of the scenario, from two data sets."""
    return {
        **twin_config,
        "predictors": PERSISTENCE,
        "static": [],
        "time": {"start": 2015, "stop": 2021, "base_year": 2012},
    }


def config_of(raw: dict[str, Any], folder: Path) -> Config:
    return parse_config(raw, folder, "test")


def contents(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


def test_run_from_prepared_store_is_bit_identical(twin_config: dict[str, Any], tmp_path: Path) -> None:
    raw = {**twin_config, "time": {"start": 2015, "stop": 2017, "base_year": 2013}, "hosts": {}}
    config = config_of(raw, tmp_path)
    done = prepare(config, tmp_path / "in.zarr", jobs=1)
    Simulation(config).run()
    again = Simulation(load_config(done.configuration, [f"output.store={tmp_path / 'again.zarr'}"]))
    again.run()
    one, other = open_store(tmp_path / "run.zarr"), open_store(tmp_path / "again.zarr")
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=str(name))
    assert one["changed_cells"].values[1:].min() > 0
    assert all(entry.name == "prepared" for entry in again.component.setup.forcing.adapters)


def test_years_after_the_scenario_are_stored_as_the_run_reads_them(light: dict[str, Any], tmp_path: Path) -> None:
    """The scenario ends in 2022, which stands for 2023 and 2024; the mended values of 2022 count once."""
    light["forcing"][0]["beyond"] = "hold"
    light |= {"time": {"start": 2021, "stop": 2024}, "hosts": {}}
    config = config_of(light, tmp_path)
    done = prepare(config, tmp_path / "in.zarr", jobs=1)
    forcing = xr.open_dataset(done.store, engine="zarr", group="forcing", consolidated=False)
    assert forcing.year.values.tolist() == [2021, 2022, 2023, 2024]
    for year in (2023, 2024):
        np.testing.assert_array_equal(forcing.c3ann.sel(year=year), forcing.c3ann.sel(year=2022))
    Simulation(config).run()
    Simulation(load_config(done.configuration, [f"output.store={tmp_path / 'again.zarr'}"])).run()
    one, other = open_store(tmp_path / "run.zarr"), open_store(tmp_path / "again.zarr")
    np.testing.assert_array_equal(one.land_cover.values, other.land_cover.values)


def test_store_has_the_values_of_the_raw_files(light: dict[str, Any], tmp_path: Path) -> None:
    done = prepare(config_of(light, tmp_path), tmp_path / "in.zarr", maps=(2010, 2022), jobs=1)
    maps = xr.open_dataset(done.store, engine="zarr", group="maps", consolidated=False)
    assert maps.year.values.tolist() == [2010, 2015, 2022]
    assert maps.land_cover.dtype == np.uint8
    template = light["initial"]["options"]["path"]
    for year in maps.year.values:
        with rasterio.open(template.format(year=year)) as file:
            np.testing.assert_array_equal(maps.land_cover.sel(year=year), file.read(1))
    forcing = xr.open_dataset(done.store, engine="zarr", group="forcing", consolidated=False)
    # The base year and all steps of the run. The steps come from the scenario, the base year from the historical file.
    assert forcing.year.values.tolist() == [2012, *range(2016, 2022)]
    for year in forcing.year.values:
        history = year <= 2014
        path = light["forcing"][1 if history else 0]["options"]["states"]
        with netCDF4.Dataset(path) as file:
            expected = np.ma.getdata(
                file["c3ann"][year - (850 if history else 2015) - int(0 if not history else file["time"][0])]
            )
            np.testing.assert_allclose(forcing.lat, file["lat"][:], atol=1e-9)
        expected = np.where(expected > 1e19, np.nan, expected)
        np.testing.assert_allclose(forcing.c3ann.sel(year=year), expected, atol=2e-6)
    assert float(forcing.c3ann.max()) > 0.1


def test_store_has_shards_checksums_and_provenance(twin_config: dict[str, Any], tmp_path: Path) -> None:
    done = prepare(config_of(twin_config, tmp_path), tmp_path / "in.zarr", jobs=1)
    for name in ("maps/land_cover", "forcing/primf", "static/elevation"):
        codecs = json.loads((done.store / name / "zarr.json").read_text())["codecs"]
        assert [c["name"] for c in codecs] == ["sharding_indexed"]
        zstd = codecs[0]["configuration"]["codecs"][-1]
        assert zstd["name"] == "zstd"
        assert zstd["configuration"]["checksum"] is True
    attrs = zarr.open_group(done.store, mode="r").attrs
    assert attrs["Conventions"] == "CF-1.11"
    inputs = json.loads(str(attrs["provenance"]))["inputs"]
    by_name = {item["name"]: item["sha256"] for item in inputs}
    sources = [Path(a["options"]["path"]) for a in twin_config["static"]]
    sources.append(Path(twin_config["initial"]["options"]["path"].format(year=2015)))
    for source in sources:
        assert by_name[source.name] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert str(tmp_path) not in (done.store / "zarr.json").read_text().replace(
        json.dumps(str(tmp_path))[1:-1] + "/run", ""
    )


def test_files_from_globs_and_urls_have_digests(light: dict[str, Any], tmp_path: Path) -> None:
    """In the provenance of the store and of a run."""
    scenario, history = (Path(item["options"]["states"]) for item in light["forcing"])
    raw = json.loads(json.dumps(light, default=str))
    raw["forcing"][0]["options"]["states"] = str(scenario.with_name(scenario.name[:-4] + "?.nc"))
    raw["forcing"][1]["options"]["states"] = url = f"file://{history}"
    config = config_of(raw, tmp_path)
    digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (scenario, history)}
    done = prepare(config, tmp_path / "in.zarr", jobs=1)
    stored = {item["name"]: item.get("sha256") for item in inspect_prepared(done.store)["inputs"]}
    assert stored[scenario.name] == digests[scenario]
    assert stored[url] == digests[history]
    named = collect("", [], make_setup(config).input_files())["inputs"]
    assert {item["sha256"] for item in named} >= set(digests.values())
    again = make_setup(load_config(done.configuration)).input_files()
    assert list(again.values()) == [done.store / "maps/year/prepared.json"]


# ---- kills --------------------------------------------------------------------------------------------------------


def _prepare_in_child(raw: dict[str, Any], folder: Path, jobs: int) -> None:
    """Enters its pieces in many batches, never by their age: so it takes the same operations at any speed."""
    journal.PIECES, journal.AGE = 5, math.inf
    prepare(config_of(raw, folder), folder / "in.zarr", maps=MAPS, jobs=jobs)


def _check_kills(raw: dict[str, Any], tmp_path: Path, number: int, seed: int) -> None:
    """Kill it (not its workers) at its file operations: every second time at once, else a while later."""
    operations: dict[int, int] = {}
    for jobs in (1, 2):
        reference = tmp_path / f"reference{jobs}"
        reference.mkdir()
        operations[jobs] = count_operations(reference, _prepare_in_child, raw, reference, jobs)
    expected = contents(reference / "in.zarr")
    assert contents(tmp_path / "reference1" / "in.zarr") == expected
    companion = {p.name: p.read_bytes() for p in reference.iterdir() if p.is_file()}
    assert operations[1] > 100
    dice = random.Random(seed)
    for index in range(number):
        folder = tmp_path / str(index)
        folder.mkdir()
        at_once, jobs = index % 2 == 0, 2 if index % 3 == 2 else 1
        moment = dice.randint(2, operations[jobs])  # the first makes the folder of what is unfinished
        delay = 0.0 if at_once else dice.uniform(0, 0.03)
        killed = kill_at_operation(moment, folder, _prepare_in_child, raw, folder, jobs, delay=delay)
        if at_once and jobs == 1:  # workers may end their pieces in any order
            assert killed
            assert (folder / "in.zarr.part").exists()
        assert not (folder / "in.zarr").exists() or contents(folder / "in.zarr") == expected
        prepare(config_of(raw, folder), folder / "in.zarr", maps=MAPS, jobs=1)
        assert contents(folder / "in.zarr") == expected
        assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == companion
        assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["in.zarr"]
        shutil.rmtree(folder)


def test_store_is_the_same_after_kills_at_any_moment(light: dict[str, Any], tmp_path: Path) -> None:
    _check_kills({**light, "output": {"store": "run.zarr"}}, tmp_path, 6, seed=5)


@pytest.mark.soak
def test_store_is_the_same_after_50_kills(light: dict[str, Any], tmp_path: Path) -> None:
    _check_kills({**light, "output": {"store": "run.zarr"}}, tmp_path, 50, seed=6)


def test_only_missing_pieces_are_made(light: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop after five pieces. Their files are not written again, except one that was truncated."""
    monkeypatch.setattr(journal, "PIECES", 5)
    monkeypatch.setattr(journal, "AGE", math.inf)  # however slow the machine is
    config = config_of(light, tmp_path)

    def stop(done: int, total: int, what: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(config, tmp_path / "in.zarr", maps=MAPS, jobs=1, progress=stop)
    assert not (tmp_path / "in.zarr").exists()
    shards = sorted((tmp_path / "in.zarr.part/store/maps/land_cover/c").rglob("0"))
    shards = [p for p in shards if p.is_file()]
    assert len(shards) == 5
    before = {p.relative_to(tmp_path / "in.zarr.part/store"): p.stat().st_mtime_ns for p in shards}
    shards[2].write_bytes(shards[2].read_bytes()[:-7])
    done = prepare(config, tmp_path / "in.zarr", maps=MAPS, jobs=1)
    assert done.made == done.pieces - 4
    kept = [path for path, changed in before.items() if (done.store / path).stat().st_mtime_ns == changed]
    assert len(kept) == 4
    inspect_prepared(done.store, verify=True)


def test_changed_inputs_start_a_new_store(light: dict[str, Any], tmp_path: Path) -> None:
    """Pieces from an old version of a file are not mixed with pieces from the new version."""
    source = tmp_path / "map_2015.tif"
    shutil.copy(light["initial"]["options"]["path"].format(year=2015), source)
    raw = {**light, "initial": {"name": "hilda", "options": {"path": str(source), "legend": "hilda-v1.0-f"}}}

    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(config_of(raw, tmp_path), tmp_path / "in.zarr", jobs=1, progress=stop)
    shutil.copy(light["initial"]["options"]["path"].format(year=2016), source)
    done = prepare(config_of(raw, tmp_path), tmp_path / "in.zarr", jobs=1)
    assert done.made == done.pieces
    with rasterio.open(source) as file:
        np.testing.assert_array_equal(zarr.open_group(done.store, mode="r")["maps/land_cover"][0], file.read(1))


# ---- shards -------------------------------------------------------------------------------------------------------


@examples(25)
@given(
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    chunk=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    times=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kind=st.sampled_from(["uint8", "float32"]),
    seed=st.integers(0, 99),
)
def test_shard_has_the_same_bytes_as_from_zarr(
    rows: int, cols: int, chunk: tuple[int, int], times: tuple[int, int], kind: str, seed: int
) -> None:
    """For all shards of an array of any size. The last shards extend beyond the array."""
    values = (np.random.default_rng(seed).integers(0, 4, (rows, cols)) * 11).astype(kind)
    shard = chunk[0] * times[0], chunk[1] * times[1]
    fill = np.float32("nan") if kind == "float32" else np.uint8(255)
    made: dict[str, Any] = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(made),
        shape=values.shape,
        dtype=kind,
        chunks=chunk,
        shards=shard,
        compressors=zarr.codecs.ZstdCodec(level=LEVEL, checksum=CHECKSUM),
        fill_value=fill,
        config={"write_empty_chunks": True},
    )
    array[...] = values
    for row in range(-(-rows // shard[0])):
        for col in range(-(-cols // shard[1])):
            part = values[row * shard[0] : (row + 1) * shard[0], col * shard[1] : (col + 1) * shard[1]]
            assert encode_shard(part, chunk, shard, fill) == made[f"c/{row}/{col}"].to_bytes()


# ---- the path -----------------------------------------------------------------------------------------------------


def test_other_files_are_not_replaced(light: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(light, tmp_path)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "data").write_text("mine")
    with pytest.raises(ConfigError, match="taken"):
        prepare(config, mine, jobs=1, overwrite=True)
    companion = tmp_path / "in.zarr.run.yaml"
    companion.write_text("title: mine\n")
    with pytest.raises(ConfigError, match="taken"):
        prepare(config, tmp_path / "in.zarr", jobs=1)
    assert companion.read_text() == "title: mine\n"
    companion.unlink()
    done = prepare(config, tmp_path / "in.zarr", jobs=1)
    assert prepare(config, tmp_path / "in.zarr", jobs=1).made == 0
    with pytest.raises(ConfigError, match="already"):
        prepare(config, tmp_path / "in.zarr", maps=(2010,), jobs=1)
    prepare(config, tmp_path / "in.zarr", maps=(2010,), jobs=1, overwrite=True)
    assert inspect_prepared(done.store)["arrays"]["maps/land_cover"]["years"] == [2010, 2015]


def test_two_processes_for_one_store_are_refused(light: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(light, tmp_path)
    seen = []

    def second(done: int, total: int, what: str) -> None:
        if done == 2:
            with pytest.raises(RunError, match="another process"):
                prepare(config, tmp_path / "in.zarr", jobs=1)
            seen.append(done)

    prepare(config, tmp_path / "in.zarr", jobs=1, progress=second)
    assert seen == [2]


def test_one_that_finds_its_store_leaves_the_work_of_another_alone(light: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(light, tmp_path)
    prepare(config, tmp_path / "in.zarr", jobs=1)
    found = []

    def second(done: int, total: int, what: str) -> None:
        if done == 1:
            found.append(prepare(config, tmp_path / "in.zarr", jobs=1).made)

    prepare(config, tmp_path / "in.zarr", maps=(2010,), jobs=1, overwrite=True, progress=second)
    assert found == [0]
    assert inspect_prepared(tmp_path / "in.zarr")["arrays"]["maps/land_cover"]["years"] == [2010, 2015]
    assert not (tmp_path / "in.zarr.part").exists()


def test_workers_that_outlive_a_killed_process_are_waited_for(
    light: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They could write to a shard that has been made anew and entered."""
    monkeypatch.setattr(preparing, "WORKERS_END", 0.1)
    config, lock = config_of(light, tmp_path), tmp_path / "in.zarr.part" / "workers"
    seen = []

    def look(done: int, total: int, what: str) -> None:
        if 0 < done < total:
            with lock.open("w") as file, pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(done)

    lock.parent.mkdir()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(RunError, match="another process"):
            prepare(config, tmp_path / "in.zarr", jobs=2)
    monkeypatch.setattr(journal, "PIECES", 1)
    prepare(config, tmp_path / "in.zarr", jobs=2, progress=look)
    assert seen


def test_a_fault_in_a_worker_is_named(light: dict[str, Any], tmp_path: Path) -> None:
    """Code 50 is in no legend; the error of a worker process is the one that a run would show."""
    for year in (2015, 2016):
        source = light["initial"]["options"]["path"].format(year=year)
        target = tmp_path / f"hilda_{year}.tif"
        shutil.copy(source, target)
    with rasterio.open(target, "r+") as file:
        codes = file.read(1)
        codes[3, 4] = 50
        file.write(codes, 1)
    path = str(tmp_path / "hilda_{year}.tif")
    raw = {**light, "initial": {"name": "hilda", "options": {"path": path, "legend": "hilda-v1.0-f"}}}
    with pytest.raises(DataError, match="50") as error:
        prepare(config_of(raw, tmp_path), tmp_path / "in.zarr", maps=(2016,), jobs=2)
    assert "hilda_2016.tif" in str(error.value)
    with pytest.raises(TimeError):
        prepare(config_of(raw, tmp_path), tmp_path / "in.zarr", maps=(2017,), jobs=1)


def test_inspect_finds_damaged_files(light: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(light))
    store = tmp_path / "in.zarr"
    command = ["prepare", str(tmp_path / "run.yaml"), "-o", str(store), "--jobs", "1"]
    made = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert made.exit_code == 0
    shown = CliRunner().invoke(cli, ["inspect", str(store), "--verify"], catch_exceptions=False)
    assert "prepared store" in shown.output
    assert "files verified" in shown.output
    files = [name for name in contents(store) if name != "maps/year/prepared.json" and not name.endswith("/zarr.json")]
    for name in random.Random(1).sample(files, 12):
        whole = (store / name).read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 4
        (store / name).write_bytes(flipped)
        with pytest.raises(DataError, match="broken"):
            inspect_prepared(store, verify=True)
        (store / name).unlink()
        with pytest.raises(DataError, match="missing"):
            inspect_prepared(store)
        (store / name).write_bytes(whole)
    metadata = store / "forcing/c3ann/zarr.json"
    metadata.write_text(metadata.read_text().replace('"units": "1"', '"units": "%"'))
    with pytest.raises(DataError, match="broken"):
        inspect_prepared(store)


def test_collection_follows_the_stac_specification(twin_config: dict[str, Any], tmp_path: Path) -> None:
    """Check the required fields of STAC 1.0.0 collections and of the datacube extension 2.2.0."""
    done = prepare(config_of(twin_config, tmp_path), tmp_path / "in.zarr", jobs=1)
    made = json.loads(done.collection.read_text())
    assert made["type"] == "Collection"
    assert made["stac_version"] == "1.0.0"
    for name, kind in (("id", str), ("description", str), ("license", str), ("links", list)):
        assert isinstance(made[name], kind), name
    (box,) = made["extent"]["spatial"]["bbox"]
    assert box == pytest.approx([-1.5, 50.49, 1.5, 52.5])
    ((start, end),) = made["extent"]["temporal"]["interval"]
    assert (start, end) == ("2015-01-01T00:00:00Z", "2021-01-01T00:00:00Z")
    assert (done.collection.parent / made["assets"]["data"]["href"]).samefile(done.store)
    dimensions, variables = made["cube:dimensions"], made["cube:variables"]
    for item in dimensions.values():
        assert item["type"] in ("spatial", "temporal")
        assert len(item["extent"]) == 2
        assert item["type"] == "temporal" or item["axis"] in ("x", "y")
    group = zarr.open_group(done.store, mode="r")
    for name, item in variables.items():
        assert item["type"] == "data"
        assert set(item["dimensions"]) <= set(dimensions)
        assert len(item["dimensions"]) == group[name].ndim
    assert {"maps/land_cover", "forcing/primf", "static/slope"} <= set(variables)


def test_companion_configuration_finds_the_same_files(twin_config: dict[str, Any], tmp_path: Path) -> None:
    """Relative paths of hosts, bundles and outputs start from another folder."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    shutil.copy(twin_config["hosts"]["host"]["grid"], here / "host.nc")
    raw = {**twin_config, "hosts": {"host": {"grid": "host.nc"}}, "output": {"store": "../out/run.zarr"}}
    config = config_of(raw, here)
    done = prepare(config, there / "in.zarr", jobs=1)
    moved = load_config(done.configuration)
    assert moved.resolve(moved.hosts["host"].grid) == here / "host.nc"
    assert moved.output is not None
    assert moved.resolve(moved.output.store) == tmp_path / "out" / "run.zarr"
    assert moved.predictors == config.predictors


# ---- pieces -------------------------------------------------------------------------------------------------------


@given(
    nlat=st.integers(1, 20_000),
    nlon=st.integers(1, 400_000),
    forcing=st.tuples(st.integers(1, 3_000), st.integers(1, 4_000)),
    variables=st.integers(1, 20),
)
def test_pieces_are_small_and_cover_each_cell_once(
    nlat: int, nlon: int, forcing: tuple[int, int], variables: int
) -> None:
    land = LatLonGrid(-180.0, 360 / nlon, nlon, 90.0, -180 / nlat, nlat)
    coarse = LatLonGrid(-180.0, 360 / forcing[1], forcing[1], 90.0, -180 / forcing[0], forcing[0])
    names = [PreparedVariable("forcing", f"v{i}", "1", "", (2000, 2001), "x") for i in range(variables)]
    layout = PreparedLayout(
        land,
        "hilda-v1.0-f",
        coarse,
        coarse,
        (
            PreparedVariable("maps", "land_cover", "1", "", (2000,), "x"),
            *names,
            PreparedVariable("static", "s", "1", "", None, "x"),
        ),
    )
    covered: dict[tuple[str, str, Any], int] = {}
    pieces = list(layout.pieces())
    assert len({piece.id for piece in pieces}) == len(pieces)
    for piece in pieces:
        rows = CELLS[piece.part]
        # The smallest possible piece is a row of chunks with the width of the widest shard.
        assert piece.box.size * len(piece.names) <= max(rows, 256 * (1 << 16))
        for name in piece.names:
            key = (piece.part, name, piece.year)
            covered[key] = covered.get(key, 0) + piece.box.size
    expected = {("maps", "land_cover", 2000): land.size, ("static", "s", None): land.size}
    expected |= {("forcing", v.name, year): coarse.size for v in names for year in (2000, 2001)}
    assert covered == expected
    assert PreparedLayout.parse(json.loads(json.dumps(layout.describe()))) == layout


# ---- ranks --------------------------------------------------------------------------------------------------------


def test_ranks_write_the_same_store(light: dict[str, Any], tmp_path: Path) -> None:
    """By the command line under mpiexec; a fault of an input, which a worker finds, ends all ranks."""
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(light))
    one = prepare(load_config(tmp_path / "run.yaml"), tmp_path / "one" / "in.zarr", jobs=1)
    command = ["-m", "ai4land_coupler.cli", "prepare", tmp_path / "run.yaml", "-o"]
    done = mpirun(2, *command, tmp_path / "two" / "in.zarr")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pieces made") == 1
    assert contents(tmp_path / "two" / "in.zarr") == contents(one.store)

    with rasterio.open(light["initial"]["options"]["path"].format(year=2015)) as source:
        codes, profile = source.read(1), source.profile
    codes[3, 4] = 50
    with rasterio.open(tmp_path / "hilda_2015.tif", "w", **profile) as target:
        target.write(codes, 1)
    path = str(tmp_path / "hilda_{year}.tif")
    faulty = {**light, "initial": {"name": "hilda", "options": {"path": path, "legend": "hilda-v1.0-f"}}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(faulty))
    failed = mpirun(2, *command, tmp_path / "three" / "in.zarr")
    assert failed.returncode == DataError.exit_code
    assert "hilda_2015.tif" in failed.stderr
    assert not (tmp_path / "three" / "in.zarr").exists()
