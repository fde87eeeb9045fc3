"""Small grid files of every layout, written without the code under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids import cubed_sphere_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh


@dataclass
class Nc:
    """A variable of a netCDF file: dimensions, values, attributes."""

    dims: str
    values: Any
    attrs: dict[str, Any] = field(default_factory=dict)


def write(path: Path, format_: str = "NETCDF4", attrs_: Mapping[str, Any] | None = None, **variables: Nc) -> Path:
    with netCDF4.Dataset(path, "w", format=format_) as file:
        file.setncatts(dict(attrs_ or {}))
        for name, variable in variables.items():
            values = np.asarray(variable.values)
            for dim, size in zip(variable.dims.split(), values.shape, strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
            attrs = dict(variable.attrs)
            fill = attrs.pop("_FillValue", None)
            created = file.createVariable(name, values.dtype, variable.dims.split(), fill_value=fill)
            created.set_auto_maskandscale(False)
            created.setncatts(attrs)
            created[...] = values
    return path


def degrees(kind: str, **attrs: Any) -> dict[str, Any]:
    names = {"lat": ("latitude", "degrees_north"), "lon": ("longitude", "degrees_east")}
    return {"standard_name": names[kind][0], "units": names[kind][1], **attrs}


def nodes_of(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and connectivity (-1 where unused) of a mesh."""
    used = ~np.isnan(mesh.corner_lat)
    points, index = np.unique(
        np.stack([mesh.corner_lon[used], mesh.corner_lat[used]], axis=1), axis=0, return_inverse=True
    )
    conn = np.full(used.shape, -1)
    conn[used] = index.ravel()
    return points[:, 0], points[:, 1], conn


def mixed_mesh() -> Mesh:
    """Triangles and squares: two faces of a cubed sphere, one of them cut along its diagonals."""
    cube = cubed_sphere_mesh(4, "cube").take(np.arange(32))
    lon, lat = cube.corner_lon[16:], cube.corner_lat[16:]
    unused = np.full((16, 1), np.nan)
    pieces = [(cube.corner_lon[:16], cube.corner_lat[:16])]
    for corners in ([0, 1, 2], [0, 2, 3]):
        pieces.append(tuple(np.concatenate([values[:, corners], unused], axis=1) for values in (lon, lat)))
    corner_lon, corner_lat = (np.concatenate(part) for part in zip(*pieces, strict=True))
    n = len(corner_lon)
    return Mesh("mixed", np.arange(n), corner_lon, corner_lat, "great_circle", np.ones(n, bool), n)


MIXED = mixed_mesh()


def as_scrip(path: Path, mesh: Mesh, padding: str = "repeated", format_: str = "NETCDF4", **extra: Nc) -> Path:
    lon, lat = mesh.corner_lon.copy(), mesh.corner_lat.copy()
    if padding == "repeated":
        last = (~np.isnan(lat)).sum(axis=1) - 1
        for values in (lon, lat):
            values[:] = np.where(np.isnan(values), np.take_along_axis(values, last[:, None], axis=1), values)
    corners = {"units": "degrees", "_FillValue": 9.96921e36}
    lon, lat = (np.nan_to_num(values, nan=9.96921e36) for values in (lon, lat))
    return write(
        path,
        format_,
        grid_corner_lon=Nc("grid_size grid_corners", lon, corners),
        grid_corner_lat=Nc("grid_size grid_corners", lat, corners),
        **extra,
    )


def as_ugrid(path: Path, mesh: Mesh, start: int = 0, fill: int | None = -999, transposed: bool = False) -> Path:
    lon, lat, conn = nodes_of(mesh)
    filler = -1 if fill is None else fill
    conn = np.where(conn < 0, filler, conn + start).astype("i4")
    attrs: dict[str, Any] = {"cf_role": "face_node_connectivity"}
    if start:
        attrs["start_index"] = np.int32(start)
    if fill is not None:
        attrs["_FillValue"] = np.int32(fill)
    topology = {
        "cf_role": "mesh_topology",
        "topology_dimension": np.int32(2),
        "node_coordinates": "node_y node_x",
        "face_node_connectivity": "faces",
    }
    if transposed:
        topology["face_dimension"] = "face"
    return write(
        path,
        mesh=Nc("", np.int32(0), topology),
        faces=Nc("corner face", conn.T, attrs) if transposed else Nc("face corner", conn, attrs),
        node_x=Nc("node", lon, degrees("lon")),
        node_y=Nc("node", lat, degrees("lat")),
    )


def as_esmf(path: Path, mesh: Mesh, units: str = "degrees", ragged: bool = False, **extra: Nc) -> Path:
    lon, lat, conn = nodes_of(mesh)
    coords = np.stack([lon, lat], axis=1)
    if units == "radians":
        coords = np.deg2rad(coords)
    count = (conn >= 0).sum(axis=1)
    full = np.where(conn < 0, -1, conn + 1).astype("i4")
    elements = Nc("connectionCount", full[conn >= 0]) if ragged else Nc("elementCount maxNodePElement", full)
    return write(
        path,
        nodeCoords=Nc("nodeCount coordDim", coords, {"units": units}),
        elementConn=elements,
        numElementConn=Nc("elementCount", count.astype("i1")),
        **extra,
    )


