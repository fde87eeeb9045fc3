"""Warnings about inputs that a run accepts, though they may be other than meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.files.netcdf import open_netcdf
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.land_sums import land_use_total

#: Less land of the scenario outside of the map is a matter of coasts.
_WITHOUT_MAP = 0.05
#: Less land of the map than this share is ice and lakes in many regions.
_WITHOUT_STATES = 0.05
#: A chunk of fewer years costs little: the library keeps it for the next year.
_YEARS_IN_CHUNK = 10
#: In cells that are all land the sum of the states is near 1.
_SMALL_SUM = 0.75


def states_without_map(read: Mapping[str, NDArray[np.float32]], land_cells: NDArray[np.int64]) -> str | None:
    """Warn if the states of land use have much land in forcing cells in which the map has none.

    Parameters
    ----------
    land_cells:
        Number of the map's land cells in each forcing cell.
    """
    total = land_use_total(read)
    if total is None:
        return None
    land = np.nan_to_num(total).astype(np.float64)  # in cells of the forcing
    share = float(land[land_cells == 0].sum() / max(land.sum(), 1e-300))
    if share <= _WITHOUT_MAP:
        return None
    return (
        f"the forcing has land where the map has none ({100 * share:.0f} % of its land): the initial map may be cut "
        "off or written in part; this is right if the map shows a region only"
    )


def map_without_states(read: Mapping[str, NDArray[np.float32]], land_cells: NDArray[np.int64]) -> str | None:
    """Warn if the map has much land in forcing cells whose states are all 0. (Cells without data are gaps.)"""
    total = land_use_total(read)
    if total is None:
        return None
    share = float(land_cells[total == 0].sum() / max(int(land_cells.sum()), 1))
    if share <= _WITHOUT_STATES:
        return None
    return (
        f"the map has land where the states of the forcing are all 0 ({100 * share:.0f} % of its land): that land "
        "keeps its classes; this is right for ice and lakes only"
    )


def small_sums(read: Mapping[str, NDArray[np.float32]]) -> str | None:
    """Warn if the states of land use fill three quarters of no cell."""
    total = land_use_total(read)
    if total is None:
        return None
    largest = float(np.nan_to_num(total).max())
    if largest >= _SMALL_SUM:
        return None
    return (
        f"the land-use states are small: the largest sum is {largest:.3g}; this is right only if no cell has more land"
    )


def long_chunks(entry: NamedAdapter) -> Iterator[str]:
    """Warn of files in which a chunk spans many years: all of them are decompressed to read one.

    A single chunk over all years costs 44 times as much per year read as chunks of a year.
    """
    for name, path in entry.input_files().items():
        try:
            with open_netcdf(path, name) as dataset:
                years = max(
                    (
                        min(chunks[0], variable.shape[0])
                        for variable in dataset.variables.values()
                        if variable.ndim >= 3 and isinstance(chunks := variable.chunking(), list)
                    ),
                    default=0,
                )
        except (Ai4LandError, OSError):
            continue
        if years >= _YEARS_IN_CHUNK:
            yield (
                f"{name}: a chunk spans {years} time steps, and all of them are decompressed to read one year; "
                "`ai4land prepare` writes inputs that are faster to read"
            )
