"""The state of a run, and the steps from one state to the next.

With ``exports.lookahead`` in the configuration, the component is one step ahead of its host: it has already computed
the part of the next step that needs no imports. The host can then get both states, and dates between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import FieldError, StateError, TimeError
from ai4land_coupler.host.field_info import ExportInfo
from ai4land_coupler.host.grids import Fields, HostGrids
from ai4land_coupler.host.imports import HostImports
from ai4land_coupler.land.forcing import LandForcing, StepForcing
from ai4land_coupler.land.model import LandModel, StepResult
from ai4land_coupler.parallel import Communicator


@dataclass(frozen=True)
class StartedStep:
    """A step of which only the part that needs no imports is done.

    Attributes
    ----------
    clock:
        The clock at the end of the step.
    forcing:
        The forcing of the step.
    result:
        The result so far.
    """

    clock: Clock
    forcing: StepForcing
    result: StepResult


@dataclass(frozen=True)
class RunState:
    """The land state of a run and the fields made from it. Immutable, so that a failed step changes nothing.

    Attributes
    ----------
    lookahead:
        Whether the next step starts as soon as the last one is done.
    fields:
        The exports of the state.
    ahead, next_fields:
        The step that was started, and the exports of its state; ``None`` and {} without lookahead and in the last year.
    diagnostics:
        Sums over all blocks for the last step.
    """

    state: LandState
    clock: Clock
    lookahead: bool
    fields: Fields = field(default_factory=dict)
    ahead: StartedStep | None = None
    next_fields: Fields = field(default_factory=dict)
    diagnostics: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def next_year(self) -> int | None:
        """The year of the state one step ahead; ``None`` if no step was started."""
        return None if self.ahead is None else self.ahead.clock.now

    def is_due(self, year: int) -> bool:
        """Whether a step is due by 1 January of that year."""
        return not self.clock.done and (year - self.clock.next().now) * self.clock.direction >= 0

    def without_fields(self) -> RunState:
        """The same state without fields and without a started step."""
        return replace(self, fields={}, ahead=None, next_fields={})

    def export(self, info: ExportInfo, grid: str, at: Any, calendar: HostCalendar) -> NDArray[np.float64]:
        """An export at a time; see :meth:`LandComponent.export`."""
        if at is None or at == "now":
            return self._made(self.fields, info.name, grid)
        next_year = self._year_ahead(info, at)
        if at == "next":
            return self._made(self.next_fields, info.name, grid)
        date = calendar.parse(at)
        first, last = HostDate(self.state.year), HostDate(next_year)
        if not first <= date <= last:
            raise TimeError("a date is not between the two states", expected=f"{first} to {last}", found=date)
        if not info.interpolates:
            raise FieldError(
                f"{info.name!r} is not interpolated in time",
                expected="the state of a year: this one or the next",
                found=date,
            )
        share = calendar.seconds_between(first, date) / calendar.seconds_between(first, last)
        now, later = self.fields[grid, info.name], self.next_fields[grid, info.name]
        return now if share == 0 else later if share == 1 else np.asarray((1 - share) * now + share * later)

    def _year_ahead(self, info: ExportInfo, at: Any) -> int:
        """The year of the state one step ahead; an error if the field is not available there."""
        if not self.lookahead:
            raise TimeError(
                "only the state of this year is on offer",
                expected="the state of this year",
                found=at,
                remedy="set exports.lookahead: true in the configuration",
            )
        if self.ahead is None:
            raise TimeError(
                "there is no next state",
                expected=f"a year before {self.clock.last}",
                found=self.state.year,
                where="time.stop",
                remedy="extend time.stop by one step",
            )
        if not info.ahead:
            raise FieldError(
                f"{info.name!r} is not on offer a step ahead",
                expected="the state of this year",
                found=at,
                remedy="it waits for the host's imports of the year",
            )
        return self.ahead.clock.now

    def _made(self, fields: Fields, name: str, grid: str) -> NDArray[np.float64]:
        if (grid, name) not in fields:
            raise StateError(f"{name!r} is not there yet", found=f"year {self.state.year}", remedy="run a step first")
        return fields[grid, name]


class Stepper:
    """Takes a run from one state to the next. All methods are collective.

    Parameters
    ----------
    hosts:
        The host grids that get fields.
    imports:
        The fields that the host gives.
    """

    def __init__(
        self, model: LandModel, forcing: LandForcing, hosts: HostGrids, imports: HostImports, comm: Communicator
    ) -> None:
        self._model, self._land_forcing, self._hosts, self._imports = model, forcing, hosts, imports
        self._comm = comm

    def start(self, run_state: RunState, kept: Fields) -> RunState:
        """The first state of a run with its fields; the host grids must have weights.

        Parameters
        ----------
        kept:
            Exports of a restart that cannot be made from its state.
        """
        ahead = self._begin_ahead(run_state, run_state.state, run_state.clock)
        fields = self._fields(run_state.state, None) | kept
        following = {} if ahead is None else self._fields(ahead.result.state, run_state.state)
        return replace(run_state, fields=fields, ahead=ahead, next_fields=following)

    def step(self, run_state: RunState, calendar: HostCalendar) -> RunState:
        """Advance one step."""
        started = run_state.ahead or self._begin(run_state.state, run_state.clock.next())
        imports = self._imports.read(started.clock, calendar)
        before = run_state.state
        result = self._model.complete(before, started.result, started.forcing, imports)
        diagnostics = self._comm.sum_by_block(result.diagnostics)
        ahead = self._begin_ahead(run_state, result.state, started.clock)
        if run_state.ahead is not None and not self._model.late:
            fields = run_state.next_fields  # the last step made them from the same state
        else:
            fields = self._fields(result.state, before)
        following = {} if ahead is None else self._fields(ahead.result.state, result.state)
        return RunState(result.state, started.clock, run_state.lookahead, fields, ahead, following, diagnostics)

    def inputs(self, clock: Clock, calendar: HostCalendar) -> tuple[StepForcing, dict[str, NDArray[np.float32]]]:
        """Forcing and imports of the step that ends in the year of ``clock``."""
        return self._forcing(clock), self._imports.read(clock, calendar)

    def _begin(self, state: LandState, clock: Clock) -> StartedStep:
        forcing = self._forcing(clock)
        return StartedStep(clock, forcing, self._model.begin(state, forcing, clock))

    def _begin_ahead(self, run_state: RunState, state: LandState, clock: Clock) -> StartedStep | None:
        return self._begin(state, clock.next()) if run_state.lookahead and not clock.done else None

    def _forcing(self, clock: Clock) -> StepForcing:
        with self._comm.guard(), self._model.timers("read forcing"):
            return self._land_forcing.of_step(clock)

    def _fields(self, state: LandState, before: LandState | None) -> Fields:
        with self._model.timers("regrid"):
            return self._hosts.fields(state, before)
