"""A writer that is killed when all is written and nothing renamed: the next start leaves no temporary file of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kills import kill_before_rename

from ai4land_coupler import Simulation
from ai4land_coupler.capi.build import build, find_compiler, shared_libpython
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.prepare import prepare
from ai4land_coupler.experiments.twin import TwinOptions, generate
from ai4land_coupler.files.durable import clear_dead
from ai4land_coupler.formats import export
from ai4land_coupler.regrid.cache import WeightCache
from ai4land_coupler.regrid.files.output import open_output
from ai4land_coupler.regrid.weight_files.read import GridSide, WeightFile
from ai4land_coupler.regrid.weight_files.write import write_weights
from ai4land_coupler.report.web_page import write_page
from ai4land_coupler.store.output import Diagnostic, OutputStore, StoreLayout, open_store
from ai4land_unet.bundle import read_bundle, save_bundle, shipped

YEARS = (2015, 2018)
Writer = Callable[..., object]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def check(tmp_path: Path, renamed: str, count: int, write: Writer, *arguments: Any) -> Path:
    """Kill a writer, start it again, and compare with what one writes that nobody killed; the folder of the first."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir(exist_ok=True)
    write(whole, *arguments)
    kill_before_rename(renamed, write, killed, *arguments, count=count)
    left = names(killed)
    write(killed, *arguments)
    assert names(killed) == names(whole), f"the kill left {left}"
    return killed


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small output store."""
    legend, grid = get_legend("hilda-v1.0-f"), LatLonGrid(0.0, 0.1, 20, 50.0, -0.1, 10)
    layout = StoreLayout(grid, YEARS, legend, diagnostics=(Diagnostic("land_cells", "1"),), shard=32, chunk=16)
    store = OutputStore.create(tmp_path_factory.mktemp("out") / "out.zarr", layout, {"title": "test"})
    for year in YEARS:
        for box in store.shard_boxes():
            store.write_land_cover(year, box, np.full(box.shape, legend.codes[2], np.uint8))
        store.write_diagnostic("class_area", year, np.arange(7.0))
        store.write_diagnostic("land_cells", year, 200.0)
        store.commit(year)
    return store.path


@pytest.fixture
def light(twin_config: dict[str, Any]) -> dict[str, Any]:
    """A run of three years without a network and without hosts."""
    return {
        **twin_config,
        "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}],
        "static": [],
        "hosts": {},
        "time": {"start": 2015, "stop": 2017, "base_year": 2012},
        "output": {"store": "run.zarr"},
    }


def run(folder: Path, raw: dict[str, Any]) -> None:
    Simulation(parse_config(raw, folder, "test")).run(restart=True)


@pytest.mark.parametrize(
    ("renamed", "count"),
    [
        ("commits.json", 1),
        ("commits.json", 2),
        ("commits.json", 3),
        ("quality.json", 1),
        ("land_cells/c/1", 1),
        ("quality.json", 2),
        ("manifest.json", 2),
        ("block_000000.*", 3),
    ],
)
def test_a_run(light: dict[str, Any], tmp_path: Path, renamed: str, count: int) -> None:
    """Killed in any year, the first included, it ends with the results of a run that nobody killed."""
    folder = check(tmp_path, renamed, count, run, light)
    xr.testing.assert_equal(open_store(folder / "run.zarr"), open_store(tmp_path / "whole" / "run.zarr"))


def test_a_run_that_goes_on_without_that_restart(light: dict[str, Any], tmp_path: Path) -> None:
    """Killed in the restart of 2016, which the run that goes on does not write again."""
    kill_before_rename("manifest.json", run, tmp_path, light, count=2)
    mine = tmp_path / "run.zarr.restart" / "1999"
    mine.mkdir()
    (mine / "thesis").write_text("years of work")
    run(tmp_path, {**light, "restart": {"every": 2}})
    assert sorted(path.name for path in mine.parent.iterdir()) == ["1999", "2015", "2017"]
    assert (mine / "thesis").exists()
    assert not [name for name in names(tmp_path) if name.endswith((".aside", ".partial"))]


def _prepare(folder: Path, raw: dict[str, Any]) -> None:
    prepare(parse_config(raw, folder, "test"), folder / "in.zarr", jobs=1)


@pytest.mark.parametrize(
    "renamed", ["plan.json", "1.json", "prepared.json", "in.zarr.run.yaml", "in.zarr.stac.json", "in.zarr"]
)
def test_prepare(light: dict[str, Any], tmp_path: Path, renamed: str) -> None:
    check(tmp_path, renamed, 1, _prepare, light)


def _export(folder: Path, store: Path, kind: Any, target: str) -> None:
    export(store, kind, folder / target, overwrite=True)


@pytest.mark.parametrize(
    ("kind", "target", "renamed", "count"),
    [
        ("netcdf", "run.nc", "run.nc", 1),
        ("netcdf", "run_{year}.nc", "run_2018.nc", 1),
        ("geotiff", "maps", "hilda_plus*", 2),
        ("luh2", "states.nc", "states.nc", 1),
        ("cmip", "cmip", "*", 2),
    ],
)
def test_an_export(store: Path, tmp_path: Path, kind: str, target: str, renamed: str, count: int) -> None:
    check(tmp_path, renamed, count, _export, store, kind, target)


def test_an_export_of_fewer_files_clears_those_of_more(store: Path, tmp_path: Path) -> None:
    kill_before_rename("run_2015.nc", _export, tmp_path, store, "netcdf", "run_{year}.nc")
    assert len(names(tmp_path)) == 2
    export(store, "netcdf", tmp_path / "run_{year}.nc", years="2015")
    assert names(tmp_path) == ["run_2015.nc"]


def _page(folder: Path, store: Path) -> None:
    write_page(store, folder / "page.html")


def test_a_page(store: Path, tmp_path: Path) -> None:
    check(tmp_path, "page.html", 1, _page, store)


def _cache(folder: Path, key: str) -> None:
    cache = WeightCache(folder / "cache")
    if cache.load(key, {"links": np.arange(3)}) is None:
        cache.save(key, {"links": {"id": np.arange(3), "value": np.arange(3.0)}}, {})


def test_the_weight_cache(tmp_path: Path) -> None:
    folder = check(tmp_path, "key", 1, _cache, "key")
    kill_before_rename("other", _cache, folder, "other")
    assert len(list((folder / "cache").iterdir())) == 2
    _cache(folder, "key")  # found: nothing is written
    assert [path.name for path in (folder / "cache").iterdir()] == ["key"]


def _weights(folder: Path, name: str) -> None:
    ids = np.arange(4)
    weights = WeightFile(ids, ids, np.ones(4), GridSide("a", 4), GridSide("b", 4), "conservative", "destination", {})
    write_weights(folder / name, weights, "basic")


def _regridded(folder: Path, name: str) -> None:
    with open_output(folder / name) as output:
        output.create("x", np.float64, ("cell",), (5,), {}, None)
        output.write("x", (slice(0, 5),), np.arange(5.0))


@pytest.mark.parametrize("name", ["new.nc", "new.zarr"])
@pytest.mark.parametrize("write", [_weights, _regridded])
def test_a_file_of_weights_or_of_regridded_fields(tmp_path: Path, write: Writer, name: str) -> None:
    check(tmp_path, name, 1, write, name)


def _bundle(folder: Path) -> None:
    bundle = read_bundle(shipped()["twin"])
    save_bundle(folder / "bundle", bundle.card, bundle.weights)


@pytest.mark.parametrize("renamed", ["weights.safetensors", "card.json"])
def test_a_bundle(tmp_path: Path, renamed: str) -> None:
    folder = check(tmp_path, renamed, 1, _bundle)
    assert read_bundle(folder / "bundle").weights == read_bundle(shipped()["twin"]).weights


OPTIONS = TwinOptions(lon0=0, lon1=1, lat0=51, lat1=52, resolution=0.05, first_year=2010, last_year=2016, seed=1)


def _twin(folder: Path) -> None:
    generate(OPTIONS, folder / "twin")


@pytest.mark.parametrize(("renamed", "count"), [("twin.json", 1), ("states.nc", 1), ("twin.json", 2)])
def test_a_twin(tmp_path: Path, renamed: str, count: int) -> None:
    check(tmp_path, renamed, count, _twin)


def test_the_c_door(tmp_path: Path) -> None:
    try:
        shared_libpython()
        find_compiler()
    except ConfigError as error:
        pytest.skip(f"the C interface cannot be built here: {error}")
    check(tmp_path, "liba4l.so", 1, build)


@pytest.mark.parametrize(("name", "renamed"), [("new.nc", "new.nc"), ("new.zarr", "new.zarr.*.aside")])
def test_what_was_there_stays_until_it_is_replaced(tmp_path: Path, name: str, renamed: str) -> None:
    """A folder is renamed away first."""
    _regridded(tmp_path, name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    kill_before_rename(renamed, _regridded, tmp_path, name)
    assert {path: path.read_bytes() for path in before} == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_is_put_back_after_a_kill_between_the_two_renames(tmp_path: Path) -> None:
    _regridded(tmp_path, "new.zarr")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    kill_before_rename("new.zarr", _regridded, tmp_path, "new.zarr")
    assert not (tmp_path / "new.zarr").exists()
    clear_dead(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.zarr"]
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_is_not_put_back_over_a_new_one(tmp_path: Path) -> None:
    _regridded(tmp_path, "new.zarr")
    kill_before_rename("new.zarr", _regridded, tmp_path, "new.zarr")
    (tmp_path / "new.zarr").mkdir()
    clear_dead(tmp_path)
    assert names(tmp_path) == ["new.zarr"]
