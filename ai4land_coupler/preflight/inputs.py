"""Checks the inputs of a run. Reports all faults at once, while a run stops at the first one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.host.field_info import ImportInfo
from ai4land_coupler.host.field_table import make_field_table
from ai4land_coupler.inputs.catalogue import Catalogue, Mended, total
from ai4land_coupler.inputs.gaps import LandGaps, gaps_on_land, refuse_gaps
from ai4land_coupler.inputs.land_sums import count_small_sums, largest_sum
from ai4land_coupler.inputs.readers import ClimateReader
from ai4land_coupler.inputs.sums import sum_members
from ai4land_coupler.land.first_state import count_no_data, read_blocks
from ai4land_coupler.land.forcing import LandForcing, static_needs
from ai4land_coupler.land.gaps import land_share
from ai4land_coupler.land.setup import LandSetup, make_setup
from ai4land_coupler.preflight.advice import long_chunks, map_without_states, small_sums, states_without_map
from ai4land_coupler.preflight.input_report import InputReport, VariableReport

#: Called with the share that is done (0 to 1) and the name of what is read.
Progress = Callable[[float, str], None]


#: The largest sum of fractions that are a hundred times too small, with some rounding.
_LIKE_PER_CENT = 0.0101


def check_inputs(
    config: Config, years: Literal["ends", "all"] = "all", progress: Progress = lambda share, what: None
) -> InputReport:
    """Read everything that a run would read, and report on it.

    Parameters
    ----------
    years:
        ``ends``: the first and the last year of the forcing, and the year where one data set follows another.
        ``all``: every year that the run reads.

    Raises
    ------
    ConfigError, PluginError
        If the configuration itself is invalid, so that there is nothing to report on.
    """
    report = InputReport(config.quality.policy)
    try:
        setup = make_setup(config)
        field_table = make_field_table(setup)
    except Ai4LandError as error:
        report.add_fault(error)
        return report
    report.warnings += setup.advice
    report.land, report.forcing = str(setup.grid), str(setup.plan.forcing)
    entries = [("initial", setup.initial)]
    for catalogue in (setup.forcing, setup.static, setup.climate):
        entries += [(catalogue.kind, entry) for entry in catalogue.adapters]
    for kind, entry in entries:
        report.add_adapter(kind, entry)
        if kind == "forcing":
            report.warnings += long_chunks(entry)
    checker = _Checker(setup, LandForcing(setup, field_table.pass_through_inputs), report)
    try:
        checker.land()
    except Ai4LandError as error:
        report.add_fault(error)
        return report
    checker.forcing(years, progress)
    checker.statics(progress)
    checker.climate(field_table.imports, years, progress)
    checker.finish()
    return report


class _Checker:
    """Reads the inputs and fills a report. Holds one row of blocks of the land grid, but no field of it."""

    def __init__(self, setup: LandSetup, forcing: LandForcing, report: InputReport) -> None:
        self.config, self.setup, self.report = setup.config, setup, report
        self._forcing = forcing
        self._no_data: dict[Mended, int] = {}
        self._mending_setup: LandSetup | None = None
        self._gaps: dict[tuple[str, str], LandGaps] = {}
        #: Number of land cells in each forcing cell, and whether all of its cells are land.
        self._land_cells = np.zeros(setup.plan.forcing.shape, np.int64)
        self._full = np.zeros(setup.plan.forcing.shape, bool)

    def land(self) -> None:
        """Count the land of the initial map, and its cells without data."""
        plan = self.setup.plan
        for block, codes in read_blocks(self.setup, plan.blocks):
            self._no_data |= count_no_data(self.setup, {block.id: codes})
            land = self._is_land(codes)
            np.add.at(self._land_cells, np.ix_(*plan.forcing_of(block.core)), land)
            self._full[block.forcing.slices()] = land_share(self.setup, block, land) == 1

    def _is_land(self, codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.asarray(self.setup.legend.to_view(codes) != OUTSIDE)

    def forcing(self, years: str, progress: Progress) -> None:
        """Read the forcing of each year. After :meth:`land`."""
        plan, weight = self.setup.plan, self._land_cells
        try:
            needs = self._forcing.needs()
            self._forcing.check_years()
        except Ai4LandError as error:
            self.report.add_fault(error)
            return
        chosen = sorted(year for year, wanted in needs.items() if wanted)
        if years == "ends":
            chosen = sorted({*chosen[:1], *chosen[-1:]})
        for number, year in enumerate(chosen):
            progress(number / len(chosen), f"forcing of {year}")
            units = dict(sorted(needs[year]))
            read = self._read("forcing", units, plan.forcing, year)
            for name, values in read.items():
                missing = np.isnan(values)
                gaps = LandGaps(int(weight.sum()), int(weight[missing].sum()), 0)
                line = self._line("forcing", name, units[name])
                line.read.append(year)
                line.add(values, gaps)
                old = self._gaps.get(("forcing", name), gaps)
                self._gaps["forcing", name] = max(old, gaps, key=lambda g: g.missing)
            self._add_sums(read)
            self._check_states(read, units, year)
            if number == 0:
                self._compare_with_map(read, weight, self._full)

    def statics(self, progress: Progress) -> None:
        """Read the static fields, and the initial map again, block by block."""
        setup = self.setup
        wanted = {name: spec.units for name, spec in static_needs(setup).items()}
        if not wanted:
            return
        for number, (block, codes) in enumerate(read_blocks(setup, setup.plan.blocks)):
            land = self._is_land(codes)
            progress(number / len(setup.plan.blocks), "static fields")
            read = self._read("static", wanted, setup.grid.sub(block.core), None)
            for name, values in read.items():
                gaps = gaps_on_land(name, values, land, wanted[name])
                self._line("static", name, wanted[name]).add(values, gaps)
                old = self._gaps.get(("static", name))
                self._gaps["static", name] = gaps if old is None else old + gaps
            self._add_sums(read)

    def climate(self, imports: Mapping[str, ImportInfo], years: str, progress: Progress) -> None:
        """Read the months that a run without a host takes from the climate data. After :meth:`land`."""
        setup, weight = self.setup, self._land_cells
        reader = ClimateReader(setup.climate, setup.plan.forcing)
        clocks = list(setup.clock.remaining())
        for name, info in sorted(imports.items()):
            if name not in reader:
                continue
            line = self._line("climate", name, info.units)
            try:
                for clock in clocks:
                    reader.check(name, clock.now, info.months)
                for clock in clocks if years == "all" else {clocks[0], clocks[-1]}:
                    progress((clock.now - clocks[0].now) / len(clocks), f"climate of {clock.now - 1}: {name}")
                    values = reader.read(name, info.units, clock.now, info.months)
                    missing = np.isnan(values).any(axis=0)
                    gaps = LandGaps(int(weight.sum()), int(weight[missing].sum()), 0)
                    line.read.append(clock.now - 1)
                    line.add(values, gaps)
                    old = self._gaps.get(("climate", name), gaps)
                    self._gaps["climate", name] = max(old, gaps, key=lambda g: g.missing)
            except Ai4LandError as error:
                self.report.add_fault(error)

    def finish(self) -> None:
        """Add the faults that concern the whole land, and the counts of mended values."""
        quality = self.config.quality
        for (kind, name), gaps in sorted(self._gaps.items()):
            limit = quality.missing_static if kind == "static" else quality.missing_forcing
            try:
                catalogue = self._catalogue(self.setup, kind)
                refuse_gaps(name, gaps, limit, catalogue.source(name), quality.policy, catalogue.cause_of_gaps)
            except Ai4LandError as error:
                self.report.add_fault(error)
        self.report.warnings += [
            f"{label} fractions of a cell add up to {high:.3g} at most, as fractions under units of per cent do"
            for label, (_, high) in self.report.closure.items()
            if 0 < high <= _LIKE_PER_CENT
        ]
        mended = self._no_data | self.setup.forcing.mended | self.setup.static.mended | self.setup.climate.mended
        if self._mending_setup is not None:
            mended = self._mending_setup.forcing.mended | self._mending_setup.static.mended | mended
        self.report.mended = dict(sorted(total(mended).items()))

    # ---- parts ------------------------------------------------------------------------------------------------

    def _read(self, kind: str, units: Mapping[str, str], grid: Any, year: int | None) -> dict[str, NDArray[np.float32]]:
        """Read all variables at once. If that fails, read them one by one to report each fault; mend if possible."""
        catalogue = self._catalogue(self.setup, kind)
        try:
            return catalogue.read(units, grid, year)
        except Ai4LandError as error:
            self.report.add_fault(error)
        read: dict[str, NDArray[np.float32]] = {}
        for name, wanted in units.items():
            try:
                catalogue.read({name: wanted}, grid, year)
            except Ai4LandError as error:
                self.report.add_fault(error)
        for names in ({name: wanted} for name, wanted in units.items()):
            try:
                read |= self._catalogue(self._setup_that_mends(), kind).read(names, grid, year)
            except Ai4LandError:
                self._line(kind, *next(iter(names.items())))  # Nothing can be read: add a line without a range.
        return read

    def _setup_that_mends(self) -> LandSetup:
        """The same inputs, but with the policy ``mend``."""
        if self._mending_setup is None:
            quality = self.config.quality.model_copy(update={"policy": "mend"})
            config = self.config.model_copy(update={"quality": quality})
            self._mending_setup = make_setup(config)
        return self._mending_setup

    def _check_states(self, read: Mapping[str, NDArray[np.float32]], units: Mapping[str, str], year: int) -> None:
        """Check that the states of land use add up to the same as in the first year."""
        fractions = {name: values for name, values in read.items() if units[name] == "1"}
        try:
            self.setup.forcing.check_land_sums(fractions, self.setup.plan.forcing, year)
        except Ai4LandError as error:
            self.report.add_fault(error)

    def _compare_with_map(
        self, read: Mapping[str, NDArray[np.float32]], land_cells: NDArray[np.int64], full: NDArray[np.bool_]
    ) -> None:
        """Compare the states of the first year with the land of the map: the number of land cells, and full cells."""
        faults = len(self.report.faults)
        where = self.setup.forcing.at(self.config.time.start)
        try:
            count_small_sums(largest_sum(read, full), where, self.config.quality.policy)
        except Ai4LandError as error:
            self.report.add_fault(error)
        found = [states_without_map(read, land_cells), map_without_states(read, land_cells)]
        if len(self.report.faults) == faults:
            found.append(small_sums(read))
        self.report.warnings += [text for text in found if text is not None]

    @staticmethod
    def _catalogue(setup: LandSetup, kind: str) -> Catalogue:
        return {"static": setup.static, "climate": setup.climate}.get(kind, setup.forcing)

    def _line(self, kind: str, name: str, units: str) -> VariableReport:
        for line in self.report.variables:
            if (line.kind, line.name) == (kind, name):
                return line
        catalogue = self._catalogue(self.setup, kind)
        line = VariableReport(kind, name, [str(e) for e in catalogue.offers(name)], units, catalogue.spans(name))
        self.report.variables.append(line)
        return line

    def _add_sums(self, read: Mapping[str, NDArray[np.float32]]) -> None:
        for label, members in sum_members(read).items():
            values = np.stack([read[name] for name in members])
            with_data = np.isfinite(values).any(axis=0)
            if with_data.any():
                sums = np.nansum(values.astype(np.float64), axis=0)[with_data]
                low, high = self.report.closure.get(label, (math.inf, -math.inf))
                self.report.closure[label] = min(low, float(sums.min())), max(high, float(sums.max()))
