"""Zarr folders and GeoTIFFs are read like netCDF files."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from rasterio.transform import Affine

from ai4land_coupler.api import DataError, GridError, LatLonGrid, Request
from ai4land_netcdf.options import NetcdfOptions
from ai4land_netcdf.plugin import netcdf
from ai4land_static.options import StaticOptions
from ai4land_static.plugin import static

GRID = LatLonGrid(-3.0, 0.5, 6, 55.0, -0.5, 4)
SHARES = np.random.default_rng(4).random((2, 4, 6)).astype(np.float32)
SHARES[:, 0, 0], SHARES[:, 1, 1] = np.nan, 0.0
COORDS = {
    "time": ("time", [0, 366], {"units": "days since 2000-01-01", "calendar": "standard"}),
    "lat": ("lat", GRID.lat, {"units": "degrees_north"}),
    "lon": ("lon", GRID.lon, {"units": "degrees_east"}),
}


def adapter_of(path, kind="fraction", **variable):
    return netcdf(NetcdfOptions(path=path, variables={"crop": {"name": "share", "kind": kind, **variable}}))


def read(path, years=(2000, 2001), grid=GRID, **variable):
    return adapter_of(path, **variable).read(Request(("crop",), grid, years)).crop.values


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "encoding",
    [
        {"_FillValue": -9.0},
        {"_FillValue": np.nan},
        {"dtype": "i2", "scale_factor": 1e-4, "add_offset": 0.5, "_FillValue": -32768},
        {"dtype": "u1", "scale_factor": 0.01, "_FillValue": 255},
    ],
)
def test_a_zarr_folder_is_read_as_xarray_reads_it(tmp_path, version, encoding):
    data = xr.Dataset({"share": (("time", "lat", "lon"), SHARES, {"units": "1"})}, COORDS)
    data.to_zarr(tmp_path / "a.zarr", zarr_format=version, encoding={"share": encoding})
    with xr.open_zarr(tmp_path / "a.zarr", chunks=None) as truth:
        np.testing.assert_allclose(read(tmp_path / "a.zarr"), truth.share.values, rtol=1e-6)
        assert np.isnan(truth.share[0, 0, 0])
    adapter = adapter_of(tmp_path / "*.zarr")
    assert adapter.fields()["crop"].years == (2000, 2001)
    assert list(adapter.files()) == [str(tmp_path / "a.zarr")]


@pytest.mark.parametrize("version", [2, 3])
def test_the_fill_value_0_that_zarr_gives_by_itself_is_no_missing_value(tmp_path, version):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    values = np.nan_to_num(SHARES)  # with zeros
    for name, dims, array, attributes in (
        ("share", ("time", "lat", "lon"), values, {"units": "1"}),
        *(
            (name, dims if isinstance(dims, tuple) else (dims,), array, more)
            for name, (dims, array, more) in COORDS.items()
        ),
    ):
        stored = np.asarray(array)
        names = {"dimension_names": dims} if version == 3 else {}
        made = group.create_array(name, shape=stored.shape, dtype=stored.dtype, fill_value=0, **names)
        made[...] = stored
        made.attrs.update({**attributes, **({} if version == 3 else {"_ARRAY_DIMENSIONS": list(dims)})})
    zarr.consolidate_metadata(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read(tmp_path / "a.zarr"), values)
    assert (values == 0).sum() == 4


def test_what_is_no_zarr_group_is_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(DataError, match="an input file is missing"):
        read(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as netCDF or Zarr") as error:
        read(tmp_path / "a.zarr")
    assert "a.zarr" in str(error.value)


HEIGHTS = (100 * np.arange(24).reshape(4, 6)).astype(np.int16)
HEIGHTS[0, 0] = -999


PLACE = Affine(0.5, 0, -3, 0, -0.5, 55)


def write_tif(path, values=HEIGHTS, crs="EPSG:4326", transform=PLACE, **profile):
    bands = np.atleast_3d(values.T).T if values.ndim == 2 else values
    profile = {"driver": "GTiff", "height": 4, "width": 6, "count": len(bands), "dtype": bands.dtype, **profile}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as file:
        file.write(bands)
    return path


def static_of(path, **fields):
    return static(StaticOptions(path=path, variables=fields))


def test_static_fields_of_a_geotiff(tmp_path):
    path = write_tif(tmp_path / "dem.tif", nodata=-999)
    adapter = static_of(path, elevation={"name": "band_1", "file_units": "m"})
    found = adapter.read(Request(("elevation", "slope"), GRID))
    np.testing.assert_array_equal(found.elevation, np.where(HEIGHTS == -999, np.nan, HEIGHTS))
    assert np.isfinite(found.slope.values[1:, 1:]).all()
    south_up = write_tif(tmp_path / "s.tif", HEIGHTS[::-1], transform=Affine(0.5, 0, -3, 0, 0.5, 53), nodata=-999)
    turned = static_of(south_up, elevation={"name": "band_1", "file_units": "m"}).read(Request(("elevation",), GRID))
    np.testing.assert_array_equal(turned.elevation, found.elevation)


def test_bands_units_scales_and_averages_of_a_geotiff(tmp_path):
    bands = np.stack([np.arange(24).reshape(4, 6), 10 * np.ones((4, 6))]).astype(np.uint8)
    path = write_tif(tmp_path / "soil.tif", bands)
    with rasterio.open(path, "r+") as file:
        file.scales, file.units = (0.5, 1.0), ("%", "%")
    adapter = static_of(path, clay="band_1", sand="band_2")
    coarse = LatLonGrid(-3.0, 1.5, 2, 55.0, -2.0, 1)  # cells of 4 x 3 cells
    found = adapter.read(Request(("clay", "sand"), coarse))
    lat = np.deg2rad(54.75 - 0.5 * np.arange(4))
    weights = np.cos(lat) / np.cos(lat).sum()  # the area of rows of the same height
    np.testing.assert_allclose(found.sand, 0.1, rtol=1e-6)
    np.testing.assert_allclose(
        found.clay[0], [weights @ bands[0][:, c : c + 3].mean(axis=1) / 200 for c in (0, 3)], rtol=1e-6
    )


def test_geotiffs_that_are_refused(tmp_path):
    field = {"name": "band_1", "file_units": "m"}
    for name, change, match in (
        ("a.tif", {"crs": "EPSG:3035"}, "not on a grid of longitudes"),
        ("b.tif", {"transform": Affine.identity()}, "not georeferenced"),
    ):
        with pytest.raises(GridError, match=match) as error:
            static_of(write_tif(tmp_path / name, **change), elevation=field)
        assert name in str(error.value)
    with pytest.raises(DataError, match="'band_2' is missing"):
        static_of(write_tif(tmp_path / "c.tif"), elevation={**field, "name": "band_2"})
    with pytest.raises(DataError, match="holds none of the static fields") as error:
        static(StaticOptions(path=tmp_path / "c.tif"))
    assert "band_1" in str(error.value)
