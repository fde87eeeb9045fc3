"""The joined store of a history and a scenario: all years once, in order, without copies, complete or absent."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kills import kill_before_rename
from test_store import GROUPS, assert_years, cover_of, layout, write_series, write_year

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.store import join
from ai4land_coupler.store.join import is_complete, is_joined, join_stores
from ai4land_coupler.store.output import Diagnostic, OutputStore, inspect, open_store

PAST, FUTURE = (2015, 2014, 2013), (2015, 2016)
YEARS = (2013, 2014, 2015, 2016)


def make(path: Path, years: tuple[int, ...], last: int | None = None, **changes: Any) -> Path:
    """A store of these years, committed up to ``last``."""
    store = OutputStore.create(
        path, layout(years, **changes), {"title": path.name, "provenance": {"ranks": len(years)}}
    )
    for year in years:
        write_year(store, year)
        store.commit(year)
        if year == last:
            break
    return path


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Path]:
    return {"past": make(tmp_path / "past.zarr", PAST), "future": make(tmp_path / "future.zarr", FUTURE)}


def test_each_year_is_there_once_and_takes_no_space(stores: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "all.zarr"
    assert join_stores(stores, target, files={"year/quality.json": b"{}"}) == 0
    assert_years(target, YEARS)
    assert is_joined(target)
    assert is_complete(target)
    facts = inspect(target, verify=True)
    assert (tuple(facts["years"]), tuple(facts["committed"])) == (YEARS, YEARS)
    with xr.open_zarr(target, consolidated=False) as data:
        assert [str(time)[:10] for time in data["time"].values] == [f"{year}-01-01" for year in YEARS]
        assert data["group"].values.tolist() == list(GROUPS)
        assert data.attrs["title"] == "future.zarr"
    assert (target / "year/quality.json").read_bytes() == b"{}"
    # a writer that continues a part changes nothing here, and the parts may go
    past = OutputStore.open(stores["past"])
    past.truncate(2014)
    past.write_diagnostic("unmet_total", 2013, -1.0)
    write_series(past, 2013)
    assert_years(target, YEARS)
    for path in stores.values():
        shutil.rmtree(path)
    assert_years(target, YEARS)
    inspect(target, verify=True)


def test_files_are_copied_where_there_are_no_links(
    stores: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(join, "link", refuse)
    target = tmp_path / "all.zarr"
    copied = join_stores(stores, target)
    assert_years(target, YEARS)
    assert copied >= sum(file.stat().st_size for file in target.joinpath("land_cover/c").rglob("*") if file.is_file())


def test_a_killed_join_leaves_nothing_and_is_repeated(stores: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "all.zarr"
    kill_before_rename("all.zarr", join_stores, stores, target)
    assert not target.exists()
    join_stores(stores, target)
    assert_years(target, YEARS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.zarr", "future.zarr", "past.zarr"]
    before = (target / "zarr.json").stat().st_mtime_ns
    join_stores(stores, target)  # it is there already
    assert (target / "zarr.json").stat().st_mtime_ns == before


def refused(stores: dict[str, Path], target: Path) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        join_stores(stores, target)
    assert not target.exists() or not is_joined(target)
    return str(caught.value)


def test_stores_that_do_not_fit_are_named(stores: dict[str, Path], tmp_path: Path) -> None:
    past, target = stores["past"], tmp_path / "all.zarr"

    def with_future(name: str, years: tuple[int, ...] = FUTURE, **changes: Any) -> str:
        return refused({"past": past, name: make(tmp_path / f"{name}.zarr", years, **changes)}, target)

    text = with_future("short", (2015, 2016, 2017), last=2016)
    assert "part 'short' is not complete" in text
    assert "[2015, 2016]" in text
    series = (Diagnostic("demand_unmet", "m2", "group", GROUPS), Diagnostic("unmet_total", "km2"))
    text = with_future("units", diagnostics=series)
    assert "results of two parts do not fit together" in text
    assert "km2" in text
    for years in ((2014, 2015, 2016), (2016, 2017), (2015, 2014)):
        assert "years of two parts do not form one series" in with_future(f"years{years[0]}-{years[-1]}", years)
    changed = make(tmp_path / "changed.zarr", FUTURE)
    store = OutputStore.open(changed)
    store.truncate(None)
    for year in FUTURE:
        write_year(store, year)
        box = store.shard_boxes()[-1]
        codes = cover_of(year)[box.slices()].copy()
        codes[-1, -2:] = np.where(codes[-1, -2:] == 11, 22, 11)
        store.write_land_cover(year, box, codes)
        store.commit(year)
    text = refused({"past": past, "changed": changed}, target)
    assert "start from different maps" in text
    assert "2 cells" in text


def test_another_grid_is_refused(stores: dict[str, Path], tmp_path: Path) -> None:
    grid = LatLonGrid(-8.0, 0.1, 45, 70.0, -0.1, 37)
    other = make(tmp_path / "north.zarr", FUTURE, grid=grid)
    text = refused({"past": stores["past"], "north": other}, tmp_path / "all.zarr")
    assert "do not fit together" in text
    assert "in part 'north': grid" in text


def test_nothing_else_is_replaced(stores: dict[str, Path], tmp_path: Path) -> None:
    target = make(tmp_path / "own.zarr", FUTURE)
    assert "another output store" in refused(stores, target)
    assert open_store(target)["year"].values.tolist() == list(FUTURE)
    join_stores(stores, target, overwrite=True)
    assert_years(target, YEARS)
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    assert "something else" in refused(stores, folder)
    with pytest.raises(ConfigError, match="something else"):
        join_stores(stores, folder, overwrite=True)
