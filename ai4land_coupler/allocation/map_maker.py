"""Turns the logits of one block into its next map, and counts how much of the demand was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation.demand import sum_by_cell, whole_cells
from ai4land_coupler.allocation.placement import Cells, place_net_change
from ai4land_coupler.allocation.swaps import swap_cells
from ai4land_coupler.config.allocation import AllocationOptions
from ai4land_coupler.core.legend import OUTSIDE, Crosswalk, Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError, nearest
from ai4land_coupler.parallel.block_plan import Block, BlockPlan

#: Streams of the keyed random numbers; class k of a noisy allocation draws from NOISE + k.
SAMPLE, NOISE = 1, 100
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
        self, block: Block, cover: NDArray[np.uint8], shares: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        """The memory of the allocation in the base year.

        Parameters
        ----------
        cover:
            Native codes of the block in the base year.
        shares:
            Shares of land by group of the scenario in the base year, (group, rows, cols) of the block's
            forcing cells.

        Returns
        -------
        ``base_area`` (m2) and ``base_share`` by group and forcing cell, ``gross_carry`` (cells) and ``unmet``
        (m2), all zero at the start.
        """
        shape = shares.shape
        land = _Land(self, block, cover)
        area = sum_by_cell(land.forcing, land.group, land.area, land.n_forcing, shape[0])
        return {
            "base_area": area.T.reshape(shape).copy(),
            "base_share": shares.copy(),
            "gross_carry": np.zeros(shape[1:]),
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
        land = _Land(self, block, cover)
        if land.index.size == 0:
            return BlockResult(cover, memory, self._diagnostics(land, land.classes, memory, 0.0))
        values = np.ascontiguousarray(logits.reshape(logits.shape[0], -1)[:, land.index])
        unpaired = 0.0
        if self.options.method == "allocate":
            new, memory, unpaired = self._allocate(land, values, shares, memory, rng)
        else:
            new = self._draw(land, values, rng)
        changed = new != land.classes
        codes = cover.copy()
        codes.reshape(-1)[land.index[changed]] = self.legend.new_codes[new[changed]]
        return BlockResult(codes, memory, self._diagnostics(land, new, memory, unpaired))

    def _draw(self, land: _Land, logits: NDArray[np.float32], rng: KeyedRng) -> NDArray[np.int8]:
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
        land: _Land,
        logits: NDArray[np.float32],
        shares: NDArray[np.float64],
        memory: Mapping[str, NDArray[np.float64]],
        rng: KeyedRng,
    ) -> tuple[NDArray[np.int8], dict[str, NDArray[np.float64]], float]:
        chance = _Chance(rng, land.ids, self.group_of_class)
        cells = self._cells(land, chance.added(logits, self.options.temperature))
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
        leaving = np.bincount(land.forcing, weights=self.rates[land.classes], minlength=land.n_forcing)
        wanted = leaving + memory["gross_carry"].reshape(-1)
        wanted = wanted - np.bincount(land.forcing[moved], minlength=land.n_forcing)
        amount = 2 * np.floor(np.maximum(wanted, 0) / 2).astype(np.int64)
        unpaired = np.zeros_like(amount)
        if amount.any():
            cells = self._cells(land, chance.added(logits, self.options.gross_temperature))
            new, unpaired = swap_cells(cells, new, ~moved, amount)
        # less than a pair is carried to the next step; cells without a partner are dropped, or the carry would grow
        carry = np.maximum(wanted - amount, -leaving)
        shape = shares.shape
        kept = {
            "base_area": memory["base_area"],
            "base_share": memory["base_share"],
            "gross_carry": carry.reshape(shape[1:]),
            "unmet": (unmet * cell_area[:, None]).T.reshape(shape).copy(),
        }
        return new, kept, float(unpaired.sum())

    def _cells(self, land: _Land, logits: NDArray[np.float32]) -> Cells:
        return Cells(land.forcing, logits, self.group_of_class, self.allowed, land.n_forcing)

    def _diagnostics(
        self, land: _Land, new: NDArray[np.int8], memory: Mapping[str, NDArray[np.float64]], unpaired: float
    ) -> dict[str, NDArray[np.float64]]:
        classes = len(self.legend.view)
        transitions = land.classes.astype(np.int64) * classes + new
        unmet = memory["unmet"].reshape(len(self.crosswalk.groups), -1)
        return {
            "land_cells": np.array([float(land.index.size)]),
            "changed_cells": np.array([float((new != land.classes).sum())]),
            "transition_area": np.bincount(transitions, weights=land.area, minlength=classes**2),
            "unmet_area": np.abs(unmet).sum(axis=1),
            "unmet_change": unmet.sum(axis=1),
            "unpaired_cells": np.array([unpaired]),
        }


class _Land:
    """The cells of a block that may change, flattened."""

    def __init__(self, maker: MapMaker, block: Block, cover: NDArray[np.uint8]) -> None:
        plan, classes = maker.plan, maker.legend.to_view(cover)
        core, forcing = block.core, block.forcing
        group = np.where(classes >= 0, maker.group_of_class[classes], OUTSIDE)
        self.index = np.flatnonzero(group.reshape(-1) >= 0)
        self.classes = classes.reshape(-1)[self.index]
        self.group = group.reshape(-1)[self.index].astype(np.int8)
        rows = np.broadcast_to(np.arange(core.row0, core.row1)[:, None], core.shape).reshape(-1)[self.index]
        cols = np.broadcast_to(np.arange(core.col0, core.col1)[None, :], core.shape).reshape(-1)[self.index]
        self.forcing = (plan.forcing_row[rows] - forcing.row0) * forcing.shape[1] + (
            plan.forcing_col[cols] - forcing.col0
        )
        self.n_forcing = forcing.size
        self.area = plan.fine.row_area[rows]
        self.ids = rows * plan.fine.nlon + cols

    @property
    def mean_cell_area(self) -> NDArray[np.float64]:
        """Mean area of the cells of each forcing cell (m2); 1 where it holds none."""
        count = np.bincount(self.forcing, minlength=self.n_forcing)
        area = np.bincount(self.forcing, weights=self.area, minlength=self.n_forcing)
        return np.asarray(np.where(count > 0, area / np.maximum(count, 1), 1.0))


class _Chance:
    """Gumbel noise by class and cell, drawn once it is needed: the largest of z + noise is a draw from softmax(z)."""

    def __init__(self, rng: KeyedRng, ids: NDArray[np.int64], group_of_class: NDArray[np.int8]) -> None:
        self._rng, self._ids, self._groups = rng, ids, group_of_class

    @cached_property
    def _noise(self) -> NDArray[np.float32]:
        """(class, n); 0 for classes that nothing enters."""
        noise = np.zeros((self._groups.size, self._ids.size), np.float32)
        for k in np.flatnonzero(self._groups >= 0):
            uniform = self._rng.at(stream=NOISE + int(k)).uniform(self._ids)
            noise[k] = -np.log(-np.log(uniform + 2.0**-54))
        return noise

    def added(self, logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
        """Logits with noise of this temperature added."""
        return logits + np.float32(temperature) * self._noise if temperature > 0 else logits


def _class_index(legend: Legend, name: str, where: str) -> int:
    if name not in legend.classes:
        raise ConfigError("unknown class", found=name, where=where, remedy=nearest(name, legend.classes))
    return legend.classes.index(name)
