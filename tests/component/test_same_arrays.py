"""Arrays do not depend on the number of ranks and workers, or on stops and restarts."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import needs
import numpy as np
import psutil
import pytest
import xarray as xr
import yaml
from ranks import environment, launcher, mpirun
from stopped_runs import run_until

from ai4land_coupler import Simulation
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.store.output import open_store
from ai4land_coupler.store.restart import Restart

needs.yac()

YEARS = range(2015, 2022)
COMMAND = ["-m", "ai4land_coupler.cli", "run"]


def config_of(raw: dict[str, Any], store: Path, **parts: Any) -> Config:
    return parse_config({**raw, "output": {"store": str(store), "shard": 64}, **parts}, store.parent, "test")


def write(raw: dict[str, Any], store: Path, **parts: Any) -> Path:
    path = store.with_suffix(".yaml")
    path.write_text(yaml.safe_dump({**raw, "output": {"store": str(store), "shard": 64}, **parts}))
    return path


def arrays(store: Path) -> dict[str, np.ndarray]:
    """All numbers of a store and of its host grid."""
    found = {}
    for host in (None, "host"):
        data: xr.Dataset = open_store(store, host=host)
        found |= {f"{host}/{name}": data[name].values for name in data.data_vars}
    return found


def blocks_of_restart(store: Path) -> Any:
    """The files of the blocks in the last restart, with their digests."""
    restart = Restart.open(store.with_name(f"{store.name}.restart"))
    assert len(restart.files) > 4
    return restart.year, restart.files


def assert_same(store: Path, reference: dict[str, np.ndarray]) -> None:
    found = arrays(store)
    assert found.keys() == reference.keys()
    for name, values in reference.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.fixture
def reference(twin_config: dict[str, Any], tmp_path: Path) -> dict[str, np.ndarray]:
    store = tmp_path / "reference.zarr"
    Simulation(config_of(twin_config, store)).run()
    found = arrays(store)
    cover = found["None/land_cover"]
    assert cover.shape[0] == len(YEARS)
    for before, after in pairwise(cover):
        assert (before != after).any()  # without change, any run would give the same
    return found


def test_run_twice_and_stopped_after_any_year(
    twin_config: dict[str, Any], reference: dict[str, np.ndarray], tmp_path: Path
) -> None:
    again = tmp_path / "again.zarr"
    Simulation(config_of(twin_config, again)).run()
    assert_same(again, reference)
    for year in YEARS[1:-1]:
        store = tmp_path / f"stopped{year}.zarr"
        config = config_of(twin_config, store)
        run_until(config, year)
        assert len(open_store(store)["year"]) == year - 2014
        Simulation(config).run(restart=True)
        assert_same(store, reference)


@pytest.mark.mpi
def test_ranks_and_workers(twin_config: dict[str, Any], reference: dict[str, np.ndarray], tmp_path: Path) -> None:
    for ranks, workers in ((2, "all"), (3, 1)):
        store = tmp_path / f"ranks{ranks}.zarr"
        config = write(twin_config, store, parallel={"block": 3, "workers": workers})
        done = mpirun(ranks, *COMMAND, config)
        assert done.returncode == 0, done.stdout + done.stderr
        assert_same(store, reference)
        # Restarts do not depend on the owners of blocks either, so those of other versions can be read.
        assert blocks_of_restart(store) == blocks_of_restart(tmp_path / "reference.zarr")


@pytest.mark.mpi
def test_automatic_blocks_on_ranks(twin_config: dict[str, Any], tmp_path: Path) -> None:
    """Blocks of ``parallel.block: auto``: 3 ranks and 2 blocks, so one rank has none."""
    auto = {"parallel": {"block": "auto", "memory": 1e-6}, "time": {"start": 2015, "stop": 2016}}
    alone, shared = tmp_path / "alone.zarr", tmp_path / "shared.zarr"
    Simulation(config_of(twin_config, alone, **auto)).run()
    done = mpirun(3, *COMMAND, write(twin_config, shared, **auto))
    assert done.returncode == 0, done.stdout + done.stderr
    found = arrays(alone)
    assert (found["None/land_cover"][0] != found["None/land_cover"][1]).any()
    assert_same(shared, found)


@pytest.mark.mpi
def test_restarted_on_the_other_number_of_ranks(
    twin_config: dict[str, Any], reference: dict[str, np.ndarray], tmp_path: Path
) -> None:
    store = tmp_path / "wider.zarr"
    run_until(config_of(twin_config, store), 2018)
    done = mpirun(4, *COMMAND, write(twin_config, store), "--restart")
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(store, reference)

    store = tmp_path / "narrower.zarr"
    config = write(twin_config, store)
    kill_after(store, 2016, [*COMMAND, config], ranks=3)
    Simulation(config_of(twin_config, store)).run(restart=True)
    assert_same(store, reference)


def kill_after(store: Path, year: int, command: list[Any], ranks: int) -> None:
    """Start a parallel run, and kill all its ranks when a year is committed."""
    job = subprocess.Popen(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, *map(str, command)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    marker = store / "year" / "commits.json"
    deadline = time.monotonic() + 120
    while not (marker.exists() and f"{year}" in marker.read_text()):
        assert job.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # Kill the ranks first: each has its own process group, so they would continue without the launcher.
    family = psutil.Process(job.pid).children(recursive=True)
    assert len(family) >= ranks
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=30)
    job.kill()
    job.wait()


def test_backward_in_time(twin_config: dict[str, Any], tmp_path: Path) -> None:
    """The historical reconstruction: a backward predictor, decreasing years, and net change in reverse."""
    store = tmp_path / "backward.zarr"
    backward = {
        "time": {"start": 2015, "stop": 2011},
        "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f", "direction": "backward"}}],
        "allocation": {"temperature": 1.0},
    }
    config = config_of(twin_config, store, **backward)
    Simulation(config).run()
    data = open_store(store)
    assert data["year"].values.tolist() == [2015, 2014, 2013, 2012, 2011]
    # the net change since 2015 is that of the twin's own map of 2011, class by class (groups of one class)
    legend = data["land_cover"].attrs["legend"]
    assert legend == "hilda-v1.0-f"
    import rasterio

    pattern = twin_config["initial"]["options"]["path"]
    maps = {}
    for year in (2011, 2015):
        with rasterio.open(pattern.format(year=year)) as file:
            maps[year] = file.read(1)
    found = data["land_cover"].sel(year=2011).values
    cells = len(config_cells(config))
    for codes in ([11], [22], [33], [40, 41, 42, 43, 44, 45]):
        wanted = np.isin(maps[2011], codes).sum() - np.isin(maps[2015], codes).sum()
        came = np.isin(found, codes).sum() - np.isin(maps[2015], codes).sum()
        assert abs(came - wanted) <= cells  # at most a cell in each forcing cell
        assert wanted != 0
    again = tmp_path / "backward-stopped.zarr"
    config = config_of(twin_config, again, **backward)
    run_until(config, 2013)
    Simulation(config).run(restart=True)
    np.testing.assert_array_equal(open_store(again)["land_cover"].values, data["land_cover"].values)


def config_cells(config: Config) -> range:
    """One index for each forcing cell of the small twin: 8 x 12."""
    return range(8 * 12)
