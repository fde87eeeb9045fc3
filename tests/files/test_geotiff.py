"""GeoTIFFs as users bring them: masks, scales, projections, no geotransform, tiles that are not there."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from adapter_files import write_map
from rasterio.transform import Affine

from ai4land_coupler.api import (
    DataError,
    GridError,
    LatLonGrid,
    Registration,
    Request,
    count_unwritten,
    get_legend,
    open_geotiff,
    read_geotiff_grid,
    read_window,
)
from ai4land_hilda.plugin import HildaOptions, hilda
from ai4land_replay.maps import GeoTiffs

CODES = np.array([[11, 22, 33, 40], [41, 44, 45, 55], [66, 77, 0, 99]], np.uint8)
ALL = (slice(0, 3), slice(0, 4))
EVERY = Registration(np.arange(3), np.arange(4))
ROTATED_POLE = "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +R=6371007"


def both(path):
    """The codes of the adapter ``hilda`` and of ``replay``, which read the same file."""
    adapter = hilda(HildaOptions(path=path, legend="hilda-v1.0-f"))
    year = next(iter(adapter.years()))
    codes = adapter.read(Request(("land_cover",), adapter.grid(), (year,))).land_cover.values[0]
    return codes, GeoTiffs(str(path), 99).read(year, EVERY)


@pytest.mark.parametrize("inside", [True, False])
def test_cells_that_a_mask_leaves_out_are_missing(tmp_path, inside):
    path = write_map(tmp_path / "map_2000.tif", np.where(CODES == 99, 11, CODES).astype(np.uint8))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as file:
        file.write_mask(np.where(CODES == 99, 0, 255).astype(np.uint8))
    assert (tmp_path / "map_2000.tif.msk").exists() is not inside
    for found in both(path):
        np.testing.assert_array_equal(found, CODES)


def test_transparent_cells_are_missing(tmp_path):
    path = tmp_path / "map_2000.tif"
    profile = {"driver": "GTiff", "height": 3, "width": 4, "count": 2, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=Affine(0.1, 0, -3, 0, -0.1, 55), alpha="yes", **profile) as file:
        file.write(np.where(CODES == 99, 11, CODES).astype(np.uint8), 1)
        file.write(np.where(CODES == 99, 0, 255).astype(np.uint8), 2)
    for found in both(path):
        np.testing.assert_array_equal(found, CODES)


def test_two_maps_in_a_file_are_refused(tmp_path):
    path = tmp_path / "map_2000.tif"
    profile = {"driver": "GTiff", "height": 3, "width": 4, "count": 2, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=Affine(0.1, 0, -3, 0, -0.1, 55), **profile) as file:
        file.write(np.stack([CODES, CODES]))
    with pytest.raises(DataError, match="is no map"):
        both(path)
    with pytest.raises(DataError, match="several bands"):
        GeoTiffs(str(path), 99).read(2000, EVERY)


def test_scale_and_offset_are_applied(tmp_path):
    path = write_map(tmp_path / "map_2000.tif", (CODES.astype(np.int16) - 10) * 2)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.5,), (10.0,)
    for found in both(path):
        np.testing.assert_array_equal(found, CODES)


def test_a_file_without_a_geotransform_is_refused(tmp_path, recwarn):
    path = write_map(tmp_path / "map_2000.tif", CODES)
    with rasterio.open(path, "r+") as file:
        file.transform = Affine.identity()
    recwarn.clear()
    for read in (lambda: both(path), lambda: GeoTiffs(str(path), 99).grid(2000)):
        with pytest.raises(GridError, match="not georeferenced") as error:
            read()
        assert f"where: {path}" in str(error.value)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        ("EPSG:3035", "EPSG:3035 (ETRS89-extended / LAEA Europe)"),
        ("+proj=sinu +R=6371007.181 +units=m", "sinu"),
        ("+proj=stere +lat_0=90 +lat_ts=70 +lon_0=-45 +units=km", "stere"),
        ("+proj=lcc +lat_1=50 +lat_2=60 +lon_0=10 +units=km", "lcc"),
        ("EPSG:4807", "NTF (Paris)"),  # degrees of another circle (grads), east of Paris
        (ROTATED_POLE, "ob_tran"),
    ],
)
def test_a_projection_is_refused_by_its_name(tmp_path, crs, name):
    path = write_map(tmp_path / "map_2000.tif", CODES, crs=crs)
    for read in (lambda: both(path), lambda: GeoTiffs(str(path), 99).grid(2000)):
        with pytest.raises(GridError) as error:
            read()
        assert name in str(error.value).replace("Pole rotation", "ob_tran")
        assert str(path) in str(error.value)


def test_geographic_systems_in_degrees_are_read(tmp_path):
    for crs in ("EPSG:4326", "EPSG:4258", None, "+proj=longlat +R=6371007.181"):
        with open_geotiff(write_map(tmp_path / "a.tif", CODES, steps=(0.25, 0.25), crs=crs), "a.tif") as file:
            assert read_geotiff_grid(file, "a.tif") == LatLonGrid(-3.0, 0.25, 4, 55.0, -0.25, 3)


def test_tiles_that_a_file_does_not_hold_are_counted(tmp_path):
    path = tmp_path / "map_2000.tif"
    profile = {"driver": "GTiff", "height": 64, "width": 48, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
    shape = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    with rasterio.open(path, "w", transform=Affine(0.1, 0, -3, 0, -0.1, 55), **profile, **shape) as file:
        file.write(np.full((16, 48), 11, np.uint8), 1, window=((0, 16), (0, 48)))  # one row of tiles of four
    with open_geotiff(path, path) as file:
        assert count_unwritten(file) == (9, 12)
    described = hilda(HildaOptions(path=path, legend="hilda-v1.0-f")).describe()
    assert "map_2000.tif does not hold 9 of its 12 tiles, which read as 0" in described
    whole = write_map(tmp_path / "all_2000.tif", CODES)
    with open_geotiff(whole, whole) as file:
        assert count_unwritten(file)[0] == 0
    assert "does not hold" not in hilda(HildaOptions(path=whole, legend="hilda-v1.0-f")).describe()


def test_what_is_no_raster_is_refused(tmp_path):
    (tmp_path / "a.tif").write_text("text")
    for name in ("a.tif", "b.tif"):
        with pytest.raises(DataError, match="cannot be read") as error, open_geotiff(tmp_path / name, name):
            pass
        assert f"where: {name}" in str(error.value)


def test_missing_is_none_without_a_mask_and_without_a_value(tmp_path):
    with open_geotiff(write_map(tmp_path / "a.tif", CODES), "a.tif") as file:
        values, missing = read_window(file, *ALL)
    assert missing is None
    np.testing.assert_array_equal(get_legend("hilda-v1.0-f").to_view(values), get_legend("hilda-v1.0-f").to_view(CODES))
