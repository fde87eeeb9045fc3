"""A model's own daily time loop, in C and Fortran, gets the values of the offline simulation, bit for bit.

The land is a map of Europe in cells of half a degree, of which one in thirty changes each year; the predictor
replays such maps. The hosts leave their last rank out, step through their own calendar, and write land cover whenever
it changes. The C host copies; the Fortran host has an array of blocks filled.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from host_lines import HERE, Mpi
from numpy.typing import NDArray
from ranks import launch_settings

from ai4land_coupler import Simulation
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.store.output import open_store

pytestmark = pytest.mark.mpi
needs.yac()

FIRST, LAST = 2000, 2010
CODES = np.array([0, 11, 22, 33, 40, 55, 66, 77], np.uint8)
CALENDARS = ("standard", "noleap", "360_day")


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GeoTIFFs of each year: 40 x 30 degrees, with a constant ocean."""
    rasterio = pytest.importorskip("rasterio")
    folder = tmp_path_factory.mktemp("maps")
    rng = np.random.default_rng(11)
    codes = rng.choice(CODES, size=(60, 80))
    for year in range(FIRST, LAST + 1):
        with rasterio.open(
            folder / f"map_{year}.tif", "w", driver="GTiff", height=60, width=80, count=1, dtype="uint8",
            crs="EPSG:4326", transform=rasterio.Affine(0.5, 0, -12, 0, -0.5, 65),
        ) as target:  # fmt: skip
            target.write(codes, 1)
        changed = (rng.random(codes.shape) < 1 / 30) & (codes != 0)
        codes = np.where(changed, rng.choice(CODES[1:], size=codes.shape), codes)
    return folder


def settings(maps: Path, hosts: dict[str, Path], stop: int, **more: Any) -> dict[str, Any]:
    path = str(maps / "map_{year}.tif")
    return {
        "title": "replayed Europe",
        "legend": "hilda-v1.0-f",
        "time": {"start": FIRST, "stop": stop},
        "initial": {"name": "hilda", "options": {"path": path, "legend": "hilda-v1.0-f"}},
        "predictors": [{"name": "replay", "options": {"path": path, "legend": "hilda-v1.0-f"}}],
        "allocation": {"method": "argmax", "gross": "none"},
        "hosts": {name: {"grid": str(grid)} for name, grid in hosts.items()},
        **more,
    }


class Host:
    """A compiled time loop and the launcher of its MPI."""

    def __init__(self, launcher: str, program: Path, separator: str) -> None:
        self.launcher, self.program, self.separator = launcher, program, separator

    def run(
        self, ranks: int, config: Path, grid: str, calendar: str, start: tuple[int, int, int],
        stop: tuple[int, int, int], folder: Path, *restart: Path,
    ) -> tuple[list[str], NDArray[np.float64]]:  # fmt: skip
        """Dates at which land cover changed, and land cover (date, class, cell) of the whole grid."""
        folder.mkdir()
        dates = [self.separator.join(map(str, date)) for date in (start, stop)]
        command = [self.launcher, "--oversubscribe", "-n", ranks, self.program, config, grid, calendar, *dates, folder]
        done = subprocess.run(
            [str(word) for word in (*command, *restart)],
            env=os.environ | launch_settings(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        active = ranks - (ranks > 2)
        assert not (folder / f"{active}.f64").exists()
        changed = [(folder / f"{rank}.txt").read_text().split() for rank in range(active)]
        assert all(dates == changed[0] for dates in changed)
        parts = [np.fromfile(folder / f"{rank}.f64").reshape(len(changed[0]), 7, -1) for rank in range(active)]
        return changed[0], np.concatenate(parts, axis=-1)


@pytest.fixture(scope="session")
def c_host(compile_host: Callable[..., Path], mpi: Mpi) -> Host:
    return Host(mpi.launcher, compile_host(HERE / "loop.c", "loop", [mpi.compiler]), "-")


@pytest.fixture(scope="session")
def fortran_host(compile_fortran: Callable[..., Path], fortran_mpi: Mpi) -> Host:
    return Host(fortran_mpi.launcher, compile_fortran(HERE / "loop.f90", "loop", fortran_mpi.compiler), " ")


def offline(raw: dict[str, Any], folder: Path, hosts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Run the same configuration offline; land cover (year, class, cell) on each host grid."""
    Simulation(parse_config(raw | {"output": {"store": str(folder / "run.zarr"), "shard": 64}}, folder, "test")).run()
    stored = {name: open_store(folder / "run.zarr", host=name)["land_cover_fraction"].values for name in hosts}
    for values in stored.values():
        assert (np.diff(values, axis=0) != 0).any(axis=(1, 2)).all()  # every year is another
        assert values.max() > 0.1
    return stored


def new_years(first: int, last: int) -> list[str]:
    return [f"{year}-1-1" for year in range(first, last + 1)]


@pytest.mark.parametrize(("language", "calendar"), [("c", "noleap"), ("fortran", "360_day")])
def test_days_of_a_host_and_years_offline(
    request: pytest.FixtureRequest, maps: Path, host_grid: Path, tmp_path: Path, language: str, calendar: str
) -> None:
    """Four years, stopped in the middle of the third on two ranks and continued on one."""
    host: Host = request.getfixturevalue(f"{language}_host")
    raw = settings(maps, {"host": host_grid}, FIRST + 4)
    stored = offline(raw, tmp_path, ["host"])["host"]
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(raw))
    middle, end = (FIRST + 2, 7, 17), (FIRST + 4, 1, 1)
    dates, values = host.run(3, config, "host", calendar, (FIRST, 1, 1), middle, tmp_path / "first")
    assert dates == new_years(FIRST, FIRST + 2)
    np.testing.assert_array_equal(values, stored[:3])
    restarts = tmp_path / "first" / "restarts"
    dates, values = host.run(1, config, "host", calendar, middle, end, tmp_path / "second", restarts)
    assert dates == ["{}-{}-{}".format(*middle), *new_years(FIRST + 3, FIRST + 4)]
    np.testing.assert_array_equal(values, stored[2:])


@pytest.mark.soak
@pytest.mark.real_data
@pytest.mark.parametrize("language", ["c", "fortran"])
@pytest.mark.parametrize("calendar", CALENDARS)
def test_ten_years_on_real_grids(
    request: pytest.FixtureRequest, maps: Path, sample_data: Path, tmp_path: Path, language: str, calendar: str
) -> None:
    """ICON R2B4 and T42, on 2 and 4 ranks and one unused rank; stopped on 2 and continued on 4."""
    host: Host = request.getfixturevalue(f"{language}_host")
    grids = {
        "icon": sample_data / "grids" / "icon_extpar_0010_R02B04_G.nc",
        "t42": sample_data / "grids" / "scrip_T42.nc",
    }
    raw = settings(maps, grids, LAST)
    stored = offline(raw, tmp_path, list(grids))
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(raw))
    start, middle, end = (FIRST, 1, 1), (FIRST + 5, 2, 28), (LAST, 1, 1)
    for grid in grids:
        for ranks in (3, 5):
            folder = tmp_path / f"{grid}{ranks}"
            dates, values = host.run(ranks, config, grid, calendar, start, end, folder)
            assert dates == new_years(FIRST, LAST)
            np.testing.assert_array_equal(values, stored[grid])
        halted, resumed = tmp_path / f"{grid}_halted", tmp_path / f"{grid}_resumed"
        host.run(3, config, grid, calendar, start, middle, halted)
        _, values = host.run(5, config, grid, calendar, middle, end, resumed, halted / "restarts")
        np.testing.assert_array_equal(values, stored[grid][5:])
