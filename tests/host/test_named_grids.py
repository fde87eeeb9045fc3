"""Grids of the configuration's `hosts`: the grid of a data variable, and its mask."""

from pathlib import Path
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest

from ai4land_coupler.config.sections import HostSection
from ai4land_coupler.errors import DataError
from ai4land_coupler.host.grids import HostGrids
from ai4land_coupler.parallel import Communicator


@pytest.fixture
def two_grids(tmp_path) -> Path:
    """The grid of t and, half a cell farther east, that of u; `sea` masks the northern half of t."""
    with netCDF4.Dataset(tmp_path / "two.nc", "w") as file:
        for name, first in (("t", 5.0), ("u", 10.0)):
            for axis, values, units in (
                ("lat", np.arange(-85.0, 90, 10), "degrees_north"),
                ("lon", np.arange(first, 360, 10), "degrees_east"),
            ):
                file.createDimension(f"{axis}_{name}", values.size)
                made = file.createVariable(f"{axis}_{name}", "f8", (f"{axis}_{name}",))
                made[:], made.units = values, units
            file.createVariable(name, "f8", (f"lat_{name}", f"lon_{name}"))[:] = 1.0
        file.createVariable("sea", "i4", ("lat_t", "lon_t"))[:] = np.arange(18)[:, None] < 9
    return tmp_path / "two.nc"


def mesh_of(path: Path, **keys: str):
    config = SimpleNamespace(hosts={"ocean": HostSection(grid=path, **keys)}, resolve=lambda given: given)
    grids = HostGrids(Communicator(None))
    grids.set_named_mesh("host", config, "ocean")
    return grids.meshes["host"]


def test_a_host_names_a_variable_and_a_mask(two_grids):
    assert mesh_of(two_grids, variable="u").centre_lon[0] == 10.0
    ocean = mesh_of(two_grids, variable="t", mask="sea")
    assert ocean.centre_lon[0] == 5.0
    np.testing.assert_array_equal(ocean.mask, ocean.centre_lat < 0)


def test_a_file_with_two_grids_needs_the_variable(two_grids):
    with pytest.raises(DataError, match="several grids") as caught:
        mesh_of(two_grids)
    assert "variable" in caught.value.remedy
    with pytest.raises(DataError, match="has no variables"):
        mesh_of(Path("r36x18"), mask="sea")
