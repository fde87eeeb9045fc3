"""Smooth random fields that depend only on the place, not on the region.

Gradient noise (Perlin, "An image synthesizer", SIGGRAPH 1985) on lattices that are periodic around the globe. The
gradients come from keyed integers, and the interpolation uses only sums and products. So the values are bit-identical
on every machine with IEEE arithmetic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.rng import KeyedRng

Floats = NDArray[np.float64]

# Sixteen directions, as constants, because trigonometric functions differ between machines.
_A, _B, _C = 0.9238795325112867, 0.3826834323650898, 0.7071067811865476
_X = np.array([1, _A, _C, _B, 0, -_B, -_C, -_A, -1, -_A, -_C, -_B, 0, _B, _C, _A])
_Y = np.array([0, _B, _C, _A, 1, _A, _C, _B, 0, -_B, -_C, -_A, -1, -_A, -_C, -_B])
#: With this factor, the standard deviation of one octave is about one half.
_SCALE = 2.0
#: Number of values that are combined at once.
_STRIP = 1 << 15
#: Number of random streams that are reserved for the octaves of a field.
OCTAVES = 16


def _fade(t: Floats) -> Floats:
    return t * t * t * (t * (t * 6 - 15) + 10)


def gradient_noise(rng: KeyedRng, lon: Floats, lat: Floats, nodes: int, shift: float = 0.0) -> Floats:
    """One octave of gradient noise.

    Parameters
    ----------
    rng:
        Key of the field.
    lon, lat:
        Places (degrees), with shapes that can be broadcast.
    nodes:
        Number of lattice nodes around a circle of latitude. The spacing is ``360 / nodes`` degrees.
    shift:
        Offset of the lattice in nodes. The noise is zero at the nodes.

    Returns
    -------
    Values with mean zero and a standard deviation of about 0.5, in the broadcast shape.
    """
    scale = nodes / 360.0
    x, y = (lon + 180.0) * scale + shift, (90.0 - lat) * scale + shift
    if x.ndim == 2 and x.shape[0] == 1 and y.ndim == 2 and y.shape[1] == 1:
        return _noise_on_axes(rng, x[0], y[:, 0], nodes)
    i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = x - i, y - j
    i0, i1, j0, j1 = (int(v) for v in (i.min(), i.max() + 2, j.min(), j.max() + 2))
    gx, gy = _gradients(rng, np.arange(j0, j1), np.arange(i0, i1), nodes)
    i, j = i - i0, j - j0
    u, v = _fade(fx), _fade(fy)

    def corner(di: int, dj: int) -> Floats:
        return np.asarray(gx[j + dj, i + di] * (fx - di) + gy[j + dj, i + di] * (fy - dj))

    top = corner(0, 0) * (1 - u) + corner(1, 0) * u
    bottom = corner(0, 1) * (1 - u) + corner(1, 1) * u
    return _SCALE * (top * (1 - v) + bottom * v)


def _gradients(rng: KeyedRng, j: NDArray[np.int64], i: NDArray[np.int64], nodes: int) -> tuple[Floats, Floats]:
    """Components of the gradients at the lattice rows ``j`` and columns ``i``, shape (j, i)."""
    direction = (rng.uniform(j[:, None] * nodes + i % nodes) * _X.size).astype(np.int64)
    return _X[direction], _Y[direction]


def _noise_on_axes(rng: KeyedRng, x: Floats, y: Floats, nodes: int) -> Floats:
    """The noise on a grid, for its axes in nodes of the lattice. The same sums and products, bit for bit.

    Most products are the same for all rows between two lattice rows: they are made once. Rows are combined in strips
    that fit into the cache of a processor.
    """
    i, j = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = x - i, y - j
    u, v = _fade(fx), _fade(fy)
    lines = np.unique([j, j + 1])
    ends = np.unique([i, i + 1])
    gx, gy = _gradients(rng, lines, ends, nodes)
    west, east = np.searchsorted(ends, i), np.searchsorted(ends, i + 1)
    along = (gx[:, west] * fx, gy[:, west], 1 - u), (gx[:, east] * (fx - 1), gy[:, east], u)
    sides = (np.searchsorted(lines, j), fy, 1 - v), (np.searchsorted(lines, j + 1), fy - 1, v)
    result = np.empty((y.size, x.size))
    rows = max(1, _STRIP // x.size)
    for start in range(0, y.size, rows):
        strip = slice(start, start + rows)
        sums: list[Floats] = []
        for line, distance, part in sides:
            parts: list[Floats] = []
            for across, down, weight in along:
                value, product = across[line[strip]], down[line[strip]]
                product *= distance[strip, None]
                value += product
                value *= weight
                parts.append(value)
            parts[0] += parts[1]
            parts[0] *= part[strip, None]
            sums.append(parts[0])
        np.add(sums[0], sums[1], out=result[strip])
        result[strip] *= _SCALE
    return result


def fractal_noise(rng: KeyedRng, lon: Floats, lat: Floats, nodes: int, octaves: int, stream: int) -> Floats:
    """Sum of octaves of gradient noise. Each has half the wavelength and half the amplitude of the one before.

    ``stream``: number of the field. Shape and values as in :func:`gradient_noise`.
    """
    total = gradient_noise(rng.at(stream=stream * OCTAVES), lon, lat, nodes)
    for k in range(1, octaves):
        octave = gradient_noise(rng.at(stream=stream * OCTAVES + k), lon, lat, nodes << k, shift=0.37 * k)
        total += octave * 0.5**k
    return total
