"""Copies between the component's arrays (types, cells) and the memory of a host, in the layouts of hosts.

``nproma`` is the block length of models that divide their cells into blocks of equal length (ICON, IFS, ECHAM). Cell
``i`` is element ``i % nproma`` of block ``i // nproma``. Elements after the last cell are padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import FieldError

#: ``A4L_REAL32`` and ``A4L_REAL64``: bytes per value.
KINDS: dict[int, type[np.generic]] = {4: np.float32, 8: np.float64}
#: Order of the axes, by the value of ``order``: ``A4L_CELL_FASTEST``, ``A4L_TYPE_FASTEST``, ``A4L_TYPE_IN_BLOCK``.
ORDERS = ("cell_fastest", "type_fastest", "type_in_block")


class Layout(NamedTuple):
    """The layout of an array in the host's memory; see ``a4l.h``."""

    kind: int
    order: int
    nproma: int

    def check(self, name: str) -> None:
        """Refuse numbers that are no layout."""
        if self.kind not in KINDS:
            raise FieldError(f"unknown kind of number for {name}", expected="A4L_REAL32 or A4L_REAL64", found=self.kind)
        if self.order not in range(len(ORDERS)):
            raise FieldError(
                f"unknown order for {name}",
                expected=", ".join(f"A4L_{order.upper()} ({i})" for i, order in enumerate(ORDERS)),
                found=self.order,
            )
        if self.nproma < 0 or (ORDERS[self.order] == "type_in_block" and not self.nproma):
            raise FieldError(f"impossible block length for {name}", expected="nproma > 0", found=self.nproma)


def _parts(
    flat: NDArray[Any], values: NDArray[np.float64], layout: Layout
) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
    """Pairs of views with the same shape: of the host's memory, and of ``values`` (types, cells)."""
    types, cells = values.shape
    order, nproma = ORDERS[layout.order], layout.nproma
    if order == "cell_fastest":
        yield flat.reshape(types, -1)[:, :cells], values
    elif order == "type_fastest":
        yield flat.reshape(-1, types)[:cells].T, values
    else:
        blocks = flat.reshape(-1, types, nproma).transpose(1, 0, 2)
        full, rest = divmod(cells, nproma)
        yield blocks[:, :full], values[:, : full * nproma].reshape(types, full, nproma)
        if rest:
            yield blocks[:, full, :rest], values[:, full * nproma :]


def check_size(name: str, found: int, types: int, cells: int, layout: Layout) -> None:
    """Raise a :class:`FieldError` if memory of ``found`` values cannot hold (types, cells) in this layout."""
    if layout.nproma == 0:
        if found != types * cells:
            raise FieldError(
                f"the host's array for {name} has the wrong size",
                expected=f"{types * cells} values, {types} x {cells}" if types > 1 else f"{cells} values",
                found=found,
            )
        return
    blocks = math.ceil(cells / layout.nproma)
    if found % (types * layout.nproma) or found < types * blocks * layout.nproma:
        raise FieldError(
            f"the host's array for {name} has the wrong size",
            expected=f"whole blocks of {types} x {layout.nproma}, {blocks} or more for {cells} cells",
            found=f"{found} values, {found / (types * layout.nproma):g} blocks",
        )


def put(values: NDArray[np.float64], flat: NDArray[Any], name: str, layout: Layout) -> None:
    """Write ``values`` (types, cells) or (cells,) to the host's memory; padding does not change.

    Raises
    ------
    FieldError
        The memory has the wrong size for this layout.
    """
    if not layout.order and not layout.nproma and flat.size == values.size:  # the fast case: no change of layout
        flat[:] = values.reshape(-1)
        return
    table = np.atleast_2d(values)
    check_size(name, flat.size, table.shape[0], table.shape[1], layout)
    if table.size:
        for host, own in _parts(flat, table, layout):
            host[...] = own


def take(flat: NDArray[Any], types: int, cells: int, name: str, layout: Layout) -> NDArray[np.float64]:
    """A copy (types, cells) of the host's memory, without its padding.

    Raises
    ------
    FieldError
        The memory has the wrong size for this layout.
    """
    check_size(name, flat.size, types, cells, layout)
    table = np.empty((types, cells))
    if table.size:
        for host, own in _parts(flat, table, layout):
            own[...] = host
    return table
