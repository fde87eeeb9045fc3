"""Turns the logits of one block into its next map, and counts how much of the demand was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.cells import Cells, Noise, chance_of_change
from ai4land_coupler.allocation.demand import sum_by_cell, whole_cells
from ai4land_coupler.allocation.land_cells import LandCells, LandSums, parts_of
from ai4land_coupler.allocation.placement import place_net_change
from ai4land_coupler.allocation.swaps import swap_cells
from ai4land_coupler.config.allocation import AllocationOptions
from ai4land_coupler.core.legend import OUTSIDE, Crosswalk, Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError, nearest
from ai4land_coupler.parallel.block_plan import Block, BlockPlan

#: Streams of the keyed random numbers: for the method ``sample``, and for the first remainder of gross change.
SAMPLE, REMAINDER = 1, 2
#: Rounding to whole cells ignores that cells shrink towards the poles; a second pass corrects the rest.
PASSES = 3


@dataclass(frozen=True)
class BlockResult:
    """The new map of a block, the memory of its allocation, and its part of the step's diagnostics.

    ``diagnostics`` are sums over cells; they are added over blocks.
    """

    cover: NDArray[np.uint8]
    memory: Mapping[str, NDArray[np.float64]]
    diagnostics: Mapping[str, NDArray[np.float64]]


class MapMaker:
    """Makes maps for all blocks of one plan.

    Parameters
    ----------
    rates:
        Share of each class's land that leaves it in one step of the predictor, by class name; ``None`` if the
        predictor has none (then there is no gross change).

    Raises
    ------
    ConfigError
        An unknown class, a rate beyond 0 to 1, or a class that is forbidden to stay.
    """

    def __init__(
        self,
        plan: BlockPlan,
        legend: Legend,
        crosswalk: Crosswalk,
        options: AllocationOptions,
        rates: Mapping[str, float] | None,
    ) -> None:
        self.plan, self.legend, self.crosswalk, self.options = plan, legend, crosswalk, options
        # a fixed class has no group, whatever a crosswalk says: nothing may enter or leave it
        self.group_of_class = np.where(legend.fixed, np.int8(OUTSIDE), crosswalk.group_of_class(legend))
        view = legend.to_view(np.arange(256, dtype=np.uint8))
        #: Class of the view of each native code, ``OUTSIDE`` if cells of this code never change.
        self._class_of_code = np.where((view >= 0) & (self.group_of_class[view] >= 0), view, np.int8(OUTSIDE))
        given = options.gross if isinstance(options.gross, dict) else (rates if options.gross == "rates" else None)
        self.rates = np.zeros(len(legend.view))
        for name, rate in (given or {}).items():
            self.rates[_class_index(legend, name, "allocation.gross")] = rate
            if not 0 <= rate <= 1:
                raise ConfigError(
                    "a gross rate is the share of a class that leaves it in one step",
                    expected="a number from 0 to 1",
                    found=rate,
                    where=f"allocation.gross, class {name!r}",
                )
        self._has_gross = options.gross == "predicted" or bool(self.rates.any())
        self.allowed = np.ones((len(legend.view), len(legend.view)), bool)
        for pair in options.forbidden:
            before, after = (_class_index(legend, name, "allocation.forbidden") for name in pair)
            if before == after:
                raise ConfigError(
                    "a cell cannot be forbidden to stay what it is",
                    expected="two different classes",
                    found=" -> ".join(pair),
                    where="allocation.forbidden",
                )
            self.allowed[before, after] = False

    def begin(
        self, block: Block, cover: NDArray[np.uint8], shares: NDArray[np.float64], rng: KeyedRng
    ) -> dict[str, NDArray[np.float64]]:
        """The memory of the allocation in the base year.

        Pairs of cells exchange their classes, so each forcing cell carries a remainder of less than two cells of gross
        change from step to step. It begins at a random number: if all began at zero, the gross change of the first
        step would be too small.

        Parameters
        ----------
        cover:
            Native codes of the block in the base year.
        shares:
            Shares of land by group of the scenario in the base year, (group, rows, cols) of the block's
            forcing cells.

        Returns
        -------
        ``base_area`` (m2) and ``base_share`` by group and forcing cell, ``gross_carry`` (cells, from 0 to less than
        2; 0 without gross change) and ``unmet`` (m2, all zero).
        """
        shape = shares.shape
        base_area = np.zeros(shape)
        for part, fine, coarse in parts_of(self.plan, block):
            land = LandCells(self.plan, part, self._class_of_code[cover[fine]], self.group_of_class)
            area = sum_by_cell(land.forcing, land.group, land.area, land.n_forcing, shape[0])
            base_area[:, coarse] = area.T.reshape(shape[0], *part.forcing.shape)
        rows, cols = (np.arange(span.start, span.stop) for span in block.forcing.slices())
        ids = rows[:, None] * self.plan.forcing.nlon + cols
        return {
            "base_area": base_area,
            "base_share": shares.copy(),
            "gross_carry": 2 * rng.at(stream=REMAINDER).uniform(ids) if self._has_gross else np.zeros(ids.shape),
            "unmet": np.zeros(shape),
        }

    def step(
        self,
        block: Block,
        cover: NDArray[np.uint8],
        logits: NDArray[np.float32],
        shares: NDArray[np.float64],
        memory: Mapping[str, NDArray[np.float64]],
        rng: KeyedRng,
    ) -> BlockResult:
        """Make the next map of a block.

        Parameters
        ----------
        cover:
            Native codes now, uint8 (rows, cols).
        logits:
            float32 (class, rows, cols).
        shares:
            Shares of land by group of the scenario in the new year; a forcing cell with NaN has no net change.
        """
        allocate = self.options.method == "allocate"
        values = logits.reshape(logits.shape[0], -1)
        codes, kept, sums = cover.copy(), dict(memory), LandSums(len(self.legend.view))
        if allocate:
            kept |= {"gross_carry": memory["gross_carry"].copy(), "unmet": np.zeros_like(memory["unmet"])}
        for part, fine, coarse in parts_of(self.plan, block):
            land = LandCells(self.plan, part, self._class_of_code[cover[fine]], self.group_of_class)
            if land.index.size == 0:
                continue
            column, unpaired = land.index + fine.start * block.core.shape[1], 0.0
            if allocate:
                its = {name: array[..., coarse, :] for name, array in memory.items()}
                new, carry, unmet, unpaired = self._allocate(land, column, values, shares[:, coarse], its, rng)
                kept["gross_carry"][coarse], kept["unmet"][:, coarse] = carry, unmet
            else:
                new = self._draw(land, values.take(column, axis=1), rng)
            changed = np.flatnonzero(new != land.classes)
            codes.reshape(-1)[column[changed]] = self.legend.new_codes[new[changed]]
            sums.add(land, new, changed.size, unpaired)
        return BlockResult(codes, kept, self._diagnostics(sums, kept))

    def _draw(self, land: LandCells, logits: NDArray[np.float32], rng: KeyedRng) -> NDArray[np.int8]:
        """The most likely allowed class of each cell, or a class drawn with its probability."""
        open_to = self.allowed[land.classes].T & (self.group_of_class >= 0)[:, None]
        logits = np.where(open_to, logits, np.float32(-np.inf))
        if self.options.method == "argmax":
            return np.asarray(logits.argmax(axis=0), np.int8)
        weights = np.exp((logits - logits.max(axis=0)).astype(np.float64))
        rising = np.cumsum(weights, axis=0)
        uniform = rng.at(stream=SAMPLE).uniform(land.ids) * rising[-1]
        return np.asarray((rising <= uniform).sum(axis=0).clip(max=logits.shape[0] - 1), np.int8)

    def _allocate(
        self,
        land: LandCells,
        column: NDArray[np.int64],
        logits: NDArray[np.float32],
        shares: NDArray[np.float64],
        memory: Mapping[str, NDArray[np.float64]],
        rng: KeyedRng,
    ) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64], float]:
        """The new classes, the gross change that is carried (cells), the unmet area (m2), and the unpaired cells."""
        cells = self._cells(land, column, logits, rng, self.options.temperature)
        groups = len(self.crosswalk.groups)
        flat = {name: memory[name].reshape(groups, -1).T for name in ("base_area", "base_share")}
        change = np.nan_to_num(shares.reshape(groups, -1).T - flat["base_share"])
        target = flat["base_area"] + change * flat["base_area"].sum(axis=1, keepdims=True)
        cell_area = land.mean_cell_area

        new, unmet = land.classes, np.zeros((land.n_forcing, groups), np.int64)
        for _ in range(PASSES):
            area = sum_by_cell(land.forcing, self.group_of_class[new], land.area, land.n_forcing, groups)
            need = whole_cells((target - area) / cell_area[:, None])
            if not need.any():
                unmet = need
                break
            new, unmet = place_net_change(cells, new, need)

        moved = new != land.classes
        share = self.rates[land.classes]
        if self.options.gross == "predicted":
            share = chance_of_change(self._cells(land, column, logits, rng, 0.0), land.classes)
        leaving = np.bincount(land.forcing, weights=share, minlength=land.n_forcing)
        wanted = leaving + memory["gross_carry"].reshape(-1)
        wanted = wanted - np.bincount(land.forcing[moved], minlength=land.n_forcing)
        amount = 2 * np.floor(np.maximum(wanted, 0) / 2).astype(np.int64)
        unpaired = np.zeros_like(amount)
        if amount.any():
            cells = self._cells(land, column, logits, rng, self.options.gross_temperature)
            new, unpaired = swap_cells(cells, new, ~moved, amount)
        # less than a pair is carried to the next step; cells without a partner are dropped, or the carry would grow
        carry = np.maximum(wanted - amount, -leaving)
        missing = (unmet * cell_area[:, None]).T
        return new, carry.reshape(shares.shape[1:]), missing.reshape(shares.shape), float(unpaired.sum())

    def _cells(
        self,
        land: LandCells,
        column: NDArray[np.int64],
        logits: NDArray[np.float32],
        rng: KeyedRng,
        temperature: float,
    ) -> Cells:
        noise = Noise(rng, land.ids, temperature) if temperature > 0 else None
        return Cells(land.forcing, logits, self.group_of_class, self.allowed, land.n_forcing, column, noise)

    def _diagnostics(self, sums: LandSums, memory: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        unmet = memory["unmet"].reshape(len(self.crosswalk.groups), -1)
        return {
            "land_cells": np.array([float(sums.land)]),
            "changed_cells": np.array([float(sums.changed)]),
            "transition_area": sums.transition_area,
            "unmet_area": np.abs(unmet).sum(axis=1),
            "unmet_change": unmet.sum(axis=1),
            "unpaired_cells": np.array([sums.unpaired]),
        }


def _class_index(legend: Legend, name: str, where: str) -> int:
    if name not in legend.classes:
        raise ConfigError("unknown class", found=name, where=where, remedy=nearest(name, legend.classes))
    return legend.classes.index(name)
