"""What the networks read about a cell in a month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import OUTSIDE, Batch, FieldSpec, PredictorSpec, cell_sums, counts_around
from ai4land_lai.card import COVER, OUTPUTS, Card, Input

#: Inputs that tell the season: cosine and sine of one and of two waves a year.
SEASON = 4


def season_of(month: int, south: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Month of the season, 0 to 11: that of the calendar in the north, six months later in the south."""
    return np.where(south, month + 5, month - 1) % 12


def waves(season: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine and sine of one and of two waves a year, (n, :data:`SEASON`)."""
    angle = 2 * np.pi * np.arange(12) / 12
    table = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)
    return np.asarray(table[season], np.float32)


@dataclass(frozen=True)
class Features:
    """The inputs of the networks, in this order: the season; for each radius the share of each class in the land; the
    fields at each of their offsets.

    Parameters
    ----------
    classes:
        Number of classes.
    radii, inputs:
        As on the card (:class:`ai4land_lai.card.Card`).
    """

    classes: int
    radii: tuple[int, ...]
    inputs: tuple[Input, ...]

    @classmethod
    def of(cls, card: Card) -> Self:
        """The features of a bundle."""
        return cls(len(card.classes), card.radii, card.inputs)

    @property
    def halo(self) -> int:
        """Cells around a cell on which its features depend."""
        return max(self.radii, default=0)

    @property
    def count(self) -> int:
        """Number of features."""
        return SEASON + self.classes * len(self.radii) + sum(len(item.offsets) for item in self.inputs)

    def spec(self, legend: str) -> PredictorSpec:
        """The specification of the predictor: it reads the map of the same year, and the fields of the card."""
        return PredictorSpec(
            inputs=(FieldSpec(COVER, "1", source="cover"), *(item.spec() for item in self.inputs)),
            outputs=tuple(FieldSpec(name, "m2 m-2", source="output") for name in OUTPUTS),
            legend=legend,
            step="P1M",
            halo=self.halo,
        )

    def table(
        self, batch: Batch, item: int, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The features of some land cells of a window.

        Parameters
        ----------
        rows, cols:
            The cells in the window, (n,).

        Returns
        -------
        The features (n, count), and the month of the season (n,).
        """
        season = season_of(batch.time[1], southern(batch, item, rows))
        cover = batch.fields[COVER][item, 0]
        columns = [waves(season)]
        sums = cell_sums(cover, self.classes)
        for radius in self.radii:
            counts = counts_around(sums, rows, cols, radius)
            columns.append((counts / np.maximum(counts.sum(axis=0), 1)).T.astype(np.float32))
        for entry in self.inputs:
            layers = batch.fields[entry.name][item]
            if entry.source != "static" and batch.coarse:
                index = batch.coarse[item]
                values = layers[:, index.rows[rows], index.cols[cols]]
            else:
                values = layers[:, rows, cols]
            columns.append(((values - np.float32(entry.mean)) / np.float32(entry.scale)).T)
        return np.concatenate(columns, axis=1, dtype=np.float32), season


def southern(batch: Batch, item: int, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each cell lies south of the equator; a batch without a land grid lies north of it."""
    if batch.grid is None:
        return np.zeros(rows.size, bool)
    row = batch.tiles[item].window.row0 + rows
    return np.asarray(batch.grid.lat0 + batch.grid.dlat * (row + 0.5) < 0)


def land_of(batch: Batch, item: int) -> tuple[slice, slice]:
    """The part of a window that is predicted: the core of a single tile, else the whole window."""
    if len(batch.tiles) == 1:
        return batch.tiles[0].core.slices(batch.tiles[0].window)
    rows, cols = batch.fields[COVER].shape[-2:]
    return slice(0, rows), slice(0, cols)


def cells_of(batch: Batch, item: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns, in the window, of the land cells that are predicted."""
    core = land_of(batch, item)
    rows, cols = np.nonzero(batch.fields[COVER][item, 0][core] != OUTSIDE)
    return rows + (core[0].start or 0), cols + (core[1].start or 0)
