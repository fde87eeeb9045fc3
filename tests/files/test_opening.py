"""Files that are opened by the one module that opens netCDF for reading."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ai4land_coupler.api import DataError, open_netcdf
from ai4land_coupler.files.raw import open_raw
from ai4land_coupler.grids.files.read import read_mesh
from ai4land_coupler.regrid.weight_files.arrays import open_arrays

CLASSIC = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")


def write(path: Path, kind: str, cut: int = 0) -> Path:
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.createDimension("x", 1000)
        file.createVariable("a", "f8", ("x",))[:] = np.arange(1000.0)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    return path


@pytest.mark.parametrize("kind", [*CLASSIC, "NETCDF4"])
def test_whole_files_open(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "whole.nc", kind)
    with open_netcdf(path) as dataset:
        assert dataset["a"][-1] == 999.0
    with open_raw(path) as fields:
        assert fields["a"].values[-1] == 999.0
    with open_arrays(path) as arrays:
        assert arrays.read("a")[-1] == 999.0


@pytest.mark.parametrize("kind", CLASSIC)
def test_truncated_classic_files_are_refused_by_every_reader(tmp_path: Path, kind: str) -> None:
    """The netCDF library reads zeros from them without an error."""
    path = write(tmp_path / "cut.nc", kind, cut=4000)
    for reader in (open_netcdf, open_raw, open_arrays):
        with pytest.raises(DataError, match=r"cut\.nc"), reader(path) as opened:
            assert opened
    with pytest.raises(DataError, match="a grid file cannot be read as netCDF"):
        read_mesh(path)


def test_a_missing_file_is_named_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "states.nc", "NETCDF4")
    with (
        pytest.raises(DataError, match=r"a map is missing(.|\n)*states\.nc"),
        open_netcdf(tmp_path / "state.nc", what="a map"),
    ):
        pass
