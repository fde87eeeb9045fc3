"""Land and years that are held out of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.experiments.training import hold_out
from ai4land_coupler.experiments.training.config import ValidationSection, parse_train_config
from ai4land_coupler.experiments.training.split import Split

FINE = LatLonGrid(-10.0, 0.1, 200, 60.0, -0.1, 100)
GLOBE = LatLonGrid(-180.0, 1.0, 360, 90.0, -1.0, 180)


def test_buffer_reaches_so_many_cells_in_each_direction() -> None:
    split = hold_out.region(FINE, 0.0, 55.0, 1.0, 56.0).with_buffer(3)
    held = split.held_out(FINE.box)
    assert held.sum() == 100
    rows, cols = np.nonzero(held)
    expected = np.zeros(FINE.shape, bool)
    expected[rows.min() - 3 : rows.max() + 4, cols.min() - 3 : cols.max() + 4] = True
    np.testing.assert_array_equal(split.unused(FINE.box), expected)


@pytest.mark.parametrize(("grid", "degrees"), [(FINE, 2.0), (GLOBE, 15.0)])
def test_windows_of_a_split_are_parts_of_the_whole(grid: LatLonGrid, degrees: float) -> None:
    split = hold_out.fold_of_blocks(grid, degrees, 5, 1).with_buffer(2)
    whole = split.unused(grid.box)
    assert 0.2 < whole.mean() < 1
    for box in (Box(10, 40, 20, 60), Box(0, 30, 0, 30), Box(60, 100, 150, 200)):
        np.testing.assert_array_equal(split.unused(box), whole[box.slices()])
    if grid.periodic:
        around = np.concatenate([whole[:, -5:], whole[:, :5]], 1)
        np.testing.assert_array_equal(split.unused(Box(0, 180, -5, 5)), around)


def test_far_apart_blocks_touch_no_other_and_lie_on_land() -> None:
    land = np.zeros((10, 20), np.int64)
    land[:, :10] = 1
    split = hold_out.farthest_blocks(FINE, 1.0, land, 0.1, seed=3)
    rows, cols = np.nonzero(split.table)
    assert len(rows) == 10
    assert cols.max() < 10
    apart = [
        max(abs(a - c), abs(b - d)) for a, b in zip(rows, cols, strict=True) for c, d in zip(rows, cols, strict=True)
    ]
    assert sorted(apart)[len(rows)] >= 2


def test_a_region_may_cross_the_date_line() -> None:
    held = hold_out.region(GLOBE, 170.0, 0.0, -170.0, 10.0).held_out(GLOBE.box)
    assert held.sum() == 200
    assert held[85, [0, 9, 350, 359]].all()
    assert not held[85, [10, 349]].any()


def test_climate_zones_are_named_in_full_or_by_their_beginning() -> None:
    britain = LatLonGrid(-3.0, 0.1, 10, 53.0, -0.1, 10)
    assert hold_out.climate_zones(britain, ["Cfb"]).held_out(britain.box).mean() > 0.9
    assert hold_out.climate_zones(britain, ["A", "B"]).held_out(britain.box).sum() == 0
    with pytest.raises(ConfigError, match="no such climate zone"):
        hold_out.climate_zones(britain, ["Q"])


def test_a_written_split_is_the_same_split(tmp_path: Path) -> None:
    blocks = hold_out.fold_of_blocks(FINE, 0.5, 5, 2).with_buffer(4)
    for number, split in enumerate((blocks, hold_out.region(FINE, 0, 55, 1, 56), Split.nothing(FINE))):
        split.write(tmp_path / f"{number}.nc")
        again = Split.read(tmp_path / f"{number}.nc", FINE)
        assert again.buffer == split.buffer
        np.testing.assert_array_equal(again.unused(FINE.box), split.unused(FINE.box))


def test_a_mask_of_ones_own_needs_only_coordinates(tmp_path: Path) -> None:
    lat, lon = np.arange(50.5, 60), np.arange(-9.5, 10)
    mask = np.zeros((lat.size, lon.size))
    mask[3, 4] = 1  # 53 to 54 N, 6 to 5 W
    xr.Dataset({"held_out": (("lat", "lon"), mask)}, {"lat": lat, "lon": lon}).to_netcdf(tmp_path / "mask.nc")
    held = Split.read(tmp_path / "mask.nc", FINE).held_out(FINE.box)
    assert held.sum() == 100
    assert held[60:70, 40:50].all()


def test_a_file_without_a_mask_is_refused(tmp_path: Path) -> None:
    xr.Dataset({"mask": (("lat", "lon"), np.zeros((2, 2)))}).to_netcdf(tmp_path / "mask.nc")
    with pytest.raises(DataError, match="held_out"):
        Split.read(tmp_path / "mask.nc", FINE)
    with pytest.raises(DataError, match="cannot be read"):
        Split.read(tmp_path / "none.nc", FINE)


def years_config(tmp_path: Path, years: dict[str, Any]) -> Any:
    raw = {
        "legend": "hilda-v1.0-f",
        "cover": {"name": "hilda", "years": {"start": 1950, "stop": 2020}},
        "validation": {"years": years},
        "trainer": {"name": "unet"},
    }
    return parse_train_config(raw, tmp_path, "train.yaml")


def test_default_years_are_those_of_the_published_network(tmp_path: Path) -> None:
    config = years_config(tmp_path, {})
    train, test = config.pairs_of("train"), config.pairs_of("test")
    assert (train[0], train[-1]) == ((1960, 1961), (1999, 2000))
    assert (test[0], test[-1]) == ((2001, 2002), (2014, 2015))


def test_years_without_maps_are_refused(tmp_path: Path) -> None:
    config = years_config(tmp_path, {"train": {"start": 1900, "stop": 1940}})
    with pytest.raises(ConfigError, match="no pair of maps lies in the years train"):
        config.pairs_of("train")
    with pytest.raises(ConfigError, match="overlap"):
        years_config(tmp_path, {"train": {"start": 1900, "stop": 2001}})


def test_a_method_needs_its_key() -> None:
    for method in ("region", "zones", "file"):
        with pytest.raises(ValidationError, match=f"needs the key {method}"):
            ValidationSection(method=method)


def test_blocks_of_the_globe_must_divide_it() -> None:
    with pytest.raises(ConfigError, match="beyond a pole"):
        hold_out.fold_of_blocks(GLOBE, 4.0, 5, 0)
    assert hold_out.fold_of_blocks(GLOBE, 4.5, 5, 0).table.shape == (40, 80)
