"""Intervals of measures: blocks of land are drawn with replacement, and the measures are computed anew.

Neighbouring cells are alike, so single cells would give intervals that are far too narrow. All predictors get the same
samples: so the difference of two of them is paired. Efron and Tibshirani (1993), An Introduction to the Bootstrap,
sections 13.3 (percentiles) and 8.6 (blocks).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.experiments.evaluation.measures import Measure
from ai4land_coupler.experiments.evaluation.sums import Sums

#: Sums of one predictor by block.
ByBlock = Mapping[int, Sums]


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; NaN if undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sampled:
    """A measure of one predictor: its value, and its values in the samples (samples,)."""

    value: float
    samples: NDArray[np.float64]

    def estimate(self, level: float) -> Estimate:
        """The interval that holds this share of the samples, the rest half on either side."""
        known = self.samples[np.isfinite(self.samples)]
        if not known.size:
            return Estimate(self.value, np.nan, np.nan)
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return Estimate(self.value, float(low), float(high))

    def minus(self, other: Sampled) -> Sampled:
        """The difference in each sample."""
        return Sampled(self.value - other.value, self.samples - other.samples)


@dataclass(frozen=True)
class Draws:
    """How often each block is in each sample.

    Parameters
    ----------
    blocks:
        Ids of the blocks.
    counts:
        float64 (samples, blocks).
    """

    blocks: tuple[int, ...]
    counts: NDArray[np.float64]

    @classmethod
    def make(cls, blocks: Sequence[int], samples: int, seed: int) -> Draws:
        """Draw as many blocks as there are, with replacement, for each sample."""
        count = len(blocks)
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(count, np.full(count, 1 / count), samples) if count else np.zeros((samples, 0))
        return cls(tuple(blocks), counts.astype(np.float64))

    def measure(self, by_block: ByBlock, measures: Sequence[Measure]) -> dict[str, Sampled]:
        """The measures of one predictor, by key. Measures whose sums are missing are left out."""
        found: dict[str, Sampled] = {}
        held = [by_block[block] for block in self.blocks if block in by_block]
        column = [i for i, block in enumerate(self.blocks) if block in by_block]
        names = sorted({name for sums in held for name in sums})
        stacked = {}
        for name in names:
            rows = np.stack([sums[name] for sums in held])
            flat = rows.reshape(len(held), -1)
            drawn = self.counts[:, column] @ flat
            stacked[name] = np.concatenate([flat.sum(axis=0)[None], drawn]).reshape(-1, *rows.shape[1:])
        for measure in measures:
            if measure.needs in stacked:
                values = measure.of(stacked)
                found[measure.key] = Sampled(float(values[0]), np.asarray(values[1:]))
        return found
