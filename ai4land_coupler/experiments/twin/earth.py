"""Reads the real land mask from the file of the package ``global_land_mask``.

The climate zones are real too (``climate_zones.py``). The package is not imported, because it would load 933 MB. This
module reads only the necessary rows of its file.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.inputs.climate_zones import data_file

Axis = NDArray[np.float64]
#: Rows and columns of the land mask (30 arc seconds), and rows that are decompressed at once.
_MASK_ROWS, _MASK_COLS, _SLAB = 21600, 43200, 600


class _Mask:
    """The land mask, decompressed in slabs of rows. True is ocean.

    The archive can only be read from its start. So the stream stays open: slabs that are asked for from north to south
    cost one pass in all.
    """

    def __init__(self) -> None:
        self._path = data_file("global_land_mask", "global-land-mask", "globe_combined_mask_compressed.npz")
        self._archive = zipfile.ZipFile(self._path)
        self._open()

    def _open(self) -> None:
        self._stream = self._archive.open("mask.npy")
        np.lib.format.read_magic(self._stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(self._stream)
        if shape != (_MASK_ROWS, _MASK_COLS) or fortran or dtype != np.bool_:
            raise DataError(
                "the land mask has another layout than this program knows",
                expected="(21600, 43200) bool",
                found=(shape, dtype),
                where=self._path,
                remedy="install global-land-mask 1.0",
            )
        self._next = 0

    def slab(self, number: int) -> NDArray[np.uint8]:
        """Rows of a slab, one bit per place; (rows, columns / 8)."""
        if number < self._next:
            self._stream.close()
            self._open()
        for _ in range(self._next, number):
            self._read()
        self._next = number + 1
        return np.packbits(self._read(), axis=1)

    def _read(self) -> NDArray[np.bool_]:
        content = self._stream.read(_SLAB * _MASK_COLS)
        return np.frombuffer(content, np.bool_).reshape(_SLAB, _MASK_COLS)


@cache
def _mask(process: int) -> _Mask:
    """The mask of a process: a fork would move the position in the file that both processes have open."""
    return _Mask()


@lru_cache(maxsize=6)
def _slab(number: int) -> NDArray[np.uint8]:
    return _mask(os.getpid()).slab(number)


def _ocean(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows and columns of the mask. True is ocean."""
    found = np.empty((rows.size, cols.size), np.bool_)
    slabs = rows // _SLAB
    byte, bit = cols // 8, np.uint8(128) >> (cols % 8).astype(np.uint8)
    for number in np.unique(slabs):
        inside = slabs == number
        lines, line = np.unique(rows[inside] - number * _SLAB, return_inverse=True)
        found[inside] = ((_slab(int(number))[lines][:, byte] & bit) != 0)[line]
    return found


def land_at(lon: Axis, lat: Axis) -> NDArray[np.bool_]:
    """Land mask at given places (GLOBE, 30 arc seconds).

    Parameters
    ----------
    lon, lat:
        Axes (degrees), shapes (X,) and (Y,). Longitudes wrap around. Latitudes beyond a pole use the polar row.

    Returns
    -------
    True on land, shape (Y, X).
    """
    rows = np.clip(np.floor((90 - lat) * 120), 0, _MASK_ROWS - 1).astype(np.int64)
    cols = np.floor((lon + 180) * 120).astype(np.int64) % _MASK_COLS
    return ~_ocean(rows, cols)


def smooth_at(sample: Callable[[Axis, Axis], NDArray[Any]], lon: Axis, lat: Axis, reach: int) -> NDArray[np.float64]:
    """Smooth a field of integers or booleans: apply a box filter twice, then interpolate bilinearly.

    Parameters
    ----------
    sample:
        Returns the field at given axes, shape (..., Y, X). Called with a spacing of 2.5 arc minutes.
    lon, lat:
        Axes (degrees).
    reach:
        Number of samples on each side of the box's centre. Sums of integers are exact, so equal in every region.
    """
    step, width, pad = 1 / 24, 2 * reach + 1, 2 * reach + 1
    rows, cols = (
        np.arange(int(np.floor(offset.min())) - pad, int(np.floor(offset.max())) + pad + 2)
        for offset in ((90 - lat) / step, (lon + 180) / step)
    )
    centres = np.asarray((cols + 0.5) * step - 180), np.asarray(90 - (rows + 0.5) * step)
    total = sample(*centres).astype(np.int64)
    for axis in (-2, -1, -2, -1):
        sums = np.cumsum(np.insert(total, 0, 0, axis=axis), axis=axis)
        length = sums.shape[axis]
        total = np.take(sums, range(width, length), axis=axis) - np.take(sums, range(length - width), axis=axis)
    mean = total / width**4
    # The distances are taken before the shift to the array: so they are the same in every region, bit for bit.
    y, x = (90 - lat) / step - 0.5, (lon + 180) / step - 0.5
    j, i = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = (y - j)[:, None], (x - i)[None, :]
    j, i = j - (rows[0] + 2 * reach), i - (cols[0] + 2 * reach)
    top = mean[(..., *np.ix_(j, i))] * (1 - u) + mean[(..., *np.ix_(j, i + 1))] * u
    bottom = mean[(..., *np.ix_(j + 1, i))] * (1 - u) + mean[(..., *np.ix_(j + 1, i + 1))] * u
    return np.asarray(top * (1 - v) + bottom * v)
