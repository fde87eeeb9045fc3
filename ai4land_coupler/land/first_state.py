"""The state that a run starts from: the initial map, its own restart, or the restart of another run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import Request
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import Legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.core.state import Blocks, LandState
from ai4land_coupler.errors import ConfigError, DataError, TimeError
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Mended
from ai4land_coupler.land.dealing import deal_blocks
from ai4land_coupler.land.forcing import LandForcing
from ai4land_coupler.land.identity import compare_with_restart, identity
from ai4land_coupler.land.model import ALLOCATION_MEMORY
from ai4land_coupler.land.moments import COVER, history_depths
from ai4land_coupler.land.setup import LandSetup, with_blocks_of
from ai4land_coupler.parallel import Block, Communicator
from ai4land_coupler.store.restart import HISTORY, Restart, read_state


class FirstState:
    """Reads the state that a run starts from. Local to a rank, except :meth:`deal_blocks`.

    Attributes
    ----------
    warnings:
        Harmless differences from the run that wrote a restart, with counts.
    mended:
        Number of cells of the initial map without data, by block. They are not land.
    """

    def __init__(self, setup: LandSetup, forcing: LandForcing) -> None:
        self._setup, self._forcing = setup, forcing
        self.warnings: Counter[str] = Counter()
        self.mended: dict[Mended, int] = {}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What identifies the run, for its restarts. Reads all inputs at the first call; only one rank needs it."""
        return identity(self._setup)

    def deal_blocks(self, source: Restart | None, comm: Communicator) -> LandSetup:
        """Deal the blocks by their work, and return the setup with their owners. Collective.

        ``source``: the restart from which the run continues; ``None`` if it starts from the initial map.
        """

        def read(blocks: Iterable[Block]) -> Iterator[tuple[Block, NDArray[np.uint8]]]:
            if source is None:
                yield from read_blocks(self._setup, blocks)
            else:
                for block in blocks:
                    yield block, read_state(source, [block.id]).cover[block.id]

        self._setup = deal_blocks(self._setup, read, comm)
        return self._setup

    def from_map(self) -> LandState:
        """The state from the configured initial map, with memories at their first values."""
        setup = self._setup
        cover = {block.id: shared(codes, setup.legend) for block, codes in read_blocks(setup, setup.own_blocks)}
        self.mended = count_no_data(setup, cover)
        memory = self._first_allocation(cover)
        for entry in setup.predictors:
            memory.update(entry.first_memory(cover))
        return LandState(setup.config.time.start, cover, {}, memory, self._earlier_maps())

    def _earlier_maps(self) -> dict[str, tuple[Blocks, ...]]:
        """The maps before the initial one that predictors read, from the same data set.

        Raises
        ------
        TimeError
            The data set does not have them.
        """
        setup = self._setup
        maps = []
        for year in setup.earlier_years:
            _refuse_missing_map(setup.initial, year, setup.initial_year)
            blocks = read_blocks(setup, setup.own_blocks, year)
            maps.append({block.id: shared(codes, setup.legend) for block, codes in blocks})
        return {COVER: tuple(maps)} if maps else {}

    def open_restart(self, folder: Path, year: int | None, *, branch: bool = False) -> Restart:
        """Open a restart that this run can continue from.

        Parameters
        ----------
        year:
            ``None``: the last restart in the folder; for a branch, the restart of ``time.start``.
        branch:
            Whether another run wrote it: less must then be the same (see ``land/identity.py``).

        Raises
        ------
        ConfigError, DataError
            No restart exists, it is damaged, or it belongs to a run that does not match.
        """
        setup = self._setup
        if branch and year is None:
            year = setup.config.time.start
        restart = Restart.open(folder, year, direction=setup.clock.direction)
        setup = self._setup = with_blocks_of(setup, restart.attrs)
        self._refuse_missing_history(restart)
        if setup.rank == 0:  # one rank reads the inputs for their digests
            for warning in compare_with_restart(restart, setup, self.identity, branch=branch):
                self.warnings[warning] += 1
        return restart

    def from_restart(self, restart: Restart, *, branch: bool = False) -> LandState:
        """The state of a restart. A branch starts at ``time.start``, even if the restart is of another year.

        A branch counts the scenario's change from the same base as the other run. With ``time.base_year`` the base is
        the map of the restart and the scenario of that year.
        """
        time = self._setup.config.time
        state = read_state(restart, [block.id for block in self._setup.own_blocks])
        legend, history = self._setup.legend, dict(state.history)
        if COVER in history:
            history[COVER] = tuple({i: shared(codes, legend) for i, codes in held.items()} for held in history[COVER])
        cover = {i: shared(codes, legend) for i, codes in state.cover.items()}
        state = replace(state, cover=cover, history=history)
        # A rank that owns no blocks has no memories in the restart, but the step asks every rank for all of them.
        memory = {name: state.memory.get(name, {}) for name in (*self._memory_names(), *state.memory)}
        self._refuse_missing_memory(restart, state.cover, memory)
        if not branch:
            return replace(state, memory=memory)
        if time.base_year is not None:
            memory |= self._first_allocation(state.cover)
        return replace(state, year=time.start, memory=memory)

    def _memory_names(self) -> list[str]:
        """Names of the arrays that the predictors and the allocation carry from step to step."""
        own = [entry.memory_name(name) for entry in self._setup.predictors for name in entry.spec.memory]
        return [*(f"allocation.{name}" for name in ALLOCATION_MEMORY), *own]

    def _refuse_missing_memory(
        self, restart: Restart, blocks: Iterable[int], memory: Mapping[str, Mapping[int, Any]]
    ) -> None:
        """Refuse a restart that lacks what a predictor carries from step to step: another version wrote it."""
        blocks = list(blocks)
        for name in self._memory_names():
            lacking = [block for block in blocks if block not in memory[name]]
            if lacking:
                raise DataError(
                    f"a restart lacks the memory {name!r}",
                    expected=f"{name!r} in each block",
                    found=f"none in {len(lacking)} of {len(blocks)} blocks",
                    where=restart.path,
                    remedy="continue with the version of the predictor that wrote the restart, or start a new run",
                )

    def _refuse_missing_history(self, restart: Restart) -> None:
        """Refuse a restart that lacks earlier states that predictors read, or has months under another year."""
        if restart.format == 1 and any(entry.spec.monthly for entry in self._setup.predictors):
            raise DataError(
                "an earlier version wrote a restart and the monthly fields of its run, which it labelled a year late",
                expected="a restart of format 2 for a run with a monthly predictor",
                found="format 1",
                where=restart.path,
                remedy="start a new run, or continue with the version that wrote it",
            )
        kept = restart.attrs.get(HISTORY, {})
        for name, depth in history_depths(self._setup.predictors).items():
            if kept.get(name, 0) < depth:
                raise DataError(
                    f"a restart lacks earlier states of {name!r} that a predictor reads",
                    expected=f"{depth} before the last one",
                    found=kept.get(name, 0),
                    where=restart.path,
                    remedy="continue with the predictors that the run had, or start a new run",
                )

    def _first_allocation(self, cover: Mapping[int, NDArray[np.uint8]]) -> dict[str, dict[int, Any]]:
        """The allocation's memory before the first step, from a map and the scenario of the base year."""
        setup = self._setup
        shares = np.full((len(setup.map_maker.crosswalk.groups), *setup.plan.forcing.shape), np.nan)
        if setup.follows_scenario and cover:
            shares = self._forcing.shares(setup.base_year)
        memory: dict[str, dict[int, Any]] = {f"allocation.{name}": {} for name in ALLOCATION_MEMORY}
        rng = KeyedRng(setup.config.random.seed, setup.config.random.member)
        for block in setup.own_blocks:
            rows, cols = block.forcing.slices()
            for name, values in setup.map_maker.begin(block, cover[block.id], shares[:, rows, cols], rng).items():
                memory[f"allocation.{name}"][block.id] = values
        return memory


