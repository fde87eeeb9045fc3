"""The size of blocks with ``parallel.block: auto``: as large as the memory of a rank allows.

The size depends on the configuration, the grids and the predictors alone: results depend on the blocks, but not on the
number of ranks or on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ai4land_coupler.api import Predictor
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.inputs.readers import STATIC_CACHE
from ai4land_coupler.land.sliding import ExactTiling, Tiling

#: Land cells along a side of a block: more do not make a run faster, because the halo is then a small part of a window.
MOST_CELLS = 1060
#: Forcing cells along a side of a block: fewer make windows that are mostly halo.
FEWEST = 8
#: Share of ``parallel.memory`` for static fields that are kept. Windows get the rest.
STATIC_SHARE = 1 / 8
#: Windows whose inputs are in memory: one is predicted while the next one is read.
IN_FLIGHT = 2
#: The tiling of a run that chooses none.
EXACT = ExactTiling()
#: Bytes of a value of an input on the land grid: classes are int8, all others float32.
_CLASS, _VALUE = 1, 4


def choose_block(
    memory: float | None,
    land: LatLonGrid,
    forcing: LatLonGrid,
    predictors: Iterable[Predictor],
    tiling: Tiling = EXACT,
) -> int:
    """The forcing cells along each side of a block.

    Parameters
    ----------
    memory:
        Gigabytes (1e9 bytes) of a rank for windows and static fields; ``None`` sets no limit.
    """
    ratio = max(forcing.dlon / land.dlon, abs(forcing.dlat / land.dlat))
    predictors = list(predictors)
    block = max(int(MOST_CELLS / ratio), FEWEST)
    limit = math.inf if memory is None else memory * 1e9 * (1 - STATIC_SHARE)
    while block > FEWEST and window_bytes(block * ratio, predictors, tiling) > limit:
        block -= 1
    return block


def static_cache(memory: float | None) -> int:
    """Bytes of static fields that a rank keeps, from ``parallel.memory`` in gigabytes."""
    return STATIC_CACHE if memory is None else int(memory * 1e9 * STATIC_SHARE)


def window_bytes(core: float, predictors: Iterable[Predictor], tiling: Tiling = EXACT) -> float:
    """Bytes that the predictor with the largest needs uses for its windows, with ``core`` land cells along a core."""
    return max(_bytes(core, predictor, tiling) for predictor in predictors)


def _bytes(core: float, predictor: Predictor, tiling: Tiling) -> float:
    spec = predictor.spec
    inputs = _VALUE * len(spec.memory) + sum(_cell_bytes(field) for field in spec.inputs)
    return tiling.window_bytes(core, spec, IN_FLIGHT * inputs, predictor.bytes_per_cell)


def _cell_bytes(field: FieldSpec) -> int:
    if field.grid != "land":
        return 0
    return len(field.offsets) * (_CLASS if field.source == "cover" else _VALUE)
