"""`ai4land regrid`: packed, unsigned and missing values, categories, and attributes of the output."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from field_cases import LAT, LON, SHAPE, east, north, read, write
from weight_cases import exact, exact_file, meshes

from ai4land_coupler.api import DataError, FieldError
from ai4land_coupler.cli import cli
from ai4land_coupler.regrid.backends.yac import YacRegridder
from ai4land_coupler.regrid.files import regrid_file
from ai4land_coupler.regrid.weight_files.gather import gather_weights
from ai4land_coupler.regrid.weight_files.write import write_weights

COVERED = exact().sum(axis=1) > 0
VALUES = np.random.default_rng(4).integers(0, 251, SHAPE)
#: 30 % of the cells have no value.
ABSENT = np.random.default_rng(5).random(SHAPE) < 0.3


@pytest.fixture
def weights(tmp_path) -> Path:
    return write_weights(tmp_path / "weights.nc", exact_file())


def field(path: Path, values, attrs, kind: str = "NETCDF4", name: str = "t") -> Path:
    axes = {"lat": (("lat",), LAT, north()), "lon": (("lon",), LON, east())}
    variables = axes | {name: (("lat", "lon"), values, attrs)}
    return write(path, {"lat": SHAPE[0], "lon": SHAPE[1]}, kind, **variables)


def means(values: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Weighted means of the values that are there."""
    there = ~absent.ravel()
    known = exact() @ there
    with np.errstate(invalid="ignore"):
        return np.where(known > 0, exact() @ np.where(there, values.ravel(), 0.0) / known, np.nan)


def stored(kind: str, fill: float) -> np.ndarray:
    return np.where(ABSENT, fill, VALUES).astype(kind)


