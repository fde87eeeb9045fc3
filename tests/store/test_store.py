"""The output store: what it holds, how it is committed, and that no kill, bit flip or misuse goes unseen."""

from __future__ import annotations

import random
import resource
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from properties import examples
from victims import FORKS, Moments, Victim

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.errors import ConfigError, DataError, FieldError, RunError, StateError
from ai4land_coupler.store.output import (
    Diagnostic,
    HostField,
    HostLayout,
    LandField,
    OutputStore,
    StoreLayout,
    inspect,
    open_store,
)

LEGEND = get_legend("hilda-v1.0-f")
GRID = LatLonGrid(-8.0, 0.1, 45, 60.0, -0.1, 37)
CELLS = 20
GROUPS = ("crop", "forest")
CODES = np.array([*LEGEND.ocean, *LEGEND.codes], np.uint8)


def layout(years: tuple[int, ...] = (2015, 2018, 2021), **changes: object) -> StoreLayout:
    settings: dict[str, object] = {
        "grid": GRID,
        "years": years,
        "legend": LEGEND,
        "hosts": {
            "icon": HostLayout(CELLS, np.linspace(0, 19, CELLS), np.linspace(-9, 9, CELLS), np.full(CELLS, 2.0e9))
        },
        "host_fields": (
            HostField("land_cover_fraction", "1", True, {"standard_name": "area_fraction"}),
            HostField("lai", "1", attrs={"standard_name": "leaf_area_index"}),
        ),
        "land_fields": (LandField("lai", "1", 12, {"standard_name": "leaf_area_index"}), LandField("age", "year")),
        "diagnostics": (Diagnostic("demand_unmet", "m2", "group", GROUPS), Diagnostic("unmet_total", "m2")),
        "shard": 24,
        "chunk": 8,
    }
    return StoreLayout(**{**settings, **changes})  # type: ignore[arg-type]


#: Few arrays, for tests that write or read many times over.
SLIM: dict[str, Any] = {"land_fields": (), "diagnostics": (), "host_fields": (HostField("lai", "1"),)}


def cover_of(year: int) -> np.ndarray:
    """A map that is a known function of the year, all codes of the legend in it."""
    rows, cols = np.mgrid[: GRID.nlat, : GRID.nlon]
    return CODES[(7 * rows + 3 * cols + year) % CODES.size]


def lai_of(year: int) -> np.ndarray:
    month, rows, cols = np.mgrid[:12, : GRID.nlat, : GRID.nlon]
    values = (0.01 * month + 0.1 * rows + cols + year).astype(np.float32)
    values[:, cover_of(year) == 0] = np.nan
    return values


def fraction_of(year: int) -> np.ndarray:
    return np.random.default_rng(year).dirichlet(np.ones(7), CELLS).T


def write_year(store: OutputStore, year: int, boxes: list[Box] | None = None, slim: bool = False) -> None:
    for box in store.shard_boxes() if boxes is None else boxes:
        store.write_land_cover(year, box, cover_of(year)[box.slices()])
        if not slim:
            store.write_field("lai", year, box, lai_of(year)[:, *box.slices()])
            store.write_field("age", year, box, np.full(box.shape, np.nan, np.float32))
    if boxes is None:
        write_series(store, year, slim)


def write_series(store: OutputStore, year: int, slim: bool = False) -> None:
    store.write_diagnostic("class_area", year, year * np.arange(7.0))
    store.write_host("icon", "lai", year, np.full(CELLS, np.nan))
    if not slim:
        store.write_diagnostic("demand_unmet", year, np.array([np.nan, year]))
        store.write_diagnostic("unmet_total", year, float(year))
        store.write_host("icon", "land_cover_fraction", year, fraction_of(year))


