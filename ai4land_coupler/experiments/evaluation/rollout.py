"""Judges maps of many years: a predictor's free run, in which each step starts from its own map, or a finished store.

Each year is compared with the observed map of that year. Change counts from the observed map of the first year, and the
*lead* is the distance to that year.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import Legend, get_legend
from ai4land_coupler.errors import ConfigError, DataError, GridError
from ai4land_coupler.experiments.evaluation.blocks import EvaluationBlocks
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig, JudgedSection
from ai4land_coupler.experiments.evaluation.judged import Judged, Timing
from ai4land_coupler.experiments.evaluation.maps import Judging, ObservedMaps
from ai4land_coupler.experiments.evaluation.sums import Cells, map_sums
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.store.output import open_store

Classes = NDArray[np.int8]
#: The part of the evaluation with the sums over all years, in :class:`Judged`.
ROLLOUT = "rollout"
#: The name of the predicted map in the names of sums.
MAP = "map"


def part_of(lead: int) -> str:
    """The part of the evaluation of a lead in years."""
    return f"lead {lead}"


class MapSeries(Protocol):
    """Maps of some years."""

    def classes(self, year: int, window: Box) -> Classes:
        """Classes of a box of the grid."""
        ...


@dataclass(frozen=True)
class RunMaps:
    """The maps of a run in memory: native codes of its blocks by year."""

    plan: BlockPlan
    legend: Legend
    covers: dict[int, Mapping[int, NDArray[np.uint8]]]

    def classes(self, year: int, window: Box) -> Classes:
        """Classes of a box of the grid."""
        codes = np.full(window.shape, self.legend.no_data, np.uint8)
        for block, part in self.plan.touching(window):
            codes[part.slices(window)] = self.covers[year][block.id][part.slices(block.core)]
        return self.legend.to_view(codes)


class StoreMaps:
    """The maps of a finished run, read box by box.

    Raises
    ------
    DataError
        There is no store.
    ConfigError, GridError
        Its legend or its grid differ from those of the observed maps.
    """

    def __init__(self, path: Path, grid: LatLonGrid, legend: Legend) -> None:
        data = open_store(path)
        self._cover = data["land_cover"]
        self.years = [int(year) for year in data["year"].values]
        self._row = {year: i for i, year in enumerate(self.years)}
        found = get_legend(self._cover.attrs["legend"])
        if not found.same_view(legend):
            raise ConfigError(
                "a store has another legend than the observed maps",
                expected=legend.name,
                found=found.name,
                where=path,
                remedy="judge it against maps with the same legend",
            )
        lat, lon = data["lat"].values, data["lon"].values
        if (lat.size, lon.size) != grid.shape or not (
            np.allclose(lat, grid.lat, atol=1e-4) and np.allclose(lon, grid.lon, atol=1e-4)
        ):
            raise GridError(
                "a store has another grid than the observed maps",
                expected=grid,
                found=f"{lat.size} x {lon.size} cells, first centre {lat[0]:.6g} N, {lon[0]:.6g} E",
                where=path,
                remedy="judge it against the maps that its first map comes from",
            )
        self._legend = found

    def classes(self, year: int, window: Box) -> Classes:
        """Classes of a box of the grid."""
        rows, cols = window.slices()
        return self._legend.to_view(self._cover[self._row[year], rows, cols].values.astype(np.uint8))


@dataclass(frozen=True)
class Rollouts:
    """Judges free runs and stores.

    Parameters
    ----------
    observed, blocks, judging:
        The observed maps, the blocks of the evaluation, and the cells that are judged.
    """

    config: EvaluateConfig
    timing: Timing
    observed: ObservedMaps
    blocks: EvaluationBlocks
    judging: Judging

    @property
    def years(self) -> tuple[int, ...]:
        """The years with observed maps."""
        return self.config.cover.all_years()

    def starts(self) -> tuple[int, ...]:
        """The first years of the runs.

        Raises
        ------
        ConfigError
            There is no observed map of a first year.
        """
        section = self.config.rollout
        assert section is not None
        first = self.years[0] if self.timing.direction == 1 else self.years[-1]
        starts = section.starts or (first,)
        unknown = [year for year in starts if year not in self.years]
        if unknown:
            raise ConfigError(
                "a free run starts in a year without an observed map",
                expected=f"years from {self.years[0]} to {self.years[-1]} of `cover.years`",
                found=", ".join(map(str, unknown)),
                where=f"{self.config.where}: rollout.starts",
                remedy="change rollout.starts or cover.years",
            )
        return starts

    def judge_run(self, judged: Judged, choice: JudgedSection) -> Iterator[tuple[int, int]]:
        """Run a predictor freely from each first year, and add the sums. Yields (first year, year) after each step."""
        section = self.config.rollout
        assert section is not None
        for start in self.starts():
            stop = start + self.timing.direction * section.years
            component = LandComponent(self.config.run_of(choice, start, stop), online=False)
            component.initialize()
            component.check_forcing()
            component.realize()
            setup = component.setup
            maps = RunMaps(setup.plan, setup.legend, {start: component.state.cover})
            for clock in component.clock.remaining():
                component.run(clock.now)
                maps.covers[clock.now] = component.state.cover
                self._add(judged, maps, start, clock.now, sorted(maps.covers, reverse=self.timing.direction < 0))
                maps.covers.pop(clock.now - 2 * self.timing.years, None)
                yield start, clock.now
            component.finalize()

    def judge_store(self, judged: Judged, path: Path) -> Iterator[tuple[int, int]]:
        """Add the sums of a finished run. Yields (first year, year) after each year.

        Raises
        ------
        DataError
            The store has no two years with observed maps.
        """
        maps = StoreMaps(path, self.observed.grid, self.observed.legend)
        start = maps.years[0]
        common = [year for year in maps.years if year in self.years]
        if start not in common or len(common) < 2:
            raise DataError(
                "a store cannot be compared with the observed maps",
                expected="observed maps of its first year and of a later one",
                found=f"store: {maps.years[0]} to {maps.years[-1]}; maps: {self.years[0]} to {self.years[-1]}",
                where=path,
                remedy="add the years of the store to `cover.years`",
            )
        for year in common[1:]:
            self._add(judged, maps, start, year, [y for y in common if abs(y - start) <= abs(year - start)])
            yield start, year

    def _add(self, judged: Judged, maps: MapSeries, start: int, year: int, known: list[int]) -> None:
        """Add the sums of one year. ``known``: the years of the run up to this one that can be read, in its order."""
        if year not in self.years:
            return
        grid, count = self.observed.grid, len(self.observed.legend.view)
        last = known[-3:]
        has_three = len(last) == 3 and all(y in self.years for y in last)
        for tile in self.blocks.tiles():
            core = tile.whole.core
            before, observed = self.observed.classes(start, core), self.observed.classes(year, core)
            predicted = maps.classes(year, core)
            inside = self.judging.cells(core, before, observed, predicted)
            if not inside.any():
                continue
            series = [[s.classes(y, core) for y in last] for s in (maps, self.observed)] if has_three else []
            for block in tile.blocks:
                part = block.core.slices(core)
                if not inside[part].any():
                    continue
                cells = Cells(grid, block.core, inside[part], self.config.weights == "area")
                home = self.blocks.forcing_cells(block)
                found = map_sums(cells, before[part], observed[part], predicted[part], home, count)
                sums = {f"{MAP}.{name}": values for name, values in found.items()}
                judged.add(part_of(abs(year - start)), "", block.id, sums)
                if series:
                    flips = np.concatenate([flip_sums(cells, [m[part] for m in three]) for three in series])
                    judged.add(ROLLOUT, "", block.id, {"flip": flips})


def flip_sums(cells: Cells, three: list[Classes]) -> NDArray[np.float64]:
    """Weight of change in the first of two steps, and of the part of it that the second step takes back: (2,)."""
    first, second, third = three
    changed = cells.judged & (first != second)
    weight = cells.weight
    return np.array([weight[changed].sum(), weight[changed & (third == first)].sum()])
