"""The adapter ``luh2``: states sum to at most 1, missing values are found, windows are slices."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import xarray as xr
from adapter_files import FILL, LAT, LON, STATES, fractions, write_fields, write_states
from pydantic import ValidationError

from ai4land_coupler.api import Box, DataAdapter, DataError, FieldError, GridError, LatLonGrid, Request, TimeError
from ai4land_luh2 import plugin
from ai4land_luh2.plugin import Luh2Options, luh2

GRID = LatLonGrid.from_centres(LON, LAT)
YEARS = (2015, 2016, 2017)


def read(adapter, *names, grid=GRID, years=YEARS) -> xr.Dataset:
    return adapter.read(Request(names or STATES, grid, years))


def adapter_of(path, **options):
    return luh2(Luh2Options(states=path, **options))


def test_registers_under_its_name():
    seen = {}

    class Registry:
        def adapter(self, name, factory, options):
            seen[name] = (factory, options)

    plugin.ai4land_register(Registry())
    assert seen == {"luh2": (luh2, Luh2Options)}


def test_reads_what_was_written(tmp_path):
    states = fractions()
    adapter = adapter_of(write_states(tmp_path / "states.nc", states))
    assert isinstance(adapter, DataAdapter)
    assert adapter.fields()["primf"].years == (2015, 2017)
    assert adapter.fields()["primf"].units == "1"
    ds = read(adapter, years=(2017, 2015))
    assert ds.year.values.tolist() == [2017, 2015]
    for name in STATES:
        assert ds[name].dtype == np.float32
        expected = np.where(states[name] > 1e19, np.nan, states[name])[[2, 0]]
        np.testing.assert_array_equal(ds[name], expected)
    assert set(ds.attrs["quality"].values()) == {0}
    np.testing.assert_array_equal(ds.lat, GRID.lat)
    np.testing.assert_array_equal(ds.lon, GRID.lon)


def test_flipped_and_shifted_copies_are_read_identically(tmp_path):
    states = fractions()
    plain = read(adapter_of(write_states(tmp_path / "a.nc", states)))
    flipped = write_states(tmp_path / "b.nc", {n: v[:, ::-1] for n, v in states.items()}, lat=LAT[::-1])
    # 0 to 360 from Greenwich: the columns west of it move to the end of a global file
    lon = np.arange(0.125, 360, 0.25)
    turned = {n: np.full((3, 6, lon.size), FILL, np.float32) for n in states}
    columns = np.searchsorted(lon, LON % 360)
    for name, values in states.items():
        turned[name][..., columns] = values
    for path in (flipped, write_states(tmp_path / "c.nc", turned, lon=lon)):
        xr.testing.assert_identical(read(adapter_of(path)).drop_attrs(), plain.drop_attrs())


def test_a_window_is_a_slice_of_the_whole(tmp_path):
    adapter = adapter_of(write_states(tmp_path / "states.nc", fractions()))
    whole = read(adapter)
    part = read(adapter, grid=GRID.sub(Box(1, 4, 3, 7)))
    xr.testing.assert_allclose(part.drop_attrs(), whole.isel(lat=slice(1, 4), lon=slice(3, 7)).drop_attrs(), rtol=0)


def test_cells_outside_a_regional_file_are_missing_and_counted(tmp_path):
    adapter = adapter_of(write_states(tmp_path / "states.nc", fractions()))
    ds = read(adapter, "primf", grid=GRID.sub(Box(-2, 6, 0, 8)))
    assert ds.attrs["quality"]["outside"] == 2 * 8
    assert np.isnan(ds.primf[:, :2]).all()
    assert np.isfinite(ds.primf[:, 2:, 2:]).all()


def test_sums_within_the_tolerance_are_scaled_to_one_and_counted(tmp_path):
    states = fractions()
    for values in states.values():
        values[0, 1, 4] *= 1.005
        values[2, 3, 5] *= 0.97  # ice and water: below 1 is right
    ds = read(adapter_of(write_states(tmp_path / "states.nc", states)))
    assert ds.attrs["quality"]["renormalised"] == 1
    total = sum(ds[n].astype("f8") for n in STATES).values
    assert total[0, 1, 4] == pytest.approx(1.0, abs=1e-6)
    assert total[2, 3, 5] == pytest.approx(0.97, abs=1e-6)
    ratio = ds.primf.values[0, 1, 4] / states["primf"][0, 1, 4]
    assert ratio == pytest.approx(1 / 1.005, rel=1e-5)
    # one state alone is closed with all of them
    np.testing.assert_array_equal(read(adapter_of(tmp_path / "states.nc"), "primf").primf, ds.primf)


def test_states_over_one_stop_and_name_the_worst_cell(tmp_path):
    states = fractions()
    for values in states.values():
        values[1, 2, 3] *= 1.02
        values[1, 4, 6] *= 1.3
    path = write_states(tmp_path / "states.nc", states)
    with pytest.raises(DataError, match="states over 1 by more than the tolerance in 2 cells") as error:
        read(adapter_of(path))
    for part in (str(path), "year 2016", "59.1250 N -2.3750 E", "the worst sum is 1.3", "0.01"):
        assert part in str(error.value)
    assert read(adapter_of(path, tolerance=0.4)).attrs["quality"]["renormalised"] == 2
    assert read(adapter_of(path), years=(2015, 2017)).attrs["quality"]["renormalised"] == 0
    mended = read(adapter_of(path, policy="mend"))
    assert mended.attrs["quality"]["renormalised"] == 2
    assert float(sum(mended[n] for n in STATES).max()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("attribute", [None, "_fillvalue", "_Fillvalue", "missing_value"])
def test_missing_is_missing_however_the_attribute_is_spelt(tmp_path, attribute):
    ds = read(adapter_of(write_states(tmp_path / "states.nc", fractions(), fill_attribute=attribute)))
    assert np.isnan(ds.primf[:, :, :2]).all()
    assert float(ds.to_array().max()) <= 1


def test_an_averaged_fill_value_above_1e19_is_missing_and_counted(tmp_path):
    states = fractions()
    states["secdf"][0, 2, 2] = 5e19
    ds = read(adapter_of(write_states(tmp_path / "states.nc", states, fill_attribute=None)))
    assert np.isnan(ds.secdf[0, 2, 2])
    assert ds.attrs["quality"]["partly_missing"] == 1


@pytest.mark.parametrize("value", [1e18, 4e15, 1.02, 37.5, -0.02, -1e15])
def test_values_that_are_no_fractions_are_refused_by_name(tmp_path, value):
    states = fractions()
    states["secdf"][1, 2, 4] = value
    path = write_states(tmp_path / "states.nc", states, fill_attribute=None)
    with pytest.raises(DataError, match="variable 'secdf' holds values that are no fractions in 1 cells") as error:
        read(adapter_of(path), "primf")
    for part in (f"{np.float32(value):.6g}", "year 2016", "59.6250 N -2.8750 E", "averaged or not masked"):
        assert part in str(error.value)
    mended = read(adapter_of(path, policy="mend"))
    assert mended.attrs["quality"]["removed"] == 1
    assert all(np.isnan(mended[n][1, 2, 4]) for n in STATES)


def test_small_negative_fractions_are_clipped_and_counted(tmp_path):
    states = fractions()
    states["urban"][0, 0, 5] = -1e-3
    ds = read(adapter_of(write_states(tmp_path / "states.nc", states)))
    assert ds.urban[0, 0, 5] == 0
    assert ds.attrs["quality"]["clipped"] == 1


def test_per_cent_is_converted(tmp_path):
    states = fractions()
    percent = {n: np.where(v > 1e19, v, v * 100) for n, v in states.items()}
    path = write_states(tmp_path / "states.nc", percent, units=dict.fromkeys(STATES, "%"))
    np.testing.assert_allclose(read(adapter_of(path)).primf[:, :, 2:], states["primf"][:, :, 2:], rtol=1e-6)


def test_wrong_units_name_variable_found_and_expected(tmp_path):
    path = write_states(tmp_path / "states.nc", fractions(), units={"pastr": "km2"})
    with pytest.raises(FieldError, match="wrong units") as error:
        adapter_of(path)
    for part in ("expected: 1", "found: km2", "variable 'pastr'", str(path)):
        assert part in str(error.value)


def test_biomass_and_age_are_not_in_the_sum_of_the_states(tmp_path):
    states = fractions()
    secma = np.where(states["primf"] > 1e19, FILL, np.float32(170.0))
    secmb = np.where(states["primf"] > 1e19, FILL, np.float32(11.5))
    path = write_states(tmp_path / "states.nc", {**states, "secma": secma, "secmb": secmb})
    adapter = adapter_of(path)
    ds = read(adapter, "secma", "secmb", "primf")
    assert (adapter.fields()["secma"].units, adapter.fields()["secmb"].units) == ("year", "kg m-2")
    assert float(ds.secma.max()) == 170
    assert float(ds.secmb.min()) == 11.5
    assert np.isnan(ds.secma[:, :, :2]).all()
    assert ds.attrs["quality"]["renormalised"] == 0
    secma[0, 0, 3] = 1e18
    write_states(path, {**states, "secma": secma})
    with pytest.raises(DataError, match="'secma' holds values that it cannot have in 1 cells"):
        read(adapter_of(path), "secma")


def test_crop_replaces_the_five_crop_states_only_if_they_are_absent(tmp_path):
    names = ("primf", "primn", "secdf", "secdn", "urban", "crop", "pastr", "range")
    states = fractions(names=names)
    for values in states.values():
        values[0, 0, 4] *= 1.004
    ds = read(adapter_of(write_states(tmp_path / "crop.nc", states)), "crop", "primf")
    assert ds.attrs["quality"]["renormalised"] == 1
    both = fractions()
    both["crop"] = sum(both[n].astype("f8") for n in ("c3ann", "c4ann", "c3per", "c4per", "c3nfx")).clip(max=1e20)
    ds = read(adapter_of(write_states(tmp_path / "both.nc", both)), "crop", "primf")
    assert ds.attrs["quality"]["renormalised"] == 0


def test_year_outside_names_first_and_last(tmp_path):
    adapter = adapter_of(write_states(tmp_path / "states.nc", fractions()))
    with pytest.raises(TimeError, match="the year 2018 is not in the data") as error:
        read(adapter, years=(2017, 2018))
    assert "from 2015 to 2017" in str(error.value)
    assert "states.nc" in str(error.value)
    with pytest.raises(TimeError, match="without a year"):
        read(adapter, years=())


@pytest.mark.parametrize(
    ("units", "first", "text"),
    [
        ("months since 850-01-01", 365.0, "one step for each year"),
        ("seconds since 850-01-01", 365.0, "one step for"),
        ("days since 850-01-01", 365.0, "drift|one step for each year"),
        ("years", 0.5, "units of the LUH2 layout"),
    ],
)
def test_other_time_axes_are_refused(tmp_path, units, first, text):
    path = write_states(tmp_path / "states.nc", fractions(), time_units=units, first=first)
    with pytest.raises(TimeError, match=text):
        adapter_of(path)


def test_missing_file_suggests_the_nearest(tmp_path):
    write_states(tmp_path / "states.nc", fractions())
    with pytest.raises(DataError, match="an input file is missing") as error:
        adapter_of(tmp_path / "state.nc")
    assert "did you mean 'states.nc'?" in str(error.value)
    assert str(tmp_path / "state.nc") in str(error.value)


def test_a_file_that_is_no_netcdf_is_refused(tmp_path):
    (tmp_path / "states.nc").write_bytes(b"<html>404</html>")
    with pytest.raises(DataError, match="cannot be read") as error:
        adapter_of(tmp_path / "states.nc")
    assert "as netCDF" in str(error.value)


def test_a_truncated_file_is_refused(tmp_path):
    path = write_states(tmp_path / "states.nc", fractions(years=200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="cannot be read") as error:
        read(adapter_of(path))
    assert "truncated" in str(error.value)


def test_missing_variable_suggests_the_nearest(tmp_path):
    adapter = adapter_of(write_states(tmp_path / "states.nc", fractions()))
    with pytest.raises(DataError, match="variable 'pasture' is missing") as error:
        read(adapter, "pasture")
    assert "did you mean 'pastr'?" in str(error.value)


def test_a_file_without_states_is_refused(tmp_path):
    path = write_states(tmp_path / "transitions.nc", {"primf_to_secdn": fractions()["primf"]}, units={})
    with pytest.raises(DataError, match="none of the variables") as error:
        adapter_of(path)
    assert "primf_to_secdn" in str(error.value)


def test_other_dimensions_are_refused(tmp_path):
    path = tmp_path / "states.nc"
    with netCDF4.Dataset(path, "w") as ds:
        for name in ("time", "lon", "lat"):
            ds.createDimension(name, 2)
        ds.createVariable("primf", "f4", ("time", "lon", "lat"))
    with pytest.raises(DataError, match="'primf' does not have the dimensions of the LUH2 layout"):
        adapter_of(path)


def test_wrong_grid_names_both(tmp_path):
    adapter = adapter_of(write_states(tmp_path / "states.nc", fractions()))
    wanted = LatLonGrid(-4.0, 0.5, 4, 60.25, -0.5, 3)
    with pytest.raises(GridError, match="not registered") as error:
        read(adapter, grid=wanted)
    assert str(GRID) in str(error.value)
    assert str(wanted) in str(error.value)


def test_uneven_coordinates_are_refused(tmp_path):
    lat = LAT.copy()
    lat[2] += 0.1
    with pytest.raises(GridError, match="latitude is not evenly spaced"):
        adapter_of(write_states(tmp_path / "states.nc", fractions(), lat=lat))


def test_static_fields_and_states_larger_than_the_land(tmp_path):
    icwtr = np.zeros((6, 8))
    icwtr[0, 4] = 1.0  # carries records although it is all ice and water
    fields = {
        "icwtr": (icwtr, {"units": "1"}),
        "carea": (np.full((6, 8), 380.0), {"units": "km2"}),
    }
    static = write_fields(tmp_path / "static.nc", fields, LAT, LON)
    adapter = adapter_of(write_states(tmp_path / "states.nc", fractions()), static=static)
    assert adapter.fields()["carea"].units == "m2"
    ds = read(adapter, "icwtr", "carea", "primf")
    assert ds.carea.dims == ("lat", "lon")
    np.testing.assert_allclose(ds.carea, 380e6)
    assert ds.attrs["quality"]["over_land"] == len(YEARS)
    assert "year" not in read(adapter, "icwtr", years=()).dims


def test_static_file_on_another_grid_is_refused(tmp_path):
    fields = {"icwtr": (np.zeros((6, 8)), {"units": "1"})}
    static = write_fields(tmp_path / "static.nc", fields, LAT, LON + 0.1)
    with pytest.raises(GridError, match="static file is not on the grid of the states"):
        adapter_of(write_states(tmp_path / "states.nc", fractions()), static=static)


def test_unknown_options_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="tolerence"):
        Luh2Options(states=tmp_path / "states.nc", tolerence=0.1)


@pytest.fixture
def real(sample_data):
    folder = sample_data / "luh2"
    return luh2(Luh2Options(states=folder / "states_2015_derived.nc", static=folder / "staticData_quarterdeg.nc"))


@pytest.mark.real_data
def test_real_states_are_those_of_the_file(real, sample_data):
    grid = real.grid()
    assert (grid.shape, grid.lat[0], grid.lon[0]) == ((720, 1440), 89.875, -179.875)
    ds = real.read(Request(("primf", "crop", "icwtr", "carea"), grid, (2015,)))
    with xr.open_dataset(sample_data / "luh2" / "states_2015_derived.nc", decode_times=False) as raw:
        primf = raw.primf.values
    assert int(np.isfinite(ds.primf).sum()) == 258_539
    np.testing.assert_allclose(ds.primf, np.where(primf > 1, np.nan, primf), rtol=1e-5)
    # published: the areas sum to 5.1006e8 km2
    assert float(ds.carea.sum(dtype="f8")) == pytest.approx(5.1006e14, rel=1e-4)
    np.testing.assert_allclose(ds.carea.values, np.broadcast_to(grid.row_area[:, None], grid.shape), rtol=0.01)
    quality = ds.attrs["quality"]
    assert {fault: count for fault, count in quality.items() if count} == {"renormalised": 2}


@pytest.mark.real_data
def test_real_window_is_a_slice_across_the_date_line(real):
    names = ("secdf", "icwtr")
    whole = real.read(Request(names, real.grid(), (2015,)))
    window = real.grid().sub(Box(90, 110, 1430, 1450))
    part = real.read(Request(names, window, (2015,)))
    for name in names:
        expected = np.concatenate([whole[name].values[..., 90:110, 1430:], whole[name].values[..., 90:110, :10]], -1)
        np.testing.assert_array_equal(part[name], expected)
    np.testing.assert_array_equal(part.lon, window.lon)


@pytest.mark.real_data
def test_real_year_outside(real):
    with pytest.raises(TimeError, match="the year 2016") as error:
        real.read(Request(("primf",), real.grid(), (2016,)))
    assert "from 2015 to 2015" in str(error.value)


@pytest.mark.real_data
def test_states_and_static_file_of_different_regridding_are_read(sample_data):
    """In the scenario of the British Isles, 900 cells at coasts have less land than the published static file says."""
    path = next((sample_data / "scenario").glob("*.nc"))
    adapter = luh2(Luh2Options(states=path, static=sample_data / "luh2" / "staticData_quarterdeg.nc"))
    scotland = LatLonGrid(-6.0, 0.25, 16, 59.0, -0.25, 16)
    for grid in (adapter.grid(), scotland):
        quality = adapter.read(Request(("urban",), grid, (2015, 2100))).attrs["quality"]
        assert quality["under_land"] > 100
        assert quality["over_land"] > 50
