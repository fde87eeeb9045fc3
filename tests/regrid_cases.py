"""Grids and helpers that the regridding tests and their MPI program share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import scipy.sparse as sp
from scipy.spatial import SphericalVoronoi

from ai4land_coupler.api import LatLonGrid, LocalWeights, Mesh
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.grids.mesh import merge_corners

UNITED_KINGDOM = "hilda_plus/hilda_plus_2012_states_UK-v1-0-f_wgs84-nn.tif"


def matrix(weights: LocalWeights, global_size: int) -> sp.csr_matrix:
    """Owned rows over all source cells."""
    shape = (np.size(weights.destination_area), global_size)
    return sp.csr_matrix((weights.values, weights.source_ids, weights.indptr), shape)


def uk_land(sample_data: Path) -> tuple[Mesh, np.ndarray, int]:
    """The 1 km land cells of the United Kingdom, their class codes 0 .. n-1, and n."""
    with rasterio.open(sample_data / UNITED_KINGDOM) as file:
        cover, t = file.read(1), file.transform
    grid = LatLonGrid(t.c, t.a, cover.shape[1], t.f, t.e, cover.shape[0])
    cells = np.flatnonzero(np.isfinite(cover))
    native, codes = np.unique(cover.ravel()[cells], return_inverse=True)
    return latlon_mesh(grid, "united kingdom", cells), codes.astype(np.uint8), native.size


def octahedral_mesh(level: int) -> Mesh:
    """8 x 4**level great-circle triangles, turned so that no edge lies on a meridian or parallel."""
    corners = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], float)
    faces = [[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]]
    triangles = corners[np.array(faces)]
    for _ in range(level):
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        ab, bc, ca = a + b, b + c, c + a
        ab, bc, ca = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (ab, bc, ca))
        triangles = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    points = triangles @ (turn * np.sign(np.linalg.det(turn)))
    lon = np.rad2deg(np.arctan2(points[..., 1], points[..., 0]))
    lat = np.rad2deg(np.arcsin(np.clip(points[..., 2], -1, 1)))
    n = len(lon)
    return Mesh(f"octahedron {level}", np.arange(n), lon, lat, "great_circle", np.ones(n, bool), n)


def overlap(first: np.ndarray, second: np.ndarray, period: float = np.inf) -> np.ndarray:
    """Length that intervals (n, 2) and (m, 2) have in common, (m, n)."""
    total = np.zeros((len(second), len(first)))
    for shift in (0.0,) if np.isinf(period) else (-period, 0.0, period):
        low = np.maximum(first[None, :, 0] + shift, second[:, None, 0])
        total += np.maximum(np.minimum(first[None, :, 1] + shift, second[:, None, 1]) - low, 0.0)
    return total


def exact_latlon_weights(source: LatLonGrid, destination: LatLonGrid) -> np.ndarray:
    """Overlap in longitude times overlap in sin(latitude), over the destination's area; dense."""

    def sides(grid: LatLonGrid) -> tuple[np.ndarray, np.ndarray]:
        lon, sine = np.deg2rad(grid.lon_edges), np.sin(np.deg2rad(grid.lat_edges))
        return np.stack([lon[:-1], lon[1:]], 1), np.sort(np.stack([sine[:-1], sine[1:]], 1), axis=1)

    (source_lon, source_sine), (lon, sine) = sides(source), sides(destination)
    area = np.outer(np.diff(sine, axis=1), np.diff(lon, axis=1)).reshape(-1, 1)
    return np.kron(overlap(source_sine, sine), overlap(source_lon, lon, 2 * np.pi)) / area


LATLON = {
    "globes": (LatLonGrid(0, 5, 72, -90, 5, 36), LatLonGrid(-180, 11.25, 32, 90, -7.5, 24)),
    "north up and south up": (LatLonGrid(0, 12, 30, 90, -10, 18), LatLonGrid(0, 10, 36, -90, 12, 15)),
    "a region over the date line": (LatLonGrid(170, 0.5, 40, 50, 0.5, 30), LatLonGrid(-180, 3.1, 100, -88, 2.7, 60)),
    "a region at a pole": (LatLonGrid(-60, 2, 60, 70, 2, 10), LatLonGrid(0, 7.5, 48, -90, 9, 20)),
    "a coarse source": (LatLonGrid(0, 30, 12, -90, 30, 6), LatLonGrid(13.3, 1.3, 20, 40.1, 1.7, 15)),
}


def box_mesh(west, south, east, north, name="boxes") -> Mesh:
    west, south, east, north = (np.asarray(edge, float) for edge in (west, south, east, north))
    lon, lat = np.stack([west, east, east, west], 1), np.stack([south, south, north, north], 1)
    n = len(west)
    return merge_corners(Mesh(name, np.arange(n), lon, lat, "latlon", np.ones(n, bool), n))


def reduced_mesh(rows: list[int], turn: float = 0.0) -> Mesh:
    """Rows of equal height with so many cells each, as reduced Gaussian grids have them."""
    edges = np.linspace(-90, 90, len(rows) + 1)
    south = np.concatenate([np.full(n, edges[i]) for i, n in enumerate(rows)])
    north = np.concatenate([np.full(n, edges[i + 1]) for i, n in enumerate(rows)])
    west = np.concatenate([np.arange(n) * 360.0 / n for n in rows]) + turn
    width = np.concatenate([np.full(n, 360.0 / n) for n in rows])
    return box_mesh(west, south, west + width, north, "reduced")


def random_voronoi_mesh(n: int, seed: int) -> Mesh:
    """Great-circle polygons around points thrown at random on the sphere, of 3 to a dozen corners."""
    points = np.random.default_rng(seed).normal(size=(n, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    diagram = SphericalVoronoi(points)
    diagram.sort_vertices_of_regions()
    corners = np.full((n, max(map(len, diagram.regions)), 3), np.nan)
    for cell, region in enumerate(diagram.regions):
        ring = diagram.vertices[region]
        turn = np.cross(ring[1] - ring[0], ring[2] - ring[1]) @ points[cell]
        corners[cell, : len(region)] = ring if turn > 0 else ring[::-1]
    x, y, z = np.moveaxis(corners, -1, 0)
    lon, lat = np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    return merge_corners(Mesh("voronoi", np.arange(n), lon, lat, "great_circle", np.ones(n, bool), n))
