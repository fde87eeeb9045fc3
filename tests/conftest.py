"""Fixtures shared by all floors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from ai4land_coupler.experiments.twin import TwinReport

# The same examples in every `make test`; `make soak` looks for new ones, ten times as many, and keeps what fails in
# .hypothesis to try it first the next time. What depends on the speed of the machine is checked in neither.
_PATIENT = settings(settings.get_profile("default"), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", _PATIENT, derandomize=True, database=None)
settings.register_profile("soak", _PATIENT, max_examples=1000, print_blob=True)
settings.load_profile("fixed")

DEFAULT_SAMPLE_DATA = Path(__file__).parents[1].parent / "shared" / "data"


def pytest_sessionstart() -> None:
    if settings.default.derandomize:
        _draw_no_constants_of_ours()


def _draw_no_constants_of_ours() -> None:
    """Keep examples from changing with the program.

    Hypothesis also draws numbers that it finds in the source of the modules imported so far: examples would then
    depend on which tests ran before, on any edit of the program, and on where it is installed.
    """
    with contextlib.suppress(ImportError):  # internals, which another version may not have
        from hypothesis.internal.conjecture import providers

        if hasattr(providers, "_get_local_constants"):
            providers._get_local_constants = lambda: providers._local_constants


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real sample data; tests that ask for it are skipped, saying so, where it is absent."""
    folder = Path(os.environ.get("AI4LAND_SAMPLE_DATA", DEFAULT_SAMPLE_DATA))
    if not (folder / "README.md").is_file():
        pytest.skip(f"sample data not found at {folder}; set AI4LAND_SAMPLE_DATA")
    return folder


@pytest.fixture(scope="session")
def small_twin(tmp_path_factory: pytest.TempPathFactory) -> TwinReport:
    """A Twin Earth around the Thames, 2010 to 2022: 2 x 3 degrees at 0.03, so that nothing divides evenly."""
    from ai4land_coupler.experiments.twin import TwinOptions, generate

    options = TwinOptions(
        lon0=-1.5, lon1=1.5, lat0=50.5, lat1=52.5, resolution=0.03, first_year=2010, last_year=2022, seed=3
    )
    return generate(options, tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="session")
def host_grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host grid of 12 x 10 cells of 0.7 x 0.5 degrees over the small twin and beyond it, as a SCRIP file."""
    import netCDF4

    west = -3.0 + 0.7 * np.arange(12)
    south = 49.0 + 0.5 * np.arange(10)
    lon0, lat0 = (a.reshape(-1) for a in np.meshgrid(west, south))
    path = tmp_path_factory.mktemp("grid") / "host.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("grid_size", lon0.size)
        file.createDimension("grid_corners", 4)
        file.createDimension("grid_rank", 2)
        for name, values in (("lon", lon0[:, None] + [0, 0.7, 0.7, 0]), ("lat", lat0[:, None] + [0, 0, 0.5, 0.5])):
            corners = file.createVariable(f"grid_corner_{name}", "f8", ("grid_size", "grid_corners"))
            corners[:] = values
            centres = file.createVariable(f"grid_center_{name}", "f8", ("grid_size",))
            centres[:] = values.mean(axis=1)
            corners.units = centres.units = "degrees"
        file.createVariable("grid_imask", "i4", ("grid_size",))[:] = 1
        file.createVariable("grid_dims", "i4", ("grid_rank",))[:] = (12, 10)
    return path


@pytest.fixture(scope="session")
def run_of_twin(small_twin: TwinReport, host_grid: Path) -> Callable[[Path], dict[str, Any]]:
    """Make ``twin_config`` with the store in any folder, for fixtures that live longer than a test."""
    paths = {name: str(path) for name, path in small_twin.paths.items()}
    return lambda folder: {
        "title": "small twin",
        "legend": "hilda-v1.0-f",
        "time": {"start": 2015, "stop": 2021},
        "initial": {"name": "hilda", "options": {"path": paths["maps"], "legend": "hilda-v1.0-f"}},
        "forcing": [
            {"name": "ssp", "options": {"states": paths["scenario"]}},
            {"name": "luh2", "options": {"states": paths["states"]}},
        ],
        "static": [
            {"name": "static", "options": {"path": paths["elevation"]}},
            {"name": "static", "options": {"path": paths["soil"]}},
        ],
        "predictors": [{"name": "unet", "options": {"bundle": "twin"}}],
        "hosts": {"host": {"grid": str(host_grid)}},
        "output": {"store": str(folder / "run.zarr"), "shard": 64},
        "parallel": {"block": 3},
    }


@pytest.fixture
def twin_config(run_of_twin: Callable[[Path], dict[str, Any]], tmp_path: Path) -> dict[str, Any]:
    """A run of the small twin from 2015 to 2021 with the shipped network, as the mapping that YAML would give."""
    return run_of_twin(tmp_path)
