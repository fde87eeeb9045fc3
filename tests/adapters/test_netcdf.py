"""The adapter ``netcdf``: variables of any file, as the configuration describes them; faults are refused."""

from __future__ import annotations

import re
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import yaml
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from properties import examples
from pydantic import ValidationError

from ai4land_coupler import api
from ai4land_coupler.api import Box, DataAdapter, DataError, FieldError, GridError, LatLonGrid, Request, TimeError
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_hilda.plugin import HildaOptions
from ai4land_netcdf import axes, plugin
from ai4land_netcdf.options import NetcdfOptions
from ai4land_netcdf.plugin import netcdf
from ai4land_static.options import StaticOptions

GRID = LatLonGrid(-4.0, 0.5, 8, 56.0, -0.5, 6)
SHARES = np.random.default_rng(2).random((3, 6, 8))
DAYS = {"units": "days since 2000-01-01", "calendar": "standard"}


def write(
    path, values=SHARES, units="1", time=(0, 366, 731), time_attributes=DAYS, lat=GRID.lat, lon=GRID.lon, **attributes
):
    """A file of one variable ``share`` (time, lat, lon), or (lat, lon)."""
    with netCDF4.Dataset(path, "w") as ds:
        axes = [("lat", lat, {"units": "degrees_north"}), ("lon", lon, {"units": "degrees_east"})]
        if values.ndim == 3:
            axes.insert(0, ("time", time, time_attributes))
        for name, centres, given_attributes in axes:
            ds.createDimension(name, len(centres))
            ds.createVariable(name, "f8", (name,))[:] = centres
            ds[name].setncatts(given_attributes)
        fill = attributes.pop("fill", False)
        variable = ds.createVariable("share", "f8", tuple(a[0] for a in axes), fill_value=fill)
        variable.setncatts({**({} if units is None else {"units": units}), **attributes})
        variable[:] = values
    return path


def adapter_of(path, kind="fraction", reduce=None, check_bounds=True, **variable):
    spec = {"crop": {"name": "share", "kind": kind, **variable}}
    return netcdf(NetcdfOptions(path=path, variables=spec, reduce=reduce, check_bounds=check_bounds))


def read(adapter, grid=GRID, years=(2000, 2001, 2002)):
    return adapter.read(Request(("crop",), grid, tuple(years)))


def test_registers_under_its_name():
    seen = []

    class Registry:
        def adapter(self, name, factory, options):
            seen.append((name, factory, options))

    plugin.ai4land_register(Registry())
    assert seen == [("netcdf", netcdf, NetcdfOptions)]


def test_delivers_the_configured_name_on_the_grid_of_the_file(tmp_path):
    adapter = adapter_of(write(tmp_path / "a.nc", long_name="share of crops"))
    assert isinstance(adapter, DataAdapter)
    assert adapter.grid() == GRID
    info = adapter.fields()["crop"]
    assert (info.units, info.years, info.long_name) == ("1", (2000, 2002), "share of crops")
    ds = read(adapter, years=(2002, 2000))
    assert ds.crop.dims == ("year", "lat", "lon")
    assert ds.crop.dtype == np.float32
    np.testing.assert_allclose(ds.crop, SHARES[[2, 0]], rtol=1e-7)
    assert ds.attrs["quality"] == {"outside": 0}
    for part in ("fraction from 'share' (1)", "delivered in 1", "3 years from 2000 to 2002", "0.5 x 0.5 degrees"):
        assert part in adapter.describe()


