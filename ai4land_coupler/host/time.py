"""The host's date, and a local check whether a call has anything to do."""

from __future__ import annotations

from ai4land_coupler.core.calendar import DAY, NEAR_MIDNIGHT, HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.errors import TimeError


class HostTime:
    """The last date that a host ran to.

    Attributes
    ----------
    calendar:
        The host's calendar.
    """

    def __init__(self, calendar: HostCalendar, now: HostDate) -> None:
        self.calendar = calendar
        self._now: tuple[int, int, int, float] = now
        self._year: int | None = None
        self._lengths: tuple[int, ...] = ()
        self._place: float = 0

    @property
    def now(self) -> HostDate:
        """The last date that the host ran to; at first, the start of its run."""
        return HostDate(*self._now)

    def no_step_is_due(self, year: int, month: int, day: int, seconds: float) -> bool:
        """Move to a date of the current year and return True; return False if the date needs the full check.

        In the current year all steps are done. A model calls this at each time step, so it only compares numbers.
        """
        if year != self._year:
            return False
        place = (month * 32 + day) * DAY + seconds
        if place < self._place or not 0 < month < 13 or not 0 < day <= self._lengths[month]:
            return False
        if not 0 <= seconds < DAY - NEAR_MIDNIGHT:  # it may be midnight of the next day
            return False
        self._place = place
        self._now = (year, month, day, seconds)
        return True

    def check(self, date: HostDate, clock: Clock) -> None:
        """Refuse dates before the current one, and dates after the last state of the run has ended.

        Raises
        ------
        TimeError
            Its message has the current date and the last year.
        """
        back = (date.year - clock.now) * clock.direction < 0 or (clock.direction > 0 and date < self.now)
        if back or (clock.end - date.year) * clock.direction < 0:
            raise TimeError(
                "the component cannot run to that date",
                expected=f"{self.now if clock.direction > 0 else clock.now} to {clock.end}",
                found=date,
                remedy="time never goes back in a run: give the host's current date, or start a new run"
                if back
                else "extend time.stop in the configuration",
            )

    def move(self, date: HostDate) -> None:
        """Set the date of the host; no step is due for the rest of that year."""
        lengths = self.calendar.month_lengths(date.year)
        self._now = date
        self._place = (date.month * 32 + date.day) * DAY + date.seconds
        self._year, self._lengths = (None, ()) if lengths is None else (date.year, lengths)
