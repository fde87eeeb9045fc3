"""Overlaps of the land grid with a host grid, block by block, without a list of all cells of the land grid.

Fine cells that are completely in one destination cell are stored as runs along rows; their overlap is their area. For
fine cells that destination edges cut (:mod:`ai4land_coupler.regrid.land.refine`), a regridding backend makes the
overlaps, in bands of limited size. Blocks are distributed to the ranks, independent of their owners, and destination
cells are sent to the ranks whose blocks they may overlap. The results are sent to the owners of the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Regridder
from ai4land_coupler.core.grid import Box
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.grids.candidates import find_candidates
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.parallel.collective import agree
from ai4land_coupler.regrid.land.dealt import DealtLand
from ai4land_coupler.regrid.land.outline import GridBoxes, Ints, Outline
from ai4land_coupler.regrid.land.refine import CUT, refine
from ai4land_coupler.regrid.methods.conserve import STRIP

#: Number of cut cells that a backend gets at a time.
BAND = 200_000
#: Number of rows and columns of fine cells that are refined at a time.
_PIECE = 512


class Runs(NamedTuple):
    """Neighbouring fine cells of a row that are in the same destination cell: block, index of the first fine cell in
    the block (row-major), and global id of the destination cell, -1 if there is none; each (n,), ascending."""

    block: Ints
    start: NDArray[np.int32]
    cell: Ints


class Cuts(NamedTuple):
    """Overlaps (m2) of single fine cells: block, index in the block, global id of the destination cell; each (n,)."""

    block: Ints
    place: NDArray[np.int32]
    cell: Ints
    area: NDArray[np.float64]


@dataclass(frozen=True)
class LandWeights:
    """All overlaps of the land in this rank's blocks with a host grid, and their provenance."""

    runs: Runs
    cuts: Cuts
    provenance: Mapping[str, str]


def land_weights(
    plan: BlockPlan, land: Mapping[int, NDArray[np.bool_]], mesh: Mesh, regridder: Regridder, comm: Any
) -> LandWeights:
    """Find the overlaps. Collective.

    Parameters
    ----------
    land:
        Land mask of each of this rank's blocks, bool of the shape of the block. Blocks without land may be missing.
    mesh:
        The destination cells that this rank owns.
    regridder:
        Makes the overlaps of the cut cells. Each rank calls a backend with ``single_rank`` by itself, with
        ``comm=None``. All ranks call other backends together.
    comm:
        mpi4py communicator; ``None`` for a single process.

    Raises
    ------
    GridError
        On every rank: the mesh is malformed.
    """
    validate(mesh, comm)
    if comm is None or not regridder.single_rank:
        return _overlaps(plan, land, mesh, regridder, comm, comm)
    dealt = DealtLand(plan, land, comm)
    found = _overlaps(plan, dealt.land, mesh, regridder, comm, None)
    runs, cuts = (
        Runs(*dealt.send_to_owners(found.runs.block, found.runs)),
        Cuts(*dealt.send_to_owners(found.cuts.block, found.cuts)),
    )
    return LandWeights(runs, cuts, found.provenance)


def _overlaps(
    plan: BlockPlan, land: Mapping[int, NDArray[np.bool_]], mesh: Mesh, regridder: Regridder, comm: Any, together: Any
) -> LandWeights:
    """Overlaps of the land on each rank; ``together`` is the communicator that the backend is called with."""
    nearby = find_candidates(mesh, _blocks_mesh(plan, land), comm).mesh
    error: Exception | None = None
    runs, places, blocks = _no_runs(), np.empty(0, np.int32), np.empty(0, np.int64)
    outline: Outline | None = None
    try:
        if nearby.size and land:
            outline = Outline(nearby)
            runs, blocks, places = _refine_blocks(outline, plan, land, nearby.cell_ids)
    except Exception as caught:
        error = caught
    agree(error, comm)
    cuts, provenance = _cut_overlaps(outline, plan, nearby, blocks, places, regridder, comm, together)
    return LandWeights(runs, cuts, provenance)


def _blocks_mesh(plan: BlockPlan, land: Mapping[int, Any]) -> Mesh:
    """The outlines of blocks as cells; blocks are cut so that no cell is wider than 30 degrees."""
    sides: list[NDArray[np.float64]] = [np.empty((4, 0))]
    lat = plan.fine.lat_edges
    for block in sorted(land):
        core = plan.blocks[block].core
        parts = int(np.ceil(core.shape[1] * plan.fine.dlon / 30.0))
        cuts = plan.fine.lon0 + plan.fine.dlon * np.linspace(core.col0, core.col1, parts + 1)
        south, north = sorted((lat[core.row0], lat[core.row1]))
        sides.append(np.stack([cuts[:-1], cuts[1:], np.full(parts, south), np.full(parts, north)]))
    west, east, south, north = np.concatenate(sides, axis=1)
    n = len(west)
    ids = np.arange(n, dtype=np.int64)
    lon, lat = np.stack([west, east, east, west], axis=1), np.stack([south, south, north, north], axis=1)
    return Mesh("blocks", ids, lon, lat, "latlon", np.ones(n, bool), n)