@examples(25, HealthCheck.function_scoped_fixture)
@given(
    south_first=st.booleans(), east_first=st.booleans(), turn=st.sampled_from([0, 360]), transpose=st.booleans(),
    single=st.booleans(),
)  # fmt: skip
def test_every_orientation_gives_the_same_values(tmp_path, south_first, east_first, turn, transpose, single):
    truth = xr.DataArray(SHARES, dims=("time", "lat", "lon"), coords={"lat": GRID.lat, "lon": GRID.lon + turn})
    truth = truth.isel(lat=slice(None, None, -1) if south_first else slice(None))
    truth = truth.isel(lon=slice(None, None, -1) if east_first else slice(None))
    truth = truth.assign_coords(time=("time", [2000, 2001, 2002]))
    if transpose:
        truth = truth.transpose("lon", "time", "lat")
    if single:
        truth = truth.assign_coords({k: truth[k].astype(np.float32) for k in ("lat", "lon")})
    truth.to_dataset(name="share").assign({"share": truth.assign_attrs(units="1")}).to_netcdf(tmp_path / "a.nc")
    adapter = adapter_of(tmp_path / "a.nc")
    np.testing.assert_allclose(read(adapter).crop, SHARES, rtol=1e-7)
    box = Box(1, 4, 2, 7)
    np.testing.assert_allclose(read(adapter, GRID.sub(box)).crop, SHARES[:, 1:4, 2:7], rtol=1e-7)


def test_a_globe_of_0_to_360_is_read_across_greenwich(tmp_path):
    lon = np.arange(2.5, 360, 5)
    values = np.broadcast_to(np.cos(np.deg2rad(lon)) ** 2, (3, 6, lon.size))
    adapter = adapter_of(write(tmp_path / "a.nc", values, lon=lon))
    grid = LatLonGrid(-10.0, 5.0, 4, 56.0, -0.5, 6)
    np.testing.assert_allclose(read(adapter, grid).crop[0, 0], np.cos(np.deg2rad(grid.lon)) ** 2, rtol=1e-6)
    rolled = (lon + 180) % 360 - 180  # 2.5 ... 177.5, -177.5 ... -2.5: an axis that jumps
    adapter = adapter_of(write(tmp_path / "b.nc", values, lon=rolled))
    np.testing.assert_allclose(read(adapter, grid).crop[0, 0], np.cos(np.deg2rad(grid.lon)) ** 2, rtol=1e-6)


def test_per_cent_is_read_with_its_units_and_refused_without(tmp_path):
    np.testing.assert_allclose(read(adapter_of(write(tmp_path / "a.nc", 100 * SHARES, "%"))).crop, SHARES, rtol=1e-6)
    adapter = adapter_of(write(tmp_path / "b.nc", 100 * SHARES, "1"))
    with pytest.raises(DataError, match="values that are no fractions") as error:
        read(adapter, years=(2001,))
    for part in ("year 2001", "variable 'share'", "b.nc", "file_units"):
        assert part in str(error.value)
    np.testing.assert_allclose(read(adapter_of(tmp_path / "b.nc", file_units="%")).crop, SHARES, rtol=1e-6)
    np.testing.assert_allclose(read(adapter_of(tmp_path / "b.nc", factor=0.01)).crop, SHARES, rtol=1e-6)


@pytest.mark.parametrize(("units", "scale"), [("m2", 1.0), ("km2", 1e-6), ("ha", 1e-4), ("1e6 m2", 1e-6)])
def test_areas_become_shares_of_the_cell(tmp_path, units, scale):
    # area of a cell on the sphere, by another formula than the grid's: 2 R2 dlon cos(lat) sin(dlat / 2)
    lat = np.deg2rad(GRID.lat)
    cell = 2 * 6_371_007.2**2 * np.deg2rad(0.5) * np.cos(lat) * np.sin(np.deg2rad(0.25))
    adapter = adapter_of(write(tmp_path / "a.nc", SHARES * cell[:, None] * scale, units), "area")
    np.testing.assert_allclose(read(adapter).crop, SHARES, rtol=1e-6)


def test_km2_instead_of_m2_and_areas_larger_than_the_cell_are_reported(tmp_path):
    cell = np.broadcast_to(GRID.row_area[:, None], GRID.shape)
    adapter = adapter_of(write(tmp_path / "a.nc", np.stack([cell * 1.005] * 3), "m2"), "area")
    ds = read(adapter, years=(2000,))
    assert float(ds.crop.max()) == 1.0
    assert ds.attrs["quality"]["area beyond the cell"] == GRID.size  # a cell of the ellipsoid: mended and counted
    adapter = adapter_of(write(tmp_path / "b.nc", np.stack([cell] * 3), "km2"), "area")
    with pytest.raises(DataError, match="no areas within their cells in 48 cells"):
        read(adapter, years=(2000,))


