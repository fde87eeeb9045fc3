"""Reads the real land mask from the file of the package ``global_land_mask``.

The climate zones are real too (``climate_zones.py``). The package is not imported, because it would load 933 MB. This
module reads only the necessary rows of its file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.inputs.climate_zones import data_file

Axis = NDArray[np.float64]
#: Columns of the land mask (30 arc seconds).
_MASK_COLS = 43200


@lru_cache(maxsize=8)
def _ocean(rows: tuple[int, ...], cols: tuple[int, ...]) -> NDArray[np.bool_]:
    """Rows and columns of the mask, streamed from the archive. True is ocean."""
    path = data_file("global_land_mask", "global-land-mask", "globe_combined_mask_compressed.npz")
    wanted = np.array(cols)
    lines: dict[int, NDArray[np.bool_]] = {}
    with zipfile.ZipFile(path) as archive, archive.open("mask.npy") as stream:
        np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if shape != (_MASK_COLS // 2, _MASK_COLS) or fortran or dtype != np.bool_:
            raise DataError(
                "the land mask has another layout than this program knows",
                expected="(21600, 43200) bool",
                found=(shape, dtype),
                where=path,
                remedy="install global-land-mask 1.0",
            )
        start = stream.tell()
        for row in sorted(set(rows)):
            stream.seek(start + row * _MASK_COLS)
            lines[row] = np.frombuffer(stream.read(_MASK_COLS), np.bool_)[wanted]
    return np.stack([lines[row] for row in rows])


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
    rows = np.clip(np.floor((90 - lat) * 120), 0, _MASK_COLS // 2 - 1).astype(int)
    cols = np.floor((lon + 180) * 120).astype(int) % _MASK_COLS
    return ~_ocean(tuple(rows.tolist()), tuple(cols.tolist()))


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
    y, x = (90 - lat) / step - 0.5 - (rows[0] + 2 * reach), (lon + 180) / step - 0.5 - (cols[0] + 2 * reach)
    j, i = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = (y - j)[:, None], (x - i)[None, :]
    top = mean[(..., *np.ix_(j, i))] * (1 - u) + mean[(..., *np.ix_(j, i + 1))] * u
    bottom = mean[(..., *np.ix_(j + 1, i))] * (1 - u) + mean[(..., *np.ix_(j + 1, i + 1))] * u
    return np.asarray(top * (1 - v) + bottom * v)
