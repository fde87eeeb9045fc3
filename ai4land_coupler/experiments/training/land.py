"""Where the land of a training lies, how it changes, and the statistics of its inputs.

One pass over the maps, box by box, so that the memory depends neither on the area nor on the number of years. Held-out
cells and the sea count nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE
from ai4land_coupler.experiments.training.sources import MapSource
from ai4land_coupler.experiments.training.split import Split

#: Side of the squares whose land cells are counted (cells). Windows are drawn around the squares.
COUNTED = 32
#: Side of the boxes of the pass over the maps (cells): whole chunks of a prepared store.
_BOX = 1024

Scaling = str
Pairs = Sequence[tuple[int, int]]


@dataclass
class Moments:
    """Number, mean and sum of squared differences from the mean of values, summed up part by part (Chan et al. 1983,
    https://doi.org/10.1080/00031305.1983.10483115)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.floating], weight: NDArray[np.floating] | None = None) -> None:
        """Add values, each as often as its weight says. Values that are not finite are left out."""
        good = np.isfinite(values)
        x = values[good].astype(np.float64)
        w = np.ones(x.size) if weight is None else weight[good].astype(np.float64)
        count = float(w.sum())
        if count == 0:
            return
        mean = float((w * x).sum() / count)
        squares = float((w * np.square(x - mean)).sum())
        total = self.count + count
        apart = mean - self.mean
        self.squares += squares + apart * apart * self.count * count / total
        self.mean += apart * count / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    @property
    def root_mean_square(self) -> float:
        return float(np.sqrt(self.squares / self.count + self.mean**2)) if self.count else 0.0


@dataclass(frozen=True)
class TrainingLand:
    """Counts over the training land and the held-out land.

    Parameters
    ----------
    fine:
        The land grid.
    training, held_out:
        Number of such cells in each square of :data:`COUNTED` cells (rows, cols).
    gross_rates:
        Share of the area of each class of the view that leaves the class in one step (class,).
    """

    fine: LatLonGrid
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    gross_rates: NDArray[np.float64]

    def cell(self, rng: np.random.Generator, *, held_out: bool) -> tuple[int, int]:
        """Row and column of a random cell: a random square, by its number of land cells, and a random cell in it."""
        ends = self._ends_held_out if held_out else self._ends_training
        square = int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))
        row, col = (number * COUNTED + int(rng.integers(COUNTED)) for number in divmod(square, self.training.shape[1]))
        return min(row, self.fine.nlat - 1), min(col, self.fine.nlon - 1)

    def count_in(self, box: Box, *, held_out: bool) -> int:
        """Number of cells in the squares that a box touches."""
        counts = self.held_out if held_out else self.training
        rows = slice(max(box.row0, 0) // COUNTED, -(-box.row1 // COUNTED))
        return int(counts[rows, max(box.col0, 0) // COUNTED : -(-box.col1 // COUNTED)].sum())

    def any_in(self, box: Box, *, held_out: bool) -> bool:
        """Whether a box touches a square with such cells."""
        return self.count_in(box, held_out=held_out) > 0

    @cached_property
    def _ends_training(self) -> NDArray[np.int64]:
        return np.cumsum(self.training)

    @cached_property
    def _ends_held_out(self) -> NDArray[np.int64]:
        return np.cumsum(self.held_out)


@dataclass
class Survey:
    """What the pass over the maps finds.

    Attributes
    ----------
    static:
        Moments of static fields over the training land, by name; of log(1 + x) for the names in ``curved``.
    cells:
        Number of training cells in each cell of the forcing grid (rows, cols).
    """

    fine: LatLonGrid
    forcing: LatLonGrid
    classes: int
    static: dict[str, Moments]
    curved: frozenset[str]
    cells: NDArray[np.int64] = field(init=False)
    training: NDArray[np.int64] = field(init=False)
    held_out: NDArray[np.int64] = field(init=False)
    held: NDArray[np.float64] = field(init=False)
    left: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        squares = (-(-self.fine.nlat // COUNTED), -(-self.fine.nlon // COUNTED))
        self.cells = np.zeros(self.forcing.shape, np.int64)
        self.training, self.held_out = np.zeros(squares, np.int64), np.zeros(squares, np.int64)
        self.held, self.left = np.zeros(self.classes), np.zeros(self.classes)

    def land(self) -> TrainingLand:
        rates = np.divide(self.left, self.held, out=np.zeros(self.classes), where=self.held > 0)
        return TrainingLand(self.fine, self.training, self.held_out, rates)


def survey(
    source: MapSource,
    fine: LatLonGrid,
    forcing: LatLonGrid,
    split: Split,
    pairs: Pairs,
    validation_pairs: Pairs,
    classes: int,
    scalings: Mapping[str, Scaling],
) -> Survey:
    """Go through all boxes of the maps.

    Parameters
    ----------
    classes:
        Number of classes of the view.
    scalings:
        Static fields whose moments are wanted, with the scaling of their channels.
    """
    curved = frozenset(name for name, scaling in scalings.items() if scaling == "log1p")
    found = Survey(fine, forcing, classes, {name: Moments() for name in scalings}, curved)
    for box in boxes_of(fine, _BOX):
        _add_box(found, source, split, pairs, validation_pairs, box)
    return found


def _add_box(found: Survey, source: MapSource, split: Split, pairs: Pairs, validation_pairs: Pairs, box: Box) -> None:
    fine = found.fine
    used, held_out = ~split.unused(box), split.held_out(box)
    area = np.broadcast_to(fine.row_area[box.row0 : box.row1, None], box.shape)
    training, validation = np.zeros(box.shape, bool), np.zeros(box.shape, bool)
    for (before, after), trains, validates in _maps_of(source, pairs, validation_pairs, box):
        known = (before != OUTSIDE) & (after != OUTSIDE)
        if validates:
            validation |= known & held_out
        if trains:
            shown = known & used
            training |= shown
            leaves = shown & (before != after)
            found.held += np.bincount(before[shown], area[shown], found.classes)
            found.left += np.bincount(before[leaves], area[leaves], found.classes)
    _count(found.training, training, box)
    _count(found.held_out, validation, box)
    if not training.any():
        return
    rows = found.forcing.rows_of(fine.lat[box.row0 : box.row1])
    cols = found.forcing.cols_of(fine.lon[box.col0 : box.col1], wrap=False)
    np.add.at(found.cells, (rows[:, None], cols), training)
    for name, values in source.static(tuple(found.static), box).items():
        shown_values = values[training]
        found.static[name].add(np.log1p(np.maximum(shown_values, 0)) if name in found.curved else shown_values)


def _maps_of(
    source: MapSource, pairs: Pairs, validation_pairs: Pairs, box: Box
) -> Iterable[tuple[tuple[NDArray[np.int8], NDArray[np.int8]], bool, bool]]:
    """The two maps of each pair, and whether it is a pair of the training and of the validation. Reads a map once."""
    kept: dict[int, NDArray[np.int8]] = {}
    for pair in sorted({*pairs, *validation_pairs}):
        # A map of a later pair may be kept too: maps of one step are few.
        kept = {year: values for year, values in kept.items() if year >= min(pair)}
        kept |= source.covers([year for year in pair if year not in kept], box)
        yield (kept[pair[0]], kept[pair[1]]), pair in pairs, pair in validation_pairs


def _count(counts: NDArray[np.int64], cells: NDArray[np.bool_], box: Box) -> None:
    """Add the number of true cells of a box to each square. The box begins at the corner of a square."""
    rows = np.add.reduceat(cells, np.arange(0, box.shape[0], COUNTED), 0, dtype=np.int64)
    sums = np.add.reduceat(rows, np.arange(0, box.shape[1], COUNTED), 1)
    row, col = box.row0 // COUNTED, box.col0 // COUNTED
    counts[row : row + sums.shape[0], col : col + sums.shape[1]] += sums


def forcing_moments(
    source: MapSource, cells: NDArray[np.int64], name: str, years: Iterable[int], changes: Pairs, *, curved: bool
) -> tuple[Moments, Moments]:
    """Moments of a forcing field over the training land, and of its change from the first to the second year of pairs.

    A cell of the forcing grid counts as often as it has training cells.

    Parameters
    ----------
    cells:
        Number of training cells in each cell of the forcing grid.
    years:
        The years whose values the channels use.
    changes:
        The pairs whose change a channel uses; their years are among ``years``.
    curved:
        Whether the first moments are those of log(1 + x).
    """
    values_of, change = Moments(), Moments()
    box = Box(0, cells.shape[0], 0, cells.shape[1])
    shown = cells > 0
    weight = cells[shown].astype(np.float64)
    kept: dict[int, NDArray[np.float32]] = {}
    reach = max((abs(after - before) for before, after in changes), default=0)
    for year in sorted(set(years)):
        values = source.forcing([(name, year)], box)[name, year][shown]
        values_of.add(np.log1p(np.maximum(values, 0)) if curved else values, weight)
        kept = {y: v for y, v in kept.items() if y >= year - reach} | {year: values}
        for before, after in changes:
            if max(before, after) == year:
                change.add(kept[after] - kept[before], weight)
    return values_of, change


def boxes_of(grid: LatLonGrid, side: int) -> Iterator[Box]:
    """Boxes of ``side`` cells next to each other that cover a grid; those at its last row and column are smaller."""
    for row in range(0, grid.nlat, side):
        for col in range(0, grid.nlon, side):
            yield Box(row, row + side, col, col + side).intersect(grid.box)
