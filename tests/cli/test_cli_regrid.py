"""`ai4land weights` and `ai4land regrid`, compared with CDO, NCO, xESMF and exact solutions."""

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import needs
import netCDF4
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from ranks import environment, launcher
from weight_cases import DESTINATION, SOURCE, exact, exact_file

from ai4land_coupler.api import Ai4LandError, ConfigError, DataError, FieldError, GridError, RunError
from ai4land_coupler.cli import cli
from ai4land_coupler.regrid.files import applying, regrid_file
from ai4land_coupler.regrid.weight_files.read import read_weights
from ai4land_coupler.regrid.weight_files.write import write_weights

SHAPE = (SOURCE.nlat, SOURCE.nlon)


def ai4land(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def source_data(path: Path, **variables) -> Path:
    """A file on the source grid: variables as (dims, values, attributes)."""
    dataset = xr.Dataset(
        {name: (dims, values, attrs) for name, (dims, values, attrs) in variables.items()},
        {
            "lat": ("lat", SOURCE.lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", SOURCE.lon, {"units": "degrees_east", "standard_name": "longitude"}),
        },
        {"title": "test data", "history": "made by a test"},
    )
    encoding = {name: {"_FillValue": None} for name in ("lat", "lon")}
    if path.suffix == ".zarr":
        dataset.to_zarr(path, encoding=encoding, consolidated=False)
    else:
        dataset.to_netcdf(path, encoding=encoding)
    return path


@pytest.fixture
def weights(tmp_path) -> Path:
    return write_weights(tmp_path / "weights.nc", exact_file())


# ---- values -------------------------------------------------------------------------------------------------------


def test_fields_are_weighted_means_and_metadata_stay(tmp_path, weights, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, *SHAPE, 2)).astype(np.float32)
    packed = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    path = source_data(
        tmp_path / "in.nc",
        x=(
            ("time", "lat", "lon", "level"),
            values,
            {"units": "K", "standard_name": "air_temperature", "comment": "kept"},
        ),
        p=(("lat", "lon"), packed, {"scale_factor": 0.5, "add_offset": 10.0}),
        series=(("time",), np.arange(3), {"units": "1"}),
        name=((), "a text", {}),
    )
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("bnds", 2)
        file.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = [[0, 1], [1, 2], [2, 3]]
        time = file.createVariable("time", "f8", ("time",))
        time[:] = [0.5, 1.5, 2.5]
        time.setncatts({"units": "years since 850-01-01", "calendar": "noleap", "bounds": "time_bnds"})
    monkeypatch.setattr(applying, "_SLICE", 1)  # one field at a time
    assert sorted(regrid_file(weights, path, tmp_path / "out.nc")) == ["p", "x"]
    covered = exact().sum(axis=1) > 0
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        x, p = file["x"], file["p"]
        assert x.dimensions == ("time", "lat", "lon", "level")
        assert (x.units, x.standard_name, x.comment, x.cell_methods) == ("K", "air_temperature", "kept", "area: mean")
        assert x.dtype == np.float32
        expected = np.einsum("ds,tsl->tdl", exact("fraction"), values.reshape(3, -1, 2).astype(float))
        np.testing.assert_allclose(x[:].reshape(3, -1, 2)[:, covered], expected[:, covered], rtol=1e-6, atol=1e-6)
        assert x[:].mask.reshape(3, -1, 2)[:, ~covered].all()
        expected = exact("fraction") @ (packed.ravel() * 0.5 + 10.0)
        np.testing.assert_allclose(p[:].ravel()[covered], expected[covered], rtol=1e-13)
        assert not hasattr(p, "scale_factor")
        assert file["time"].units == "years since 850-01-01"
        assert file["time"].bounds == "time_bnds"
        np.testing.assert_array_equal(file["time_bnds"][:], [[0, 1], [1, 2], [2, 3]])
        np.testing.assert_array_equal(file["series"][:], np.arange(3))
        assert file["name"][...] == "a text"
        np.testing.assert_allclose(file["lat"][:], DESTINATION.lat, atol=1e-12)
        np.testing.assert_allclose(np.mod(file["lon"][:] - DESTINATION.lon + 180, 360), 180, atol=1e-12)
        bounds = file["lat_bnds"][:]
        np.testing.assert_allclose(bounds[:, 0], DESTINATION.lat_edges[:-1], atol=1e-12)
        np.testing.assert_allclose(bounds[:, 1], DESTINATION.lat_edges[1:], atol=1e-12)
        np.testing.assert_allclose(np.diff(file["lon_bnds"][:], axis=1), 22.5, atol=1e-12)
        assert file.title == "test data"
        assert "made by a test" in file.history
        assert "ai4land regrid weights.nc in.nc" in file.history


@pytest.mark.parametrize(("store", "to"), [("in.zarr", "out.nc"), ("in.nc", "out.zarr"), ("in.zarr", "out.zarr")])
def test_zarr_is_read_and_written(tmp_path, weights, store, to):
    values = np.random.default_rng(0).normal(size=(2, *SHAPE))
    values[1, :4] = np.nan
    path = source_data(tmp_path / store, x=(("time", "lat", "lon"), values, {"units": "1"}))
    regrid_file(weights, path, tmp_path / to)
    regrid_file(
        weights, source_data(tmp_path / "same.nc", x=(("time", "lat", "lon"), values, {})), tmp_path / "same_out.nc"
    )
    engine = {"engine": "zarr", "consolidated": False} if to.endswith("zarr") else {}
    with xr.open_dataset(tmp_path / to, **engine) as found, xr.open_dataset(tmp_path / "same_out.nc") as expected:
        np.testing.assert_array_equal(found.x.values, expected.x.values)
        np.testing.assert_array_equal(found.lat_bnds.values, expected.lat_bnds.values)
        assert found.x.dims == ("time", "lat", "lon")
        assert found.x.units == "1"


@pytest.mark.parametrize("missing", ["renormalise", "conserve", "spread"])
@pytest.mark.parametrize("fill", [np.nan, -999.0, 1e20])
def test_missing_values(tmp_path, weights, missing, fill):
    rng = np.random.default_rng(2)
    values, absent = rng.normal(size=SHAPE), rng.random(SHAPE) < 0.3
    stored = np.where(absent, fill, values)
    attrs = {} if np.isnan(fill) else {"missing_value": fill}
    path = source_data(tmp_path / "in.nc", x=(("lat", "lon"), stored, attrs))
    regrid_file(weights, path, tmp_path / "out.nc", missing=missing)
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        found = file["x"][:].filled(np.nan).ravel()
    dense, there = exact(), ~absent.ravel()
    known = dense @ there
    sums = dense @ np.where(there, values.ravel(), 0.0)
    with np.errstate(invalid="ignore"):
        expected = {
            "renormalise": np.where(known > 0, sums / known, np.nan),
            "conserve": np.where(known > 0, sums, np.nan),
            "spread": np.where((known > 0) & ((dense > 0) @ absent.ravel() == 0), sums / known, np.nan),
        }[missing]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    if missing == "conserve":
        area = exact_file()
        assert np.nansum(found * area.destination.area) == pytest.approx((values * ~absent).ravel() @ area.source.area)


def test_a_cell_needs_its_share_of_values(tmp_path, weights):
    values = np.ones(SHAPE)
    values[::2] = np.nan
    path = source_data(tmp_path / "in.nc", x=(("lat", "lon"), values, {}))
    known = exact() @ np.isfinite(values).ravel()
    for share in (0.3, 0.6, 1.0):
        regrid_file(weights, path, tmp_path / "out.nc", min_share=share, overwrite=True)
        with netCDF4.Dataset(tmp_path / "out.nc") as file:
            np.testing.assert_array_equal(file["x"][:].mask.ravel(), known < share - 1e-12)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32])
