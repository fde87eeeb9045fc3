"""Judges one step from each observed map: the probabilities, and three maps that are made from them.

The maps: the most likely class of each cell (``argmax``); the observed amounts of change, placed by the predictor
(``amount``); and the map that a run would make, with the amounts of the scenario (``scenario``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS, FieldSpec
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.fields import Tile
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.experiments.evaluation.amounts import map_at_observed_amount
from ai4land_coupler.experiments.evaluation.blocks import EvaluationBlocks, EvaluationTile
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig, JudgedSection
from ai4land_coupler.experiments.evaluation.groups import Groups
from ai4land_coupler.experiments.evaluation.judged import Judged
from ai4land_coupler.experiments.evaluation.maps import Judging, ObservedMaps
from ai4land_coupler.experiments.evaluation.sums import Cells, Sums, chance_sums, map_sums
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.assemble import TileInputs, assemble
from ai4land_coupler.land.forcing import LandForcing, StepForcing
from ai4land_coupler.land.moments import coarse_fields
from ai4land_coupler.land.setup import LandSetup, make_setup
from ai4land_coupler.land.tiling import predict_tile
from ai4land_coupler.parallel import Block

Classes = NDArray[np.int8]
#: The part of the evaluation, in :class:`Judged`.
STEP = "step"


@dataclass(frozen=True)
class StepMaps:
    """The maps of one tile: classes (rows, cols), and the cells that are judged. ``made`` has the maps by name."""

    tile: EvaluationTile
    before: Classes
    observed: Classes
    judged: NDArray[np.bool_]
    made: Mapping[str, Classes]
    logits: NDArray[np.float32]


class OneStep:
    """One predictor, ready to predict steps from observed maps.

    Parameters
    ----------
    pairs:
        (year before, year after) of the steps.
    """

    def __init__(self, config: EvaluateConfig, choice: JudgedSection, pairs: tuple[tuple[int, int], ...]) -> None:
        self._config = config
        start, stop = pairs[0]
        self.setup: LandSetup = make_setup(config.run_of(choice, start, stop, parallel={"block": 1}))
        setup = self.setup
        (self._entry,) = setup.predictors
        self.maps = ObservedMaps(setup.initial.adapter, setup.grid, setup.legend)
        self.blocks = EvaluationBlocks(setup.plan, config.block)
        self._judging = Judging.make(config, setup.grid)
        self._static = StaticReader(setup.static, setup.grid)
        self._forcing = LandForcing(setup)
        self._entry.predictor.check_years([after for _, after in pairs])

    def judge(
        self,
        judged: Judged,
        groups: Groups,
        pair: tuple[int, int],
        seen: Callable[[tuple[int, int], StepMaps], None],
    ) -> None:
        """Add the sums of one step. ``seen`` is called with each tile's maps, once its sums are added."""
        for maps in self._tiles(pair):
            for block in maps.tile.blocks:
                inside = block.core.slices(maps.tile.whole.core)
                if maps.judged[inside].any():
                    for group, mask in groups.of(block.core, maps.judged[inside]):
                        judged.add(STEP, group, block.id, self._sums(maps, block, inside, mask))
            seen(pair, maps)

    def _sums(self, maps: StepMaps, block: Block, inside: tuple[slice, slice], mask: NDArray[np.bool_]) -> Sums:
        cells = Cells(self.setup.grid, block.core, mask, self._config.weights == "area")
        before, observed = maps.before[inside], maps.observed[inside]
        sums = chance_sums(cells, before, observed, maps.logits[:, *inside])
        home, count = self.blocks.forcing_cells(block), len(self.setup.legend.view)
        for name, made in maps.made.items():
            found = map_sums(cells, before, observed, made[inside], home, count)
            sums |= {f"{name}.{key}": values for key, values in found.items()}
        return sums

    def _tiles(self, pair: tuple[int, int]) -> Iterator[StepMaps]:
        """The maps of one step, tile by tile. Tiles without judged land are left out."""
        setup, (before_year, after_year) = self.setup, pair
        clock = Clock(before_year, after_year, abs(after_year - before_year), after_year)
        shares = self._forcing.shares(before_year) if setup.follows_scenario else None
        forcing = self._forcing.of_step(clock)
        spec = self._entry.spec
        statics = {item.name: item for item in spec.inputs if item.source == "static"}
        inputs = TileInputs(
            setup.grid,
            setup.plan.forcing,
            lambda name, offset, tile: self._on_land(statics, name, before_year, tile),
            coarse_fields(spec, (after_year, 0), forcing.fields, {}),
        )
        rng = KeyedRng(0, year=after_year)
        for tile in self.blocks.tiles():
            core = tile.whole.core
            codes = self.maps.codes(before_year, core)
            before, observed = setup.legend.to_view(codes), self.maps.classes(after_year, core)
            judged = self._judging.cells(core, before, observed)
            if not judged.any():
                continue
            window = setup.plan.tile(tile.whole, spec.halo, spec.align)
            batch = assemble(spec, [window], inputs, (after_year, 0))
            logits = predict_tile(self._entry.name, self._entry.predictor, batch, rng)[LOGITS]
            made = {
                "argmax": np.where(judged, logits.argmax(axis=0).astype(np.int8), before),
                "amount": map_at_observed_amount(setup.map_maker, tile.whole, before, observed, judged, logits),
            }
            if shares is not None and forcing.shares is not None:
                made["scenario"] = self._as_in_a_run(tile.whole, codes, logits, shares, forcing, rng)
            yield StepMaps(tile, before, observed, judged, made, logits)

    def _as_in_a_run(
        self,
        block: Block,
        codes: NDArray[np.uint8],
        logits: NDArray[np.float32],
        shares: NDArray[np.float64],
        forcing: StepForcing,
        rng: KeyedRng,
    ) -> Classes:
        """The map that the allocation of a run makes, if its first map is the observed one."""
        maker, (rows, cols) = self.setup.map_maker, block.forcing.slices()
        assert forcing.shares is not None
        memory = maker.begin(block, codes, shares[:, rows, cols], rng)
        made = maker.step(block, codes, logits, forcing.shares[:, rows, cols], memory, rng)
        return self.setup.legend.to_view(made.cover)

    def _on_land(self, statics: Mapping[str, FieldSpec], name: str, year: int, tile: Tile) -> NDArray[np.generic]:
        """A field on the land grid. Memories have their first value, as in the first step of a run."""
        if name in statics:
            return self._static.read(statics[name], tile.window)
        if name in self._entry.spec.memory:
            return np.full(tile.window.shape, self._entry.spec.memory[name], np.float32)
        return self.maps.classes(year, tile.window)
