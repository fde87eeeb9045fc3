"""Reads windows of land-cover codes from GeoTIFF files, one file for each year."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import DataError, GridError, InputFile, LatLonGrid
from ai4land_hilda.codes import to_codes


@contextmanager
def open_geotiff(file: InputFile) -> Iterator[Any]:
    """Open a GeoTIFF for reading. Raises ``DataError`` if it is missing, unreadable or has several bands."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(file.path) as source:
            if source.count != 1:
                raise DataError("a land-cover file is no map", expected="1 band", found=source.count, where=file.name)
            yield source
    except RasterioError as error:
        raise DataError("an input file cannot be read", expected="a GeoTIFF", found=error, where=file.name) from error


def read_grid(file: InputFile) -> LatLonGrid:
    """Read the grid from the geotransform. In HILDA+ v1.0 the steps of rows and columns differ, and neither is 0.01.

    Raises
    ------
    GridError
        The map is not in EPSG:4326, or its axes are rotated.
    """
    with open_geotiff(file) as source:
        epsg = None if source.crs is None else source.crs.to_epsg()
        if epsg != 4326:
            raise GridError(
                "a land-cover map has the wrong coordinate reference system",
                expected="EPSG:4326",
                found="none" if source.crs is None else f"EPSG:{epsg}" if epsg else source.crs.to_wkt(),
                where=file.name,
                remedy="reproject it with nearest neighbour, which keeps the class codes",
            )
        t = source.transform
        if t.b or t.d:
            raise GridError("the axes of a land-cover map are rotated", found=tuple(t)[:6], where=file.name)
        return LatLonGrid(t.c, t.a, source.width, t.f, t.e, source.height)


def read_codes(source: Any, where: object, rows: slice, cols: slice) -> NDArray[np.int32 | np.uint8]:
    """Read the class codes (rows, columns) of a window; 99 for NaN and for the nodata value of the file."""
    from rasterio.windows import Window

    raw = source.read(1, window=Window.from_slices(rows, cols))
    missing = None if source.nodata is None else raw == source.nodata
    return to_codes(raw, missing, where)
