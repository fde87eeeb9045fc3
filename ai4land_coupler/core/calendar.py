"""Dates of hosts: the calendars of cftime, and the forms in which a host can give a date.

The component itself uses integer years. It needs a calendar only for the dates that a host gives.
"""

from __future__ import annotations

import re
from datetime import date as real_date
from datetime import datetime as real_datetime
from datetime import timedelta
from typing import Any, NamedTuple

from ai4land_coupler.errors import TimeError, nearest

#: Seconds in a day. Calendars of models have no leap seconds.
DAY = 86400
#: A time of day that is closer to midnight than this (seconds) is midnight: clocks that add parts of seconds drift, and
#: 86400 in single precision is exact to 0.008.
NEAR_MIDNIGHT = 0.01
#: Intervals are differences of whole parts of a second. This number of parts is a power of two, so that sums of
#: intervals are exact: the intervals of a month add up to the month.
_PARTS = 1024

#: The names of calendars in cftime, and the main name of each calendar.
_CALENDARS = {
    "standard": "standard",
    "gregorian": "standard",
    "proleptic_gregorian": "proleptic_gregorian",
    "julian": "julian",
    "noleap": "noleap",
    "365_day": "noleap",
    "all_leap": "all_leap",
    "366_day": "all_leap",
    "360_day": "360_day",
}
_ISO = re.compile(r"(-?\d{1,6})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d(?:\.\d+)?))?)?Z?)?)?)?")


class HostDate(NamedTuple):
    """A date and time in a calendar. Later dates compare as greater. ``seconds`` are counted from midnight."""

    year: int
    month: int = 1
    day: int = 1
    seconds: float = 0

    def __str__(self) -> str:
        """ISO 8601 in the shortest form: 1 January at midnight is only the year."""
        if self[1:] == (1, 1, 0):
            return f"{self.year}"
        text = f"{self.year:04d}-{self.month:02d}-{self.day:02d}"
        if not self.seconds:
            return text
        whole = int(self.seconds)
        part = f"{self.seconds - whole:.6f}".removeprefix("0").rstrip("0.") if self.seconds != whole else ""
        return f"{text}T{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{part}"


class HostCalendar:
    """One of cftime's calendars.

    Parameters
    ----------
    name:
        ``standard``, ``proleptic_gregorian``, ``julian``, ``noleap``, ``all_leap``, ``360_day``, or another name of
        one of them in cftime.

    Raises
    ------
    TimeError
        No calendar has this name.
    """

    def __init__(self, name: str = "standard") -> None:
        found = _CALENDARS.get(name.strip().lower()) if isinstance(name, str) else None
        if found is None:
            raise TimeError("no calendar has this name", found=name, remedy=nearest(str(name), _CALENDARS))
        self.name = found

    def check(self, date: HostDate) -> HostDate:
        """Return the date if it exists in the calendar; a time very near to midnight becomes midnight.

        Raises
        ------
        TimeError
            The date does not exist (29 February in ``noleap``, 31 January in ``360_day``), or seconds exceed a day.
        """
        day = self._at(date)
        if not -NEAR_MIDNIGHT < date.seconds < DAY + NEAR_MIDNIGHT:
            raise TimeError(
                "a time of day lies outside of the day", expected="0 <= seconds <= 86400", found=tuple(date)
            )
        if date.seconds > DAY - NEAR_MIDNIGHT:
            day += timedelta(days=1)
        elif date.seconds >= NEAR_MIDNIGHT:
            return date
        return HostDate(day.year, day.month, day.day)

    def month_lengths(self, year: int) -> tuple[int, ...] | None:
        """Days of months 1 to 12, after a 0 at index 0. ``None`` if a month has missing days (October 1582)."""
        if self.name == "standard" and year == 1582:
            return None
        return (0, *(int(self._at(HostDate(year, month)).daysinmonth) for month in range(1, 13)))

    def seconds_between(self, first: HostDate, last: HostDate) -> float:
        """Seconds from the first date to the last, to 1/1024 s. Negative if ``last`` is earlier.

        Intervals that follow each other add up to the interval from the first start to the last end, without any error.
        """
        days = (self._at(last) - self._at(first)).days
        return float(days * DAY + (round(last.seconds * _PARTS) - round(first.seconds * _PARTS)) / _PARTS)

    def parse(self, moment: Any) -> HostDate:
        """Convert a date of a host to a date of the calendar.

        Parameters
        ----------
        moment:
            A year; an ISO 8601 text (``2015-03-01``, ``2015-03-01T06:00:00``); ``(year, month, day[, seconds])``; or a
            date of ``cftime`` in this calendar, or of ``datetime``.

        Raises
        ------
        TimeError
            It has another form, does not exist in the calendar, or belongs to another calendar.
        """
        if isinstance(moment, HostDate):
            return self.check(moment)
        if isinstance(moment, str):
            match = _ISO.fullmatch(moment.strip())
            if match is None:
                raise _no_date(moment)
            year, month, day, hour, minute = (int(part) if part else None for part in match.groups()[:5])
            if (hour or 0) > 23 or (minute or 0) > 59 or float(match[6] or 0) >= 60:
                raise _no_date(moment)
            seconds = _whole((hour or 0) * 3600 + (minute or 0) * 60 + float(match[6] or 0))
            return self.check(HostDate(year or 0, month or 1, day or 1, seconds))
        if isinstance(moment, tuple | list):
            return self._from_numbers(moment)
        if hasattr(moment, "month") and hasattr(moment, "day"):
            return self._from_object(moment)
        return self._from_numbers((moment,))

    def _from_numbers(self, numbers: Any) -> HostDate:
        try:
            if not 1 <= len(numbers) <= 4 or any(int(n) != n for n in numbers[:3]):
                raise ValueError
            year, month, day = (*(int(n) for n in numbers[:3]), 1, 1)[:3]
            seconds = _whole(float(numbers[3])) if len(numbers) == 4 else 0
        except (TypeError, ValueError, OverflowError):
            raise _no_date(numbers) from None
        return self.check(HostDate(year, month, day, seconds))

    def _from_object(self, moment: Any) -> HostDate:
        if not isinstance(moment, real_date):
            given = HostCalendar(moment.calendar or self.name).name if hasattr(moment, "calendar") else self.name
            if given != self.name:
                raise TimeError(
                    "a date is of another calendar than the host",
                    expected=self.name,
                    found=f"{moment} in {given}",
                    remedy="call set_calendar with the host's calendar",
                )
        seconds: float = 0
        if not isinstance(moment, real_date) or isinstance(moment, real_datetime):
            seconds = _whole(moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6)
        return self.check(HostDate(moment.year, moment.month, moment.day, seconds))

    def _at(self, date: HostDate) -> Any:
        import cftime

        try:
            return cftime.datetime(date.year, date.month, date.day, calendar=self.name, has_year_zero=True)
        except (ValueError, OverflowError) as error:
            raise TimeError(
                "the calendar has no such date",
                expected=f"a date of the calendar {self.name}",
                found=f"year {date.year}, month {date.month}, day {date.day}",
                remedy="set_calendar takes the host's calendar",
            ) from error


def _no_date(moment: Any) -> TimeError:
    return TimeError(
        "this is not a date",
        expected="a year, 'YYYY-MM-DD[THH:MM:SS]', (year, month, day[, seconds]), or a date of cftime or datetime",
        found=repr(moment),
    )


def _whole(seconds: float) -> float:
    """Convert whole seconds to an integer, so that sums are exact."""
    return int(seconds) if seconds == int(seconds) else seconds
