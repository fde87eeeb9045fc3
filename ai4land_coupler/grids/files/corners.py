"""Layouts with the corners of each cell: SCRIP and ICON."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.polygons import Polygons


def read_scrip(file: GridFile) -> Polygons | None:
    """SCRIP (Jones, 1998): ``grid_corner_lon/lat`` (grid_size, grid_corners), ``grid_imask``, ``grid_area``."""
    if "grid_corner_lon" not in file.variables:
        return None
    lon, lat = _corners(file, "grid_corner_lon", "grid_corner_lat")
    centres = _centres(file, "grid_center_lon", "grid_center_lat")
    return Polygons(lon, lat, file.taken((len(lon),), "grid_imask"), *centres, area=file.steradians("grid_area"))


def read_icon(file: GridFile) -> Polygons | None:
    """ICON: ``clon_vertices`` and ``clat_vertices`` (cell, nv), with ``clon`` and ``clat`` if the file has them."""
    if "clon_vertices" not in file.variables:
        return None
    lon, lat = _corners(file, "clon_vertices", "clat_vertices")
    return Polygons(lon, lat, file.taken((len(lon),)), *_centres(file, "clon", "clat"), file.steradians("cell_area"))


def _centres(file: GridFile, lon: str, lat: str) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    if lon not in file.variables or lat not in file.variables:
        return None, None
    return file.degrees(lon), file.degrees(lat)


def _corners(file: GridFile, *names: str) -> list[NDArray[np.float64]]:
    found = [file.degrees(name) for name in names]
    if any(values.ndim != 2 or values.shape != found[0].shape or values.shape[1] < 3 for values in found):
        raise DataError(
            "the corners of a grid file cannot be used",
            expected=f"{' and '.join(names)} (cells, corners), 3 corners or more, of one shape",
            found=[values.shape for values in found],
            where=file.path,
        )
    return found
