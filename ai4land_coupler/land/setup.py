"""What a run is made of, built from its configuration: grids, plan, predictors, clock, inputs, the first state.

Everything here is local to a rank and may fail on one; the component calls it under guard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation import MapMaker
from ai4land_coupler.api import Request
from ai4land_coupler.config.sections import Config, ImportSection
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE, Legend, get_crosswalk, get_legend
from ai4land_coupler.core.state import LandState
from ai4land_coupler.core.units import factor
from ai4land_coupler.errors import ConfigError, FieldError, GridError
from ai4land_coupler.host.pass_through import passed
from ai4land_coupler.host.profiles import HostProfile, get_profile, profile_exports
from ai4land_coupler.host.table import ExportInfo, ImportInfo, exports_of, imports_of, transitions_info
from ai4land_coupler.inputs.adapters import NamedAdapter, make_adapter
from ai4land_coupler.inputs.catalogue import Catalogue, Mended, make_catalogue, total
from ai4land_coupler.inputs.quality import LandGaps, gaps_on_land, refuse_gaps
from ai4land_coupler.inputs.readers import ForcingReader, StaticReader, domain_forcing_grid, forcing_columns
from ai4land_coupler.land.model import (
    ALLOCATION_MEMORY,
    LOGITS,
    NamedPredictor,
    StepForcing,
    begin_memory,
    order_predictors,
    waiting_for_imports,
)
from ai4land_coupler.parallel import Block, BlockPlan
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.regrid.auto import resolve
from ai4land_coupler.store.provenance import instruction_set
from ai4land_coupler.store.restart import Restart, check_compatible, read_state

#: Native code of a cell that a map tells nothing about.
NO_DATA = 99

#: LUH2's lattice; a run without forcing is planned on it too.
LUH2_LATTICE = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)


#: What must agree between a restart and a run that branches off from it; scenario, seed and years may differ.
BRANCH_KEEPS = ("grid", "legend", "block_plan", "predictors", "regrid_backend", "threads", "instruction_set")


class LandSetup:
    """The parts of one rank of a run.

    Attributes
    ----------
    legend, grid, plan:
        Legend of the maps, the land grid, and the blocks on it.
    initial:
        The adapter of the initial map.
    owner, workers, predicts:
        Rank of each block, the ranks that predict, and whether this one does.
    passed:
        Variables of the forcing that hosts get as they are.
    predictors, clock, map_maker, plugins:
        As the configuration names them.
    imports:
        Specs of the fields that a host must give.
    regrid_backend:
        Registered name of the regridding backend.
    """

    def __init__(self, config: Config, rank: int, size: int) -> None:
        self.config, self._rank = config, rank
        self.regrid_backend = resolve(config.regrid.backend, size)
        self.quality: Counter[str] = Counter()
        self._mended_cover: dict[Mended, int] = {}
        self.legend = get_legend(config.legend)
        named = config.exports.profile
        self.profile: HostProfile | None = None if named is None else get_profile(named, config.base)
        if self.profile is not None:
            self.profile.table(self.legend)  # refuses a legend that it has no rules for
        crosswalk = get_crosswalk(config.allocation.crosswalk)
        self.plugins = load_plugins(config.plugins.allow)
        self.initial = make_adapter(config, self.plugins, "initial", config.initial)
        self.grid = _land_grid(self.initial)
        self._forcing = make_catalogue(config, self.plugins, "forcing")
        self._static = make_catalogue(config, self.plugins, "static")
        self.plan = BlockPlan(self.grid, self._forcing_grid(), config.parallel.block)
        workers = self.workers = _worker_ranks(config, size)
        self.owner: NDArray[np.int64] = workers[self.plan.owners(len(workers))]
        self.predicts = rank in workers
        self.predictors = self._predictors()
        self.clock = self._clock()
        rates = next((p.predictor.gross.rates() for p in self.predictors if hasattr(p.predictor, "gross")), None)
        self.map_maker = MapMaker(self.plan, self.legend, crosswalk, config.allocation, rates)
        self.forcing = ForcingReader(self._forcing, self.plan.forcing)
        self.passed = passed(config.exports.pass_through, self._forcing)
        self.imports = {f.name: f for p in self.predictors for f in p.spec.inputs if f.source == "import"}
        if self.predicts:
            for entry in self.predictors:
                getattr(entry.predictor, "load", lambda: None)()

    # ---- the state to start from ------------------------------------------------------------------------------

    def own_blocks(self) -> list[Block]:
        """The blocks of this rank."""
        return [block for block in self.plan.blocks if self.owner[block.id] == self._rank]

    def initial_state(self) -> LandState:
        """The declared initial map, and memories that start from it."""
        config = self.config
        year = self.initial_year
        cover = {b.id: read_cover(self.initial, self.legend, self.grid.sub(b.core), year) for b in self.own_blocks()}
        self.note_cover(cover)
        memory = self._begin_allocation(cover)
        for entry in self.predictors:
            memory.update(begin_memory(entry, cover))
        return LandState(config.time.start, cover, {}, memory)

    def _begin_allocation(self, cover: Mapping[int, NDArray[np.uint8]]) -> dict[str, dict[int, Any]]:
        """The books of the allocation, begun with a map and the scenario of the base year."""
        crosswalk = self.map_maker.crosswalk
        shares = np.full((len(crosswalk.groups), *self.plan.forcing.shape), np.nan)
        if self.follows_scenario and cover:
            shares = self.forcing.shares(crosswalk, self.base_year)
        memory: dict[str, dict[int, Any]] = {f"allocation.{name}": {} for name in ALLOCATION_MEMORY}
        for block in self.own_blocks():
            rows, cols = block.forcing.slices()
            for name, values in self.map_maker.begin(block, cover[block.id], shares[:, rows, cols]).items():
                memory[f"allocation.{name}"][block.id] = values
        return memory

    def note_cover(self, cover: Mapping[int, NDArray[np.uint8]]) -> None:
        """Count the cells of the initial map without data, by block; they are no land."""
        self._mended_cover = {
            Mended(f"initial map, {self.initial}", "no_data", self.initial_year, f"block {i}"): int(
                (codes == NO_DATA).sum()
            )
            for i, codes in cover.items()
        }

    def open_restart(self, folder: Path, year: int | None, *, branch: bool = False) -> Restart:
        """A restart that fits this run.

        Parameters
        ----------
        year:
            ``None``: the last one of the folder; for a branch that of ``time.start``.
        branch:
            Whether another run wrote it: grids, legend, block plan and predictors must agree, the rest may differ.
        """
        if branch and year is None:
            year = self.config.time.start
        restart = Restart.open(folder, year, direction=self.clock.direction)
        expected = self.identity()
        if branch:
            expected = {key: expected[key] for key in BRANCH_KEEPS}
        for warning in check_compatible(restart.attrs, expected):
            self.quality[warning] += 1
        return restart

    def restarted_state(self, restart: Restart, *, branch: bool = False) -> LandState:
        """The state of a restart. A branch starts at ``time.start``, whatever year the restart is of.

        A branch counts the scenario's change on from where the other run counted it, unless ``time.base_year`` is
        given: then the books begin anew with the map of the restart and the scenario of that year.
        """
        state = read_state(restart, [block.id for block in self.own_blocks()])
        if not branch:
            return state
        memory = dict(state.memory)
        if self.config.time.base_year is not None:
            memory |= self._begin_allocation(state.cover)
        return replace(state, year=self.config.time.start, memory=memory)

    def identity(self) -> dict[str, Any]:
        """What a restart must agree on with the run that continues it."""
        config = self.config
        return {
            "grid": self.grid.hash,
            "legend": self.legend.name,
            "block_plan": self.plan.hash,
            "predictors": [entry.identity for entry in self.predictors],
            "configuration": config.digest,
            "seed": config.random.seed,
            "member": config.random.member,
            "regrid_backend": self.regrid_backend,
            "threads": config.parallel.threads,
            "instruction_set": instruction_set(),
        }

    # ---- the inputs of a step ---------------------------------------------------------------------------------

    @property
    def follows_scenario(self) -> bool:
        """Whether the allocation needs the scenario's shares of land."""
        return self.config.allocation.method == "allocate" and bool(self.config.forcing)

    @property
    def initial_year(self) -> int:
        """The year of the initial map."""
        year = self.config.initial.year
        return self.config.time.start if year is None else year

    @property
    def scenario_years(self) -> set[int]:
        """The years whose shares of land the allocation needs."""
        return {self.base_year, *(clock.now for clock in self.clock.remaining())} if self.follows_scenario else set()

    @property
    def base_year(self) -> int:
        """The year that the scenario's change is counted from."""
        time = self.config.time
        return time.start if time.base_year is None else time.base_year

    @property
    def forcing_catalogue(self) -> Catalogue:
        """The adapters of the forcing."""
        return self._forcing

    @property
    def static_catalogue(self) -> Catalogue:
        """The adapters of the static fields."""
        return self._static

    def static_reader(self) -> StaticReader:
        return StaticReader(self._static, self.grid)

    def step_forcing(self, clock: Clock) -> StepForcing:
        """The forcing of the step that ends at the clock's year; nothing on ranks that do not predict."""
        if not self.predicts:
            return StepForcing({}, None)
        wanted = self._forcing_wanted()
        years = self._forcing_years(clock, wanted)
        fields = {
            (name, offset): values
            for offset, specs in wanted.items()
            for name, values in self.forcing.fields(specs, years[offset]).items()
        }
        shares = self.forcing.shares(self.map_maker.crosswalk, clock.now) if self.follows_scenario else None
        self.forcing.forget(years.values())
        return StepForcing(fields, shares)

    def forcing_needs(self) -> dict[int, set[tuple[str, str]]]:
        """By year, the variables of the forcing (name, units) that the run reads from its first step to its last."""
        needs: dict[int, set[tuple[str, str]]] = {}
        wanted = self._forcing_wanted()
        for clock in self.clock.remaining():
            years = self._forcing_years(clock, wanted)
            for offset, specs in wanted.items():
                found = {(s.name, s.units) for s in specs if s.name in self._forcing or s.missing == "error"}
                needs.setdefault(years[offset], set()).update(found)
        for year in self.scenario_years:
            chosen = self._forcing.choose(self.map_maker.crosswalk, year)
            needs.setdefault(year, set()).update((name, "1") for names in chosen.values() for name in names)
        through = {pair for item in self.passed for pair in item.needs}
        for year in self.clock.years() if through else ():
            needs.setdefault(year, set()).update(through)
        return needs

    def check_years(self) -> None:
        """Look for every year of the forcing that the run will read, without reading it.

        Raises
        ------
        TimeError, FieldError
            A year that no adapter has, such as one that is missing between others.
        """
        for year, wanted in sorted(self.forcing_needs().items()):
            for name, _ in sorted(wanted):
                self._forcing.find(name, year)

    def static_needs(self) -> dict[str, FieldSpec]:
        """The static fields that the run reads; those that may be missing, and are, left out."""
        specs = [field for entry in self.predictors for field in entry.spec.inputs if field.source == "static"]
        return {s.name: s for s in specs if s.name in self._static or s.missing == "error"}

    def _forcing_wanted(self) -> dict[int, list[FieldSpec]]:
        """What predictors want of the forcing, by offset in steps."""
        wanted: dict[int, list[FieldSpec]] = {}
        for entry in self.predictors:
            for field in entry.spec.inputs:
                if field.source == "forcing":
                    for offset in field.offsets:
                        wanted.setdefault(offset, []).append(field)
        return wanted

    @staticmethod
    def _forcing_years(clock: Clock, wanted: Iterable[int]) -> dict[int, int]:
        """Year of each offset of a step, of the step itself and of the one before."""
        return {offset: clock.now + offset * clock.step * clock.direction for offset in (-1, 0, *wanted)}

    def configured_import(self, name: str) -> NDArray[np.float32]:
        """The offline stand-in for a host's field, float32 (12, rows, cols) of the forcing grid."""
        section, spec = self.config.imports.get(name), self.imports[name]
        if section is None:
            raise FieldError(
                f"import {name!r} was never set",
                expected=f"values in {spec.units} from every rank of the host",
                remedy=f"call import_({name!r}, ...) before run, or give imports.{name} in the configuration",
            )
        return np.broadcast_to(_monthly(section, spec)[:, None, None], (12, *self.plan.forcing.shape))

    def exports(self) -> dict[str, ExportInfo]:
        """The fields that hosts are offered."""
        late = waiting_for_imports(order_predictors(self.predictors))
        continuous, waiting = {}, set()
        for entry in self.predictors:
            for field in entry.spec.outputs:
                if field.name != LOGITS:
                    continuous[field.name] = (field.units, 1 if entry.spec.interval.years else 12)
                    if entry.name in late:
                        waiting.add(field.name)
        ahead = self.config.exports.lookahead
        table = exports_of(self.legend, continuous, ahead=ahead, late=waiting)
        if self.config.exports.transitions:
            table["land_cover_transition"] = transitions_info(self.legend, ahead=ahead)
        if self.profile is not None:
            table |= profile_exports(self.profile, ahead=ahead)
        return table | {item.name: replace(item.info, ahead=ahead) for item in self.passed}

    def import_table(self) -> dict[str, ImportInfo]:
        """The fields that hosts are asked for."""
        sections = {name: self.config.imports[name] for name in self.imports if name in self.config.imports}
        defaults = {n: tuple(float(v) for v in _monthly(s, self.imports[n])) for n, s in sections.items()}
        return imports_of(self.imports.values(), defaults, {name: s.missing for name, s in sections.items()})

    def check_lookahead(self) -> None:
        """Refuse to be a step ahead where the map itself waits for what the host will have lived through."""
        late = waiting_for_imports(order_predictors(self.predictors))
        maker = next((entry.name for entry in self.predictors if entry.makes_maps and entry.name in late), None)
        if self.config.exports.lookahead and maker is not None:
            raise ConfigError(
                "the next map cannot be made a step ahead: its predictor imports fields of the year before it",
                found=f"predictor {maker!r}",
                where="exports.lookahead",
                remedy="leave lookahead out, or take a predictor of land cover that imports nothing",
            )

    @property
    def mended(self) -> dict[Mended, int]:
        """What was mended while reading, by adapter, fault, year and window: the same on every rank that read it."""
        return self._forcing.mended | self._static.mended | self._mended_cover

    @property
    def input_quality(self) -> Counter[str]:
        """What was mended while reading, by adapter and fault."""
        return total(self.mended) + self.quality

    def gaps(self, state: LandState) -> dict[tuple[str, str], LandGaps]:
        """How much of the land of this rank's blocks the inputs of the next step leave out, by kind and variable."""
        found: dict[tuple[str, str], LandGaps] = {}
        blocks = self.own_blocks()
        land = {block.id: self.legend.to_view(state.cover[block.id]) != OUTSIDE for block in blocks}
        clock = self.clock.at(state.year)
        units = {f.name: f.units for p in self.predictors for f in p.spec.inputs}
        coarse: dict[str, NDArray[np.float32]] = {}
        if blocks and not clock.done:
            step = clock.next()
            coarse = {name: values for (name, _), values in self.step_forcing(step).fields.items()}
            if self.follows_scenario:
                chosen = self._forcing.choose(self.map_maker.crosswalk, step.now)
                states = {name: "1" for names in chosen.values() for name in names}
                coarse |= self.forcing.read(states, step.now)
                units |= states
        statics = {f.name: f for p in self.predictors for f in p.spec.inputs if f.source == "static"}
        for block in blocks:
            cells = self.grid.sub(block.core)
            rows, cols = self.plan.forcing.rows_of(cells.lat), forcing_columns(self.plan.forcing, cells)
            read = {("forcing", name): values[np.ix_(rows, cols)] for name, values in coarse.items()}
            for name, spec in statics.items():
                if name in self._static:
                    read["static", name] = self._static.read({name: spec.units}, cells)[name]
            for key, values in read.items():
                part = gaps_on_land(key[1], values, land[block.id], units[key[1]])
                found[key] = found[key] + part if key in found else part
        return found

    def refuse_gaps(self, parts: Iterable[Mapping[tuple[str, str], LandGaps]]) -> None:
        """Refuse inputs that leave out too much of the land, given what each rank found."""
        found: dict[tuple[str, str], LandGaps] = {}
        for part in parts:
            for key, gaps in part.items():
                found[key] = found[key] + gaps if key in found else gaps
        quality = self.config.quality
        for (kind, name), gaps in sorted(found.items()):
            catalogue = self._static if kind == "static" else self._forcing
            limit = quality.missing_static if kind == "static" else quality.missing_forcing
            refuse_gaps(name, gaps, limit, catalogue.source(name), quality.policy)

    def input_files(self) -> dict[str, Path]:
        """The files that the adapters read: path or URL to where its bytes are."""
        others = (*self._forcing.adapters, *self._static.adapters)
        found = dict(self.initial.input_files([self.initial_year]))
        for entry in others:
            found |= entry.input_files()
        return found

    # ---- parts ------------------------------------------------------------------------------------------------

    def _forcing_grid(self) -> LatLonGrid:
        if self.config.forcing:
            return domain_forcing_grid(self.grid, self._forcing.lattice, "forcing")
        finer = self.grid.dlon <= LUH2_LATTICE.dlon and abs(self.grid.dlat) <= abs(LUH2_LATTICE.dlat)
        return domain_forcing_grid(self.grid, LUH2_LATTICE, "forcing") if finer else self.grid

    def _predictors(self) -> list[NamedPredictor]:
        made = []
        for i, choice in enumerate(self.config.predictors):
            where = f"predictors[{i}]"
            predictor = self.plugins.create("predictor", choice.name, choice.options, where, base=self.config.base)
            legend = predictor.spec.legend
            if legend is not None and not get_legend(legend).same_view(self.legend):
                raise ConfigError(
                    "a predictor speaks another legend than the run",
                    expected=self.config.legend,
                    found=legend,
                    where=f"{where}, predictor {choice.name!r}",
                    remedy="take a predictor trained with the legend of the initial map",
                )
            made.append(NamedPredictor(choice.name, predictor))
        return made

    def _clock(self) -> Clock:
        """The clock of the run steps as the predictor of land cover was trained to."""
        time = self.config.time
        makers = [entry for entry in self.predictors if entry.makes_maps]
        step = makers[0].spec.interval.years if makers else 1
        clock = Clock(time.start, time.stop, max(step, 1))
        for entry in self.predictors:
            if entry.spec.direction != clock.direction:
                raise ConfigError(
                    "a predictor was trained for the other direction in time",
                    expected="backward" if clock.direction < 0 else "forward",
                    found="forward" if clock.direction < 0 else "backward",
                    where=f"predictor {entry.name!r}",
                    remedy="backward runs (time.stop before time.start) need their own weights",
                )
            years = entry.spec.interval.years
            if years and years != clock.step:
                raise ConfigError(
                    "two predictors step by different intervals",
                    expected=f"P{clock.step}Y",
                    found=entry.spec.step,
                    where=f"predictor {entry.name!r}",
                )
        return clock


