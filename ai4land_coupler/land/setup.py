"""The parts that the configuration defines: grids, block plan, adapters, predictors and clock. Fixed for a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.allocation import MapMaker
from ai4land_coupler.config.legends import find_crosswalk, find_legend
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import Legend, get_legend
from ai4land_coupler.errors import ConfigError, GridError
from ai4land_coupler.inputs.adapters import NamedAdapter, make_adapter
from ai4land_coupler.inputs.catalogue import Catalogue, make_catalogue
from ai4land_coupler.inputs.luh2 import LUH2_LATTICE
from ai4land_coupler.inputs.readers import domain_forcing_grid
from ai4land_coupler.land.block_size import choose_block
from ai4land_coupler.land.carried import refuse_what_is_not_carried
from ai4land_coupler.land.moments import COVER, history_depths
from ai4land_coupler.land.predictors import NamedPredictor
from ai4land_coupler.land.sliding import make_tiling
from ai4land_coupler.parallel import Block, BlockPlan
from ai4land_coupler.parallel.block_plan import block_plan_hash
from ai4land_coupler.registry.loading import Plugins, load_plugins
from ai4land_coupler.regrid.auto import resolve

#: Which part of a block its tiles cover.
Cores = Literal["block", "quarters", "land"]


@dataclass(frozen=True)
class LandSetup:
    """The parts of a run on one rank.

    Attributes
    ----------
    rank:
        Rank of this process in the communicator of the run.
    legend, grid, plan:
        The legend of the maps, the land grid, and its blocks.
    cores:
        Which part of a block its tiles cover: all of it, or with ``parallel.block: auto`` its land (``tile_cores.py``).
        ``quarters`` for runs that an older version began with ``auto``.
    initial:
        The adapter of the initial map.
    forcing, static:
        The adapters of the forcing and of the static fields.
    workers:
        The ranks that own blocks and predict.
    owner:
        Rank of each block. :func:`make_setup` deals the blocks by cells; ``deal_blocks`` deals them by their work.
    predictors, clock, map_maker, plugins:
        As defined in the configuration.
    regrid_backend:
        Registered name of the regridding backend.
    """

    config: Config
    rank: int
    plugins: Plugins
    legend: Legend
    initial: NamedAdapter
    grid: LatLonGrid
    forcing: Catalogue
    static: Catalogue
    plan: BlockPlan
    cores: Cores
    workers: NDArray[np.int64]
    owner: NDArray[np.int64]
    predictors: tuple[NamedPredictor, ...]
    clock: Clock
    map_maker: MapMaker
    regrid_backend: str

    @property
    def predicts(self) -> bool:
        """Whether this rank owns blocks and predicts."""
        return self.rank in self.workers

    @property
    def own_blocks(self) -> list[Block]:
        """The blocks of this rank."""
        return [block for block in self.plan.blocks if self.owner[block.id] == self.rank]

    @property
    def initial_year(self) -> int:
        """The year of the initial map."""
        year = self.config.initial.year
        return self.config.time.start if year is None else year

    @property
    def earlier_years(self) -> list[int]:
        """The years of the maps before the initial one that predictors read, the newest first."""
        step, depth = self.clock.step * self.clock.direction, history_depths(self.predictors).get(COVER, 0)
        return [self.initial_year - back * step for back in range(1, depth + 1)]

    @property
    def base_year(self) -> int:
        """The first year of the scenario's change: change is counted relative to it."""
        time = self.config.time
        return time.start if time.base_year is None else time.base_year

    @property
    def advice(self) -> list[str]:
        """What a user should know on this rank: sentences of the predictors, and of the allocation."""
        told = [f"predictor {entry.name!r}: {text}" for entry in self.predictors for text in entry.predictor.advice]
        allocation, makers = self.config.allocation, [entry.name for entry in self.predictors if entry.makes_maps]
        if makers and allocation.method == "allocate" and allocation.gross == "rates" and not self.knows_gross_change:
            told.append(
                f"predictor {makers[0]!r} knows no gross change (Predictor.gross), so only the net change of the "
                "scenario is allocated, and far fewer cells change than in observed maps: give rates by class in "
                "allocation.gross, or set it to none if this is meant"
            )
        return told

    @property
    def knows_gross_change(self) -> bool:
        """Whether a predictor knows the gross change."""
        return any(entry.predictor.gross is not None for entry in self.predictors)

    def input_files(self) -> dict[str, Path]:
        """The files that the adapters read: path or URL -> local path."""
        found = dict(self.initial.input_files([self.initial_year, *self.earlier_years]))
        for entry in (*self.forcing.adapters, *self.static.adapters):
            found |= entry.input_files()
        return found

    @property
    def follows_scenario(self) -> bool:
        """Whether the allocation needs the scenario's shares of land."""
        return self.config.allocation.method == "allocate" and bool(self.config.forcing)


