"""The host grids of a run: their cells, the host's own surface, regridding weights, and fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Regridder
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import Ai4LandError, ConfigError, FieldError, GridError, StateError, nearest
from ai4land_coupler.grids import check_coverage, partition, read_mesh
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.mesh import Mesh, mend_rounding
from ai4land_coupler.host.exchange import HostGrid, LandCells
from ai4land_coupler.host.field_table import FieldTable
from ai4land_coupler.host.fields import HostFields
from ai4land_coupler.host.pass_through import PassThrough
from ai4land_coupler.host.profiles import TYPES, HostProfile
from ai4land_coupler.host.restart import HostRestart
from ai4land_coupler.host.surface import HostSurface
from ai4land_coupler.host.values import host_values
from ai4land_coupler.land.forcing import LandForcing
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.regrid.cached import with_cache

#: Default name of a host grid.
HOST = "host"

#: Fields on the owned cells, by grid and name.
Fields = dict[tuple[str, str], NDArray[np.float64]]


class HostGrids:
    """The host grids of a run. The host sets them first; then come the weights from the land, then fields.

    Attributes
    ----------
    meshes:
        The cells that this rank owns, by grid.
    surfaces:
        The host's own surface, by grid; only for grids that were requested.
    grids:
        The grids that have weights, by name.
    """

    def __init__(self, comm: Communicator) -> None:
        self._comm = comm
        self.meshes: dict[str, Mesh] = {}
        self.surfaces: dict[str, HostSurface] = {}
        self.grids: dict[str, HostGrid] = {}
        self._unchecked: set[str] = set()
        self._makers: dict[str, HostFields] = {}
        self._fault: FieldError | None = None

    # ---- set by the host --------------------------------------------------------------------------------------

    def set_mesh(self, grid: str, mesh: Mesh) -> None:
        """Set the owned cells of a grid; :meth:`realize` checks them. Local."""
        self.meshes[grid] = _without_masked_arrays(mesh)
        self._unchecked.add(grid)

    def set_named_mesh(self, grid: str, config: Config, name: str) -> None:
        """Set this rank's part of a grid of the configuration's ``hosts``; the whole grid is checked. Collective."""
        with self._comm.guard():
            mesh = configured_mesh(config, name)
        self.meshes[grid] = partition(mesh, self._comm.rank, self._comm.size)
        self._unchecked.discard(grid)

    def set_land(self, grid: str, values: NDArray[Any]) -> None:
        """Set the host's land fraction. Local."""
        self.surface(grid).land = self._values(f"the host's land fraction on grid {grid!r}", values)

    def set_surface(self, grid: str, name: str, values: NDArray[Any], profile: HostProfile | None) -> None:
        """Set the host's shares of classes, or of types if the configuration has a profile. Local."""
        known = ("land_cover_fraction",) if profile is None else ("land_cover_fraction", TYPES)
        if name not in known:
            raise FieldError(
                "a host cannot set this field",
                expected=" or ".join(known),
                found=name,
                remedy=nearest(name, known)
                if name != TYPES
                else f"{TYPES} needs the host's profile: set exports.profile in the configuration",
            )
        given = self._values(f"the host's {name} on grid {grid!r}", values)
        if name == TYPES:
            self.surface(grid).types = given
        else:
            self.surface(grid).base = given

    def _values(self, what: str, values: NDArray[Any]) -> NDArray[np.float64]:
        """A copy of values of the host. On one of several ranks, :meth:`check_ranks` raises a fault on every rank."""
        try:
            return np.array(host_values(what, values))
        except FieldError as fault:
            if self._comm.size == 1:
                raise
            self._fault = self._fault or fault
            return np.empty(0)

    def surface(self, grid: str) -> HostSurface:
        """The host's own surface on a grid; a new empty one if the host gave none."""
        return self.surfaces.setdefault(grid, HostSurface())

    def mesh(self, grid: str) -> Mesh:
        """The owned cells of a grid that was set."""
        if grid not in self.meshes:
            raise StateError("no grid was set under this name", found=grid, remedy="set_grid or set_named_grid first")
        return self.meshes[grid]

    def grid(self, grid: str) -> HostGrid:
        """A grid that has weights."""
        if grid not in self.grids:
            raise StateError("no grid was set and realized under this name", found=grid, expected=sorted(self.grids))
        return self.grids[grid]

    # ---- weights and fields -------------------------------------------------------------------------------------

    def check_ranks(self, calendar: str) -> None:
        """Check that all ranks gave the same grids, surfaces and calendar. Collective."""
        given = {grid: surface.given_parts for grid, surface in sorted(self.surfaces.items())}
        facts = self._comm.allgather((sorted(self.meshes), calendar, given))
        with self._comm.guard():
            fault, self._fault = self._fault, None
            if fault is not None:
                raise fault
            if any(other != facts[0] for other in facts):
                raise GridError("ranks gave different host grids, calendars or surfaces", found=facts)
            for grid in self.surfaces:
                if grid not in self.meshes:
                    raise GridError("a surface was given for a grid that was not set", found=grid)

    def realize(
        self,
        setup: LandSetup,
        field_table: FieldTable,
        forcing: LandForcing,
        state: LandState,
        restart: HostRestart,
        timers: Timers,
    ) -> None:
        """Check the cells and surfaces of the host, and make the weights of each grid. Collective.

        Parameters
        ----------
        forcing:
            The forcing; hosts get some of its variables.
        state:
            The first state of the run; its land cells never change.
        restart:
            The host's part of the restart.
        """
        if not self.meshes:  # no regridding backend is needed
            return
        with self._comm.guard():
            regridder = _regridder(setup)
        land = LandCells(setup.plan, setup.legend, state.cover)
        for name, mesh in sorted(self.meshes.items()):
            with timers("regrid weights"), at_place(f"host grid {name!r}"):
                if name in self._unchecked:
                    mesh = self.meshes[name] = mend_rounding(mesh)
                    validate(mesh, self._comm.mpi)
                    check_coverage(mesh, self._comm.mpi)
                self._realize_grid(name, mesh, land, regridder, setup, field_table, forcing, restart)

    def _realize_grid(
        self,
        name: str,
        mesh: Mesh,
        land: LandCells,
        regridder: Regridder,
        setup: LandSetup,
        field_table: FieldTable,
        forcing: LandForcing,
        restart: HostRestart,
    ) -> None:
        host = HostGrid(mesh, land, regridder, self._comm)
        surface = self.surface(name)
        with self._comm.guard():
            surface.check(mesh, setup.legend.classes, field_table.profile)
        restart.read(name, mesh, surface, self._comm)
        pass_through = None
        if field_table.pass_through:
            holders = sorted({int(rank) for rank in setup.workers})
            pass_through = PassThrough(field_table.pass_through, forcing.reader, holders, mesh, regridder, self._comm)
        limit = setup.config.exports.max_fill_distance
        self._makers[name] = HostFields(host, surface, field_table, pass_through, self._comm, limit)
        self.grids[name] = host

    def fields(self, state: LandState, before: LandState | None) -> Fields:
        """All exports of a state on all grids. Collective.

        ``before`` is the state one step earlier; ``None`` for the first state.
        """
        made = sorted({name for names in self._comm.allgather(list(state.fields)) for name in names})
        found: Fields = {}
        for grid, maker in sorted(self._makers.items()):
            with at_place(f"host grid {grid!r}"):
                found |= {(grid, name): values for name, values in maker.at(state, before, made).items()}
        return found

    def notes(self) -> dict[str, int]:
        """What a user should know about the land of each grid, with numbers of cells. Local; known after the fields."""
        notes = {}
        for grid, maker in sorted(self._makers.items()):
            counts = maker.surface.counts
            if not maker.land_cells:
                notes[f"host grid {grid!r}: no cell has land of the map; check that both are of the same region"] = 1
            if number := int(counts.get("filled_cells", 0)):
                far = f"up to {counts['farthest_fill']:.0f} km away"
                notes[f"host grid {grid!r}: {number} land cells were filled with the nearest mapped land, {far}"] = (
                    number
                )
        return notes

    def release(self) -> None:
        """Drop all weights. Local."""
        self.grids.clear()
        self._makers.clear()


