"""Find the fine cells that are completely in one cell of a host grid, and those that its edges cut.

Boxes of 64 x 64 fine cells are tested first. A box that no host edge crosses is completely in one host cell or in none.
Other boxes are split into 16 boxes, and so on down to single fine cells. So the work grows with the length of the host
edges over land, not with the number of fine cells.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.regrid.land.outline import NOWHERE, SEVERAL, GridBoxes, Ints, Outline

#: Fine cells along each side of the largest boxes, and the parts along each side into which a box is split.
TILE, SPLIT = 64, 4
#: Boxes are narrower than this (degrees), so that their corners are the points farthest from the centre.
_WIDEST = 30.0

#: Value in place of a destination cell, if edges of destination cells cross the fine cell.
CUT = -2


def refine(outline: Outline, grid: LatLonGrid, box: Box, land: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The destination cell that holds each fine cell.

    Parameters
    ----------
    outline:
        All destination cells near the box; it may have more cells.
    box:
        Cells of ``grid``.
    land:
        Land mask, bool of the shape of the box.

    Returns
    -------
    Index of the cell in the outline; ``CUT`` if a fine cell may be in several cells, ``NOWHERE`` if it is in no cell or
    not land; int32 of the shape of the box.
    """
    rows, cols = box.shape
    tile = TILE
    while tile > 1 and tile * grid.dlon > _WIDEST:
        tile //= SPLIT
    shape = (-(-rows // tile) * tile, -(-cols // tile) * tile)
    found = np.full(shape, NOWHERE, np.int32)
    counts = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)
    padded = np.zeros(shape, bool)
    padded[:rows, :cols] = land
    np.cumsum(np.cumsum(padded, axis=0), axis=1, out=counts[1:, 1:])

    size = tile
    row, col = (part.ravel() * tile for part in np.indices((shape[0] // tile, shape[1] // tile)))
    keep = _with_land(counts, row, col, size)
    row, col = row[keep], col[keep]
    pair_box = pair_edge = np.empty(0, np.int64)
    while len(row):
        # boxes end where the block ends
        boxes = GridBoxes.of(
            grid,
            box.row0 + row,
            np.minimum(box.row0 + row + size, box.row1),
            box.col0 + col,
            np.minimum(box.col0 + col + size, box.col1),
        )
        if size == tile:
            pair_box, pair_edge = outline.edges_near(boxes.point.T, boxes.radius)
        crossed = outline.crosses(boxes, pair_box, pair_edge)
        touched = np.zeros(len(row), bool)
        touched[pair_box[crossed]] = True
        answer = np.full(len(row), CUT, np.int64)
        free = np.flatnonzero(~touched)
        answer[free] = _cell_of(outline, boxes, free, pair_box, pair_edge)
        answer[answer == SEVERAL] = CUT
        settled = ~touched if size > 1 else np.ones(len(row), bool)
        blocks = found.reshape(shape[0] // size, size, shape[1] // size, size)
        blocks[row[settled] // size, :, col[settled] // size, :] = answer[settled, None, None]
        if size == 1:
            break
        row, col, pair_box, pair_edge = _split(
            row, col, size, np.flatnonzero(touched), pair_box[crossed], pair_edge[crossed], counts
        )
        size //= SPLIT
    found = found[:rows, :cols]
    found[~land] = NOWHERE
    return found


def _with_land(counts: Ints, row: Ints, col: Ints, size: int) -> NDArray[np.bool_]:
    """Which boxes contain land, from the cumulative sums of land over rows and columns."""
    last_row, last_col = row + size, col + size
    inside = counts[last_row, last_col] - counts[row, last_col] - counts[last_row, col] + counts[row, col]
    return np.asarray(inside > 0)


def _cell_of(outline: Outline, boxes: GridBoxes, free: Ints, pair_box: Ints, pair_edge: Ints) -> Ints:
    """The cell that holds each box that no edge crosses, (n,).

    The cells along the edges that crossed the larger box are tried first; one of them nearly always holds the box.
    """
    place = np.full(len(boxes.lon), -1, np.int64)
    place[free] = np.arange(len(free))
    pairs = np.flatnonzero(place[pair_box] >= 0)
    cell = outline.edge_cells[pair_edge[pairs]]
    known = cell >= 0
    answer = outline.choose(boxes, free, np.repeat(place[pair_box[pairs]], 2).reshape(-1, 2)[known], cell[known])
    lost = np.flatnonzero(answer == NOWHERE)
    answer[lost] = outline.locate(boxes, free[lost])
    return answer


def _split(
    row: Ints, col: Ints, size: int, parents: Ints, pair_box: Ints, pair_edge: Ints, counts: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """Split boxes. Returns the parts with land, and pairs of each with the edges that cross the whole box."""
    part = size // SPLIT
    offset_row, offset_col = (offset.ravel() * part for offset in np.indices((SPLIT, SPLIT)))
    child_row = (row[parents][:, None] + offset_row).ravel()
    child_col = (col[parents][:, None] + offset_col).ravel()
    keep = _with_land(counts, child_row, child_col, part)
    number = np.full(len(row) * SPLIT**2, -1, np.int64)
    children = (parents[:, None] * SPLIT**2 + np.arange(SPLIT**2)).ravel()[keep]
    number[children] = np.arange(len(children))
    child = number[(pair_box[:, None] * SPLIT**2 + np.arange(SPLIT**2)).ravel()]
    edge = np.repeat(pair_edge, SPLIT**2)[child >= 0]
    return child_row[keep], child_col[keep], child[child >= 0], edge
