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
_HALF = np.uint64(32)
#: Numbers that are computed together: the arrays of the rounds then stay in the processor's cache.
_STRIP = 65536

#: Two 32-bit words in each integer of 64 bits, the first one in the high half.
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
    one, two = _rounds(c0 << _HALF | c1, c2 << _HALF | c3, _round_keys(key))
    return np.stack([one >> _HALF, one & _LOW, two >> _HALF, two & _LOW]).astype(np.uint32)


def _round_keys(key: tuple[int, int]) -> list[tuple[np.uint64, np.uint64]]:
    """The two keys of each round, each in the high half of an integer."""
    k0, k1 = key
    return [
        (np.uint64((k0 + i * _W0) & 0xFFFFFFFF) << _HALF, np.uint64((k1 + i * _W1) & 0xFFFFFFFF) << _HALF)
        for i in range(10)
    ]


def _rounds(one: _Words, two: _Words, keys: list[tuple[np.uint64, np.uint64]]) -> tuple[_Words, _Words]:
    """Some rounds, one for each key. The words are broadcast: each has only the axes along which it changes."""
    for k0, k1 in keys:
        p0, p1 = (one >> _HALF) * _M0, (two >> _HALF) * _M1
        one, two = p1 ^ ((one << _HALF) ^ k0), p0 ^ ((two << _HALF) ^ k1)
    return one, two


def _first_words(one: _Words, two: _Words, key: tuple[int, int]) -> NDArray[np.uint64]:
    """The first two of the four words after ten rounds, in one integer.

    The first two rounds keep words small that do not change along an axis. The other rounds work in place.
    """
    keys = _round_keys(key)
    words = np.stack(np.broadcast_arrays(*_rounds(one, two, keys[:2])))
    product = np.empty_like(words)
    column = (2,) + (1,) * (words.ndim - 1)
    factors = np.array([_M0, _M1]).reshape(column)
    for pair in keys[2:9]:
        np.right_shift(words, _HALF, out=product)
        np.multiply(product, factors, out=product)
        np.left_shift(words, _HALF, out=words)
        np.bitwise_xor(words, product[::-1], out=words)
        np.bitwise_xor(words, np.array(pair).reshape(column), out=words)
    one, two = words  # nobody asks for the other two words of the last round
    two >>= _HALF
    two *= _M1
    one <<= _HALF
    one ^= two
    one ^= keys[9][0]
    return np.asarray(one)


@dataclass(frozen=True)
class KeyedRng:
    """Uniform random numbers for global cells, for one seed, member, year, month and stream.

    The month is 0 for numbers of a whole year.
    """

    seed: int
    member: int = 0
    year: int = 0
    stream: int = 0
    month: int = 0

    def at(self, *, year: int | None = None, month: int | None = None, stream: int | None = None) -> KeyedRng:
        """The same key for another year, month or use (stream)."""
        return replace(
            self,
            year=self.year if year is None else year,
            month=self.month if month is None else month,
            stream=self.stream if stream is None else stream,
        )

    def uniform(self, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """One number in [0, 1) for each global cell id, with 53 random bits."""
        cells = np.asarray(cells)
        return self.uniform_of_streams(cells.reshape(-1), np.array([self.stream])).reshape(cells.shape)

    def uniform_of_streams(self, cells: NDArray[np.int64], streams: NDArray[np.int64]) -> NDArray[np.float64]:
        """The numbers of several streams: row k is ``at(stream=streams[k]).uniform(cells)``, in less time.

        Parameters
        ----------
        cells:
            Global cell ids, (n,).
        streams:
            (streams,); the stream of this key does not matter.

        Returns
        -------
        (streams, n).
        """
        numbers = np.empty((streams.size, cells.size))
        stream = streams.astype(np.uint64)[:, None] & _LOW
        strip = max(1, _STRIP // max(1, streams.size))
        for start in range(0, cells.size, strip):
            ids = cells[start : start + strip].astype(np.uint64)
            words = _first_words(
                ids << _HALF | ids >> _HALF,
                # years have less than 28 bits, so the upper four are free for the month; it is 0 in numbers of a year
                np.uint64((self.year ^ self.month << 28) & 0xFFFFFFFF) << _HALF | stream,
                (self.seed & 0xFFFFFFFF, self.member & 0xFFFFFFFF),
            )
            # 27 bits of the one word and 26 bits of the other make one whole number of 53 bits, which a float holds
            number = words >> np.uint64(37)
            number <<= np.uint64(26)
            words &= _LOW
            words >>= np.uint64(6)
            number |= words
            np.multiply(number.view(np.int64), 2.0**-53, out=numbers[:, start : start + strip])
        return numbers
