"""Conservative weights of a huge regular raster on any host grid, from the overlaps of :mod:`regrid.land.weights`.

Cells of the raster that are completely in one host cell are kept as runs along rows, so memory grows with the number of
host edges and not with the number of cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import EARTH_RADIUS, Norm, Regridder
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.grids.rectilinear import RectilinearGrid
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.regrid.land.weights import LandWeights, land_weights
from ai4land_coupler.regrid.methods.closed_form import expand

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Cells along each side of a block.
_BLOCK = 512
#: About this number of links is made at a time.
_PIECE = 100_000


@dataclass(frozen=True)
class RasterWeights:
    """First-order conservative weights of a raster on a mesh, by destination and then by source.

    ``cell``, ``first``, ``length`` and ``area`` of each run (n,): index of the destination, id of the first raster
    cell, number of raster cells, and the overlap (m2) if the run is one cell that a host edge cuts, else NaN.
    ``dims`` are the lengths of the destination, fastest first.
    """

    source: RectilinearGrid
    destination: Mesh
    dims: tuple[int, ...]
    norm: Norm
    row_area: Floats
    cell: Ints
    first: Ints
    length: Ints
    area: Floats
    destination_area: Floats
    destination_fraction: Floats
    provenance: Mapping[str, str]

    @classmethod
    def between(
        cls,
        source: RectilinearGrid,
        grid: LatLonGrid,
        destination: Mesh,
        dims: tuple[int, ...],
        norm: Norm,
        regridder: Regridder,
    ) -> RasterWeights:
        """Make them on this rank alone.

        Parameters
        ----------
        grid:
            The same cells as those of ``source``.
        destination, dims:
            All cells of the host grid, and the lengths of its dimensions.
        """
        plan = BlockPlan(grid, grid, _BLOCK)
        whole = np.True_ if source.mask is None else source.mask
        land = {block.id: np.broadcast_to(whole, grid.shape)[block.core.slices()] for block in plan.blocks}
        found = land_weights(plan, land, destination, regridder, None)
        cell, first, length, area = _runs(plan, found)
        order = np.lexsort((first, cell))
        cell, first, length, area = cell[order], first[order], length[order], area[order]
        overlap = np.where(np.isnan(area), grid.row_area[first // grid.nlon] * length, area)
        covered = np.bincount(cell, weights=overlap, minlength=destination.size)
        size = np.maximum(np.nan_to_num(cell_area(destination)), 0.0)
        # the library finds the overlaps to about 1e-9: a covered cell gets the sum of its overlaps, so constants stay
        size = np.where(np.abs(covered - size) <= 1e-8 * size, covered, size)
        fraction = np.divide(covered, size, out=np.zeros_like(size), where=size > 0)
        return cls(
            source, destination, dims, norm, grid.row_area, cell, first, length, area, size, fraction, found.provenance
        )

    def count(self) -> int:
        return int(self.length.sum())

    def links(self) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Row and column (0-based ids) and value of the links, by row and then by column, in pieces."""
        ends = np.cumsum(self.length)
        size = self.destination_area * (self.destination_fraction if self.norm == "fraction" else 1.0)
        begin = 0
        while begin < ends.size:
            before = int(ends[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, before + _PIECE)))
            part = slice(begin, end)
            owner, col = expand(self.first[part], self.length[part])
            area = np.where(
                np.isnan(self.area[part]), self.row_area[self.first[part] // self.source.lon.size], self.area[part]
            )
            cell = self.cell[part]
            yield self.destination.cell_ids[cell][owner], col, (area / size[cell])[owner]
            begin = end

    def fractions(self, side: str) -> Iterator[Floats]:
        """Covered share of the cells of each row of the source, (columns,); of all cells of the destination."""
        if side == "destination":
            yield self.destination_fraction
            return
        columns = self.source.lon.size
        order = np.argsort(self.first, kind="stable")
        start = np.searchsorted(self.first[order], np.arange(self.row_area.size + 1) * columns)
        for row, area in enumerate(self.row_area):
            runs = order[start[row] : start[row + 1]]
            share = np.where(np.isnan(self.area[runs]), 1.0, self.area[runs] / area)
            steps, west = np.zeros(columns + 1), self.first[runs] - row * columns
            whole = np.isnan(self.area[runs])
            np.add.at(steps, west[whole], 1.0)
            np.add.at(steps, (west + self.length[runs])[whole], -1.0)
            found = np.cumsum(steps[:-1])
            np.add.at(found, west[~whole], share[~whole])
            yield found

    def areas(self, side: str) -> Iterator[Floats]:
        """Areas (steradians) of the cells of each row of the source, (columns,); of all cells of the destination."""
        if side == "destination":
            yield self.destination_area / EARTH_RADIUS**2
            return
        for area in self.row_area:
            yield np.full(self.source.lon.size, area / EARTH_RADIUS**2)


def _runs(plan: BlockPlan, found: LandWeights) -> tuple[Ints, Ints, Ints, Floats]:
    """Destination, first raster cell, number of raster cells, and overlap of each run and of each cut cell."""
    cores = np.array([block.core for block in plan.blocks], np.int64)
    width = cores[:, 3] - cores[:, 2]

    def id_of(block: Ints, place: NDArray[np.int32]) -> Ints:
        row, col = np.divmod(place.astype(np.int64), width[block])
        return np.asarray((cores[block, 0] + row) * plan.fine.nlon + cores[block, 2] + col)

    runs, cuts = found.runs, found.cuts
    start = runs.start.astype(np.int64)
    # a run ends where the next one of its block begins, or with the block
    size = (cores[:, 1] - cores[:, 0]) * width
    end = np.append(start[1:], 0)
    last = np.append(runs.block[1:] != runs.block[:-1], True)[: start.size]
    end = np.where(last, size[runs.block], end[: start.size])
    some = runs.cell >= 0
    first = id_of(runs.block[some], runs.start[some])
    return (
        np.concatenate([runs.cell[some], cuts.cell]),
        np.concatenate([first, id_of(cuts.block, cuts.place)]),
        np.concatenate([(end - start)[some], np.ones(cuts.cell.size, np.int64)]),
        np.concatenate([np.full(first.size, np.nan), cuts.area]),
    )