def read_cover(initial: NamedAdapter, legend: Legend, grid: LatLonGrid, year: int) -> NDArray[np.uint8]:
    """The map of a year in native codes, uint8 of the shape of ``grid``.

    Raises
    ------
    ConfigError
        When the adapter says that it has another legend.
    DataError
        When the map holds codes that the legend does not know.
    """
    cover = initial.adapter.read(Request(("land_cover",), grid, (year,)))["land_cover"]
    codes = np.asarray(cover.values, np.uint8).reshape(grid.shape)
    legend.check(codes, where=f"initial map of {year}, adapter {initial.name!r}")
    given = cover.attrs.get("legend")
    if given is not None and given != legend.name:
        raise ConfigError(
            "the initial map has another legend than the run",
            expected=legend.name,
            found=given,
            where="initial",
            remedy="set `legend` and the adapter's option `legend` to the legend of the map",
        )
    return codes


def _worker_ranks(config: Config, size: int) -> NDArray[np.int64]:
    """Ranks that own land and predict, spread evenly over the communicator."""
    wanted = config.parallel.workers
    count = size if wanted == "all" else min(wanted, size)
    return np.arange(count) * size // count


def _land_grid(initial: NamedAdapter) -> LatLonGrid:
    grid = initial.adapter.grid()
    if grid is None:
        raise GridError(f"adapter {initial.name!r} cannot give the land grid", where="initial", remedy="use hilda")
    return grid


def _monthly(section: ImportSection, spec: FieldSpec) -> NDArray[np.float32]:
    """Twelve monthly values of an offline import, in the units that the predictor wants."""
    scale = factor(section.units, spec.units, where=f"imports.{spec.name}")
    months = np.atleast_1d(np.asarray(section.values, np.float32)) * np.float32(scale)
    if months.size not in (1, 12):
        raise ConfigError(
            "an import is one value or twelve", found=f"{months.size} values", where=f"imports.{spec.name}.values"
        )
    return np.broadcast_to(months, (12,))
