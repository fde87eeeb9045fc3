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
    values = covered_scale(overlaps, candidates, source.cell_ids, source_area, comm, strip)[col]
    values *= area / destination_area[row]
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
    _, size = rank_and_size(comm)
    home = candidates.owner[overlaps.candidate]
    ids, destinations, areas = (
        np.concatenate(exchange(split_by_rank(values, home, size), comm))
        for values in (candidates.mesh.cell_ids[overlaps.candidate], overlaps.destination_id, overlaps.area)
    )
    by_id = np.argsort(source_ids)
    local = by_id[np.searchsorted(source_ids, ids, sorter=by_id)]
    order = np.lexsort((destinations, local))
    total = np.bincount(local[order], weights=areas[order], minlength=source_ids.size)
    covered = np.abs(total - source_area) <= strip * 4 * np.sqrt(source_area)
    scale = np.ones(source_ids.size)
    scale[covered] = source_area[covered] / total[covered]
    return candidates.fetch(scale, comm)
