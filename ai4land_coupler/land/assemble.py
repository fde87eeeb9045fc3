"""The inputs of a tile. Training and prediction use the same code.

The caller (the running component, or the code that reads a training set from files) provides :class:`TileInputs`.
:func:`assemble` turns it into the batch of named arrays that the predictor's spec requires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.fields import Batch, CoarseIndex, FieldSpec, PredictorSpec, Tile
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.errors import PluginError

#: Reads a field on the land grid over a window that may wrap or reach beyond the domain:
#: (name, offset, window) -> (rows, cols), an array that the caller may change.
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

    def index(self, window: Box) -> tuple[NDArray[np.int64], NDArray[np.int64], CoarseIndex]:
        """The forcing cells under a window.

        Returns
        -------
        Rows and columns of the forcing grid, in the order of the window, at least one of each; and the position of each
        land cell of the window in them. A column may occur twice if the window wraps around the globe.
        """
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
        rows, row_of = _runs(np.clip(rows, 0, self.forcing.nlat - 1))
        cols, col_of = _runs(np.clip(cols, 0, self.forcing.nlon - 1))
        return rows, cols, CoarseIndex(np.where(good_rows, row_of, -1), np.where(good_cols, col_of, -1))

    def spread(self, values: NDArray[np.float32], window: Box) -> NDArray[np.float32]:
        """Give each land cell of a window the value of its forcing cell, or NaN outside the domain."""
        rows, cols, index = self.index(window)
        part = np.full((rows.size + 1, cols.size + 1), np.nan, np.float32)
        part[:-1, :-1] = values[rows[:, None], cols]
        return np.asarray(part[index.rows][:, index.cols])


def _runs(cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct cells of each run of equal cells, and the number of the run to which each element belongs."""
    starts = np.diff(cells, prepend=cells[0] - 1) != 0
    return cells[starts], np.cumsum(starts) - 1


def assemble(spec: PredictorSpec, tiles: Sequence[Tile], inputs: TileInputs, time: tuple[int, int]) -> Batch:
    """Collect the inputs of tiles with windows of one shape.

    Returns
    -------
    A batch whose fields are (B, T, Y, X): int8 for land cover, float32 for all others. Missing cells are filled with
    the spec's ``fill``; missing cells of a memory get its first value. Fields with ``grid="forcing"`` are
    (B, T, Yc, Xc) over the whole forcing grid. Fields with ``grid="coarse"`` are (B, T, Yc + 1, Xc + 1) over the
    forcing cells under the window; the last row and column hold ``fill`` (see :class:`CoarseIndex`).

    Raises
    ------
    PluginError
        The windows have different shapes.
    """
    shapes = {tile.window.shape for tile in tiles}
    if len(shapes) != 1:
        raise PluginError("tiles of one batch differ in shape", found=sorted(shapes))
    under = [inputs.index(tile.window) for tile in tiles]
    coarse_shape = (max(rows.size for rows, _, _ in under) + 1, max(cols.size for _, cols, _ in under) + 1)
    memories = [FieldSpec(name, "", "memory", offsets=(-1,), fill=start) for name, start in spec.memory.items()]
    fields: dict[str, NDArray[np.generic]] = {}
    for field in (*spec.inputs, *memories):
        if field.grid == "coarse":
            layers = np.full((len(tiles), len(field.offsets), *coarse_shape), field.fill, np.float32)
            for item, (rows, cols, _) in enumerate(under):
                for t, offset in enumerate(field.offsets):
                    part = inputs.coarse[field.name, offset][rows[:, None], cols]
                    layers[item, t, : rows.size, : cols.size] = _filled(part, field.fill)
            fields[field.name] = layers
        else:
            fields[field.name] = _stack([_field(field, tile, inputs) for tile in tiles])
    return Batch(tuple(tiles), time, fields, inputs.fine, tuple(index for _, _, index in under))


def _field(field: FieldSpec, tile: Tile, inputs: TileInputs) -> NDArray[np.generic]:
    """One field of one tile, (T, Y, X): an array that no one else uses."""
    layers: list[NDArray[np.generic]] = []
    for offset in field.offsets:
        if field.source in ("forcing", "import"):
            values = inputs.coarse[field.name, offset]
            layers.append(values.copy() if field.grid == "forcing" else inputs.spread(values, tile.window))
        else:
            layers.append(inputs.land(field.name, offset, tile))
    if field.source == "cover":
        return _stack(layers).astype(np.int8, copy=False)
    return _stack([_filled(layer.astype(np.float32, copy=False), field.fill) for layer in layers])


def _stack(arrays: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    """As ``numpy.stack``, but without a copy of a single array."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _filled(values: NDArray[np.float32], fill: float) -> NDArray[np.float32]:
    """The values with ``fill`` in missing cells."""
    if np.isnan(values.max(initial=-np.inf)):  # much faster than a search in every cell
        return np.where(np.isnan(values), np.float32(fill), values)
    return values


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
