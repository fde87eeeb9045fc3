"""Each fault in each variable of each kind of file is refused by name or counted."""

from __future__ import annotations

import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from adapter_files import LAT, LON, fractions, write_fields, write_states

from ai4land_coupler.api import Ai4LandError, DataError, GridError, Request, TimeError, open_netcdf
from ai4land_coupler.experiments.twin.luh_land_use import land_use_of
from ai4land_coupler.experiments.twin.luh_layouts import KINDS, write_published
from ai4land_luh2.plugin import Luh2Options, luh2

YEAR = 2014


@pytest.fixture(scope="module")
def use(small_twin):
    return land_use_of(small_twin, luh3=True).part(2013, 2015)


@pytest.fixture(scope="module")
def written(use, tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("luh3"), "luh3", use)


@pytest.fixture
def paths(written, tmp_path):
    """Files that the tests of this module may change."""
    return {kind: shutil.copy(path, tmp_path / path.name) for kind, path in written.items()}


#: All variables in a soak test; else every so many of those that are much alike.
EVERY = pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.soak)])
STRIDE = {"transitions": 47, "management": 7}


def names_of(use, kind, every):
    return list(getattr(use, kind))[:: 1 if every else STRIDE.get(kind, 2)]


@pytest.fixture
def cell(use):
    """Row and column of a cell with land."""
    return tuple(np.argwhere(np.isfinite(use.states["primf"][1]))[7])


class Tampered:
    """Replaces a value or a variable of a file until the block ends."""

    def __init__(self, path, name, cell, change):
        self.path, self.name, self.change = path, name, change
        self.index = (*((1,) if "static" not in path.name else ()), *cell) if cell is not None else ...

    def __enter__(self):
        with netCDF4.Dataset(self.path, "a") as ds:
            ds.set_auto_mask(False)
            self.before = ds[self.name][self.index].copy()
            ds[self.name][self.index] = self.change(self.before)

    def __exit__(self, *_):
        with netCDF4.Dataset(self.path, "a") as ds:
            ds.set_auto_mask(False)
            ds[self.name][self.index] = self.before


def read(paths, kind, name, **options):
    adapter = luh2(Luh2Options(**paths, **options))
    return adapter.read(Request((name,), adapter.grid(), () if kind == "static" else (YEAR,)))


@EVERY
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.inf, -0.5, *(pytest.param(v, marks=pytest.mark.soak) for v in (-np.inf, 1e18))])
def test_impossible_values_are_refused_by_name_and_mended_by_policy(paths, use, cell, kind, value, every):
    stop, mend = (luh2(Luh2Options(**paths, policy=policy)) for policy in ("stop", "mend"))
    for name in names_of(use, kind, every):
        request = Request((name,), use.grid, () if kind == "static" else (YEAR,))
        # half a kilogram is the rounding of some million tonnes in float32, and so is half a square metre
        wrong = value * 1e4 if value == -0.5 and (name.endswith("_bioh") or name == "carea") else value
        with Tampered(paths[kind], name, cell, lambda _, wrong=wrong: wrong):
            with pytest.raises(DataError, match=f"variable '{name}' holds values") as error:
                stop.read(request)
            assert str(paths[kind]) in str(error.value)
            mended = mend.read(request)
            assert mended.attrs["quality"]["removed"] == 1
            assert np.isnan(mended[name].values[..., *cell]).all()
        assert stop.read(request).attrs["quality"]["removed"] == 0


@EVERY
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, 1e20])
def test_missing_values_on_land_are_missing_and_counted(paths, use, cell, kind, value, every):
    adapter = luh2(Luh2Options(**paths))
    fault = "partly_missing" if kind == "states" else "missing_on_land"
    for name in names_of(use, kind, every):
        with Tampered(paths[kind], name, cell, lambda _: value):
            ds = adapter.read(Request((name,), use.grid, () if kind == "static" else (YEAR,)))
        assert ds.attrs["quality"]["missing_on_land" if name in ("secma", "secmb") else fault] == 1
        expected = getattr(use, kind)[name][() if kind == "static" else (slice(1, 2),)].copy()
        expected[..., *cell] = np.nan
        scale = 1e6 if name == "carea" else 1.0
        np.testing.assert_array_equal(ds[name], (expected.astype("f8") * scale).astype("f4"))


@EVERY
@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_variable_is_named(paths, use, kind, every):
    for name in names_of(use, kind, every):
        with netCDF4.Dataset(paths[kind], "a") as ds:
            ds.renameVariable(name, "unknown_name")
        with pytest.raises(DataError, match=f"variable '{name}' is missing"):
            read(paths, kind, name)
        with netCDF4.Dataset(paths[kind], "a") as ds:
            ds.renameVariable("unknown_name", name)


