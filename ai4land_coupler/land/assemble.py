"""The inputs of a tile. Training and prediction use the same code.

The caller (the running component, or the code that reads a training set from files) provides :class:`TileInputs`.
:func:`assemble` turns it into the batch of named arrays that the predictor's spec requires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.fields import Batch, FieldSpec, PredictorSpec, Tile
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.errors import PluginError

#: Reads a field on the land grid over a window that may wrap or reach beyond the domain:
#: (name, offset, window) -> (rows, cols).
LandReader = Callable[[str, int, Tile], NDArray[np.generic]]


@dataclass(frozen=True)
class TileInputs:
    """Everything that a step may read.

    Parameters
    ----------
    fine, forcing:
        The land grid and the forcing grid.
    land:
        Reader of fields on the land grid: ``land_cover`` (int8 view classes, -1 outside the map), static fields,
        outputs of earlier predictors, and memories.
    coarse:
        (name, offset) -> float32 on the whole forcing grid, NaN where missing: forcing and host imports.
    """

    fine: LatLonGrid
    forcing: LatLonGrid
    land: LandReader
    coarse: Mapping[tuple[str, int], NDArray[np.float32]]

    def spread(self, values: NDArray[np.float32], window: Box) -> NDArray[np.float32]:
        """Give each land cell of a window the value of its forcing cell, or NaN outside the domain."""
        row = np.arange(window.row0, window.row1)
        lat = self.fine.lat0 + self.fine.dlat * (row + 0.5)
        rows = self.forcing.rows_of(np.asarray(lat, np.float64))
        index = np.arange(window.col0, window.col1)
        inside = np.ones(index.size, bool)
        if self.fine.periodic:
            index = index % self.fine.nlon
        else:
            inside = (index >= 0) & (index < self.fine.nlon)
        lon = self.fine.lon0 + self.fine.dlon * (index + 0.5)
        cols = self.forcing.cols_of(np.asarray(lon, np.float64), wrap=False)
        # Forcing cells at the edge reach beyond the domain, but land fields do not.
        good_rows = (row >= 0) & (row < self.fine.nlat) & (rows >= 0) & (rows < self.forcing.nlat)
        good_cols = inside & (cols >= 0) & (cols < self.forcing.nlon)
        spread = values[np.clip(rows, 0, self.forcing.nlat - 1)][:, np.clip(cols, 0, self.forcing.nlon - 1)]
        if not (good_rows.all() and good_cols.all()):
            spread = np.where(good_rows[:, None] & good_cols[None, :], spread, np.float32(np.nan))
        return np.asarray(spread)


def assemble(spec: PredictorSpec, tiles: Sequence[Tile], inputs: TileInputs, time: tuple[int, int]) -> Batch:
    """Collect the inputs of tiles with windows of one shape.

    Returns
    -------
    A batch whose fields are (B, T, Y, X): int8 for land cover, float32 for all others. Missing cells are filled with
    the spec's ``fill``; missing cells of a memory get its first value. Fields with ``grid="forcing"`` are
    (B, T, Yc, Xc) over the whole forcing grid.

    Raises
    ------
    PluginError
        The windows have different shapes.
    """
    shapes = {tile.window.shape for tile in tiles}
    if len(shapes) != 1:
        raise PluginError("tiles of one batch differ in shape", found=sorted(shapes))
    fields = {}
    for field in spec.inputs:
        fields[field.name] = np.stack([_field(field, tile, inputs) for tile in tiles])
    for name, start in spec.memory.items():
        remembered = FieldSpec(name, "", "memory", offsets=(-1,), fill=start)
        fields[name] = np.stack([_field(remembered, tile, inputs) for tile in tiles])
    return Batch(tuple(tiles), time, fields, inputs.fine)


def _field(field: FieldSpec, tile: Tile, inputs: TileInputs) -> NDArray[np.generic]:
    """One field of one tile, (T, Y, X)."""
    layers: list[NDArray[np.generic]] = []
    for offset in field.offsets:
        if field.source in ("forcing", "import"):
            values = inputs.coarse[field.name, offset]
            layers.append(values if field.grid == "forcing" else inputs.spread(values, tile.window))
        else:
            layers.append(inputs.land(field.name, offset, tile))
    stacked = np.stack(layers)
    if field.source == "cover":
        return stacked.astype(np.int8, copy=False)
    stacked = stacked.astype(np.float32, copy=False)
    missing = np.isnan(stacked)
    if missing.any():
        stacked = np.where(missing, np.float32(field.fill), stacked)
    return stacked


def window_of(array: NDArray[np.generic], window: Box, *, periodic: bool, fill: float = OUTSIDE) -> NDArray[np.generic]:
    """Copy a window from a whole-domain array (..., rows, cols). Cells beyond its edges wrap around or get ``fill``."""
    nlat, nlon = array.shape[-2:]
    rows = np.arange(window.row0, window.row1)
    cols = np.arange(window.col0, window.col1)
    good_rows = (rows >= 0) & (rows < nlat)
    good_cols = np.ones(cols.size, bool) if periodic else (cols >= 0) & (cols < nlon)
    picked = array[..., np.clip(rows, 0, nlat - 1)[:, None], (cols % nlon)[None, :]]
    if good_rows.all() and good_cols.all():
        return np.asarray(picked)
    return np.where(good_rows[:, None] & good_cols[None, :], picked, np.asarray(fill, array.dtype))
