"""The land component: what a climate model, or the offline simulation, initialises, runs and finalises.

The life of a component::

    initialize -> set_grid (any number of host grids) -> realize -> import_ / run / export ... -> finalize

:meth:`LandComponent.export`, :meth:`LandComponent.import_` and the setters are local, and so is a
:meth:`LandComponent.run` that has nothing to do; every other call is collective over the communicator that was given.
A failure on one rank is raised on every rank; the component never aborts, and never touches COMM_WORLD.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.anchoring import HostSurface
from ai4land_coupler.clock import Clock
from ai4land_coupler.config import Config, load_config
from ai4land_coupler.errors import ConfigError, FieldError, GridError, StateError, TimeError, nearest
from ai4land_coupler.field_table import ExportInfo, ImportInfo
from ai4land_coupler.host_calendar import HostCalendar, HostDate
from ai4land_coupler.host_exchange import HostGrid, LandCells
from ai4land_coupler.host_fields import HostFields
from ai4land_coupler.host_grids import check_coverage, partition, read_mesh
from ai4land_coupler.host_profiles import TYPES
from ai4land_coupler.host_restart import HostRestart, write_host_restart
from ai4land_coupler.host_time import HostTime
from ai4land_coupler.import_window import ImportWindows
from ai4land_coupler.land_model import LandModel, StepForcing, StepResult
from ai4land_coupler.land_setup import LandSetup
from ai4land_coupler.mesh import Mesh, validate
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.pass_through import PassThrough
from ai4land_coupler.regrid.auto import check_same
from ai4land_coupler.regrid.cached import with_cache
from ai4land_coupler.restart import Restart, RestartWriter, block_arrays
from ai4land_coupler.rng import KeyedRng
from ai4land_coupler.state import LandState

#: The grid that ``set_grid`` gives a host, where it names none.
HOST = "host"

#: How a run begins: from the initial map; from its own restart; from the restart of another run.
Start = Literal["startup", "continue", "branch"]

#: Fields on the owned cells, by grid and name.
Fields = dict[tuple[str, str], NDArray[np.float64]]


class Status(enum.Enum):
    CREATED = "created"
    INITIALIZED = "initialized"
    REALIZED = "realized"
    FINALIZED = "finalized"


@dataclass(frozen=True)
class _Step:
    """A step that was begun: where it ends, and what it was begun with."""

    clock: Clock
    forcing: StepForcing
    result: StepResult


class LandComponent:
    """Advances the land surface year by year for a host, on the host's communicator.

    Parameters
    ----------
    config:
        A configuration, or the path of one.
    comm:
        mpi4py communicator; ``None`` for a single process. It is duplicated, so the host may go on using it.
    online:
        Whether a host runs it. Backward runs have their own predictors and no host: they are refused online.

    Attributes
    ----------
    step_count:
        Rises whenever the exports change, so that a host copies them only then.
    """

    def __init__(self, config: Config | str | Path, comm: Any = None, *, online: bool = True) -> None:
        self.comm = Communicator(comm)
        with self.comm.guard():
            self.config = config if isinstance(config, Config) else load_config(config)
            self._check_direction(online)
        self.status = Status.CREATED
        self.step_count = 0
        self._hosts: dict[str, HostGrid] = {}
        self._meshes: dict[str, Mesh] = {}
        self._unchecked: set[str] = set()
        self._surfaces: dict[str, HostSurface] = {}
        self._makers: dict[str, HostFields] = {}
        self._exports: Fields = {}
        self._next_exports: Fields = {}
        self._ahead: _Step | None = None
        self._time = HostTime(HostCalendar(), HostDate(self.config.time.start))

    # ---- life cycle -------------------------------------------------------------------------------------------

    def set_calendar(self, calendar: str) -> None:
        """Say how the host counts days: any of cftime's calendars; ``standard`` where it says nothing. Local.

        Raises
        ------
        TimeError
            No calendar has this name, or dates were counted in another one already.
        """
        self._expect(Status.CREATED, Status.INITIALIZED, Status.REALIZED)
        chosen = HostCalendar(calendar)
        if self._started and chosen.name != self._time.calendar.name:
            raise TimeError(
                "the calendar cannot change in a run",
                expected=self._time.calendar.name,
                found=chosen.name,
                remedy="call set_calendar before the first run and the first import with a date",
            )
        self._time = HostTime(chosen, self._time.now)

    def initialize(
        self, restart: str | Path | None = None, restart_year: int | None = None, *, start: Start | None = None
    ) -> None:
        """Load the plugins, read the initial state (or a restart), and plan the blocks.

        Parameters
        ----------
        restart:
            Folder of restarts. ``None`` starts from the initial map.
        restart_year:
            Year of the restart; ``None`` for the last complete one, for a branch that of ``time.start``.
        start:
            ``startup`` from the initial map; ``continue`` the run that wrote the restart; ``branch`` off from a
            restart of another run: grids, legend and predictors must be the same, scenario, seed and years may
            differ, and the state becomes that of ``time.start``. By default ``continue`` where a restart is given.
        """
        self._expect(Status.CREATED)
        with self.comm.guard():
            begin = _start(start, restart)
            setup = self._setup = LandSetup(self.config, self.comm.rank, self.comm.size)
            setup.check_lookahead()
        check_same(setup.regrid_backend, self.comm.mpi)
        source: Restart | None = None
        with self.comm.guard():
            if restart is None:
                state = setup.initial_state()
            else:
                source = setup.open_restart(Path(restart), restart_year, branch=begin == "branch")
                state = setup.restarted_state(source, branch=begin == "branch")
            self.state = state.frozen()
            self.clock = setup.clock.at(state.year)
            self._export_table, self._import_table = setup.exports(), setup.import_table()
            gaps = setup.gaps(self.state)
        self._imports = ImportWindows(self._import_table)
        with self.comm.guard():
            self._past = HostRestart(source, state.year, branch=begin == "branch")
            self._began = self._past.date
        self._time = HostTime(self._time.calendar, self._began)
        parts = self.comm.allgather(gaps)
        with self.comm.guard():
            setup.refuse_gaps(parts)
        self.model = LandModel(
            self.comm,
            setup.plan,
            setup.owner,
            self._land_blocks(),
            setup.legend,
            setup.predictors,
            setup.map_maker,
            setup.static_reader(),
            KeyedRng(self.config.random.seed, self.config.random.member),
        )
        self._land = LandCells(setup.plan, setup.legend, self.state.cover)
        self.diagnostics: dict[str, NDArray[np.float64]] = {}
        self.status = Status.INITIALIZED

    def set_grid(self, mesh: Mesh, name: str = HOST) -> None:
        """Give the cells of a host grid that this rank owns; ranks without cells give a mesh of none.

        What is wrong with them, overlaps too, is found by :meth:`realize`, on every rank.
        """
        self._expect(Status.INITIALIZED)
        self._meshes[name] = mesh
        self._unchecked.add(name)

    def set_land_fraction(self, values: NDArray[Any], grid: str = HOST) -> None:
        """Say how much of each owned cell is land in the host, (cells,): the host's mask wins over the map's. Local.

        Land of the host without mapped land gets the classes of the nearest cell that has some; cells without land in
        the host get none. Before :meth:`realize`, which finds faults on every rank.
        """
        self._expect(Status.INITIALIZED)
        self._surface(grid).land = np.array(values, np.float64)

    def set_surface(self, name: str, values: NDArray[Any], grid: str = HOST) -> None:
        """Give the host's own surface of the first year: exports equal it then, and change is added to it. Local.

        Parameters
        ----------
        name:
            ``land_cover_fraction``; or ``surface_type_fraction`` where the configuration has ``exports.profile``.
        values:
            Shares of the owned cells by class of the legend's view, or by type of the profile, (types, cells); they sum
            to the host's land.

        Raises
        ------
        FieldError
            No such field can be anchored. What is wrong with values is found by :meth:`realize`, on every rank.
        """
        self._expect(Status.INITIALIZED)
        if name == TYPES and self._setup.profile is not None:
            self._surface(grid).types = np.array(values, np.float64)
        elif name == "land_cover_fraction":
            self._surface(grid).base = np.array(values, np.float64)
        else:
            known = "land_cover_fraction" + ("" if self._setup.profile is None else f" or {TYPES}")
            raise FieldError("no such field is put on the host's own", expected=known, found=name)

    def set_named_grid(self, name: str, as_name: str = HOST) -> None:
        """Use a grid of the configuration's ``hosts``, split evenly over the ranks."""
        self._expect(Status.INITIALIZED)
        with self.comm.guard():
            if name not in self.config.hosts:
                raise ConfigError("no host grid has this name", found=name, remedy=nearest(name, self.config.hosts))
            host = self.config.hosts[name]
            mesh = read_mesh(self.config.resolve(host.grid), host.edges, expect=host.expect)
        self._meshes[as_name] = partition(mesh, self.comm.rank, self.comm.size)
        self._unchecked.discard(as_name)

    def realize(self) -> None:
        """Make the regrid weights of all grids given, and the exports of the state now."""
        self._expect(Status.INITIALIZED)
        given = {grid: (s.land is not None, s.base is not None) for grid, s in sorted(self._surfaces.items())}
        facts = self.comm.allgather((sorted(self._meshes), self.calendar, given))
        with self.comm.guard():
            if any(other != facts[0] for other in facts):
                raise GridError("ranks gave different host grids, calendars or surfaces", found=facts)
            for grid in self._surfaces:
                if grid not in self._meshes:
                    raise GridError("a surface was given for a grid that was not set", found=grid)
            self._imports.check()
            choice = self.config.regrid
            regridder: Any = None
            backend = self._setup.regrid_backend
            if self._meshes:  # a run without host grids needs no backend
                regridder = self._setup.plugins.create(
                    "regridder", backend, choice.options, "regrid", base=self.config.base
                )
                cache = None if choice.cache is None else self.config.resolve(choice.cache)
                version = self._setup.plugins.find("regridder", backend).version
                regridder = with_cache(regridder, cache, backend, version, choice.options)
        for name, mesh in sorted(self._meshes.items()):
            if name in self._unchecked:
                validate(mesh, self.comm.mpi)
                check_coverage(mesh, self.comm.mpi)
            with self.model.timers("regrid weights"):
                self._hosts[name] = self._realize_grid(name, mesh, regridder)
        with self.comm.guard():
            self._past.restore(self._imports, self.calendar, self._meshes.get(HOST))
        ahead = self._begin_ahead(self.state, self.clock)
        exports = self._regrid(self.state, None) | self._past.exports
        following = {} if ahead is None else self._regrid(ahead.result.state, self.state)
        self._ahead, self._exports, self._next_exports = ahead, exports, following
        self.step_count += 1
        self.status = Status.REALIZED

    def run(self, until: Any) -> None:
        """Bring the state to a date of the host: take every step that is due by then.

        Call it as often as you like, at each time step of the host if need be. Steps are due on 1 January; a call
        that finds none due decides so on this rank alone, and is collective otherwise. A predictor of three-year steps
        holds its state in between.

        Parameters
        ----------
        until:
            A year (its 1 January), a text ``YYYY-MM-DD[THH:MM:SS]``, ``(year, month, day[, seconds])``, or a date of
            ``cftime`` or ``datetime``; in the calendar of :meth:`set_calendar`.

        Raises
        ------
        TimeError
            Back in time, beyond the year ``time.stop``, or no date of the calendar.
        """
        if type(until) is int:
            self.run_date(until)
        elif type(until) is tuple and 1 <= len(until) <= 4:
            self.run_date(*until)
        else:
            self.run_date(*self._time.calendar.parse(until))

    def run_date(self, year: int, month: int = 1, day: int = 1, seconds: float = 0) -> None:
        """:meth:`run` for a date in numbers; ``seconds`` count from midnight."""
        if self._time.quiet(year, month, day, seconds):
            return
        self._expect(Status.REALIZED)
        date = self._time.calendar.parse((year, month, day, seconds))
        self._time.check(date, self.clock)
        if self._due(date.year):
            self._agree_on(date)
            while self._due(date.year):
                self._step()
        self._time.move(date)

    def finalize(self) -> None:
        """Release everything; allowed in every state, also after MPI_Finalize."""
        self.comm.free()
        self._hosts.clear()
        self._makers.clear()
        self._exports, self._next_exports, self._ahead = {}, {}, None
        self._time = HostTime(self._time.calendar, self._time.now)
        self.status = Status.FINALIZED

    # ---- exports and imports ----------------------------------------------------------------------------------

    @property
    def year(self) -> int:
        """The state holds from 1 January of this year."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self.state.year

    @property
    def next_year(self) -> int | None:
        """The year of ``export(..., at="next")``: one step of the predictor on; ``None`` where there is none."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return None if self._ahead is None else self._ahead.clock.now

    @property
    def calendar(self) -> str:
        """The host's calendar."""
        return self._time.calendar.name

    @property
    def date(self) -> HostDate:
        """How far the host has come: year, month, day, seconds."""
        return self._time.now

    @property
    def cell_count(self) -> int:
        """Cells of the host grid that this rank owns; known once the grid was set."""
        return self._hosts[HOST].mesh.size if HOST in self._hosts else self._mesh(HOST).size

    @property
    def setup(self) -> LandSetup:
        """The parts that the run is made of: grids, plan, predictors, plugins."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self._setup

    @property
    def hosts(self) -> dict[str, HostGrid]:
        """The realized host grids, by name."""
        return dict(self._hosts)

    def exports(self) -> dict[str, ExportInfo]:
        """The fields on offer."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return dict(self._export_table)

    def imports(self) -> dict[str, ImportInfo]:
        """The fields that predictors want of the host."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return dict(self._import_table)

    def fields(self) -> list[ExportInfo | ImportInfo]:
        """The whole table of fields between component and host."""
        return [*self.exports().values(), *self.imports().values()]

    def export(self, name: str, grid: str = HOST, at: Any = None) -> NDArray[np.float64]:
        """A field on the owned cells: (types, cells) or (cells,), read-only. Local.

        Parameters
        ----------
        at:
            ``now`` (default): the state of :attr:`year`. ``next``: that of :attr:`next_year`, where the configuration
            has ``exports.lookahead``. A date between the two (forms as in :meth:`run`): fractions change linearly from
            the one to the other.

        Raises
        ------
        FieldError
            No export has this name, or it is not on offer at that time.
        TimeError
            There is no next state, or the date is not between the two.
        """
        self._expect(Status.REALIZED)
        self._host(grid)
        if name not in self._export_table:
            raise FieldError("no export has this name", found=name, remedy=nearest(name, self._export_table))
        if at is None or at == "now":
            return self._exported(self._exports, name, grid)
        info = self._export_table[name]
        ahead = self._ahead_for(info, at)
        if at == "next":
            return self._exported(self._next_exports, name, grid)
        date, calendar = self._time.calendar.parse(at), self._time.calendar
        first, last = HostDate(self.state.year), HostDate(ahead.clock.now)
        if not first <= date <= last:
            raise TimeError("a date is not between the two states", expected=f"{first} to {last}", found=date)
        if not info.interpolates:
            raise FieldError(f"{name!r} is not interpolated in time", expected="at='now' or at='next'", found=date)
        share = calendar.seconds_between(first, date) / calendar.seconds_between(first, last)
        now, later = self._exports[grid, name], self._next_exports[grid, name]
        return now if share == 0 else later if share == 1 else np.asarray((1 - share) * now + share * later)

    def import_(
        self, name: str, values: NDArray[Any], at: Any = None, units: str | None = None, since: Any = None
    ) -> None:
        """Give a field of the host. Local: what is wrong with values is raised on every rank by the next collective
        call, and the values are not taken.

        Parameters
        ----------
        values:
            (cells,); without ``at`` also (12, cells) by month.
        at:
            Without it, the values hold for all coming steps. With a date (forms as in :meth:`run`), they are the mean
            over the interval since the last import of the field, and are added to the monthly means of the year, by
            time. The first interval begins when the run does. A date that was given before adds nothing.
        units:
            Of the values, where they are not those of :meth:`imports`; UDUNITS converts.
        since:
            Where the interval begins, if not at the last import; it must not be longer than a month.

        Raises
        ------
        FieldError
            No predictor imports this field, or the values have an impossible number of axes.
        TimeError
            The interval runs backward, or is longer than 31 days.
        """
        self._expect(Status.INITIALIZED, Status.REALIZED)
        if name not in self._import_table:
            raise FieldError("no predictor imports this field", found=name, remedy=nearest(name, self._import_table))
        mesh = self._meshes.get(HOST)
        mask = None if mesh is None else mesh.mask
        if at is None:
            self._imports.set(name, values, units, mask)
            return
        calendar = self._time.calendar
        begin = self._imports[name].last or self._began if since is None else calendar.parse(since)
        self._imports.add(name, values, units, mask, begin, calendar.parse(at), calendar)

    def check_forcing(self) -> None:
        """Read the forcing of the first and the last step, and look for the years between: to find what is missing
        before a run starts."""
        self._expect(Status.INITIALIZED)
        clock = self.clock
        last = Clock(clock.start, clock.stop, clock.step, clock.stop)
        with self.comm.guard():
            for moment in [clock if clock.done else clock.next(), last]:
                self._setup.step_forcing(moment)
            self._setup.check_years()

    def write_restart(self, folder: str | Path) -> None:
        """Write the whole state into ``folder/<year>``, at any date: also what the host has given since 1 January."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        with self.comm.guard():
            self._imports.check()
            writer = RestartWriter(Path(folder), self.state.year)
            entries = [writer.write_block(b, block_arrays(self.state, b)) for b in sorted(self.state.cover)]
        attrs, host = write_host_restart(
            writer, self._time, self._imports, self._meshes, self._surfaces, self._exports, self.comm
        )
        gathered = self.comm.gather((entries, host))
        with self.comm.guard():
            if gathered is not None:
                entries, host = ([entry for part in gathered for entry in part[i]] for i in (0, 1))
                writer.finish(
                    self._setup.identity() | {"host": attrs}, entries, range(len(self._setup.plan.blocks)), host
                )

    def surface_counts(self, grid: str = HOST) -> dict[str, float]:
        """How far the host's own surface and the map disagree, over all ranks; empty where the host gave none.

        ``filled_cells``, ``filled_area`` (m2), ``farthest_fill`` (km): land of the host that the map has not.
        ``sea_cells``, ``sea_area`` (m2): land of the map that the host has not. ``cut_cells``, ``cut_area`` (m2):
        change of the map that the host's own surface had no room for, in the latest state on offer.
        """
        self._host(grid)
        return dict(self._surface(grid).counts)

    # ---- one step ---------------------------------------------------------------------------------------------

    def _due(self, year: int) -> bool:
        """Whether a step ends by that year."""
        return not self.clock.done and (year - self.clock.next().now) * self.clock.direction >= 0

    def _agree_on(self, date: HostDate) -> None:
        """Ranks that run to different dates would wait for each other in different steps."""
        dates = self.comm.allgather(tuple(date))
        with self.comm.guard():
            if any(other != dates[0] for other in dates):
                found = ", ".join(sorted({str(HostDate(*other)) for other in dates}))
                raise TimeError("ranks run to different dates", found=found, remedy="give all ranks the same date")
            self._imports.check()

    def _step(self) -> None:
        """Take one step; a failure leaves the state, the exports and the step ahead as they were."""
        step = self._ahead or self._begin(self.state, self.clock.next())
        imports = self._read_imports(step.clock)
        before = self.state
        result = self.model.complete(before, step.result, step.forcing, imports)
        diagnostics = self._sum_diagnostics(result)
        ahead = self._begin_ahead(result.state, step.clock)
        if self._ahead is not None and not self.model.late:
            exports = self._next_exports  # made from the same state a step ago
        else:
            exports = self._regrid(result.state, before)
        following = {} if ahead is None else self._regrid(ahead.result.state, result.state)
        self.state, self.clock, self.diagnostics = result.state, step.clock, diagnostics
        self._ahead, self._exports, self._next_exports = ahead, exports, following
        self._imports.forget(self.state.year)
        self.step_count += 1

    def _begin(self, state: LandState, clock: Clock) -> _Step:
        with self.comm.guard(), self.model.timers("read forcing"):
            forcing = self._setup.step_forcing(clock)
        return _Step(clock, forcing, self.model.begin(state, forcing, clock))

    def _begin_ahead(self, state: LandState, clock: Clock) -> _Step | None:
        """Begin the step after ``clock`` at once, where the configuration wants to be ahead of the host."""
        if not self.config.exports.lookahead or clock.done:
            return None
        return self._begin(state, clock.next())

    def read_inputs(self, clock: Clock) -> tuple[StepForcing, dict[str, NDArray[np.float32]]]:
        """Forcing and imports of the step that ends at the year of ``clock``. Collective."""
        with self.comm.guard(), self.model.timers("read forcing"):
            forcing = self._setup.step_forcing(clock)
        return forcing, self._read_imports(clock)

    def _read_imports(self, clock: Clock) -> dict[str, NDArray[np.float32]]:
        """Imports on the forcing grid: from the host where it gave them, else from the configuration."""
        read = {}
        for name in sorted(self._setup.imports):
            window, mesh = self._imports[name], self._meshes.get(HOST)
            cells = 0 if mesh is None else mesh.size
            given = self.comm.allgather(window.given)
            if any(given):
                host = self._host(HOST)
                with self.comm.guard():
                    if cells and not window.given:
                        raise FieldError(
                            f"import {name!r} was given on some ranks only",
                            expected=f"values from every rank that owns cells: {cells} on this one",
                            found="none",
                        )
                    # a rank without cells may have given nothing, and lacks nothing
                    means = window.means(clock.now, cells, self._time.calendar) if cells else np.empty((12, 0))
                read[name] = host.import_to_forcing(means, self._setup.plan, name)
            else:
                with self.comm.guard():
                    read[name] = self._setup.configured_import(name)
        return read

    def _sum_diagnostics(self, result: StepResult) -> dict[str, NDArray[np.float64]]:
        """Add up over blocks in their order, so that the sums have the same bits on any number of ranks."""
        by_block: dict[int, Any] = {}
        for part in self.comm.allgather(dict(result.diagnostics)):
            by_block.update(part)
        sums: dict[str, NDArray[np.float64]] = {}
        for block in sorted(by_block):
            for name, values in by_block[block].items():
                sums[name] = sums[name] + values if name in sums else np.array(values)
        return sums

    def _regrid(self, state: LandState, before: LandState | None) -> Fields:
        """All fields of a state on all host grids."""
        found: Fields = {}
        with self.model.timers("regrid"):
            made = sorted({name for names in self.comm.allgather(list(state.fields)) for name in names})
            for grid, maker in sorted(self._makers.items()):
                found |= {(grid, name): values for name, values in maker.at(state, before, made).items()}
        return found

    def _realize_grid(self, name: str, mesh: Mesh, regridder: Any) -> HostGrid:
        """Weights to and from a grid, and the host's surface on it."""
        host = HostGrid(mesh, self._land, regridder, self.comm)
        surface = self._surface(name)
        with self.comm.guard():
            surface.check(mesh, self._setup.legend.classes, self._setup.profile)
        self._past.read(name, mesh, surface, self.comm)
        through = None
        if self._setup.passed:
            holders = sorted({int(rank) for rank in self._setup.workers})
            through = PassThrough(self._setup.passed, self._setup.forcing, holders, mesh, regridder, self.comm)
        self._makers[name] = HostFields(host, surface, self._export_table, through, self._setup.profile, self.comm)
        return host

    def _surface(self, grid: str) -> HostSurface:
        return self._surfaces.setdefault(grid, HostSurface())

    # ---- asking for fields --------------------------------------------------------------------------------------

    def _exported(self, fields: Fields, name: str, grid: str) -> NDArray[np.float64]:
        if (grid, name) not in fields:
            raise StateError(f"{name!r} is not there yet", found=f"year {self.state.year}", remedy="run a step first")
        return fields[grid, name]

    def _ahead_for(self, info: ExportInfo, at: Any) -> _Step:
        """The step ahead that serves a field at another time than now."""
        if not self.config.exports.lookahead:
            raise TimeError(
                "only the state of this year is on offer",
                expected="at='now'",
                found=at,
                remedy="set exports.lookahead: true in the configuration",
            )
        if self._ahead is None:
            raise TimeError(
                "there is no next state",
                expected=f"a year before {self.clock.stop}",
                found=self.state.year,
                where="time.stop",
                remedy="extend time.stop by one step",
            )
        if not info.ahead:
            raise FieldError(
                f"{info.name!r} is not on offer a step ahead",
                expected="at='now'",
                found=at,
                remedy="it waits for the host's imports of the year",
            )
        return self._ahead

    # ---- setting up -------------------------------------------------------------------------------------------

    def _expect(self, *allowed: Status) -> None:
        if self.status not in allowed:
            raise StateError(
                "a call came in the wrong order",
                expected=f"a component that is {' or '.join(s.value for s in allowed)}",
                found=f"one that is {self.status.value}",
                remedy="initialize, set_grid, realize, then run, export and import_ any number of times, finalize",
            )

    @property
    def _started(self) -> bool:
        """Whether dates of the host's calendar are in use."""
        if self.status is Status.CREATED:
            return False
        return self._time.now != self._began or any(w.last for _, w in self._imports.items())

    def _mesh(self, name: str) -> Mesh:
        if name not in self._meshes:
            raise StateError("no grid was set under this name", found=name, remedy="set_grid or set_named_grid first")
        return self._meshes[name]

    def _host(self, name: str) -> HostGrid:
        if name not in self._hosts:
            raise StateError("no grid was set and realized under this name", found=name, expected=sorted(self._hosts))
        return self._hosts[name]

    def _check_direction(self, online: bool) -> None:
        time = self.config.time
        if online and time.stop < time.start:
            raise ConfigError(
                "a host cannot run backward in time",
                found=f"time.start {time.start}, time.stop {time.stop}",
                remedy="run the reconstruction offline (ai4land run), and replay its maps in the host",
            )

    def _land_blocks(self) -> list[int]:
        own = [i for i, codes in self.state.cover.items() if (self._setup.legend.to_view(codes) >= 0).any()]
        return sorted(i for part in self.comm.allgather(own) for i in part)

    @property
    def input_quality(self) -> Counter[str]:
        """What was mended while reading, on this rank, by adapter and fault."""
        return self._setup.input_quality


def _start(start: Start | None, restart: str | Path | None) -> Start:
    """How a run begins, where that fits what was given."""
    begin: Start = start or ("startup" if restart is None else "continue")
    if begin not in ("startup", "continue", "branch"):
        raise ConfigError("there is no such way to start", expected="startup, continue or branch", found=begin)
    if (begin == "startup") != (restart is None):
        raise ConfigError(
            f"a {begin} run {'takes no' if begin == 'startup' else 'needs a'} restart",
            found="none" if restart is None else restart,
        )
    return begin