@pytest.mark.parametrize(("kind", "units"), [("fraction", "m2"), ("area", "1"), ("fraction", None), ("area", None)])
def test_units_of_another_kind_are_refused_before_anything_is_read(tmp_path, kind, units):
    path = write(tmp_path / "a.nc", SHARES, units)
    if (kind, units) == ("fraction", None):
        adapter_of(path, kind)  # no units: a plain number
        return
    with pytest.raises(FieldError, match="wrong units") as error:
        adapter_of(path, kind)
    assert "variable 'share'" in str(error.value)


def test_densities_are_converted_also_with_another_zero(tmp_path):
    path = write(tmp_path / "a.nc", 20 * SHARES, "degC")
    ds = read(adapter_of(path, "density", units="K"))
    np.testing.assert_allclose(ds.crop, 20 * SHARES + 273.15, rtol=1e-6)
    assert ds.crop.attrs["units"] == "K"
    assert adapter_of(path, "density").fields()["crop"].units == "degC"
    with pytest.raises(FieldError, match="wrong units"):
        adapter_of(path, "density", units="m")
    path = write(tmp_path / "b.nc", 40 * SHARES, "t ha-1")
    np.testing.assert_allclose(read(adapter_of(path, "density", units="kg m-2")).crop, 4 * SHARES, rtol=1e-6)


@pytest.mark.parametrize(("value", "match"), [(np.inf, "infinite in 1 cells"), (-0.1, "no fractions in 1 cells")])
def test_impossible_values_are_refused(tmp_path, value, match):
    values = SHARES.copy()
    values[1, 2, 3] = value
    adapter = adapter_of(write(tmp_path / "a.nc", values))
    read(adapter, years=(2000, 2002))
    with pytest.raises(DataError, match=match) as error:
        read(adapter, years=(2001,))
    assert "a.nc" in str(error.value)


@pytest.mark.parametrize(("value", "fill"), [(np.nan, False), (1e20, False), (-9999.0, -9999.0)])
def test_missing_values_are_nan(tmp_path, value, fill):
    values = SHARES.copy()
    values[:, 2, 3] = value
    ds = read(adapter_of(write(tmp_path / "a.nc", values, fill=fill)))
    np.testing.assert_array_equal(np.isnan(ds.crop), np.isnan(np.where(values == value, np.nan, values)))


def test_categories_stay_whole(tmp_path):
    codes = np.round(9 * SHARES)
    path = write(tmp_path / "a.nc", codes, flag_values=np.arange(10, dtype="i4"), flag_meanings="a b")
    ds = read(adapter_of(path, "category"))
    np.testing.assert_array_equal(ds.crop, codes)
    assert ds.crop.attrs["flag_meanings"] == "a b"
    codes[0, 0, 0] = 2.5
    with pytest.raises(DataError, match="no categories in 1 cells"):
        read(adapter_of(write(tmp_path / "b.nc", codes), "category"))
    with pytest.raises(DataError, match="categories have no mean"):
        adapter_of(path, "category", reduce="mean")


@pytest.mark.parametrize(
    ("time", "attributes"),
    [
        ((2000, 2001, 2002), {}),
        ((150, 151, 152), {"units": "years since 1850-01-01", "calendar": "noleap"}),
        ((150.5, 151.5, 152.5), {"units": "common_years since 1850-01-01"}),
        ((1800, 1812, 1824), {"units": "months since 1850-01-01"}),
        ((1806, 1818, 1830), {"units": "months since 1850-01-01"}),
        ((182, 547, 912), {"units": "days since 2000-01-01", "calendar": "noleap"}),
        ((180 * 24, 540 * 24, 900 * 24), {"units": "hours since 2000-01-01", "calendar": "360_day"}),
        ((0, 366, 731), {"units": "days since 2000-01-01", "calendar": "proleptic_gregorian"}),
        ((0, 366, 731), {"units": "days since 2000-01-01", "calendar": "julian"}),
    ],
)
def test_time_axes_of_cf(tmp_path, time, attributes):
    adapter = adapter_of(write(tmp_path / "a.nc", time=time, time_attributes=attributes))
    assert adapter.fields()["crop"].years == (2000, 2002)
    np.testing.assert_allclose(read(adapter).crop, SHARES, rtol=1e-7)


