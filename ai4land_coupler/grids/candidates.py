"""Finds the source cells that each rank needs: a coarse search on the sphere without a global array of cells.

The space around the sphere is divided into cubes. A small sphere encloses every cell. Two cells can overlap only
if their spheres touch a common cube. Each rank sends the other ranks the cubes of its destination cells (a few
kilobytes). Each source cell is then sent to the ranks that share a cube with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh, unit_vectors
from ai4land_coupler.parallel.collective import exchange, rank_and_size

#: Cubes along the diameter of the sphere: 32 makes cubes of 400 km.
_CUBES = 32
#: Number of cells that are processed together.
_PIECE = 32768


class Spheres(NamedTuple):
    """Local index of the selected cells (n,), and their enclosing spheres: centres (n, 3) and radii, unit sphere."""

    taken: NDArray[np.int64]
    centre: NDArray[np.float64]
    radius: NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Source cells that may overlap this rank's destination cells, sorted by global id."""

    mesh: Mesh
    #: Rank that owns each candidate.
    owner: NDArray[np.int64]
    #: Local index of the owned source cells that were sent to each rank.
    sent: list[NDArray[np.int64]]
    #: Index that sorts the received cells (in order of ranks) by global id.
    order: NDArray[np.intp]

    def fetch(self, values: NDArray[Any], comm: Any) -> NDArray[Any]:
        """Get the values of the candidates from the values (n,) of each rank's owned source cells. Collective."""
        return np.concatenate(exchange([values[index] for index in self.sent], comm))[self.order]

    def spheres(self, owned: Spheres, comm: Any) -> Spheres:
        """Get the spheres of the candidates from the spheres of the owned source cells. Collective."""
        place = np.zeros(owned.taken.max(initial=-1) + 1, np.int64)
        place[owned.taken] = np.arange(owned.taken.size)
        sent = replace(self, sent=[place[index] for index in self.sent])
        centre, radius = sent.fetch(owned.centre, comm), sent.fetch(owned.radius, comm)
        return Spheres(np.arange(radius.size), centre, radius)


def find_candidates(source: Mesh, destination: Mesh, comm: Any) -> Candidates:
    """Send source cells to the ranks whose destination cells they may overlap. Collective.

    Both meshes must be validated. Masked cells are not sent.
    """
    return candidates_by_spheres(source, enclosing_spheres(source), enclosing_spheres(destination), comm)


def find_candidates_near(source: Mesh, points: NDArray[np.float64], reach: float, comm: Any) -> Candidates:
    """Send source cells to the ranks that have a point no farther than ``reach`` from them. Collective.

    Parameters
    ----------
    points:
        Points of the unit sphere on this rank, (n, 3).
    reach:
        Distance from the sphere around a cell (:func:`enclosing_spheres`), in Earth radii. The same on all ranks.
    """
    taken, centre, radius = enclosing_spheres(source)
    here = Spheres(np.arange(len(points)), points, np.zeros(len(points)))
    return candidates_by_spheres(source, Spheres(taken, centre, radius + reach), here, comm)


def candidates_by_spheres(source: Mesh, spheres: Spheres, wanted_spheres: Spheres, comm: Any) -> Candidates:
    """Like :func:`find_candidates`, for given spheres around the cells of both meshes."""
    _, size = rank_and_size(comm)
    wanted = np.unique(_cubes(wanted_spheres)[1])
    occupied = [wanted] if comm is None else comm.allgather(wanted)
    lengths = [len(cubes) for cubes in occupied]
    by_rank = sp.csc_matrix(
        (np.ones(sum(lengths), np.int32), np.concatenate(occupied), np.cumsum([0, *lengths])), (_CUBES**3, size)
    )
    rows, cubes = _cubes(spheres)
    touched = sp.csr_matrix((np.ones(rows.size, np.int32), (rows, cubes)), (source.size, _CUBES**3))
    touching = (touched @ by_rank).tocsc()
    touching.sort_indices()
    sent = [touching.indices[touching.indptr[r] : touching.indptr[r + 1]].astype(np.int64) for r in range(size)]

    width = source.corner_lon.shape[1]
    if comm is not None:
        width = max(comm.allgather(width))
    missing = np.full((source.size, width - source.corner_lon.shape[1]), np.nan)
    arrived = exchange([source.cell_ids[index] for index in sent], comm)
    ids = np.concatenate(arrived)
    order = np.argsort(ids)
    lon, lat = (
        np.concatenate(exchange([corners[index] for index in sent], comm))[order]
        for corners in (np.hstack([part, missing]) for part in (source.corner_lon, source.corner_lat))
    )
    return Candidates(
        Mesh(
            source.name,
            ids[order],
            lon,
            lat,
            source.edges,
            np.ones(ids.size, bool),
            source.global_size,
        ),
        np.repeat(np.arange(size), [len(part) for part in arrived])[order],
        sent,
        order,
    )


