"""Make weights conserve area to the last digits, whatever the rounding of the library that made them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.collective import exchange, rank_and_size, split_by_rank
from ai4land_coupler.grid import EARTH_RADIUS
from ai4land_coupler.mesh import POINT_TOLERANCE
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


def covered_scale(
    overlaps: Overlaps,
    candidates: Candidates,
    source_ids: NDArray[np.int64],
    source_area: NDArray[np.float64],
    comm: Any,
) -> NDArray[np.float64]:
    """Factor for the overlaps of each candidate, so that those of a wholly covered cell add up to its area.

    1 where a cell is covered in part. Collective. Overlaps are added by ascending destination id at the owner of
    the source cell, so the factors have the same bits on any number of ranks.

    Parameters
    ----------
    source_ids, source_area:
        Owned source cells of this rank, (n,).

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
    covered = np.abs(total - source_area) <= STRIP * 4 * np.sqrt(source_area)
    scale = np.ones(source_ids.size)
    scale[covered] = source_area[covered] / total[covered]
    return candidates.fetch(scale, comm)
