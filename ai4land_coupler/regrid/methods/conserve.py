"""Make weights from overlaps that have rounding errors, so that the weights conserve area to the last digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ai4land_coupler.api import LocalWeights, Norm
from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.candidates import Candidates
from ai4land_coupler.grids.mesh import POINT_TOLERANCE, Mesh
from ai4land_coupler.parallel.collective import exchange, rank_and_size, split_by_rank

#: A source cell counts as completely covered if at most a strip of this width (m) along its edges is missing. YAC
#: treats edges closer than 1e-9 rad (6 mm) as one: if an edge of the host nearly follows those of 1 km cells, errors of
#: overlaps are up to 1.4e-6 of the cell; otherwise they are up to 6e-10, which is rounding.
STRIP = 2 * np.deg2rad(POINT_TOLERANCE) * EARTH_RADIUS

#: The scaling of rows and columns ends at this error of a constant, or after this number of rounds. The overlaps of
#: YAC, whose errors are mostly 1e-12 to 1e-10, need 1 to 20 rounds with over-relaxation, and 130 if edges nearly
#: coincide (errors of 1e-8).
_CONSTANT = 9e-13
_ROUNDS = 200
_RELAXATION = 1.8


class OverlapAreas(NamedTuple):
    """Overlaps on this rank: candidate (local index), destination cell (global id), area (m2); each (nnz,)."""

    candidate: NDArray[np.int64]
    destination_id: NDArray[np.int64]
    area: NDArray[np.float64]


def weights_of_overlaps(
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    area: NDArray[np.float64],
    source: Mesh,
    destination: Mesh,
    candidates: Candidates,
    norm: Norm,
    provenance: Mapping[str, str],
    comm: Any,
    strip: float = STRIP,
) -> LocalWeights:
    """First-order conservative weights. Collective.

    Parameters
    ----------
    row, col, area:
        Owned destination cell (local index), candidate (local index) and area (m2) of each overlap, (nnz,).
    source, destination:
        The owned cells of both grids.
    strip:
        As for :func:`covered_scale`.

    Returns
    -------
    Rows in the order of ``destination.cell_ids``, each sorted by global source id.
    """
    # candidates are sorted by global id
    order = np.argsort(row * candidates.mesh.size + col, kind="stable")
    row, col, area = row[order], col[order], area[order]
    source_area, destination_area = cell_area(source), cell_area(destination)
    overlaps = OverlapAreas(col, destination.cell_ids[row], area)
    values = balanced(row, overlaps, candidates, source_area, destination_area, comm, strip) / destination_area[row]
    fraction = np.bincount(row, weights=values, minlength=destination.size)
    return LocalWeights(
        indptr=np.searchsorted(row, np.arange(destination.size + 1)),
        source_ids=candidates.mesh.cell_ids[col],
        values=values / fraction[row] if norm == "fraction" else values,
        destination_fraction=fraction,
        source_area=source_area,
        destination_area=destination_area,
        provenance=dict(provenance) | {"source_edges": source.edges, "destination_edges": destination.edges},
    )


def covered_scale(
    overlaps: OverlapAreas,
    candidates: Candidates,
    source_area: NDArray[np.float64],
    comm: Any,
    strip: float = STRIP,
) -> NDArray[np.float64]:
    """Factor for the overlaps of each candidate, so that the overlaps of a completely covered cell add up to its area.

    The factor is 1 if a cell is covered in part. Collective. The owner of the source cell adds overlaps by ascending
    destination id, so the factors have the same bits on any number of ranks.

    Parameters
    ----------
    source_area:
        Of the owned source cells of this rank, (n,).
    strip:
        Width (m) of the strip along its edges that may be missing if a cell counts as completely covered.

    Returns
    -------
    float64, shape of the candidates.
    """
    rows, row = np.unique(overlaps.destination_id, return_inverse=True)
    sums = _SourceSums(row.ravel(), overlaps, rows, candidates, source_area, comm, strip)
    return sums.scale(np.ones(rows.size))


def balanced(
    row: NDArray[np.int64],
    overlaps: OverlapAreas,
    candidates: Candidates,
    source_area: NDArray[np.float64],
    destination_area: NDArray[np.float64],
    comm: Any,
    strip: float = STRIP,
) -> NDArray[np.float64]:
    """Scale the areas of overlaps (nnz,) so that those of every completely covered cell of both grids add up to its
    area.

    Rows and columns are scaled in turn, columns last: iterative proportional fitting with over-relaxation (Thibault et
    al. 2021, doi:10.3390/a14050143). Area is conserved to rounding, and constants to :data:`_CONSTANT`.
    Collective; the same bits on any number of ranks.

    Parameters
    ----------
    row:
        Owned destination cell (local index) of each overlap, ascending.
    source_area:
        Areas of the owned source cells (m2).
    """
    # only the factors of rows and columns change, not the overlaps
    n = destination_area.size
    ids = np.zeros(n, np.int64)
    ids[row] = overlaps.destination_id
    columns = _SourceSums(row, overlaps, ids, candidates, source_area, comm, strip)
    indptr = np.searchsorted(row, np.arange(n + 1))
    table = sp.csr_matrix((overlaps.area, overlaps.candidate, indptr), (n, candidates.mesh.size))
    covered = _covered(table @ np.ones(candidates.mesh.size), destination_area, strip)
    whole = destination_area[covered]
    height, width = np.ones(n), np.ones(candidates.mesh.size)
    first = kept = columns.scale(height)
    errors = []
    for _ in range(_ROUNDS):
        error = np.abs(height[covered] * (table @ kept)[covered] / whole - 1.0)
        worst = float(error.max(initial=0.0))
        errors.append(worst if comm is None else max(comm.allgather(worst)))
        if errors[-1] <= _CONSTANT:
            break
        height[covered] *= 1.0 + _RELAXATION * (whole / (height * (table @ width))[covered] - 1.0)
        kept = columns.scale(height)
        width *= 1.0 + _RELAXATION * (kept / width - 1.0)
    # a cell without its strip was counted as covered, so not both grids can add up: the area of source cells has
    # priority
    if errors[-1] > max(_CONSTANT, errors[0] / 2):
        height, kept = np.ones(n), first
    return overlaps.area * height[row] * kept[overlaps.candidate]


def _covered(overlap: NDArray[np.float64], area: NDArray[np.float64], strip: float) -> NDArray[np.bool_]:
    """Which cells the overlaps cover except for a strip. Masked cells, which may have no area, are not covered."""
    perimeter = 4 * np.sqrt(np.maximum(area, 0.0))
    return np.asarray((overlap > 0) & (np.abs(overlap - area) <= strip * perimeter))


class _SourceSums:
    """Sums of overlaps over the destinations of each source cell, at its owner, by ascending destination id."""

    def __init__(
        self,
        row: NDArray[np.int64],
        overlaps: OverlapAreas,
        row_ids: NDArray[np.int64],
        candidates: Candidates,
        source_area: NDArray[np.float64],
        comm: Any,
        strip: float,
    ) -> None:
        self._area, self._candidates, self._comm = source_area, candidates, comm
        _, size = rank_and_size(comm)
        source_owner = candidates.owner[overlaps.candidate]
        # each rank sends each owner once the ids of its rows with overlaps there, and later uses their indices
        self._rows = [
            np.flatnonzero(np.bincount(row[source_owner == rank], minlength=row_ids.size)) for rank in range(size)
        ]
        place = np.zeros((size, row_ids.size), np.int64)
        for rank, rows in enumerate(self._rows):
            place[rank, rows] = np.arange(rows.size)
        ids = exchange([row_ids[rows] for rows in self._rows], comm)
        self._by_id = np.argsort(np.concatenate(ids))
        column = np.empty_like(self._by_id)
        column[self._by_id] = np.arange(column.size)

        def send(values: NDArray[Any]) -> list[NDArray[Any]]:
            return exchange(split_by_rank(values, source_owner, size), comm)

        places = send(place[source_owner, row])
        offsets = np.cumsum([0, *(part.size for part in ids)])
        columns = column[np.concatenate([part + offsets[rank] for rank, part in enumerate(places)])]
        local = candidates.fetch(np.arange(self._area.size), comm)[overlaps.candidate]
        entries = np.concatenate(send(overlaps.area)), (np.concatenate(send(local)), columns)
        # csc first, because the rows are then sorted
        self._table = sp.csc_matrix(entries, (self._area.size, column.size)).tocsr()
        self._covered = _covered(self._table @ np.ones(column.size), self._area, strip)

    def scale(self, height: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factor for each candidate, so that its overlaps times the factors of their rows add up to its area.
        Collective.

        The factor is 1 if a cell is covered in part.

        Parameters
        ----------
        height:
            Factor of the overlaps of each row, of the shape of ``row_ids``.
        """
        heights = np.concatenate(exchange([height[rows] for rows in self._rows], self._comm))[self._by_id]
        scale = np.ones(self._area.size)
        scale[self._covered] = self._area[self._covered] / (self._table @ heights)[self._covered]
        return self._candidates.fetch(scale, self._comm)
