"""What messages advise works: the commands of a refusal are run as they stand, and the adapter reads what they make."""

from __future__ import annotations

import re
import shlex

import needs
import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner

from ai4land_coupler.api import GridError, LatLonGrid, Request, find_difference
from ai4land_coupler.cli import cli
from ai4land_netcdf.options import NetcdfOptions
from ai4land_netcdf.plugin import netcdf

needs.yac()

ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}


def share(lat):
    """A field that changes slowly, from 0 to 1."""
    return 0.5 + 0.5 * np.sin(np.deg2rad(lat))


def write(path, y, x, values, mapping=None):
    """A file of one variable; ``y``, ``x``: name, values and attributes of its axes."""
    with netCDF4.Dataset(path, "w") as ds:
        for name, centres, attributes in (y, x):
            ds.createDimension(name, centres.size)
            ds.createVariable(name, "f8", (name,))[:] = centres
            ds[name].setncatts(attributes)
        ds.createVariable("share", "f8", (y[0], x[0]))[:] = values
        ds["share"].units = "1"
        if mapping:
            ds.createVariable("crs", "i4", ()).setncatts(mapping)
            ds["share"].grid_mapping = "crs"


def follow(error):
    """Run the commands of a refusal."""
    for command in re.findall(r"`ai4land ([^`]*)`", str(error.value)):
        result = CliRunner().invoke(cli, shlex.split(command))
        assert result.exit_code == 0, result.output


def adapter_of(path):
    return netcdf(NetcdfOptions(path=path, variables={"x": {"name": "share", "kind": "fraction"}}))


def test_a_rotated_grid_and_gaussian_latitudes_are_regridded_as_advised(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rlat, rlon = np.arange(-3, 3, 0.2), np.arange(-3, 3, 0.2)  # square
    # the true latitude of a rotated point: CF conventions, appendix F
    phi, turn = np.deg2rad(rlat)[:, None], np.deg2rad(rlon)[None, :]
    tilt = np.deg2rad(90 - 39.25)
    lat = np.rad2deg(np.arcsin(np.sin(phi) * np.cos(tilt) + np.cos(phi) * np.cos(turn) * np.sin(tilt)))
    units = {"units": "degrees"}
    degrees = [{"units": f"degrees_{side}"} for side in ("north", "east")]
    wanted = LatLonGrid(-20.0, 0.5, 100, 65.0, -0.5, 60)
    write(tmp_path / "GRID.nc", ("lat", wanted.lat, degrees[0]), ("lon", wanted.lon, degrees[1]), 0.0)
    y, x = (
        (dim, values, {**units, "standard_name": f"grid_{name}"})
        for dim, values, name in (("y", rlat, "latitude"), ("x", rlon, "longitude"))
    )
    write(tmp_path / "FILE.nc", y, x, share(lat), ROTATED)
    with pytest.raises(GridError, match="rotated_latitude_longitude") as error:
        adapter_of(tmp_path / "FILE.nc")
    follow(error)
    adapter = adapter_of(tmp_path / "NEW.nc")
    assert find_difference(adapter.grid(), wanted) == ""
    inside = LatLonGrid(16.0, 0.5, 8, 52.0, -0.5, 5)  # the pole of the grid is turned to 18 E, 50.75 N
    found = adapter.read(Request(("x",), inside)).x.values
    np.testing.assert_allclose(found, np.broadcast_to(share(inside.lat)[:, None], found.shape), atol=2e-3)

    for name in ("FILE.nc", "NEW.nc", "w.nc"):
        (tmp_path / name).unlink()
    lat = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(96)[0]))  # a Gaussian grid
    lon = np.arange(0, 360, 5.0)
    values = np.broadcast_to(share(lat)[:, None], (lat.size, lon.size))
    y, x = ("lat", lat, degrees[0]), ("lon", lon, degrees[1])
    write(tmp_path / "FILE.nc", y, x, values)
    with pytest.raises(GridError, match="not evenly spaced") as error:
        adapter_of(tmp_path / "FILE.nc")
    follow(error)
    grid = LatLonGrid(-10.0, 0.5, 4, 60.0, -0.5, 6)
    found = adapter_of(tmp_path / "NEW.nc").read(Request(("x",), grid)).x.values
    np.testing.assert_allclose(found, np.broadcast_to(share(grid.lat)[:, None], found.shape), atol=1e-2)
