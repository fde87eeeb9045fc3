"""HILDA+ in every published layout: the maps of a twin, written in each layout, are read identically."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import rasterio
import yaml
from adapter_files import write_map

from ai4land_coupler import Simulation
from ai4land_coupler.api import (
    Box,
    ConfigError,
    DataError,
    GridError,
    LatLonGrid,
    Request,
    TimeError,
    get_legend,
    register,
)
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.experiments.twin import TwinOptions, generate
from ai4land_coupler.experiments.twin.hilda_layouts import LAYOUTS, to_version, write_layout
from ai4land_coupler.store.output import open_store
from ai4land_hilda.names import legend_of
from ai4land_hilda.plugin import HildaOptions, hilda

YEARS = (2012, 2013, 2014)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """The files of a twin: v1.0-f in GeoTIFF, at the cell size of HILDA+ v1.0."""
    options = TwinOptions(
        lon0=-1.5, lon1=-1.0, lat0=51.0, lat1=51.5, resolution=0.00998837, first_year=2012, last_year=2014, seed=3
    )
    return generate(options, tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def maps(clean):
    """The same maps by rasterio, and their grid."""
    read = {}
    for year in YEARS:
        with rasterio.open(str(clean.paths["maps"]).format(year=year)) as source:
            read[year] = source.read(1)
    return read


def adapter_of(path, **options):
    return hilda(HildaOptions(path=path, **options))


def read(adapter, grid=None, years=YEARS):
    return adapter.read(Request(("land_cover",), grid or adapter.grid(), tuple(years)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_published_layout_gives_the_maps_of_the_clean_layout(layout, clean, maps, tmp_path):
    legend, _ = LAYOUTS[layout]
    grid = clean.options.land_grid
    write_layout(layout, maps, grid, tmp_path)
    adapter = adapter_of(tmp_path)  # a folder, and no legend: the names tell
    found = read(adapter, grid)  # on the exact lattice, whatever the precision of the coordinates
    assert found.land_cover.attrs["legend"] == legend
    assert adapter.fields()["land_cover"].years == ((1899 if layout == "v1.0-f-nc" else 2012), 2014)
    assert found.attrs["quality"]["outside"] == 0
    plain, version = get_legend("hilda-v1.0-f"), get_legend(legend)
    for index, year in enumerate(YEARS):
        codes = found.land_cover.values[index]
        np.testing.assert_array_equal(codes, to_version(maps[year], legend))
        np.testing.assert_array_equal(version.to_view(codes), plain.to_view(maps[year]))
    if legend.startswith("hilda-v2"):
        assert {22, 23, 24} <= set(np.unique(found.land_cover))
    part = adapter.grid().sub(Box(3, 9, 11, 30))
    np.testing.assert_array_equal(read(adapter, part).land_cover, found.land_cover[:, 3:9, 11:30])


def test_a_run_from_any_version_has_the_same_view(tmp_path):
    options = TwinOptions(
        lon0=-2, lon1=0, lat0=51, lat1=52, resolution=0.03, first_year=2014, last_year=2018, scenario_start=2015, seed=3
    )
    twin = generate(options, tmp_path / "twin")
    with rasterio.open(str(twin.paths["maps"]).format(year=2015)) as source:
        maps = {2015: source.read(1)}
    views = {}
    for layout in ("v1.0-f-tif", "v1.0-tif", "v2.1-nc"):
        legend, _ = LAYOUTS[layout]
        write_layout(layout, maps, options.land_grid, tmp_path / layout)
        raw = {
            "title": layout,
            "legend": legend,
            "time": {"start": 2015, "stop": 2018},
            "initial": {"name": "hilda", "options": {"path": str(tmp_path / layout)}},
            "forcing": [
                {"name": "ssp", "options": {"states": str(twin.paths["scenario"])}},
                {"name": "luh2", "options": {"states": str(twin.paths["states"])}},
            ],
            "predictors": [{"name": "persistence", "options": {"legend": legend}}],
            "output": {"store": str(tmp_path / f"{layout}.zarr")},
        }
        Simulation(parse_config(raw, tmp_path, layout)).run()
        views[layout] = get_legend(legend).to_view(open_store(tmp_path / f"{layout}.zarr").land_cover.values)
    clean = views.pop("v1.0-f-tif")
    assert (clean[0] != clean[-1]).any()
    for view in views.values():
        np.testing.assert_array_equal(view, clean)


def test_versions_differ_from_the_clean_layout_only_where_expected(maps):
    codes = maps[2012]
    assert set(np.unique(to_version(codes, "hilda-v1.0"))) <= {0, 11, 22, 33, 44, 55, 66, 77}
    changed = to_version(codes, "hilda-v2.0") != codes
    assert (codes[changed] == 22).all()
    assert changed.any()


@pytest.mark.parametrize(
    ("name", "legend"),
    [
        ("hilda_plus_1960_states_GLOB-v1-0_wgs84-nn.tif", "hilda-v1.0"),
        ("hilda_plus_2012_states_UK-v1-0-f_wgs84-nn.tif", "hilda-v1.0-f"),
        ("hildaplus_vGLOB-1.0_states.nc", "hilda-v1.0"),
        ("hildaplus_vGLOB-1.0-f_states.nc", "hilda-v1.0-f"),
        ("hildaplus_GLOB-1-0-f_states.nc", "hilda-v1.0-f"),
        ("hilda_plus_states_2020_GLOB-v2_wgs84.tif", "hilda-v2.0"),
        ("hildaplus_GLOB-2-0_states.nc", "hilda-v2.0"),
        ("hildaplus_GLOB-2-0-f_states.nc", "hilda-v2.0"),
        ("hildaplus_GLOB-2-1-crop_states.nc", "hilda-v2.1"),
        ("map_2000.tif", None),
    ],
)
def test_published_names_give_the_legend(name, legend):
    assert legend_of(name) == legend


def test_a_legend_that_the_name_contradicts_is_refused_for_netcdf_too(clean, maps, tmp_path):
    (path,) = write_layout("v2.0-nc", maps, clean.options.land_grid, tmp_path)
    with pytest.raises(DataError, match="implies another legend") as error:
        adapter_of(path, legend="hilda-v1.0-f")
    assert "22 means all cropland in v1, but annual crops in v2" in str(error.value)
    path = path.rename(tmp_path / "states.nc")
    with pytest.raises(ConfigError, match="do not tell their version") as error:
        adapter_of(path)
    assert "set `legend`" in str(error.value)
    with pytest.raises(DataError, match="code 23 in"):
        read(adapter_of(path, legend="hilda-v1.0-f"))


def test_two_versions_in_one_folder_are_refused(clean, maps, tmp_path):
    write_layout("v1.0-f-tif", maps, clean.options.land_grid, tmp_path)
    write_layout("v2.0-tif", maps, clean.options.land_grid, tmp_path)
    with pytest.raises(DataError, match="another file names"):
        adapter_of(tmp_path)
    assert adapter_of(tmp_path / "hilda_plus_states_*_GLOB-v2_wgs84.tif").years() == YEARS


def test_only_the_states_of_a_folder_are_read_for_all_years_it_has(clean, maps, tmp_path):
    grid = clean.options.land_grid
    write_layout("v2.0-tif", {2001: maps[2012], 2003: maps[2013]}, grid, tmp_path)
    write_map(tmp_path / "hilda_plus_transitions_2002_GLOB-v2_wgs84.tif", maps[2014])
    (tmp_path / "readme.txt").write_text("x")
    adapter = adapter_of(tmp_path)
    assert adapter.years() == (2001, 2003)
    with pytest.raises(TimeError, match="the year 2002 is not in") as error:
        read(adapter, years=(2002,))
    assert "one of 2001, 2003" in str(error.value)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="a folder holds no land-cover states"):
        adapter_of(empty)
    with pytest.raises(DataError, match="fits the name with wildcards"):
        adapter_of(tmp_path / "*.nc")


@pytest.mark.parametrize("layout", ["v2.0-tif", "v2.1-nc"])
def test_files_of_urls_are_read_and_named_by_their_urls(layout, clean, maps, tmp_path):
    files = write_layout(layout, maps, clean.options.land_grid, tmp_path)
    local = adapter_of(tmp_path)
    first = f"file://{tmp_path}/" + LAYOUTS[layout][1]  # holds {year} where there is one file a year
    adapter = adapter_of(first)
    assert adapter.years() == YEARS
    np.testing.assert_array_equal(read(adapter).land_cover, read(local).land_cover)
    url = f"simplecache::file://{files[0]}"  # a copy of another name
    copied = adapter_of(url)
    assert copied.years()[0] == 2012
    np.testing.assert_array_equal(read(copied, years=(2012,)).land_cover, read(local, years=(2012,)).land_cover)
    with pytest.raises(DataError, match="implies another legend") as error:
        adapter_of(url, legend="hilda-v1.0")
    assert f"where: {url}" in str(error.value)
    with pytest.raises(DataError, match="matches a pattern"):
        adapter_of(f"file://{tmp_path}/none_*.tif")


def test_two_files_of_one_year_are_refused(tmp_path):
    for name in ("map_2000.tif", "other_2000.tif"):
        write_map(tmp_path / name, np.full((2, 2), 11, np.uint8))
    with pytest.raises(DataError, match="hold the year 2000") as error:
        adapter_of(tmp_path / "*.tif", legend="hilda-v1.0")
    assert "map_2000.tif and other_2000.tif" in str(error.value)


def write_netcdf(path, codes, time=None, lat=None, lon=None, units=None, kind="f4"):
    """codes (time, lat, lon); written without the code under test."""
    lat = 60 - 0.01 * (np.arange(codes.shape[1]) + 0.5) if lat is None else lat
    lon = 0.01 * (np.arange(codes.shape[2]) + 0.5) if lon is None else lon
    with netCDF4.Dataset(path, "w") as ds:
        for name, values in (("time", time), ("latitude", lat), ("longitude", lon)):
            ds.createDimension(name, codes.shape[0] if values is None else len(values))
            if values is not None:
                ds.createVariable(name, "f8" if name == "time" else kind, (name,))[:] = values
        if units:
            ds["time"].setncatts(units)
        ds.createVariable("LULC_states", codes.dtype, ("time", "latitude", "longitude"), fill_value=False)[:] = codes
    return path


NC = "hildaplus_vGLOB-1.0-f_states.nc"
CODES = np.random.default_rng(5).choice(np.array([11, 22, 33, 41, 55, 77, 0, 99], np.uint8), (3, 5, 7))


@pytest.mark.parametrize(
    ("time", "units", "years"),
    [
        ([0, 1, 2], None, (1899, 1900, 1901)),
        ([2000, 2001, 2003], None, (2000, 2001, 2003)),
        ([150, 151, 152], {"units": "years since 1850-01-01", "calendar": "noleap"}, (2000, 2001, 2002)),
        ([0, 366, 731], {"units": "days since 2000-01-01", "calendar": "standard"}, (2000, 2001, 2002)),
        ([0, 365, 730], {"units": "days since 2000-01-01", "calendar": "noleap"}, (2000, 2001, 2002)),
        ([180, 540, 900], {"units": "days since 2000-01-01", "calendar": "360_day"}, (2000, 2001, 2002)),
    ],
)
def test_years_of_a_netcdf_file(tmp_path, time, units, years):
    adapter = adapter_of(write_netcdf(tmp_path / NC, CODES, time, units=units))
    assert adapter.years() == years
    np.testing.assert_array_equal(read(adapter, years=years[::-1]).land_cover, CODES[::-1])


@pytest.mark.parametrize(
    ("time", "units", "message"),
    [
        ([2000, 2000, 2001], None, "a year is twice"),
        ([2000.5, 2001.5, 2002.5], None, "holds no years"),
        ([0, 1, 2], {"units": "fortnights since 2000-01-01"}, "cannot be decoded"),
        ([0, 1, 2], {"units": "days since 2000-01-01", "calendar": "martian"}, "unknown calendar"),
    ],
)
def test_times_that_are_not_years_are_refused(tmp_path, time, units, message):
    with pytest.raises(TimeError, match=message) as error:
        adapter_of(write_netcdf(tmp_path / NC, CODES, time, units=units))
    assert NC in str(error.value)


def test_latitude_and_longitude_may_run_in_either_direction(tmp_path):
    lat, lon = 60 - 0.01 * (np.arange(5) + 0.5), 3 + 0.01 * (np.arange(7) + 0.5)
    grid = LatLonGrid(3.0, 0.01, 7, 60.0, -0.01, 5)
    time = [2000, 2001, 2002]
    files = {
        "north first": (CODES, lat, lon),
        "south first": (CODES[:, ::-1], lat[::-1], lon),
        "east first": (CODES[:, :, ::-1], lat, lon[::-1]),
        "another turn": (CODES, lat, lon - 360),
    }
    for name, (codes, y, x) in files.items():
        (tmp_path / name).mkdir()
        adapter = adapter_of(write_netcdf(tmp_path / name / NC, codes, time, y, x))
        np.testing.assert_array_equal(read(adapter, grid, time).land_cover, CODES, err_msg=name)


def test_coordinates_that_are_not_even_are_refused(tmp_path):
    lat = 60 - 0.01 * (np.arange(5) + 0.5)
    lat[2] += 0.0005
    with pytest.raises(GridError, match="latitude is not evenly spaced") as error:
        adapter_of(write_netcdf(tmp_path / NC, CODES, [2000, 2001, 2002], lat))
    assert NC in str(error.value)


@pytest.mark.parametrize(("cells", "step"), [(36041, 0.00998837), (36000, 0.01)])
def test_single_precision_coordinates_of_the_globe_give_the_grid_of_the_geotransform(cells, step):
    truth = LatLonGrid(-180.0, step, cells, 90.0, -step, cells // 2)
    rounded = LatLonGrid.from_centres(truth.lon.astype(np.float32), truth.lat.astype(np.float32))
    error = np.abs(truth.lon.astype(np.float32) - truth.lon).max()
    assert np.abs(rounded.lon - truth.lon).max() < error / 20
    place = register(rounded, truth)
    np.testing.assert_array_equal(place.cols, np.arange(cells))
    np.testing.assert_array_equal(place.rows, np.arange(cells // 2))


@pytest.mark.parametrize(("cells", "step"), [(36041, 0.00998837), (36000, 0.01), (1440, 0.25)])
def test_windows_wrap_around_the_globe(cells, step):
    grid = LatLonGrid(-180.0, step, cells, 10.0, -step, 3)
    place = register(grid, grid.sub(Box(0, 3, cells - 4, cells + 3)))
    np.testing.assert_array_equal(place.cols, [*range(cells - 4, cells), 0, 1, 2])
    place = register(grid, grid.sub(Box(0, 3, -2, 2)))
    np.testing.assert_array_equal(place.cols, [cells - 2, cells - 1, 0, 1])


def test_a_wrapped_window_is_read_from_both_ends(tmp_path):
    codes = np.random.default_rng(1).choice(np.array([11, 22, 33], np.uint8), (4, 361))
    step = 359.991 / 361  # as in v1.0, a turn is no whole number of cells
    path = write_map(tmp_path / "map_2000.tif", codes, west=-180.0, north=4 * step, steps=(step, step))
    adapter = adapter_of(path, legend="hilda-v1.0")
    found = read(adapter, adapter.grid().sub(Box(0, 4, 359, 364)), (2000,))
    assert found.attrs["quality"]["outside"] == 0
    np.testing.assert_array_equal(found.land_cover[0], codes[:, [359, 360, 0, 1, 2]])


def test_missing_values_and_interpolated_values_of_netcdf(tmp_path):
    codes = CODES.astype(np.float32)
    codes[CODES == 99] = np.nan
    path = write_netcdf(tmp_path / NC, codes, [2000, 2001, 2002])
    np.testing.assert_array_equal(read(adapter_of(path), years=(2000, 2001, 2002)).land_cover, CODES)
    codes[1, 2, 3] = 38.5
    path = write_netcdf(tmp_path / NC, codes, [2000, 2001, 2002])
    with pytest.raises(DataError, match="no class codes in 1 cells") as error:
        read(adapter_of(path), years=(2001,))
    assert "year 2001" in str(error.value)


def test_a_file_without_states_is_refused(tmp_path):
    path = tmp_path / "hildaplus_GLOB-2-1-crop_transitions.nc"
    with netCDF4.Dataset(path, "w") as ds:
        ds.createVariable("LULC_transitions", "i2", ())
    with pytest.raises(DataError, match="holds no land-cover states") as error:
        adapter_of(path)
    assert "LULC_transitions" in str(error.value)


def test_the_description_for_users(clean, maps, tmp_path):
    write_layout("v2.0-tif", {2001: maps[2012], 2002: maps[2013], 2004: maps[2014]}, clean.options.land_grid, tmp_path)
    text = adapter_of(tmp_path).describe()
    for part in ("HILDA+ v2.0", "legend hilda-v2.0", "files: 3", "2001-2002, 2004", "24 agroforestry", "degrees"):
        assert part in text


PACKED = np.array([[11, 22, 33, 40], [130, 190, 220, 200], [66, 77, 0, 99]], np.uint8)
ON_LAND = [int(code) for code in PACKED.ravel() if code not in (0, 99)]
CODES_OF_ALL = {code: {"name": f"class_{code}", "area_type": "trees"} for code in ON_LAND}
UNSIGNED = {"_Unsigned": "true"}


@pytest.mark.parametrize(
    ("stored", "attributes"),
    [
        (PACKED.view(np.int8), UNSIGNED),
        (PACKED.view(np.int8), {**UNSIGNED, "_FillValue": np.int8(99)}),
        (PACKED.view(np.int8), {**UNSIGNED, "valid_min": np.int8(0), "valid_max": np.int8(-36)}),
        (PACKED.astype(np.int16), {"missing_value": np.float32(99)}),
        (PACKED.astype(np.int16), {"missing_value": "99"}),
        (PACKED.astype(np.int16), {"valid_range": np.array([0, 98], np.int16), "_FillValue": np.int16(-1)}),
        (PACKED.astype(np.int16) * 2, {"scale_factor": 0.5}),
        (PACKED.astype(np.int16) - 100, {"add_offset": 100.0, "scale_factor": "1"}),
        (np.where(PACKED == 99, np.nan, PACKED).astype(np.float32), {}),
        (PACKED.astype(np.float64), {"_FillValue": 99.0, "flag_values": np.unique(PACKED).astype(np.float64)}),
        (PACKED.astype(">i4"), {}),
    ],
)  # fmt: skip
def test_codes_stored_in_any_way_are_the_codes(tmp_path, stored, attributes):
    truth = np.where(PACKED > 98, 99, PACKED) if "valid_range" in attributes else PACKED
    attributes = dict(attributes)
    with netCDF4.Dataset(tmp_path / "map_2000.nc", "w") as ds:
        for name, values, units in (
            ("lat", 55.0 - 0.1 * np.arange(3), "degrees_north"),
            ("lon", 0.1 * np.arange(4), "degrees_east"),
        ):
            ds.createDimension(name, values.size)
            ds.createVariable(name, "f8", (name,))[:] = values
            ds[name].units = units
        fill = attributes.pop("_FillValue", False)
        endian = "big" if stored.dtype.byteorder == ">" else "native"
        variable = ds.createVariable("LULC_states", stored.dtype, ("lat", "lon"), fill_value=fill, endian=endian)
        variable.setncatts(attributes)
        variable.set_auto_maskandscale(False)
        variable[:] = stored
    view = {"any": {"codes": list(CODES_OF_ALL), "new": 11, "colour": "#000000"}}
    legend = {"name": "all", "title": "all", "ocean": [0, 99], "classes": CODES_OF_ALL, "view": view}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(legend))
    adapter = hilda(HildaOptions(path=tmp_path / "map_2000.nc", legend=str(tmp_path / "all.yaml")))
    np.testing.assert_array_equal(read(adapter, years=(2000,)).land_cover[0], truth)