def _refine_blocks(
    outline: Outline, plan: BlockPlan, land: Mapping[int, NDArray[np.bool_]], cell_ids: Ints
) -> tuple[Runs, Ints, NDArray[np.int32]]:
    """Runs of all blocks, and the block and index of each cut cell."""
    runs, cut_blocks, cut_places = [_no_runs()], [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for block, taken in sorted(land.items()):
        found = np.empty(taken.shape, np.int32)
        core = plan.blocks[block].core
        for piece in _pieces(core):
            where = piece.slices(core)
            found[where] = refine(outline, plan.fine, piece, taken[where])
        places = np.flatnonzero(found == CUT).astype(np.int32)
        cut_places.append(places)
        cut_blocks.append(np.full(len(places), block))
        runs.append(_runs_of(block, found, cell_ids))
    joined = (np.concatenate(column) for column in zip(*runs, strict=True))
    return Runs(*joined), np.concatenate(cut_blocks), np.concatenate(cut_places)


def _pieces(box: Box) -> Iterator[Box]:
    for row in range(box.row0, box.row1, _PIECE):
        for col in range(box.col0, box.col1, _PIECE):
            yield Box(row, min(row + _PIECE, box.row1), col, min(col + _PIECE, box.col1))


def _no_runs() -> Runs:
    return Runs(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))


def _runs_of(block: int, found: NDArray[np.int32], cell_ids: Ints) -> Runs:
    """Runs of fine cells with the same destination cell in each row."""
    starts = np.ones(found.shape, bool)
    found = np.maximum(found, -1)
    np.not_equal(found[:, 1:], found[:, :-1], out=starts[:, 1:])
    start = np.flatnonzero(starts)
    cell = found.ravel()[start]
    ids = np.where(cell >= 0, cell_ids[cell], -1)
    return Runs(np.full(len(start), block), start.astype(np.int32), ids)


def _cut_overlaps(
    outline: Outline | None,
    plan: BlockPlan,
    nearby: Mesh,
    blocks: Ints,
    places: NDArray[np.int32],
    regridder: Regridder,
    comm: Any,
    together: Any,
) -> tuple[Cuts, Mapping[str, str]]:
    """Overlaps of the cut cells by the backend, and its provenance."""
    counts = [len(blocks)] if together is None else together.allgather(len(blocks))
    before, total = 0, nearby.size
    if together is not None:
        sizes = together.allgather(nearby.size)
        before, total = sum(sizes[: together.rank]), sum(sizes)

    parts: list[Cuts] = [Cuts(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))]
    provenance: Mapping[str, str] = {}
    error: Exception | None = None
    try:
        for band in range(max(1, -(-max(counts) // BAND))):
            mine = slice(band * BAND, (band + 1) * BAND)
            near = _near_blocks(outline, plan, np.unique(blocks[mine]))
            cells = _fine_ids(plan, blocks[mine], places[mine])
            # a destination cell may be near the land of several ranks; here each copy gets its own id
            destination = replace(nearby.take(near), cell_ids=before + near, global_size=total)
            weights = regridder.build(
                latlon_mesh(plan.fine, "land", cells), destination, "conservative", "destination", together
            )
            provenance = weights.provenance
            row = np.repeat(np.arange(len(near)), np.diff(weights.indptr))
            sorter = np.argsort(cells)
            found = np.searchsorted(cells, weights.source_ids, sorter=sorter)
            # a backend that all ranks call may also have found overlaps with the land of other ranks
            own = np.flatnonzero(found < len(cells))
            own = own[cells[sorter[found[own]]] == weights.source_ids[own]]
            source, row = sorter[found[own]], row[own]
            share = weights.values[own] * weights.destination_area[row] / weights.source_area[source]
            area = _exact(plan, cells, source, share)
            order = np.lexsort((near[row], source))
            source, row, area = source[order], row[order], area[order]
            parts.append(Cuts(blocks[mine][source], places[mine][source], nearby.cell_ids[near[row]], area))
    except Exception as caught:
        if together is not None:  # the backend has raised on all ranks
            raise
        error = caught
    if together is None:
        agree(error, comm)
    return Cuts(*(np.concatenate(column) for column in zip(*parts, strict=True))), provenance


def _near_blocks(outline: Outline | None, plan: BlockPlan, blocks: Ints) -> Ints:
    """Cells of the outline that may overlap these blocks, ascending."""
    if outline is None or len(blocks) == 0:
        return np.empty(0, np.int64)
    pieces = [piece for block in blocks for piece in _pieces(plan.blocks[int(block)].core)]
    row0, row1, col0, col1 = np.array(pieces, np.int64).T
    boxes = GridBoxes.of(plan.fine, row0, row1, col0, col1)
    return np.unique(outline.cells_near(boxes.point.T, boxes.radius)[1])


def _fine_ids(plan: BlockPlan, blocks: Ints, places: NDArray[np.int32]) -> Ints:
    """Global ids of fine cells, from their blocks and indices."""
    which, inverse = np.unique(blocks, return_inverse=True)
    cores = np.array([plan.blocks[int(block)].core for block in which], np.int64).reshape(-1, 4)[inverse.ravel()]
    row, col = np.divmod(places.astype(np.int64), cores[:, 3] - cores[:, 2])
    return np.asarray((cores[:, 0] + row) * plan.fine.nlon + cores[:, 2] + col)


def _exact(plan: BlockPlan, cells: Ints, source: Ints, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas (m2) of overlaps from their shares of source cells; ``source`` is the index in ``cells``.

    If the overlaps of a cell cover it except for a strip along its edges (``conserve.STRIP``), they are scaled to add
    up to its area, because backends round and may replace parallels by great circles.
    """
    area = plan.fine.row_area[cells // plan.fine.nlon]
    total = np.bincount(source, weights=share, minlength=len(cells))
    covered = np.abs(total - 1) * area <= STRIP * 4 * np.sqrt(area)
    total[~covered] = 1.0
    return np.asarray(share / total[source] * area[source])
