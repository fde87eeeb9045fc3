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
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api.hooks import StepEvent
from ai4land_coupler.component.output import RunOutput
from ai4land_coupler.component.stepper import RunState, Stepper
from ai4land_coupler.config.sections import Config, load_config
from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import ConfigError, FieldError, StateError, TimeError, nearest
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.exchange import HostGrid
from ai4land_coupler.host.field_info import ExportInfo, ImportInfo
from ai4land_coupler.host.field_table import make_field_table
from ai4land_coupler.host.grids import HOST, HostGrids
from ai4land_coupler.host.imports import HostImports
from ai4land_coupler.host.restart import HostRestart, write_host_restart
from ai4land_coupler.host.time import HostTime
from ai4land_coupler.inputs.catalogue import Mended, total
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.first_state import FirstState, identity
from ai4land_coupler.land.forcing import LandForcing, StepForcing
from ai4land_coupler.land.gaps import find_gaps, refuse_large_gaps
from ai4land_coupler.land.model import LandModel
from ai4land_coupler.land.predictors import order_predictors
from ai4land_coupler.land.setup import LandSetup, make_setup
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.regrid.auto import check_same
from ai4land_coupler.store.output import OutputStore, StoreLayout
from ai4land_coupler.store.restart import RestartWriter, block_arrays

#: How a run begins: from the initial map; from its own restart; from the restart of another run.
Start = Literal["startup", "continue", "branch"]


