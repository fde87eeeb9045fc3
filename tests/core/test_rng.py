"""Keyed random numbers, against published values."""

from __future__ import annotations

import numpy as np
import pytest

from ai4land_coupler.core.rng import KeyedRng, philox4x32


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # Random123 1.14, tests/kat_vectors, "philox4x32 10"
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_answers(counter: str, key: str, answer: str) -> None:
    words = np.array([int(w, 16) for w in counter.split()], np.uint64)
    k0, k1 = (int(w, 16) for w in key.split())
    assert " ".join(f"{int(w):08x}" for w in philox4x32(words, (k0, k1))) == answer


def test_a_number_depends_on_its_cell_and_key_alone() -> None:
    rng = KeyedRng(seed=7, member=2, year=1999, stream=3)
    cells = np.arange(10_000, dtype=np.int64)
    whole = rng.uniform(cells)
    shuffled = np.random.default_rng(0).permutation(cells)
    np.testing.assert_array_equal(rng.uniform(shuffled), whole[shuffled])
    np.testing.assert_array_equal(rng.uniform(cells.reshape(100, 100)).ravel(), whole)
    assert rng.at(year=1999, stream=3) == rng
    others = [KeyedRng(8, 2, 1999, 3), KeyedRng(7, 1, 1999, 3), rng.at(year=2000), rng.at(stream=4)]
    for other in others:
        assert abs(np.corrcoef(whole, other.uniform(cells))[0, 1]) < 0.05


def test_the_numbers_are_uniform_and_fill_53_bits() -> None:
    from scipy import stats

    numbers = KeyedRng(1).uniform(np.arange(50_000, dtype=np.int64))
    assert 0 <= numbers.min() < numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    scaled = numbers * 2.0**53
    np.testing.assert_array_equal(scaled, np.floor(scaled))
    assert (scaled % 2).mean() == pytest.approx(0.5, abs=0.02)


def test_cells_beyond_32_bits_and_years_before_christ_have_their_own_numbers() -> None:
    cells = np.array([5, 5 + 2**32, 5 + 2**33], np.int64)
    assert len(set(KeyedRng(1).uniform(cells))) == 3
    assert KeyedRng(1, year=-5).uniform(cells)[0] != KeyedRng(1, year=5).uniform(cells)[0]


def test_streams_together_are_the_streams_one_by_one_and_the_published_function() -> None:
    rng = KeyedRng(seed=7, member=2, year=-1999)
    cells = np.concatenate([np.arange(70_000), np.arange(2**33, 2**33 + 10)])  # several strips; ids beyond 32 bits
    streams = np.array([3, 100, 2**31])
    together = rng.uniform_of_streams(cells, streams)
    for row, stream in zip(together, streams.tolist(), strict=True):
        np.testing.assert_array_equal(rng.at(stream=stream).uniform(cells), row)
        words = np.zeros((4, cells.size), np.uint64)
        words[0], words[1], words[2], words[3] = cells & 0xFFFFFFFF, cells >> 32, -1999 & 0xFFFFFFFF, stream
        high, low, _, _ = philox4x32(words, (7, 2)).astype(np.uint64)
        np.testing.assert_array_equal(row, ((high >> np.uint64(5)) * 2.0**26 + (low >> np.uint64(6))) / 2.0**53)
    assert rng.uniform_of_streams(cells[:0], streams).shape == (3, 0)
