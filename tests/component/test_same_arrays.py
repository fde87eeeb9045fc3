"""Arrays do not depend on the number of ranks and workers, or on stops and restarts."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

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
    """The year of the last restart, and size and digest of each block in it. Equal blocks of a rank share a file."""
    restart = Restart.open(store.with_name(f"{store.name}.restart"))
    assert len(restart.files) > 4
    return restart.year, {number: (file.size, file.sha256) for number, file in restart.files.items()}


def assert_same(store: Path, reference: dict[str, np.ndarray]) -> None:
    found = arrays(store)
    assert found.keys() == reference.keys()
    for name, values in reference.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


class Reference(NamedTuple):
    """The arrays of a run on one process that was never stopped, and its last restart."""

    arrays: dict[str, np.ndarray]
    blocks: Any


@pytest.fixture(scope="module")
def reference(run_of_twin: Callable[[Path], dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Reference:
    store = tmp_path_factory.mktemp("same") / "reference.zarr"
    Simulation(config_of(run_of_twin(store.parent), store)).run()
    found = arrays(store)
    cover = found["None/land_cover"]
    assert cover.shape[0] == len(YEARS)
    for before, after in pairwise(cover):
        assert (before != after).any()  # without change, any run would give the same
    return Reference(found, blocks_of_restart(store))


def test_run_twice(twin_config: dict[str, Any], reference: Reference, tmp_path: Path) -> None:
    again = tmp_path / "again.zarr"
    Simulation(config_of(twin_config, again)).run()
    assert_same(again, reference.arrays)


def test_stopped_after_every_year(twin_config: dict[str, Any], reference: Reference, tmp_path: Path) -> None:
    """Each year is made by a run that starts from the restart of the year before."""
    store = tmp_path / "stopped.zarr"
    config = config_of(twin_config, store)
    for year in YEARS[1:-1]:
        run_until(config, year, restart=year > YEARS[1])
        assert len(open_store(store)["year"]) == year - 2014
    Simulation(config).run(restart=True)
    assert_same(store, reference.arrays)
    assert blocks_of_restart(store) == reference.blocks


@pytest.mark.mpi
@pytest.mark.soak
@pytest.mark.parametrize(("ranks", "workers"), [(2, "all"), (3, 1), (4, "all")])
def test_ranks_and_workers(
    twin_config: dict[str, Any], reference: Reference, tmp_path: Path, ranks: int, workers: str | int
) -> None:
    store = tmp_path / "ranks.zarr"
    done = mpirun(ranks, *COMMAND, write(twin_config, store, parallel={"block": 3, "workers": workers}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same(store, reference.arrays)
    assert blocks_of_restart(store) == reference.blocks


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
def test_killed_on_two_ranks_and_continued_on_three_and_on_one(
    twin_config: dict[str, Any], reference: Reference, tmp_path: Path
) -> None:
    two, three = tmp_path / "two.zarr", tmp_path / "three.zarr"
    kill_after(two, 2016, [*COMMAND, write(twin_config, two)], ranks=2)
    for suffix in ("zarr", "zarr.restart"):
        shutil.copytree(two.with_suffix(f".{suffix}"), three.with_suffix(f".{suffix}"))
    config = write(twin_config, three, parallel={"block": 3, "workers": 1})
    done = mpirun(3, *COMMAND, config, "--restart")
    assert done.returncode == 0, done.stdout + done.stderr
    Simulation(config_of(twin_config, two)).run(restart=True)
    for store in (two, three):
        assert_same(store, reference.arrays)
        # Restarts do not depend on the owners of blocks either, so those of other versions can be read.
        assert blocks_of_restart(store) == reference.blocks


def kill_after(store: Path, year: int, command: list[Any], ranks: int) -> None:
    """Start a parallel run, and kill all its ranks when a year is committed."""
    job = subprocess.Popen(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, *map(str, command)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    marker = store / "year" / "commits.json"
    deadline = time.monotonic() + 600
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
