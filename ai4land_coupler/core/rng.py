"""Counter-based random numbers, keyed by seed, member, year and global cell.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 3.3).
A number depends only on its key and counter, not on the order of calls, the tile or the rank.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

#: 32-bit words, stored in 64 bits.
_Words = NDArray[np.uint64] | np.uint64


def philox4x32(counter: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint32]:
    """Ten rounds of Philox4x32.

    Parameters
    ----------
    counter:
        Four 32-bit words, stored in uint64, shape (4, ...).
    key:
        Two 32-bit words.

    Returns
    -------
    Four random 32-bit words, shape (4, ...).
    """
    c0, c1, c2, c3 = (counter[i] & _LOW for i in range(4))
    return np.stack(_ten_rounds(c0, c1, c2, c3, key)).astype(np.uint32)


def _ten_rounds(c0: _Words, c1: _Words, c2: _Words, c3: _Words, key: tuple[int, int]) -> tuple[_Words, ...]:
    """The ten rounds. Words that are the same in all counters may be scalars."""
    k0, k1 = key
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


@dataclass(frozen=True)
class KeyedRng:
    """Uniform random numbers for global cells, for one seed, member, year and stream."""

    seed: int
    member: int = 0
    year: int = 0
    stream: int = 0

    def at(self, *, year: int | None = None, stream: int | None = None) -> KeyedRng:
        """The same key for another year or another use (stream)."""
        return replace(
            self,
            year=self.year if year is None else year,
            stream=self.stream if stream is None else stream,
        )

    def uniform(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """One number in [0, 1) for each global cell id, with 53 random bits."""
        ids = np.asarray(cells).astype(np.uint64)
        high, low, _, _ = _ten_rounds(
            ids & _LOW,
            ids >> _SHIFT,
            np.uint64(self.year & 0xFFFFFFFF),
            np.uint64(self.stream & 0xFFFFFFFF),
            (self.seed & 0xFFFFFFFF, self.member & 0xFFFFFFFF),
        )
        high, low = high >> np.uint64(5), low >> np.uint64(6)
        return np.asarray((high * 67108864.0 + low) / 9007199254740992.0, np.float64)
