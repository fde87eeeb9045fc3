"""What the baselines share: the previous map of a batch, and random numbers that belong to cells."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS, Batch, Box, FieldSpec, KeyedRng, LegendName, Options, PluginError, PredictorSpec

COVER = "land_cover"
Direction = Literal["forward", "backward"]

#: Stream of the keyed random numbers of class 0; class k has the stream _STREAM + k. The allocation has others.
_STREAM = 1000


class RunOptions(Options):
    """Options of a predictor that needs no training: the legend, step and direction of the run."""

    legend: LegendName
    step: str = "P1Y"
    direction: Direction = "forward"


def make_spec(
    legend: str, step: str, direction: Direction, inputs: tuple[FieldSpec, ...] = (), halo: int = 0
) -> PredictorSpec:
    """The specification of a land-cover predictor that reads the previous map and these inputs."""
    return PredictorSpec(
        inputs=(FieldSpec(COVER, "1", source="cover", offsets=(-1,)), *inputs),
        outputs=(FieldSpec(LOGITS, "1", source="output"),),
        legend=legend,
        step=step,
        direction=1 if direction == "forward" else -1,
        halo=halo,
    )


def previous_map(batch: Batch, item: int) -> NDArray[np.int8]:
    """The map of the step before in one window of a batch, (Y, X)."""
    cover: NDArray[np.int8] = batch.fields[COVER][item, 0]
    return cover


def core_of(batch: Batch, item: int) -> tuple[slice, slice]:
    """The part of a window that is predicted: the core of a single tile, else the whole window."""
    if len(batch.tiles) == 1:
        return batch.tiles[0].core.slices(batch.tiles[0].window)
    rows, cols = batch.fields[COVER].shape[-2:]
    return slice(0, rows), slice(0, cols)


def predicted_box(batch: Batch, item: int) -> Box:
    """The cells of the land grid that belong to :func:`core_of`.

    Raises
    ------
    PluginError
        The batch does not name its land grid, so that cells have no number.
    """
    if batch.grid is None or not batch.tiles:
        raise PluginError("a baseline must know the land grid of its tiles", expected="batch.grid and batch.tiles")
    return batch.tiles[0].core if len(batch.tiles) == 1 else batch.tiles[item].window


def cell_numbers(batch: Batch, item: int, classes: int, rng: KeyedRng) -> NDArray[np.float64]:
    """Random numbers in [0, 1) by class and predicted cell, (class, Y, X). They depend on the cell, not on the tile."""
    box = predicted_box(batch, item)
    assert batch.grid is not None  # predicted_box checks it
    rows = np.arange(box.row0, box.row1)[:, None]
    cols = np.arange(box.col0, box.col1)[None, :] % batch.grid.nlon
    ids = (rows * batch.grid.nlon + cols).reshape(-1)
    numbers = rng.uniform_of_streams(ids, _STREAM + np.arange(classes))
    return numbers.reshape(classes, *box.shape)
