"""Regridding between the land grid and one host grid: exports to the host, imports from the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Regridder
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.state import Blocks, LandState
from ai4land_coupler.errors import FieldError
from ai4land_coupler.grids import latlon_mesh, partition
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.profiles import HostProfile
from ai4land_coupler.inputs.climate_zones import bioclimate_at
from ai4land_coupler.parallel import BlockPlan, Communicator
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.land.cache import cached_land_weights
from ai4land_coupler.regrid.land.plan import LandPlan


class LandCells:
    """The land cells in the blocks of this rank: the source of all exports.

    The land cells do not change in a run, so the regridding weights do not change either. Blocks without land are left
    out: they are never predicted, so fields may not have them.
    """

    def __init__(self, plan: BlockPlan, legend: Legend, cover: Blocks) -> None:
        self.plan, self.legend = plan, legend
        masks = {block: legend.to_view(codes) >= 0 for block, codes in sorted(cover.items())}
        # One bit per cell: the globe has 200 million land cells.
        self._packed = {block: np.packbits(mask) for block, mask in masks.items() if mask.any()}
        self._zones: dict[int, NDArray[np.uint8]] = {}

    def masks(self) -> dict[int, NDArray[np.bool_]]:
        """Land mask of each block."""
        cores = {block: self.plan.blocks[block].core for block in self._packed}
        return {
            block: np.unpackbits(packed, count=cores[block].size).reshape(cores[block].shape).view(bool)
            for block, packed in self._packed.items()
        }

    def classes(self, cover: Blocks) -> dict[int, NDArray[np.int8]]:
        """Class of the legend's view of each cell, by block; negative outside of the land."""
        return {block: self.legend.to_view(cover[block]) for block in self._packed}

    def profile_codes(self, profile: HostProfile, cover: Blocks) -> dict[int, NDArray[np.int16]]:
        """Column of the profile's table (native class and bioclimate) of each cell, by block."""
        codes = {}
        for block in self._packed:
            if profile.bioclimates and block not in self._zones:
                grid = self.plan.fine.sub(self.plan.blocks[block].core)
                self._zones[block] = bioclimate_at(grid.lon, grid.lat)
            codes[block] = profile.codes(self.legend, cover[block], self._zones.get(block, np.zeros(0, np.uint8)))
        return codes

    def values(self, blocks: Blocks, samples: int) -> dict[int, NDArray[Any]]:
        """A continuous field (samples, rows, cols), by block."""
        return {
            block: blocks[block].reshape(samples, *self.plan.blocks[block].core.shape)
            for block in self._packed
            if block in blocks
        }


class HostWeights(Protocol):
    """Weights from the land grid to a host grid: sums of blocks over the host cells that this rank owns."""

    provenance: Mapping[str, str]
    destination_area: NDArray[np.float64]
    destination_fraction: NDArray[np.float64]

    def aggregate(self, codes: Mapping[int, NDArray[Any]], n_codes: int) -> NDArray[np.float64]: ...
    def apply(self, values: Mapping[int, NDArray[Any]], samples: int = 1) -> NDArray[np.float64]: ...


class CellWeights:
    """Weights that a backend read from a file, for each land cell by its global id. Collective."""

    def __init__(self, land: LandCells, mesh: Mesh, regridder: Regridder, comm: Any) -> None:
        self._index = {block: np.flatnonzero(mask) for block, mask in land.masks().items()}
        every = [land.plan.cell_ids(land.plan.blocks[block].core).ravel()[i] for block, i in self._index.items()]
        ids = np.concatenate([np.empty(0, np.int64), *every])
        source = latlon_mesh(land.plan.fine, "land", ids)
        weights = regridder.build(source, mesh, "conservative", "destination", comm)
        self._plan = RegridPlan(weights, ids, comm)
        self.provenance = weights.provenance
        self.destination_area = np.asarray(weights.destination_area, np.float64)
        self.destination_fraction = np.asarray(weights.destination_fraction, np.float64)

    def aggregate(self, codes: Mapping[int, NDArray[Any]], n_codes: int) -> NDArray[np.float64]:
        """See :meth:`LandPlan.aggregate`."""
        parts = [codes[block].ravel()[index] for block, index in self._index.items()]
        return self._plan.aggregate(np.concatenate(parts) if parts else np.empty(0, np.int8), n_codes)

    def apply(self, values: Mapping[int, NDArray[Any]], samples: int = 1) -> NDArray[np.float64]:
        """See :meth:`LandPlan.apply`."""
        parts = [values[block].reshape(samples, -1)[:, index] for block, index in self._index.items()]
        whole = np.concatenate([np.empty((samples, 0)), *parts], axis=1, dtype=np.float64)
        return np.asarray(self._plan.apply(whole), np.float64)


class HostGrid:
    """The owned cells of one host grid, and the regridding weights from the land to them.

    The constructor and all methods are collective.
    """

    def __init__(self, mesh: Mesh, land: LandCells, regridder: Regridder, comm: Communicator) -> None:
        self.mesh, self._land, self._regridder, self._comm = mesh, land, regridder, comm
        self.weights: HostWeights
        if regridder.reads_weights:
            self.weights = CellWeights(land, mesh, regridder, comm.mpi)
        else:
            overlaps = cached_land_weights(land.plan, land.masks(), mesh, regridder, comm.mpi)
            self.weights = LandPlan(land.plan, overlaps, mesh, comm.mpi)
        self._to_forcing: tuple[Any, Any] | None = None

    @property
    def area(self) -> NDArray[np.float64]:
        """Area of the owned cells (m2), as used in the weights."""
        return self.weights.destination_area

    def land_cover_fraction(self, state: LandState) -> NDArray[np.float64]:
        """Share of each class in each owned cell, float64 (class, cells)."""
        return self.weights.aggregate(self._land.classes(state.cover), len(self._land.legend.view))

    def surface_type_fraction(self, state: LandState, profile: HostProfile) -> NDArray[np.float64]:
        """Share of each surface type of a host profile in each owned cell, float64 (type, cells)."""
        table = profile.table(self._land.legend)
        codes = self._land.profile_codes(profile, state.cover)
        return np.asarray(table @ self.weights.aggregate(codes, table.shape[1]))

    def transitions(self, before: LandState, after: LandState) -> NDArray[np.float64]:
        """Share of each owned cell that changed from one class to another, float64 (from, to, cells).

        Unchanged shares are on the diagonal. Sums over ``to`` are the fractions before, sums over ``from`` those after.
        """
        count = len(self._land.legend.view)
        first, last = self._land.classes(before.cover), self._land.classes(after.cover)
        pairs = {block: first[block].astype(np.int16) * count + last[block] for block in first}
        return self.weights.aggregate(pairs, count * count).reshape(count, count, -1)

    def continuous(self, state: LandState, name: str, samples: int) -> NDArray[np.float64]:
        """Mean of a field over the land in each owned cell, (samples, cells); NaN in cells without land."""
        sums = self.weights.apply(self._land.values(state.fields.get(name, {}), samples), samples)
        covered = self.weights.destination_fraction
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(covered > 0, sums / covered, np.nan))

    def import_to_forcing(self, values: NDArray[np.float64], plan: BlockPlan, name: str) -> NDArray[np.float32]:
        """Regrid a host field (months, cells) to the whole forcing grid, float32 (months, rows, cols).

        Forcing cells outside of the host's cells are NaN. Partly covered cells get the mean of the covered part.
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