def test_a_step_belongs_to_the_year_of_the_middle_of_its_bounds(tmp_path):
    path = write(tmp_path / "a.nc", time=(366, 731, 1096), time_attributes={**DAYS, "bounds": "time_bnds"})
    with netCDF4.Dataset(path, "a") as ds:
        ds.createDimension("two", 2)
        ds.createVariable("time_bnds", "f8", ("time", "two"))[:] = [[0, 366], [366, 731], [731, 1096]]
    np.testing.assert_allclose(read(adapter_of(path)).crop, SHARES, rtol=1e-7)


def test_a_wrong_calendar_is_found_by_dates_that_drift(tmp_path):
    years = np.arange(1850, 2101)
    steps = (years - 1850) * 365 + 181  # written in noleap
    values = np.broadcast_to(0.5, (years.size, 6, 8))
    right = write(
        tmp_path / "a.nc", values, time=steps, time_attributes={"units": "days since 1850-01-01", "calendar": "noleap"}
    )
    assert adapter_of(right).fields()["crop"].years == (1850, 2100)
    wrong = write(tmp_path / "b.nc", values, time=steps, time_attributes={"units": "days since 1850-01-01"})
    with pytest.raises(TimeError, match="the calendar is not the one") as error:
        adapter_of(wrong)
    assert "b.nc" in str(error.value)


def test_several_steps_of_a_year_are_refused_or_averaged(tmp_path):
    path = write(tmp_path / "a.nc", time=(10, 200, 400))
    with pytest.raises(TimeError, match="2 steps in the year 2000") as error:
        adapter_of(path)
    assert "reduce: mean" in str(error.value)
    ds = read(adapter_of(path, reduce="mean"), years=(2000, 2001))
    np.testing.assert_allclose(ds.crop, [SHARES[:2].mean(axis=0), SHARES[2]], rtol=1e-6)


def test_missing_years_are_refused(tmp_path):
    adapter = adapter_of(write(tmp_path / "a.nc"))
    with pytest.raises(TimeError, match="no 'crop' for the year 1999") as error:
        read(adapter, years=(1999,))
    assert "3 years from 2000 to 2002" in str(error.value)
    with pytest.raises(TimeError, match="without a year"):
        read(adapter, years=())
    with pytest.raises(TimeError, match="holds no years"):
        adapter_of(write(tmp_path / "b.nc", time=(0, 1, 2), time_attributes={}))


def test_a_variable_without_time_is_static(tmp_path):
    adapter = adapter_of(write(tmp_path / "a.nc", SHARES[0]))
    assert adapter.fields()["crop"].years is None
    np.testing.assert_allclose(read(adapter, years=()).crop, SHARES[0], rtol=1e-7)
    np.testing.assert_allclose(read(adapter, years=(1999, 2000)).crop, SHARES[[0, 0]], rtol=1e-7)


def test_files_of_several_years_are_joined_unless_they_overlap(tmp_path):
    write(tmp_path / "a_1.nc", SHARES[:2], time=(0, 366))
    write(tmp_path / "a_2.nc", SHARES[2:], time=(731,))
    np.testing.assert_allclose(read(adapter_of(tmp_path / "a_*.nc")).crop, SHARES, rtol=1e-7)
    write(tmp_path / "a_2.nc", SHARES[2:], time=(400,))
    with pytest.raises(TimeError, match="2 steps in the year 2001") as error:
        adapter_of(tmp_path / "a_*.nc")
    assert "a_1.nc, a_2.nc" in str(error.value)
    write(tmp_path / "a_2.nc", SHARES[2:], time=(731,), lon=GRID.lon + 0.25)
    with pytest.raises(GridError, match="different grids"):
        adapter_of(tmp_path / "a_*.nc")
    write(tmp_path / "a_2.nc", SHARES[2:], "%", time=(731,))
    with pytest.raises(DataError, match="units of a variable differ"):
        adapter_of(tmp_path / "a_*.nc")


