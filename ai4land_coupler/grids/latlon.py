"""Latitude-longitude grids as meshes, and the distribution of meshes over ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.grids.mesh import Mesh, merge_corners


def latlon_mesh(grid: LatLonGrid, name: str, cells: NDArray[np.int64] | None = None) -> Mesh:
    """Cells of a latitude-longitude grid as a mesh whose edges are meridians and parallels.

    Parameters
    ----------
    cells:
        Global ids (``row * nlon + col``) of the selected cells, int64 (n,). Default: all cells in order.
    """
    ids = np.arange(grid.size, dtype=np.int64) if cells is None else np.asarray(cells, np.int64)
    rows, cols = np.divmod(ids, grid.nlon)
    west, east = grid.lon_edges[cols], grid.lon_edges[cols + 1]
    north, south = grid.lat_edges[rows], grid.lat_edges[rows + 1]
    if grid.dlat > 0:
        north, south = south, north
    lon, lat = box_corners(west, east, south, north)
    return merge_corners(Mesh(name, ids, lon, lat, "latlon", np.ones(ids.size, bool), grid.size))


def box_corners(
    west: NDArray[np.float64], east: NDArray[np.float64], south: NDArray[np.float64], north: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corner longitudes and latitudes (n, 4) of boxes, counter-clockwise from the south-west."""
    return np.stack([west, east, east, west], axis=1), np.stack([south, south, north, north], axis=1)


def partition(mesh: Mesh, rank: int, size: int) -> Mesh:
    """The part of a mesh that a rank owns if the cells are distributed evenly, in order, over ``size`` ranks."""
    bounds = [mesh.size * part // size for part in (rank, rank + 1)]
    return mesh.take(np.arange(*bounds))