def test_largest_share_and_smaller_code_if_shares_are_equal(tmp_path, weights, kind):
    rng = np.random.default_rng(5)
    codes = rng.choice([11, 22, 44, 77], SHAPE).astype(kind)
    codes[:3] = 99
    attrs = {"missing_value": kind(99), "flag_values": np.array([11, 22, 44, 77], kind), "flag_meanings": "a b c d"}
    path = source_data(tmp_path / "in.nc", lc=(("lat", "lon"), codes, attrs))
    regrid_file(weights, path, tmp_path / "out.nc", rule="largest-share")
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        found = file["lc"]
        assert found.dtype == kind
        assert (found.flag_meanings, found.cell_methods) == ("a b c d", "area: mode")
        values = found[:].filled(0).ravel()
    shares = np.stack([exact() @ (codes.ravel() == code) for code in (11, 22, 44, 77)])
    expected = np.array([11, 22, 44, 77])[np.argmax(np.round(shares, 11), axis=0)]
    np.testing.assert_array_equal(values, np.where(shares.sum(axis=0) > 0, expected, 0))


def test_a_grid_of_cells_and_a_curvilinear_one(tmp_path):
    file = exact_file()
    listed = replace(file.destination, dims=(file.destination.size,))
    turned = replace(file.destination, centre_lat=file.destination.centre_lat + np.linspace(0, 1, 160))
    path = source_data(tmp_path / "in.nc", x=(("lat", "lon"), np.ones(SHAPE), {}))
    regrid_file(write_weights(tmp_path / "l.nc", replace(file, destination=listed)), path, tmp_path / "cells.nc")
    regrid_file(write_weights(tmp_path / "t.nc", replace(file, destination=turned)), path, tmp_path / "curved.nc")
    with netCDF4.Dataset(tmp_path / "cells.nc") as cells, netCDF4.Dataset(tmp_path / "curved.nc") as curved:
        assert cells["x"].dimensions == ("cell",)
        assert (cells["x"].coordinates, cells["x"].CDI_grid_type) == ("lat lon", "unstructured")
        assert cells["lat_bnds"].dimensions == ("cell", "vertices")
        assert curved["x"].dimensions == curved["lat"].dimensions == ("y", "x")
        np.testing.assert_array_equal(curved["lat"][:].ravel(), turned.centre_lat)
        np.testing.assert_array_equal(cells["x"][:], curved["x"][:].ravel())


