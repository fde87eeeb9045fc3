"""The cores of the tiles of a block with ``parallel.block: auto``: the boxes around its land.

Cells outside of them are not predicted. On the grid of HILDA+, with blocks of 1050 cells and a halo of 96, this takes
2.0 cells of windows for each land cell. Whole blocks take 3.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box

#: Cores begin and end at multiples of so many cells, or of more: windows then have fewer shapes.
UNIT = 16
#: A block is cut if its two tiles need at most this share of the work of one.
SHARE = 0.9
#: Parts of a block along each side, in runs that an older version began.
PARTS = 4


def cores_with_land(core: Box, land: NDArray[np.bool_], halo: int, align: int) -> tuple[Box, ...]:
    """The box around the land of a block, or two such boxes if their windows together have fewer cells.

    Parameters
    ----------
    core:
        The cells of the block.
    land:
        Which of them are land, (rows, cols); at least one.
    halo, align:
        Of the predictor with the largest halo. Without a halo no block is cut: its predictions cost little.
    """
    unit = align * -(-UNIT // align)
    rows, cols = _edges(core.row0, core.row1, unit), _edges(core.col0, core.col1, unit)
    in_units = np.logical_or.reduceat(land, rows[:-1] - core.row0, axis=0)
    in_units = np.logical_or.reduceat(in_units, cols[:-1] - core.col0, axis=1)

    def cells(box: Box) -> Box:
        return Box(int(rows[box.row0]), int(rows[box.row1]), int(cols[box.col0]), int(cols[box.col1]))

    def work(boxes: tuple[Box, ...]) -> int:
        return sum((side + 2 * halo) * (other + 2 * halo) for side, other in (cells(box).shape for box in boxes))

    whole = _around(in_units, Box(0, len(rows) - 1, 0, len(cols) - 1))
    best: tuple[Box, ...] = (whole,)
    least = SHARE * work(best)
    for first, second in _halves(whole) if halo else ():
        cut = (_around(in_units, first), _around(in_units, second))
        if work(cut) < least:
            best, least = cut, work(cut)
    return tuple(map(cells, best))


def part_with_land(core: Box, land: NDArray[np.bool_]) -> Box:
    """The smallest box of whole quarters of a block that holds its land. Arguments as :func:`cores_with_land`."""
    rows, cols = (_parts_with_land(np.asarray(land.any(axis=axis))) for axis in (1, 0))
    return Box(core.row0 + rows[0], core.row0 + rows[1], core.col0 + cols[0], core.col0 + cols[1])


def _edges(first: int, last: int, unit: int) -> NDArray[np.int64]:
    """The first and the last cell, and the multiples of the unit between them."""
    inner = np.arange(first // unit + 1, -(-last // unit)) * unit
    return np.array([first, *inner, last], np.int64)


def _around(land: NDArray[np.bool_], box: Box) -> Box:
    """The smallest box around the land in a box, which must have some."""
    inside = land[box.slices()]
    rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    row, col = box.row0, box.col0
    return Box(row + int(rows[0]), row + int(rows[-1]) + 1, col + int(cols[0]), col + int(cols[-1]) + 1)


def _halves(box: Box) -> list[tuple[Box, Box]]:
    """All ways to cut a box in two."""
    by_row = [(box._replace(row1=cut), box._replace(row0=cut)) for cut in range(box.row0 + 1, box.row1)]
    return by_row + [(box._replace(col1=cut), box._replace(col0=cut)) for cut in range(box.col0 + 1, box.col1)]


def _parts_with_land(land: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last edge of the parts of an axis that have land."""
    edges = np.arange(PARTS + 1) * land.size // PARTS
    first, last = np.flatnonzero(land)[[0, -1]]
    return int(edges[edges <= first].max()), int(edges[edges > last].min())