def test_files_of_urls_are_read_and_named_by_their_urls(tmp_path):
    write(tmp_path / "a_1.nc", SHARES[:2], time=(0, 366))
    write(tmp_path / "a_2.nc", SHARES[2:], time=(731,))
    adapter = adapter_of(f"file://{tmp_path}/a_*.nc")
    np.testing.assert_allclose(read(adapter).crop, SHARES, rtol=1e-7)
    url = f"simplecache::file://{tmp_path}/a_2.nc"
    with pytest.raises(TimeError, match="no 'crop' for the year 2000") as error:
        read(adapter_of(url), years=(2000,))
    assert url in str(error.value)
    write(tmp_path / "b.nc", 2 * SHARES)
    url = f"simplecache::file://{tmp_path}/b.nc"
    with pytest.raises(DataError, match="no fractions") as error:
        read(adapter_of(url), years=(2000,))
    assert f"where: {url}" in str(error.value)


def test_a_grid_shifted_by_half_a_cell_is_refused(tmp_path):
    adapter = adapter_of(write(tmp_path / "a.nc", lon=GRID.lon + 0.25))
    with pytest.raises(GridError, match=r"centres differ by 0\.5 of a cell"):
        read(adapter)
    path = write(tmp_path / "b.nc")
    with netCDF4.Dataset(path, "a") as ds:
        ds.createDimension("two", 2)
        ds["lat"].bounds = "lat_bnds"
        # as in the static file of LUH2: the bounds begin at the centres
        ds.createVariable("lat_bnds", "f8", ("lat", "two"))[:] = np.stack([GRID.lat, GRID.lat - 0.5], axis=1)
    with pytest.raises(GridError, match="one of them is shifted") as error:
        adapter_of(path)
    assert "a distance of 0.5 cells" in str(error.value)
    np.testing.assert_allclose(read(adapter_of(path, check_bounds=False)).crop, SHARES, rtol=1e-7)
    with netCDF4.Dataset(path, "a") as ds:
        ds["lat_bnds"][:] = np.stack([GRID.lat + 0.25, GRID.lat - 0.25], axis=1)
    np.testing.assert_allclose(read(adapter_of(path)).crop, SHARES, rtol=1e-7)


def test_grids_that_are_not_regular_are_refused(tmp_path):
    lat = GRID.lat.copy()
    lat[2] += 0.1
    with pytest.raises(GridError, match="latitude is not evenly spaced"):
        adapter_of(write(tmp_path / "a.nc", lat=lat))
    with netCDF4.Dataset(tmp_path / "b.nc", "w") as ds:
        ds.createDimension("cell", 5)
        ds.createVariable("share", "f8", ("cell",))[:] = 0.5
    with pytest.raises(GridError, match="no latitude-longitude grid") as error:
        adapter_of(tmp_path / "b.nc")
    assert "{'cell': 5}" in str(error.value)


def test_names_and_options_that_cannot_be(tmp_path):
    path = write(tmp_path / "a.nc")
    with pytest.raises(DataError, match="'shares' is missing") as error:
        netcdf(NetcdfOptions(path=path, variables={"crop": {"name": "shares", "kind": "fraction"}}))
    assert "did you mean 'share'?" in str(error.value)
    with pytest.raises(DataError, match="'corp' is not among"):
        adapter_of(path).read(Request(("corp",), GRID, (2000,)))
    with pytest.raises(DataError, match="an input file is missing"):
        adapter_of(tmp_path / "b.nc")
    with pytest.raises(DataError, match="matches a pattern"):
        adapter_of(tmp_path / "b*.nc")
    for wrong in ({"units": "K"}, {"kind": "category", "factor": 2}, {"factor": 0}, {"kind": "mass"}, {"unit": "K"}):
        with pytest.raises(ValidationError):
            adapter_of(path, **{"kind": "fraction", **wrong})


