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

from ai4land_coupler.allocation import MapMaker
from ai4land_coupler.api import Request
from ai4land_coupler.clock import Clock
from ai4land_coupler.config import Config, ImportSection, PluginChoice, load_config
from ai4land_coupler.errors import ConfigError, FieldError, GridError, StateError, TimeError, nearest
from ai4land_coupler.fields import FieldSpec
from ai4land_coupler.grid import LatLonGrid
from ai4land_coupler.host_exchange import ExportInfo, HostGrid, LandCells, exports_of
from ai4land_coupler.host_grids import partition, read_mesh
from ai4land_coupler.inputs import Catalogue, ForcingReader, NamedAdapter, StaticReader, domain_forcing_grid
from ai4land_coupler.land_model import (
    ALLOCATION_MEMORY,
    LandModel,
    NamedPredictor,
    StepForcing,
    StepResult,
    begin_memory,
)
from ai4land_coupler.legend import get_crosswalk, get_legend
from ai4land_coupler.mesh import Mesh
from ai4land_coupler.parallel import BlockPlan, Communicator
from ai4land_coupler.plugins import load_plugins
from ai4land_coupler.provenance import instruction_set
from ai4land_coupler.restart import Restart, RestartWriter, block_arrays, check_compatible, read_state
from ai4land_coupler.rng import KeyedRng
from ai4land_coupler.state import LandState
from ai4land_coupler.units import factor

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
        self.quality: Counter[str] = Counter()
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
        config = self.config
        with self.comm.guard():
            self.legend = get_legend(config.legend)
            crosswalk = get_crosswalk(config.allocation.crosswalk)
            self.plugins = load_plugins(config.plugins.allow)
            initial = self._adapter("initial", config.initial)
            self.grid = _land_grid(initial)
            forcing = Catalogue("forcing", self._adapters("forcing", config.forcing))
            static = Catalogue("static", self._adapters("static", config.static))
            lattice = domain_forcing_grid(self.grid, forcing, "forcing") if config.forcing else self.grid
            self.plan = BlockPlan(self.grid, lattice, config.parallel.block)
            self._workers = self._worker_ranks()
            self._owner = self._workers[self.plan.owners(len(self._workers))]
            self.predictors = self._predictors()
            self.clock = self._clock()
            rates = next((p.predictor.gross.rates() for p in self.predictors if hasattr(p.predictor, "gross")), None)
            self._map_maker = MapMaker(self.plan, self.legend, crosswalk, config.allocation, rates)
            self._forcing = ForcingReader(forcing, lattice)
            self._catalogues = (forcing, static)
            self._import_specs = self._needed_imports()
        with self.comm.guard():
            if self.comm.rank in self._workers:
                for entry in self.predictors:
                    getattr(entry.predictor, "load", lambda: None)()
            self.state = (
                self._initial_state(initial) if restart is None else self._restarted_state(Path(restart), restart_year)
            ).frozen()
        self.clock = Clock(self.clock.start, self.clock.stop, self.clock.step, self.state.year)
        land_blocks = self._land_blocks()
        self.model = LandModel(
            self.comm,
            self.plan,
            self._owner,
            land_blocks,
            self.legend,
            self.predictors,
            self._map_maker,
            StaticReader(static, self.grid),
            KeyedRng(config.random.seed, config.random.member),
        )
        self._land = LandCells(self.plan, self.legend, self.state.cover)
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
                regridder = self.plugins.create(
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
    def owner(self) -> NDArray[np.int64]:
        """Rank that owns each block."""
        return self._owner

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of classes whose net change the scenario decides."""
        return self._map_maker.crosswalk.groups

    @property
    def hosts(self) -> dict[str, HostGrid]:
        """The realized host grids, by name."""
        return dict(self._hosts)

    def exports(self) -> dict[str, ExportInfo]:
        """The fields on offer."""
        self._expect(Status.INITIALIZED, Status.REALIZED)
        continuous = {}
        for entry in self.predictors:
            for field in entry.spec.outputs:
                if field.name != "land_cover_logits":
                    continuous[field.name] = (field.units, 1 if entry.spec.interval.years else 12)
        return exports_of(self.legend, continuous)

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
        if name not in self._import_specs:
            raise FieldError("no predictor imports this field", found=name, remedy=nearest(name, self._import_specs))
        array = np.array(values, np.float64)
        if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] != 12):
            raise FieldError(
                f"import {name!r} has the wrong shape", expected="(cells,) or (12, cells)", found=array.shape
            )
        self._imports[name] = np.broadcast_to(array, (12, array.shape[-1]))

    def check_forcing(self) -> None:
        """Read the forcing of the first and the last step, to find what is missing before a run starts."""
        self._expect(Status.INITIALIZED)
        clock = self.clock
        last = Clock(clock.start, clock.stop, clock.step, clock.stop)
        with self.comm.guard():
            for moment in [clock if clock.done else clock.next(), last]:
                self._read_forcing(moment)

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
                writer.finish(self._identity(), entries, range(len(self.plan.blocks)))

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
            forcing = self._read_forcing(clock)
        return forcing, self._read_imports()

    def _read_forcing(self, clock: Clock) -> StepForcing:
        if self.comm.rank not in self._workers:
            return StepForcing({}, None)
        wanted: dict[int, list[FieldSpec]] = {}
        for entry in self.predictors:
            for field in entry.spec.inputs:
                if field.source == "forcing":
                    for offset in field.offsets:
                        wanted.setdefault(offset, []).append(field)
        years = {offset: clock.now + offset * clock.step * clock.direction for offset in (-1, 0, *wanted)}
        fields = {
            (name, offset): values
            for offset, specs in wanted.items()
            for name, values in self._forcing.fields(specs, years[offset]).items()
        }
        shares = self._forcing.shares(self._map_maker.crosswalk, clock.now) if self._follows_scenario else None
        self._forcing.forget(years.values())
        return StepForcing(fields, shares)

    def _read_imports(self) -> dict[str, NDArray[np.float32]]:
        """Imports on the forcing grid: from the host where it gave them, else from the configuration."""
        given = {}
        for name, spec in sorted(self._import_specs.items()):
            section = self.config.imports.get(name)
            if all(self.comm.allgather(name in self._imports)):
                given[name] = self._host(HOST).import_to_forcing(self._imports[name], self.plan, name)
            elif section is not None:
                months = _monthly(section, spec)
                given[name] = np.broadcast_to(months[:, None, None], (12, *self.plan.forcing.shape))
            else:
                raise FieldError(
                    f"import {name!r} was never set",
                    expected=f"values in {spec.units} from every rank of the host",
                    remedy=f"call import_({name!r}, ...) before run, or give imports.{name} in the configuration",
                )
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
                made = self.comm.bcast(sorted(self.state.fields), root=int(self._workers[0]))
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

    def _adapter(self, where: str, choice: PluginChoice) -> NamedAdapter:
        made = self.plugins.create("adapter", choice.name, choice.options, where, base=self.config.base)
        return NamedAdapter(choice.name, made)

    def _adapters(self, where: str, choices: tuple[PluginChoice, ...]) -> list[NamedAdapter]:
        return [self._adapter(f"{where}[{i}]", choice) for i, choice in enumerate(choices)]

    def _worker_ranks(self) -> NDArray[np.int64]:
        """Ranks that own land and predict, spread evenly over the communicator."""
        wanted = self.config.parallel.workers
        count = self.comm.size if wanted == "all" else min(wanted, self.comm.size)
        return np.arange(count) * self.comm.size // count

    def _predictors(self) -> list[NamedPredictor]:
        made = []
        for i, choice in enumerate(self.config.predictors):
            where = f"predictors[{i}]"
            predictor = self.plugins.create("predictor", choice.name, choice.options, where, base=self.config.base)
            legend = predictor.spec.legend
            if legend is not None and legend != self.config.legend:
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

    def _needed_imports(self) -> dict[str, FieldSpec]:
        return {f.name: f for entry in self.predictors for f in entry.spec.inputs if f.source == "import"}

    @property
    def _follows_scenario(self) -> bool:
        return self.config.allocation.method == "allocate" and bool(self.config.forcing)

    def _initial_state(self, initial: NamedAdapter) -> LandState:
        """The declared initial map, and memories that start from it."""
        year = self.config.initial.year if self.config.initial.year is not None else self.config.time.start
        cover = {}
        for block in self._own_blocks():
            request = Request(("land_cover",), self.grid.sub(block.core), (year,))
            dataset = initial.adapter.read(request)
            codes = np.asarray(dataset["land_cover"].values, np.uint8).reshape(block.core.shape)
            self.legend.check(codes, where=f"initial map of {year}, adapter {initial.name!r}")
            given = dataset["land_cover"].attrs.get("legend")
            if given is not None and given != self.legend.name:
                raise ConfigError(
                    "the initial map has another legend than the run",
                    expected=self.legend.name,
                    found=given,
                    where="initial",
                    remedy="set `legend` and the adapter's option `legend` to the legend of the map",
                )
            cover[block.id] = codes
        memory: dict[str, dict[int, Any]] = {f"allocation.{name}": {} for name in ALLOCATION_MEMORY}
        base = self.config.time.base_year if self.config.time.base_year is not None else self.config.time.start
        groups = len(self._map_maker.crosswalk.groups)
        shares = np.full((groups, *self.plan.forcing.shape), np.nan)
        if self._follows_scenario and cover:
            shares = self._forcing.shares(self._map_maker.crosswalk, base)
        for block in self._own_blocks():
            rows, cols = block.forcing.slices()
            for name, values in self._map_maker.begin(block, cover[block.id], shares[:, rows, cols]).items():
                memory[f"allocation.{name}"][block.id] = values
        for entry in self.predictors:
            memory.update(begin_memory(entry, cover))
        return LandState(self.config.time.start, cover, {}, memory)

    def _own_blocks(self) -> list[Any]:
        return [block for block in self.plan.blocks if self._owner[block.id] == self.comm.rank]

    def _land_blocks(self) -> list[int]:
        own = [i for i, codes in self.state.cover.items() if (self.legend.to_view(codes) >= 0).any()]
        return sorted(i for part in self.comm.allgather(own) for i in part)

    def _identity(self) -> dict[str, Any]:
        """What a restart must agree on with the run that continues it."""
        return {
            "grid": self.grid.hash,
            "legend": self.legend.name,
            "block_plan": self.plan.hash,
            "predictors": [entry.identity for entry in self.predictors],
            "configuration": self.config.digest,
            "seed": self.config.random.seed,
            "member": self.config.random.member,
            "regrid_backend": self.config.regrid.backend,
            "threads": self.config.parallel.threads,
            "instruction_set": instruction_set(),
        }

    def _restarted_state(self, folder: Path, year: int | None) -> LandState:
        restart = Restart.open(folder, year, direction=self.clock.direction)
        for warning in check_compatible(restart.attrs, self._identity()):
            self.quality[warning] += 1
        return read_state(restart, [block.id for block in self._own_blocks()])

    @property
    def input_quality(self) -> Counter[str]:
        """What was mended while reading, on this rank, by adapter and fault."""
        return sum((c.quality for c in self._catalogues), Counter(self.quality))


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
