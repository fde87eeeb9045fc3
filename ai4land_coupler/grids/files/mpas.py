"""Native meshes of MPAS (https://mpas-dev.github.io, MPAS Mesh Specification)."""

from __future__ import annotations

import numpy as np

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.connectivity import corners_of
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.polygons import Polygons


def read_mpas(file: GridFile) -> Polygons | None:
    """Cells from their vertices: ``verticesOnCell`` (nCells, maxEdges), 1-based, and ``nEdgesOnCell``.

    ``lonVertex``, ``latVertex``, ``lonCell`` and ``latCell`` are in radians. ``areaCell`` is the area on a sphere with
    the radius of the file.

    Raises
    ------
    DataError
        The mesh is on a plane.
    """
    if "verticesOnCell" not in file.variables:
        return None
    if str(getattr(file.dataset, "on_a_sphere", "YES")).strip().upper() != "YES":
        raise DataError("a mesh is on a plane", expected="on_a_sphere = YES", where=file.path)
    conn = np.nan_to_num(file.values("verticesOnCell"), nan=0.0).astype(np.int64) - 1
    conn[np.arange(conn.shape[1]) >= file.values("nEdgesOnCell")[:, None]] = -1
    node_lon, node_lat, centre_lon, centre_lat = (
        np.rad2deg(file.values(name)) for name in ("lonVertex", "latVertex", "lonCell", "latCell")
    )
    lon, lat = corners_of(conn, node_lon, node_lat, file.path)
    radius = float(getattr(file.dataset, "sphere_radius", 1.0))
    area = file.values("areaCell") / radius**2 if "areaCell" in file.variables else None
    return Polygons(lon, lat, file.taken((len(lon),)), centre_lon, centre_lat, area)