@EVERY
@pytest.mark.parametrize("kind", KINDS)
def test_per_cent_is_read_with_its_units_and_refused_without(paths, use, kind, every):
    for name in names_of(use, kind, every):
        written = getattr(use, kind)[name]
        with netCDF4.Dataset(paths[kind]) as ds:
            units = ds[name].units
        if units not in ("1", "1 yr-1") or name == "ccode" or not np.nanmax(written[..., 1:, :]) > 0.011:
            continue
        expected = read(paths, kind, name)[name].values
        with Tampered(paths[kind], name, None, lambda v: np.where(v > 1e19, v, v * 100)):
            if kind == "static" or np.nanmax(written[1]) > 0.0102:
                with pytest.raises(DataError, match=f"variable '{name}' holds values"):
                    read(paths, kind, name)
            for found in ("%", units):
                with netCDF4.Dataset(paths[kind], "a") as ds:
                    ds[name].units = found
                if found == "%":
                    np.testing.assert_allclose(read(paths, kind, name)[name], expected, rtol=1e-6)


@EVERY
@pytest.mark.parametrize("kind", KINDS)
def test_units_of_something_else_are_refused_by_name(paths, use, kind, every):
    for name in names_of(use, kind, every):
        with netCDF4.Dataset(paths[kind], "a") as ds:
            units, ds[name].units = ds[name].units, "K"
        with pytest.raises(Ai4LandError, match="wrong units") as error:
            luh2(Luh2Options(**paths))
        assert f"variable {name!r}" in str(error.value)
        with netCDF4.Dataset(paths[kind], "a") as ds:
            ds[name].units = units


def test_areas_in_km2_under_the_label_m2_are_refused(paths):
    with netCDF4.Dataset(paths["static"], "a") as ds:
        ds["carea"].units = "m2"
    with pytest.raises(DataError, match="'carea' does not hold the areas of its cells") as error:
        read(paths, "static", "carea")
    assert "published file is in km2" in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axis", ["lat", "lon"])
@pytest.mark.parametrize("shift", [-0.125, 0.125])
def test_a_shift_by_half_a_cell_is_refused(paths, kind, axis, shift):
    with netCDF4.Dataset(paths[kind], "a") as ds:
        ds[axis][:] = ds[axis][:] + shift
    with pytest.raises(GridError, match=f"shifted by half a cell along '{axis}'") as error:
        luh2(Luh2Options(**paths))
    assert str(paths[kind]) in str(error.value)


@pytest.mark.parametrize("kind", ["states", "transitions", "management"])
def test_a_shift_by_another_part_of_a_cell_is_refused(paths, kind):
    with netCDF4.Dataset(paths[kind], "a") as ds:
        ds["lat"][:] = ds["lat"][:] + 0.05
    with pytest.raises(GridError, match="not on the grid of the states"):
        luh2(Luh2Options(**paths))


@pytest.mark.parametrize("axis", ["lat", "lon"])
@pytest.mark.parametrize("part", [0.02, -0.1, 0.25, 0.4, -0.49])
def test_a_shift_of_all_files_by_any_part_of_a_cell_is_refused(paths, axis, part):
    """The files fit each other, but not the published grid."""
    for path in paths.values():
        with netCDF4.Dataset(path, "a") as ds:
            ds[axis][:] = ds[axis][:] + 0.25 * part
    with pytest.raises(GridError, match=rf"shifted by (0\.\d+ of|half) a cell along '{axis}'") as error:
        luh2(Luh2Options(**paths))
    assert str(paths["states"]) in str(error.value)


def rewritten(path, target, change):
    """A copy of a file whose arrays are changed by a function of xarray."""
    with xr.open_dataset(path, decode_times=False, mask_and_scale=False) as ds:
        change(ds).to_netcdf(target / path.name, engine="netcdf4")
    return target / path.name


ORDERS = {
    "south up": lambda ds: ds.isel(lat=slice(None, None, -1)),
    "east to west": lambda ds: ds.isel(lon=slice(None, None, -1)),
    "0 to 360": lambda ds: ds.assign_coords(lon=ds.lon % 360),
    "longitude before latitude": lambda ds: ds.transpose("time", "lon", "lat", ..., missing_dims="ignore"),
    "time last": lambda ds: ds.transpose("lat", "lon", "time", ..., missing_dims="ignore"),
    "radian": lambda ds: ds.assign_coords(
        {n: (n, np.deg2rad(ds[n].values), ds[n].attrs | {"units": "radian"}) for n in ("lat", "lon")}
    ),
    "degrees_N": lambda ds: ds.assign_coords(lat=("lat", ds.lat.values, {"units": "degrees_N"})),
    "single precision": lambda ds: ds.assign_coords({n: ds[n].astype("f4") for n in ("lat", "lon")}),
    "no attributes": lambda ds: ds.assign_coords({n: (n, ds[n].values) for n in ("lat", "lon")}),
}


