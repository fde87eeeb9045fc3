"""The land component: a climate model or the offline simulation initialises, runs and finalises it.

The order of the calls::

    initialize -> set_grid (any number of host grids) -> realize -> import_ / run / export ... -> finalize

:meth:`LandComponent.export`, :meth:`LandComponent.import_` and the setters are local, and so is
:meth:`LandComponent.run` if no step is due. Every other call is collective over the communicator of the component. A
failure on one rank is raised on every rank. The component never aborts, and never uses COMM_WORLD.
"""

from __future__ import annotations

import enum
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api.hooks import StepEvent
from ai4land_coupler.component.output import RunOutput
from ai4land_coupler.component.same_ranks import refuse_different_configurations, refuse_different_parts
from ai4land_coupler.component.start import Start, check_start, refuse_backward
from ai4land_coupler.component.stepper import RunState, Stepper
from ai4land_coupler.config.sections import Config, load_config
from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import FieldError, StateError, TimeError, nearest
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.exchange import HostGrid
from ai4land_coupler.host.field_info import ExportInfo, ImportInfo
from ai4land_coupler.host.field_table import make_field_table
from ai4land_coupler.host.grids import HOST, HostGrids
from ai4land_coupler.host.imports import HostImports
from ai4land_coupler.host.restart import HostRestart, write_host_restart
from ai4land_coupler.host.time import HostTime
from ai4land_coupler.inputs.catalogue import Mended, total
from ai4land_coupler.land.dealing import predicted_cores
from ai4land_coupler.land.first_state import FirstState
from ai4land_coupler.land.forcing import LandForcing, StepForcing
from ai4land_coupler.land.gaps import find_gaps, refuse_large_gaps
from ai4land_coupler.land.model import LandModel, make_model
from ai4land_coupler.land.setup import LandSetup, make_setup
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.parallel.calls import Call, CallCheck
from ai4land_coupler.regrid.auto import check_same
from ai4land_coupler.store.output import OutputStore, StoreLayout
from ai4land_coupler.store.restart import HISTORY, RestartWriter, block_arrays


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
        mpi4py communicator; ``None`` for a single process. The component duplicates it, so the host can keep using it.
    online:
        Whether a host runs the component. Runs backward in time have their own predictors and no host, so they are
        refused online.

    Attributes
    ----------
    model:
        The predictors and the allocation; exists after :meth:`initialize`.
    step_count:
        Grows whenever the exports change, so that a host needs to copy them only then.
    """

    def __init__(self, config: Config | str | Path, comm: Any = None, *, online: bool = True) -> None:
        self.comm = Communicator(comm)
        self._online = online
        self._calls = CallCheck(self.comm.mpi)
        weakref.finalize(self, self._calls.end)  # also if the program of this rank ends early
        with self.comm.guard():
            self.config = config if isinstance(config, Config) else load_config(config)
            if online:
                refuse_backward(self.config)
        where = None if isinstance(config, Config) else str(config)
        refuse_different_configurations(self.config, where, self.comm)
        self.status = Status.CREATED
        self.step_count = 0
        self._hosts = HostGrids(self.comm)
        self._time = HostTime(HostCalendar(), HostDate(self.config.time.start))

    # ---- life cycle -------------------------------------------------------------------------------------------

    def set_calendar(self, calendar: str) -> None:
        """Set the host's calendar: any calendar of cftime; the default is ``standard``. Local.

        Raises
        ------
        TimeError
            No calendar has this name, or dates of another calendar are already in use.
        """
        self._expect(Status.CREATED, Status.INITIALIZED, Status.REALIZED)
        chosen = HostCalendar(calendar)
        if self._dates_are_used and chosen.name != self._time.calendar.name:
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
        """Load the plugins, read the initial state or a restart, and plan the blocks.

        Parameters
        ----------
        restart:
            Folder of restarts. ``None`` starts from the initial map.
        restart_year:
            Year of the restart. ``None`` takes the last complete one, or for a branch the one of ``time.start``.
        start:
            ``startup``: from the initial map. ``continue``: the run that wrote the restart goes on. ``branch``: a new
            run starts from the restart of another run. Grids, legend and predictors must then be the same; scenario,
            seed and years can differ, and the state becomes that of ``time.start``. The default is ``continue`` if a
            restart is given, else ``startup``.
        """
        how = f"{start or ('startup' if restart is None else 'continue')}, restart year {restart_year}"
        call = Call("initialize", how, "ConfigError", "ranks start the run in different ways")
        self._begin_call(call, Status.CREATED)
        with self.comm.guard():
            branch = check_start(start, restart) == "branch"
            setup = self._setup = make_setup(self.config, self.comm.rank, self.comm.size)
            field_table = self._field_table = make_field_table(setup)
            forcing = self._forcing = LandForcing(setup, field_table.pass_through_inputs)
        check_same(setup.regrid_backend, self.comm.mpi)
        first = self._first = FirstState(setup, forcing)
        first.warnings.update(setup.advice)
        with self.comm.guard():
            source = None if restart is None else first.open_restart(Path(restart), restart_year, branch=branch)
        refuse_different_parts(setup, {} if source is None else source.identity, self.comm)
        setup = self._setup = first.deal_blocks(source, self.comm)
        with self.comm.guard():
            state = first.from_map() if source is None else first.from_restart(source, branch=branch)
            self._run_state = RunState(state.frozen(), setup.clock.at(state.year), self.config.exports.lookahead)
            self._host_restart = HostRestart(source, state.year, branch=branch)
            began = self._host_restart.date
            self._imports = HostImports(setup, field_table, self._hosts, began, self.comm, online=self._online)
            forcing.check_years(state.year)
            self._imports.check_climate(state.year)
            gaps = find_gaps(setup, forcing, state, self._imports.next_climate(state.year))
        parts = self.comm.allgather(gaps)
        with self.comm.guard():
            refuse_large_gaps(setup, parts)
        self.model = self._make_model()
        self._stepper = Stepper(self.model, forcing, self._hosts, self._imports, self.comm)
        self._time = HostTime(self._time.calendar, self._host_restart.date)
        self.status = Status.INITIALIZED

    def set_grid(self, mesh: Mesh, name: str = HOST) -> None:
        """Set the cells of a host grid that this rank owns; a rank without cells gives a mesh without cells.

        :meth:`realize` checks the cells, also for overlaps, and raises faults on every rank.
        """
        self._expect(Status.INITIALIZED)
        self._hosts.set_mesh(name, mesh)

    def set_land_fraction(self, values: NDArray[Any], grid: str = HOST) -> None:
        """Set the land fraction of each owned cell in the host, (cells,); it replaces that of the map. Local.

        If a cell has land in the host but not on the map, it gets the classes of the nearest cell with mapped land. A
        cell without land in the host gets no land. Call this before :meth:`realize`, which raises faults on every rank.
        """
        self._expect(Status.INITIALIZED)
        self._hosts.set_land(grid, values)

    def set_surface(self, name: str, values: NDArray[Any], grid: str = HOST) -> None:
        """Set the host's own surface of the first year: exports equal it then, and later change is added. Local.

        Parameters
        ----------
        name:
            ``land_cover_fraction``, or ``surface_type_fraction`` if the configuration has ``exports.profile``.
        values:
            Shares of the owned cells by class of the legend's view, or by type of the profile, (types, cells). Their
            sum is the host's land fraction.

        Raises
        ------
        FieldError
            The host cannot set this field. :meth:`realize` checks the values and raises faults on every rank.
        """
        self._expect(Status.INITIALIZED)
        self._hosts.set_surface(grid, name, values, self._field_table.profile)

    def set_named_grid(self, name: str, as_name: str = HOST) -> None:
        """Use a grid of the configuration's ``hosts``, split evenly over the ranks. Collective."""
        call = Call("set_named_grid", f"{name} as {as_name}", "GridError", "ranks use different host grids")
        self._begin_call(call, Status.INITIALIZED)
        self._hosts.set_named_mesh(as_name, self.config, name)

    def realize(self) -> None:
        """Make the regridding weights of all host grids, and the exports of the current state. Collective.

        Raises
        ------
        StateError
            A host runs the component, and no grid was set.
        GridError, FieldError
            The grids, surfaces or imports that the ranks gave have faults.
        """
        self._begin_call(Call("realize"), Status.INITIALIZED)
        self._hosts.check_ranks(self.calendar)
        with self.comm.guard():
            if self._online and not self._hosts.meshes:
                raise StateError(
                    "no host grid was set",
                    expected="the grid of the host before realize",
                    remedy="set the cells of each rank (set_grid), or name a grid of `hosts` (set_named_grid)",
                )
            self._imports.check()
        self._hosts.realize(
            self._setup, self._field_table, self._forcing, self.state, self._host_restart, self.model.timers
        )
        with self.comm.guard():
            self._host_restart.restore(self._imports.windows, self.calendar, self._hosts.meshes.get(HOST))
        self._run_state = self._stepper.start(self._run_state, self._host_restart.exports)
        self._first.warnings.update(self._hosts.notes())
        self._output = RunOutput(self._setup, self._field_table.exports, self._hosts.grids, self.comm)
        self.step_count += 1
        self.status = Status.REALIZED

    def run(self, until: Any) -> None:
        """Run to a date of the host: take every step that is due by then.

        A host can call this at each of its time steps. Steps are due on 1 January. If no step is due, the call is
        local; else it is collective. A predictor with steps of three years keeps its state between them.

        Parameters
        ----------
        until:
            A year (meaning its 1 January), a text ``YYYY-MM-DD[THH:MM:SS]``, ``(year, month, day[, seconds])``, or a
            date of ``cftime`` or ``datetime``; in the calendar of :meth:`set_calendar`.

        Raises
        ------
        TimeError
            The date is earlier than the last one, after the year ``time.stop`` and the end of its step, or not in the
            calendar.
        """
        if type(until) is int:
            self.run_date(until)
        elif type(until) is tuple and 1 <= len(until) <= 4:
            self.run_date(*until)
        else:
            with self._refusing():
                date = self._time.calendar.parse(until)
            self.run_date(*date)

    def run_date(self, year: int, month: int = 1, day: int = 1, seconds: float = 0) -> None:
        """:meth:`run` for a date in numbers; ``seconds`` count from midnight."""
        if self._time.no_step_is_due(year, month, day, seconds):
            return
        with self._refusing():
            self._expect(Status.REALIZED)
            date = self._time.calendar.parse((year, month, day, seconds))
            self._time.check(date, self.clock)
        if self._run_state.is_due(date.year):
            text = str(date._replace(seconds=round(date.seconds, 3)))
            self._calls.enter(Call("run", text, "TimeError", "ranks run to different dates"))
            with self.comm.guard():
                self._imports.windows.check()
            while self._run_state.is_due(date.year):
                self._run_state = self._stepper.step(self._run_state, self._time.calendar)
                self._imports.windows.forget(self.state.year)
                self.step_count += 1
        self._time.move(date)

    def write_restart(self, folder: str | Path) -> None:
        """Write the whole state to ``folder/<year>``, at any date, with the imports since 1 January. Collective."""
        grids = ", ".join(sorted(self._hosts.meshes)) or "none"
        where = f"{Path(folder).absolute()}, grids: {grids}"
        call = Call("write_restart", where, "ConfigError", "ranks write different restarts")
        self._begin_call(call, Status.INITIALIZED, Status.REALIZED)
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
                    self._first.identity | {"host": attrs, HISTORY: self.model.history},
                    entries,
                    range(len(self._setup.plan.blocks)),
                    host,
                )

    def finalize(self) -> None:
        """Release all resources. Allowed at any time, also after MPI_Finalize. Does not wait for other ranks."""
        self._calls.end()
        self.comm.free()
        self._hosts.release()
        if self.status in (Status.INITIALIZED, Status.REALIZED):
            self._run_state = self._run_state.without_fields()
        self._time = HostTime(self._time.calendar, self._time.now)
        self.status = Status.FINALIZED

    # ---- current state -----------------------------------------------------------------------------------------

    @property
    def state(self) -> LandState:
        """The land state on the blocks of this rank."""
        return self._run_state.state

    @property
    def clock(self) -> Clock:
        """The years of the run, and the current one."""
        return self._run_state.clock

    @property
    def diagnostics(self) -> Mapping[str, NDArray[np.float64]]:
        """Sums over all blocks for the last step; empty before the first step."""
        return self._run_state.diagnostics

    @property
    def year(self) -> int:
        """Year of the state: it is valid from 1 January of this year."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self.state.year

    @property
    def next_year(self) -> int | None:
        """The year of ``export(..., at="next")``, one step ahead; ``None`` if there is no such state."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self._run_state.next_year

    @property
    def calendar(self) -> str:
        """The host's calendar."""
        return self._time.calendar.name

    @property
    def date(self) -> HostDate:
        """The last date that the host ran to: year, month, day, seconds."""
        return self._time.now

    @property
    def cell_count(self) -> int:
        """Number of cells of the host grid that this rank owns; known after the grid was set."""
        return self._hosts.mesh(HOST).size

    @property
    def setup(self) -> LandSetup:
        """The parts of the run: grids, plan of the blocks, predictors, plugins."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self._setup

    @property
    def hosts(self) -> dict[str, HostGrid]:
        """The host grids with weights, by name."""
        return dict(self._hosts.grids)

    @property
    def mended(self) -> dict[Mended, int]:
        """What was mended in the inputs of this rank; ranks that read the same data have the same entries."""
        setup = self._setup
        return setup.forcing.mended | setup.static.mended | setup.climate.mended | self._first.mended

    @property
    def timers(self) -> Timers:
        """Seconds of this rank by phase of the run."""
        return self.model.timers

    @property
    def warnings(self) -> Counter[str]:
        """What a user should know, with counts: advice of predictors, differences from the restart, filled land."""
        return self._first.warnings

    @property
    def mended_counts(self) -> Counter[str]:
        """What was mended in the inputs of this rank, by adapter and fault, and differences from the restart."""
        return total(self.mended) + self._first.warnings

    # ---- exports and imports ----------------------------------------------------------------------------------

    def exports(self) -> dict[str, ExportInfo]:
        """The fields that a host can get."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return dict(self._field_table.exports)

    def imports(self) -> dict[str, ImportInfo]:
        """The fields that predictors need from the host."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return dict(self._imports.table)

    def fields(self) -> list[ExportInfo | ImportInfo]:
        """All fields between component and host."""
        return [*self.exports().values(), *self.imports().values()]

    def export(self, name: str, grid: str = HOST, at: Any = None) -> NDArray[np.float64]:
        """A field on the owned cells: (types, cells) or (cells,), read-only. Local.

        Parameters
        ----------
        at:
            ``now`` (default): the state of :attr:`year`. ``next``: the state of :attr:`next_year`, if the configuration
            has ``exports.lookahead``. A date between the two (forms as in :meth:`run`): linear interpolation in time,
            for fractions only.

        Raises
        ------
        FieldError
            No export has this name, or it is not available at that time.
        TimeError
            There is no next state, or the date is not between the two states.
        """
        self._expect(Status.REALIZED)
        self._hosts.grid(grid)
        if name not in self._field_table.exports:
            raise FieldError("no export has this name", found=name, remedy=nearest(name, self._field_table.exports))
        return self._run_state.export(self._field_table.exports[name], grid, at, self._time.calendar)

    def import_(
        self, name: str, values: NDArray[Any], at: Any = None, units: str | None = None, since: Any = None
    ) -> None:
        """Pass a field from the host to the component. Local.

        The component does not use faulty values: the next collective call raises the fault on every rank.

        Parameters
        ----------
        values:
            (cells,); without ``at`` also (12, cells) by month.
        at:
            Without a date, the values are used for all later steps. With a date (forms as in :meth:`run`), they are the
            mean over the interval since the last import of the field, and enter the monthly means of the year weighted
            by time. The first interval starts with the run. Giving a date a second time adds nothing.
        units:
            Units of the values, if they differ from those of :meth:`imports`; UDUNITS converts them.
        since:
            Start of the interval, if it is not the last import. The interval must not be longer than 31 days.

        Raises
        ------
        FieldError
            No predictor imports this field, or the values have the wrong number of axes.
        TimeError
            The interval ends before it starts, or is longer than 31 days.
        """
        self._expect(Status.INITIALIZED, Status.REALIZED)
        self._imports.add(name, values, at, units, since, self._time.calendar)

    def surface_counts(self, grid: str = HOST) -> dict[str, float]:
        """Differences between the host's own surface and the map, over all ranks; {} if the host has no own surface.

        ``filled_cells``, ``filled_area`` (m2), ``farthest_fill`` (km): land of the host that is not land on the map.
        ``sea_cells``, ``sea_area`` (m2): land of the map that is not land in the host. ``cut_cells``, ``cut_area``
        (m2): change of the map that exceeds what the host's own surface has, in the latest state.
        """
        self._hosts.grid(grid)
        return dict(self._hosts.surface(grid).counts)

    # ---- output -------------------------------------------------------------------------------------------------

    def store_layout(self, shard: int) -> StoreLayout:
        """The layout of the run's output store; ``shard`` is the edge of a shard in cells. Collective."""
        return self._output.layout(shard)

    def write_output(self, store: OutputStore) -> None:
        """Write the state to the run's output store; readers see it after the year is committed. Collective."""
        self._output.write(store, self._run_state)

    def provenance(self) -> dict[str, Any]:
        """The origin of the results (inputs, predictors, weights), as plain JSON. Collective."""
        return self._output.provenance()

    def tell_plugins(self, event: StepEvent) -> None:
        """Tell all plugins that a step is done. Collective."""
        with self.comm.guard():
            self._setup.plugins.hook.ai4land_step_done(event=event)

    # ---- inputs without a step ---------------------------------------------------------------------------------

    def check_forcing(self) -> None:
        """Read the forcing of the first and the last step. Finds missing forcing before a run starts."""
        self._expect(Status.INITIALIZED)
        clock = self.clock
        last = Clock(clock.start, clock.stop, clock.step, clock.last)
        with self.comm.guard():
            for moment in [clock if clock.done else clock.next(), last]:
                self._forcing.of_step(moment)

    def read_inputs(self, clock: Clock) -> tuple[StepForcing, dict[str, NDArray[np.float32]]]:
        """Forcing and imports of the step that ends at the year of ``clock``. Collective."""
        return self._stepper.inputs(clock, self._time.calendar)

    # ---- helpers ----------------------------------------------------------------------------------------------

    def _expect(self, *allowed: Status) -> None:
        if self.status not in allowed:
            raise StateError(
                "a call came in the wrong order",
                expected=f"a component that is {' or '.join(s.value for s in allowed)}",
                found=f"one that is {self.status.value}",
                remedy="initialize, set the grid, realize; then imports, run and exports any number of times; finalize",
            )

    @property
    def _dates_are_used(self) -> bool:
        """Whether dates of the host's calendar are already in use."""
        if self.status is Status.CREATED:
            return False
        return self._time.now != self._host_restart.date or self._imports.has_dates

    def _begin_call(self, call: Call, *allowed: Status) -> None:
        """Begin a collective call: an error on every rank if one rank makes another call or refuses it."""
        with self._refusing():
            self._expect(*allowed)
        self._calls.enter(call)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Local checks before a collective call; if they fail, the other ranks are told."""
        try:
            yield
        except BaseException as error:
            self._calls.refuse(error)
            raise

    def _make_model(self) -> LandModel:
        setup = self._setup
        own = {i: predicted_cores(setup, setup.plan.blocks[i], codes)[0] for i, codes in self.state.cover.items()}
        cores = {i: boxes for part in self.comm.allgather(own) for i, boxes in part.items() if boxes}
        return make_model(setup, cores, self.comm)
