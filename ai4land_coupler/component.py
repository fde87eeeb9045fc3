"""The land component: what a climate model, or the offline simulation, initialises, runs and finalises.

The life of a component::

    initialize -> set_grid (any number of host grids) -> realize -> import_ / run / export ... -> finalize

Every call but :meth:`LandComponent.export` and :meth:`LandComponent.import_` is collective over the communicator
that was given. A failure on one rank is raised on every rank; the component never aborts, and never touches
COMM_WORLD.
"""

from __future__ import annotations

import enum
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.clock import Clock
from ai4land_coupler.config import Config, load_config
from ai4land_coupler.errors import ConfigError, FieldError, GridError, StateError, TimeError, nearest
from ai4land_coupler.host_exchange import ExportInfo, HostGrid, LandCells, exports_of
from ai4land_coupler.host_grids import partition, read_mesh
from ai4land_coupler.land_model import (
    LandModel,
    StepForcing,
    StepResult,
)
from ai4land_coupler.land_setup import LandSetup
from ai4land_coupler.mesh import Mesh
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.restart import RestartWriter, block_arrays
from ai4land_coupler.rng import KeyedRng

#: The grid that ``set_grid`` gives a host, where it names none.
HOST = "host"


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
    """

    def __init__(self, config: Config | str | Path, comm: Any = None, *, online: bool = True) -> None:
        self.comm = Communicator(comm)
        with self.comm.guard():
            self.config = config if isinstance(config, Config) else load_config(config)
            self._check_direction(online)
        self.status = Status.CREATED
        self._hosts: dict[str, HostGrid] = {}
        self._meshes: dict[str, Mesh] = {}
        self._exports: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._imports: dict[str, NDArray[np.float64]] = {}

    # ---- life cycle -------------------------------------------------------------------------------------------

    def initialize(self, restart: str | Path | None = None, restart_year: int | None = None) -> None:
        """Load the plugins, read the initial state (or a restart), and plan the blocks.

        Parameters
        ----------
        restart:
            Folder of restarts. ``None`` starts from the initial map.
        restart_year:
            Year of the restart to continue from; ``None`` for the last complete one.
        """
        self._expect(Status.CREATED)
        with self.comm.guard():
            setup = self._setup = LandSetup(self.config, self.comm.rank, self.comm.size)
        with self.comm.guard():
            state = setup.initial_state() if restart is None else setup.restarted_state(Path(restart), restart_year)
            self.state = state.frozen()
            self.clock = setup.clock.at(state.year)
            gaps = setup.gaps(self.state)
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
        """Give the cells of a host grid that this rank owns; ranks without cells give a mesh of none."""
        self._expect(Status.INITIALIZED)
        self._meshes[name] = mesh

    def set_named_grid(self, name: str, as_name: str = HOST) -> None:
        """Use a grid of the configuration's ``hosts``, split evenly over the ranks."""
        self._expect(Status.INITIALIZED)
        with self.comm.guard():
            if name not in self.config.hosts:
                raise ConfigError("no host grid has this name", found=name, remedy=nearest(name, self.config.hosts))
            host = self.config.hosts[name]
            mesh = read_mesh(self.config.resolve(host.grid), host.edges)
        self._meshes[as_name] = partition(mesh, self.comm.rank, self.comm.size)

    def realize(self) -> None:
        """Make the regrid weights of all grids given, and the exports of the state now."""
        self._expect(Status.INITIALIZED)
        names = self.comm.allgather(sorted(self._meshes))
        with self.comm.guard():
            if any(given != names[0] for given in names):
                raise GridError("ranks gave different host grids", found=names)
            choice = self.config.regrid
            regridder: Any = None
            if self._meshes:  # a run without host grids needs no backend
                regridder = self._setup.plugins.create(
                    "regridder", choice.backend, choice.options, "regrid", base=self.config.base
                )
        for name, mesh in sorted(self._meshes.items()):
            with self.model.timers("regrid weights"):
                self._hosts[name] = HostGrid(mesh, self._land, regridder, self.comm)
        self.status = Status.REALIZED
        self._regrid_exports()

    def run(self, until: int) -> None:
        """Bring the state to 1 January of a year: take every step that is due by then.

        Running to the year that the state has is a no-op. A predictor of three-year steps holds its state in
        between.

        Raises
        ------
        TimeError
            Back in time, or beyond the configuration's ``time.stop``.
        """
        self._expect(Status.REALIZED)
        direction = self.clock.direction
        if (until - self.state.year) * direction < 0 or (self.clock.stop - until) * direction < 0:
            raise TimeError(
                "the component cannot run to that year",
                expected=f"{self.state.year} to {self.clock.stop}",
                found=until,
                remedy="state is never run back; start a new component, or extend time.stop",
            )
        while not self.clock.done and (until - self.clock.next().now) * direction >= 0:
            self._step()

    def finalize(self) -> None:
        """Release everything; allowed in every state, also after MPI_Finalize."""
        self.comm.free()
        self._hosts.clear()
        self._exports.clear()
        self.status = Status.FINALIZED

    # ---- exports and imports ----------------------------------------------------------------------------------

    @property
    def year(self) -> int:
        """The state holds from 1 January of this year."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        return self.state.year

    @property
    def cell_count(self) -> int:
        """Cells of the host grid that this rank owns."""
        return self._host(HOST).mesh.size

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
        continuous = {}
        for entry in self._setup.predictors:
            for field in entry.spec.outputs:
                if field.name != "land_cover_logits":
                    continuous[field.name] = (field.units, 1 if entry.spec.interval.years else 12)
        return exports_of(self._setup.legend, continuous)

    def export(self, name: str, grid: str = HOST) -> NDArray[np.float64]:
        """A field of the state now on the owned cells: (types, cells) or (cells,), read-only. Local."""
        self._expect(Status.REALIZED)
        self._host(grid)
        if name not in self.exports():
            raise FieldError("no export has this name", found=name, remedy=nearest(name, self.exports()))
        if (grid, name) not in self._exports:
            raise StateError(f"{name!r} is not there yet", found=f"year {self.state.year}", remedy="run a step first")
        return self._exports[grid, name]

    def import_(self, name: str, values: NDArray[np.float64]) -> None:
        """Set a field of the host for the next step: (cells,), or (12, cells) by month, in the spec's units. Local."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        if name not in self._setup.imports:
            raise FieldError("no predictor imports this field", found=name, remedy=nearest(name, self._setup.imports))
        array = np.array(values, np.float64)
        if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] != 12):
            raise FieldError(
                f"import {name!r} has the wrong shape", expected="(cells,) or (12, cells)", found=array.shape
            )
        self._imports[name] = np.broadcast_to(array, (12, array.shape[-1]))

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
        """Write the whole state into ``folder/<year>``."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        with self.comm.guard():
            writer = RestartWriter(Path(folder), self.state.year)
            entries = [writer.write_block(b, block_arrays(self.state, b)) for b in sorted(self.state.cover)]
        gathered = self.comm.gather(entries)
        with self.comm.guard():
            if gathered is not None:
                entries = [entry for part in gathered for entry in part]
                writer.finish(self._setup.identity(), entries, range(len(self._setup.plan.blocks)))

    # ---- one step ---------------------------------------------------------------------------------------------

    def _step(self) -> None:
        clock = self.clock.next()
        forcing, imports = self.read_inputs(clock)
        result = self.model.advance(self.state, forcing, imports, clock)
        self.state, self.clock = result.state, clock
        self.diagnostics = self._sum_diagnostics(result)
        self._regrid_exports()

    def read_inputs(self, clock: Clock) -> tuple[StepForcing, dict[str, NDArray[np.float32]]]:
        """Forcing and imports of the step that ends at the year of ``clock``. Collective."""
        with self.comm.guard(), self.model.timers("read forcing"):
            forcing = self._setup.step_forcing(clock)
        return forcing, self._read_imports()

    def _read_imports(self) -> dict[str, NDArray[np.float32]]:
        """Imports on the forcing grid: from the host where it gave them, else from the configuration."""
        given = {}
        for name in sorted(self._setup.imports):
            if all(self.comm.allgather(name in self._imports)):
                given[name] = self._host(HOST).import_to_forcing(self._imports[name], self._setup.plan, name)
            else:
                given[name] = self._setup.configured_import(name)
        return given

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

    def _regrid_exports(self) -> None:
        with self.model.timers("regrid"):
            for name, host in sorted(self._hosts.items()):
                fractions = host.land_cover_fraction(self.state)
                fields = {"land_cover_fraction": fractions, "land_area_fraction": fractions.sum(axis=0)}
                made = sorted({name for names in self.comm.allgather(list(self.state.fields)) for name in names})
                for field in made:
                    samples = max(1, len(self.exports()[field].types))
                    values = host.continuous(self.state, field, samples)
                    fields[field] = values if samples > 1 else values[0]
                for field, values in fields.items():
                    values.flags.writeable = False
                    self._exports[name, field] = values

    # ---- setting up -------------------------------------------------------------------------------------------

    def _expect(self, *allowed: Status) -> None:
        if self.status not in allowed:
            raise StateError(
                "a call came in the wrong order",
                expected=f"a component that is {' or '.join(s.value for s in allowed)}",
                found=f"one that is {self.status.value}",
                remedy="initialize, set_grid, realize, then run, export and import_ any number of times, finalize",
            )

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
