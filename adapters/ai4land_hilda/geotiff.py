"""Reads windows of land-cover codes from GeoTIFF files, one file for each year."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler import api
from ai4land_coupler.api import DataError, GridError, InputFile, LatLonGrid
from ai4land_hilda.codes import to_codes


@contextmanager
def open_geotiff(file: InputFile) -> Iterator[Any]:
    """Open a GeoTIFF for reading. Raises ``DataError`` if it is missing, unreadable or has several maps."""
    from rasterio.enums import ColorInterp

    with api.open_geotiff(file.path, file.name) as source:
        maps = sum(band != ColorInterp.alpha for band in source.colorinterp)
        if maps != 1:
            raise DataError("a land-cover file is no map", expected="1 band", found=source.count, where=file.name)
        yield source


def read_grid(file: InputFile) -> LatLonGrid:
    """Read the grid from the geotransform. In HILDA+ v1.0 the steps of rows and columns differ, and neither is 0.01.

    Raises
    ------
    GridError
        The map is not in EPSG:4326, is not georeferenced, or its axes are rotated.
    """
    with open_geotiff(file) as source:
        epsg = None if source.crs is None else source.crs.to_epsg()
        if epsg != 4326:
            raise GridError(
                "a land-cover map has the wrong coordinate reference system",
                expected="EPSG:4326",
                found=api.describe_crs(source.crs),
                where=file.name,
                remedy="reproject it with nearest neighbour, which keeps the class codes",
            )
        return api.read_geotiff_grid(source, file.name)


def read_codes(source: Any, no_data: int, where: object, rows: slice, cols: slice) -> NDArray[np.int32 | np.uint8]:
    """Read the class codes (rows, columns) of a window; ``no_data`` for NaN and for what the file says is missing."""
    return to_codes(*api.read_window(source, rows, cols), no_data, where)


def describe_tiles(file: InputFile) -> str:
    """A text for users if the file does not hold all of its tiles; else empty."""
    with open_geotiff(file) as source:
        unwritten, tiles = api.count_unwritten(source)
        if not unwritten:
            return ""
        value = "no data" if source.nodata is not None else "0"
    return (
        f"{file.stem} does not hold {unwritten} of its {tiles} tiles, which read as {value}: there is only sea, "
        "or the file was not written to its end"
    )
