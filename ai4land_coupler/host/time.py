"""How far a host has come, and whether a call can have anything to do: decided on this rank alone."""

from __future__ import annotations

from ai4land_coupler.core.calendar import DAY, HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.errors import TimeError


class HostTime:
    """The date that a host has run to.

    Attributes
    ----------
    calendar:
        The host's.
    """

    def __init__(self, calendar: HostCalendar, now: HostDate) -> None:
        self.calendar = calendar
        self._now: tuple[int, int, int, float] = now
        self._year: int | None = None
        self._lengths: tuple[int, ...] = ()
        self._place: float = 0

    @property
    def now(self) -> HostDate:
        """The last date that the host ran to; at first, when its run begins."""
        return HostDate(*self._now)

    def no_step_is_due(self, year: int, month: int, day: int, seconds: float) -> bool:
        """Move on within a year of which every step is taken; False where more must be looked at.

        A model calls this at each of its time steps, so that it is comparisons of numbers only.
        """
        if year != self._year:
            return False
        place = (month * 32 + day) * DAY + seconds
        if place < self._place or not 0 < month < 13 or not 0 < day <= self._lengths[month] or not 0 <= seconds < DAY:
            return False
        self._place = place
        self._now = (year, month, day, seconds)
        return True

    def check(self, date: HostDate, clock: Clock) -> None:
        """Refuse to go back, and to go beyond the last year of the run.

        Raises
        ------
        TimeError
            Naming how far the host has come, and ``time.stop``.
        """
        back = (date.year - clock.now) * clock.direction < 0 or (clock.direction > 0 and date < self.now)
        if back or (clock.stop - date.year) * clock.direction < 0:
            raise TimeError(
                "the component cannot run to that date",
                expected=f"{self.now if clock.direction > 0 else clock.now} to {clock.stop}",
                found=date,
                remedy="state is never run back; start a new component, or extend time.stop",
            )

    def move(self, date: HostDate) -> None:
        """The host has come to a date, and nothing is due for the rest of that year."""
        lengths = self.calendar.month_lengths(date.year)
        self._now = date
        self._place = (date.month * 32 + date.day) * DAY + date.seconds
        self._year, self._lengths = (None, ()) if lengths is None else (date.year, lengths)
