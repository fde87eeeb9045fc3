"""Stores for the tests of output formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from export_stores import GRID, make_store

from ai4land_coupler.core.grid import LatLonGrid


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("export") / "run.zarr")


@pytest.fixture(scope="session")
def backward_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run backward in time, with rows from south to north."""
    grid = LatLonGrid(GRID.lon0, GRID.dlon, GRID.nlon, 51.0, GRID.dlon, GRID.nlat)
    return make_store(tmp_path_factory.mktemp("export") / "back.zarr", grid, (1851, 1850))
