"""Reads the year, or the year and the month, of each step of a time axis: the one reader for all adapters.

CF conventions 1.11, section 4.4. Axes that CF does not know but files have are read too: plain years, years and months
since a date as calendar years and months (UDUNITS counts them in days), and CDO's absolute times (``day as %Y%m%d.%f``)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import TimeError
from ai4land_coupler.files.cf_coordinates import text_of

_TIMES = ("time", "year", "years")
#: CF 1.11, section 4.4.2, without ``none`` and the calendars with leap seconds.
CALENDARS = (
    "standard", "gregorian", "proleptic_gregorian", "julian", "noleap", "365_day", "all_leap", "366_day", "360_day",
)  # fmt: skip
#: Years and months of UDUNITS are no whole numbers of days, and cftime refuses them. Files count calendar years.
_COUNTED = re.compile(r"\s*(?:common_)?(year|month)s?\s+since\s+(-?\d{1,4})(?:-(\d{1,2}))?", re.IGNORECASE)
#: CDO's absolute times: digits after those of the year.
_ABSOLUTE = re.compile(r"\s*(day|month|year)\s+as\s+%Y", re.IGNORECASE)
_AFTER_YEAR = {"day": 1e4, "month": 1e2, "year": 1.0}
#: Days by which the same step may lie at another place in other years: leap days move the middle of a year.
_SAME_DAY = 2.0
#: Largest interval, in days, of an axis of days or hours. A wrong calendar shows only at the end of such an axis.
_DAILY = 1.5


def time_dimension(dataset: Any, dims: tuple[str, ...]) -> str | None:
    """The dimension along time, or ``None`` if there is none."""
    for dim in dims:
        coordinate = dataset.variables.get(dim)
        units = str(getattr(coordinate, "units", ""))
        if dim.lower() in _TIMES or (coordinate is not None and (" since " in units or _ABSOLUTE.match(units))):
            return dim
    return None


def read_years(dataset: Any, dim: str, where: object, yearly: bool = False) -> NDArray[np.int64]:
    """:func:`years_of` for a dimension of a ``netCDF4.Dataset``.

    Raises
    ------
    TimeError
        The axis cannot be read as years.
    """
    return years_of(*_axis(dataset, dim, where), yearly=yearly)


def read_months(dataset: Any, dim: str, where: object) -> NDArray[np.int64]:
    """The year and the month of each step of a dimension of a ``netCDF4.Dataset``, (n, 2); see :func:`years_of`.

    Raises
    ------
    TimeError
        The axis cannot be read as months, or has two steps in one month.
    """
    steps, attributes, where, bounds, bounds_units = _axis(dataset, dim, where)
    middles, units, calendar = _checked(steps, attributes, where, bounds, bounds_units)
    absolute, counted = _ABSOLUTE.match(units), _COUNTED.match(units)
    if absolute and absolute[1].lower() != "year":
        first = middles if bounds is None else bounds[:, 0]
        number = np.floor(first / (_AFTER_YEAR[absolute[1].lower()] / 1e2) + 1e-9)
        months = 12 * np.floor(number / 100) + number % 100 - 1
    elif counted:
        passed = middles * (12 if counted[1].lower() == "year" else 1)
        months = np.floor(12 * int(counted[2]) + int(counted[3] or 1) - 1 + passed + 1e-5)
    elif " since " in units:
        dates = _dates(middles, units, calendar, where)
        _check_calendar(dates, lambda other: _dates(middles, units, other, where), attributes, False, where)
        months = np.array([12 * date.year + date.month - 1 for date in dates])
    else:
        raise TimeError(
            "a time axis has no months",
            expected="units like 'days since 1850-01-01'",
            found=f"{steps[0]:g} to {steps[-1]:g}, units {units!r}",
            where=where,
        )
    index = np.asarray(months, np.int64)
    month, count = np.unique(index, return_counts=True)
    if count.max() > 1:
        twice = int(month[count.argmax()])
        raise TimeError(
            "data are not monthly",
            expected="one step in each month",
            found=f"{count.max()} steps in {twice // 12}-{twice % 12 + 1:02d}",
            where=where,
            remedy="average the data first, such as with `cdo monmean`",
        )
    return np.stack([index // 12, index % 12 + 1], axis=1)


def _axis(
    dataset: Any, dim: str, where: object
) -> tuple[NDArray[np.float64], dict[str, Any], object, NDArray[np.float64] | None, str | None]:
    """The first arguments of :func:`years_of` for a dimension."""
    if dim not in dataset.variables:
        raise TimeError("a time dimension has no coordinate", expected=f"a variable {dim!r}", where=where)
    time = dataset[dim]
    attributes = {name: time.getncattr(name) for name in time.ncattrs()}
    steps = _numbers(time)
    bounds, bounds_units = None, None
    name = text_of(attributes, "bounds") or text_of(attributes, "climatology")
    if name in dataset.variables and dataset[name].shape == (steps.size, 2):
        bounds = _numbers(dataset[name])
        bounds_units = str(getattr(dataset[name], "units", "")) or None
    return steps, attributes, where, bounds, bounds_units


def _numbers(variable: Any) -> NDArray[np.float64]:
    return np.ma.filled(np.ma.asarray(variable[:]).astype(np.float64), np.nan)


def years_of(
    steps: NDArray[np.float64],
    attributes: Any,
    where: object,
    bounds: NDArray[np.float64] | None = None,
    bounds_units: str | None = None,
    yearly: bool = False,
) -> NDArray[np.int64]:
    """The year of each step of a time axis in any CF calendar, or of an axis of plain years.

    A step with bounds belongs to the year of the middle of its bounds. Other steps belong to the year of their time.

    Parameters
    ----------
    steps:
        Times (n,).
    attributes:
        ``units`` and ``calendar`` of the time axis.
    bounds:
        (n, 2), in ``bounds_units``; default: in the units of the times, as CF has it.
    yearly:
        Dates must be the first day of their year, its middle or its last day.

    Raises
    ------
    TimeError
        The axis cannot be read as years; or the same steps of different years drift through the year, because the
        calendar is not the one in which the times were counted.
    """
    middles, middle_units, calendar = _checked(steps, attributes, where, bounds, bounds_units)
    absolute = _ABSOLUTE.match(middle_units)
    if absolute:
        first = middles if bounds is None else bounds[:, 0]
        return np.asarray(np.floor(first / _AFTER_YEAR[absolute[1].lower()] + 1e-9), np.int64)
    if " since " not in middle_units:
        return _plain_years(steps if bounds is None else bounds[:, 0], middle_units, where)
    counted = _COUNTED.match(middle_units)
    if counted:
        year, month = int(counted[2]), int(counted[3] or 1) - 1
        years = middles if counted[1].lower() == "year" else middles / 12
        # Half a minute is added: a whole number of years that was rounded down must stay in its year.
        return np.asarray(np.floor(year + month / 12 + years + 1e-6), np.int64)
    dates = _dates(middles, middle_units, calendar, where)
    _check_calendar(dates, lambda other: _dates(middles, middle_units, other, where), attributes, yearly, where)
    return np.array([date.year for date in dates], np.int64)


def _checked(
    steps: NDArray[np.float64],
    attributes: Any,
    where: object,
    bounds: NDArray[np.float64] | None,
    bounds_units: str | None,
) -> tuple[NDArray[np.float64], str, str]:
    """The middles of the steps, their units and the calendar; see :func:`years_of`."""
    units, calendar = text_of(attributes, "units"), text_of(attributes, "calendar").lower() or "standard"
    if steps.size == 0 or not np.isfinite(steps).all() or (bounds is not None and not np.isfinite(bounds).all()):
        raise TimeError("a time axis has missing values", expected="a time for each step", found=steps, where=where)
    if calendar not in CALENDARS:
        raise TimeError(
            "a time axis has an unknown calendar", expected=", ".join(CALENDARS), found=repr(calendar), where=where,
            remedy="correct the attribute `calendar` of the time axis",
        )  # fmt: skip
    if bounds is None:
        return steps, units, calendar
    return bounds.mean(axis=1), bounds_units or units, calendar


def _check_calendar(
    dates: list[Any], decode: Callable[[str], list[Any]], attributes: Any, yearly: bool, where: object
) -> None:
    """Refuse dates that were counted in another calendar. ``decode`` gives the dates in a calendar."""
    calendar, given = text_of(attributes, "calendar"), bool(text_of(attributes, "calendar"))
    others = [name for name in ("noleap", "standard", "360_day", "all_leap") if name != (calendar or "standard")]
    # A short axis hardly drifts. Where the file names no calendar, round dates in another one betray that.
    betrayed = not given and not _is_regular(dates) and any(_is_regular(decode(other)) for other in others)
    if not (betrayed or _drifts(dates) or (yearly and not all(map(_is_yearly, dates)))):
        return
    fits = [other for other in others if not _drifts(decode(other)) and (not yearly or _is_regular(decode(other)))]
    raise TimeError(
        "the dates of a time axis drift through the year: the calendar is not the one that they were counted in",
        expected="the same steps of each year at the same time of the year"
        + (": on its first day, in its middle or on its last day" if yearly else ""),
        found=f"from {dates[0]} to {dates[-1]} in calendar {calendar or 'standard'!r}"
        + ("" if given else ", which CF takes where a file names none")
        + (f"; in calendar {fits[0]!r} they do not drift" if fits else ""),
        where=where,
        remedy="correct the attribute `calendar` of the time axis"
        + (f", such as with ncatted -a calendar,time,o,c,{fits[0]}" if fits else ""),
    )


def _plain_years(steps: NDArray[np.float64], units: str, where: object) -> NDArray[np.int64]:
    whole = np.rint(steps)
    if np.abs(steps - whole).max() > 1e-6 or whole.min() < 1 or whole.max() > 9999:
        raise TimeError(
            "a time axis without a reference date holds no years",
            expected="units like 'days since 1850-01-01', or whole years",
            found=f"{steps[0]:g} to {steps[-1]:g}, units {units!r}",
            where=where,
        )
    return np.asarray(whole, np.int64)


def _dates(steps: NDArray[np.float64], units: str, calendar: str, where: object) -> list[Any]:
    import cftime

    try:
        return list(np.atleast_1d(cftime.num2date(steps, units, calendar=calendar)))
    except (ValueError, OverflowError) as error:
        raise TimeError(
            "a time axis cannot be decoded",
            expected="units and a calendar of the CF conventions",
            found=f"{units!r} in calendar {calendar!r}: {error}",
            where=where,
        ) from error


def _is_yearly(date: Any) -> bool:
    """Whether a date is the first day of a year, its middle or its last day, in any calendar."""
    ends = ((1, 1), (12, 30 if date.calendar == "360_day" else 31))
    return (date.month, date.day) in (*ends, (6, 30), (7, 1), (7, 2), (7, 3))


def _is_regular(dates: list[Any]) -> bool:
    """Whether steps are at the ends or in the middle of years, on the first day or in the middle of months, or are days
    from 1 January."""
    step = _median_step(dates)
    if step < _DAILY:
        return bool((dates[0].month, dates[0].day) == (1, 1))
    if step < 32:
        days = {date.day for date in dates}
        return days == {1} or days <= {14, 15, 16, 17}
    return all(map(_is_yearly, dates))


def _median_step(dates: list[Any]) -> float:
    """Days between two steps, leap days left out; a year for one step."""
    days = [_day(date) + 365.0 * date.year for date in dates]
    return float(np.median(np.diff(days))) if len(days) > 1 else 365.0


def _drifts(dates: list[Any]) -> bool:
    """Whether the same steps of different years lie at different places of the year."""
    years = np.array([date.year for date in dates])
    days = np.array([_day(date) for date in dates])
    step = _median_step(dates)
    if step > 300:
        return bool(np.ptp(days) > _SAME_DAY)
    if step < _DAILY:
        # Days that were counted without leap days end before the end of the last year.
        number = ((dates[-1] - dates[0]).total_seconds() / 86400 + step) / 365
        return bool(days[0] < 1 and number > 3.5 and abs(number - round(number)) < 1e-6 and days[-1] < 363.5)
    months = {(date.year, date.month) for date in dates}
    if 27 < step < 32 and len(months) < len(dates):
        return True
    _, first, counts = np.unique(years, return_index=True, return_counts=True)
    most = int(np.bincount(counts).argmax())
    table = np.stack([days[start : start + most] for start in first[counts == most]])
    return bool(np.abs(table - table[0]).max() > _SAME_DAY)


def _day(date: Any) -> float:
    """The place of a date in the year, in days, as if no year had a leap day."""
    before = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
    day = min(date.day, 28) if date.month == 2 else date.day
    return float(before[date.month - 1] + day - 1) + float(date.hour * 3600 + date.minute * 60 + date.second) / 86400
