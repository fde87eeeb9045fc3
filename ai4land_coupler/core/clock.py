"""Integer years and months.

The component counts time in integer years (and months). The state of year Y is valid from 1 January of Y
up to 1 January of Y+1. Only the interfaces to hosts use calendars (of cftime).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ai4land_coupler.errors import ConfigError, TimeError


@dataclass(frozen=True, order=True)
class Step:
    """A whole number of months, written as an ISO 8601 duration (``P1Y``, ``P3Y``, ``P1M``)."""

    months: int

    @classmethod
    def parse(cls, text: str) -> Step:
        match = re.fullmatch(r"P(\d+)([YM])", text)
        if match is None or int(match[1]) == 0:
            raise ConfigError(
                "a step is not an interval of years or months",
                expected="ISO 8601 such as P1Y, P3Y or P1M",
                found=text,
            )
        return cls(int(match[1]) * (12 if match[2] == "Y" else 1))

    @property
    def years(self) -> int:
        """Length in whole years. Zero if the step is shorter than a year."""
        return self.months // 12

    def shift(self, time: tuple[int, int], steps: int) -> tuple[int, int]:
        """The (year, month) that is some steps later. The month is 0 for steps of years, and stays 0."""
        year, month = time
        if month == 0:
            return year + self.years * steps, 0
        months = 12 * year + month - 1 + self.months * steps
        return months // 12, months % 12 + 1

    def __str__(self) -> str:
        return f"P{self.years}Y" if self.months % 12 == 0 else f"P{self.months}M"


@dataclass(frozen=True)
class Clock:
    """The years of a run: ``start``, then every ``step`` years, not beyond ``stop``.

    ``year`` is the year of the current state. Years of a backward run decrease. A state holds to the end of its step:
    with steps of three years from 2015, the state of 2099 is the last one for a ``stop`` of 2099, 2100 or 2101.
    """

    start: int
    stop: int
    step: int = 1
    year: int | None = None

    def __post_init__(self) -> None:
        if self.step < 1:
            raise ConfigError("the step of a clock must be at least one year", found=self.step)
        if self.year is None:
            object.__setattr__(self, "year", self.start)
        elif self.year not in self.years():
            raise TimeError("the current year is not a step of this clock", found=self.year)

    @property
    def direction(self) -> int:
        """+1 forward, -1 backward."""
        return -1 if self.stop < self.start else 1

    @property
    def now(self) -> int:
        assert self.year is not None
        return self.year

    @property
    def last(self) -> int:
        """The year of the last state."""
        return self.stop - self.direction * (abs(self.stop - self.start) % self.step)

    @property
    def end(self) -> int:
        """The last year in which the last state holds."""
        return self.last + self.direction * (self.step - 1)

    @property
    def done(self) -> bool:
        return self.year == self.last

    def years(self) -> range:
        """The years of all states, from the start to the last."""
        return range(self.start, self.stop + self.direction, self.direction * self.step)

    def at(self, year: int) -> Clock:
        """The same clock at another year of the run."""
        return Clock(self.start, self.stop, self.step, year)

    def next(self) -> Clock:
        """The clock after one more step."""
        if self.done:
            raise TimeError("the clock has reached its stop", found=self.last)
        return self.at(self.now + self.direction * self.step)

    def remaining(self) -> Iterator[Clock]:
        """The clocks after each of the remaining steps."""
        clock = self
        while not clock.done:
            clock = clock.next()
            yield clock
