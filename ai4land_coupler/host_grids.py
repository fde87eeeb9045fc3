"""Grids of host models: from files, from a latitude-longitude grid, and split over ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grid import LatLonGrid
from ai4land_coupler.mesh import Edges, Mesh, latlon_edges, merge_corners, validate

#: How far beyond a pole single-precision files may reach (degrees); such corners are put on the pole.
_POLE_OVERSHOOT = 1e-5


def read_mesh(path: str | Path, edges: Edges | None = None) -> Mesh:
    """Read a grid file, ICON (``clon_vertices``) or SCRIP (``grid_corner_lon``), whichever it is.

    The kind of edges is that of ``edges``; without it, ``latlon`` where every edge of every cell is a meridian
    or a parallel (a Gaussian grid), else ``great_circle``. Repeated corners are merged.

    Raises
    ------
    DataError
        The file is missing, unreadable or of neither layout, or has unknown units.
    GridError
        Its cells are malformed (:func:`ai4land_coupler.mesh.validate`).
    """
    import netCDF4

    path = Path(path)
    if not path.is_file():
        raise DataError("a grid file is missing", where=path)
    try:
        dataset = netCDF4.Dataset(path)
    except OSError as error:
        raise DataError("a grid file cannot be read as netCDF", found=error, where=path) from error
    with dataset:
        dataset.set_auto_mask(False)
        for corner_lon, corner_lat, mask in _LAYOUTS:
            if corner_lon in dataset.variables and corner_lat in dataset.variables:
                lon = _degrees(dataset.variables, corner_lon, path)
                lat = _degrees(dataset.variables, corner_lat, path)
                taken = np.ones(len(lon), bool)
                if mask is not None and mask in dataset.variables:
                    taken = np.asarray(dataset.variables[mask][:]).ravel() == 1
                break
        else:
            raise DataError(
                "a grid file has no cell corners",
                expected=" or ".join(f"{lon} and {lat}" for lon, lat, _ in _LAYOUTS),
                found=", ".join(sorted(dataset.variables)),
                where=path,
            )
    over = (np.abs(lat) > 90.0) & (np.abs(lat) <= 90.0 + _POLE_OVERSHOOT)
    lat[over] = np.sign(lat[over]) * 90.0
    mesh = Mesh(path.stem, np.arange(len(lon), dtype=np.int64), lon, lat, "great_circle", taken, len(lon))
    mesh = merge_corners(mesh)
    if edges is None:
        edges = "latlon" if latlon_edges(mesh).all() else "great_circle"
    mesh = replace(mesh, edges=edges)
    validate(mesh)
    return mesh


#: Corner longitudes, corner latitudes and mask (1 takes part): ICON, SCRIP.
_LAYOUTS: tuple[tuple[str, str, str | None], ...] = (
    ("clon_vertices", "clat_vertices", None),
    ("grid_corner_lon", "grid_corner_lat", "grid_imask"),
)

_TO_DEGREES: Mapping[str, Callable[[Any], Any]] = {"radian": np.rad2deg, "degree": np.asarray}


def _degrees(variables: Mapping[str, Any], name: str, path: Path) -> NDArray[np.float64]:
    """Corners in degrees, float64 (cells, corners). Files may hold single precision."""
    units = str(getattr(variables[name], "units", "")).strip().lower()
    convert = next((function for unit, function in _TO_DEGREES.items() if units.startswith(unit)), None)
    values = np.asarray(variables[name][:], np.float64)
    if convert is None or values.ndim != 2:
        raise DataError(
            f"{name} cannot be used",
            expected="units of radians or degrees, dimensions (cells, corners)",
            found=f"units {units!r}, shape {values.shape}",
            where=path,
        )
    return np.array(convert(values), np.float64)


def latlon_mesh(grid: LatLonGrid, name: str, cells: NDArray[np.int64] | None = None) -> Mesh:
    """Cells of a latitude-longitude grid as a mesh whose edges are meridians and parallels.

    Parameters
    ----------
    cells:
        Global ids (``row * nlon + col``) of the cells that are taken, int64 (n,); default all, in order.
    """
    ids = np.arange(grid.size, dtype=np.int64) if cells is None else np.asarray(cells, np.int64)
    rows, cols = np.divmod(ids, grid.nlon)
    west, east = grid.lon_edges[cols], grid.lon_edges[cols + 1]
    north, south = grid.lat_edges[rows], grid.lat_edges[rows + 1]
    if grid.dlat > 0:
        north, south = south, north
    lon = np.stack([west, east, east, west], axis=1)
    lat = np.stack([south, south, north, north], axis=1)
    return merge_corners(Mesh(name, ids, lon, lat, "latlon", np.ones(ids.size, bool), grid.size))


def partition(mesh: Mesh, rank: int, size: int) -> Mesh:
    """The part of a mesh that one rank of ``size`` owns when its cells are split evenly, in their order."""
    bounds = [mesh.size * part // size for part in (rank, rank + 1)]
    return mesh.take(np.arange(*bounds))