@pytest.mark.parametrize("order", ORDERS)
def test_files_with_other_orders_and_units_of_axes_are_read(paths, use, tmp_path, order):
    """South up, east to west, transposed, in radians: the values are those of the file with its own order."""
    (tmp_path / "other").mkdir()
    others = {kind: rewritten(path, tmp_path / "other", ORDERS[order]) for kind, path in paths.items()}
    adapter = luh2(Luh2Options(**others))
    names = {"states": "secdf", "transitions": "primf_harv", "management": "irrig_c3ann", "static": "icwtr"}
    for kind, name in names.items():
        found = adapter.read(Request((name,), use.grid, () if kind == "static" else (YEAR,)))[name]
        expected = getattr(use, kind)[name][() if kind == "static" else (slice(1, 2),)]
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda ds: ds.assign_coords(lat=("lat", ds.lat.values, {"units": "m"})), "latitude-longitude grid"),
        (lambda ds: ds.assign_coords(lat=("lat", ds.lat.values, {"units": "degrees_east"})), "latitude|contradict"),
        (lambda ds: ds.assign_coords(lat=("lat", ds.lat.values, {"standard_name": "grid_latitude"})), "latitude"),
        (lambda ds: ds.rename(lat="rlat"), "dimensions of the LUH2 layout"),
    ],
)
def test_axes_that_are_no_latitudes_are_refused(paths, tmp_path, change, text):
    (tmp_path / "other").mkdir()
    path = rewritten(paths["states"], tmp_path / "other", change)
    with pytest.raises(Ai4LandError, match=text) as error:
        luh2(Luh2Options(states=path))
    assert str(path) in str(error.value)


def days(path, dates, calendar, units="days since 850-01-01", steps=None):
    """States at dates, counted in a calendar; one step for each."""
    import cftime

    first = cftime.date2num([cftime.datetime(*d, calendar=calendar) for d in dates], units, calendar)
    write_states(path, fractions(len(dates)), time_units=units)
    with netCDF4.Dataset(path, "a") as ds:
        ds["time"][:] = first if steps is None else steps
        ds["time"].calendar = calendar
    return path


@pytest.mark.parametrize("calendar", ["noleap", "365_day", "standard", "proleptic_gregorian", "360_day", "all_leap"])
@pytest.mark.parametrize("day", [(1, 1), (7, 1), (12, 30)])
def test_dates_are_decoded_with_the_calendar_of_the_file(tmp_path, calendar, day):
    if day == (12, 30) and calendar != "360_day":
        day = (12, 31)
    path = days(tmp_path / "states.nc", [(year, *day) for year in (2014, 2015, 2016)], calendar)
    adapter = luh2(Luh2Options(states=path))
    assert adapter.fields()["primf"].years == (2014, 2016)
    written = fractions(3)["primf"]
    ds = adapter.read(Request(("primf",), adapter.grid(), (2015,)))
    np.testing.assert_array_equal(ds.primf.values[0, :, 2:], written[1, :, 2:])


