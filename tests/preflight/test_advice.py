"""Warnings about inputs that a run accepts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from ai4land_coupler.preflight.advice import long_chunks, map_without_states, small_sums, states_without_map


def warnings_of(*paths: Path) -> list[str]:
    entry: Any = SimpleNamespace(input_files=lambda: {path.name: path for path in paths})
    return list(long_chunks(entry))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("years", "told"), [(1, False), (9, False), (10, True), (20, True)])
def test_chunks_of_netcdf_files_and_zarr_folders(tmp_path: Path, years: int, told: bool) -> None:
    data = xr.Dataset({"a": (("time", "y", "x"), np.ones((20, 4, 4), np.float32))})
    paths = [tmp_path / name for name in ("four.nc", "two.zarr", "three.zarr")]
    data.to_netcdf(paths[0], encoding={"a": {"chunksizes": (years, 4, 4)}})
    for format_, path in zip((2, 3), paths[1:], strict=True):
        data.to_zarr(path, zarr_format=format_, encoding={"a": {"chunks": (years, 4, 4)}})
    found = warnings_of(*paths)
    assert [text.partition(": a chunk spans ")[0] for text in found] == ([p.name for p in paths] if told else [])
    assert all(f"spans {years} time steps" in text for text in found)


def test_files_without_chunks_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "classic.nc", "w", format="NETCDF3_CLASSIC") as file:
        for name in "tyx":
            file.createDimension(name, 20)
        file.createVariable("a", "f4", ("t", "y", "x"))[:] = 1
    (tmp_path / "text.nc").write_text("no netCDF")
    assert warnings_of(tmp_path / "classic.nc", tmp_path / "text.nc", tmp_path / "none.nc") == []


def test_states_and_the_land_of_the_map() -> None:
    states = {"primf": np.float32([[0.5, 0.25], [0.0, np.nan]]), "urban": np.float32([[0.5, 0.0], [0.0, np.nan]])}
    land = np.array([[100, 0], [20, 5]])
    assert "none (20 % of its land)" in str(states_without_map(states, land))  # 0.25 of 1.25
    assert "all 0 (16 % of its land)" in str(map_without_states(states, land))  # 20 of 125; NaN is a gap
    assert small_sums(states) is None
    assert "the largest sum is 0.3" in str(small_sums({n: v * np.float32(0.3) for n, v in states.items()}))
    for find in (states_without_map, map_without_states):
        assert find(states, np.array([[100, 5], [4, 5]])) is None
        assert find({"elevation": states["primf"]}, land) is None
    assert small_sums({}) is None
