"""Years of time axes: dates counted here with cftime in the true calendar."""

from __future__ import annotations

import cftime
import netCDF4
import numpy as np
import pytest

from ai4land_coupler.errors import TimeError
from ai4land_coupler.files.times import read_months, years_of

YEARS = np.arange(2015, 2101)


def days(dates, calendar, since="days since 1850-01-01"):
    made = [cftime.datetime(*date, calendar=calendar) for date in dates]
    return np.asarray(cftime.date2num(made, since, calendar=calendar), np.float64)


def read(steps, calendar=None, units="days since 1850-01-01", **more):
    attributes = {"units": units} | ({} if calendar is None else {"calendar": calendar})
    return years_of(np.asarray(steps, np.float64), attributes, "file.nc", **more)


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard", "all_leap", "julian", "proleptic_gregorian"])
@pytest.mark.parametrize("day", [(1, 1), (7, 2), (12, 30)])
def test_yearly_steps_in_their_calendar(calendar, day):
    steps = days([(year, *day) for year in YEARS], calendar)
    np.testing.assert_array_equal(read(steps, calendar), YEARS)
    np.testing.assert_array_equal(read(steps * 24, calendar, "hours since 1850-01-01"), YEARS)


@pytest.mark.parametrize("years", [YEARS, YEARS[:4], YEARS[::10], YEARS[:3]])
@pytest.mark.parametrize("day", [(1, 1), (12, 31)])
def test_days_without_leap_days_and_without_a_calendar_are_refused(years, day):
    """CF takes the standard calendar. Steps on 1 January would lie on 31 December and before."""
    steps = days([(year, *day) for year in years], "noleap")
    with pytest.raises(TimeError, match="drift through the year") as error:
        read(steps)
    assert "in calendar 'noleap' they do not drift" in str(error.value)


@pytest.mark.parametrize("first", [1, 15])
def test_monthly_steps_in_a_wrong_calendar_are_refused(first):
    dates = [(year, month, first) for year in YEARS[:12] for month in range(1, 13)]
    np.testing.assert_array_equal(read(days(dates, "noleap"), "noleap"), [date[0] for date in dates])
    with pytest.raises(TimeError, match="drift"):
        read(days(dates, "noleap"), "standard")


def test_monthly_steps_of_the_standard_calendar_do_not_drift():
    dates = [
        (year, month, day) for year in range(1850, 2101) for month, day in zip(range(1, 13), [16, 15] * 6, strict=True)
    ]
    np.testing.assert_array_equal(read(days(dates, "standard"), "standard"), [date[0] for date in dates])


@pytest.mark.parametrize("hours", [24, 6])
def test_daily_steps_without_leap_days_are_refused_at_the_end(hours):
    start = days([(2015, 1, 1)], "noleap")[0]
    steps = start + np.arange(0, 365 * 12, hours / 24)
    years = 2015 + np.arange(steps.size) // (365 * 24 // hours)
    np.testing.assert_array_equal(read(steps, "noleap"), years)
    with pytest.raises(TimeError, match="drift"):
        read(days([(2015, 1, 1)], "standard")[0] + np.arange(0, 365 * 12, hours / 24))


def test_daily_steps_of_the_standard_calendar():
    whole = days([(2015, 1, 1), (2027, 1, 1)], "standard")
    assert np.bincount(read(np.arange(*whole)))[2015:].tolist() == [365, 366, 365, 365] * 3


def test_bounds_decide_and_may_have_their_own_units():
    ends = days([(year + 1, 1, 1) for year in YEARS], "noleap")
    bounds = np.stack([days([(year, 1, 1) for year in YEARS], "noleap"), ends], 1)
    np.testing.assert_array_equal(read(ends, "noleap", bounds=bounds), YEARS)
    others = np.stack([YEARS - 1850, YEARS - 1849], 1).astype(float)
    np.testing.assert_array_equal(read(ends, "noleap", bounds=others, bounds_units="years since 1850-01-01"), YEARS)


@pytest.mark.parametrize(
    ("units", "steps", "years"),
    [
        ("years since 850-01-01 0:0:0", [1165, 1166], [2015, 2016]),
        ("common_years since 2000-07-01", [0, 0.5, 1], [2000, 2001, 2001]),
        ("months since 2000-01-01", [0, 11, 12], [2000, 2000, 2001]),
        ("day as %Y%m%d.%f", [20150101, 20151231.5, 20160615], [2015, 2015, 2016]),
        ("month as %Y%m.%f", [201501, 201512], [2015, 2015]),
        ("year as %Y.%f", [2015, 2016.5], [2015, 2016]),
        ("", [2015, 2016], [2015, 2016]),
        ("year", [2015], [2015]),
    ],
)  # fmt: skip
def test_other_units(units, steps, years):
    assert read(steps, None, units).tolist() == years


@pytest.mark.parametrize(
    ("steps", "calendar", "units", "text"),
    [
        ([1.0], "maya", "days since 1850-01-01", "unknown calendar"),
        ([1.0, np.nan], None, "days since 1850-01-01", "missing values"),
        ([], None, "days since 1850-01-01", "missing values"),
        ([1.0], None, "days since once", "cannot be decoded"),
        ([0.3, 0.7], None, "", "holds no years"),
        ([-10.0, -5.0], None, "", "holds no years"),
    ],
)
def test_axes_that_are_refused(steps, calendar, units, text):
    with pytest.raises(TimeError, match=text) as error:
        read(steps, calendar, units)
    assert "file.nc" in str(error.value)


def test_a_yearly_axis_needs_the_ends_or_the_middle_of_years():
    with pytest.raises(TimeError, match="drift"):
        read(days([(2015, 10, 27)], "standard"), yearly=True)
    assert read(days([(2015, 12, 31)], "standard"), yearly=True).tolist() == [2015]


@pytest.mark.parametrize(
    ("units", "steps"),
    [
        ("months since 2015-11-01", [0, 1, 2, 14]),
        ("months since 2015-11-01", [0.5, 1.5, 2.5, 14.5]),
        ("years since 2015-01-01", np.array([10, 11, 12, 24]) / 12),
        ("day as %Y%m%d.%f", [20151116.5, 20151216.5, 20160116, 20170131.75]),
        ("month as %Y%m.%f", [201511.5, 201512.5, 201601.5, 201701.5]),
        ("hours since 1900-01-01", [1015368, 1016088, 1016832, 1025616]),
    ],
)
def test_months(units, steps):
    """The 1 January 2016 is 1016832 hours after that of 1900: 116 years with 28 leap days."""
    assert 24 * (116 * 365 + 28) == 1016832
    with netCDF4.Dataset("months.nc", "w", diskless=True) as file:
        file.createDimension("time", len(steps))
        time = file.createVariable("time", "f8", ("time",))
        time.units, time[:] = units, steps
        expected = [[2015, 11], [2015, 12], [2016, 1], [2017, 1]]
        assert read_months(file, "time", "months.nc").tolist() == expected


def test_plain_years_have_no_months():
    with netCDF4.Dataset("years.nc", "w", diskless=True) as file:
        file.createDimension("time", 2)
        file.createVariable("time", "f8", ("time",))[:] = [2015, 2016]
        with pytest.raises(TimeError, match="no months"):
            read_months(file, "time", "years.nc")
