"""Decoding of stored values against xarray, netCDF4 and values worked by hand."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.cf_values import decode_codes, decode_values
from ai4land_coupler.files.netcdf import open_netcdf, read_native_values
from ai4land_coupler.files.raw import open_raw

NAN = np.nan


@pytest.mark.parametrize(
    ("stored", "attributes", "expected"),
    [
        (np.int8([-1, -128, 100]), {"_Unsigned": "true", "scale_factor": 0.01}, [2.55, 1.28, 1.0]),
        (np.int8([-1, 5]), {"_Unsigned": "true", "_FillValue": np.int8(-1), "scale_factor": 0.005}, [NAN, 0.025]),
        (np.int8([-1, 5]), {"_Unsigned": "true", "_FillValue": np.uint8(255)}, [NAN, 5]),
        (np.int8([-1, -6, 5]), {"_Unsigned": "true", "valid_max": np.int8(-6)}, [NAN, 250, 5]),
        (np.uint8([255, 5]), {"_Unsigned": "false"}, [-1, 5]),
        (np.int16([10, -9999]), {"scale_factor": 0.1, "missing_value": -9999.0}, [1.0, NAN]),
        (np.int16([10, 25]), {"scale_factor": 0.1, "missing_value": 2.5}, [1.0, NAN]),  # 2.5 is no stored integer
        (np.int16([10, -32768]), {"scale_factor": 0.1, "_FillValue": -32768, "missing_value": 1e20}, [1.0, NAN]),
        (np.int16([10, 20]), {"scale_factor": "0.1", "add_offset": "1"}, [2.0, 3.0]),
        (np.int16([10, 20]), {"missing_value": "20"}, [10, NAN]),
        (np.int16([10, 20, 30]), {"missing_value": np.int16([10, 30])}, [NAN, 20, NAN]),
        (np.int16([0, 3513, 20000]), {"scale_factor": 1e-4, "valid_range": np.array([0.0, 1.0])}, [0, 0.3513, NAN]),
        (np.int16([0, 3513, 20000]), {"scale_factor": 1e-4, "valid_range": np.int16([0, 10000])}, [0, 0.3513, NAN]),
        (np.float32([0.1, 0.2]), {"valid_max": 0.1}, [0.1, NAN]),
        (np.float32([-1, 0.2]), {"valid_min": 0.0}, [NAN, 0.2]),
        (np.float32([1e20, 9.96921e36, 0.5]), {}, [NAN, NAN, 0.5]),
        (np.float32([-9999, 0.5]), {"missing_value": -9999}, [NAN, 0.5]),
        (np.float32([np.inf, 0.5]), {}, [np.inf, 0.5]),
        (np.int16([-32767, 4]), {}, [NAN, 4]),
        (np.int8([-127, 4]), {}, [-127, 4]),
        (np.array([True, False]), {}, [1, 0]),
    ],
)  # fmt: skip
def test_values_worked_by_hand(stored, attributes, expected):
    for order in ("<", ">"):
        found = decode_values(stored.astype(stored.dtype.newbyteorder(order)), attributes)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        codes = decode_codes(stored, attributes)
        np.testing.assert_allclose(
            np.ma.filled(codes.astype(float), NAN), np.where(np.isinf(expected), NAN, expected), rtol=1e-6
        )


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"scale_factor": "one tenth"}, "scale_factor is no number"),
        ({"scale_factor": 0.0}, "cannot be unpacked"),
        ({"add_offset": np.nan}, "cannot be unpacked"),
        ({"missing_value": "none"}, "missing_value is no number"),
        ({"valid_range": [1, 2, 3]}, "valid_range cannot be used"),
    ],
)
def test_attributes_that_are_no_numbers_are_refused(attributes, text):
    with pytest.raises(DataError, match=text) as error:
        decode_values(np.int16([1, 2]), attributes, "file.nc, variable 't'")
    assert "file.nc" in str(error.value)


def test_text_is_refused():
    with pytest.raises(DataError, match="holds no numbers"):
        decode_values(np.array(["a"]), {})


TYPES = ("i1", "u1", "i2", "u2", "i4", "f4", "f8")


@pytest.mark.filterwarnings("ignore:variable .* has multiple fill values")
@given(data=st.data())
def test_as_xarray_and_netcdf4_decode(data, tmp_path_factory):
    """Attributes that both libraries know, in the types that CF asks for."""
    kind = data.draw(st.sampled_from(TYPES))
    dtype = np.dtype(kind)
    low = 0 if dtype.kind == "u" else -100
    stored = np.array(data.draw(st.lists(st.integers(low, 100), min_size=1, max_size=8)), dtype)
    attributes = {}
    if data.draw(st.booleans()):
        attributes["_FillValue"] = dtype.type(data.draw(st.integers(low, 100)))
    if data.draw(st.booleans()):
        attributes["missing_value"] = dtype.type(data.draw(st.integers(low, 100)))
    if data.draw(st.booleans()):
        attributes["scale_factor"] = np.float64(data.draw(st.sampled_from([0.5, 2.0, 0.01])))
        attributes["add_offset"] = np.float64(data.draw(st.sampled_from([0.0, -3.0, 273.15])))
    if kind == "i1" and "missing_value" not in attributes and data.draw(st.booleans()):
        attributes["_Unsigned"] = "true"
    path = tmp_path_factory.mktemp("cf") / "file.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.createDimension("x", stored.size)
        variable = file.createVariable("v", kind, ("x",), fill_value=attributes.get("_FillValue"))
        variable.set_auto_maskandscale(False)
        variable.setncatts({name: value for name, value in attributes.items() if name != "_FillValue"})
        variable[:] = stored
    with open_netcdf(path) as file:
        found = read_native_values(file["v"], slice(None))
    with netCDF4.Dataset(path) as file:
        np.testing.assert_allclose(found, np.ma.filled(file["v"][:].astype("f8"), NAN), rtol=1e-12)
    with xr.open_dataset(path, decode_times=False) as dataset:
        np.testing.assert_allclose(found, dataset["v"].values.astype("f8"), rtol=1e-6)


@pytest.mark.parametrize(("fmt", "fill", "expected"), [(2, 0, [0.0, 1.0]), (2, 1, [0.0, NAN]), (3, 0, [0.0, 1.0])])
def test_fill_0_of_a_zarr_store_is_no_missing_value(tmp_path, fmt, fill, expected):
    """The default fill value of zarr is 0; what a user declares otherwise is a missing value."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=fmt)
    names = {"dimension_names": ["x"]} if fmt == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["x"]}}
    group.create_array("v", shape=(2,), dtype="f4", fill_value=fill, **names)[:] = [0, 1]
    with open_raw(tmp_path / "a.zarr") as dataset:
        found = decode_values(dataset["v"].values, dataset["v"].attrs)
    np.testing.assert_array_equal(found, expected)
