"""Makes a twin of any size in blocks, by workers, in bounded memory.

One task makes one block of one year (:mod:`.blocks`). This module hands out the tasks, adds their sums, computes the
demand of the next year on the forcing grid, and lets workers write the files. A year starts when the last one is done.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.experiments.twin.blocks import (
    Job,
    Made,
    make_first_year,
    make_next_year,
    read_codes,
    read_static,
)
from ai4land_coupler.experiments.twin.demand import PAIRS, Demand
from ai4land_coupler.experiments.twin.landscape import CLASSES, N_DYNAMIC, check_land
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.report import ArrayHash, TwinReport
from ai4land_coupler.experiments.twin.states import MISSING, STATES
from ai4land_coupler.experiments.twin.writers import (
    STATIC_FILES,
    CoarseStatic,
    hilda_name,
    new_states,
    new_static,
    new_static_file,
    scenario_name,
    static_type,
    write_luh2_static,
    write_map_in_tiles,
)
from ai4land_coupler.experiments.workers import Task, Workers

#: Cells of a block in each direction, about; and the most forcing cells (10 degrees), as climate zones are read at 100
#: arc seconds whatever the size of a cell.
_BLOCK, _MOST = 512, 40
#: Rows and columns of the tiles of a map and the chunks of a static field.
TILE = 256
#: Blocks may be made so many bands of tiles before the band that is written.
_AHEAD = 4
Progress = Callable[[int, int], None]


def default_side(options: TwinOptions) -> int:
    """Forcing cells of a block in each direction."""
    return min(max(1, round(_BLOCK * -options.land_grid.dlat / 0.25)), _MOST)


def make_in_blocks(
    options: TwinOptions, temporary: Path, target: Path, side: int, workers: Workers, progress: Progress
) -> TwinReport:
    """Write the files of a twin into a temporary folder."""
    job = Job(options, side, temporary / "blocks")
    job.make_folders()
    with ExitStack() as stack:
        world = _World(job, temporary, workers, progress, _StatesFiles(options, temporary, stack))
        world.make_first_year()
        for year in options.years[1:]:
            world.make_next_year(year)
        world.write_last_map()
    shutil.rmtree(job.folder)
    files = sorted(p.relative_to(temporary) for p in temporary.rglob("*") if p.is_file())
    return TwinReport(folder=target, options=options, files=tuple(files), **world.facts())


class _World:
    """The sums of a year on the forcing grid, and what is known of the years before."""

    def __init__(
        self, job: Job, folder: Path, workers: Workers, progress: Progress, states_files: _StatesFiles
    ) -> None:
        self._job, self._folder, self._workers, self._states_files = job, folder, workers, states_files
        options = job.options
        self._options = options
        size = options.forcing_grid.size
        self._counts = np.zeros((N_DYNAMIC, size), np.int64)
        self._states = np.full((len(STATES), size), MISSING, np.float32)
        self._classes = np.zeros(len(CLASSES), np.int64)
        self._first_classes = self._classes
        self._coarse = CoarseStatic(np.ones(size), np.zeros(size), np.zeros(size))
        self._dry_cells = self._dry_area = self._changed = 0
        self._land: list[int] = []
        self._gross: dict[int, float] = {}
        self._net: list[float] = []
        self._hash_maps, self._hash_states = ArrayHash(), ArrayHash()
        self._done, self._total, self._report = 0, job.parts.count * len(options.years), progress
        self._demand: Demand | None = None

    # ---- years ----------------------------------------------------------------------------------------------------

    def make_first_year(self) -> None:
        """The first map, and all static fields."""
        statics = _StaticFiles(self._job, self._folder / "static")
        for result in self._workers.run(statics.tasks()):
            if isinstance(result, Made):
                self._add(result)
                statics.made(result.number)
            else:
                statics.written(*result)
        self._land.sort()
        check_land(self._options, bool(self._land))
        write_luh2_static(self._folder / "luh2" / "staticData_quarterdeg.nc", self._options, self._coarse)
        self._first_classes = self._classes
        cells = np.flatnonzero(self._counts.sum(axis=0))
        self._demand = Demand(self._options, self._dry_area, cells)
        self._end(self._options.first_year)

    def make_next_year(self, year: int) -> None:
        """The map of the next year. The map of the year before is written at the same time."""
        assert self._demand is not None
        cells, before = self._demand.cells, self._counts
        moves = self._demand.moves(year, before[:, cells])
        self._counts, self._classes, self._changed = np.zeros_like(before), np.zeros_like(self._classes), 0
        self._advance(self._job.parts.count - len(self._land))

        def tasks() -> Iterator[Task]:
            yield self._map_task(year - 1)
            for number in self._land:
                here = self._places(number).ravel()
                at = np.minimum(np.searchsorted(cells, here), max(cells.size - 1, 0))
                found = np.flatnonzero(cells[at] == here) if cells.size else np.zeros(0, np.int64)
                own = np.zeros((len(PAIRS), here.size), np.int64)
                own[:, found] = moves[:, at[found]]
                yield make_next_year, (self._job, number, year, own)

        for result in self._workers.run(tasks()):
            if isinstance(result, Made):
                self._add(result)
        shutil.rmtree(self._job.map_folder(year - 1))
        self._demand.record(self._changed)
        self._gross[year] = self._changed / self._dry_area
        self._net.append(float(np.abs(self._counts - before).sum() / 2))
        self._end(year)

    def write_last_map(self) -> None:
        for _ in self._workers.run([self._map_task(self._options.last_year)]):
            pass

    def facts(self) -> dict[str, object]:
        """The facts of the report."""
        options = self._options
        shares = ((n / n.sum()).tolist() for n in (self._first_classes, self._classes))
        return {
            "cells": options.land_grid.size,
            "land_cells": self._dry_cells,
            "forcing_cells": options.forcing_grid.size,
            "gross_change": self._gross,
            "net_change": float(np.mean(self._net) / self._dry_cells),
            "class_shares": {c: pair for c, *pair in zip(CLASSES, *shares, strict=True)},
            "skill": (),
            "maps_sha256": self._hash_maps.hex,
            "states_sha256": self._hash_states.hex,
        }

    # ---- parts of a year ------------------------------------------------------------------------------------------

    def _add(self, made: Made) -> None:
        """Put the sums of a block in their places."""
        self._advance(1)
        if made.counts is None or made.states is None or made.classes is None:
            return
        at = self._places(made.number).ravel()
        self._counts[:, at], self._states[:, at] = made.counts, made.states
        self._classes = self._classes + made.classes
        self._changed += made.changed
        if made.first is not None:
            self._land.append(made.number)
            self._dry_cells += made.first.dry_cells
            self._dry_area += made.first.dry_area
            for field, values in zip(self._coarse, made.first.coarse, strict=True):
                field[at] = values

    def _places(self, number: int) -> NDArray[np.int64]:
        """Numbers of a block's forcing cells in the forcing grid."""
        box = self._job.parts.part(number).forcing
        rows, cols = np.arange(box.row0, box.row1), np.arange(box.col0, box.col1)
        return np.asarray(rows[:, None] * self._options.forcing_grid.nlon + cols)

    def _end(self, year: int) -> None:
        """Hash and write what a finished year has."""
        grid = self._options.land_grid
        bands = (read_codes(self._job, year, box) for box in _bands(grid))
        self._hash_maps.update_parts(grid.shape, np.uint8, bands)
        self._hash_states.update(self._states)
        self._states_files.write(year, self._states)

    def _map_task(self, year: int) -> Task:
        return write_map_of_year, (self._job, self._folder / "hilda" / hilda_name(year), year)

    def _advance(self, count: int) -> None:
        self._done += count
        self._report(self._done, self._total)


