"""The Hilbert curve, and blocks that are dealt along it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.parallel.hilbert import hilbert_index


def test_the_curve_of_four_cells_a_side_is_the_one_of_the_textbook() -> None:
    # Wikipedia, "Hilbert curve", second order, with the first cell at row 0 and column 0
    expected = [[0, 1, 14, 15], [3, 2, 13, 12], [4, 7, 8, 11], [5, 6, 9, 10]]
    row, col = np.indices((4, 4))
    assert hilbert_index(row, col, 4).tolist() == expected


@pytest.mark.parametrize("side", [1, 2, 8, 64])
def test_the_curve_visits_each_cell_once_and_steps_to_a_neighbour(side: int) -> None:
    row, col = (index.ravel() for index in np.indices((side, side)))
    order = np.argsort(hilbert_index(row, col, side))
    assert sorted(hilbert_index(row, col, side)) == list(range(side * side))
    steps = np.abs(np.diff(row[order])) + np.abs(np.diff(col[order]))
    assert (steps == 1).all()


def globe(block: int) -> BlockPlan:
    """72 x 144 forcing cells of 2.5 degrees, 3 x 3 fine cells each."""
    fine = LatLonGrid(-180.0, 2.5 / 3, 432, 90.0, -2.5 / 3, 216)
    return BlockPlan(fine, forcing_lattice(fine, LatLonGrid(-180.0, 2.5, 144, 90.0, -2.5, 72)), block)


def uneven(plan: BlockPlan) -> np.ndarray[Any, Any]:
    """Land cells of each block: one large continent in the north, a small one in the south, and ocean."""
    lon, lat = np.meshgrid(plan.fine.lon, plan.fine.lat)
    land = (np.hypot((lon - 60) / 2, lat - 40) < 38) | (np.hypot(lon + 70, lat + 20) < 25)
    return np.array([land[block.core.slices()].sum() for block in plan.blocks])


@pytest.mark.parametrize("workers", [2, 3, 7, 16])
def test_workers_get_equal_land_and_all_blocks_in_one_piece(workers: int) -> None:
    plan = globe(2)
    land = uneven(plan)
    assert 0.6 < np.mean(land == 0) < 0.9
    owner = plan.owners(workers, np.maximum(land, 1e-3))
    load = np.bincount(owner, weights=land, minlength=workers)
    assert load.max() < 1.05 * land.sum() / workers
    by_cells = np.bincount(plan.owners(workers), weights=land, minlength=workers)
    assert by_cells.max() > 1.3 * land.sum() / workers  # dealt by cells, one worker waits for another


def test_the_share_of_a_worker_is_compact() -> None:
    plan = globe(2)
    rows, cols = 36, 72
    owner = plan.owners(16, np.ones(len(plan.blocks))).reshape(rows, cols)
    borders = (np.diff(owner, axis=0) != 0).sum() + (np.diff(owner, axis=1) != 0).sum()
    by_rows = plan.owners(16).reshape(rows, cols)
    assert borders < 0.5 * ((np.diff(by_rows, axis=0) != 0).sum() + (np.diff(by_rows, axis=1) != 0).sum())


def test_owners_follow_costs_of_a_single_block() -> None:
    plan = globe(36)  # 2 x 4 blocks; the curve starts down the first two columns
    cost = np.full(8, 1e-6)
    cost[[2, 7]] = 1.0
    owner = plan.owners(2, cost)
    assert owner[2] != owner[7]
    assert set(plan.owners(1, cost)) == {0}
