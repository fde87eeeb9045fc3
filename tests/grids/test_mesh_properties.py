"""Random meshes: Voronoi cells of the sphere, whose areas scipy knows, and random pairs of triangles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import examples
from scipy.spatial import SphericalVoronoi

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import GridError
from ai4land_coupler.grids import check_coverage, gaussian_mesh, mesh_from_arrays
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.coverage import tiles_sphere
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.grids.mesh import Mesh, lon_lat, merge_corners, unit_vectors
from ai4land_coupler.grids.overlaps import overlapping

seeds = st.integers(0, 2**32 - 1)


def voronoi(seed: int, cells: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Nodes, connectivity and centres of a random mesh that fills the globe, and the area of each cell (steradians)."""
    points = np.random.default_rng(seed).normal(size=(cells, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    diagram = SphericalVoronoi(points)
    diagram.sort_vertices_of_regions()
    conn = np.full((cells, max(map(len, diagram.regions))), -1)
    for cell, region in enumerate(diagram.regions):
        a, b, c = diagram.vertices[region[:3]]
        conn[cell, : len(region)] = region if np.dot(np.cross(b - a, c - b), points[cell]) > 0 else region[::-1]
    gaps = np.linalg.norm(diagram.vertices[conn] - points[:, None], axis=2)
    assume(gaps[conn >= 0].max() < 1.2)  # cells within a hemisphere
    lon, lat = lon_lat(diagram.vertices)
    centre_lon, centre_lat = lon_lat(points)
    arrays = {"lon": lon, "lat": lat, "connectivity": conn, "centre_lon": centre_lon, "centre_lat": centre_lat}
    return arrays, diagram.calculate_areas()


def mesh_of(seed: int, cells: int, centres: bool = False) -> Mesh:
    arrays, _ = voronoi(seed, cells)
    kept = {key: arrays[key] for key in arrays if centres or "centre" not in key}
    return mesh_from_arrays("voronoi", np.arange(cells), global_size=cells, **kept, expect="global")


@examples(25)
@given(seed=seeds, cells=st.integers(20, 300))
def test_areas_are_those_of_scipy_and_add_up_to_the_sphere(seed, cells):
    arrays, areas = voronoi(seed, cells)
    corners = {key: arrays[key] for key in ("lon", "lat", "connectivity")}
    mesh = mesh_from_arrays("voronoi", np.arange(cells), global_size=cells, **corners, expect="global")
    found = cell_area(mesh) / EARTH_RADIUS**2
    np.testing.assert_allclose(found, areas, rtol=1e-7, atol=1e-12)
    assert found.sum() == pytest.approx(4 * np.pi, rel=1e-12)


@examples(25)
@given(seed=seeds, cells=st.integers(20, 100), by=st.floats(1e-10, 0.1), centres=st.booleans())
def test_the_hash_names_the_cells_and_not_how_they_are_written(seed, cells, by, centres):
    mesh = mesh_of(seed, cells, centres)
    name, rng = grid_hash(mesh), np.random.default_rng(seed)
    assert grid_hash(replace(mesh.take(rng.permutation(cells)), name="another", notes=("n",))) == name

    count = (~np.isnan(mesh.corner_lat)).sum(axis=1)[:, None]
    columns = np.arange(mesh.corner_lat.shape[1])
    start = rng.integers(0, 9, (cells, 1))
    turned = np.where(columns < count, (columns + start) % count, columns)
    lon, lat = (np.take_along_axis(values, turned, axis=1) for values in (mesh.corner_lon, mesh.corner_lat))
    assert grid_hash(replace(mesh, corner_lon=lon, corner_lat=lat)) == name
    padded = (np.pad(values, ((0, 0), (0, 2)), constant_values=np.nan) for values in (lon, lat))
    assert grid_hash(replace(mesh, **dict(zip(("corner_lon", "corner_lat"), padded, strict=True)))) == name

    cell, corner = rng.integers(cells), rng.integers(3)
    for key in ("corner_lon", "corner_lat"):
        values = getattr(mesh, key).copy()
        values[cell, corner] += by
        assert grid_hash(replace(mesh, **{key: values})) != name
    mask = mesh.mask.copy()
    mask[cell] = False
    ids = mesh.cell_ids.copy()
    ids[[0, 1]] = ids[[1, 0]]
    others = [
        replace(mesh, mask=mask),
        replace(mesh, cell_ids=ids),
        replace(mesh, edges="latlon"),
        replace(mesh, global_size=cells + 1),
        replace(mesh, corner_lon=mesh.corner_lon[:, ::-1], corner_lat=mesh.corner_lat[:, ::-1]),
        replace(mesh, centre_lon=mesh.centres()[0] + by, centre_lat=mesh.centres()[1]),
        mesh.take(np.arange(cells - 1)),
    ]
    assert len({name, *map(grid_hash, others)}) == len(others) + 1


def test_whole_turns_of_longitude_do_not_change_the_hash():
    mesh = gaussian_mesh(8, octahedral=True)  # exact in binary, but for the last rows
    assert grid_hash(replace(mesh, corner_lon=mesh.corner_lon % 360.0)) == grid_hash(mesh)


@examples(25)
@given(seed=seeds, cells=st.integers(20, 100))
def test_normalising_twice_is_normalising_once(seed, cells):
    mesh = mesh_of(seed, cells)
    last = (~np.isnan(mesh.corner_lat)).sum(axis=1)[:, None] - 1
    padded = {
        key: np.where(np.isnan(values := getattr(mesh, key)), np.take_along_axis(values, last, axis=1), values)
        for key in ("corner_lon", "corner_lat")
    }
    once = merge_corners(replace(mesh, **padded))
    assert merge_corners(once) is once
    validate(once)
    assert grid_hash(once) == grid_hash(mesh)
    np.testing.assert_allclose(cell_area(once), cell_area(mesh), rtol=1e-12)


@examples(25)
@given(seed=seeds, cells=st.integers(30, 200))
def test_cells_that_tile_the_sphere_are_known_without_a_search(seed, cells):
    mesh = mesh_of(seed, cells)
    assert tiles_sphere(mesh)
    assert tiles_sphere(replace(mesh, mask=mesh.cell_ids % 2 == 0))
    assert overlapping(mesh, mesh)[0].size == 0
    cell = seed % cells
    assert not tiles_sphere(mesh.take(np.delete(np.arange(cells), cell)))
    assert not tiles_sphere(mesh.take(np.append(np.arange(cells), cell)))
    for change in (1e-6, -0.5):  # the area stays, the edges do not
        lat = mesh.corner_lat.copy()
        lat[cell, 0] += change
        assert not tiles_sphere(replace(mesh, corner_lat=lat))


@examples(25)
@given(seed=seeds, cells=st.integers(30, 200), share=st.floats(0.2, 2.0))
def test_a_cell_that_is_moved_is_found(seed, cells, share):
    mesh = mesh_of(seed, cells)
    cell = int(np.random.default_rng(seed).integers(cells))
    corners = unit_vectors(mesh.corner_lon[cell], mesh.corner_lat[cell])
    middle = np.nanmean(corners, axis=0)
    width = np.nanmax(np.linalg.norm(corners - middle, axis=1))
    across = np.cross(middle, np.eye(3)[np.argmin(np.abs(middle))])
    moved = corners + share * width * across / np.linalg.norm(across)
    lon, lat = mesh.corner_lon.copy(), mesh.corner_lat.copy()
    lon[cell], lat[cell] = lon_lat(moved)
    odd = replace(mesh, corner_lon=lon, corner_lat=lat)
    assert cell in np.concatenate(overlapping(odd, odd))
    with pytest.raises(GridError, match="cells overlap"):
        check_coverage(odd)


def triangle(rng: np.random.Generator) -> np.ndarray:
    """A counter-clockwise triangle of some degrees around a common place, unit vectors (3, 3)."""
    corners = np.array([1.0, 0, 0]) + rng.normal(0, 0.1, (3, 3))
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    return corners if np.linalg.det(corners) > 0 else corners[::-1]


def common_area(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Area that two triangles share, and that of the smaller one, in the gnomonic projection around (1, 0, 0).

    Great circles are straight lines there, so the first is clipped by the edges of the second (Sutherland, Hodgman).
    """
    polygon, clip = (points[:, 1:] / points[:, :1] for points in (first, second))

    def area(points: np.ndarray) -> float:
        x, y = points.T
        return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2

    smaller = min(area(polygon), area(clip))
    for start, end in zip(clip, np.roll(clip, -1, axis=0), strict=True):
        direction = end - start
        depth = direction[0] * (polygon[:, 1] - start[1]) - direction[1] * (polygon[:, 0] - start[0])
        kept = []
        for i in range(len(polygon)):
            j = (i + 1) % len(polygon)
            if depth[i] >= 0:
                kept.append(polygon[i])
            if depth[i] * depth[j] < 0:
                kept.append(polygon[i] + (polygon[j] - polygon[i]) * depth[i] / (depth[i] - depth[j]))
        polygon = np.array(kept)
        if len(polygon) == 0:
            return 0.0, smaller
    return area(polygon), smaller


@examples(200)
@given(seed=seeds)
def test_overlaps_of_triangles_are_those_that_clipping_finds(seed):
    rng = np.random.default_rng(seed)
    first, second = triangle(rng), triangle(rng)
    common, smaller = common_area(first, second)
    lon, lat = lon_lat(np.stack([first, second]))
    mesh = Mesh("two", np.arange(2), lon, lat, "great_circle", np.ones(2, bool), 2)
    if overlapping(mesh, mesh)[0].size:
        assert common > 0
    else:
        assert common <= 0.03 * smaller, "only what is less than 1 % of the width deep goes unseen"


@pytest.mark.parametrize("shift", [0.0, 0.4, -0.7, 3.0])
def test_boxes_overlap_where_they_share_area(shift):
    """Two boxes of 1 x 1 degree at 75 N, 175 E and ``shift`` degrees to the east."""
    west = np.array([179.5, 179.5 + shift])
    lon = np.stack([west, west + 1, west + 1, west], axis=1)
    lat = np.repeat([[75.0, 75.0, 76.0, 76.0]], 2, axis=0)
    mesh = Mesh("two", np.arange(2), lon, lat, "latlon", np.ones(2, bool), 2)
    assert (overlapping(mesh, mesh)[0].size == 1) is (abs(shift) < 1)


def test_cells_that_cross_without_a_corner_in_the_other_overlap():
    lon = np.array([[-9.0, 9, 9, -9], [-1, 1, 1, -1]])
    lat = np.array([[-1.0, -1, 1, 1], [-9, -9, 9, 9]])
    for edges in ("latlon", "great_circle"):
        mesh = Mesh("cross", np.arange(2), lon, lat, edges, np.ones(2, bool), 2)
        assert [part.tolist() for part in overlapping(mesh, mesh)] == [[0], [1]]
        with pytest.raises(GridError, match=r"cells overlap\n(.*\n)*  found: 1 pairs of cells, first cells 0 and 1"):
            check_coverage(mesh)
        check_coverage(replace(mesh, mask=np.array([True, False])))


def test_cells_that_are_not_convex_are_taken_apart():
    arrow = [0.0, 10, 0, 3], [0.0, 5, 10, 5]  # its fourth corner lies inside of the other three
    for lon, overlap in (([1.5, 2, 1.5], False), ([3, 9, 4], True), ([-2, 2.9, -2], False)):
        corners = [np.array([four, [*three, np.nan]]) for four, three in zip(arrow, (lon, [4.5, 5, 5.5]), strict=True)]
        mesh = Mesh("arrow", np.arange(2), *corners, "great_circle", np.ones(2, bool), 2)
        assert (overlapping(mesh, mesh)[0].size == 1) is overlap, lon


def test_neighbours_at_a_pole_do_not_overlap():
    for mesh in (gaussian_mesh(6, octahedral=True), gaussian_mesh(6, octahedral=False)):
        assert overlapping(mesh, mesh)[0].size == 0
        twice = replace(mesh, corner_lon=mesh.corner_lon + np.where(np.arange(mesh.size) == 3, 5.0, 0.0)[:, None])
        assert 3 in np.concatenate(overlapping(twice, twice))
