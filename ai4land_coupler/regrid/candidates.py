"""Which source cells each rank needs to see: a coarse search on the sphere, without a global array of cells.

Space around the sphere is cut into cubes. Every cell is enclosed in a small sphere; two cells can only overlap
where their spheres touch a common cube. Ranks tell each other the cubes of their destination cells (a few
kilobytes), and source cells travel to the ranks that share a cube with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.collective import exchange, rank_and_size
from ai4land_coupler.mesh import Mesh, unit_vectors

#: Cubes along the diameter of the sphere: 32 makes cubes of 400 km.
_CUBES = 32


@dataclass(frozen=True)
class Candidates:
    """Source cells that may overlap this rank's destination cells, by ascending global id."""

    mesh: Mesh
    #: Rank that owns each of the candidates.
    owner: NDArray[np.int64]
    #: Local index of the owned source cells that went to each rank.
    sent: list[NDArray[np.int64]]
    #: Sorts what arrives, rank by rank, by global id.
    order: NDArray[np.intp]

    def fetch(self, values: NDArray[Any], comm: Any) -> NDArray[Any]:
        """Values of the candidates, from those (n,) of the owned source cells of each rank. Collective."""
        return np.concatenate(exchange([values[index] for index in self.sent], comm))[self.order]


def find_candidates(source: Mesh, destination: Mesh, comm: Any) -> Candidates:
    """Send source cells to the ranks whose destination cells they may overlap. Collective.

    Both meshes must be validated. Masked cells are not taken.
    """
    _, size = rank_and_size(comm)
    wanted = np.flatnonzero(_cubes(destination).sum(axis=0))
    occupied = [wanted] if comm is None else comm.allgather(wanted)
    lengths = [len(cubes) for cubes in occupied]
    by_rank = sp.csc_matrix(
        (np.ones(sum(lengths), np.int32), np.concatenate(occupied), np.cumsum([0, *lengths])), (_CUBES**3, size)
    )
    touching = (_cubes(source) @ by_rank).tocsc()
    touching.sort_indices()
    sent = [touching.indices[touching.indptr[r] : touching.indptr[r + 1]].astype(np.int64) for r in range(size)]

    width = source.corner_lon.shape[1]
    if comm is not None:
        width = max(comm.allgather(width))
    corners = np.full((source.size, width, 2), np.nan)
    corners[:, : source.corner_lon.shape[1], 0] = source.corner_lon
    corners[:, : source.corner_lat.shape[1], 1] = source.corner_lat
    arrived = exchange([source.cell_ids[index] for index in sent], comm)
    ids = np.concatenate(arrived)
    corners = np.concatenate(exchange([corners[index] for index in sent], comm))
    order = np.argsort(ids)
    return Candidates(
        Mesh(
            source.name,
            ids[order],
            np.ascontiguousarray(corners[order, :, 0]),
            np.ascontiguousarray(corners[order, :, 1]),
            source.edges,
            np.ones(ids.size, bool),
            source.global_size,
        ),
        np.repeat(np.arange(size), [len(part) for part in arrived])[order],
        sent,
        order,
    )


def _cubes(mesh: Mesh) -> sp.csr_matrix:
    """The cubes that the enclosing sphere of each cell touches, as a matrix (cells, cubes); masked cells none."""
    shape = (mesh.size, _CUBES**3)
    taken = np.flatnonzero(mesh.mask)
    if taken.size == 0:
        return sp.csr_matrix(shape, dtype=np.int32)
    points = unit_vectors(mesh.corner_lon[taken], mesh.corner_lat[taken])
    centre = np.nanmean(points, axis=1)
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    # the farthest point of a cell is a corner as long as the cell lies in a hemisphere; beyond that, the whole sphere
    radius = np.nanmax(np.linalg.norm(points - centre[:, None], axis=2), axis=1)
    radius = np.where(radius < 1.4, radius * (1 + 1e-6), 2.0)[:, None]
    low = np.clip(np.floor((centre - radius + 1) * (_CUBES / 2)), 0, _CUBES - 1).astype(np.int64)
    high = np.clip(np.floor((centre + radius + 1) * (_CUBES / 2)), 0, _CUBES - 1).astype(np.int64)

    # cells that span equally many cubes along each axis are done at once; there are few such kinds
    span = high - low
    kind = span @ np.array([_CUBES**2, _CUBES, 1])
    rows, cubes = [], []
    for code in np.unique(kind):
        members = np.flatnonzero(kind == code)
        offsets = np.indices(span[members[0]] + 1).reshape(3, 1, -1)
        x, y, z = low[members].T[:, :, None] + offsets
        rows.append(np.repeat(taken[members], offsets.shape[2]))
        cubes.append(((x * _CUBES + y) * _CUBES + z).ravel())
    entries = np.ones(sum(map(len, rows)), np.int32)
    return sp.csr_matrix((entries, (np.concatenate(rows), np.concatenate(cubes))), shape)
