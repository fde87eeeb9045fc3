"""Opens GeoTIFFs, reads their grid of longitudes and latitudes, and tells which cells are missing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import DataError, GridError

_REMEDY = "`gdalwarp -t_srs EPSG:4326` makes such a file (with `-r near` for classes)"


@contextmanager
def open_geotiff(path: Path, where: object) -> Iterator[Any]:
    """Open a raster file for reading, as a ``rasterio`` dataset. ``where`` is the name of the file in messages.

    Raises
    ------
    DataError
        The file is missing, is no raster file, or cannot be read while the block runs.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # read_geotiff_grid says more
            source = rasterio.open(path)
        with source:
            yield source
    except RasterioError as error:
        raise DataError("an input file cannot be read", expected="a GeoTIFF", found=error, where=where) from error


def read_geotiff_grid(source: Any, where: object) -> LatLonGrid:
    """Read the grid of longitudes and latitudes of an open GeoTIFF from its geotransform.

    A file without a coordinate reference system is taken for one in degrees.

    Raises
    ------
    GridError
        The file has no geotransform, is in a map projection (the message names it), or its axes are rotated.
    """
    t = source.transform
    if t.is_identity:
        points = len(source.gcps[0])
        raise GridError(
            "a raster file is not georeferenced: it does not say where its cells are",
            expected="a geotransform (origin and cell size)",
            found=f"{points} ground control points, no geotransform" if points else "none",
            where=where,
            remedy=_REMEDY if points else "take the original, or set it: `gdal_edit.py -a_ullr WEST NORTH EAST SOUTH`",
        )
    wrong = _projection(source.crs)
    if wrong:
        raise GridError(
            "a raster file is not on a grid of longitudes and latitudes in degrees",
            expected="a geographic reference system in degrees east of Greenwich, such as EPSG:4326",
            found=wrong,
            where=where,
            remedy=_REMEDY,
        )
    if t.b or t.d:
        raise GridError(
            "the axes of a raster file are rotated",
            expected="rows along parallels",
            found=f"geotransform {tuple(t)[:6]}",
            where=where,
            remedy=_REMEDY,
        )
    try:
        return LatLonGrid(t.c, t.a, source.width, t.f, t.e, source.height)
    except GridError as error:
        error.where = where
        raise


def describe_crs(crs: Any) -> str:
    """A text for messages: the code and the name of a reference system."""
    if crs is None:
        return "none"
    code, named = crs.to_epsg(), re.search(r'"([^"]+)"', crs.to_wkt())
    name = named[1] if named else ""
    if name in ("", "unknown", "unnamed"):
        name = crs.to_proj4() or crs.to_wkt()
    return f"EPSG:{code} ({name})" if code else name


def _projection(crs: Any) -> str:
    """What a reference system has instead of degrees east of Greenwich; empty if it has these."""
    if crs is None:
        return ""
    text = crs.to_wkt()
    # A rotated pole is geographic for PROJ; its text has a base (WKT 2).
    degrees = crs.is_geographic and "BASEGEOG" not in text and abs(crs.units_factor[1] - np.deg2rad(1.0)) < 1e-9
    meridian = re.search(r'PRIMEM\["[^"]*",\s*([-+.\deE]+)', text)
    return "" if degrees and (meridian is None or float(meridian[1]) == 0) else describe_crs(crs)


def read_window(source: Any, rows: slice, cols: slice, band: int = 1) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Read a window (rows, columns) of a band, and which of its values are missing (``None``: no value is).

    Missing are the no-data value of the file and what its mask leaves out (a mask inside the file, a file ``.msk``, or
    a band of transparency; https://gdal.org/en/stable/development/rfc/rfc15_nodatabitmask.html). NaN is not counted.
    A scale and an offset of the band are applied: the values are float64 then.
    """
    from rasterio.enums import MaskFlags
    from rasterio.windows import Window

    window = Window.from_slices(rows, cols)
    at, nodata = band - 1, source.nodatavals[band - 1]
    raw = source.read(band, window=window)
    missing = None if nodata is None else np.asarray(raw == nodata)
    if not {MaskFlags.per_dataset, MaskFlags.alpha}.isdisjoint(source.mask_flag_enums[at]):
        left_out = source.read_masks(band, window=window) == 0
        missing = left_out if missing is None else missing | left_out
    if (source.scales[at], source.offsets[at]) != (1.0, 0.0):
        raw = raw * np.float64(source.scales[at]) + source.offsets[at]
    return raw, missing


def count_unwritten(source: Any) -> tuple[int, int]:
    """Number of tiles of the first band of a GeoTIFF that the file does not hold, and of all its tiles.

    A writer may leave out tiles without data (a sparse file), and a writer that was killed leaves out the rest. Both
    read as the no-data value, or as 0.
    """
    if source.driver != "GTiff":
        return 0, 0
    height, width = source.block_shapes[0]
    tiles = [(x, y) for y in range(-(-source.height // height)) for x in range(-(-source.width // width))]
    held = sum(source.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=1) is not None for x, y in tiles)
    return len(tiles) - held, len(tiles)