@pytest.mark.real_data
def test_ocean_grid_with_a_fold_keeps_its_integral(tmp_path, sample_data):
    """ORCA2: duplicate cells are masked once, and land is missing. The heat of all other cells is conserved."""
    ocean = sample_data / "grids" / "orca2_votemper.nc"
    made = ai4land("weights", ocean, "r72x36", "-o", tmp_path / "w.nc")
    assert made.exit_code == 0, made.output
    regrid_file(tmp_path / "w.nc", ocean, tmp_path / "out.nc", missing="conserve")
    file = read_weights(tmp_path / "w.nc")
    with netCDF4.Dataset(ocean) as before, netCDF4.Dataset(tmp_path / "out.nc") as after:
        stored = before["votemper"][:].astype(float)
        found = after["votemper"]
        assert found.dimensions == ("lat", "lon")
        assert found.coordinates.split() == ["deptht", "time_counter"]
        there = file.source.area.reshape(stored.shape) * file.source.fraction.reshape(stored.shape)
        heat = (stored.filled(0.0) * there).sum()
        assert (found[:].filled(0.0).ravel() * file.destination.area).sum() == pytest.approx(heat, rel=1e-6)
        assert 0.55 < ((stored.filled(0.0) != 0) * there).sum() / (4 * np.pi) < 0.75, "the share of the ocean"


# ---- refused input ------------------------------------------------------------------------------------------------


def test_variables_that_cannot_be_regridded_are_refused(tmp_path, weights):
    here = source_data(tmp_path / "in.nc", x=(("lat", "lon"), np.ones(SHAPE), {}), s=(("n",), np.ones(3), {}))
    cases = {
        "has no such variable": (FieldError, {"variables": ["xx"]}),
        "does not lie on the source grid": (FieldError, {"variables": ["s"]}),
        "the output exists": (ConfigError, {"output": here}),
        "unknown ending": (ConfigError, {"output": tmp_path / "out.grib"}),
        "the input is missing": (DataError, {"source": tmp_path / "none.nc"}),
        "cannot be read as netCDF": (DataError, {"source": Path(__file__)}),
        "holds no regrid weights": (DataError, {"weights": here}),
        "a share is out of range": (ConfigError, {"min_share": 2.0}),
    }
    for message, (kind, change) in cases.items():
        arguments = {"weights": weights, "source": here, "output": tmp_path / "out.nc"} | change
        with pytest.raises(kind, match=message):
            regrid_file(**arguments)
        assert not (tmp_path / "out.nc").exists()
    assert not list(tmp_path.glob("*.aside"))


