"""The adapters `climate` and `series`: names, units, calendars, grids and years of ERA5 and CMIP, against xarray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest
import xarray as xr
from climate_files import cmip, era5, months_from

from ai4land_climate.adapter import ClimateAdapter
from ai4land_climate.options import ClimateOptions, SeriesOptions
from ai4land_climate.series import SeriesAdapter
from ai4land_coupler.api import LatLonGrid, Request
from ai4land_coupler.config.sections import ForcingSection
from ai4land_coupler.errors import Ai4LandError, DataError, FieldError, GridError, TimeError
from ai4land_coupler.inputs.adapters import NamedAdapter, beyond_of
from ai4land_coupler.inputs.catalogue import Catalogue

#: A forcing grid of 0.25 degrees across the meridian of Greenwich.
GRID = LatLonGrid(-1.0, 0.25, 8, 52.0, -0.25, 6)
TAS, PR, RSDS, MRSO, CO2 = (
    "air_temperature",
    "precipitation_flux",
    "surface_downwelling_shortwave_flux_in_air",
    "mass_content_of_water_in_soil",
    "mole_fraction_of_carbon_dioxide_in_air",
)
ERA5_LAT, ERA5_LON = np.arange(54.0, 48.9, -0.25), np.arange(0.0, 360.0, 0.25)
CMIP_LAT, CMIP_LON = np.arange(-88.75, 90, 2.5), np.arange(0.0, 360.0, 2.5)


def adapter(path: Path | str, **options: Any) -> ClimateAdapter:
    return ClimateAdapter(ClimateOptions.model_validate({"path": str(path), **options}))


def read(source: ClimateAdapter, name: str, year: int = 2015, *months: int, grid: LatLonGrid = GRID) -> np.ndarray:
    dataset = source.read(Request((name,), grid, (year,), months or tuple(range(1, 13))))
    assert dataset[name].dims == ("year", "month", "lat", "lon")
    assert dataset[name].dtype == np.float32
    return dataset[name].values[0]


def numbers(count: int, lat: np.ndarray, lon: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.8, (count, lat.size, lon.size)).astype(np.float32)


def between(values: np.ndarray, lat: np.ndarray, lon: np.ndarray, grid: LatLonGrid = GRID) -> np.ndarray:
    """Bilinear interpolation by xarray, on the globe from -180 to 180."""
    array = xr.DataArray(values.astype(np.float64), {"lat": lat, "lon": lon}, ("month", "lat", "lon"))
    array = array.assign_coords(lon=(array.lon + 180) % 360 - 180).sortby("lon")
    return array.interp(lat=grid.lat, lon=grid.lon).values


# --- names and units


def test_era5(tmp_path: Path) -> None:
    """Amounts of the monthly means are those of a day, and the four layers of the soil are one mass of water."""
    base = numbers(24, ERA5_LAT, ERA5_LON)
    layers = {f"swvl{i}": (base / i, "m**3 m**-3") for i in range(1, 5)}
    fields = {"t2m": (280 + base, "K"), "tp": (base / 100, "m"), "ssrd": (base * 1e7, "J m**-2"), **layers}
    source = adapter(era5(tmp_path / "era5.nc", fields, months_from(2014, 24), ERA5_LAT, ERA5_LON))
    one = between(base[12:], ERA5_LAT, ERA5_LON)
    water = 1000 * (0.07 + 0.21 / 2 + 0.72 / 3 + 1.89 / 4) * one
    for name, expected in ((TAS, 280 + one), (PR, one * 10 / 86400), (RSDS, one * 1e7 / 86400), (MRSO, water)):
        np.testing.assert_allclose(read(source, name), expected, rtol=3e-7, err_msg=name)
    assert {name: info.units for name, info in source.fields().items()} == {
        TAS: "K",
        PR: "kg m-2 s-1",
        RSDS: "W m-2",
        MRSO: "kg m-2",
    }
    assert "added up over each day" in source.describe()


@pytest.mark.parametrize(("over", "seconds"), [("hour", 3600), ("month", 28 * 86400)])
def test_amounts_of_an_hour_or_a_month(tmp_path: Path, over: str, seconds: float) -> None:
    """A metre of rain is 1000 kg m-2. February of 2015 has 28 days."""
    path = era5(tmp_path / "a.nc", {"tp": (np.ones((12, 21, 1440)), "m")}, months_from(2015, 12), ERA5_LAT, ERA5_LON)
    np.testing.assert_allclose(read(adapter(path, accumulated=over), PR, 2015, 2), 1000 / seconds, rtol=1e-6)


@pytest.mark.parametrize("ending", [".nc", ".zarr"])
@pytest.mark.parametrize("calendar", ["360_day", "noleap", "gregorian", "proleptic_gregorian", "julian", "all_leap"])
def test_cmip(tmp_path: Path, calendar: str, ending: str) -> None:
    """Each month is the true one in each calendar, over leap years, in netCDF and Zarr."""
    months = months_from(2011, 60)
    index = np.array([12 * year + month - 1 for year, month in months], np.float64)
    ones = np.ones((60, CMIP_LAT.size, CMIP_LON.size))
    fields = {"tas": (200 + (index - index[0])[:, None, None] * ones, "K"), "mrso": (ones, "kg m-2")}
    source = adapter(cmip(tmp_path / f"a{ending}", fields, months, CMIP_LAT, CMIP_LON, calendar))
    for year in (2011, 2012, 2015):
        expected = 200 + 12 * (year - 2011) + np.arange(12)
        np.testing.assert_allclose(read(source, TAS, year)[:, 2, 3], expected, rtol=1e-7)
    assert source.fields()[TAS].years == (2011, 2015)
    assert source.fields()[TAS].month_gaps == frozenset()


def test_units_of_files_are_converted(tmp_path: Path) -> None:
    """By hand: 10 degC, 86.4 mm a day and 50 MJ m-2 a day."""
    ones = np.ones((12, CMIP_LAT.size, CMIP_LON.size))
    fields = {"tas": (10 * ones, "degC"), "pr": (86.4 * ones, "mm/day"), "rsds": (50 * ones, "MJ m-2 day-1")}
    source = adapter(cmip(tmp_path / "a.nc", fields, months_from(2015, 12), CMIP_LAT, CMIP_LON))
    for name, expected in ((TAS, 283.15), (PR, 1e-3), (RSDS, 50e6 / 86400)):
        np.testing.assert_allclose(read(source, name, 2015, 7), expected, rtol=1e-6)


def test_other_names_and_units(tmp_path: Path) -> None:
    ones = np.ones((12, CMIP_LAT.size, CMIP_LON.size))
    fields = {"temp": (10 * ones, "Celcius"), "hurs": (70 * ones, "%")}
    path = cmip(tmp_path / "a.nc", fields, months_from(2015, 12), CMIP_LAT, CMIP_LON)
    chosen = {TAS: {"name": "temp", "file_units": "degC"}, "relative_humidity": "hurs"}
    source = adapter(path, variables=chosen)
    np.testing.assert_allclose(read(source, TAS, 2015, 1), 283.15, rtol=1e-6)
    assert source.fields()["relative_humidity"].units == "%"
    np.testing.assert_allclose(read(source, "relative_humidity", 2015, 1), 70)


# --- grids


def test_a_coarse_gaussian_grid_is_interpolated(tmp_path: Path) -> None:
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(64)[0]))
    values = numbers(12, lat, CMIP_LON)
    path = cmip(tmp_path / "a.nc", {"tas": (250 + values, "K")}, months_from(2015, 12), lat, CMIP_LON)
    np.testing.assert_allclose(read(adapter(path), TAS), between(250 + values, lat, CMIP_LON), rtol=1e-7)


def test_a_file_on_the_grid_of_the_run_is_unchanged(tmp_path: Path) -> None:
    """Also with rows from south to north, and longitudes from 0 to 360."""
    lat, lon = GRID.lat[::-1], np.arange(0.125, 360, 0.25)
    values = 280 + numbers(12, lat, lon)
    path = cmip(tmp_path / "a.nc", {"tas": (values, "K")}, months_from(2015, 12), lat, lon)
    places = np.searchsorted(lon, GRID.lon % 360 - 0.1)
    np.testing.assert_array_equal(read(adapter(path), TAS), values[:, ::-1][:, :, places])


def test_a_fine_grid_is_averaged_by_area(tmp_path: Path) -> None:
    """5 x 5 cells of 0.05 degrees in each cell: a mean weighted by the sine of their edges, by hand."""
    lat, lon = np.arange(50.025, 53, 0.05), np.arange(-1.975, 2, 0.05)
    values = 280 + numbers(12, lat, lon)
    path = cmip(tmp_path / "a.nc", {"tas": (values, "K")}, months_from(2015, 12), lat, lon)
    rows, cols = np.abs(lat - 51.875) < 0.13, np.abs(lon + 0.875) < 0.13
    weights = np.sin(np.radians(lat[rows] + 0.025)) - np.sin(np.radians(lat[rows] - 0.025))
    expected = np.average(values[3][np.ix_(rows, cols)].mean(axis=1), weights=weights)
    assert (rows.sum(), cols.sum()) == (5, 5)
    np.testing.assert_allclose(read(adapter(path), TAS, 2015, 4)[0, 0, 0], expected, rtol=1e-7)


def test_climate_of_the_land_reaches_the_coast(tmp_path: Path) -> None:
    """Soil water is missing over the sea: the weights of the land cells are scaled up. Far from land it is missing."""
    ones = np.ones((12, CMIP_LAT.size, CMIP_LON.size))
    ones[:, :, CMIP_LON != 0] = np.nan  # only a strip of land at Greenwich
    path = cmip(tmp_path / "a.nc", {"mrso": (300 * ones, "kg m-2")}, months_from(2015, 12), CMIP_LAT, CMIP_LON)
    grid = LatLonGrid(-4.0, 0.25, 32, 52.0, -0.25, 6)
    found = read(adapter(path), MRSO, 2015, 1, grid=grid)[0]
    near = np.abs(grid.lon) < 2.5
    np.testing.assert_array_equal(np.isfinite(found), np.broadcast_to(near, grid.shape))
    np.testing.assert_allclose(found[:, near], 300, rtol=1e-7)


# --- years and months


def test_files_of_one_variable_each(tmp_path: Path) -> None:
    """Periods and variables are in files of their own; the second variable ends earlier."""
    ones = np.ones((24, CMIP_LAT.size, CMIP_LON.size))
    for name, first, units in (("tas", 2013, "K"), ("tas", 2015, "K"), ("pr", 2013, "kg m-2 s-1")):
        values = ones * (first / 10 if name == "tas" else 1e-5)
        cmip(tmp_path / f"{name}_{first}.nc", {name: (values, units)}, months_from(first, 24), CMIP_LAT, CMIP_LON)
    source = adapter(tmp_path / "*.nc")
    assert {name: info.years for name, info in source.fields().items()} == {TAS: (2013, 2016), PR: (2013, 2014)}
    np.testing.assert_allclose(read(source, TAS, 2014), 201.3, rtol=1e-6)
    np.testing.assert_allclose(read(source, TAS, 2015), 201.5, rtol=1e-6)


def catalogue(*entries: Any) -> Catalogue:
    return Catalogue("climate", [NamedAdapter("climate", entry, ("a.nc",)) for entry in entries])


def test_missing_months_are_named(tmp_path: Path) -> None:
    """March of 2015 is missing, and the data begin in December of 2013."""
    months = [m for m in months_from(2013, 37, 12) if m != (2015, 3)]
    ones = np.ones((len(months), CMIP_LAT.size, CMIP_LON.size))
    source = adapter(cmip(tmp_path / "a.nc", {"tas": (280 * ones, "K")}, months, CMIP_LAT, CMIP_LON))
    found = catalogue(source)
    assert found.read_months(TAS, "K", GRID, 2013, [12]).shape == (1, *GRID.shape)
    np.testing.assert_allclose(found.read_months(TAS, "degC", GRID, 2014, range(1, 13)), 6.85, rtol=1e-5)
    with pytest.raises(TimeError, match=r"(?s)'air_temperature'.*2015-03.*a\.nc") as error:
        found.read_months(TAS, "K", GRID, 2015, range(1, 13))
    assert "2015-04" not in str(error.value)
    with pytest.raises(TimeError, match="2013-11"):
        found.read_months(TAS, "K", GRID, 2013, [11, 12])
    with pytest.raises(TimeError, match="2017"):
        found.read_months(TAS, "K", GRID, 2017, [1])


def test_a_history_and_a_scenario(tmp_path: Path) -> None:
    """The first adapter that has the months of a year is used; its last year can be held."""
    sources = []
    for first, value in ((2013, 280), (2015, 290)):
        values = value * np.ones((24, CMIP_LAT.size, CMIP_LON.size))
        path = cmip(tmp_path / f"{first}.nc", {"tas": (values, "K")}, months_from(first, 24), CMIP_LAT, CMIP_LON)
        sources.append(adapter(path))
    section = ForcingSection(name="climate", beyond="hold")
    held = NamedAdapter("climate", sources[1], beyond=beyond_of(section, sources[1].fields()))
    found = Catalogue("climate", [NamedAdapter("climate", sources[0]), held])
    means = [float(found.read_months(TAS, "K", GRID, year, [6]).mean()) for year in (2014, 2015, 2030)]
    np.testing.assert_allclose(means, [280, 290, 290])


# --- correction to observed means


def two_data_sets(tmp_path: Path, years: int = 3) -> tuple[Path, Path, dict[str, np.ndarray]]:
    """Observed 2010 to 2012 and a model 2010 to 2015, on the cells of the run."""
    lat, lon, values = GRID.lat, GRID.lon, {}
    for name, count in (("observed", 12 * years), ("model", 72)):
        base = numbers(count, lat, lon, seed=count)
        values[name] = base
        fields = {"tas": (270 + 10 * base, "K"), "pr": (base * 1e-5, "kg m-2 s-1")}
        cmip(tmp_path / f"{name}.nc", fields, months_from(2010, count), lat, lon)
    return tmp_path / "observed.nc", tmp_path / "model.nc", values


def test_the_means_are_those_observed(tmp_path: Path) -> None:
    """By hand: the difference of the means of three years is added to temperature, rain is multiplied by the ratio."""
    observed, model, values = two_data_sets(tmp_path)
    source = adapter(model, delta={"path": str(observed), "years": [2010, 2012]})
    one, other = (values[name][:36].astype(np.float64).reshape(3, 12, *GRID.shape).mean(axis=0) for name in values)
    last = values["model"][60:].astype(np.float64)
    np.testing.assert_allclose(read(source, TAS, 2015), 270 + 10 * (last + one - other), rtol=1e-6)
    np.testing.assert_allclose(read(source, PR, 2015), 1e-5 * last * one / other, rtol=1e-5)
    np.testing.assert_array_equal(read(source, TAS, 2015, 5)[0], read(source, TAS, 2015)[4])
    means = np.mean([read(source, PR, year) for year in (2010, 2011, 2012)], axis=0)
    np.testing.assert_allclose(means, 1e-5 * one, rtol=1e-5)
    assert {path.name for path in source.files().values()} == {"model.nc", "observed.nc"}


def test_a_dry_model_gets_no_flood(tmp_path: Path) -> None:
    """No rain at all stays none, and a ratio is at most 10."""
    ones = np.ones((12, *GRID.shape))
    months = months_from(2010, 12)
    rain = ones * np.where(np.arange(12) < 6, 0, 1e-8)[:, None, None]
    model = cmip(tmp_path / "m.nc", {"pr": (rain, "kg m-2 s-1")}, months, GRID.lat, GRID.lon)
    observed = cmip(tmp_path / "o.nc", {"pr": (ones * 1e-5, "kg m-2 s-1")}, months, GRID.lat, GRID.lon)
    found = read(adapter(model, delta={"path": str(observed), "years": [2010, 2010]}), PR, 2010)
    np.testing.assert_array_equal(found[:6], 0)
    np.testing.assert_allclose(found[6:], 1e-7, rtol=1e-6)


def test_a_correction_that_is_refused(tmp_path: Path) -> None:
    observed, model, _ = two_data_sets(tmp_path, years=2)
    with pytest.raises(TimeError, match=r"(?s)'air_temperature'.*12 missing, the first 2012-01.*observed\.nc"):
        adapter(model, delta={"path": str(observed), "years": [2010, 2012]})
    ones = np.ones((72, *GRID.shape))
    wet = cmip(tmp_path / "wet.nc", {"mrso": (ones, "kg m-2")}, months_from(2010, 72), GRID.lat, GRID.lon)
    with pytest.raises(DataError, match=r"(?s)lacks fields.*soil"):
        adapter(wet, delta={"path": str(observed), "years": [2010, 2011]})


# --- what is refused


def spoilt(tmp_path: Path, change: str) -> Path:
    ones, months = np.ones((12, CMIP_LAT.size, CMIP_LON.size)), months_from(2015, 12)
    fields = {"tas": (280 * ones, "K")}
    if change == "units of something else":
        fields = {"tas": (280 * ones, "kg m-2")}
    if change == "no units":
        fields = {"tas": (280 * ones, "")}
    if change == "none of the variables":
        fields = {"zg": (280 * ones, "m")}
    if change == "two variables for one field":
        fields["t2m"] = fields["tas"]
    path = cmip(tmp_path / "a.nc", fields, months, CMIP_LAT, CMIP_LON)
    if change == "files that overlap":
        cmip(tmp_path / "b.nc", fields, months, CMIP_LAT, CMIP_LON)
        return tmp_path / "*.nc"
    return path


REFUSED: dict[str, tuple[type[Ai4LandError], str]] = {
    "units of something else": (FieldError, r"(?s)'tas'.*K.*kg m-2.*a\.nc"),
    "no units": (FieldError, r"(?s)'tas'.*K.*none.*a\.nc"),
    "none of the variables": (DataError, r"(?s)none of the climate variables.*tas"),
    "two variables for one field": (DataError, r"(?s)tas, t2m"),
    "files that overlap": (TimeError, r"(?s)two files have variable 'tas' for 2015-01.*a\.nc.*b\.nc"),
}


@pytest.mark.parametrize("change", REFUSED)
def test_files_that_are_refused(tmp_path: Path, change: str) -> None:
    kind, message = REFUSED[change]
    with pytest.raises(kind, match=message):
        adapter(spoilt(tmp_path, change))


def test_axes_of_time_that_are_refused(tmp_path: Path) -> None:
    """An unknown calendar, days in place of months, and a calendar that is not the one of the dates."""
    ones = np.ones((60, CMIP_LAT.size, CMIP_LON.size))
    path = cmip(tmp_path / "a.nc", {"tas": (280 * ones, "K")}, months_from(2011, 60), CMIP_LAT, CMIP_LON)
    for calendar, message in (("maya", r"(?s)unknown calendar.*maya.*a\.nc.*'tas'"), ("360_day", "drift")):
        with netCDF4.Dataset(path, "a") as file:
            file["time"].calendar = calendar
        with pytest.raises(TimeError, match=message):
            adapter(path)
    with netCDF4.Dataset(path, "a") as file:
        file["time"].calendar = "noleap"
        del file["time"].bounds
        file["time"][:] = np.arange(60)
    with pytest.raises(TimeError, match=r"(?s)not monthly.*31 steps in 1996-01"):
        adapter(path)


def test_a_level_too_many(tmp_path: Path) -> None:
    values = xr.DataArray(np.ones((12, 2, 4, 4), np.float32), dims=("time", "plev", "lat", "lon"), attrs={"units": "K"})
    axes = {"lat": np.arange(4.0), "lon": np.arange(4.0), "plev": [1e5, 5e4]}
    dates = [cftime.DatetimeNoLeap(2015, month, 15) for month in range(1, 13)]
    xr.Dataset({"tas": values}, {**axes, "time": dates}).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(GridError, match="plev"):
        adapter(tmp_path / "a.nc")


def test_impossible_values_name_the_month(tmp_path: Path) -> None:
    """Degrees Celsius under units of kelvins."""
    values = 280 * np.ones((12, CMIP_LAT.size, CMIP_LON.size))
    values[6] -= 273
    path = cmip(tmp_path / "a.nc", {"tas": (values, "K")}, months_from(2015, 12), CMIP_LAT, CMIP_LON)
    with pytest.raises(DataError, match=r"(?s)'air_temperature'.*a\.nc.*2015-07"):
        catalogue(adapter(path)).read_months(TAS, "K", GRID, 2015, range(1, 13))


# --- series


def series(**options: Any) -> SeriesAdapter:
    return SeriesAdapter(SeriesOptions.model_validate({"name": CO2, **options}))


def co2(source: SeriesAdapter, year: int, units: str = "1e-6") -> float:
    values = catalogue(source).read_months(CO2, units, GRID, year, range(1, 13))
    assert values.shape == (12, *GRID.shape)
    assert np.unique(values).size == 1
    return float(values[0, 0, 0])


def test_a_series_from_a_list_and_from_text(tmp_path: Path) -> None:
    assert co2(series(values={2014: 397.1, 2015: 399.4}, units="ppm"), 2015) == pytest.approx(399.4)
    assert co2(series(values={2015: 399.4}, units="ppm"), 2015, "1") == pytest.approx(399.4e-6)
    path = tmp_path / "co2.csv"
    path.write_text("# global means\nyear,mean,unc\n2014,397.34,0.1\n2015,399.65,0.1\n")
    assert co2(series(path=str(path), units="ppm"), 2014) == pytest.approx(397.34)
    with pytest.raises(TimeError, match="2016"):
        co2(series(path=str(path), units="ppm"), 2016)


def test_a_series_from_netcdf(tmp_path: Path) -> None:
    """As CMIP's forcing has it: sectors, of which 0 is the globe, and twelve months that are averaged."""
    numbers = 400 + np.arange(24.0)
    dates = [cftime.DatetimeNoLeap(2014 + i // 12, i % 12 + 1, 15) for i in range(24)]
    dims, attrs = ("time", "sector"), {"units": "1.e-6"}
    values = xr.DataArray(
        np.stack([numbers, numbers + 5], axis=1), {"time": dates, "sector": [0, 1]}, dims, attrs=attrs
    )
    xr.Dataset({CO2: values}).to_netcdf(tmp_path / "co2.nc")
    assert co2(series(path=str(tmp_path / "co2.nc"), select={"sector": 0}), 2015) == pytest.approx(400 + 17.5)
    with pytest.raises(DataError, match="sector"):
        series(path=str(tmp_path / "co2.nc"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("2014,397\n2014,398\n", "twice"), ("2014;397\n", "2014;397"), ("2014,\n", "2014,"), ("# only\n", "no years")],
)
def test_a_text_that_is_no_series(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "co2.csv"
    path.write_text(text)
    with pytest.raises(Ai4LandError, match=message):
        series(path=str(path), units="ppm")
