"""Pairs of maps, with the inputs for predicting the second map from the first.

Windows are assembled by the same function as in a run. A window is read when it is asked for, from memory or from a
store.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS, Predictor, TrainingChannel
from ai4land_coupler.core.fields import Batch, FieldSpec, PredictorSpec, Tile
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE, Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.experiments.training.land import TrainingLand, boxes_of
from ai4land_coupler.experiments.training.scores import change_scores
from ai4land_coupler.experiments.training.sources import MapSource
from ai4land_coupler.experiments.training.split import Split
from ai4land_coupler.land.assemble import TileInputs, assemble
from ai4land_coupler.land.tiling import predict_tile
from ai4land_coupler.parallel.block_plan import BlockPlan, tile_around

Classes = NDArray[np.int8]

#: Side of the cores that are predicted at once to compute scores (cells).
_CORE = 512
#: Cells that are scored at most: every n-th core is taken, so that the scores need a bounded memory.
_SCORED = 8 << 20
#: How often a window is drawn again if it has no cell to predict.
_TRIES = 100


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
    source:
        The maps and fields.
    pairs:
        (year of the previous map, year of the map to predict) of the training.
    validation_pairs:
        The pairs of the training years whose held-out land is used to compare weights during the training.
    scored_pairs:
        The pairs whose held-out land is scored at the end.
    split:
        The land that is held out.
    land:
        Where the training land and the held-out land lie, and how it changes.
    record:
        Provenance of the data.
    """

    legend: Legend
    step: str
    direction: Literal[1, -1]
    fine: LatLonGrid
    forcing: LatLonGrid
    channels: tuple[TrainingChannel, ...]
    source: MapSource
    pairs: tuple[tuple[int, int], ...]
    validation_pairs: tuple[tuple[int, int], ...]
    scored_pairs: tuple[tuple[int, int], ...]
    split: Split
    land: TrainingLand
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

    @property
    def gross_rates(self) -> dict[str, float]:
        """Share of the area of each class that leaves the class in one step, over the training cells of all pairs."""
        return dict(zip(self.legend.classes, self.land.gross_rates.tolist(), strict=True))

    @property
    def has_held_out(self) -> bool:
        """Whether any land of the training years is held out."""
        return bool(self.land.held_out.any())

    @property
    def in_memory(self) -> bool:
        return self.source.in_memory

    # ---- windows -----------------------------------------------------------------------------------------------

    def inputs(self, pair: tuple[int, int], window: Box, covers: Mapping[int, Classes] | None = None) -> TileInputs:
        """The inputs of a step from the first to the second year of a pair, in one window.

        ``covers``: maps of the window that were read before, by year.
        """
        known = covers or {}
        year_of = {-1: pair[0], 0: pair[1]}
        static = [c.name for c in self.channels if c.source == "static"]
        fields = self.source.static(static, window) if static else {}

        def land(name: str, offset: int, tile: Tile) -> NDArray[np.generic]:
            if name in fields:
                return fields[name].copy()
            year = year_of[offset]
            return known[year].copy() if year in known else self.source.covers((year,), tile.window)[year]

        coarse: dict[tuple[str, int], NDArray[np.float32]] = {}
        inputs = TileInputs(self.fine, self.forcing, land, coarse)
        wanted = [(c.name, c.offset) for c in self.channels if c.source == "forcing"]
        if wanted:
            rows, cols, _ = inputs.index(window)
            under = Box(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
            values = self.source.forcing([(name, year_of[offset]) for name, offset in wanted], under)
            for name, offset in wanted:
                coarse[name, offset] = cast(NDArray[np.float32], _Part(values[name, year_of[offset]], under))
        return inputs

    def _target(self, pair: tuple[int, int], box: Box, covers: Mapping[int, Classes], *, held_out: bool) -> Classes:
        """The map to predict in a box (rows, cols); -1 in cells that are not used."""
        before, after = (covers[year] for year in pair)
        used = self.split.held_out(box) if held_out else ~self.split.unused(box)
        return np.where(used & (before != OUTSIDE) & (after != OUTSIDE), after, np.int8(OUTSIDE))

    def window(
        self, number: int, side: int, *, seed: int = 0, held_out: bool = False, spec: PredictorSpec | None = None
    ) -> tuple[Batch, Classes]:
        """One random window; it depends on the arguments alone (see :class:`ai4land_coupler.api.TrainingData`)."""
        return self._draw(np.random.default_rng((seed, int(held_out), number)), side, held_out, spec)

    def sample(self, rng: np.random.Generator, count: int, window: int) -> tuple[Batch, Classes]:
        """Draw windows around random training cells. All pairs are equally likely."""
        drawn = [self._draw(rng, window, False, None) for _ in range(count)]
        first = drawn[0][0]
        fields = {name: np.concatenate([batch.fields[name] for batch, _ in drawn]) for name in first.fields}
        tiles = tuple(batch.tiles[0] for batch, _ in drawn)
        return Batch(tiles, first.time, fields, self.fine), np.stack([target for _, target in drawn])

    def each_window(
        self, side: int, *, held_out: bool = False, spec: PredictorSpec | None = None
    ) -> Iterator[tuple[Batch, Classes]]:
        """All training cells, or all held-out cells, of all their pairs, as cores that lie next to each other."""
        spec = spec or self.spec
        for box in boxes_of(self.fine, side):
            if not self.land.any_in(box, held_out=held_out):
                continue
            tile = tile_around(self.fine, box, spec.halo, spec.align)
            for pair in self.validation_pairs if held_out else self.pairs:
                target = self._target(pair, box, self.source.covers(pair, box), held_out=held_out)
                if (target != OUTSIDE).any():
                    yield assemble(spec, [tile], self.inputs(pair, tile.window), (pair[1], 0)), target

    def _draw(
        self, rng: np.random.Generator, side: int, held_out: bool, spec: PredictorSpec | None
    ) -> tuple[Batch, Classes]:
        pairs = self.validation_pairs if held_out else self.pairs
        for _ in range(_TRIES):
            pair = pairs[rng.integers(len(pairs))]
            box = self._box(rng, side, held_out)
            covers = self.source.covers(pair, box)
            target = self._target(pair, box, covers, held_out=held_out)
            if (target != OUTSIDE).any():
                break
        tile, inputs = Tile(0, box, box), self.inputs(pair, box, covers)
        return assemble(spec or self.spec, [tile], inputs, (pair[1], 0)), target

    def _box(self, rng: np.random.Generator, side: int, held_out: bool) -> Box:
        """A window over a random cell of the land. It stays on the map as far as the map is large enough."""
        row, col = self.land.cell(rng, held_out=held_out)
        row0 = _clamped(row - int(rng.integers(side)), self.fine.nlat - side)
        col0 = col - int(rng.integers(side))
        if not self.fine.periodic:
            col0 = _clamped(col0, self.fine.nlon - side)
        return Box(row0, row0 + side, col0, col0 + side)

    # ---- scores ------------------------------------------------------------------------------------------------

    def evaluate(self, predictor: Predictor) -> dict[str, Any]:
        """Scores (:func:`change_scores`) on the held-out cells of the last pairs. Predicts by tiles, like a run.

        If the test years are other years than those of the training and no land is held out, all land is scored. Of
        large domains, every n-th core of 512 cells is scored.
        """
        whole = not self.has_held_out and self.scored_pairs != self.validation_pairs
        if not (whole or self.has_held_out):
            return {}
        side = max(1, round(_CORE * abs(self.fine.dlat / self.forcing.dlat)))
        plan = BlockPlan(self.fine, self.forcing, side)
        blocks = [b for b in plan.blocks if self.land.any_in(b.core, held_out=not whole)]
        count = sum(self.land.count_in(b.core, held_out=not whole) for b in blocks) * len(self.scored_pairs)
        blocks = blocks[:: max(1, -(-count // _SCORED))]
        tiles = [plan.tile(block, predictor.spec.halo, predictor.spec.align) for block in blocks]
        previous, observed, logits = [], [], []
        for pair in self.scored_pairs:
            rng = KeyedRng(0, year=pair[1])
            for tile in tiles:
                before, after = self.source.covers(pair, tile.core).values()
                mask = (before != OUTSIDE) & (after != OUTSIDE)
                if not whole:
                    mask &= self.split.held_out(tile.core)
                if not mask.any():
                    continue
                batch = assemble(predictor.spec, [tile], self.inputs(pair, tile.window), (pair[1], 0))
                answer = predict_tile("trained", predictor, batch, rng)
                previous.append(before[mask])
                observed.append(after[mask])
                logits.append(answer[LOGITS][:, mask].T)
        if not previous:
            return {}
        return change_scores(
            np.concatenate(previous), np.concatenate(observed), np.concatenate(logits), self.legend.classes
        )


class _Part:
    """A part of a forcing field that is indexed like the whole field."""

    def __init__(self, values: NDArray[np.float32], box: Box) -> None:
        self._values, self._box = values, box

    def __getitem__(self, place: tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.float32]:
        rows, cols = place
        return self._values[rows - self._box.row0, cols - self._box.col0]


def _clamped(start: int, last: int) -> int:
    return min(max(start, 0), max(last, 0))
