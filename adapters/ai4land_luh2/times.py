"""Reads the year of each step from the time axes of LUH2 (years since a year) and LUH3 (days since a day)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import TimeError

_YEARS_SINCE = re.compile(r"^\s*(?:common_)?years?\s+since\s+(\d{1,4})-0?1-0?1\b", re.IGNORECASE)
_DAYS_SINCE = re.compile(r"^\s*days?\s+since\s", re.IGNORECASE)

#: CF 1.11, section 4.4.1, without ``none`` and the calendars with leap seconds.
CALENDARS = (
    "standard", "gregorian", "proleptic_gregorian", "julian", "noleap", "365_day", "all_leap", "366_day", "360_day",
)  # fmt: skip


def years_of(steps: NDArray[np.float64], units: str, calendar: str, where: str) -> tuple[int, ...]:
    """Year of each step.

    ``years since`` means year = reference + t in these files; UDUNITS would use years of 365.2425 days. ``days since``
    is decoded with the calendar of the file. All steps must then be on the same day of their years (the first day, the
    middle or the last day): with a wrong calendar they are not.

    Raises
    ------
    TimeError
        The error names the units, the calendar or the steps.
    """
    if calendar.lower() not in CALENDARS:
        raise TimeError(
            "the time axis has an unknown calendar", expected=", ".join(CALENDARS), found=calendar, where=where
        )
    if steps.size == 0 or not np.isfinite(steps).all():
        raise _not_yearly(steps, where)
    match = _YEARS_SINCE.match(units)
    if match is not None:
        whole = np.rint(steps)
        if np.any(np.abs(steps - whole) >= 1e-3):
            raise _not_yearly(steps, where)
        years = int(match[1]) + whole.astype(np.int64)
    elif _DAYS_SINCE.match(units):
        years = _years_of_days(steps, units, calendar.lower(), where)
    else:
        raise TimeError(
            "the time axis is not in the units of the LUH2 layout",
            expected="years since YYYY-01-01, or days since a date",
            found=units or "no units",
            where=where,
        )
    if np.unique(years).size != years.size:
        raise _not_yearly(steps, where)
    return tuple(int(year) for year in years)


def _years_of_days(steps: NDArray[np.float64], units: str, calendar: str, where: str) -> NDArray[np.int64]:
    import cftime

    try:
        dates: list[Any] = list(np.atleast_1d(cftime.num2date(steps, units, calendar)))
    except (ValueError, OverflowError) as error:
        raise TimeError(
            "the time axis cannot be decoded", expected=f"days since a date of {calendar}", found=error, where=where
        ) from error
    years = np.array([date.year for date in dates], np.int64)
    if np.unique(years).size != years.size:
        raise _not_yearly(steps, where)
    places = {_place(date) for date in dates}
    if len(places) > 1 or None in places:
        raise TimeError(
            "the steps of the time axis do not stand at one place of the year",
            expected="each step on the first day of its year, in its middle, or on its last day",
            found=f"{dates[0]} to {dates[-1]} in the calendar {calendar}",
            where=where,
            remedy="the calendar or the units are not those that the steps were counted in; LUH3 counts in noleap",
        )
    return years


def _place(date: Any) -> str | None:
    if (date.month, date.day) == (1, 1):
        return "first"
    if (date.month, date.day) in ((6, 30), (7, 1), (7, 2), (7, 3)):
        return "middle"
    last = (12, 30) if date.calendar == "360_day" else (12, 31)
    return "last" if (date.month, date.day) == last else None


def _not_yearly(steps: NDArray[np.float64], where: str) -> TimeError:
    return TimeError(
        "the time axis does not hold one step for each year, in the units of the LUH2 layout",
        expected="distinct years, one step each",
        found=steps,
        where=where,
    )
