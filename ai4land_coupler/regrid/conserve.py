"""From overlaps to weights that conserve area to the last digits, whatever the rounding of who made the overlaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LocalWeights, Norm
from ai4land_coupler.collective import exchange, rank_and_size, split_by_rank
from ai4land_coupler.grid import EARTH_RADIUS
from ai4land_coupler.mesh import POINT_TOLERANCE, Mesh
from ai4land_coupler.regrid.areas import cell_area
from ai4land_coupler.regrid.candidates import Candidates

#: A source cell is wholly covered where what is missing is a strip along its edges this wide (m). YAC takes edges
#: closer than 1e-9 rad (6 mm) for one: where an edge of the host nearly followed those of 1 km cells, overlaps were
#: off by 1.4e-6 of the cell; elsewhere by up to 6e-10, which is rounding.
STRIP = 2 * np.deg2rad(POINT_TOLERANCE) * EARTH_RADIUS

#: Error of a constant at which the scaling of rows and columns ends, and rounds at most. For the overlaps of YAC, whose
#: errors are mostly 1e-12 to 1e-10, over-relaxation needs 1 to 20 of them, and 130 where edges nearly coincide (1e-8).
_CONSTANT = 9e-13
_ROUNDS = 200
_RELAXATION = 1.8


class Overlaps(NamedTuple):
    """What overlaps on this rank: candidate (local index), destination cell (global id), area (m2); each (nnz,)."""

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
        The owned cells of either side.
    strip:
        As for :func:`covered_scale`.

    Returns
    -------
    Rows in the order of ``destination.cell_ids``, each sorted by global source id.
    """
    # candidates are sorted by global id
    order = np.lexsort((col, row))
    row, col, area = row[order], col[order], area[order]
    source_area, destination_area = cell_area(source), cell_area(destination)
    overlaps = Overlaps(col, destination.cell_ids[row], area)
    owned = source.cell_ids, source_area
    values = balanced(row, overlaps, candidates, owned, destination_area, comm, strip) / destination_area[row]
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
    overlaps: Overlaps,
    candidates: Candidates,
    source_ids: NDArray[np.int64],
    source_area: NDArray[np.float64],
    comm: Any,
    strip: float = STRIP,
) -> NDArray[np.float64]:
    """Factor for the overlaps of each candidate, so that those of a wholly covered cell add up to its area.

    1 where a cell is covered in part. Collective. Overlaps are added by ascending destination id at the owner of
    the source cell, so the factors have the same bits on any number of ranks.

    Parameters
    ----------
    source_ids, source_area:
        Owned source cells of this rank, (n,).
    strip:
        Width (m) of what may be missing along the edges of a cell that is wholly covered.

    Returns
    -------
    float64, shape of the candidates.
    """
    return _SourceSums(overlaps, candidates, source_ids, source_area, comm, strip).scale(overlaps.area)


def balanced(
    row: NDArray[np.int64],
    overlaps: Overlaps,
    candidates: Candidates,
    source: tuple[NDArray[np.int64], NDArray[np.float64]],
    destination_area: NDArray[np.float64],
    comm: Any,
    strip: float = STRIP,
) -> NDArray[np.float64]:
    """Areas of the overlaps (nnz,), so that those of every wholly covered cell, of either side, add up to its area.

    Rows and columns are scaled in turn, columns last: iterative proportional fitting with over-relaxation (Thibault et
    al. 2021, doi:10.3390/a14050143). So area is conserved to rounding, and constants are to :data:`_CONSTANT`.
    Collective; the same bits on any number of ranks.

    Parameters
    ----------
    row:
        Owned destination cell (local index) of each overlap.
    source:
        Global ids and areas of the owned source cells.
    """
    columns = _SourceSums(overlaps, candidates, *source, comm, strip)
    rows = _sums(row, overlaps.area, destination_area)
    covered = np.flatnonzero(_covered(rows, destination_area, strip))
    first = overlaps.area * columns.scale(overlaps.area)[overlaps.candidate]
    area, conserved, errors = first, first, []
    for _ in range(_ROUNDS):
        error = np.abs(_sums(row, conserved, destination_area)[covered] / destination_area[covered] - 1.0)
        worst = float(error.max(initial=0.0))
        errors.append(worst if comm is None else max(comm.allgather(worst)))
        if errors[-1] <= _CONSTANT:
            break
        scale = np.ones(destination_area.size)
        scale[covered] = destination_area[covered] / _sums(row, area, destination_area)[covered]
        area = area * (1.0 + _RELAXATION * (scale - 1.0))[row]
        factor = columns.scale(area)[overlaps.candidate]
        conserved = area * factor
        area = area * (1.0 + _RELAXATION * (factor - 1.0))
    # a cell that lacks a strip was taken for covered: both sides cannot add up, and area goes first
    return conserved if errors[-1] <= max(_CONSTANT, errors[0] / 2) else first


def _sums(row: NDArray[np.int64], area: NDArray[np.float64], like: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(row, weights=area, minlength=like.size), np.float64)


def _covered(overlap: NDArray[np.float64], area: NDArray[np.float64], strip: float) -> NDArray[np.bool_]:
    """Cells that overlaps cover but for a strip around them. Masked ones, which may have no area, are not."""
    perimeter = 4 * np.sqrt(np.maximum(area, 0.0))
    return np.asarray((overlap > 0) & (np.abs(overlap - area) <= strip * perimeter))


class _SourceSums:
    """Sums of overlaps over the destinations of each source cell, at its owner, by ascending destination id."""

    def __init__(
        self,
        overlaps: Overlaps,
        candidates: Candidates,
        source_ids: NDArray[np.int64],
        source_area: NDArray[np.float64],
        comm: Any,
        strip: float,
    ) -> None:
        self._candidates, self._area, self._comm = candidates, source_area, comm
        _, self._size = rank_and_size(comm)
        self._home = candidates.owner[overlaps.candidate]
        ids = self._send(candidates.mesh.cell_ids[overlaps.candidate])
        destinations = self._send(overlaps.destination_id)
        by_id = np.argsort(source_ids)
        local = by_id[np.searchsorted(source_ids, ids, sorter=by_id)]
        self._order = np.lexsort((destinations, local))
        self._local = local[self._order]
        self._covered = _covered(self._total(overlaps.area), source_area, strip)

    def scale(self, area: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factor for the overlaps of each candidate; 1 where a cell is covered in part. Collective."""
        total = self._total(area)
        scale = np.ones(self._area.size)
        scale[self._covered] = self._area[self._covered] / total[self._covered]
        return self._candidates.fetch(scale, self._comm)

    def _send(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate(exchange(split_by_rank(values, self._home, self._size), self._comm))

    def _total(self, area: NDArray[np.float64]) -> NDArray[np.float64]:
        areas = self._send(area)[self._order]
        return np.asarray(np.bincount(self._local, weights=areas, minlength=self._area.size), np.float64)