def enclosing_spheres(mesh: Mesh) -> Spheres:
    """The enclosing sphere of each unmasked cell."""
    taken = np.flatnonzero(mesh.mask)
    centre, radius = np.empty((taken.size, 3)), np.empty(taken.size)
    for begin in range(0, taken.size, _PIECE):
        piece = slice(begin, begin + _PIECE)
        lon, lat = mesh.corner_lon[taken[piece]], mesh.corner_lat[taken[piece]]
        used = ~np.isnan(lat)
        points = np.where(used[:, :, None], unit_vectors(lon, lat), 0.0)
        middle = points.sum(axis=1)
        middle /= np.linalg.norm(middle, axis=1, keepdims=True)
        # If a cell lies in a hemisphere, its farthest point is a corner. Larger cells get the whole sphere.
        away = np.sqrt(np.where(used, ((points - middle[:, None]) ** 2).sum(axis=2), 0.0).max(axis=1))
        centre[piece], radius[piece] = middle, np.where(away < 1.4, away * (1 + 1e-6), 2.0)
    return Spheres(taken, centre, radius)


def blocks_of(
    source: Spheres, destination: Spheres, limit: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide the destination into compact blocks of cells, each with the source cells that may overlap it.

    Blocks are halved until source and destination together have at most ``limit`` cells, or one destination cell
    is left.

    Yields
    ------
    Indices into the arrays of ``destination`` and ``source``, each ascending. Blocks without sources are skipped.
    """
    pending = [(np.arange(destination.taken.size), np.arange(source.taken.size))]
    while pending:
        cells, near = pending.pop()
        if not (cells.size and near.size):
            continue
        centre, radius = destination.centre[cells], destination.radius[cells, None]
        low, high = (centre - radius).min(axis=0), (centre + radius).max(axis=0)
        for axis in range(3):
            place, reach = source.centre[near, axis], source.radius[near]
            near = near[(place + reach >= low[axis]) & (place - reach <= high[axis])]
        if cells.size + near.size <= limit or cells.size == 1:
            if near.size:
                yield cells, near
            continue
        along = np.argsort(centre[:, np.argmax(high - low)], kind="stable")
        half = cells.size // 2
        pending += [(np.sort(cells[along[half:]]), near), (np.sort(cells[along[:half]]), near)]


def _cubes(spheres: Spheres) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cubes that each sphere touches, as pairs (cell, cube)."""
    taken, centre, radius = spheres
    low = np.clip(np.floor((centre - radius[:, None] + 1) * (_CUBES / 2)), 0, _CUBES - 1).astype(np.int64)
    high = np.clip(np.floor((centre + radius[:, None] + 1) * (_CUBES / 2)), 0, _CUBES - 1).astype(np.int64)

    # Cells that span the same number of cubes along each axis are processed together. There are few such groups.
    span = high - low
    kind = span @ np.array([_CUBES**2, _CUBES, 1])
    rows, cubes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for code in np.unique(kind):
        members = np.flatnonzero(kind == code)
        offsets = np.indices(span[members[0]] + 1).reshape(3, 1, -1)
        x, y, z = low[members].T[:, :, None] + offsets
        rows.append(np.repeat(taken[members], offsets.shape[2]))
        cubes.append(((x * _CUBES + y) * _CUBES + z).ravel())
    return np.concatenate(rows), np.concatenate(cubes)
