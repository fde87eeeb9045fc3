"""What goes between the land and one host grid: exports regridded to it, imports regridded from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Regridder
from ai4land_coupler.climate_zones import bioclimate_at
from ai4land_coupler.errors import FieldError
from ai4land_coupler.host_grids import latlon_mesh, partition
from ai4land_coupler.host_profiles import HostProfile
from ai4land_coupler.legend import Legend
from ai4land_coupler.mesh import Mesh
from ai4land_coupler.parallel import BlockPlan, Communicator
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.state import Blocks, LandState


class LandCells:
    """The fine cells of this rank's blocks that are not ocean: the source of all exports.

    Which cells these are never changes in a run, so neither do the regrid weights.
    """

    def __init__(self, plan: BlockPlan, legend: Legend, cover: Blocks) -> None:
        self.legend = legend
        every = {b: np.flatnonzero(legend.to_view(codes).reshape(-1) >= 0) for b, codes in sorted(cover.items())}
        # blocks that are all ocean are never predicted, so fields may lack them
        self._index = {block: index for block, index in every.items() if index.size}
        ids = [plan.cell_ids(plan.blocks[block].core).reshape(-1)[index] for block, index in self._index.items()]
        self.ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
        self.mesh = latlon_mesh(plan.fine, "land", self.ids)
        self._plan = plan
        self._zones: dict[int, NDArray[np.uint8]] = {}

    def classes(self, cover: Blocks) -> NDArray[np.int8]:
        """Class of the view of each land cell, int8 (n,)."""
        parts = [self.legend.to_view(cover[b].reshape(-1)[index]) for b, index in self._index.items()]
        return np.concatenate(parts) if parts else np.empty(0, np.int8)

    def profile_codes(self, profile: HostProfile, cover: Blocks) -> NDArray[np.int16]:
        """Native class and bioclimate of each land cell, as columns of the profile's table, int16 (n,)."""
        parts = []
        for block, index in self._index.items():
            if profile.bioclimates and block not in self._zones:
                grid = self._plan.fine.sub(self._plan.blocks[block].core)
                self._zones[block] = bioclimate_at(grid.lon, grid.lat).reshape(-1)[index]
            zones = self._zones.get(block, np.zeros(0, np.uint8))
            parts.append(profile.codes(self.legend, cover[block].reshape(-1)[index], zones))
        return np.concatenate(parts) if parts else np.empty(0, np.int16)

    def values(self, blocks: Blocks, samples: int) -> NDArray[np.float64]:
        """A continuous field on the land cells, float64 (samples, n)."""
        parts = [blocks[b].reshape(samples, -1)[:, index] for b, index in self._index.items()]
        return np.concatenate(parts, axis=1, dtype=np.float64) if parts else np.empty((samples, 0))


class HostGrid:
    """The owned cells of one host grid, and the regrid weights from the land to them.

    Collective to make, and in every method but :meth:`exports`.
    """

    def __init__(self, mesh: Mesh, land: LandCells, regridder: Regridder, comm: Communicator) -> None:
        self.mesh, self._land, self._regridder, self._comm = mesh, land, regridder, comm
        self.weights = regridder.build(land.mesh, mesh, "conservative", "destination", comm.mpi)
        self._plan = RegridPlan(self.weights, land.ids, comm.mpi)
        self._to_forcing: tuple[Any, Any] | None = None

    @property
    def area(self) -> NDArray[np.float64]:
        """Area of the owned cells as the weights used it (m2)."""
        return np.asarray(self.weights.destination_area, np.float64)

    def land_cover_fraction(self, state: LandState) -> NDArray[np.float64]:
        """Share of each class in each owned cell, float64 (class, cells)."""
        return self._plan.aggregate(self._land.classes(state.cover), len(self._land.legend.view))

    def surface_type_fraction(self, state: LandState, profile: HostProfile) -> NDArray[np.float64]:
        """Share of each surface type of a host profile in each owned cell, float64 (type, cells)."""
        table = profile.table(self._land.legend)
        return np.asarray(table @ self._plan.aggregate(self._land.profile_codes(profile, state.cover), table.shape[1]))

    def transitions(self, before: LandState, after: LandState) -> NDArray[np.float64]:
        """Share of each owned cell that went from one class to another, float64 (from, to, cells).

        What stayed is on the diagonal: sums over ``to`` are the fractions before, sums over ``from`` those after.
        """
        count = len(self._land.legend.view)
        pairs = self._land.classes(before.cover).astype(np.int64) * count + self._land.classes(after.cover)
        return self._plan.aggregate(pairs, count * count).reshape(count, count, -1)

    def continuous(self, state: LandState, name: str, samples: int) -> NDArray[np.float64]:
        """Mean of a field over the land in each owned cell, (samples, cells); NaN where there is no land."""
        sums = self._plan.apply(self._land.values(state.fields.get(name, {}), samples))
        covered = np.asarray(self.weights.destination_fraction)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(covered > 0, sums / covered, np.nan))

    def import_to_forcing(self, values: NDArray[np.float64], plan: BlockPlan, name: str) -> NDArray[np.float32]:
        """Regrid a host field (12, cells) to the whole forcing grid, float32 (12, rows, cols).

        Forcing cells that the host's cells do not cover are NaN; covered in part, they get the mean of that part.
        """
        if values.shape[-1] != self.mesh.size:
            raise FieldError(
                f"import {name!r} has the wrong size",
                expected=f"{self.mesh.size} cells on this rank",
                found=values.shape[-1],
            )
        if self._to_forcing is None:
            forcing = partition(latlon_mesh(plan.forcing, "forcing"), self._comm.rank, self._comm.size)
            weights = self._regridder.build(self.mesh, forcing, "conservative", "destination", self._comm.mpi)
            self._to_forcing = (weights, RegridPlan(weights, self.mesh.cell_ids, self._comm.mpi))
        weights, regrid = self._to_forcing
        sums = regrid.apply(values)
        covered = np.asarray(weights.destination_fraction)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(covered > 0, sums / covered, np.nan)
        whole = np.concatenate(self._comm.allgather(means.astype(np.float32)), axis=1)
        return whole.reshape(values.shape[0], *plan.forcing.shape)
