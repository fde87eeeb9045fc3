"""Halo, alignment and memory of the windows of a U-Net. Needs no torch."""

from __future__ import annotations


def alignment(depth: int) -> int:
    """Windows must start and end on multiples of this many cells. Otherwise pooling would combine other cells."""
    return int(2**depth)


def reach(cell: int, depth: int) -> tuple[int, int]:
    """First and last input cell along one axis that an output cell may depend on.

    The function follows an interval from the output back to the input: the two 3x3 convolutions of a level widen it by
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
    """Number of cells around a core that its results depend on, before rounding outward to the alignment.

    This is the smallest multiple of the alignment that is sufficient for every position of the core's edge relative
    to the pooling: 6 * 2**depth, 96 for depth 4. The convolutions alone reach 6 * 2**depth - 4 cells. The worst
    position of a cell adds up to a pooling block, which the rounding of the window covers.
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


def bytes_per_cell(in_channels: int, width: int, value: int) -> float:
    """Memory of a prediction for each cell of its window, in bytes.

    The level of full resolution needs nearly all of it. At its last merge these channels are in memory: the input of
    the network, the input of the merge (2 * width) and the layers before and after it (3 * width). If the network has
    many inputs, its first convolution needs more, because it reorders them.

    Parameters
    ----------
    value:
        Bytes of a value of the layers.
    """
    return float(value * max(in_channels + 5 * width, 2 * (in_channels + width)))
