"""The Python model of examples/hosts: its fields equal those of an offline run with the same configuration."""

from __future__ import annotations

from pathlib import Path

import needs
import numpy as np
import pytest
import yaml
from coupling import PERSISTENCE, Raw, config_of
from ranks import mpirun

from ai4land_coupler import Simulation
from ai4land_coupler.store.output import open_store

needs.yac()

MODEL = Path(__file__).parents[2] / "examples" / "hosts" / "python" / "model.py"


@pytest.mark.mpi
@pytest.mark.parametrize(
    "calendar", ["360_day", *(pytest.param(name, marks=pytest.mark.soak) for name in ("standard", "noleap"))]
)
def test_the_model_and_an_offline_run(twin_config: Raw, tmp_path: Path, calendar: str) -> None:
    """Four ranks, one of them the ocean, day by day; a restart on 20 June, continued by two ranks."""
    raw = {**twin_config, "predictors": [PERSISTENCE], "time": {"start": 2015, "stop": 2019}}
    Simulation(config_of(raw)).run()
    offline = open_store(tmp_path / "run.zarr", host="host")["land_cover_fraction"]
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    common = ["--calendar", calendar, "--grid", "host", "--folder", tmp_path / "restarts", "--stop", "2019-03-01"]
    first = ["--start", "2015-01-01", "--restart-at", "2017-06-20", "-o", tmp_path / "first.npz"]
    done = mpirun(4, MODEL, path, *common, *first)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ocean: nothing to do") == 1
    assert "error 5: the component cannot run to that date" in done.stdout
    second = ["--start", "2017-06-20", "--restart", tmp_path / "restarts", "-o", tmp_path / "second.npz"]
    done = mpirun(2, MODEL, path, *common, *second)
    assert done.returncode == 0, done.stdout + done.stderr
    for name, years in (("first", range(2015, 2020)), ("second", range(2017, 2020))):
        found = np.load(tmp_path / f"{name}.npz")
        assert sorted(found.files) == [str(year) for year in years]
        for year in years:
            np.testing.assert_array_equal(found[str(year)], offline.sel(year=year).values)


@pytest.mark.mpi
def test_the_models_own_grid(twin_config: Raw, tmp_path: Path) -> None:
    """The model's global grid contains all land of the map."""
    raw = {**twin_config, "predictors": [PERSISTENCE]}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    done = mpirun(2, MODEL, path, "--start", "2015-01-01", "--stop", "2016-01-02")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line[:4] in ("2015", "2016")]
    assert [line[0] for line in lines] == ["2015", "2016"]
    km2 = [sum(float(word) for word in line[2::3]) for line in lines]
    assert km2[0] == pytest.approx(km2[1], abs=10)
    assert 1e3 < km2[0] < 3 * 2 * 111.2**2