def test_another_dimension_is_refused(tmp_path):
    with netCDF4.Dataset(write(tmp_path / "a.nc"), "a") as ds:
        ds.createDimension("pft", 2)
        ds.createVariable("cover", "f8", ("time", "pft", "lat", "lon"))[:] = 0.5
    with pytest.raises(DataError, match="dimension too many") as error:
        netcdf(NetcdfOptions(path=tmp_path / "a.nc", variables={"x": {"name": "cover", "kind": "fraction"}}))
    assert "each 'pft'" in str(error.value)
    assert "select: {pft: VALUE}" in str(error.value)


PARTS = np.random.default_rng(5).dirichlet(np.ones(4), (3, 6, 8)).transpose(0, 3, 1, 2)  # (time, part, lat, lon)


def write_parts(path, dims=("time", "part", "lat", "lon"), values=PARTS):
    """A variable ``cover`` with a dimension ``part`` of four, without a coordinate."""
    with netCDF4.Dataset(write(path), "a") as ds:
        ds.createDimension("part", 4)
        ds.createVariable("cover", "f8", dims)[:] = values
    return path


def parts_of(path, wanted, kind="fraction", dim="part"):
    variable = {"name": "cover", "kind": kind, "select": {dim: wanted}}
    return read(netcdf(NetcdfOptions(path=path, variables={"crop": variable}))).crop


def test_a_further_dimension_is_selected_by_position(tmp_path):
    path = write_parts(tmp_path / "a.nc")
    for position in range(4):
        np.testing.assert_allclose(parts_of(path, position), PARTS[:, position], rtol=1e-6)
    np.testing.assert_allclose(parts_of(path, [0, 3]), PARTS[:, 0] + PARTS[:, 3], rtol=1e-6)
    np.testing.assert_allclose(parts_of(path, [0, 1, 2, 3]), 1.0, rtol=1e-6)
    last = write_parts(tmp_path / "b.nc", ("lon", "lat", "part", "time"), PARTS.transpose(3, 2, 1, 0))
    np.testing.assert_allclose(parts_of(last, 2), PARTS[:, 2], rtol=1e-6)


def test_a_further_dimension_is_selected_by_the_value_of_its_coordinate(tmp_path):
    with netCDF4.Dataset(write_parts(tmp_path / "a.nc"), "a") as ds:
        ds.createVariable("part", "f4", ("part",))[:] = [3, 2, 1, 0.1]
    np.testing.assert_allclose(parts_of(tmp_path / "a.nc", 3), PARTS[:, 0], rtol=1e-6)
    np.testing.assert_allclose(parts_of(tmp_path / "a.nc", 0.1), PARTS[:, 3], rtol=1e-6)
    with pytest.raises(DataError, match="finds 0 0 times along dimension 'part'") as error:
        parts_of(tmp_path / "a.nc", 0)
    assert "3, 2, 1, 0.1" in str(error.value)


@pytest.mark.parametrize("kind", ["characters", "texts", "flags", "own name"])
def test_a_further_dimension_is_selected_by_name(tmp_path, kind):
    names = ["primary_and_secondary", "pastures", "crops", "urban"]
    with netCDF4.Dataset(write_parts(tmp_path / "a.nc"), "a") as ds:
        if kind == "flags":
            ds.createVariable("part", "i4", ("part",))[:] = [4, 3, 2, 1]
            ds["part"].setncatts({"flag_values": np.arange(1, 5, dtype="i4"), "flag_meanings": " ".join(names[::-1])})
        elif kind == "characters":  # as CMIP6 writes `landUse`: characters in an auxiliary coordinate
            ds.createDimension("strlen", 30)
            sector = ds.createVariable("sector", "S1", ("part", "strlen"))
            sector[:] = netCDF4.stringtochar(np.array(names, "S30"))
            ds["cover"].coordinates = "sector"
        else:
            sector = ds.createVariable("part" if kind == "own name" else "sector", str, ("part",))
            sector[:] = np.array(names, object)
            ds["cover"].coordinates = "sector" if kind == "texts" else ""
    np.testing.assert_allclose(parts_of(tmp_path / "a.nc", "crops"), PARTS[:, 2], rtol=1e-6)
    np.testing.assert_allclose(parts_of(tmp_path / "a.nc", ["urban", "crops"]), PARTS[:, 2] + PARTS[:, 3], rtol=1e-6)
    with pytest.raises(DataError, match="finds 'crop' 0 times") as error:
        parts_of(tmp_path / "a.nc", "crop")
    assert "did you mean 'crops'?" in str(error.value)