def assert_years(path: Path, years: tuple[int, ...], slim: bool = False) -> None:
    """Exactly these years are there, and each holds what was written."""
    land, host = open_store(path).load(), open_store(path, host="icon").load()
    assert tuple(land.year.values) == years == tuple(host.year.values)
    for year in years:
        one = land.sel(year=year)
        np.testing.assert_array_equal(one.land_cover, cover_of(year))
        np.testing.assert_array_equal(one.class_area, year * np.arange(7.0))
        assert np.isnan(host.lai.sel(year=year)).all()
        if not slim:
            np.testing.assert_array_equal(one.lai, lai_of(year))
            assert np.isnan(one.age).all()
            np.testing.assert_array_equal(one.demand_unmet, [np.nan, year])
            assert one.unmet_total == year
            np.testing.assert_array_equal(host.land_cover_fraction.sel(year=year), fraction_of(year))


# xarray tells that it takes cftime for years before 1678.
@pytest.mark.filterwarnings("ignore:Unable to decode time axis")
@pytest.mark.parametrize("years", [(2015, 2018, 2021), (1900, 1899, 1898), (850,), (1, 9999)])
def test_round_trip(tmp_path: Path, years: tuple[int, ...]) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout(years), {"title": "test"})
    for year in years:
        write_year(store, year)
        store.commit(year)
    assert store.committed_years() == years
    assert_years(tmp_path / "out.zarr", years)


def test_only_committed_years_are_shown(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout(), {})
    assert open_store(store.path).sizes["year"] == 0
    write_year(store, 2015)
    assert open_store(store.path).sizes["year"] == 0
    store.commit(2015)
    write_year(store, 2018)
    assert_years(store.path, (2015,))


@examples(10, HealthCheck.function_scoped_fixture)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(5, 12), st.integers(1, 3))
def test_shards_cover_any_grid_once(
    tmp_path_factory: pytest.TempPathFactory, nlat: int, nlon: int, chunk: int, chunks: int
) -> None:
    grid = LatLonGrid(0, 0.5, nlon, 10, -0.5, nlat)
    spec = StoreLayout(grid, (2000,), LEGEND, chunk=chunk, shard=chunk * chunks)
    store = OutputStore.create(tmp_path_factory.mktemp("shards") / "out.zarr", spec, {})
    seen = np.zeros(grid.shape, int)
    truth = np.random.default_rng(nlat * 100 + nlon).choice(CODES, grid.shape)
    for box in store.shard_boxes():
        seen[box.slices()] += 1
        store.write_land_cover(2000, box, truth[box.slices()])
    assert (seen == 1).all()
    store.write_diagnostic("class_area", 2000, np.zeros(7))
    store.commit(2000)
    np.testing.assert_array_equal(open_store(store.path).land_cover.sel(year=2000), truth)
    files = [file for file in (store.path / "land_cover" / "c").rglob("*") if file.is_file()]
    assert len(files) == len(store.shard_boxes())


