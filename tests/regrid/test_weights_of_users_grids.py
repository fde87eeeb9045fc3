"""`ai4land weights` and `regrid` on grids as users bring them: what comes out, and what is told on screen."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner

from ai4land_coupler.cli import cli
from ai4land_coupler.regrid.weight_files.read import read_weights


def ai4land(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def write(path, dims, **variables):
    """Variables as (dims, values, attributes)."""
    with netCDF4.Dataset(path, "w") as file:
        for name, size in dims.items():
            file.createDimension(name, size)
        for name, (over, values, attrs) in variables.items():
            created = file.createVariable(name, np.asarray(values).dtype, over.split())
            created.setncatts(attrs)
            created[:] = values
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def test_data_at_the_corners_of_their_cells(folder):
    """As CDO 2.1.1: t[0:4, 0] is the sine of the middle latitude, and every destination cell is covered."""
    south, west = np.arange(-90.0, 90, 10), np.arange(0.0, 360, 10)
    path = write(
        folder / "in.nc",
        {"lat": 18, "lon": 36, "bnds": 2},
        lat=("lat", south, {"units": "degrees_north", "standard_name": "latitude", "bounds": "lat_bnds"}),
        lon=("lon", west, {"units": "degrees_east", "standard_name": "longitude", "bounds": "lon_bnds"}),
        lat_bnds=("lat bnds", np.stack([south, south + 10], axis=1), {}),
        lon_bnds=("lon bnds", np.stack([west, west + 10], axis=1), {}),
        t=("lat lon", np.repeat(np.sin(np.deg2rad(south + 5))[:, None], 36, axis=1), {}),
    )
    made = ai4land("weights", path, "r36x18", "-o", folder / "w.nc")
    assert made.exit_code == 0, made.output
    np.testing.assert_allclose(read_weights(folder / "w.nc").destination.fraction, 1.0, rtol=1e-12)
    assert ai4land("regrid", folder / "w.nc", path, folder / "out.nc").exit_code == 0
    with netCDF4.Dataset(folder / "out.nc") as file:
        np.testing.assert_allclose(file["t"][:4, 0], [-0.9962, -0.9659, -0.9063, -0.8192], atol=5e-5)


def test_repeated_cells_are_told_and_leave_no_gap(folder):
    """Halo columns and a repeated top row: 722 cells, of which 648 are different ones."""
    lat, lon = np.meshgrid(np.arange(-85.0, 90, 10), np.arange(-5.0, 370, 10), indexing="ij")
    lat, lon = np.concatenate([lat, lat[-1:]]), np.concatenate([lon, lon[-1:, ::-1]])
    path = write(
        folder / "in.nc",
        {"y": 19, "x": 38, "nv": 4},
        nav_lat=("y x", lat, {"units": "degrees_north", "bounds": "b_lat"}),
        nav_lon=("y x", lon, {"units": "degrees_east", "bounds": "b_lon"}),
        b_lat=("y x nv", lat[..., None] + np.array([-5, -5, 5, 5]), {}),
        b_lon=("y x nv", lon[..., None] + np.array([-5, 5, 5, -5]), {}),
    )
    made = ai4land("weights", path, "r36x18", "-o", folder / "w.nc")
    assert made.exit_code == 0, made.output
    assert "74 cells that repeat another one were masked" in made.output
    assert "74 of 722 cells are masked and take no part" in made.output
    np.testing.assert_allclose(read_weights(folder / "w.nc").destination.fraction, 1.0, rtol=1e-9)


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
def test_2d_centres_without_bounds(folder, method):
    """A sheared grid of about one degree; the field is linear in longitude and latitude."""
    y, x = np.meshgrid(np.arange(15), np.arange(20), indexing="ij")
    lat, lon = 40.0 + y, -10.5 + x + 0.1 * y
    path = write(
        folder / "in.nc",
        {"y": 15, "x": 20},
        XLAT=("y x", lat.astype("f4"), {"units": "degree_north"}),
        XLONG=("y x", lon.astype("f4"), {"units": "degree_east"}),
        T2=("y x", lon + 2 * lat, {"coordinates": "XLONG XLAT"}),
    )
    made = ai4land("weights", path, "r360x180", "-m", method, "--norm", "fraction", "-o", folder / "w.nc")
    assert made.exit_code == 0, made.output
    assert "corners in the middle of four centres" in made.output
    regridded = ai4land("regrid", folder / "w.nc", path, folder / "out.nc")
    assert regridded.exit_code == 0, regridded.output
    with netCDF4.Dataset(folder / "out.nc") as file:
        found = file["T2"][:]
        j, i = 135, np.r_[355:360, 0:6]  # 45.5 N, 5 W to 5 E: inside of the region
        expected = np.r_[-5:6] + 2 * 45.5
        np.testing.assert_allclose(
            found[j, i], expected, atol={"conservative": 0.1, "bilinear": 0.02, "nearest": 1.6}[method]
        )


@pytest.mark.parametrize("scheme", ["nested", "ring"])
def test_healpix_files_and_names(folder, scheme):
    """The latitude of each pixel, to the same pixels by name: nothing changes, in either order."""
    from ai4land_coupler.grids import read_mesh

    lat = read_mesh(f"hp4_{scheme}").centre_lat
    path = write(
        folder / "in.nc",
        {"cell": 192},
        crs=(
            "",
            np.int32(0),
            {"grid_mapping_name": "healpix", "refinement_level": np.int32(2), "indexing_scheme": scheme},
        ),
        tas=("cell", lat, {"grid_mapping": "crs"}),
    )
    for name, same in ((f"hp4_{scheme}", True), ("hp4_ring" if scheme == "nested" else "hp4_nested", False)):
        assert ai4land("weights", path, name, "-o", folder / f"{name}.nc").exit_code == 0
        assert ai4land("regrid", folder / f"{name}.nc", path, folder / f"out_{name}.nc").exit_code == 0
        with netCDF4.Dataset(folder / f"out_{name}.nc") as file:
            np.testing.assert_allclose(file["tas"][:], read_mesh(name).centre_lat, atol=1e-6)
            assert np.allclose(file["tas"][:], lat) is same


def test_healpix_data_in_the_other_order_than_the_weights_are_matched(folder):
    """Weights for the ring order, data in the nested order of the same pixels."""
    from ai4land_coupler.grids import read_mesh

    nested = read_mesh("hp4_nested")
    mapping = {"grid_mapping_name": "healpix", "refinement_level": np.int32(2), "indexing_scheme": "nested"}
    path = write(
        folder / "in.nc",
        {"cell": 192},
        crs=("", np.int32(0), mapping),
        tas=("cell", nested.centre_lat, {"grid_mapping": "crs"}),
    )
    assert ai4land("weights", "hp4_ring", "hp4_ring", "-o", folder / "w.nc").exit_code == 0
    done = ai4land("regrid", folder / "w.nc", path, folder / "out.nc")
    assert done.exit_code == 0, done.output
    assert "matched by their coordinates" in done.output.replace("\n", " ")
    with netCDF4.Dataset(folder / "out.nc") as file:
        np.testing.assert_allclose(file["tas"][:], read_mesh("hp4_ring").centre_lat, atol=1e-6)
