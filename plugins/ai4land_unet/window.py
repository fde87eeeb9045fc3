"""How far a U-Net sees, and on which cells its windows must start. Needs no torch."""

from __future__ import annotations


def alignment(depth: int) -> int:
    """Windows must start and end on multiples of this many cells, or pooling pairs other cells."""
    return int(2**depth)


def reach(cell: int, depth: int) -> tuple[int, int]:
    """First and last input cell along one axis that an output cell may depend on.

    An interval is followed from the output back to the input: each level's two 3x3 convolutions widen it by
    2 cells of that level, a transposed convolution reads cell x // 2 below, pooling reads cells 2x and 2x + 1.
    """
    low = high = cell
    for _ in range(depth):
        low, high = (low - 2) // 2, (high + 2) // 2
    low, high = low - 2, high + 2
    for _ in range(depth):
        low, high = 2 * low - 2, 2 * high + 3
    return low, high


def halo(depth: int) -> int:
    """Cells to add around a core, before rounding outward to the alignment, so that its answer is complete.

    The smallest multiple of the alignment that serves every place of the core's edge relative to the pooling:
    6 * 2**depth, 96 for depth 4. The convolutions alone reach 6 * 2**depth - 4 cells; a cell's worst place
    adds up to a pooling block to that, which the rounding of the window covers.
    """
    align = alignment(depth)
    needed = 0
    while not all(_complete(cell, depth, needed) for cell in range(align)):
        needed += align
    return needed


def _complete(cell: int, depth: int, margin: int) -> bool:
    align = alignment(depth)
    low, high = reach(cell, depth)
    return (cell - margin) // align * align <= low and high < -(-(cell + 1 + margin) // align) * align
