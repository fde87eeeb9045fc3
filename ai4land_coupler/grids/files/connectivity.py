"""Layouts with shared nodes and a connectivity: UGRID and ESMF mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.variables import NAME_A_VARIABLE, GridFile
from ai4land_coupler.grids.polygons import Polygons

Floats = NDArray[np.float64]

#: A dimension of at most this length may count the corners of cells; a longer one counts cells.
_MOST_CORNERS = 12


def corners_of(conn: NDArray[np.int64], node_lon: Floats, node_lat: Floats, where: object) -> tuple[Floats, Floats]:
    """Corners (n, k) of cells from their nodes. ``conn`` (n, k) is 0-based, negative for unused corners."""
    if node_lon.shape != node_lat.shape or node_lon.ndim != 1:
        raise DataError(
            "node coordinates cannot be used",
            expected="longitudes and latitudes (nodes,) alike",
            found=(node_lon.shape, node_lat.shape),
            where=where,
        )
    if conn.size and conn.max() >= node_lon.size:
        raise DataError(
            "a cell has a node that does not exist",
            expected=f"nodes 0 to {node_lon.size - 1}",
            found=f"node {conn.max()} in cell {int(np.argmax(conn.max(axis=1)))}",
            where=where,
            remedy="check the index of the first node (start_index)",
        )
    unused = conn < 0
    index = np.where(unused, 0, conn)
    lon, lat = (np.where(unused, np.nan, values[index]) for values in (node_lon, node_lat))
    return lon, lat


def _zero_based(file: GridFile, name: str, default_start: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """0-based connectivity, where missing or smaller values become -1; and which values were smaller."""
    values = file.values(name)
    start = int(np.ravel(getattr(file.variables[name], "start_index", default_start))[0])
    low = values < start
    return np.where(np.isnan(values) | low, -1, np.nan_to_num(values) - start).astype(np.int64), low


def _refuse_low(file: GridFile, name: str, conn: NDArray[np.int64], low: NDArray[np.bool_], nodes: int) -> None:
    """Refuse nodes that come before the first one, unless they mark unused corners at the end of cells.

    Parameters
    ----------
    conn, low:
        0-based connectivity (n, k), and which of its values are smaller than the first node.
    """
    if not low.any():
        return
    used = conn >= 0
    after = np.cumsum(used[:, ::-1], axis=1)[:, ::-1] > 0
    inside = low & after
    start = int(np.ravel(getattr(file.variables[name], "start_index", 0))[0])
    if inside.any() or (start == 1 and conn.max() < nodes - 1):
        raise DataError(
            "a cell has a node that does not exist",
            expected=f"nodes {start} to {nodes - 1 + start}; smaller numbers only for unused corners at a cell's end",
            found=f"{int(low.sum())} smaller numbers, {int(inside.sum())} of them before other corners of a cell;"
            f" largest node {conn.max() + start}",
            where=f"{file.path}: {name}",
            remedy="check the index of the first node (start_index); mark unused corners with _FillValue",
        )


def _faces_first(file: GridFile, topology: str, faces: str) -> tuple[bool, str | None]:
    """Whether the first dimension of a connectivity counts the faces (UGRID: ``face_dimension``), and a note.

    Without ``face_dimension``, the dimension of face coordinates or of data on faces decides. Without those, the
    first dimension counts the faces, unless it is short and the other one is long.
    """
    first, second = file.variables[faces].dimensions
    told = file.attribute(topology, "face_dimension")
    if told and told not in (first, second):
        raise DataError(
            "the dimension of the faces of a mesh is unknown",
            expected=f"face_dimension {first} or {second}",
            found=told,
            where=f"{file.path}: {topology}",
        )
    if told:
        return told == first, None
    names = file.attribute(topology, "face_coordinates").split()
    names += [
        name
        for name in file.variables
        if file.attribute(name, "mesh") == topology and file.attribute(name, "location") == "face"
    ]
    on_faces = {dim for name in names if name in file.variables for dim in file.variables[name].dimensions}
    if (first in on_faces) != (second in on_faces):
        return first in on_faces, None
    rows, columns = file.variables[faces].shape
    if rows <= _MOST_CORNERS < columns:
        return False, f"{faces} is taken as (corners, faces): {rows} corners of {columns} faces"
    return True, None


def read_ugrid(file: GridFile) -> Polygons | None:
    """UGRID 1.0 (http://ugrid-conventions.github.io/ugrid-conventions): the faces of a 2-D mesh topology."""
    names = [
        name
        for name in file.variables
        if file.attribute(name, "cf_role") == "mesh_topology" and file.attribute(name, "face_node_connectivity")
    ]
    if file.variable in file.variables:
        names = [name for name in names if name == file.attribute(str(file.variable), "mesh")]
    if not names:
        return None
    if len(names) > 1:
        raise DataError(
            "a file holds several meshes",
            found=", ".join(names),
            where=file.path,
            remedy=f"name a data variable, whose mesh is taken: {NAME_A_VARIABLE}",
        )
    topology = names[0]
    faces = file.attribute(topology, "face_node_connectivity")
    if faces not in file.variables or file.variables[faces].ndim != 2:
        raise DataError(
            "the connectivity of a mesh cannot be used",
            expected="face_node_connectivity names a variable (faces, corners)",
            found=faces if faces not in file.variables else f"{faces} {file.variables[faces].shape}",
            where=f"{file.path}: {topology}",
        )
    conn, low = _zero_based(file, faces, 0)
    first, note = _faces_first(file, topology, faces)
    if not first:
        conn, low = conn.T, low.T
    node_lon, node_lat = _lon_lat(file, topology, "node_coordinates")
    lon, lat = corners_of(conn, node_lon, node_lat, file.path)
    _refuse_low(file, faces, conn, low, node_lon.size)
    centres: tuple[Floats | None, Floats | None] = (None, None)
    if file.attribute(topology, "face_coordinates"):
        centres = _lon_lat(file, topology, "face_coordinates")
    return Polygons(lon, lat, file.taken((len(lon),)), *centres, notes=(note,) if note else ())


def _lon_lat(file: GridFile, topology: str, key: str) -> tuple[Floats, Floats]:
    """The longitudes and latitudes that an attribute names, recognised by their standard name or units."""
    names = file.attribute(topology, key).split()
    latitudes = [name for name in names if file.kind(name) == "latitude"]
    longitudes = [name for name in names if file.kind(name) == "longitude"]
    if len(latitudes) != 1 or len(longitudes) != 1:
        raise DataError(
            f"{key} of a mesh cannot be used",
            expected="a latitude and a longitude, told by standard_name or by units as degrees_north",
            found=" ".join(names) or "nothing",
            where=f"{file.path}: {topology}",
        )
    return file.degrees(longitudes[0]), file.degrees(latitudes[0])


def read_esmf_mesh(file: GridFile) -> Polygons | None:
    """ESMF unstructured mesh (ESMF reference manual, "ESMF Unstructured Grid File Format").

    ``nodeCoords`` (nodeCount, 2), ``elementConn`` (elementCount, maxNodePElement) or ragged
    (connectionCount), ``numElementConn``, ``centerCoords``, ``elementMask``, ``elementArea``. Node ids start at 1.
    """
    if "nodeCoords" not in file.variables or "elementConn" not in file.variables:
        return None
    nodes = file.degrees("nodeCoords")
    if nodes.ndim != 2 or nodes.shape[1] != 2:
        raise DataError(
            "nodeCoords cannot be used",
            expected="(nodeCount, 2): longitudes and latitudes",
            found=nodes.shape,
            where=file.path,
        )
    conn = _zero_based(file, "elementConn", 1)[0]
    count = file.values("numElementConn").astype(np.int64)
    if conn.ndim == 1:
        conn = _ragged(conn, count, file)
    if conn.shape[0] != count.size or (count.size and count.max() > conn.shape[1]):
        raise DataError(
            "numElementConn does not fit elementConn",
            expected=f"{conn.shape[0]} counts of at most {conn.shape[1]}",
            found=f"{count.size} counts up to {count.max(initial=0)}",
            where=file.path,
        )
    beyond = np.arange(conn.shape[1]) >= count[:, None]
    conn[beyond] = -1
    lon, lat = corners_of(conn, nodes[:, 0], nodes[:, 1], file.path)
    if (conn[~beyond] < 0).any():
        raise DataError(
            "a cell has a node that does not exist",
            expected="as many nodes in elementConn as numElementConn says, numbered from 1 or from start_index",
            found=f"{int((conn[~beyond] < 0).sum())} missing or smaller numbers",
            where=f"{file.path}: elementConn",
            remedy="set start_index to 0 if the nodes are numbered from 0",
        )
    centres: tuple[Floats | None, Floats | None] = (None, None)
    if "centerCoords" in file.variables:
        values = file.degrees("centerCoords")
        centres = values[:, 0], values[:, 1]
    area = file.steradians("elementArea")
    return Polygons(lon, lat, file.taken((len(lon),), "elementMask"), *centres, area=area)


def _ragged(conn: NDArray[np.int64], count: NDArray[np.int64], file: GridFile) -> NDArray[np.int64]:
    """Convert a connectivity without padding (connectionCount,) to (n, k), with -1 at the end of rows."""
    if conn.size != count.sum():
        raise DataError(
            "numElementConn does not fit elementConn",
            expected=f"{conn.size} connections in all",
            found=int(count.sum()),
            where=file.path,
        )
    padded = np.full((count.size, int(count.max(initial=3))), -1, np.int64)
    padded[np.arange(padded.shape[1]) < count[:, None]] = conn
    return padded