def configured_mesh(config: Config, name: str) -> Mesh:
    """Read a grid of the configuration's ``hosts``.

    Raises
    ------
    ConfigError, GridError, DataError
        No host has this name, or its grid has a fault. The error names the host.
    """
    if name not in config.hosts:
        raise ConfigError("no host grid has this name", found=name, where="hosts", remedy=nearest(name, config.hosts))
    host = config.hosts[name]
    with at_place(f"hosts.{name}.grid"):
        return read_mesh(config.resolve(host.grid), host.edges, host.variable, host.mask, host.expect)


def _without_masked_arrays(mesh: Mesh) -> Mesh:
    """The mesh with plain arrays: masked corners and centres become NaN, masked flags False, and masked ids -1."""
    fill: dict[str, Any] = {"cell_ids": -1, "mask": False}
    plain: dict[str, Any] = {
        name: np.ma.filled(values, fill.get(name, np.nan))
        for name, values in vars(mesh).items()
        if isinstance(values, np.ma.MaskedArray)
    }
    return replace(mesh, **plain)


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """Add the host to the place that an error names."""
    try:
        yield
    except Ai4LandError as error:
        if place not in str(error.where):
            error.where = place if error.where is None else f"{place}, {error.where}"
        raise


def _regridder(setup: LandSetup) -> Regridder:
    """The regridding backend of the configuration, with its weight cache."""
    config, backend = setup.config, setup.regrid_backend
    choice = config.regrid
    regridder = setup.plugins.create("regridder", backend, choice.options, "regrid", base=config.base)
    cache = None if choice.cache is None else config.resolve(choice.cache)
    version = setup.plugins.find("regridder", backend).version
    return with_cache(regridder, cache, backend, version, choice.options)
