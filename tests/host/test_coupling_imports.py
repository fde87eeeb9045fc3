"""Imports at the host's time steps: monthly means, and faults."""

from __future__ import annotations

import datetime
from typing import Any

import cftime
import needs
import numpy as np
import pytest
from coupling import PERSISTENCE, PHENOLOGY, Raw, config_of, realized
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler import LandComponent
from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.errors import Ai4LandError, FieldError, StateError, TimeError
from ai4land_coupler.host.field_info import ImportInfo
from ai4land_coupler.host.import_window import ImportWindow, ImportWindows
from ai4land_coupler.inputs.checks import field_rule

needs.yac()

NAME = "air_temperature"


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    return {**twin_config, "predictors": [PHENOLOGY, PERSISTENCE]}


class TestMeans:
    def test_an_interval_over_two_months(self) -> None:
        """15 days of 280 K and 16 of 290 K in January, 9 of 290 K and 19 of 300 K in February of 28 days."""
        window, calendar = ImportWindow(ImportInfo(NAME, "K")), HostCalendar("noleap")
        dates = [HostDate(2015), HostDate(2015, 1, 16), HostDate(2015, 2, 10), HostDate(2015, 3, 1)]
        for value, since, until in zip((280.0, 290.0, 300.0), dates, dates[1:], strict=False):
            window.add(np.array([value, value + 1]), since, until, calendar)
        for month in range(3, 13):
            window.add(np.array([270.0, 271.0]), window.last or dates[0], _first_of(2015, month + 1), calendar)
        means = window.means(2016, 2, calendar)
        january, february = (15 * 280 + 16 * 290) / 31, (9 * 290 + 19 * 300) / 28
        np.testing.assert_allclose(means[:3, 0], [january, february, 270], rtol=1e-15)
        np.testing.assert_allclose(means[:, 1], means[:, 0] + 1, rtol=1e-15)
        window.forget(2016)
        assert not window.has_values

    @given(hours=st.lists(st.integers(1, 700), min_size=15, max_size=60), seed=st.integers(0, 99))
    def test_against_the_mean_of_all_hours(self, hours: list[int], seed: int) -> None:
        """Intervals of any length, in a calendar whose months have 720 hours."""
        calendar, window = HostCalendar("360_day"), ImportWindow(ImportInfo(NAME, "K"))
        lengths = np.array([*hours, *[600] * 15])
        ends = np.minimum(np.cumsum(lengths), 8640 + 100)
        values = np.random.default_rng(seed).uniform(250, 310, ends.size)
        series, begin = np.empty(8640 + 100), 0
        for value, end in zip(values, ends, strict=True):
            window.add(np.array([value]), _after(begin), _after(end), calendar)
            series[begin:end] = value
            begin = end
        expected = series[:8640].reshape(12, 720).mean(axis=1)
        np.testing.assert_allclose(window.means(2016, 1, calendar)[:, 0], expected, rtol=1e-12)
        window.forget(2016)
        assert list(window.months) == [(2016, 1)]  # what came in after 1 January belongs to the next year
        assert window.months[2016, 1][1] == 100 * 3600

    def test_an_incomplete_month(self) -> None:
        calendar = HostCalendar("360_day")
        for info in (ImportInfo(NAME, "K"), ImportInfo(NAME, "K", default=(270.0,))):
            window = ImportWindow(info)
            window.add(np.full(2, 280.0), HostDate(2015), HostDate(2015, 1, 21), calendar)
            with pytest.raises(FieldError, match=r"2015-01 \(20 of 30 days\), 2015-02 \(0 of 30 days\)"):
                window.means(2016, 2, calendar)
        window = ImportWindow(ImportInfo(NAME, "K", default=tuple(range(12)), missing="fill"))
        window.add(np.full(2, 280.0), HostDate(2015), HostDate(2015, 1, 21), calendar)
        np.testing.assert_array_equal(window.means(2016, 2, calendar)[:, 0], [280, *range(1, 12)])

    @pytest.mark.parametrize("parts", [7, 13, 24, 240])
    def test_steps_that_are_no_whole_seconds(self, parts: int) -> None:
        """A value that grows by 1 a day: the mean of a month is the middle of its days, and no second is missing."""
        calendar, window = HostCalendar("noleap"), ImportWindow(ImportInfo(NAME, "K"))
        lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        day, last = 0, HostDate(2015)
        for month, length in enumerate(lengths, 1):
            for number in range(1, length + 1):
                for part in range(1, parts + 1):
                    until = calendar.parse((2015, month, number, part * 86400 / parts))
                    window.add(np.full(1, float(day)), last, until, calendar)
                    last = until
                day += 1
        middles = np.cumsum([0, *lengths[:-1]]) + (np.array(lengths) - 1) / 2
        np.testing.assert_allclose(window.means(2016, 1, calendar)[:, 0], middles, rtol=1e-7)
        assert [weight for _, weight in window.months.values()] == [86400 * length for length in lengths]

    def test_a_clock_that_adds_a_tenth_of_an_hour(self) -> None:
        calendar, window = HostCalendar("noleap"), ImportWindow(ImportInfo(NAME, "K"))
        start, hours, last = cftime.datetime(2015, 1, 1, calendar="noleap"), 0.0, HostDate(2015)
        for _ in range(365 * 240):
            hours += 0.1
            date = calendar.parse(start + datetime.timedelta(hours=hours))
            window.add(np.full(1, 280.0), last, date, calendar)
            last = date
        assert last == (2016, 1, 1, 0)
        np.testing.assert_allclose(window.means(2016, 1, calendar), 280.0, rtol=1e-12)

    def test_a_missing_minute_is_found(self) -> None:
        calendar, window = HostCalendar("360_day"), ImportWindow(ImportInfo(NAME, "K"))
        for month in range(1, 13):
            window.add(
                np.full(1, 280.0), HostDate(2015, month, 1, 60 * (month == 3)), _first_of(2015, month + 1), calendar
            )
        with pytest.raises(FieldError, match=r"2015-03 \(29.999306 of 30 days\)"):
            window.means(2016, 1, calendar)