class _StatesFiles:
    """The historical file and the scenario file. Both contain the year in which the scenario starts."""

    def __init__(self, options: TwinOptions, folder: Path, stack: ExitStack) -> None:
        start, years = options.scenario_start, options.years
        history = [year for year in years if year <= start]
        self._files = [(history, stack.enter_context(new_states(folder / "luh2" / "states.nc", options, history, 850)))]
        if start < options.last_year:
            future = [year for year in years if year >= start]
            (folder / "scenario").mkdir()
            path = folder / "scenario" / scenario_name(options)
            self._files.append((future, stack.enter_context(new_states(path, options, future, start))))

    def write(self, year: int, values: NDArray[np.float32]) -> None:
        """Write the states of a year, (14, J)."""
        for years, put in self._files:
            if year in years:
                for number, field in enumerate(values):
                    put(years.index(year), number, field)


class _StaticFiles:
    """Hands out the blocks of the first year, and the writing of static fields as soon as whole rows are there.

    One worker at a time writes to a file: one band of rows after the other.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        self._job, self._folder = job, folder
        self._bands = list(_bands(job.options.land_grid))
        self._next = dict.fromkeys(STATIC_FILES, 0)
        self._busy: set[str] = set()
        self._ready: deque[Task] = deque()
        self._open_blocks = [len(job.parts.cols)] * len(job.parts.rows)
        self._removed = 0
        chunks = tuple(min(TILE, size) for size in job.options.land_grid.shape)
        for file, variables in STATIC_FILES.items():
            with new_static_file(folder / file, job.options.land_grid) as dataset:
                for name, attributes in variables.items():
                    new_static(dataset, name, attributes, (chunks[0], chunks[1]))

    def tasks(self) -> Iterator[Task]:
        columns = len(self._job.parts.cols)
        for number in range(self._job.parts.count):
            while self._ready or self._job.parts.rows[number // columns][2] >= self._written() + _AHEAD * TILE:
                yield self._ready.popleft() if self._ready else None
            yield make_first_year, (self._job, number)
        while any(done < len(self._bands) for done in self._next.values()):
            yield self._ready.popleft() if self._ready else None

    def made(self, number: int) -> None:
        """A block was made."""
        self._open_blocks[number // len(self._job.parts.cols)] -= 1
        self._look()

    def written(self, file: str, band: int) -> None:
        """A band was written to a file."""
        self._busy.remove(file)
        self._next[file] = band + 1
        self._look()
        done = self._written()
        while self._removed < len(self._open_blocks) and self._job.parts.rows[self._removed][3] <= done:
            columns = len(self._job.parts.cols)
            for number in range(self._removed * columns, (self._removed + 1) * columns):
                for name in (name for variables in STATIC_FILES.values() for name in variables):
                    self._job.static_file(number, name).unlink()
            self._removed += 1

    def _written(self) -> int:
        """Number of rows that all files have."""
        bands = min(self._next.values())
        return self._bands[bands - 1].row1 if bands else 0

    def _look(self) -> None:
        """Put the bands on the list that can be written now."""
        whole = next((row for row, left in enumerate(self._open_blocks) if left), len(self._open_blocks))
        rows = self._job.parts.rows[whole - 1][3] if whole else 0
        for file, band in self._next.items():
            if file not in self._busy and band < len(self._bands) and self._bands[band].row1 <= rows:
                self._busy.add(file)
                self._ready.append((write_static_band, (self._job, self._folder / file, band)))


# ---- tasks --------------------------------------------------------------------------------------------------------


def write_static_band(job: Job, path: Path, band: int) -> tuple[str, int]:
    """Write one row of chunks of a file of static fields."""
    import netCDF4

    box = list(_bands(job.options.land_grid))[band]
    with netCDF4.Dataset(path, "r+") as dataset:
        for name in STATIC_FILES[path.name]:
            dataset[name][box.row0 : box.row1] = read_static(job, name, box, static_type(name))
    return path.name, band


def write_map_of_year(job: Job, path: Path, year: int) -> None:
    """Write the map of a year as a GeoTIFF in tiles."""
    grid = job.options.land_grid
    write_map_in_tiles(path, grid, TILE, ((box.row0, read_codes(job, year, box)) for box in _bands(grid)))


def _bands(grid: LatLonGrid) -> Iterator[Box]:
    """Boxes of whole rows, as high as a tile."""
    for row in range(0, grid.nlat, TILE):
        yield Box(row, min(row + TILE, grid.nlat), 0, grid.nlon)