def as_cf_cells(path: Path, mesh: Mesh) -> Path:
    """Unstructured, with bounds and centres."""
    lon, lat = mesh.centres()
    return write(
        path,
        lon=Nc("cell", lon, degrees("lon", bounds="lon_bnds")),
        lat=Nc("cell", lat, degrees("lat", bounds="lat_bnds")),
        lon_bnds=Nc("cell nv", np.nan_to_num(mesh.corner_lon, nan=1e20), {"_FillValue": 1e20}),
        lat_bnds=Nc("cell nv", np.nan_to_num(mesh.corner_lat, nan=1e20), {"_FillValue": 1e20}),
    )


def as_icon(path: Path, mesh: Mesh) -> Path:
    last = (~np.isnan(mesh.corner_lat)).sum(axis=1) - 1
    corners = {}
    for name, values in (("clon", mesh.corner_lon), ("clat", mesh.corner_lat)):
        padded = np.where(np.isnan(values), np.take_along_axis(values, last[:, None], axis=1), values)
        corners[f"{name}_vertices"] = Nc("cell nv", np.deg2rad(padded), {"units": "radian"})
    return write(path, **corners)


def as_mpas(path: Path, mesh: Mesh, on_a_sphere: str = "YES") -> Path:
    lon, lat, conn = nodes_of(mesh)
    centres = np.deg2rad(mesh.centres())
    return write(
        path,
        attrs_={"on_a_sphere": on_a_sphere, "sphere_radius": 2.0},
        verticesOnCell=Nc("nCells maxEdges", np.where(conn < 0, conn[:, :1], conn).astype("i4") + 1),
        nEdgesOnCell=Nc("nCells", (conn >= 0).sum(axis=1).astype("i4")),
        lonVertex=Nc("nVertices", np.deg2rad(lon)),
        latVertex=Nc("nVertices", np.deg2rad(lat)),
        lonCell=Nc("nCells", centres[0]),
        latCell=Nc("nCells", centres[1]),
        areaCell=Nc("nCells", 4 * cell_area(mesh) / EARTH_RADIUS**2),
    )


def rectilinear(
    path: Path, lat: Any, lon: Any, lat_bnds: Any = None, lon_bnds: Any = None, dims: str = "lat lon"
) -> Path:
    extra = {}
    sizes = {"lat": len(lat), "lon": len(lon)}
    shape = tuple(sizes[dim] for dim in dims.split())
    for name, bounds in (("lat_bnds", lat_bnds), ("lon_bnds", lon_bnds)):
        if bounds is not None:
            extra[name] = Nc(f"{name[:3]} two", np.asarray(bounds, float))
    return write(
        path,
        lat=Nc("lat", np.asarray(lat), degrees("lat", **({"bounds": "lat_bnds"} if lat_bnds is not None else {}))),
        lon=Nc("lon", np.asarray(lon), degrees("lon", **({"bounds": "lon_bnds"} if lon_bnds is not None else {}))),
        field=Nc(dims, np.arange(np.prod(shape), dtype="f4").reshape(shape)),
        **extra,
    )


def changed(mesh: Mesh, cells: Any, lon: Any = None, lat: Any = None) -> Mesh:
    """The mesh with other corners of some cells."""
    corners = mesh.corner_lon.copy(), mesh.corner_lat.copy()
    for values, new in zip(corners, (lon, lat), strict=True):
        if new is not None:
            values[cells] = new(values[cells])
    return Mesh(mesh.name, mesh.cell_ids, *corners, mesh.edges, mesh.mask, mesh.size)


LAYOUTS = {
    "SCRIP, repeated corners": lambda path: as_scrip(path, MIXED),
    "SCRIP, missing corners": lambda path: as_scrip(path, MIXED, "missing"),
    "UGRID": lambda path: as_ugrid(path, MIXED),
    "UGRID from 1": lambda path: as_ugrid(path, MIXED, 1),
    "UGRID without fill value": lambda path: as_ugrid(path, MIXED, 0, None),
    "UGRID transposed": lambda path: as_ugrid(path, MIXED, 1, transposed=True),
    "ESMF": lambda path: as_esmf(path, MIXED),
    "ESMF in radians": lambda path: as_esmf(path, MIXED, "radians"),
    "ESMF ragged": lambda path: as_esmf(path, MIXED, ragged=True),
    "CF cells": lambda path: as_cf_cells(path, MIXED),
    "ICON": lambda path: as_icon(path, MIXED),
    "MPAS": lambda path: as_mpas(path, MIXED),
}