class Status(enum.Enum):
    CREATED = "created"
    INITIALIZED = "initialized"
    REALIZED = "realized"
    FINALIZED = "finalized"


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
    model:
        The predictors and the allocation, once it is initialized.
    step_count:
        Rises whenever the exports change, so that a host copies them only then.
    """

    def __init__(self, config: Config | str | Path, comm: Any = None, *, online: bool = True) -> None:
        self.comm = Communicator(comm)
        with self.comm.guard():
            self.config = config if isinstance(config, Config) else load_config(config)
            if online:
                _refuse_backward(self.config)
        self.status = Status.CREATED
        self.step_count = 0
        self._hosts = HostGrids(self.comm)
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
            branch = _start(start, restart) == "branch"
            setup = self._setup = make_setup(self.config, self.comm.rank, self.comm.size)
            field_table = self._field_table = make_field_table(setup)
            forcing = self._forcing = LandForcing(setup, field_table.pass_through_inputs)
        check_same(setup.regrid_backend, self.comm.mpi)
        first = self._first = FirstState(setup, forcing)
        with self.comm.guard():
            source = None if restart is None else first.open_restart(Path(restart), restart_year, branch=branch)
            state = first.from_map() if source is None else first.from_restart(source, branch=branch)
            self._run_state = RunState(state.frozen(), setup.clock.at(state.year), self.config.exports.lookahead)
            self._host_restart = HostRestart(source, state.year, branch=branch)
            self._imports = HostImports(setup, field_table, self._hosts, self._host_restart.date, self.comm)
            gaps = find_gaps(setup, forcing, state)
        parts = self.comm.allgather(gaps)
        with self.comm.guard():
            refuse_large_gaps(setup, parts)
        self.model = self._make_model()
        self._stepper = Stepper(self.model, forcing, self._hosts, self._imports, self.comm)
        self._time = HostTime(self._time.calendar, self._host_restart.date)
        self.status = Status.INITIALIZED

    def set_grid(self, mesh: Mesh, name: str = HOST) -> None:
        """Give the cells of a host grid that this rank owns; ranks without cells give a mesh of none.

        What is wrong with them, overlaps too, is found by :meth:`realize`, on every rank.
        """
        self._expect(Status.INITIALIZED)
        self._hosts.set_mesh(name, mesh)

    def set_land_fraction(self, values: NDArray[Any], grid: str = HOST) -> None:
        """Say how much of each owned cell is land in the host, (cells,): the host's mask wins over the map's. Local.

        Land of the host without mapped land gets the classes of the nearest cell that has some; cells without land in
        the host get none. Before :meth:`realize`, which finds faults on every rank.
        """
        self._expect(Status.INITIALIZED)
        self._hosts.set_land(grid, values)

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
        self._hosts.set_surface(grid, name, values, self._field_table.profile)

    def set_named_grid(self, name: str, as_name: str = HOST) -> None:
        """Use a grid of the configuration's ``hosts``, split evenly over the ranks."""
        self._expect(Status.INITIALIZED)
        self._hosts.set_named_mesh(as_name, self.config, name)

    def realize(self) -> None:
        """Make the regrid weights of all grids given, and the exports of the state now."""
        self._expect(Status.INITIALIZED)
        self._hosts.agree(self.calendar)
        with self.comm.guard():
            self._imports.windows.check()
        self._hosts.realize(
            self._setup, self._field_table, self._forcing, self.state, self._host_restart, self.model.timers
        )
        with self.comm.guard():
            self._host_restart.restore(self._imports.windows, self.calendar, self._hosts.meshes.get(HOST))
        self._run_state = self._stepper.start(self._run_state, self._host_restart.exports)
        self._output = RunOutput(self._setup, self._field_table.exports, self._hosts.grids, self.comm)
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
        if self._time.no_step_is_due(year, month, day, seconds):
            return
        self._expect(Status.REALIZED)
        date = self._time.calendar.parse((year, month, day, seconds))
        self._time.check(date, self.clock)
        if self._run_state.due(date.year):
            self._agree_on(date)
            while self._run_state.due(date.year):
                self._run_state = self._stepper.step(self._run_state, self._time.calendar)
                self._imports.windows.forget(self.state.year)
                self.step_count += 1
        self._time.move(date)

    def write_restart(self, folder: str | Path) -> None:
        """Write the whole state into ``folder/<year>``, at any date: also what the host has given since 1 January."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        with self.comm.guard():
            self._imports.windows.check()
            writer = RestartWriter(Path(folder), self.state.year)
            entries = [writer.write_block(b, block_arrays(self.state, b)) for b in sorted(self.state.cover)]
        attrs, host = write_host_restart(
            writer,
            self._time,
            self._imports.windows,
            self._hosts.meshes,
            self._hosts.surfaces,
            self._run_state.fields,
            self.comm,
        )
        gathered = self.comm.gather((entries, host))
        with self.comm.guard():
            if gathered is not None:
                entries, host = ([entry for part in gathered for entry in part[i]] for i in (0, 1))
                writer.finish(
                    identity(self._setup) | {"host": attrs}, entries, range(len(self._setup.plan.blocks)), host
                )

    def finalize(self) -> None:
        """Release everything; allowed in every state, also after MPI_Finalize."""
        self.comm.free()
        self._hosts.release()
        if self.status in (Status.INITIALIZED, Status.REALIZED):
            self._run_state = self._run_state.without_fields()
        self._time = HostTime(self._time.calendar, self._time.now)
        self.status = Status.FINALIZED

    # ---- where it stands --------------------------------------------------------------------------------------

    @property
    def state(self) -> LandState:
        """The land, on the blocks of this rank."""
        return self._run_state.state

    @property
    def clock(self) -> Clock:
        """The years of the run, at that of the state."""
        return self._run_state.clock

    @property
    def diagnostics(self) -> Mapping[str, NDArray[np.float64]]:
        """Sums over all blocks, of the step that led to the state; nothing before the first."""
        return self._run_state.diagnostics

    @property
    def year(self) -> int:
        """The state holds from 1 January of this year."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self.state.year

    @property
    def next_year(self) -> int | None:
        """The year of ``export(..., at="next")``: one step of the predictor on; ``None`` where there is none."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self._run_state.next_year

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
        return self._hosts.mesh(HOST).size

    @property
    def setup(self) -> LandSetup:
        """The parts that the run is made of: grids, plan, predictors, plugins."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self._setup

    @property
    def hosts(self) -> dict[str, HostGrid]:
        """The realized host grids, by name."""
        return dict(self._hosts.grids)

    @property
    def mended(self) -> dict[Mended, int]:
        """What was mended while reading, on this rank; ranks that read the same have the same entries."""
        return self._setup.forcing.mended | self._setup.static.mended | self._first.mended

    @property
    def timers(self) -> Timers:
        """Seconds of this rank, by phase."""
        return self.model.timers

    @property
    def warnings(self) -> Counter[str]:
        """What differs from the run that wrote the restart and does no harm, with counts."""
        return self._first.warnings

    @property
    def mended_counts(self) -> Counter[str]:
        """What was mended while reading, on this rank, by adapter and fault; and what differs from a restart."""
        return total(self.mended) + self._first.warnings

    # ---- exports and imports ----------------------------------------------------------------------------------

    def exports(self) -> dict[str, ExportInfo]:
        """The fields on offer."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return dict(self._field_table.exports)

    def imports(self) -> dict[str, ImportInfo]:
        """The fields that predictors want of the host."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return dict(self._imports.table)

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
        self._hosts.grid(grid)
        if name not in self._field_table.exports:
            raise FieldError("no export has this name", found=name, remedy=nearest(name, self._field_table.exports))
        return self._run_state.export(self._field_table.exports[name], grid, at, self._time.calendar)

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
        self._imports.take(name, values, at, units, since, self._time.calendar)

    def surface_counts(self, grid: str = HOST) -> dict[str, float]:
        """How far the host's own surface and the map disagree, over all ranks; empty where the host gave none.

        ``filled_cells``, ``filled_area`` (m2), ``farthest_fill`` (km): land of the host that the map has not.
        ``sea_cells``, ``sea_area`` (m2): land of the map that the host has not. ``cut_cells``, ``cut_area`` (m2):
        change of the map that the host's own surface had no room for, in the latest state on offer.
        """
        self._hosts.grid(grid)
        return dict(self._hosts.surface(grid).counts)

    # ---- what a run writes --------------------------------------------------------------------------------------

    def store_layout(self, shard: int) -> StoreLayout:
        """The layout of the run's output store, with shards of so many cells on an edge. Collective."""
        return self._output.layout(shard)

    def write_output(self, store: OutputStore) -> None:
        """Write the state into the run's output store; it counts once the year is committed there. Collective."""
        self._output.write(store, self._run_state)

    def provenance(self) -> dict[str, Any]:
        """Where results come from, as plain JSON. Collective."""
        return self._output.provenance()

    def tell_plugins(self, event: StepEvent) -> None:
        """Tell all plugins that a step is done. Collective."""
        with self.comm.guard():
            self._setup.plugins.hook.ai4land_step_done(event=event)

    # ---- the inputs, looked at alone --------------------------------------------------------------------------

    def check_forcing(self) -> None:
        """Read the forcing of the first and the last step, and look for the years between: to find what is missing
        before a run starts."""
        self._expect(Status.INITIALIZED)
        clock = self.clock
        last = Clock(clock.start, clock.stop, clock.step, clock.stop)
        with self.comm.guard():
            for moment in [clock if clock.done else clock.next(), last]:
                self._forcing.of_step(moment)
            self._forcing.check_years()

    def read_inputs(self, clock: Clock) -> tuple[StepForcing, dict[str, NDArray[np.float32]]]:
        """Forcing and imports of the step that ends at the year of ``clock``. Collective."""
        return self._stepper.inputs(clock, self._time.calendar)

    # ---- in all of these --------------------------------------------------------------------------------------

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
        return self._time.now != self._host_restart.date or self._imports.dated

    def _agree_on(self, date: HostDate) -> None:
        """Ranks that run to different dates would wait for each other in different steps."""
        dates = self.comm.allgather(tuple(date))
        with self.comm.guard():
            if any(other != dates[0] for other in dates):
                found = ", ".join(sorted({str(HostDate(*other)) for other in dates}))
                raise TimeError("ranks run to different dates", found=found, remedy="give all ranks the same date")
            self._imports.windows.check()

    def _make_model(self) -> LandModel:
        setup, legend = self._setup, self._setup.legend
        own = [i for i, codes in self.state.cover.items() if (legend.to_view(codes) >= 0).any()]
        return LandModel(
            self.comm,
            setup.plan,
            setup.owner,
            sorted(i for part in self.comm.allgather(own) for i in part),
            legend,
            order_predictors(setup.predictors),
            setup.map_maker,
            StaticReader(setup.static, setup.grid),
            KeyedRng(self.config.random.seed, self.config.random.member),
        )


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


def _refuse_backward(config: Config) -> None:
    """A host's time runs forward."""
    time = config.time
    if time.stop < time.start:
        raise ConfigError(
            "a host cannot run backward in time",
            found=f"time.start {time.start}, time.stop {time.stop}",
            remedy="run the reconstruction offline (ai4land run), and replay its maps in the host",
        )
