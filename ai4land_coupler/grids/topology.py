"""Nodes, edges and faces of a mesh, for interfaces that describe grids by their topology."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.grids.mesh import Mesh, merge_corners, next_corners


@dataclass(frozen=True)
class Topology:
    """The owned cells of a mesh as faces with shared nodes and edges. Indices are 0-based and local.

    Parameters
    ----------
    node_lon, node_lat:
        Degrees, longitudes 0 to 360, (nodes,). Corners at the same point are one node.
    edge_nodes:
        The two nodes of each edge, int32 (edges, 2), smaller index first. Two faces share their common edge.
    nodes_per_face:
        int32 (faces,).
    face_nodes, face_edges:
        Nodes and edges of all faces in order, counter-clockwise, int32 (sum of nodes_per_face,). Each edge starts at
        the node with the same index.
    """

    node_lon: NDArray[np.float64]
    node_lat: NDArray[np.float64]
    edge_nodes: NDArray[np.int32]
    nodes_per_face: NDArray[np.int32]
    face_nodes: NDArray[np.int32]
    face_edges: NDArray[np.int32]


def topology(mesh: Mesh) -> Topology:
    """Nodes and edges of the owned cells. Corners that agree to 1e-9 degrees (0.1 mm) are one node."""
    merged = merge_corners(mesh)
    used = ~np.isnan(merged.corner_lat)
    following = next_corners(merged)
    ends = [_keys(lon[used], lat[used]) for lon, lat in ((merged.corner_lon, merged.corner_lat), following)]
    nodes, index = np.unique(np.concatenate(ends), return_inverse=True)
    begin, end = np.split(index.ravel(), 2)
    pairs = np.sort(np.stack([begin, end], axis=1), axis=1)
    edges, edge = np.unique(pairs, axis=0, return_inverse=True)
    return Topology(
        nodes.real % 360.0,
        nodes.imag,
        edges.astype(np.int32).reshape(-1, 2),
        used.sum(axis=1).astype(np.int32),
        begin.astype(np.int32),
        edge.ravel().astype(np.int32),
    )


def _keys(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Complex numbers that are equal for equal points. Complex numbers are sorted by both of their parts."""
    lon = np.where(np.abs(lat) >= 90.0 - 1e-9, 0.0, np.round(lon, 9) % 360.0)
    return np.asarray(lon + 1j * np.round(lat, 9))
