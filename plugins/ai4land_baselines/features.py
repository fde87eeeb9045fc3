"""The features of gradient boosting: what is known about a cell and its neighbourhood before a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_baselines.bundle import Card, Input
from ai4land_baselines.parts import core_of, previous_map
from ai4land_baselines.shares import distances, land_cells
from ai4land_coupler.api import OUTSIDE, Batch, FieldSpec, cell_sums, counts_around


@dataclass(frozen=True)
class Features:
    """The features, in this order.

    For each class whether the cell has it; for each radius the share of land in the window, and of each class in the
    land; the distance to each class and to the sea; the inputs; with ``suitability``, for each class what
    :func:`ai4land_baselines.suitability.suitability_features` gives.

    Parameters
    ----------
    classes:
        Number of classes.
    radii, distance, inputs, suitability:
        As on the card (:class:`ai4land_baselines.bundle.Card`).
    """

    classes: int
    radii: tuple[int, ...]
    distance: int
    inputs: tuple[Input, ...]
    suitability: bool = False

    @classmethod
    def of_card(cls, card: Card) -> Features:
        """The features of a bundle."""
        return cls(len(card.classes), card.radii, card.distance, card.inputs, card.suitability)

    @property
    def halo(self) -> int:
        """Cells around a cell on which its features depend."""
        return max(*self.radii, self.distance)

    @property
    def count(self) -> int:
        """Number of features."""
        return self.plain + 2 * self.classes * self.suitability

    @property
    def plain(self) -> int:
        """Number of features without those of suitability."""
        around = (self.classes + 1) * len(self.radii)
        return self.classes + around + (self.classes + 1) * (self.distance > 0) + len(self.inputs)

    @property
    def static(self) -> tuple[Input, ...]:
        """The inputs that never change."""
        return tuple(item for item in self.inputs if item.source == "static")

    @property
    def surroundings(self) -> int:
        """Number of features of the trees of suitability."""
        return (self.classes + 1) * len(self.radii) + len(self.static)

    def fields(self) -> tuple[FieldSpec, ...]:
        """The input fields besides the previous map: one for each name, with its offsets."""
        groups: dict[str, list[Input]] = {}
        for item in self.inputs:
            groups.setdefault(item.name, []).append(item)
        return tuple(
            FieldSpec(
                name,
                group[0].units,
                group[0].source,
                grid="coarse" if group[0].source == "forcing" else "land",
                offsets=tuple(item.offset for item in group),
                missing=group[0].missing,
                fill=group[0].fill,
            )
            for name, group in groups.items()
        )


class WindowFeatures:
    """The land cells of one window that are predicted, and their features.

    Parameters
    ----------
    chosen:
        Only these cells, (Y, X) of the predicted part of the window. Default: all.

    Attributes
    ----------
    rows, cols:
        Row and column of each cell in the predicted part, (n,).
    current:
        Class of each cell in the step before, int8 (n,).
    """

    def __init__(self, features: Features, batch: Batch, item: int, chosen: NDArray[np.bool_] | None = None) -> None:
        self._features, self._batch, self._item = features, batch, item
        cover, core = previous_map(batch, item), core_of(batch, item)
        rows, cols = land_cells(cover, core)
        top, left = core[0].start or 0, core[1].start or 0
        if chosen is not None:
            kept = chosen[rows - top, cols - left]
            rows, cols = rows[kept], cols[kept]
        self._place = rows, cols
        self.rows, self.cols, self.current = rows - top, cols - left, cover[rows, cols]
        self._sums = cell_sums(cover, features.classes)
        self._layer = {(spec.name, offset): t for spec in features.fields() for t, offset in enumerate(spec.offsets)}
        self._distances: NDArray[np.float32] | None = None
        if features.distance:
            kinds = [*range(features.classes), OUTSIDE]
            self._distances = distances(cover, kinds, rows, cols, features.distance)

    def table(self, part: slice) -> NDArray[np.float32]:
        """Features (feature, n) of some of the cells, without those of suitability."""
        features = self._features
        classes, current = features.classes, self.current[part]
        rows, cols = (index[part] for index in self._place)
        table = np.empty((features.plain, current.size), np.float32)
        table[:classes] = current == np.arange(classes)[:, None]
        at = classes
        for radius in features.radii:
            counts = counts_around(self._sums, rows, cols, radius)
            land = counts.sum(axis=0)
            table[at] = land / (2 * radius + 1) ** 2
            table[at + 1 : at + 1 + classes] = counts / land
            at += classes + 1
        if self._distances is not None:
            table[at : at + classes + 1] = self._distances[:, part]
            at += classes + 1
        for entry in features.inputs:
            table[at] = self._input(entry, rows, cols)
            at += 1
        return table

    def surroundings(self, part: slice) -> NDArray[np.float32]:
        """Features (feature, n) of the trees of suitability, which do not depend on the cell's own class.

        For each radius the share of land in the window, and of each class in the land, both without the cell itself (0
        if there is no other land); the static fields.
        """
        features, current = self._features, self.current[part]
        rows, cols = (index[part] for index in self._place)
        table = np.empty((features.surroundings, current.size), np.float32)
        at = 0
        for radius in features.radii:
            counts = counts_around(self._sums, rows, cols, radius)
            counts[current, np.arange(current.size)] -= 1
            land = counts.sum(axis=0)
            table[at] = land / ((2 * radius + 1) ** 2 - 1)
            table[at + 1 : at + 1 + features.classes] = counts / np.maximum(land, 1)
            at += features.classes + 1
        for entry in features.static:
            table[at] = self._input(entry, rows, cols)
            at += 1
        return table

    def _input(self, entry: Input, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.float32]:
        """The values of an input in some cells, as a feature."""
        values = _values(self._batch, self._item, entry, self._layer[entry.name, entry.offset], rows, cols)
        if entry.minus is not None:
            values = values - _values(self._batch, self._item, entry, self._layer[entry.name, entry.minus], rows, cols)
        return np.cos(np.deg2rad(values)) if entry.cosine else values


def _values(
    batch: Batch, item: int, entry: Input, layer: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The values of a field in some cells of a window."""
    values: NDArray[np.float32] = batch.fields[entry.name][item, layer]
    if entry.source == "forcing" and batch.coarse:
        index = batch.coarse[item]
        return values[index.rows[rows], index.cols[cols]]
    return values[rows, cols]
