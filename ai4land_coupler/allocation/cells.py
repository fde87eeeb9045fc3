"""The fine cells of a block that may change: their logits, the noise that is added to them, and their order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.rng import KeyedRng

#: Class k of a noisy allocation draws from the stream NOISE + k of the keyed random numbers.
NOISE = 100
#: Cells whose logits are read together. Fewer need less memory, but then threads wait for each other's interpreter.
STRIP = 20480


@dataclass(frozen=True)
class Noise:
    """Gumbel noise by class and cell: the largest of z + noise is a draw from softmax(z).

    Parameters
    ----------
    ids:
        Global id of each cell, which is the key of its numbers.
    temperature:
        Factor of the noise.
    """

    rng: KeyedRng
    ids: NDArray[np.int64]
    temperature: float

    def of(self, classes: NDArray[np.int64], cell: NDArray[np.int64]) -> NDArray[np.float32]:
        """Noise of every class for every cell: (class, cell)."""
        noise = self.rng.uniform_of_streams(self.ids[cell], NOISE + classes)
        noise += 2.0**-54  # never 0, of which there is no logarithm
        for _ in range(2):
            np.log(noise, out=noise)
            np.negative(noise, out=noise)
        return np.float32(self.temperature) * noise.astype(np.float32)


@dataclass(frozen=True)
class Cells:
    """The fine cells that may change, flattened, forcing cell by forcing cell.

    Parameters
    ----------
    forcing:
        Index of the forcing cell of each, 0 .. n_forcing-1, rising.
    logits:
        float32 (class, column): log-probabilities up to a constant.
    group_of_class:
        Group of each class, -1 for classes that nothing may enter or leave.
    allowed:
        bool (class from, class to).
    column:
        Column of each cell in ``logits``; ``None`` if cell i is in column i.
    noise:
        What is added to the logits, ``None`` for nothing.
    """

    forcing: NDArray[np.int64]
    logits: NDArray[np.float32]
    group_of_class: NDArray[np.int8]
    allowed: NDArray[np.bool_]
    n_forcing: int
    column: NDArray[np.int64] | None = None
    noise: Noise | None = None

    @property
    def groups(self) -> int:
        return int(self.group_of_class.max()) + 1

    @cached_property
    def enterable(self) -> NDArray[np.int64]:
        """The classes that cells may enter and leave."""
        return np.flatnonzero(self.group_of_class >= 0)

    def values(self, cell: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits with noise of some cells, (class, cell); without noise for classes that nothing enters."""
        column = cell if self.column is None else self.column[cell]
        values = self.logits.take(column, axis=1)
        if self.noise is not None:
            for k, noise in zip(self.enterable, self.noise.of(self.enterable, cell), strict=True):
                values[k] += noise
        return values

    def value(self, classes: NDArray[np.int8], cell: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logit with noise of one class that cells may enter for each of some cells, (cell,)."""
        column = cell if self.column is None else self.column[cell]
        values = self.logits.reshape(-1).take(classes * np.int64(self.logits.shape[1]) + column)
        if self.noise is not None:
            for k in self.enterable:
                its = np.flatnonzero(classes == k)
                values[its] += self.noise.of(np.array([k]), cell[its])[0]
        return values


def chance_of_change(cells: Cells, classes: NDArray[np.int8]) -> NDArray[np.float64]:
    """Probability that each cell changes its class: one minus the softmax of the logit of its class, (n,).

    Classes that cells cannot enter do not count.
    """
    chance = np.empty(classes.size)
    for start in range(0, classes.size, STRIP):
        cell = np.arange(start, min(start + STRIP, classes.size))
        open_to = cells.allowed[classes[cell]].T & (cells.group_of_class >= 0)[:, None]
        values = np.where(open_to, cells.values(cell).astype(np.float64), -np.inf)
        values -= values[classes[cell], np.arange(cell.size)]
        others = np.exp(np.minimum(values, 700.0)).sum(axis=0) - 1  # the class itself adds 1
        chance[cell] = others / (1 + others)
    return chance


def order_within(home: NDArray[np.int64], key: NDArray[np.integer], value: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order that sorts by home, then by rising key, then by falling value, then by place.

    The same as ``np.lexsort((-value, key, home))``, but much faster: one integer of 64 bits holds all four, so a plain
    sort gives the order.

    Parameters
    ----------
    home:
        Rising, at least 0.
    key:
        At least 0.
    value:
        No NaN.
    """
    if home.size == 0:
        return np.zeros(0, np.int64)
    # floats sort as their bits do, once those of negative numbers are turned over
    bits = (np.float32(0) - value).view(np.int32)  # not -value: the bits of -0.0 are others than those of 0.0
    bits ^= (bits >> 31) | np.int32(-(2**31))
    starts = run_starts(home)
    lengths = np.diff(starts, append=home.size)
    key_bits, place_bits = int(key.max()).bit_length(), int(lengths.max() - 1).bit_length()
    if starts.size.bit_length() + key_bits + 32 + place_bits > 64:
        return np.lexsort((bits.view(np.uint32), key, home))
    # the place is counted from the home's first element, which the number of the home tells
    packed = np.repeat(np.arange(starts.size, dtype=np.uint64) << np.uint64(key_bits), lengths)
    packed |= key.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= bits.view(np.uint32)
    packed <<= np.uint64(place_bits)
    first = np.repeat(starts, lengths)
    packed |= (np.arange(home.size) - first).view(np.uint64)
    packed.sort()
    packed &= np.uint64((1 << place_bits) - 1)
    order = packed.view(np.int64)
    order += first
    return order


def run_starts(key: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each run of equal neighbours starts."""
    differs = np.empty(key.size, bool)
    differs[:1] = True
    np.not_equal(key[1:], key[:-1], out=differs[1:])
    return np.flatnonzero(differs)


def rank_in_run(key: NDArray[np.integer]) -> NDArray[np.int64]:
    """Place of each element in its run of equal neighbours: 0, 1, 2 ..."""
    starts = run_starts(key)
    return np.arange(key.size) - np.repeat(starts, np.diff(starts, append=key.size))