def test_plain_xarray_reads_it_with_labels_and_without_warnings(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout(), {"title": "test", "provenance": {"a": [1, None]}})
    write_year(store, 2015)
    store.commit(2015)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(store.path, consolidated=False, chunks=None)
        tree = xr.open_datatree(store.path, engine="zarr", consolidated=False, chunks=None)
    assert data.class_area.sel(year=2015, land_class="forest") == 2015 * 3
    assert data.demand_unmet.sel(year=2015, group="forest") == 2015
    assert np.isnan(data.demand_unmet.sel(year=2018)).all()
    assert str(data.time.sel(year=2018).values)[:10] == "2018-01-01"
    np.testing.assert_allclose(data.lat, GRID.lat, rtol=0)
    np.testing.assert_allclose(data.cell_area, GRID.row_area, rtol=0)
    assert "/hosts/icon" in tree.groups
    open_store(store.path).to_netcdf(tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as copy:
        np.testing.assert_array_equal(copy.land_cover.sel(year=2015), cover_of(2015))


def test_cf_attributes(tmp_path: Path) -> None:
    OutputStore.create(tmp_path / "out.zarr", layout(), {"title": "a title"})
    land, host = open_store(tmp_path / "out.zarr"), open_store(tmp_path / "out.zarr", host="icon")
    assert land.attrs["Conventions"] == "CF-1.11"
    assert land.attrs["title"] == "a title"
    flags = dict(zip(land.land_cover.attrs["flag_values"], land.land_cover.attrs["flag_meanings"].split(), strict=True))
    assert flags == {0: "outside_0", 99: "outside_99", **LEGEND.names}
    assert land.land_cover.dtype == np.uint8
    assert "units" not in land.land_cover.attrs
    assert land.lai.attrs["standard_name"] == "leaf_area_index"
    assert land.lai.dims == ("year", "month", "lat", "lon")
    assert land.class_area.attrs["units"] == "m2"
    assert land.lat.attrs["units"] == "degrees_north"
    assert land.lon.attrs["standard_name"] == "longitude"
    assert land.time.attrs["standard_name"] == "time"
    assert list(land.land_class.values) == list(LEGEND.classes)
    assert land.land_class.attrs["codes"][3] == "40 41 42 43 44 45"
    assert host.land_cover_fraction.dims == ("year", "land_class", "cell")
    assert host.land_cover_fraction.dtype == np.float64
    assert host.land_cover_fraction.attrs["standard_name"] == "area_fraction"
    assert {"lat", "lon", "cell_area", "time"} <= set(host.coords)


def test_host_cells_in_any_order(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout((2015,)), {})
    write_year(store, 2015)
    ids = np.random.default_rng(1).permutation(CELLS)
    store.write_host("icon", "land_cover_fraction", 2015, fraction_of(2015)[:, ids], ids)
    store.commit(2015)
    assert_years(store.path, (2015,))
    again = OutputStore.create(tmp_path / "two.zarr", layout((2015,)), {})
    with pytest.raises(FieldError, match="do not come once each"):
        again.write_host("icon", "lai", 2015, np.zeros(CELLS), np.r_[0, np.arange(CELLS - 1)])


def test_commit_refuses_gaps_and_wrong_order(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout(), {})
    with pytest.raises(StateError, match="out of turn"):
        store.commit(2018)
    boxes = store.shard_boxes()
    write_year(store, 2015, boxes[:-1])
    write_series(store, 2015)
    with pytest.raises(StateError, match=r"not complete(.|\n)*land_cover/c/0/1/1"):
        store.commit(2015)
    assert store.committed_years() == ()
    write_year(store, 2015, boxes[-1:])
    store.commit(2015)
    with pytest.raises(StateError, match="never rewritten"):
        OutputStore.open(store.path).write_diagnostic("class_area", 2015, np.zeros(7))
    with pytest.raises(StateError, match="out of turn"):
        store.commit(2015)


def test_truncate_forgets_later_years(tmp_path: Path) -> None:
    years = (2015, 2014, 2013, 2012)
    store = OutputStore.create(tmp_path / "out.zarr", layout(years), {})
    for year in years[:3]:
        write_year(store, year)
        store.commit(year)
    write_year(store, 2012, store.shard_boxes()[:2])
    with pytest.raises(StateError, match="does not hold"):
        store.truncate(2012)
    store.truncate(2014)
    assert_years(store.path, (2015, 2014))
    # Nothing of the forgotten years is left that a later commit could take for written.
    assert not [f for f in store.path.rglob("*") if "c" in f.parts and f.name in "23" and f.parent.name == "c"]
    store.truncate(None)
    assert store.committed_years() == ()
    for year in years:
        write_year(store, year)
        store.commit(year)
    assert_years(store.path, years)


def test_misuse_is_named(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout(), {})
    box = store.shard_boxes()[0]
    bad = cover_of(2015)[box.slices()].copy()
    bad[0, 0] = 13
    with pytest.raises(DataError, match=r"codes that legend(.|\n)*code 13 in 1 cells"):
        store.write_land_cover(2015, box, bad)
    with pytest.raises(FieldError, match="whole shards"):
        store.write_land_cover(2015, Box(0, 5, 0, 5), np.zeros((5, 5), np.uint8))
    with pytest.raises(FieldError, match="holds codes"):
        store.write_land_cover(2015, box, np.zeros(box.shape))  # type: ignore[arg-type]
    with pytest.raises(FieldError, match="wrong shape"):
        store.write_field("lai", 2015, box, np.zeros(box.shape))
    with pytest.raises(FieldError, match="did you mean 'class_area'"):
        store.write_diagnostic("class_are", 2015, np.zeros(7))
    with pytest.raises(StateError, match="not one of the output store's"):
        store.write_diagnostic("class_area", 2016, np.zeros(7))
    with pytest.raises(ConfigError, match="no such host"):
        open_store(store.path, host="ocean")


def test_layout_mistakes_are_named() -> None:
    for changes, text in (
        ({"years": (2015, 2017, 2016)}, "run one way"),
        ({"years": ()}, "run one way"),
        ({"shard": 20}, "whole chunks"),
        ({"land_fields": (LandField("lai", "1"), LandField("land_cover", "1"))}, "same name(.|\n)*land_cover"),
        ({"diagnostics": (Diagnostic("a", "m2", "g", ("x",)), Diagnostic("b", "m2", "g", ("y",)))}, "fit its dim"),
        ({"hosts": {"t42": HostLayout(3, np.zeros(3), np.zeros(3), np.zeros(2))}}, "do not fit its size"),
    ):
        with pytest.raises(ConfigError, match=text):
            layout(**changes)  # type: ignore[arg-type]


def test_create_replaces_nothing_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    store = OutputStore.create(path, layout(), {})
    write_year(store, 2015)
    store.commit(2015)
    with pytest.raises(ConfigError, match=r"already(.|\n)*1 committed years"):
        OutputStore.create(path, layout(), {})
    OutputStore.create(path, layout(), {}, overwrite=True)
    assert open_store(path).sizes["year"] == 0
    (path / "year" / "commits.json").unlink()
    with pytest.raises(ConfigError, match=r"half made(.|\n)*remove the folder"):
        OutputStore.create(path, layout(), {})
    for use in (OutputStore.open, open_store, inspect):
        with pytest.raises(DataError, match=r"half made(.|\n)*make it anew with overwrite"):
            use(path)
    OutputStore.create(path, layout(), {}, overwrite=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="taken by something else"):
        OutputStore.create(tmp_path / "home", layout(), {}, overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").exists()
    with pytest.raises(DataError, match="not an output store"):
        open_store(tmp_path / "home")
    with pytest.raises(DataError, match="no output store"):
        open_store(tmp_path / "nowhere")


def test_another_run_is_refused(tmp_path: Path) -> None:
    OutputStore.create(tmp_path / "out.zarr", layout(), {})
    OutputStore.open(tmp_path / "out.zarr", layout())
    other = layout((2015, 2016), grid=LatLonGrid(0.0, 0.1, 45, 60.0, -0.1, 37))
    with pytest.raises(ConfigError, match=r"grid \[0.0, 0.1(.|\n)*years \[2015, 2018, 2021\]"):
        OutputStore.open(tmp_path / "out.zarr", other)


def test_damaged_marker_is_named(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout(), {})
    marker = store.path / "year" / "commits.json"
    text = marker.read_bytes()
    for damaged in (text.replace(b'"years": []', b'"years": [2015]'), text[:40], b"", b"[]"):
        assert damaged != text
        marker.write_bytes(damaged)
        with pytest.raises(DataError, match=r"damaged(.|\n)*commits.json"):
            open_store(store.path)


def test_inspect_sums_up(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout(), {})
    write_year(store, 2015)
    store.commit(2015)
    found = inspect(store.path, verify=True)
    assert found["committed"] == [2015]
    assert found["years"] == [2015, 2018, 2021]
    assert found["hosts"] == {"icon": CELLS}
    assert found["legend"] == "hilda-v1.0-f"
    assert found["arrays"]["lai"]["shape"] == [3, 12, 37, 45]
    files = [f for f in store.path.rglob("*") if f.is_file() and f.name not in ("zarr.json", "commits.json")]
    assert found["bytes"] == sum(f.stat().st_size for f in files)


def _broken(path: Path) -> str | None:
    try:
        inspect(path, verify=True)
    except DataError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:Object at")
def test_no_bit_flip_goes_unseen(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout((2015,), **SLIM), {})
    write_year(store, 2015, slim=True)
    store.commit(2015)
    inspect(store.path, verify=True)
    rng = random.Random(5)
    files = sorted(f for f in store.path.rglob("*") if f.is_file() and f.name != "commits.json")
    flips = [(file, rng.randrange(8 * file.stat().st_size)) for file in files]
    big = store.path / "land_cover" / "c" / "0" / "0" / "0"
    flips += [(big, rng.randrange(8 * big.stat().st_size)) for _ in range(40)]
    unseen = 0
    for file, bit in flips:
        whole = file.read_bytes()
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        named = _broken(store.path)
        if named is None:
            # A few bits of a zstd frame mean nothing to a decoder; then the data must be right.
            unseen += 1
            assert_years(store.path, (2015,), slim=True)
        else:
            assert file.relative_to(store.path).as_posix() in named or file.name == "zarr.json"
        file.write_bytes(whole)
    assert unseen <= 0.05 * len(flips)
    big.unlink()
    with pytest.raises(DataError, match="missing or broken"):
        inspect(store.path)


def test_full_disk_is_an_error_and_the_year_does_not_count(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout((2015,)), {})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(RunError, match=r"could not be written(.|\n)*land_cover/c/0"):
            write_year(store, 2015)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.committed_years() == ()
    write_year(store, 2015)
    store.commit(2015)
    assert_years(store.path, (2015,))


def _write_some_shards(path: Path, year: int, part: int, parts: int, start: Any) -> None:
    store = OutputStore.open(path)
    start.wait()
    write_year(store, year, store.shard_boxes()[part::parts])
    store.sync()


def test_processes_write_shards_of_one_year(tmp_path: Path) -> None:
    store = OutputStore.create(tmp_path / "out.zarr", layout((2015,)), {})
    start = FORKS.Barrier(2)
    ranks = [FORKS.Process(target=_write_some_shards, args=(store.path, 2015, part, 2, start)) for part in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
        assert rank.exitcode == 0
    write_series(store, 2015)
    store.commit(2015)
    assert_years(store.path, (2015,))


KILL_YEARS = tuple(range(2100, 1950, -1))


def _run(path: Path, moments: Moments) -> None:
    """A run as a restarted job does it: make the store or continue it, then write year after year."""
    moments.before_each_rename()
    moments("start")
    spec = layout(KILL_YEARS, **SLIM)
    if (path / "year" / "commits.json").exists():
        store = OutputStore.open(path, spec)
        done = store.committed_years()
        store.truncate(done[-1] if done else None)
    else:
        store = OutputStore.create(path, spec, {}, overwrite=True)
        done = ()
    for year in KILL_YEARS[len(done) :]:
        for box in store.shard_boxes():
            write_year(store, year, [box], slim=True)
            moments("shard")
        write_series(store, year, slim=True)
        moments("series")
        store.sync()
        moments("synced")
        store.commit(year)


@pytest.mark.parametrize("anywhere", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_kills(tmp_path: Path, anywhere: bool) -> None:
    """36 of them: before a file gets its name, between the parts of a year, or anywhere after that."""
    rng = random.Random(2)
    path = tmp_path / "run0.zarr"
    committed: tuple[int, ...] = ()
    total = half_made = half_written = 0
    for kill in range(36):
        # Each store is hit once while it is made (35 moments), then within one of three years (12 moments each).
        first = 1 if committed or kill % 6 == 0 else 36
        moment = rng.randrange(first, first + 35)
        Victim(_run, path).kill(moment, rng.uniform(0, 0.15) if anywhere else None)
        if not (path / "year" / "commits.json").exists():
            assert not committed
            if path.exists() and any(path.iterdir()):
                half_made += 1
                with pytest.raises(ConfigError, match="half made"):
                    OutputStore.create(path, layout(KILL_YEARS, **SLIM), {})
            continue
        now = OutputStore.open(path).committed_years()
        assert now[: len(committed)] == committed
        assert now == KILL_YEARS[: len(now)]
        total += len(now) - len(committed)
        committed = now
        later = path / "land_cover" / "c" / str(len(now))
        half_written += later.is_dir() and any(later.rglob("*"))
        inspect(path)
        if kill % 6 == 5:
            inspect(path, verify=True)
            assert_years(path, committed, slim=True)
            path, committed = tmp_path / f"run{kill}.zarr", ()
    # The kills did land where it hurts.
    assert half_made >= 2
    assert half_written >= 5
    assert total >= 20
