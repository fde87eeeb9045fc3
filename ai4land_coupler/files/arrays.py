"""Zarr stores and GeoTIFFs with the part of the interface of ``netCDF4.Dataset`` that readers of netCDF files use.

So one reader of axes, times and values serves all formats. Values are as they are stored: ``cf_values`` decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.files.geotiff import open_geotiff, read_geotiff_grid, read_window
from ai4land_coupler.files.raw import open_raw

_ZARR = ("zarr.json", ".zgroup", ".zmetadata")
_GEOTIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class Dimension:
    """A dimension, like ``netCDF4.Dimension``."""

    size: int


class ArrayVariable:
    """A variable, like ``netCDF4.Variable`` without masks and scales.

    Parameters
    ----------
    read:
        Gives the stored values of a tuple of integers and slices, one for each dimension.
    """

    mask = scale = False
    #: The sizes of a chunk, if the values are stored in chunks.
    chunks: tuple[int, ...] | None = None

    def __init__(
        self,
        dataset: ArrayDataset,
        name: str,
        dims: tuple[str, ...],
        dtype: Any,
        attributes: Mapping[str, Any],
        read: Callable[[tuple[Any, ...]], NDArray[Any]],
    ) -> None:
        self.name, self.dimensions = name, dims
        self.dtype = str if np.dtype(dtype).kind in "OUT" else np.dtype(dtype)
        self._dataset, self._attributes, self._read = dataset, dict(attributes), read

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_attributes"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, index: Any) -> NDArray[Any]:
        parts = index if isinstance(index, tuple) else (index,)
        parts = () if parts == (Ellipsis,) else parts
        return np.asarray(self._read((*parts, *[slice(None)] * (self.ndim - len(parts)))))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._dataset.dimensions[dim].size for dim in self.dimensions)

    @property
    def ndim(self) -> int:
        return len(self.dimensions)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def group(self) -> ArrayDataset:
        """The dataset of the variable."""
        return self._dataset

    def ncattrs(self) -> list[str]:
        """Names of the attributes."""
        return list(self._attributes)

    def getncattr(self, name: str) -> Any:
        """An attribute."""
        return self._attributes[name]

    def chunking(self) -> list[int] | str:
        """The sizes of a chunk, or ``contiguous``."""
        return "contiguous" if self.chunks is None else list(self.chunks)

    def set_auto_mask(self, on: bool) -> None:
        """Does nothing: values are as they are stored."""

    set_auto_scale = set_auto_maskandscale = set_auto_mask


class ArrayDataset:
    """A data set, like ``netCDF4.Dataset``."""

    def __init__(self) -> None:
        self.variables: dict[str, ArrayVariable] = {}
        self.dimensions: dict[str, Dimension] = {}

    def set_auto_maskandscale(self, on: bool) -> None:
        """Does nothing: values are as they are stored."""

    def __getitem__(self, name: str) -> ArrayVariable:
        return self.variables[name]

    def add(
        self,
        name: str,
        sizes: Mapping[str, int],
        dtype: Any,
        attributes: Mapping[str, Any],
        read: Callable[[tuple[Any, ...]], NDArray[Any]],
    ) -> None:
        """Add a variable with its dimensions and their sizes."""
        self.dimensions.update({dim: Dimension(int(size)) for dim, size in sizes.items()})
        self.variables[name] = ArrayVariable(self, name, tuple(sizes), dtype, attributes, read)


def is_zarr(path: Path) -> bool:
    """Whether a path is the folder of a Zarr group."""
    return path.is_dir() and any((path / name).is_file() for name in _ZARR)


def is_data(path: Path) -> bool:
    """Whether a path is a file or a Zarr group, not the name of a grid."""
    return path.is_file() or is_zarr(path)


def is_geotiff(path: Path, name: str) -> bool:
    """Whether the name of a file ends like that of a GeoTIFF (``name``: the URL, if ``path`` is a copy)."""
    return any(text.lower().endswith(_GEOTIFF) for text in (str(path), name.partition("?")[0]))


@contextmanager
def open_zarr(path: Path, where: object) -> Iterator[ArrayDataset]:
    """Open a Zarr group of format 2 or 3 for reading.

    Raises
    ------
    DataError
        The store cannot be read.
    """
    dataset = ArrayDataset()
    try:
        with open_raw(path) as source:
            for name, variable in source.variables.items():
                attributes = {str(key): value for key, value in variable.attrs.items()}

                def read(index: tuple[Any, ...], variable: Any = variable) -> NDArray[Any]:
                    return np.asarray(variable[index].values)

                sizes = {str(dim): size for dim, size in variable.sizes.items()}
                dataset.add(str(name), sizes, variable.dtype, attributes, read)
                dataset[str(name)].chunks = variable.encoding.get("chunks")
            yield dataset
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            "a Zarr store cannot be read",
            found=f"{type(error).__name__}: {error}",
            where=where,
            remedy="compare it with the source's; a part of it may be missing",
        ) from error


@contextmanager
def open_raster(path: Path, where: object) -> Iterator[ArrayDataset]:
    """Open a GeoTIFF as a data set of ``lat``, ``lon`` and the bands ``band_1``, ``band_2`` ... over them.

    The values of the bands are float64, with NaN where the file says that they are missing. Errors: as
    :func:`.geotiff.open_geotiff` and :func:`.geotiff.read_geotiff_grid`.
    """
    dataset = ArrayDataset()
    with open_geotiff(path, where) as source:
        grid = read_geotiff_grid(source, where)
        for name, centres in (("lat", grid.lat), ("lon", grid.lon)):
            given = {"lat": ("latitude", "degrees_north"), "lon": ("longitude", "degrees_east")}[name]
            attributes = dict(zip(("standard_name", "units"), given, strict=True))
            dataset.add(name, {name: centres.size}, np.float64, attributes, centres.__getitem__)
        for band in range(1, source.count + 1):
            texts = {"units": source.units[band - 1], "long_name": source.descriptions[band - 1]}
            attributes = {key: text for key, text in texts.items() if text}

            def read(index: tuple[Any, ...], band: int = band) -> NDArray[Any]:
                rows, cols = (slice(*part.indices(size)) for part, size in zip(index, grid.shape, strict=True))
                values, missing = read_window(source, rows, cols, band)
                return values.astype(np.float64) if missing is None else np.where(missing, np.nan, values)

            dataset.add(
                f"band_{band}", dict(zip(("lat", "lon"), grid.shape, strict=True)), np.float64, attributes, read
            )
        yield dataset