def test_a_selection_that_cannot_be_is_refused(tmp_path):
    path = write_parts(tmp_path / "a.nc")
    for wanted, match in ((4, "finds 4 0 times"), (-1, "finds -1 0 times"), (0.5, "finds 0.5 0 times")):
        with pytest.raises(DataError, match=match) as error:
            parts_of(path, wanted)
        assert "a.nc" in str(error.value)
        assert "from 0 to 3" in str(error.value)
    for wanted, kind in (([0, 1], "density"), ([0, 1], "category"), ([], "fraction"), ([1, 1], "fraction")):
        with pytest.raises(ValidationError):
            parts_of(path, wanted, kind)
    for dim, match in (("pft", "has no dimension 'pft'"), ("lat", "which is time, latitude or longitude")):
        variable = {"name": "cover", "kind": "fraction", "select": {"part": 0, dim: 0}}
        with pytest.raises(DataError, match=match):
            netcdf(NetcdfOptions(path=path, variables={"crop": variable}))


def test_the_examples_of_the_documentation_are_valid():
    text = (Path(__file__).parents[2] / "docs" / "adapters-maps.md").read_text()
    options = {"hilda": HildaOptions, "static": StaticOptions, "netcdf": NetcdfOptions}
    seen = []
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        example = yaml.safe_load(block)
        for entry in [example.get("initial", {}), *example.get("static", []), *example.get("forcing", [])]:
            if entry:
                options[entry["name"]].model_validate(entry["options"])
                seen.append(entry["name"])
    assert set(seen) == set(options)


@pytest.mark.real_data
def test_real_cell_areas_are_whole_cells(sample_data):
    # LUH2's carea sums to 5.1006e8 km2 (data README); no attribute names its wrong bounds, so nobody reads them
    path = sample_data / "luh2" / "staticData_quarterdeg.nc"
    spec = {"cell": {"name": "carea", "kind": "area"}, "water": {"name": "icwtr", "kind": "fraction"}}
    adapter = netcdf(NetcdfOptions(path=path, variables=spec))
    ds = adapter.read(Request(("cell", "water"), adapter.grid()))
    area = np.broadcast_to(adapter.grid().row_area[:, None], adapter.grid().shape)
    np.testing.assert_allclose(float((ds.cell.values * area).sum()) / 1e6, 5.1006e8, rtol=2e-4)
    with xr.open_dataset(path) as clean:
        np.testing.assert_allclose(ds.water, clean.icwtr, atol=1e-6)


def test_the_earlier_import_path_of_the_axes_works():
    assert axes.read_years is api.read_years


def test_the_years_between_two_files_are_told_as_gaps(tmp_path):
    # 2000, 2001 in one file, 2004 in the other: the catalogue finds 2002 and 2003 before the first step
    write(tmp_path / "a_1.nc", SHARES[:2], time=(0, 366))
    write(tmp_path / "a_2.nc", SHARES[2:], time=(366 + 3 * 365,))
    info = adapter_of(tmp_path / "a_*.nc").fields()["crop"]
    assert (info.years, info.gaps) == ((2000, 2004), (2002, 2003))
    with pytest.raises(TimeError, match="no forcing adapter has 'crop' for the year 2002") as error:
        Catalogue("forcing", [NamedAdapter("netcdf", adapter_of(tmp_path / "a_*.nc"))]).find("crop", 2002)
    assert "2000-2004 without 2002, 2003" in str(error.value)