CASES = {
    "signed bytes that are unsigned": (stored("u1", 255).view("i1"), {"_FillValue": np.int8(-1), "_Unsigned": "true"}),
    "unsigned and packed": (
        stored("u1", 255).view("i1"),
        {"_FillValue": np.int8(-1), "_Unsigned": "true", "scale_factor": 0.005, "add_offset": -2.0},
    ),
    "scale as text": (stored("i2", -1), {"_FillValue": np.int16(-1), "scale_factor": "0.5"}),
    "missing value of another type": (stored("i2", -32768), {"_FillValue": np.int16(-32768), "missing_value": 1e20}),
    "missing value as text": (stored("f4", -999), {"missing_value": "-999"}),
    "a valid range": (stored("i2", 9999), {"valid_range": np.array([0, 300], "i2")}),
    "valid limits": (stored("f8", -5), {"valid_min": 0.0, "valid_max": 300.0}),
    "LUH2's attribute": (stored("f4", 1e20), {"_fillvalue": np.float32(1e20)}),
    "never written": (stored("f4", 9.969209968386869e36), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_stored_values_are_decoded_as_by_the_adapters(tmp_path, weights, case):
    values, attrs = CASES[case]
    regrid_file(weights, field(tmp_path / "in.nc", values, attrs), tmp_path / "out.nc")
    scale, offset = float(attrs.get("scale_factor", 1.0)), float(attrs.get("add_offset", 0.0))
    found = read(tmp_path / "out.nc", "t").ravel()
    single = values.dtype == np.float32
    np.testing.assert_allclose(found, means(VALUES * scale + offset, ABSENT), rtol=1e-6 if single else 1e-12)
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert set(file["t"].ncattrs()) == {"_FillValue", "cell_methods"}
        assert file["t"].dtype == (np.float32 if single else np.float64)
    # other libraries read the same numbers
    with xr.open_dataset(tmp_path / "out.nc") as other:
        np.testing.assert_array_equal(other.t.values.ravel(), found)


@pytest.mark.parametrize("name", ["flag_values", "flag_meanings"])
def test_categories_are_averaged_only_if_this_is_asked_for(tmp_path, weights, name):
    attrs = {"flag_values": np.array([11, 22, 55], "i2"), "flag_meanings": "urban crop grass"}
    codes = np.random.default_rng(1).choice([11, 22, 55], SHAPE).astype("i2")
    path = field(tmp_path / "in.nc", codes, {name: attrs[name]}, name="lc")
    with pytest.raises(FieldError, match="a mean of categories has no meaning") as caught:
        regrid_file(weights, path, tmp_path / "out.nc")
    assert "--method largest-share -v lc" in str(caught.value)
    assert not (tmp_path / "out.nc").exists()
    regrid_file(weights, path, tmp_path / "out.nc", rule="largest-share")
    assert set(np.unique(read(tmp_path / "out.nc", "lc")[:, :5])) <= {11, 22, 55}
    regrid_file(weights, path, tmp_path / "out.nc", rule="mean", overwrite=True)
    np.testing.assert_allclose(read(tmp_path / "out.nc", "lc").ravel(), means(codes, np.zeros(SHAPE, bool)), rtol=1e-12)
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert not set(file["lc"].ncattrs()) & set(attrs), "a mean is no code"


def test_the_command_tells_a_method_that_was_given_from_one_that_was_not(tmp_path, weights):
    path = field(tmp_path / "in.nc", np.ones(SHAPE, "i2"), {"flag_meanings": "one"}, name="lc")
    command = [str(part) for part in ("regrid", weights, path, tmp_path / "out.nc")]
    caught = CliRunner().invoke(cli, command).exception
    assert isinstance(caught, FieldError)
    for method in ("largest-share", "mean"):
        assert CliRunner().invoke(cli, [*command, "--method", method, "--overwrite"]).exit_code == 0


def test_each_value_of_nearest_weights_is_a_category(tmp_path):
    source, destination = meshes()
    file = gather_weights(
        YacRegridder().build(source, destination, "nearest"), source, destination, None, ((20, 12), (16, 10))
    )
    assert file is not None
    path = field(tmp_path / "in.nc", VALUES.astype("i2"), {"flag_meanings": "many"}, name="lc")
    regrid_file(write_weights(tmp_path / "w.nc", file), path, tmp_path / "out.nc")
    found = read(tmp_path / "out.nc", "lc").ravel()
    np.testing.assert_array_equal(found[file.row], VALUES.ravel()[file.col])
    with netCDF4.Dataset(tmp_path / "out.nc") as made:
        assert made["lc"].flag_meanings == "many"


def test_unsigned_categories_keep_their_codes(tmp_path, weights):
    codes = np.where(ABSENT, 255, np.random.default_rng(2).choice([3, 130, 250], SHAPE)).astype("u1")
    attrs = {"_Unsigned": "true", "_FillValue": np.int8(-1), "flag_meanings": "a b c"}
    path = field(tmp_path / "in.nc", codes.view("i1"), attrs, kind="NETCDF3_CLASSIC", name="lc")
    regrid_file(weights, path, tmp_path / "out.nc", rule="largest-share")
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert file["lc"].dtype == np.uint8
        assert file["lc"]._FillValue == 255
        found = file["lc"][:].filled(0).ravel()
    shares = np.stack([exact() @ (codes.ravel() == code) for code in (3, 130, 250)])
    expected = np.array([3, 130, 250])[np.argmax(np.round(shares, 11), axis=0)]
    np.testing.assert_array_equal(found, np.where(shares.sum(axis=0) > 0, expected, 0))


def test_a_category_that_means_missing_is_refused(tmp_path, weights):
    """255 is the value that netCDF takes for bytes that were not written."""
    path = field(tmp_path / "in.nc", np.full(SHAPE, 255, "u1"), {}, name="lc")
    with pytest.raises(DataError, match="equals the value that means a missing value"):
        regrid_file(weights, path, tmp_path / "out.nc", rule="largest-share")
    given = field(tmp_path / "given.nc", np.full(SHAPE, 255, "u1"), {"_FillValue": np.uint8(0)}, name="lc")
    regrid_file(weights, given, tmp_path / "out.nc", rule="largest-share")
    assert set(read(tmp_path / "out.nc", "lc").ravel()[COVERED]) == {255.0}


def test_names_of_the_input_and_of_the_new_grid_may_be_the_same(tmp_path, weights):
    """A variable called lat, other dimensions called lon and bnds: the new grid gets other names."""
    values = np.random.default_rng(7).random((3, *SHAPE))
    path = write(
        tmp_path / "in.nc",
        {"lon": 3, "y": SHAPE[0], "x": SHAPE[1], "bnds": 5},
        rows=(("y",), LAT, north()),
        columns=(("x",), LON, east()),
        lat=(("lon", "y", "x"), values, {"long_name": "lateral melt"}),
        melt=(("y", "x", "bnds"), np.ones((*SHAPE, 5)), {}),
    )
    for name in ("out.nc", "out.zarr"):
        regrid_file(weights, path, tmp_path / name, variables=["lat", "melt"])
        options = {"engine": "zarr", "consolidated": False} if name == "out.zarr" else {}
        with xr.open_dataset(tmp_path / name, **options) as found:
            assert found.lat.dims == ("lon", "lat_2", "lon_2")
            assert found.lat_2.dims == ("lat_2",)
            assert found.lat_2.attrs["bounds"] == "lat_bnds"
            assert found.lat_bnds.dims == ("lat_2", "bnds_2")
            assert found.melt.dims == ("lat_2", "lon_2", "bnds")
            flat = found.lat.values.reshape(3, -1)[:, COVERED]
            np.testing.assert_allclose(flat, (values.reshape(3, -1) @ exact("fraction").T)[:, COVERED], rtol=1e-12)
