"""The host grids of a run: their cells, the host's own surface, regridding weights, and fields."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Regridder
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.state import LandState
from ai4land_coupler.errors import ConfigError, FieldError, GridError, StateError, nearest
from ai4land_coupler.grids import check_coverage, partition, read_mesh
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.exchange import HostGrid, LandCells
from ai4land_coupler.host.field_table import FieldTable
from ai4land_coupler.host.fields import HostFields
from ai4land_coupler.host.pass_through import PassThrough
from ai4land_coupler.host.profiles import TYPES, HostProfile
from ai4land_coupler.host.restart import HostRestart
from ai4land_coupler.host.surface import HostSurface
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

    # ---- set by the host --------------------------------------------------------------------------------------

    def set_mesh(self, grid: str, mesh: Mesh) -> None:
        """Set the owned cells of a grid; :meth:`realize` checks them. Local."""
        self.meshes[grid] = mesh
        self._unchecked.add(grid)

    def set_named_mesh(self, grid: str, config: Config, name: str) -> None:
        """Set this rank's part of a grid of the configuration's ``hosts``; the whole grid is checked. Collective."""
        with self._comm.guard():
            if name not in config.hosts:
                raise ConfigError("no host grid has this name", found=name, remedy=nearest(name, config.hosts))
            host = config.hosts[name]
            mesh = read_mesh(config.resolve(host.grid), host.edges, host.variable, host.mask, host.expect)
        self.meshes[grid] = partition(mesh, self._comm.rank, self._comm.size)
        self._unchecked.discard(grid)

    def set_land(self, grid: str, values: NDArray[Any]) -> None:
        """Set the host's land fraction. Local."""
        self.surface(grid).land = np.array(values, np.float64)

    def set_surface(self, grid: str, name: str, values: NDArray[Any], profile: HostProfile | None) -> None:
        """Set the host's shares of classes, or of types if the configuration has a profile. Local."""
        if name == TYPES and profile is not None:
            self.surface(grid).types = np.array(values, np.float64)
        elif name == "land_cover_fraction":
            self.surface(grid).base = np.array(values, np.float64)
        else:
            known = "land_cover_fraction" + ("" if profile is None else f" or {TYPES}")
            raise FieldError("no such field is put on the host's own", expected=known, found=name)

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
            if name in self._unchecked:
                validate(mesh, self._comm.mpi)
                check_coverage(mesh, self._comm.mpi)
            with timers("regrid weights"):
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
        self._makers[name] = HostFields(host, surface, field_table, pass_through, self._comm)
        self.grids[name] = host

    def fields(self, state: LandState, before: LandState | None) -> Fields:
        """All exports of a state on all grids. Collective.

        ``before`` is the state one step earlier; ``None`` for the first state.
        """
        made = sorted({name for names in self._comm.allgather(list(state.fields)) for name in names})
        found: Fields = {}
        for grid, maker in sorted(self._makers.items()):
            found |= {(grid, name): values for name, values in maker.at(state, before, made).items()}
        return found

    def release(self) -> None:
        """Drop all weights. Local."""
        self.grids.clear()
        self._makers.clear()


def _regridder(setup: LandSetup) -> Regridder:
    """The regridding backend of the configuration, with its weight cache."""
    config, backend = setup.config, setup.regrid_backend
    choice = config.regrid
    regridder = setup.plugins.create("regridder", backend, choice.options, "regrid", base=config.base)
    cache = None if choice.cache is None else config.resolve(choice.cache)
    version = setup.plugins.find("regridder", backend).version
    return with_cache(regridder, cache, backend, version, choice.options)
