"""The clock, against hand-worked steps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.core.clock import Clock, Step
from ai4land_coupler.errors import ConfigError, TimeError


@pytest.mark.parametrize(("text", "months", "years"), [("P1Y", 12, 1), ("P3Y", 36, 3), ("P1M", 1, 0), ("P24M", 24, 2)])
def test_steps_are_read_in_months(text: str, months: int, years: int) -> None:
    step = Step.parse(text)
    assert (step.months, step.years) == (months, years)
    assert Step.parse(str(step)) == step


@pytest.mark.parametrize("text", ["1Y", "P0Y", "P1D", "P1Y6M", "P-1Y", ""])
def test_other_intervals_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="ISO 8601"):
        Step.parse(text)


@given(st.integers(1, 3000), st.integers(-300, 300), st.integers(1, 10))
def test_a_clock_takes_every_step_once(start: int, steps: int, step: int) -> None:
    clock = Clock(start, start + steps * step, step)
    taken = [c.now for c in clock.remaining()]
    assert [start, *taken] == list(clock.years())
    assert len(taken) == abs(steps)
    assert taken == [start + int(math.copysign(i, steps)) * step for i in range(1, abs(steps) + 1)]
    assert clock.direction == (-1 if steps < 0 else 1)


@pytest.mark.parametrize(
    ("start", "stop", "step", "last", "end"),
    [
        (2015, 2099, 3, 2099, 2101),
        (2015, 2100, 3, 2099, 2101),
        (2015, 2101, 3, 2099, 2101),
        (2015, 2102, 3, 2102, 2104),
        (1960, 1850, 4, 1852, 1849),
        (2015, 2016, 3, 2015, 2017),
        (2015, 2020, 1, 2020, 2020),
    ],
)
def test_the_last_state_holds_to_the_end_of_its_step(start: int, stop: int, step: int, last: int, end: int) -> None:
    clock = Clock(start, stop, step)
    assert (clock.last, clock.end) == (last, end)
    assert [start, *(c.now for c in clock.remaining())] == list(clock.years())
    assert clock.years()[-1] == last
    assert clock.at(last).done


def test_a_clock_does_not_run_past_its_stop() -> None:
    with pytest.raises(TimeError, match="reached its stop"):
        Clock(2000, 2001).next().next()
    with pytest.raises(TimeError, match="not a step"):
        Clock(2000, 2010, 5, year=2003)