def _refuse_missing_map(initial: NamedAdapter, year: int, first: int) -> None:
    info = initial.adapter.fields().get("land_cover")
    if info is None or info.years is None:
        return
    if not info.years[0] <= year <= info.years[1] or year in info.gaps:
        raise TimeError(
            "a predictor reads a map before the initial one, and the data set does not have it",
            expected=year,
            found=f"maps from {info.years[0]} to {info.years[1]}",
            where=f"initial, adapter {initial.name!r}; initial map of {first}",
            remedy="start the run in a later year, or give a data set with the earlier maps",
        )


def read_blocks(
    setup: LandSetup, blocks: Iterable[Block], year: int | None = None
) -> Iterator[tuple[Block, NDArray[np.uint8]]]:
    """Read the initial map, or that of another year, on some blocks, given in the order of their ids.

    Blocks of one row are read at once, because a file often holds whole rows in one piece.
    """
    for _, given in groupby(blocks, key=lambda block: block.core.row0):
        row = list(given)
        first, last = row[0].core, row[-1].core
        band = Box(first.row0, first.row1, first.col0, last.col1)
        wanted = setup.initial_year if year is None else year
        codes = read_cover(setup.initial, setup.legend, setup.grid.sub(band), wanted)
        for block in row:
            yield block, codes[block.core.slices(band)].copy()


def shared(codes: NDArray[np.uint8], legend: Legend) -> NDArray[np.uint8]:
    """The codes of a block. A block with one code that is not land becomes a read-only view of one value."""
    code = codes.flat[0]
    if code in legend.ocean and (codes == code).all():
        return np.broadcast_to(np.array(code, np.uint8), codes.shape)
    return codes


def count_no_data(setup: LandSetup, cover: Mapping[int, NDArray[np.uint8]]) -> dict[Mended, int]:
    """Number of cells of the initial map without data, by block."""
    source, year = f"initial map, {setup.initial}", setup.initial_year
    code = setup.legend.no_data
    return {Mended(source, "no_data", year, f"block {i}"): int((c == code).sum()) for i, c in cover.items()}


def read_cover(initial: NamedAdapter, legend: Legend, grid: LatLonGrid, year: int) -> NDArray[np.uint8]:
    """Read the map of a year in native codes, uint8 with the shape of ``grid``.

    Raises
    ------
    ConfigError
        The adapter reports another legend.
    DataError
        The map has codes that are not in the legend.
    """
    cover = initial.adapter.read(Request(("land_cover",), grid, (year,)))["land_cover"]
    codes = np.asarray(cover.values, np.uint8).reshape(grid.shape)
    legend.check(codes, where=f"initial map of {year}, adapter {initial.name!r}")
    given = cover.attrs.get("legend")
    if given is not None and given != legend.name:
        raise ConfigError(
            "the initial map has another legend than the run",
            expected=legend.name,
            found=given,
            where="initial",
            remedy="set `legend` and the adapter's option `legend` to the legend of the map",
        )
    return codes
