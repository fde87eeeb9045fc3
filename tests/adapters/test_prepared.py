"""The adapter ``prepared``: it loads zarr only, windows are exact, and lost files are found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai4land_coupler.api import Box, DataError, GridError, LatLonGrid, Request, TimeError
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.prepare import Prepared, prepare
from ai4land_coupler.registry.loading import load_plugins

PERSISTENCE = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]


@pytest.fixture
def store(twin_config: dict[str, Any], tmp_path: Path) -> Prepared:
    raw = {
        **twin_config,
        "time": {"start": 2015, "stop": 2018, "base_year": 2012},
        "predictors": PERSISTENCE,
        "static": [],
        "hosts": {},
    }
    return prepare(parse_config(raw, tmp_path, "test"), tmp_path / "in.zarr", jobs=1)


def adapter(store: Path, part: str) -> Any:
    return load_plugins().create("adapter", "prepared", {"store": str(store), "part": part}, "test")


def test_no_other_file_library_is_loaded(store: Prepared) -> None:
    """A whole run of the component: what a host would have in its process."""
    program = (
        "import sys; from ai4land_coupler import LandComponent; "
        f"c = LandComponent({str(store.configuration)!r}, online=False); c.initialize(); c.realize(); c.run(2017); "
        "assert c.year == 2017; "
        "names = {'netCDF4', 'h5py', 'h5netcdf', 'rasterio', 'osgeo', 'torch'}; "
        "found = {m.split('.')[0] for m in sys.modules} & names; "
        "libraries = [line for line in open('/proc/self/maps') if 'libhdf5' in line or 'libnetcdf' in line "
        "or 'libgdal' in line]; "
        "assert not found and not libraries, (found, libraries[:3]); print('clean')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "clean", done.stderr


def test_windows_and_cells_outside(store: Prepared) -> None:
    maps = adapter(store.store, "maps")
    grid: LatLonGrid = maps.grid()
    whole = maps.read(Request(("land_cover",), grid, (2015,)))["land_cover"]
    assert whole.dtype == np.uint8
    assert whole.attrs["legend"] == "hilda-v1.0-f"
    part = maps.read(Request(("land_cover",), grid.sub(Box(5, 30, -4, 20)), (2015,)))
    np.testing.assert_array_equal(part["land_cover"][0, :, 4:], whole[0, 5:30, :20])
    assert (part["land_cover"][0, :, :4] == 0).all()
    assert part.attrs["quality"]["outside"] == 25 * 4
    flipped = LatLonGrid(grid.lon0, grid.dlon, grid.nlon, grid.lat0 + grid.nlat * grid.dlat, -grid.dlat, grid.nlat)
    np.testing.assert_array_equal(
        maps.read(Request(("land_cover",), flipped, (2015,)))["land_cover"][0], whole[0, ::-1]
    )
    with pytest.raises(GridError):
        maps.read(Request(("land_cover",), LatLonGrid(0.011, 0.03, 4, 51.0, -0.03, 4), (2015,)))


def test_years_that_are_not_stored(store: Prepared) -> None:
    forcing = adapter(store.store, "forcing")
    info = forcing.fields()["c3ann"]
    assert info.years == (2012, 2018)
    assert info.gaps == (2013, 2014, 2015)
    with pytest.raises(TimeError, match="2014"):
        forcing.read(Request(("c3ann",), forcing.grid(), (2014,)))
    with pytest.raises(DataError, match="c3anm"):
        forcing.read(Request(("c3anm",), forcing.grid(), (2016,)))


def test_lost_files_are_found(store: Prepared) -> None:
    forcing = adapter(store.store, "forcing")
    request = Request(("c3ann",), forcing.grid(), (2016,))
    assert np.isfinite(forcing.read(request)["c3ann"]).any()
    (shard,) = [p for p in (store.store / "forcing/c3ann/c/1").rglob("*") if p.is_file()]
    whole = bytearray(shard.read_bytes())
    whole[len(whole) // 3] ^= 1
    shard.write_bytes(whole)
    with pytest.raises(DataError, match="cannot be read"):
        adapter(store.store, "forcing").read(request)
    shard.unlink()
    with pytest.raises(DataError, match="lost a file"):
        adapter(store.store, "forcing").read(request)


def test_other_folders_are_refused(store: Prepared, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prepared store"):
        adapter(tmp_path / "nowhere", "maps")
    with pytest.raises(DataError, match="no static"):
        adapter(store.store, "static")
    with pytest.raises(ConfigError, match="part"):
        adapter(store.store, "soil")
    metadata = store.store / "zarr.json"
    metadata.write_text(metadata.read_text().replace('\\"format\\": 1', '\\"format\\": 2'))
    with pytest.raises(DataError, match="format"):
        adapter(store.store, "maps")