def make_setup(config: Config, rank: int = 0, size: int = 1) -> LandSetup:
    """Build the parts that a configuration defines. Load the predictors if this rank predicts. Local.

    Parameters
    ----------
    rank, size:
        This rank, and the number of ranks.

    Raises
    ------
    Ai4LandError
        Plugins, options, grids, legends or steps are wrong or do not match each other.
    """
    regrid_backend = resolve(config.regrid.backend, size)
    legend = find_legend(config.legend, config.base)
    crosswalk = find_crosswalk(config.allocation.crosswalk, config.base)
    plugins = load_plugins(config.plugins.allow)
    initial = make_adapter(config, plugins, "initial", config.initial)
    grid = _land_grid(initial)
    forcing = make_catalogue(config, plugins, "forcing")
    static = make_catalogue(config, plugins, "static")
    workers = _worker_ranks(config, size)
    predictors = _predictors(config, plugins, legend)
    clock = _clock(config, predictors)
    refuse_what_is_not_carried(predictors, clock)
    plan = _block_plan(config, grid, _forcing_grid(config, grid, forcing), predictors)
    for entry in predictors:
        make_tiling(config.parallel.tiling).check(grid, entry.spec)
    setup = LandSetup(
        config=config,
        rank=rank,
        plugins=plugins,
        legend=legend,
        initial=initial,
        grid=grid,
        forcing=forcing,
        static=static,
        plan=plan,
        cores="land" if config.parallel.block == "auto" else "block",
        workers=workers,
        owner=workers[plan.owners(len(workers))],
        predictors=predictors,
        clock=clock,
        map_maker=MapMaker(plan, legend, crosswalk, config.allocation, _gross_rates(predictors)),
        regrid_backend=regrid_backend,
    )
    if setup.predicts:
        for entry in predictors:
            entry.predictor.load()
    return setup


def _worker_ranks(config: Config, size: int) -> NDArray[np.int64]:
    """The ranks that own land and predict. They are distributed evenly over the communicator."""
    wanted = config.parallel.workers
    count = size if wanted == "all" else min(wanted, size)
    return np.arange(count) * size // count


def _land_grid(initial: NamedAdapter) -> LatLonGrid:
    grid = initial.adapter.grid()
    if grid is None:
        raise GridError(f"adapter {initial.name!r} cannot give the land grid", where="initial", remedy="use hilda")
    return grid


def _forcing_grid(config: Config, grid: LatLonGrid, forcing: Catalogue) -> LatLonGrid:
    """The forcing cells that contain land cells. Without forcing: cells of LUH2, or land cells if these are larger."""
    if config.forcing:
        return domain_forcing_grid(grid, forcing.lattice, "forcing")
    finer = grid.dlon <= LUH2_LATTICE.dlon and abs(grid.dlat) <= abs(LUH2_LATTICE.dlat)
    return domain_forcing_grid(grid, LUH2_LATTICE, "forcing") if finer else grid


def _block_plan(
    config: Config, grid: LatLonGrid, forcing: LatLonGrid, predictors: tuple[NamedPredictor, ...]
) -> BlockPlan:
    parallel = config.parallel
    block = parallel.block
    if block == "auto":
        tiling = make_tiling(parallel.tiling)
        block = choose_block(parallel.memory, grid, forcing, [entry.predictor for entry in predictors], tiling)
    return BlockPlan(grid, forcing, block)


def with_blocks_of(setup: LandSetup, restart: Mapping[str, Any]) -> LandSetup:
    """The setup with the blocks and the cores of a restart, if ``parallel.block: auto`` would now choose others.

    Another version, or other memory, may have chosen them. If the restart has other grids, its blocks are not known.

    Parameters
    ----------
    restart:
        The attributes of the restart (``land/identity.py``).
    """
    if setup.config.parallel.block != "auto":
        return setup
    setup = replace(setup, cores="land" if restart.get("cores") == "land" else "quarters")
    if restart.get("block_plan") == setup.plan.hash:
        return setup
    for block in range(1, max(setup.plan.forcing.shape) + 1):
        if restart.get("block_plan") == block_plan_hash(setup.plan.fine, setup.plan.forcing, block):
            plan = replace(setup.plan, block=block)
            owner = setup.workers[plan.owners(len(setup.workers))]
            map_maker = MapMaker(
                plan, setup.legend, setup.map_maker.crosswalk, setup.config.allocation, _gross_rates(setup.predictors)
            )
            return replace(setup, plan=plan, owner=owner, map_maker=map_maker)
    return setup


def _predictors(config: Config, plugins: Plugins, legend: Legend) -> tuple[NamedPredictor, ...]:
    made = []
    for i, choice in enumerate(config.predictors):
        where = f"predictors[{i}]"
        predictor = plugins.create("predictor", choice.name, choice.options, where, base=config.base)
        trained = predictor.spec.legend
        if trained is not None and not get_legend(trained).same_view(legend):
            raise ConfigError(
                "a predictor speaks another legend than the run",
                expected=legend.name,
                found=trained,
                where=f"{where}, predictor {choice.name!r}",
                remedy="take a predictor trained with the legend of the initial map",
            )
        made.append(NamedPredictor(choice.name, predictor))
    return tuple(made)


def _gross_rates(predictors: tuple[NamedPredictor, ...]) -> Mapping[str, float] | None:
    return next((entry.predictor.gross.rates() for entry in predictors if entry.predictor.gross is not None), None)


def _clock(config: Config, predictors: tuple[NamedPredictor, ...]) -> Clock:
    """The clock of the run. Its step is the step of the land cover predictor."""
    time = config.time
    makers = [entry for entry in predictors if entry.makes_maps]
    step = makers[0].spec.interval.years if makers else 1
    clock = Clock(time.start, time.stop, max(step, 1))
    for entry in predictors:
        if entry.spec.direction != clock.direction:
            raise ConfigError(
                "a predictor was trained for the other direction in time",
                expected="backward" if clock.direction < 0 else "forward",
                found="forward" if clock.direction < 0 else "backward",
                where=f"predictor {entry.name!r}",
                remedy="backward runs (time.stop before time.start) need their own weights",
            )
        years = entry.spec.interval.years
        if years and years != clock.step:
            raise ConfigError(
                "two predictors step by different intervals",
                expected=f"P{clock.step}Y",
                found=entry.spec.step,
                where=f"predictor {entry.name!r}",
            )
    return clock
