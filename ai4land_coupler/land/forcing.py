"""The forcing of a step: the variables and years that predictors and the allocation need, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.inputs.readers import ForcingReader
from ai4land_coupler.land.moments import forcing_years, predicted
from ai4land_coupler.land.setup import LandSetup


@dataclass(frozen=True)
class StepForcing:
    """The forcing of one step, on the whole forcing grid.

    ``fields``: (name, year) -> float32 (rows, cols). ``shares``: the scenario's shares of land by group in the new
    year, float64 (group, rows, cols), or ``None`` if the run follows no scenario.
    """

    fields: Mapping[tuple[str, int], NDArray[np.float32]]
    shares: NDArray[np.float64] | None


class LandForcing:
    """Reads the forcing of a run, step by step. Local to a rank.

    Parameters
    ----------
    passed:
        Variables (name, units) that are passed to hosts every year, in addition to the inputs of the predictors.

    Attributes
    ----------
    reader:
        Reads variables by year, and keeps the years of a step.
    """

    def __init__(self, setup: LandSetup, passed: Iterable[tuple[str, str]] = ()) -> None:
        self._setup, self._passed = setup, set(passed)
        self.reader = ForcingReader(setup.forcing, setup.plan.forcing)
        self._wanted = [
            (entry.spec, field)
            for entry in setup.predictors
            for field in entry.spec.inputs
            if field.source == "forcing"
        ]

    def of_step(self, clock: Clock) -> StepForcing:
        """The forcing of the step that ends at the clock's year. Empty on ranks that do not predict."""
        setup = self._setup
        if not setup.predicts:
            return StepForcing({}, None)
        years = self._years(clock)
        fields = {
            (name, year): values
            for year, specs in years.items()
            for name, values in self.reader.fields(specs, year).items()
        }
        shares = self.shares(clock.now) if setup.follows_scenario else None
        self.reader.forget({*years, clock.now, clock.now - clock.step * clock.direction})
        return StepForcing(fields, shares)

    def shares(self, year: int) -> NDArray[np.float64]:
        """The scenario's shares of land by group in a year, float64 (group, rows, cols). NaN means no data."""
        return self.reader.shares(self._setup.map_maker.crosswalk, year)

    def needs(self, since: int | None = None) -> dict[int, set[tuple[str, str]]]:
        """The variables (name, units) that the run reads from its first step to its last, by year.

        ``since``: the year of the state from which a run continues; it then reads no earlier steps.

        Raises
        ------
        TimeError, FieldError
            A year or a state is missing in the scenario.
        """
        setup = self._setup
        start = setup.clock if since is None else setup.clock.at(since)
        needs: dict[int, set[tuple[str, str]]] = {}
        for clock in start.remaining():
            for year, specs in self._years(clock).items():
                found = {(s.name, s.units) for s in specs if s.name in setup.forcing or s.missing == "error"}
                needs.setdefault(year, set()).update(found)
        for year in sorted(self._scenario_years(start, since is None)):  # the first year without data is named
            chosen = setup.forcing.choose(setup.map_maker.crosswalk, year)
            needs.setdefault(year, set()).update((name, "1") for names in chosen.values() for name in names)
        for year in (start.now, *(clock.now for clock in start.remaining())) if self._passed else ():
            needs.setdefault(year, set()).update(self._passed)
        return needs

    def check_years(self, since: int | None = None) -> None:
        """Check that the inputs have every year that the run will read. No data are read.

        ``since``: the year of the state from which a run continues.

        Raises
        ------
        TimeError, FieldError
            No adapter has a year, for example after the end of the scenario or between other years; or a predictor
            has no data for a year.
        """
        setup = self._setup
        for year, wanted in sorted(self.needs(since).items()):
            for name, _ in sorted(wanted):
                setup.forcing.find(name, year)
        start = setup.clock if since is None else setup.clock.at(since)
        for entry in setup.predictors:
            times = [time for clock in start.remaining() for time in predicted(entry.spec, clock.now)]
            entry.predictor.check_years(list(dict.fromkeys(year for year, _ in times)))

    def _scenario_years(self, start: Clock, from_map: bool) -> set[int]:
        """The years whose shares of land the allocation needs; the base year only if the run starts from the map."""
        setup = self._setup
        if not setup.follows_scenario:
            return set()
        return {clock.now for clock in start.remaining()} | ({setup.base_year} if from_map else set())

    def _years(self, clock: Clock) -> dict[int, list[FieldSpec]]:
        """The fields that a step reads, by year."""
        years: dict[int, list[FieldSpec]] = {}
        for spec, field in self._wanted:
            for year in forcing_years(spec, field, clock.now):
                years.setdefault(year, []).append(field)
        return dict(sorted(years.items()))


def static_needs(setup: LandSetup) -> dict[str, FieldSpec]:
    """The static fields that the run reads, by name, without optional fields that are missing."""
    specs = [field for entry in setup.predictors for field in entry.spec.inputs if field.source == "static"]
    return {s.name: s for s in specs if s.name in setup.static or s.missing == "error"}