@pytest.mark.parametrize("calendar", ["standard", "proleptic_gregorian", "360_day", "all_leap", "julian"])
@pytest.mark.parametrize("years", [range(2014, 2015), range(2014, 2022)])
@pytest.mark.parametrize("offset", [0, 182])
def test_days_counted_in_another_calendar_are_refused(tmp_path, calendar, years, offset):
    """LUH3 counts days in noleap; here the file names another calendar."""
    steps = [(year - 850) * 365 + offset for year in years]
    path = days(tmp_path / "states.nc", [(year, 1, 1) for year in years], calendar, steps=steps)
    with pytest.raises(TimeError, match=r"drift through the year|one step for each year") as error:
        luh2(Luh2Options(states=path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("calendar", ["leap", "none", "utc"])
@pytest.mark.parametrize("units", ["years since 850-01-01 0:0:0", "days since 850-01-01"])
def test_unknown_calendars_are_refused_by_name(tmp_path, calendar, units):
    path = write_states(tmp_path / "states.nc", fractions(1), time_units=units)
    with netCDF4.Dataset(path, "a") as ds:
        ds["time"].calendar = calendar
    with pytest.raises(TimeError, match="unknown calendar") as error:
        luh2(Luh2Options(states=path))
    assert f"found: '{calendar}'" in str(error.value)


@pytest.mark.parametrize("units", ["years", "year as %Y.%f", ""])
def test_other_units_of_time_are_refused_by_name(tmp_path, units):
    path = write_states(tmp_path / "states.nc", fractions(2), time_units=units)
    with pytest.raises(TimeError, match="not in the units of the LUH2 layout") as error:
        luh2(Luh2Options(states=path))
    assert f"found: {units or 'no units'}" in str(error.value)


def test_years_are_years_in_any_calendar(tmp_path):
    """A year in LUH2 is a calendar year, not the 365.2425 days of UDUNITS."""
    path = write_states(tmp_path / "states.nc", fractions(3))
    for calendar in ("noleap", "standard", "360_day"):
        with netCDF4.Dataset(path, "a") as ds:
            ds["time"].calendar = calendar
        assert luh2(Luh2Options(states=path)).fields()["primf"].years == (2015, 2017)


def test_a_static_file_of_other_cells_is_refused(paths, tmp_path):
    fields = {"icwtr": (np.zeros((6, 8)), {"units": "1"})}
    other = write_fields(tmp_path / "other.nc", fields, LAT + 0.1, LON)
    with pytest.raises(GridError, match="static file is not on the grid"):
        luh2(Luh2Options(states=paths["states"], static=other))


@pytest.mark.real_data
def test_real_static_file_has_country_codes(sample_data):
    folder = sample_data / "luh2"
    static = folder / "staticData_quarterdeg.nc"
    adapter = luh2(Luh2Options(states=folder / "states_2015_derived.nc", static=static))
    ds = adapter.read(Request(("ccode", "fstnf", "icwtr", "carea", "ptbio"), adapter.grid()))
    with xr.open_dataset(static) as raw:
        np.testing.assert_array_equal(ds.ccode, raw.ccode)
        lat, lon = 52.125, -0.875
        assert float(raw.ccode.sel(lat=lat, lon=lon)) == 826  # the United Kingdom, ISO 3166-1
    assert float(ds.ccode.sel(lat=lat, lon=lon)) == 826
    assert float(ds.carea.sum(dtype="f8")) == pytest.approx(5.1006e14, rel=1e-4)


@pytest.mark.real_data
def test_real_areas_of_2015_are_those_of_the_world(sample_data):
    """FAO, Land Use, Irrigation and Agricultural Practices (10 June 2019): in 2016 1.6 Gha of cropland, 3.3 Gha of
    permanent meadows and pastures, rangeland included. States and ice or water fill the globe."""
    folder = sample_data / "luh2"
    static = folder / "staticData_quarterdeg.nc"
    adapter = luh2(Luh2Options(states=folder / "states_2015_derived.nc", static=static))
    states = ("primf", "primn", "secdf", "secdn", "urban", "crop", "pastr", "range")
    ds = adapter.read(Request((*states, "icwtr", "carea"), adapter.grid(), (2015,)))
    share = {name: np.nan_to_num(ds[name].values[0].astype("f8")) for name in states}
    carea = ds.carea.values.astype("f8")
    giga_hectares = {name: float((values * carea).sum()) / 1e13 for name, values in share.items()}
    assert giga_hectares["crop"] == pytest.approx(1.6, rel=0.02)
    assert giga_hectares["pastr"] + giga_hectares["range"] == pytest.approx(3.3, rel=0.02)
    total = sum(share.values()) + ds.icwtr.values
    assert float((total * carea).sum()) == pytest.approx(5.1006e14, rel=1e-4)


@pytest.mark.parametrize("layout", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("unlimited", [True, False])
def test_truncated_classic_files_are_refused(tmp_path: Path, layout: str, unlimited: bool) -> None:
    """The netCDF library reads zeros from them without an error."""
    path = tmp_path / "whole.nc"
    with netCDF4.Dataset(path, "w", format=layout) as file:
        file.createDimension("time", None if unlimited else 4)
        file.createDimension("x", 500)
        file.createVariable("states", "f4", ("time", "x"))[:] = np.ones((4, 500))
    with open_netcdf(path) as dataset:
        assert (dataset["states"][:] == 1).all()
    short = tmp_path / "short.nc"
    for missing in (1, 1500, 4000):
        short.write_bytes(path.read_bytes()[:-missing])
        with pytest.raises(DataError, match="ends before its data"), open_netcdf(short):
            pass
