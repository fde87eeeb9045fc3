"""The adapter ``hilda`` delivers the codes of the file on the grid of its geotransform."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from adapter_files import write_map

from ai4land_coupler.api import (
    Box,
    ConfigError,
    DataAdapter,
    DataError,
    GridError,
    LatLonGrid,
    Request,
    TimeError,
)
from ai4land_hilda import plugin
from ai4land_hilda.plugin import HildaOptions, hilda

CODES = np.array([[11, 22, 33, 40], [41, 44, 45, 55], [66, 77, 0, 99]], np.uint8)
NAME = "hilda_plus_{year}_states_GLOB-v1-0-f_wgs84-nn.tif"
NAME_V1 = "hilda_plus_2000_states_GLOB-v1-0_wgs84-nn.tif"


def adapter_of(path, legend="hilda-v1.0-f", **options):
    return hilda(HildaOptions(path=path, legend=legend, **options))


def read(adapter, grid=None, years=(2000,)):
    return adapter.read(Request(("land_cover",), grid or adapter.grid(), years))


def test_registers_under_its_name():
    seen = []

    class Registry:
        def adapter(self, name, factory, options):
            seen.append((name, factory, options))

    plugin.ai4land_register(Registry())
    assert seen == [("hilda", hilda, HildaOptions)]


def test_reads_codes_on_the_grid_of_the_geotransform(tmp_path):
    adapter = adapter_of(write_map(tmp_path / NAME.format(year=2000), CODES))
    assert isinstance(adapter, DataAdapter)
    grid = adapter.grid()
    assert grid.shape == (3, 4)
    assert (grid.lon0, grid.dlon, grid.lat0, grid.dlat) == (-3.0, 0.0099, 55.0, -0.0101)
    ds = read(adapter)
    assert ds.land_cover.dtype == np.uint8
    np.testing.assert_array_equal(ds.land_cover[0], CODES)
    assert ds.land_cover.attrs["legend"] == "hilda-v1.0-f"
    assert adapter.fields()["land_cover"].years == (2000, 2000)
    np.testing.assert_array_equal(ds.lat, grid.lat)


@pytest.mark.parametrize(
    ("values", "nodata"),
    [
        (np.where(CODES == 99, np.nan, CODES).astype(np.float32), np.nan),
        (np.where(CODES == 99, np.nan, CODES).astype(np.float32), None),
        (np.where(CODES == 99, np.int16(-9999), CODES.astype(np.int16)), -9999),
        (np.where(CODES == 99, 255, CODES).astype(np.uint8), 255),
    ],
)
def test_missing_data_are_99_for_any_nodata_value(tmp_path, values, nodata):
    adapter = adapter_of(write_map(tmp_path / NAME.format(year=2000), values, nodata=nodata))
    np.testing.assert_array_equal(read(adapter).land_cover[0], CODES)


def test_years_of_a_template(tmp_path):
    for year in (1999, 2003):
        write_map(tmp_path / NAME.format(year=year), CODES if year == 1999 else CODES[::-1].copy())
    adapter = adapter_of(tmp_path / NAME)
    assert adapter.fields()["land_cover"].years == (1999, 2003)
    ds = read(adapter, years=(2003, 1999))
    np.testing.assert_array_equal(ds.land_cover, np.stack([CODES[::-1], CODES]))
    with pytest.raises(TimeError, match="the year 2000 is not in the land-cover maps") as error:
        read(adapter)
    assert "from 1999 to 2003" in str(error.value)
    with pytest.raises(ConfigError, match="belongs to a single file"):
        adapter_of(tmp_path / NAME, year=2000)


def test_the_option_year_replaces_the_year_in_the_name(tmp_path):
    adapter = adapter_of(write_map(tmp_path / NAME.format(year=2000), CODES), year=2015)
    ds = read(adapter, years=(2015,))
    assert ds.land_cover.attrs["source_year"] == [2000]
    adapter = adapter_of(write_map(tmp_path / "map.tif", CODES), year=2010)
    assert adapter.fields()["land_cover"].years == (2010, 2010)


def test_a_name_without_a_year_needs_the_option(tmp_path):
    with pytest.raises(TimeError, match="does not tell its year") as error:
        adapter_of(write_map(tmp_path / "map.tif", CODES))
    assert "set `year`" in str(error.value)


def test_cells_outside_the_file_have_no_data_and_are_counted(tmp_path):
    adapter = adapter_of(write_map(tmp_path / NAME.format(year=2000), CODES))
    ds = read(adapter, grid=adapter.grid().sub(Box(-1, 2, 2, 6)))
    assert ds.attrs["quality"]["outside"] == 3 * 4 - 2 * 2
    np.testing.assert_array_equal(ds.land_cover[0], [[99] * 4, [33, 40, 99, 99], [45, 55, 99, 99]])


def test_grid_that_is_not_registered_names_both(tmp_path):
    adapter = adapter_of(write_map(tmp_path / NAME.format(year=2000), CODES))
    wanted = LatLonGrid(-3.0, 0.01, 4, 55.0, -0.01, 3)
    with pytest.raises(GridError, match="not registered") as error:
        read(adapter, grid=wanted)
    assert str(adapter.grid()) in str(error.value)
    assert str(wanted) in str(error.value)


def test_unknown_code_names_code_count_file_and_year(tmp_path):
    codes = CODES.copy()
    codes[0, :2] = 23  # tree crops: HILDA+ v2 only
    path = write_map(tmp_path / "map_2000.tif", codes)
    with pytest.raises(DataError, match=r"class codes that legend 'hilda-v1\.0-f' does not know") as error:
        read(adapter_of(path))
    for part in ("code 23 in 2 cells", str(path), "year 2000", "hilda-v1.0"):
        assert part in str(error.value)


def test_a_code_above_255_is_refused(tmp_path):
    codes = CODES.astype(np.int32)
    codes[0, 0] = 256 + 11
    with pytest.raises(DataError, match="code 267 in 1 cells"):
        read(adapter_of(write_map(tmp_path / "map_2000.tif", codes)))


@pytest.mark.parametrize("value", [44.5, 1e20])
def test_an_interpolated_map_is_refused(tmp_path, value):
    codes = CODES.astype(np.float32)
    codes[1, 1] = value
    path = write_map(tmp_path / "map_2000.tif", codes)
    with pytest.raises(DataError, match="no class codes in 1 cells") as error:
        read(adapter_of(path))
    assert "averaged or interpolated" in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "legend", "implied"),
    [
        (NAME.format(year=2000), "hilda-v1.0", "hilda-v1.0-f"),
        (NAME_V1, "hilda-v1.0-f", "hilda-v1.0"),
        ("hilda_plus_states_2000_GLOB-v2_wgs84.tif", "hilda-v1.0", "hilda-v2.0"),
    ],
)
def test_legend_that_contradicts_the_name_explains_44(tmp_path, name, legend, implied):
    with pytest.raises(DataError, match="implies another legend") as error:
        adapter_of(write_map(tmp_path / name, CODES), legend=legend)
    for part in (
        "44 means all forest in HILDA+ v1.0, but deciduous broadleaf forest in v1.0-f",
        f"expected: legend '{legend}'",
        f"found: legend '{implied}'",
        name,
    ):
        assert part in str(error.value)


def test_forest_types_show_the_wrong_legend_where_the_name_does_not(tmp_path):
    with pytest.raises(DataError, match=r"legend 'hilda-v1\.0' does not know") as error:
        read(adapter_of(write_map(tmp_path / "map_2000.tif", CODES), legend="hilda-v1.0"))
    assert "code 40 in 1 cells, code 41 in 1 cells, code 45 in 1 cells" in str(error.value)


def test_unknown_legend_suggests_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="unknown legend") as error:
        adapter_of(tmp_path / "map_2000.tif", legend="hilda-1.0f")
    assert "hilda-v1.0-f" in str(error.value)


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match="an input file is missing") as error:
        adapter_of(tmp_path / "map_2000.tif")
    assert str(tmp_path / "map_2000.tif") in str(error.value)
    with pytest.raises(DataError, match="no input file fits the name"):
        adapter_of(tmp_path / NAME)


def test_missing_variable(tmp_path):
    adapter = adapter_of(write_map(tmp_path / NAME.format(year=2000), CODES))
    with pytest.raises(DataError, match="variable 'landcover' is missing") as error:
        adapter.read(Request(("landcover",), adapter.grid(), (2000,)))
    assert "did you mean 'land_cover'?" in str(error.value)
    with pytest.raises(TimeError, match="without a year"):
        read(adapter, years=())


@pytest.mark.parametrize(("crs", "found"), [(None, "none"), ("EPSG:3035", "EPSG:3035")])
def test_other_coordinate_reference_systems_are_refused(tmp_path, crs, found):
    with pytest.raises(GridError, match="wrong coordinate reference system") as error:
        adapter_of(write_map(tmp_path / "map_2000.tif", CODES, crs=crs))
    assert "expected: EPSG:4326" in str(error.value)
    assert f"found: {found}" in str(error.value)


def test_maps_on_different_grids_are_refused(tmp_path):
    write_map(tmp_path / NAME.format(year=2000), CODES)
    write_map(tmp_path / NAME.format(year=2001), CODES, west=-2.5)
    with pytest.raises(GridError, match="two years are on different grids"):
        read(adapter_of(tmp_path / NAME), years=(2000, 2001))


def test_a_file_that_is_no_geotiff_is_refused(tmp_path):
    (tmp_path / "map_2000.tif").write_bytes(b"II*\0 broken")
    with pytest.raises(DataError, match="cannot be read"):
        adapter_of(tmp_path / "map_2000.tif")


@pytest.fixture
def real(sample_data):
    return adapter_of(sample_data / "hilda_plus" / "hilda_plus_{year}_states_UK-v1-0-f_wgs84-nn.tif")


@pytest.mark.real_data
def test_real_map_has_the_published_class_counts(real):
    assert real.fields()["land_cover"].years == (2009, 2012)
    grid = real.grid()
    assert grid.shape == (1096, 1549)
    assert grid.dlon != -grid.dlat != 0.01
    maps = read(real, years=(2009, 2012)).land_cover.values
    codes, counts = np.unique(maps[1], return_counts=True)
    found = dict(zip(codes.tolist(), counts.tolist(), strict=True))
    missing = found.pop(99)
    assert found == {
        11: 29248, 22: 85861, 33: 161923, 40: 25712, 41: 13339, 44: 473, 45: 1, 55: 11845, 66: 286, 77: 3308,
    }  # fmt: skip
    assert missing == grid.size - sum(found.values())
    # data README: 331,904 cells have data in both years and 32,026 of them differ
    both = (maps != 99).all(axis=0)
    assert both.sum() == 331_904
    assert (maps[0] != maps[1])[both].sum() == 32_026


@pytest.mark.real_data
def test_real_window_is_a_slice_at_the_place_that_gdal_gives(real, sample_data):
    box = Box(517, 613, 701, 899)
    part = read(real, grid=real.grid().sub(box), years=(2012,))
    whole = read(real, years=(2012,))
    np.testing.assert_array_equal(part.land_cover[0], whole.land_cover[0][box.slices()])
    path = sample_data / "hilda_plus" / "hilda_plus_2012_states_UK-v1-0-f_wgs84-nn.tif"
    points = [(float(part.lon[j]), float(part.lat[i])) for i, j in ((0, 0), (40, 100), (95, 197))]
    with rasterio.open(path) as source:
        sampled = [99 if np.isnan(v[0]) else int(v[0]) for v in source.sample(points)]
    assert sampled == [int(part.land_cover[0, i, j]) for i, j in ((0, 0), (40, 100), (95, 197))]


@pytest.mark.real_data
def test_real_map_under_the_plain_legend_is_refused(sample_data):
    with pytest.raises(DataError, match="44 means all forest"):
        adapter_of(sample_data / "hilda_plus" / "hilda_plus_2012_states_UK-v1-0-f_wgs84-nn.tif", legend="hilda-v1.0")


def test_missing_years_are_told_and_each_file_is_read_in_its_own_order(tmp_path):
    write_map(tmp_path / NAME.format(year=2000), CODES)
    north = 55.0 - 3 * 0.0101
    write_map(tmp_path / NAME.format(year=2003), CODES[::-1], north=north, steps=(0.0099, -0.0101))
    adapter = adapter_of(tmp_path)
    info = adapter.fields()["land_cover"]
    assert (info.years, info.gaps) == ((2000, 2003), (2001, 2002))
    np.testing.assert_array_equal(read(adapter, years=(2000, 2003)).land_cover, [CODES, CODES])