def test_files_whose_rows_run_opposite_ways_are_read_each_in_its_order(tmp_path):
    write(tmp_path / "a_1.nc", SHARES[:2], time=(0, 366))
    write(tmp_path / "a_2.nc", SHARES[2:, ::-1], time=(731,), lat=GRID.lat[::-1], lon=GRID.lon + 360)
    adapter = adapter_of(tmp_path / "a_*.nc")
    assert adapter.grid() == GRID
    np.testing.assert_allclose(read(adapter).crop, SHARES, rtol=1e-7)
    np.testing.assert_allclose(read(adapter, GRID.sub(Box(1, 4, 2, 7))).crop, SHARES[:, 1:4, 2:7], rtol=1e-7)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lon": GRID.lon + 0.002}, r"centres differ by 0\.004 of a cell"),
        ({"lat": GRID.lat + 0.1}, r"centres differ by 0\.2 of a cell"),
        ({"lat": GRID.lat - 0.5}, "8 cells of one are not in the other"),
        ({"lat": 55.75 - 0.25 * np.arange(6)}, "the cell sizes differ"),
    ],
)
def test_the_difference_between_the_grids_of_two_files_is_told(tmp_path, change, match):
    write(tmp_path / "a_1.nc", SHARES[:2], time=(0, 366))
    write(tmp_path / "a_2.nc", SHARES[2:], time=(731,), **change)
    with pytest.raises(GridError, match=match) as error:
        adapter_of(tmp_path / "a_*.nc")
    assert "a_2.nc" in str(error.value)


def test_time_bounds_in_other_units_than_time_are_read(tmp_path):
    # CF has them in the same units; cdo and hand-made files do not always
    attributes = {"units": "days since 2000-01-01", "calendar": "noleap", "bounds": "time_bnds"}
    path = write(tmp_path / "a.nc", time=[5657, 6022, 6387], time_attributes=attributes)
    with netCDF4.Dataset(path, "a") as ds:
        ds.createDimension("two", 2)
        ds.createVariable("time_bnds", "f8", ("time", "two"))[:] = [[15, 16], [16, 17], [17, 18]]
        ds["time_bnds"].units = "years since 2000-01-01"
    adapter = adapter_of(path)
    assert (adapter.fields()["crop"].years, adapter.fields()["crop"].gaps) == ((2015, 2017), ())
    np.testing.assert_allclose(read(adapter, years=(2015, 2016, 2017)).crop, SHARES, rtol=1e-7)


def test_a_land_use_series_of_clm_is_read(tmp_path):
    # as landuse.timeseries of CTSM: dimensions without coordinates, 2-D places, per cent of plant types, plain years
    with netCDF4.Dataset(tmp_path / "clm.nc", "w") as ds:
        for name, size in (("lsmlon", 8), ("lsmlat", 6), ("natpft", 4), ("time", 3)):
            ds.createDimension(name, size)
        north, east = np.meshgrid(GRID.lat[::-1], GRID.lon + 360, indexing="ij")
        for name, values, units in (("LATIXY", north, "degrees north"), ("LONGXY", east, "degrees east")):
            ds.createVariable(name, "f8", ("lsmlat", "lsmlon"))[:] = values
            ds[name].units = units
        ds.createVariable("natpft", "i4", ("natpft",))[:] = np.arange(4)
        ds.createVariable("time", "i4", ("time",))[:] = [2000, 2001, 2002]
        ds.createVariable("cover", "f8", ("time", "natpft", "lsmlat", "lsmlon"))[:] = 100 * PARTS[:, :, ::-1]
        ds["cover"].units = "%"
    np.testing.assert_allclose(parts_of(tmp_path / "clm.nc", 3, dim="natpft"), PARTS[:, 3], rtol=1e-6)
    np.testing.assert_allclose(
        parts_of(tmp_path / "clm.nc", [1, 2], dim="natpft"), PARTS[:, 1] + PARTS[:, 2], rtol=1e-6
    )