@pytest.mark.parametrize("name", ["out.nc", "out.zarr"])
def test_full_disk_and_damaged_input_are_reported(tmp_path, weights, name):
    values = np.random.default_rng(0).normal(size=(50, *SHAPE))
    path = source_data(tmp_path / "in.nc", x=(("time", "lat", "lon"), values, {}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # files cannot grow, as on a full disk
        with pytest.raises(RunError, match="regridded fields cannot be written"):
            regrid_file(weights, path, tmp_path / name)
        with pytest.raises(RunError, match="regrid weights cannot be written"):
            write_weights(tmp_path / f"w_{name}", exact_file())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("y", "f8", ("time", "lat", "lon"), zlib=True, fletcher32=True)[:] = values
    content = bytearray(path.read_bytes())
    content[-3000:-2000] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(DataError, match="the input cannot be read") as caught:
        regrid_file(weights, path, tmp_path / name, variables=["y"])
    assert "in.nc, y" in str(caught.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.nc", "weights.nc"]


def test_a_mean_of_categories_and_the_largest_share_of_a_mean_are_refused(tmp_path, weights):
    path = source_data(tmp_path / "in.nc", x=(("lat", "lon"), np.random.default_rng(0).random(SHAPE), {}))
    with pytest.raises(FieldError, match="are no categories"):
        regrid_file(weights, path, tmp_path / "out.nc", rule="largest-share")
    bilinear = write_weights(tmp_path / "b.nc", exact_file("fraction", "bilinear"))
    with pytest.raises(FieldError, match="needs the areas"):
        regrid_file(bilinear, path, tmp_path / "out.nc", rule="largest-share")


# ---- the commands -------------------------------------------------------------------------------------------------


def test_from_grids_to_a_regridded_file(tmp_path):
    done = ai4land("weights", "r36x18", "r20x10", "-o", tmp_path / "w.nc")
    assert done.exit_code == 0, done.output
    assert "w.nc" in done.output
    file = read_weights(tmp_path / "w.nc")
    assert (file.source.dims, file.destination.dims) == ((36, 18), (20, 10))
    assert (file.method, file.norm) == ("conservative", "destination")
    # -5 E is the edge of the first cell of r36x18: CDO has its centre at 0
    np.testing.assert_allclose([file.source.centre_lon[0], file.source.centre_lat[0]], [0, -85], atol=1e-12)
    np.testing.assert_allclose(np.bincount(file.row, file.values), 1, rtol=1e-12)
    lat, lon = np.meshgrid(np.arange(-85, 90, 10.0), np.arange(0, 360, 10.0), indexing="ij")
    xr.Dataset(
        {"x": (("lat", "lon"), np.sin(np.deg2rad(lat)), {})},
        {"lat": ("lat", lat[:, 0], {"units": "degrees_north"}), "lon": ("lon", lon[0], {"units": "degrees_east"})},
    ).to_netcdf(tmp_path / "in.nc")
    done = ai4land("regrid", tmp_path / "w.nc", tmp_path / "in.nc", tmp_path / "out.nc", "-v", "x")
    assert done.exit_code == 0, done.output
    with netCDF4.Dataset(tmp_path / "out.nc") as made:
        area = file.destination.area.reshape(10, 20)
        assert abs((made["x"][:] * area).sum()) < 1e-13
        np.testing.assert_allclose(made["x"][:], np.repeat(made["x"][:, :1], 20, axis=1), atol=1e-14)


def test_weights_are_converted_to_zarr_and_back(tmp_path, weights):
    assert ai4land("weights", "--from", weights, "-o", tmp_path / "w.zarr").exit_code == 0
    done = ai4land("weights", "--from", tmp_path / "w.zarr", "--format", "scrip", "-o", tmp_path / "s.nc")
    assert done.exit_code == 0
    np.testing.assert_array_equal(read_weights(tmp_path / "s.nc").values, exact_file().values)


def test_grids_are_added_to_links(tmp_path, world):
    """xESMF writes links only, which fit any two grids that are large enough."""
    made = ai4land("weights", "r72x36", "r48x24", "-o", tmp_path / "w.nc")
    assert made.exit_code == 0, made.output
    ai4land("weights", "--from", tmp_path / "w.nc", "--format", "basic", "-o", tmp_path / "basic.nc")
    with pytest.raises(GridError, match="do not tell the size"):
        regrid_file(tmp_path / "basic.nc", world, tmp_path / "out.nc")
    given = ("--backend", "file", "--option", f"path={tmp_path / 'basic.nc'}")
    done = ai4land("weights", "r72x36", "r48x24", *given, "-o", tmp_path / "full.nc")
    assert done.exit_code == 0, done.output
    for name in ("w", "full"):
        regrid_file(tmp_path / f"{name}.nc", world, tmp_path / f"{name}_out.nc")
    with netCDF4.Dataset(tmp_path / "w_out.nc") as one, netCDF4.Dataset(tmp_path / "full_out.nc") as other:
        np.testing.assert_array_equal(one["x"][:], other["x"][:])
        np.testing.assert_array_equal(one["lat"][:], other["lat"][:])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("weights", "r36x18", "-o", "w.nc"), "two grids are needed"),
        (("weights", "r36x18", "nowhere.nc", "-o", "w.nc"), "a grid file is missing"),
        (("weights", "r36x18", "r20x10", "-o", "w.txt"), "unknown ending"),
        (("weights", "r36x18", "r20x10", "-o", "w.nc", "--backend", "none"), "no plugin offers the regridder 'none'"),
        (("weights", "r36x18", "r20x10", "-o", "w.nc", "--option", "x"), "an option is malformed"),
        (("weights", "--from", "none.nc", "-o", "w.nc"), "a file is missing"),
        (("weights", "--from", "none.nc", "r36x18", "-o", "w.nc"), "give two grids, or --from"),
    ],
)
def test_bad_input_ends_with_exit_code_2(tmp_path, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    caught = ai4land(*arguments).exception
    assert isinstance(caught, Ai4LandError)
    assert error in str(caught)
    assert caught.exit_code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.mpi
def test_two_ranks_write_the_same_file_as_one(tmp_path):
    one = ai4land("weights", "r36x18", "ico1", "-o", tmp_path / "one.nc", "--norm", "fraction")
    assert one.exit_code == 0, one.output
    command = [launcher(), "--oversubscribe", "-n", "2", sys.executable, "-m", "ai4land_coupler.cli", "weights"]
    done = subprocess.run(
        [*command, "r36x18", "ico1", "-o", str(tmp_path / "two.nc"), "--norm", "fraction"],
        env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    files = [read_weights(tmp_path / f"{name}.nc") for name in ("one", "two")]
    np.testing.assert_array_equal(files[0].row, files[1].row)
    np.testing.assert_array_equal(files[0].col, files[1].col)
    np.testing.assert_allclose(files[0].values, files[1].values, rtol=1e-14)
    np.testing.assert_allclose(files[0].source.fraction, files[1].source.fraction, rtol=1e-13)
    # The second time, the file exists: one message about bad input, and no rank waits for ever.
    again = subprocess.run(
        [*command, "r36x18", "ico1", "-o", str(tmp_path / "two.nc")],
        env=environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert again.stderr.count("the output exists") == 1


# ---- other programs -----------------------------------------------------------------------------------------------


def program(name: str, *arguments: object) -> None:
    done = subprocess.run([needs.program(name), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def world(tmp_path) -> Path:
    """A smooth field on r72x36, float64."""
    lat, lon = np.meshgrid(np.arange(-87.5, 90, 5.0), np.arange(0, 360, 5.0), indexing="ij")
    values = np.stack([np.sin(np.deg2rad(lat)) + k * np.cos(np.deg2rad(2 * lon)) for k in range(3)])
    xr.Dataset(
        {"x": (("time", "lat", "lon"), values, {})},
        {
            "time": ("time", np.arange(3.0), {"units": "days since 2000-01-01", "standard_name": "time"}),
            "lat": ("lat", lat[:, 0], {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", lon[0], {"units": "degrees_east", "standard_name": "longitude"}),
        },
    ).to_netcdf(tmp_path / "world.nc", encoding={"x": {"_FillValue": None}})
    return tmp_path / "world.nc"


@pytest.mark.parametrize("grid", ["r48x24", "scrip_T42.nc", "scrip_ne30pg2.nc"])
@pytest.mark.parametrize("tool", ["cdo", "ncks"])
def test_cdo_and_nco_use_our_weights(tmp_path, request, world, tool, grid):
    if grid.endswith(".nc"):
        grid = str(request.getfixturevalue("sample_data") / "grids" / grid)
    layout = "scrip" if tool == "cdo" else "esmf"
    made = ai4land("weights", "r72x36", grid, "-o", tmp_path / "w.nc", "--format", layout)
    assert made.exit_code == 0, made.output
    regrid_file(tmp_path / "w.nc", world, tmp_path / "ours.nc")
    if tool == "cdo":
        program("cdo", "-O", "-b", "F64", f"remap,{grid},{tmp_path / 'w.nc'}", world, tmp_path / "theirs.nc")
    else:
        program("ncks", "-O", "--map", tmp_path / "w.nc", world, tmp_path / "theirs.nc")
    with netCDF4.Dataset(tmp_path / "ours.nc") as ours, netCDF4.Dataset(tmp_path / "theirs.nc") as theirs:
        first, second = (file["x"][:].filled(np.nan).reshape(3, -1) for file in (ours, theirs))
    assert first.std() > 0.5
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-10)


XESMF = """
import netCDF4, esmpy
import sys, numpy as np, xarray as xr, xesmf
source, weights, output, shape = sys.argv[1], sys.argv[2], sys.argv[3], tuple(map(int, sys.argv[4].split("x")))
data = xr.open_dataset(source, decode_times=False)
grid = xr.Dataset({"lat": ("lat", np.linspace(-1, 1, shape[0])), "lon": ("lon", np.arange(float(shape[1])))})
regridder = xesmf.Regridder(data, grid, "bilinear", weights=weights)
regridder(data.x).to_dataset(name='x').to_netcdf(output)
if len(sys.argv) > 5:
    regridder.to_netcdf(sys.argv[5])
"""


def test_xesmf_uses_our_weights_and_we_use_its(tmp_path, world):
    """Uses xESMF in the Python AI4LAND_XESMF_PYTHON, or in the one that runs the tests."""
    python = os.environ.get("AI4LAND_XESMF_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import netCDF4, xesmf"], capture_output=True, check=False).returncode:
        needs.missing("the package xesmf", "conda-forge: xesmf; or AI4LAND_XESMF_PYTHON names a Python that has it")
    made = ai4land("weights", "r72x36", "r48x24", "-o", tmp_path / "w.nc")
    assert made.exit_code == 0, made.output
    regrid_file(tmp_path / "w.nc", world, tmp_path / "ours.nc")
    done = subprocess.run(
        [python, "-c", XESMF, world, tmp_path / "w.nc", tmp_path / "theirs.nc", "24x48", tmp_path / "basic.nc"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with netCDF4.Dataset(tmp_path / "ours.nc") as ours, netCDF4.Dataset(tmp_path / "theirs.nc") as theirs:
        np.testing.assert_allclose(ours["x"][:], theirs["x"][:], rtol=0, atol=1e-10)
    back, first = read_weights(tmp_path / "basic.nc"), read_weights(tmp_path / "w.nc")
    np.testing.assert_array_equal(back.row, first.row)
    np.testing.assert_allclose(back.values, first.values, rtol=0, atol=1e-15)


# ---- grids of a file ----------------------------------------------------------------------------------------------


@pytest.fixture
def two_grids(tmp_path) -> Path:
    """A file with the points of t and those of u, half a cell farther east; the north of t is masked by `sea`."""
    with netCDF4.Dataset(tmp_path / "two.nc", "w") as file:
        for name, first in (("t", 5.0), ("u", 10.0)):
            for axis, values, units in (
                ("lat", np.arange(-80.0, 81, 10), "degrees_north"),
                ("lon", np.arange(first, 360, 10), "degrees_east"),
            ):
                file.createDimension(f"{axis}_{name}", values.size)
                made = file.createVariable(f"{axis}_{name}", "f8", (f"{axis}_{name}",))
                made[:], made.units = values, units
            file.createVariable(f"v{name}", "f8", (f"lat_{name}", f"lon_{name}"))[:] = 1.0
        file.createVariable("sea", "i4", ("lat_t", "lon_t"))[:] = np.arange(17)[:, None] < 9
    return tmp_path / "two.nc"


def test_a_variable_selects_one_grid_of_a_file_and_a_mask_its_cells(tmp_path, two_grids):
    refused = ai4land("weights", two_grids, "r36x18", "-o", tmp_path / "w.nc").exception
    assert isinstance(refused, DataError)
    assert "--variable" in str(refused.remedy)
    for options, side, lon, masked in (
        (("--variable", "vu"), "source", 10.0, 0),
        (("-v", "vt", "--mask", "sea"), "source", 5.0, 8 * 36),
        (("--source-variable", "vt", "--source-mask", "sea"), "source", 5.0, 8 * 36),
        (("--variable", "vu"), "destination", 10.0, 0),
        (("--destination-variable", "vt", "--destination-mask", "sea"), "destination", 5.0, 8 * 36),
    ):
        grids = (two_grids, "r36x18") if side == "source" else ("r36x18", two_grids)
        done = ai4land("weights", *grids, *options, "-o", tmp_path / "w.nc", "--overwrite")
        assert done.exit_code == 0, (done.output, done.exception)
        grid = getattr(read_weights(tmp_path / "w.nc"), side)
        assert grid.centre_lon[0] == lon
        assert (grid.mask == 0).sum() == masked
        assert (f"{masked} of 612 cells are masked and take no part" in done.output) == (masked > 0)
    both = ai4land("weights", two_grids, two_grids, "--variable", "vt", "-o", tmp_path / "both.nc")
    assert isinstance(both.exception, ConfigError)
    assert "--source-variable" in str(both.exception)
    given = ("--source-variable", "vt", "--destination-variable", "vu")
    assert ai4land("weights", two_grids, two_grids, *given, "-o", tmp_path / "both.nc").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("two.nc", "r36x18", "--variable", "vz"), "lacks a variable"),
        (("two.nc", "r36x18", "--variable", "vt", "--mask", "see"), "lacks a variable"),
        (("r36x18", "r20x10", "--mask", "sea"), "not clear for which grid"),
        (("r36x18", "r20x10", "--source-mask", "sea"), "a grid without a file has no variables"),
    ],
)
def test_variables_and_masks_that_do_not_exist_are_refused(tmp_path, two_grids, monkeypatch, arguments, error):
    monkeypatch.chdir(tmp_path)
    caught = ai4land("weights", *arguments, "-o", "w.nc").exception
    assert isinstance(caught, Ai4LandError)
    assert error in str(caught)
    assert caught.exit_code == 2


def test_what_was_changed_in_a_grid_is_printed(tmp_path):
    """A region without bounds: the notes, and the cells that get no value."""
    path = source_data(tmp_path / "in.nc", x=(("lat", "lon"), np.ones(SHAPE), {}))
    done = ai4land("weights", path, "r36x18", "-o", tmp_path / "w.nc")
    assert done.exit_code == 0, done.output
    assert f"source {path}: lat: edges half-way between equal steps" in done.output
    file = read_weights(tmp_path / "w.nc")
    empty = 648 - np.unique(file.row).size
    assert (f"{empty} of 648 cells that take part get no value" in done.output) == (empty > 0)
