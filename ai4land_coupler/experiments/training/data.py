"""Pairs of maps in memory, with the inputs for predicting the second map from the first.

Maps are int8, and forcing is on its own grid. Windows are assembled by the same function as in a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS, Predictor, TrainingChannel
from ai4land_coupler.core.fields import Batch, FieldSpec, PredictorSpec, Tile
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE, Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.experiments.training.scores import change_scores
from ai4land_coupler.land.assemble import TileInputs, assemble, window_of
from ai4land_coupler.land.tiling import predict_tiles
from ai4land_coupler.parallel.block_plan import BlockPlan

#: Side of the cores that are predicted at once to compute scores (cells).
_CORE = 512


@dataclass(frozen=True)
class MapPairs:
    """A training set. Implements :class:`ai4land_coupler.api.TrainingData`.

    Parameters
    ----------
    legend, step, direction:
        Legend of the maps; step and direction from the first to the second map of a pair.
    fine, forcing:
        The land grid and the forcing grid.
    channels:
        Inputs of the predictor.
    covers:
        Classes of the view by year, (rows, cols), int8.
    pairs:
        (year of the previous map, year of the map to predict).
    coarse:
        Fields by (name, year of the map), (rows, cols) of the forcing grid, NaN where missing.
    static:
        Fields by name, (rows, cols) of the land grid, NaN where missing.
    held_out:
        True for cells that are not used for training (rows, cols).
    scored_pairs:
        Number of pairs to score, counted from the last.
    record:
        Provenance of the data.
    """

    legend: Legend
    step: str
    direction: Literal[1, -1]
    fine: LatLonGrid
    forcing: LatLonGrid
    channels: tuple[TrainingChannel, ...]
    covers: Mapping[int, NDArray[np.int8]]
    pairs: tuple[tuple[int, int], ...]
    coarse: Mapping[tuple[str, int], NDArray[np.float32]]
    static: Mapping[str, NDArray[np.float32]]
    held_out: NDArray[np.bool_]
    scored_pairs: int = 1
    record: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def spec(self) -> PredictorSpec:
        """The fields to assemble for a window, without halo."""
        names = dict.fromkeys(c.name for c in self.channels)
        inputs = []
        for name in names:
            group = [c for c in self.channels if c.name == name]
            first, offsets = group[0], tuple(c.offset for c in group)
            inputs.append(FieldSpec(name, first.units, first.source, offsets=offsets, fill=first.fill))
        outputs = (FieldSpec(LOGITS, "1", source="output"),)
        return PredictorSpec(tuple(inputs), outputs, self.legend.name, self.step, self.direction)

    def inputs(self, pair: tuple[int, int]) -> TileInputs:
        """The inputs of a step from the first to the second year of a pair."""
        before, after = pair
        year_of = {-1: before, 0: after}
        coarse = {
            (c.name, c.offset): self.coarse[c.name, year_of[c.offset]] for c in self.channels if c.source == "forcing"
        }

        def land(name: str, offset: int, tile: Tile) -> NDArray[np.generic]:
            if name in self.static:
                return window_of(self.static[name], tile.window, periodic=self.fine.periodic, fill=np.nan)
            return window_of(self.covers[year_of[offset]], tile.window, periodic=self.fine.periodic)

        return TileInputs(self.fine, self.forcing, land, coarse)

    def sample(self, rng: np.random.Generator, count: int, window: int) -> tuple[Batch, NDArray[np.int8]]:
        """Draw windows around random training cells. All pairs are equally likely."""
        batches, targets = [], []
        for _ in range(count):
            pair = self.pairs[rng.integers(len(self.pairs))]
            cells = self._training_cells[pair]
            row, col = divmod(int(cells[rng.integers(cells.size)]), self.fine.nlon)
            row0 = _clamped(row - int(rng.integers(window)), self.fine.nlat - window)
            col0 = col - int(rng.integers(window))
            if not self.fine.periodic:
                col0 = _clamped(col0, self.fine.nlon - window)
            box = Box(row0, row0 + window, col0, col0 + window)
            batches.append(assemble(self.spec, [Tile(0, box, box)], self.inputs(pair), (pair[1], 0)))
            target = window_of(self.covers[pair[1]], box, periodic=self.fine.periodic)
            hidden = window_of(self.held_out, box, periodic=self.fine.periodic, fill=True)
            known = batches[-1].fields["land_cover"][0, 0] != OUTSIDE
            targets.append(np.where(known & np.logical_not(hidden), target, np.int8(OUTSIDE)))
        first = batches[0]
        fields = {name: np.concatenate([b.fields[name] for b in batches]) for name in first.fields}
        tiles = tuple(b.tiles[0] for b in batches)
        return Batch(tiles, first.time, fields, self.fine), np.stack(targets)

    @cached_property
    def gross_rates(self) -> dict[str, float]:
        """Share of the area of each class that leaves the class in one step, over the training cells of all pairs."""
        area = np.broadcast_to(self.fine.row_area[:, None], self.fine.shape).ravel()
        count = len(self.legend.classes)
        held, left = np.zeros(count), np.zeros(count)
        for pair, cells in self._training_cells.items():
            before, after = (self.covers[year].ravel()[cells] for year in pair)
            held += np.bincount(before, area[cells], count)
            left += np.bincount(before, area[cells] * (before != after), count)
        rates = np.divide(left, held, out=np.zeros(count), where=held > 0)
        return dict(zip(self.legend.classes, rates.tolist(), strict=True))

    def evaluate(self, predictor: Predictor) -> dict[str, Any]:
        """Scores (:func:`change_scores`) on the held-out cells of the last pairs. Predicts by tiles, like a run."""
        if not self.held_out.any():
            return {}
        side = max(1, round(_CORE * abs(self.fine.dlat / self.forcing.dlat)))
        plan = BlockPlan(self.fine, self.forcing, side)
        blocks = [block for block in plan.blocks if self.held_out[block.core.slices()].any()]
        tiles = [plan.tile(block, predictor.spec.halo, predictor.spec.align) for block in blocks]
        previous, observed, logits = [], [], []
        for pair in self.pairs[-self.scored_pairs :]:
            before, after = (self.covers[year] for year in pair)
            judged = self.held_out & (before != OUTSIDE) & (after != OUTSIDE)
            rng = KeyedRng(0, year=pair[1])
            for tile, answer in predict_tiles("trained", predictor, tiles, self.inputs(pair), (pair[1], 0), rng):
                place = tile.core.slices()
                mask = judged[place]
                previous.append(before[place][mask])
                observed.append(after[place][mask])
                logits.append(answer[LOGITS][:, mask].T)
        if not sum(part.size for part in previous):
            return {}
        return change_scores(
            np.concatenate(previous), np.concatenate(observed), np.concatenate(logits), self.legend.classes
        )

    @cached_property
    def _training_cells(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        return {
            pair: np.flatnonzero((self.covers[pair[0]] != OUTSIDE) & (self.covers[pair[1]] != OUTSIDE) & ~self.held_out)
            for pair in self.pairs
        }


def held_out_blocks(grid: LatLonGrid, degrees: float, folds: int, fold: int) -> NDArray[np.bool_]:
    """Cells of one fold: square blocks in a pattern of knight's moves, so that with five folds no two blocks touch.

    Parameters
    ----------
    degrees:
        Side of a block. Blocks are counted from 0 N, 0 E, so that they do not depend on the domain.
    folds, fold:
        Number of folds, and the fold to hold out: every ``folds``-th block in each row.

    Returns
    -------
    (rows, cols), true for cells that are held out.
    """
    row = np.floor(grid.lat / degrees).astype(np.int64)
    col = np.floor(grid.lon / degrees).astype(np.int64)
    return np.asarray((row[:, None] + 2 * col[None, :]) % folds == fold)


def _clamped(start: int, last: int) -> int:
    return min(max(start, 0), max(last, 0))