def _first_of(year: int, month: int) -> HostDate:
    return HostDate(year + (month - 1) // 12, (month - 1) % 12 + 1)


def _after(hours: int) -> HostDate:
    """The date a number of hours after 1 January 2015, in the calendar of 360 days."""
    days, hour = divmod(int(hours), 24)
    return HostDate(2015 + days // 360, days % 360 // 30 + 1, days % 30 + 1, hour * 3600)


class TestFaults:
    @pytest.fixture
    def windows(self) -> ImportWindows:
        return ImportWindows({NAME: ImportInfo(NAME, "K")})

    @pytest.mark.parametrize(
        ("values", "units", "text"),
        [
            ([280.0, np.nan, 281.0], None, "no numbers"),
            ([280.0, np.inf, 281.0], "K", "no numbers"),
            ([280.0, 281.0], None, "3 cells on this rank"),
            ([7.0, 8.0, 9.0], None, "150 to 350 K"),
            ([280.0, 281.0, 282.0], "m s-1", "wrong units"),
            ([280.0, 281.0, 282.0], "kelvins and more", "wrong units"),
            ([280.0, 9.96921e36, 281.0], None, "1 of 3 values are missing"),
            (np.ma.masked_array([280.0, 281.0, 282.0], [False, True, False]), None, "1 of 3 values are missing"),
            (np.ma.masked_array([280, 281, 282], [False, True, True]), "K", "2 of 3 values are missing"),
        ],
    )
    def test_faults_are_stored_and_values_are_not_used(
        self, windows: ImportWindows, values: Any, units: str | None, text: str
    ) -> None:
        calendar, mask = HostCalendar(), np.array([True, True, True])
        windows.add(NAME, values, units, mask, HostDate(2015), HostDate(2015, 1, 2), calendar)
        assert not windows[NAME].has_values
        with pytest.raises(FieldError, match=text) as caught:
            windows.check()
        assert "file" not in str(caught.value)  # the caller is a model
        windows.check()  # raised once
        windows.add(NAME, np.full(3, 7.0), "degC", mask, HostDate(2015), HostDate(2015, 1, 2), calendar)
        windows.check()
        np.testing.assert_allclose(windows[NAME].months[2015, 1][0] / 86400, 280.15, rtol=1e-15)

    @pytest.mark.parametrize(
        "values",
        [
            np.array([280, 281, 282]),
            np.array([280, 281, 282], ">i2"),
            np.array([280, 281, 282], ">f4"),
            np.array([280, 0, 281, 0, 282], np.float32)[::2],
            np.asfortranarray([[280.0, 281.0, 282.0], [0, 0, 0]])[0],
            np.ma.masked_array([280.0, 281.0, 282.0]),
            [280, 281.0, 282],
        ],
    )
    def test_any_real_numbers_in_any_layout(self, windows: ImportWindows, values: Any) -> None:
        windows.add(NAME, values, None, np.ones(3, bool), HostDate(2015), HostDate(2015, 1, 2), HostCalendar())
        windows.check()
        np.testing.assert_array_equal(windows[NAME].months[2015, 1][0], np.array([280, 281, 282]) * 86400.0)

    @pytest.mark.parametrize(
        ("values", "text"),
        [
            (["280", "281", "282"], "has no numbers"),
            (np.array([280, 281, 282], complex), "has no numbers"),
            (np.array([280, 281, None]), "has no numbers"),
            ([[280.0], [281.0, 282.0]], "is no array"),
            (280.0, "wrong shape"),
            (np.full((3, 1), 280.0), "wrong shape"),
        ],
    )
    def test_what_is_no_array_of_numbers(self, windows: ImportWindows, values: Any, text: str) -> None:
        arguments = (None, np.ones(3, bool), HostDate(2015), HostDate(2015, 1, 2), HostCalendar())
        with pytest.raises(FieldError, match=text):
            windows.add(NAME, values, *arguments)
        with pytest.raises(FieldError, match=text):
            windows.set(NAME, values, *arguments[:2])

    def test_masked_parts_in_a_list(self, windows: ImportWindows) -> None:
        """numpy.asarray drops the masks of such a list."""
        months = [np.ma.masked_array([280.0, 281.0], [month == 5, False]) for month in range(12)]
        windows.set(NAME, months, None, np.ones(2, bool))
        with pytest.raises(FieldError, match="1 of 24 values are missing"):
            windows.check()

    @pytest.mark.parametrize("units", ["degC", "Celsius", "degree_Celsius", "deg_C", "degrees_C", "°C", "celsius"])
    def test_spellings_of_celsius(self, windows: ImportWindows, units: str) -> None:
        windows.set(NAME, [1.0, 2.0], units, np.ones(2, bool))
        windows.check()
        np.testing.assert_allclose(windows[NAME].fixed[0], [274.15, 275.15], rtol=1e-15)

    @pytest.mark.parametrize("units", ["K", "kelvin", "Kelvin", "degK", "deg_K", "kelvins", "degrees_K", " K "])
    def test_spellings_of_kelvin(self, windows: ImportWindows, units: str) -> None:
        windows.set(NAME, [280.0, 281.0], units, np.ones(2, bool))
        windows.check()
        np.testing.assert_array_equal(windows[NAME].fixed[0], [280.0, 281.0])

    @pytest.mark.parametrize(
        ("name", "wanted", "units", "scale"),
        [
            ("precipitation_flux", "kg m-2 s-1", "kg/m2/s", 1),
            ("precipitation_flux", "kg m-2 s-1", "kg m^-2 s^-1", 1),
            ("precipitation_flux", "kg m-2 s-1", "kg m**-2 s**-1", 1),
            ("precipitation_flux", "kg m-2 s-1", "kg.m-2.s-1", 1),
            ("precipitation_flux", "kg m-2 s-1", "mm s-1", 1),
            ("precipitation_flux", "kg m-2 s-1", "mm/day", 1 / 86400),
            ("precipitation_flux", "kg m-2 s-1", "mm d-1", 1 / 86400),
            ("precipitation_flux", "kg m-2 s-1", "m s-1", 1000),
            ("surface_downwelling_shortwave_flux_in_air", "W m-2", "W/m^2", 1),
            ("surface_downwelling_shortwave_flux_in_air", "W m-2", "watt m-2", 1),
            ("surface_downwelling_shortwave_flux_in_air", "W m-2", "J m-2 s-1", 1),
            ("mass_content_of_water_in_soil", "kg m-2", "g m-2", 1e-3),
            ("land_area_fraction", "1", "%", 0.01),
            ("land_area_fraction", "1", "percent", 0.01),
            ("land_area_fraction", "1", "", 1),
            ("land_area_fraction", "1", "fraction", 1),
        ],
    )
    def test_spellings_of_other_units(self, name: str, wanted: str, units: str, scale: float) -> None:
        windows = ImportWindows({name: ImportInfo(name, wanted)})
        values = np.array([0.2, 0.4]) * 1e-4 / scale
        windows.set(name, values, units, np.ones(2, bool))
        windows.check()
        np.testing.assert_allclose(windows[name].fixed[0], values * scale, rtol=1e-12)

    def test_the_first_fault_is_reported(self, windows: ImportWindows) -> None:
        """A value that is missing all year long: not that intervals are too long, as the last good value is old."""
        calendar, mask = HostCalendar("noleap"), np.ones(2, bool)
        window = windows[NAME]
        for month in range(1, 13):
            until = _first_of(2015, month + 1)
            values = [280.0, np.nan if month > 1 else 280.0]
            windows.add(NAME, values, None, mask, window.begin(until, HostDate(2015)), until, calendar)
        with pytest.raises(FieldError, match="no numbers") as caught:
            windows.check()
        assert "2015-03-01" in str(caught.value)
        assert list(window.months) == [(2015, 1)]

    def test_faulty_values_can_be_given_again(self, windows: ImportWindows) -> None:
        calendar, mask, window = HostCalendar("noleap"), np.ones(1, bool), windows[NAME]

        def give(value: float, day: int) -> None:
            until = HostDate(2015, 1, day)
            windows.add(NAME, [value], None, mask, window.begin(until, HostDate(2015)), until, calendar)

        give(280.0, 2)
        give(np.nan, 3)
        with pytest.raises(FieldError):
            windows.check()
        give(281.0, 3)
        give(282.0, 4)
        assert window.months[2015, 1][0] == (280.0 + 281.0 + 282.0) * 86400
        give(np.nan, 5)
        give(284.0, 6)  # not again: the fifth day stays without values
        assert window.months[2015, 1] == ((280.0 + 281.0 + 282.0 + 284.0) * 86400, 4 * 86400)

    def test_masked_cells_can_have_any_value(self, windows: ImportWindows) -> None:
        mask = np.array([True, False])
        windows.add(NAME, np.array([280.0, np.nan]), None, mask, HostDate(2015), HostDate(2015, 1, 2), HostCalendar())
        windows.check()
        np.testing.assert_array_equal(windows[NAME].months[2015, 1][0], [280.0 * 86400, 0.0])

    def test_impossible_intervals(self, windows: ImportWindows) -> None:
        for since, until in (((2015, 1, 2), (2015, 1, 1)), ((2015, 1, 1), (2015, 2, 2))):
            with pytest.raises(TimeError, match="impossible interval"):
                windows.add(NAME, np.zeros(3), None, None, HostDate(*since), HostDate(*until), HostCalendar())

    def test_fields_of_future_predictors_are_known(self) -> None:
        wanted = {
            "air_temperature": "K",
            "precipitation_flux": "kg m-2 s-1",
            "surface_downwelling_shortwave_flux_in_air": "W m-2",
            "mass_content_of_water_in_soil": "kg m-2",
            "land_area_fraction": "1",
        }
        for name, units in wanted.items():
            rule = field_rule(name)
            assert rule is not None
            assert rule.units == units


class TestInTheComponent:
    def test_daily_imports_are_the_monthly_means_of_the_year(self, raw: Raw) -> None:
        """Daily temperatures of a year against twelve means that numpy computes."""
        daily, monthly = LandComponent(config_of(raw)), realized(raw)
        daily.set_calendar("360_day")
        daily.initialize()
        daily.set_named_grid("host")
        daily.realize()
        cells = daily.cell_count
        celsius = 10 + 15 * np.sin(np.arange(360) / 57.3)[:, None] + np.linspace(-5, 5, cells)
        for day in range(360):
            until = _after(24 * (day + 1))
            daily.import_(NAME, celsius[day], at=until, units="degC")
            daily.import_(NAME, celsius[day], at=until, units="degC")  # again: adds nothing
            daily.run(until)
        monthly.import_(NAME, celsius.reshape(12, 30, cells).mean(axis=1) + 273.15)
        monthly.run(2016)
        assert daily.year == 2016
        np.testing.assert_allclose(daily.export("lai"), monthly.export("lai"), rtol=1e-5)

    def test_missing_months(self, raw: Raw) -> None:
        """By default they stop the run, which can continue; or the configuration's values are used."""
        component = realized(raw)
        for month in range(1, 10):
            component.import_(NAME, np.full(component.cell_count, 300.0), at=(2015, month + 1, 1))
        component.run("2015-12-31")
        with pytest.raises(FieldError, match="2015-10"):
            component.run(2016)
        assert component.date == (2015, 12, 31, 0)
        for month in range(10, 13):
            component.import_(NAME, np.full(component.cell_count, 300.0), at=_first_of(2015, month + 1))
        component.run(2016)

        imports = {NAME: {"values": 300.0, "units": "K", "missing": "fill"}}
        filled = realized(raw, imports=imports)
        filled.import_(NAME, np.full(filled.cell_count, 300.0), at=(2015, 2, 1))
        filled.run(2016)
        np.testing.assert_array_equal(filled.export("lai"), component.export("lai"))
        with pytest.raises(TimeError, match="31 days"):
            filled.import_(NAME, np.full(filled.cell_count, 300.0), at=(2016, 2, 1))
        filled.import_(NAME, np.full(filled.cell_count, 300.0), at=(2016, 2, 1), since=(2016, 1, 1))

    def test_a_field_that_was_not_given(self, raw: Raw) -> None:
        """The configuration's values stand for the host only with `missing: fill`."""
        imports = {NAME: {"values": 300.0, "units": "K"}}
        component = realized(raw, imports=imports)
        with pytest.raises(FieldError, match=f"'{NAME}' was never set") as caught:
            component.run(2016)
        assert "missing: fill" in str(caught.value)
        component.import_(NAME, np.full(component.cell_count, 300.0))
        component.run(2016)
        filled = realized(raw, imports={NAME: {**imports[NAME], "missing": "fill"}})
        filled.run(2016)
        np.testing.assert_array_equal(filled.export("lai"), component.export("lai"))

    @pytest.mark.parametrize(
        ("section", "text"),
        [
            ({"values": 7.0, "units": "K"}, "150 to 350 K"),
            ({"values": 7.0, "units": "m"}, "imports.air_temperature.units"),
            ({"values": float("nan"), "units": "K"}, "no numbers"),
            ({"values": [280.0] * 11, "units": "K"}, "11 values"),
        ],
    )
    def test_values_of_the_configuration(self, raw: Raw, section: Raw, text: str) -> None:
        with pytest.raises(Ai4LandError, match=text) as caught:
            LandComponent(config_of(raw, imports={NAME: section})).initialize()
        assert "file" not in str(caught.value)
        celsius = realized(raw, imports={NAME: {"values": 7.0, "units": "degC", "missing": "fill"}})
        assert celsius.imports()[NAME].default == tuple([float(np.float32(280.15))] * 12)

    def test_values_before_the_grid(self, raw: Raw) -> None:
        """They are checked as soon as the cells are known."""
        for values, text in (
            (np.full(120, np.nan), "1440 of 1440 values are missing"),
            (np.full(7, 280.0), "120 cells"),
            (np.full(120, 7.0), "150 to 350 K"),
        ):
            component = LandComponent(config_of(raw))
            component.initialize()
            component.import_(NAME, values)
            component.set_named_grid("host")
            with pytest.raises(FieldError, match=text):
                component.realize()

    def test_realize_without_a_grid(self, raw: Raw) -> None:
        component = LandComponent(config_of(raw))
        component.initialize()
        with pytest.raises(StateError, match="no host grid was set"):
            component.realize()
        component.set_named_grid("host")
        component.realize()

    def test_the_table(self, raw: Raw) -> None:
        imports = {NAME: {"values": [280.0] * 6 + [290.0] * 6, "units": "K", "missing": "fill"}}
        component = realized(raw, imports=imports)
        info = component.imports()[NAME]
        assert (info.units, info.missing, info.standard_name) == ("K", "fill", "air_temperature")
        assert info.default == tuple([280.0] * 6 + [290.0] * 6)
        names = [item.name for item in component.fields()]
        assert names == ["land_cover_fraction", "land_area_fraction", "lai", "air_temperature"]
        cover, lai = component.exports()["land_cover_fraction"], component.exports()["lai"]
        assert cover.types == ("urban", "cropland", "pasture", "forest", "grass_shrub", "other", "water")
        assert (cover.layout, cover.norm, cover.default, cover.anchored) == ("(types, cells)", "cell", 0.0, True)
        assert (lai.standard_name, lai.norm, lai.types[-1]) == ("leaf_area_index", "land", "12")
        assert "twelve months before" in lai.window
