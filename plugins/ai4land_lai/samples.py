"""The samples of a training: cells in months, with what the networks read and the leaf area index that was observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import FieldTrainingData, Legend
from ai4land_lai.card import COVER, Input, LeafRange
from ai4land_lai.features import Features, cells_of, land_of
from ai4land_lai.options import Vegetation

#: Side of the windows that are read (cells).
_WINDOW = 512

#: CF area types without leaves (https://cfconventions.org/Data/area-type-table).
_BARREN = frozenset({"lake", "sea", "land_ice", "ice_sheet", "snow", "floating_ice"})


@dataclass(frozen=True)
class Samples:
    """Samples (n,).

    Parameters
    ----------
    table:
        Inputs of the networks (n, feature), float32.
    classes, season, leaves:
        Class, month of the season (0 to 11), and observed leaf area index (m2 m-2).
    group:
        Group of blocks of cells, 0 to groups - 1.
    """

    table: NDArray[np.float32]
    classes: NDArray[np.int64]
    season: NDArray[np.int64]
    leaves: NDArray[np.float32]
    group: NDArray[np.int64]

    def only(self, chosen: NDArray[np.bool_]) -> Self:
        """Some of the samples."""
        return type(self)(**{item.name: getattr(self, item.name)[chosen] for item in fields(self)})


def collect(
    data: FieldTrainingData,
    features: Features,
    *,
    block: int,
    groups: int,
    most: int,
    rng: np.random.Generator,
    held_out: bool = False,
) -> Samples:
    """Read the samples of a training: at most ``most``, each equally likely.

    Parameters
    ----------
    block, groups:
        Blocks of ``block`` x ``block`` cells are dealt to groups like knight's moves, so that neighbours are in others.
    held_out:
        Those that are held out, instead of those of the training.
    """
    spec = features.spec(data.legend.name)
    parts: list[Samples] = []
    kept = 1.0
    for batch, target in data.each_window(_WINDOW, held_out=held_out, spec=spec):
        core = land_of(batch, 0)
        rows, cols = cells_of(batch, 0)
        leaves = target[rows - (core[0].start or 0), cols - (core[1].start or 0)]
        good = np.isfinite(leaves) & (rng.random(rows.size) < kept)
        rows, cols = rows[good], cols[good]
        table, season = features.table(batch, 0, rows, cols)
        window = batch.tiles[0].window
        group = ((window.row0 + rows) // block + 2 * ((window.col0 + cols) // block)) % groups
        classes = batch.fields[COVER][0, 0][rows, cols].astype(np.int64)
        parts.append(Samples(table, classes, season, leaves[good].astype(np.float32), group))
        while sum(part.leaves.size for part in parts) > most:
            parts = [part.only(rng.random(part.leaves.size) < 0.5) for part in parts]
            kept /= 2
    if not parts:
        return Samples(
            np.empty((0, features.count), np.float32), *(np.empty(0, t) for t in (int, int, np.float32, int))
        )
    return Samples(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Samples)))


def inputs_of(data: FieldTrainingData) -> tuple[Input, ...]:
    """The inputs besides the map: one for each name, with its offsets."""
    groups: dict[str, list[int]] = {}
    channels = [channel for channel in data.channels if channel.source != "cover"]
    for number, channel in enumerate(channels):
        groups.setdefault(channel.name, []).append(number)
    found = []
    for name, numbers in groups.items():
        first = channels[numbers[0]]
        source = first.source
        assert source != "cover"  # left out above
        offsets = tuple(channels[number].offset for number in numbers)
        found.append(
            Input(
                name=name,
                units=first.units,
                source=source,
                offsets=offsets,
                mean=first.mean,
                scale=first.scale,
                missing=first.missing,
                fill=first.fill,
            )
        )
    return tuple(found)


def vegetation_of(legend: Legend, chosen: Mapping[str, Vegetation]) -> dict[str, Vegetation]:
    """The kind of vegetation of each class, by the area types of its codes where it is not chosen."""
    kinds: dict[str, Vegetation] = {}
    for item in legend.view:
        types = {legend.area_types[code] for code in item.codes}
        natural: Vegetation = "high" if any("trees" in name for name in types) else "low"
        kinds[item.name] = chosen.get(item.name, "none" if types <= _BARREN else natural)
    return kinds


def ranges_of(samples: Samples, vegetation: Mapping[str, Vegetation]) -> dict[str, LeafRange]:
    """The observed range of each class. A class without samples has the mean of its kind of vegetation, always."""
    names = list(vegetation)
    kinds = np.array([vegetation[name] for name in names])
    ranges = {}
    for number, name in enumerate(names):
        kind = vegetation[name]
        leaves = samples.leaves[samples.classes == number]
        if kind == "none":
            ranges[name] = LeafRange(vegetation=kind, least=0, most=0, samples=leaves.size)
            continue
        if leaves.size:
            least, most = float(leaves.min()), float(leaves.max())
        else:
            alike = samples.leaves[kinds[samples.classes] == kind]
            least = most = float(alike.mean()) if alike.size else float(samples.leaves.mean())
        ranges[name] = LeafRange(vegetation=kind, least=least, most=most, samples=leaves.size)
    return ranges
