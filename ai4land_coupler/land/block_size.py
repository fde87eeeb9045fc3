"""The size of blocks with ``parallel.block: auto``: as large as the memory of a rank allows.

It depends on the configuration, the grids and the predictors alone: results depend on the blocks, but not on the number
of ranks or on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ai4land_coupler.api import Predictor
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.core.grid import LatLonGrid

#: Land cells along a side of a block: more do not make a run faster, because the halo is then a small part of a window.
MOST_CELLS = 1060
#: Forcing cells along a side of a block: fewer make windows that are mostly halo.
FEWEST = 8
#: Windows whose inputs are in memory: one is predicted while the next one is read.
IN_FLIGHT = 2
#: Bytes of a value of an input on the land grid: classes are int8, all others float32.
_CLASS, _VALUE = 1, 4


def choose_block(memory: float | None, land: LatLonGrid, forcing: LatLonGrid, predictors: Iterable[Predictor]) -> int:
    """The forcing cells along each side of a block.

    Parameters
    ----------
    memory:
        Gigabytes (1e9 bytes) for the windows of a rank; ``None`` sets no limit.
    """
    ratio = max(forcing.dlon / land.dlon, abs(forcing.dlat / land.dlat))
    predictors = list(predictors)
    block = max(int(MOST_CELLS / ratio), FEWEST)
    while memory is not None and block > FEWEST and window_bytes(block * ratio, predictors) > memory * 1e9:
        block -= 1
    return block


def window_bytes(core: float, predictors: Iterable[Predictor]) -> float:
    """Bytes that the predictor with the largest needs uses for its windows, with ``core`` land cells along a core."""
    return max(_bytes(core, predictor) for predictor in predictors)


def _bytes(core: float, predictor: Predictor) -> float:
    spec = predictor.spec
    side = math.ceil((core + 2 * spec.halo) / spec.align + 1) * spec.align
    inputs = _VALUE * len(spec.memory) + sum(_cell_bytes(field) for field in spec.inputs)
    return side * side * (predictor.bytes_per_cell + IN_FLIGHT * inputs)


def _cell_bytes(field: FieldSpec) -> int:
    if field.grid != "land":
        return 0
    return len(field.offsets) * (_CLASS if field.source == "cover" else _VALUE)
