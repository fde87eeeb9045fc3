"""One block of a large twin: its first year, and each next year from the year before.

A task of a worker has one block. Between tasks, what a block needs lies in files of a temporary folder: the maps of two
years, the landscape of the land cells, their age, and the static fields until they are written. Random numbers depend
on the place and the year, sums are sums of integers, and a block sees the cells around it in the last map.
So the twin is the same with any blocks and workers, and the same as a twin that is made at once (:mod:`.generate`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.experiments.twin.demand import class_counts
from ai4land_coupler.experiments.twin.dynamics import NEIGHBOUR_REACH, Driver, Maps, Moves, changed_area
from ai4land_coupler.experiments.twin.landscape import CLASSES, LEGEND, Landscape, landscape_on, make_ground
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.part import Part, Parts, parts_of
from ai4land_coupler.experiments.twin.states import States
from ai4land_coupler.experiments.twin.writers import CoarseStatic, coarse_static, static_values

_OCEAN = 0


@dataclass(frozen=True)
class Job:
    """A twin that is made in blocks of ``side`` x ``side`` forcing cells; ``folder`` is for files between tasks."""

    options: TwinOptions
    side: int
    folder: Path

    @property
    def parts(self) -> Parts:
        return parts_of(self.options, self.side)

    def map_folder(self, year: int) -> Path:
        return self.folder / f"map-{year}"

    def static_file(self, number: int, name: str) -> Path:
        return self.folder / "static" / f"{number}-{name}.npy"

    def make_folders(self) -> None:
        for folder in ("static", "land", "past", *(f"map-{year}" for year in self.options.years)):
            (self.folder / folder).mkdir(parents=True)


class First(NamedTuple):
    """Facts of a block with land that do not change: cells and area (dm2) of land without water, and coarse fields."""

    dry_cells: int
    dry_area: int
    coarse: CoarseStatic


class Made(NamedTuple):
    """A block of a year.

    ``counts`` are the cells that can change, (6, J); ``states`` the coarse states (14, J); ``classes`` the cells of
    each class; ``changed`` the area that changed class since the year before (dm2). A block without land has ``None``.
    """

    number: int
    counts: NDArray[np.int64] | None = None
    states: NDArray[np.float32] | None = None
    classes: NDArray[np.int64] | None = None
    changed: int = 0
    first: First | None = None


def make_first_year(job: Job, number: int) -> Made:
    """Make the static fields, the landscape and the first map of a block."""
    part = job.parts.part(number)
    ground = make_ground(part)
    for name, values in static_values(ground).items():
        np.save(job.static_file(number, name), values)
    if not ground.land.any():
        return Made(number)
    landscape = landscape_on(ground)
    cover = landscape.first_map()
    states = States.first(landscape, cover)
    _save_landscape(job.folder / "land" / f"{number}.npz", landscape)
    first = First(int((landscape.land & ~landscape.water).sum()), landscape.dry_area, coarse_static(landscape, states))
    return _finish(job, number, job.options.first_year, landscape, states)._replace(first=first)


def make_next_year(job: Job, number: int, year: int, moves: Moves) -> Made:
    """Make the map of ``year`` of a block. ``moves``: numbers of cells to change, (pairs, J)."""
    part = job.parts.part(number)
    landscape = _load_landscape(job.folder / "land" / f"{number}.npz", part)
    reach = NEIGHBOUR_REACH
    around = _cover(read_codes(job, year - 1, _widened(part.land, reach)))
    cover = around[reach:-reach, reach:-reach].copy()
    with np.load(job.folder / "past" / f"{number}.npz") as past:
        primary, age = (_spread(past[name], landscape.land) for name in ("primary", "age"))
    states = States(landscape, cover, primary, age)
    after = Driver(landscape).place(cover, year, moves, around)
    states.advance(after)
    changed = changed_area(landscape, cover, after)
    return _finish(job, number, year, landscape, states)._replace(changed=changed)


def _finish(job: Job, number: int, year: int, landscape: Landscape, states: States) -> Made:
    """Store map and age of a block, and return its sums."""
    cover = states.cover
    np.save(job.map_folder(year) / f"{number}.npy", landscape.codes(cover))
    land = landscape.land
    np.savez(job.folder / "past" / f"{number}.npz", primary=states.primary[land], age=states.age[land])
    classes = np.bincount(cover[land], minlength=len(CLASSES))
    return Made(number, class_counts(landscape, cover), states.aggregate(), classes)


def read_codes(job: Job, year: int, box: Box) -> NDArray[np.uint8]:
    """Native codes of a box of land cells; ocean outside of the twin and in blocks without land."""
    codes = np.full(box.shape, _OCEAN, np.uint8)
    for number, inside in job.parts.within(box):
        file = job.map_folder(year) / f"{number}.npy"
        if file.exists():
            origin = job.parts.part(number).land
            codes[inside.slices(box)] = np.load(file, mmap_mode="r")[inside.slices(origin)]
    return codes


def read_static(job: Job, name: str, box: Box, dtype: Any) -> NDArray[Any]:
    """A static field in a box of land cells."""
    values = np.empty(box.shape, dtype)
    for number, inside in job.parts.within(box):
        origin = job.parts.part(number).land
        values[inside.slices(box)] = np.load(job.static_file(number, name), mmap_mode="r")[inside.slices(origin)]
    return values


def _cover(codes: NDArray[np.uint8]) -> Maps:
    """Classes of the legend's view."""
    return np.asarray(get_legend(LEGEND).to_view(codes), np.int8)


def _widened(box: Box, by: int) -> Box:
    return Box(box.row0 - by, box.row1 + by, box.col0 - by, box.col1 + by)


def _arrays(landscape: Landscape) -> dict[str, NDArray[Any]]:
    return {field.name: getattr(landscape, field.name) for field in fields(landscape) if field.name != "part"}


def _save_landscape(path: Path, landscape: Landscape) -> None:
    """Store the values of the land cells. The other cells are not used."""
    land = landscape.land
    arrays = {name: values[..., land] for name, values in _arrays(landscape).items() if name != "land"}
    np.savez(path, allow_pickle=False, land=np.packbits(land, axis=1), **arrays)


def _load_landscape(path: Path, part: Part) -> Landscape:
    with np.load(path) as stored:
        land = np.unpackbits(stored["land"], axis=1, count=part.shape[1]).astype(np.bool_)
        rest = {name: _spread(stored[name], land) for name in stored.files if name != "land"}
    return Landscape(part=part, land=land, **rest)


def _spread(values: NDArray[Any], land: NDArray[np.bool_]) -> NDArray[Any]:
    """Values (..., land cells) on all cells (..., Y, X); zero elsewhere."""
    spread = np.zeros((*values.shape[:-1], *land.shape), values.dtype)
    spread[..., land] = values
    return spread
