"""Fine cells inside and cut by host cells, against points whose cell is found by plain half-space tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from properties import examples
from regrid_cases import octahedral_mesh

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.grids.mesh import Mesh, unit_vectors
from ai4land_coupler.regrid.land.outline import NOWHERE, GridBoxes, Outline
from ai4land_coupler.regrid.land.refine import CUT, refine


def triangles_of(mesh: Mesh, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """The triangle of a mesh that holds each point, -1 for none: left of all three of its edges."""
    corners = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    normals = np.concatenate([np.cross(corners[:, i], corners[:, (i + 1) % 3]) for i in range(3)])
    answer = []
    for points in np.array_split(unit_vectors(lon.ravel(), lat.ravel()), 1 + lon.size * mesh.size // 5_000_000):
        held = (points @ normals.T > 0).reshape(len(points), 3, -1).all(axis=1)
        answer.append(np.where(held.any(axis=1), held.argmax(axis=1), -1))
    return np.concatenate(answer).reshape(lon.shape)


def samples(grid: LatLonGrid, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes (count**2, rows, cols) of points spread evenly inside of each fine cell."""
    inside = (np.arange(count) + 0.5) / count
    edges = grid.lat_edges
    lat = edges[:-1] + np.diff(edges) * inside[:, None]
    lon = grid.lon - grid.dlon / 2 + grid.dlon * inside[:, None]
    shape = (count, count, *grid.shape)
    return (
        np.broadcast_to(lon[None, :, None, :], shape).reshape(-1, *grid.shape),
        np.broadcast_to(lat[:, None, :, None], shape).reshape(-1, *grid.shape),
    )


def found_in(mesh: Mesh, grid: LatLonGrid) -> np.ndarray:
    return refine(Outline(mesh), grid, grid.box, np.ones(grid.shape, bool))


def plain_octahedron() -> Mesh:
    """Eight triangles with corners at both poles and edges on the equator and four meridians."""
    lon = np.array(
        [[90.0 * i, 90.0 * i + 90.0, 0.0] for i in range(4)] + [[90.0 * i + 90.0, 90.0 * i, 0.0] for i in range(4)]
    )
    lat = np.array([[0.0, 0.0, 90.0]] * 4 + [[0.0, 0.0, -90.0]] * 4)
    return Mesh("octahedron", np.arange(8), lon, lat, "great_circle", np.ones(8, bool), 8)


def assert_right(mesh: Mesh, grid: LatLonGrid, count: int = 3) -> np.ndarray:
    found = found_in(mesh, grid)
    truth = triangles_of(mesh, *samples(grid, count))
    same = (truth == truth[0]).all(axis=0)
    assert (found[~same] == CUT).all(), "a cell with points in several host cells must be cut"
    whole = found != CUT
    np.testing.assert_array_equal(found[whole], truth[0][whole])
    return same


@pytest.mark.parametrize(
    ("mesh", "grid"),
    [
        (octahedral_mesh(2), LatLonGrid(-180.0, 1.4963, 240, 90.0, -1.4963, 120)),
        (octahedral_mesh(2), LatLonGrid(0.0, 1.5, 240, -90.0, 1.5, 120)),
        (octahedral_mesh(0), LatLonGrid(-180.0, 3.0, 120, 90.0, -3.0, 60)),
        (plain_octahedron(), LatLonGrid(-181.0, 2.0, 180, 90.0, -2.0, 90)),
        (octahedral_mesh(4), LatLonGrid(-11.3, 0.09, 130, 60.1, -0.09, 90)),
        (octahedral_mesh(3), LatLonGrid(-180.0, 1.2, 300, 90.0, -0.05, 60)),
    ],
    ids=["globe", "south first", "huge cells", "poles and meridians", "region", "pole"],
)
def test_triangles_on_the_sphere(mesh: Mesh, grid: LatLonGrid) -> None:
    same = assert_right(mesh, grid)
    assert not same.all()


@examples(30)
@given(
    st.integers(0, 3),
    st.floats(-180, 180),
    st.floats(-80, 60),
    st.floats(0.02, 1.5),
    st.floats(0.02, 1.0) | st.floats(-1.0, -0.02),
    st.integers(1, 25),
    st.integers(1, 25),
)
def test_any_grid(level: int, lon: float, lat: float, dlon: float, dlat: float, nlon: int, nlat: int) -> None:
    lat = min(lat, 90 - nlat * dlat) if dlat > 0 else max(lat, -90 - nlat * dlat)
    assert_right(octahedral_mesh(level), LatLonGrid(lon, dlon, nlon, lat, dlat, nlat), 3)


def test_hardly_a_cell_is_cut_in_vain() -> None:
    """Each costs a call to the backend. Nearly all that are cut have corners in several host cells."""
    grid = LatLonGrid(-180.0, 1.0, 360, 90.0, -1.0, 180)
    mesh = octahedral_mesh(1)
    corner = triangles_of(mesh, *np.meshgrid(grid.lon_edges, grid.lat_edges))
    several = (corner[:-1, :-1] != corner[1:, 1:]) | (corner[:-1, 1:] != corner[1:, :-1])
    several |= corner[:-1, :-1] != corner[:-1, 1:]
    assert (found_in(mesh, grid) == CUT).sum() < 1.02 * several.sum()


def test_meridians_and_parallels() -> None:
    """Host cells of 3 x 2 degrees from 10 E, 40 N: rows and columns are found one by one."""
    grid = LatLonGrid(8.613, 0.35, 60, 52.317, -0.35, 50)
    host = LatLonGrid(10.0, 3.0, 5, 40.0, 2.0, 5)
    found = found_in(latlon_mesh(host, "host"), grid)
    west, east = (host.cols_of(grid.lon_edges[i : i + 60] + 1e-6 - 2e-6 * i) for i in (0, 1))
    south, north = (host.rows_of(grid.lat_edges[1 - i : 51 - i] + 1e-6 - 2e-6 * i) for i in (0, 1))
    # columns count from 10 E eastward all the way round: those of 8.6 to 10 E are the last
    west, east = (np.where(cols < 5, cols, -1) for cols in (west, east))
    south, north = (np.where((rows >= 0) & (rows < 5), rows, -1) for rows in (south, north))
    row, col = np.meshgrid(south, west, indexing="ij")
    cut = (south != north)[:, None] & (np.maximum(west, east) >= 0) | (west != east) & (
        np.maximum(south, north)[:, None] >= 0
    )
    expected = np.where((row >= 0) & (col >= 0), row * 5 + col, NOWHERE)
    np.testing.assert_array_equal(found, np.where(cut, CUT, expected))
    assert set(np.unique(expected)) == {NOWHERE, *range(25)}


@pytest.mark.parametrize("south", [False, True])
def test_cells_around_a_pole(south: bool) -> None:
    """A cap of parallels around a pole, and a ring of triangles that meet at the pole."""
    sign = -1 if south else 1
    ring = np.arange(0.0, 360.0, 72.0)[:: -1 if south else 1]
    cap = Mesh("cap", np.arange(1), ring[None], np.full((1, 5), sign * 84.0), "latlon", np.ones(1, bool), 1)
    grid = LatLonGrid(-180.0, 1.7, 211, sign * 90.0, -sign * 0.5, 40)
    found = found_in(cap, grid)
    assert (found[:11] == 0).all()
    assert (found[13:] == NOWHERE).all()
    wedges = Mesh(
        "wedges",
        np.arange(5),
        np.stack([ring, np.roll(ring, -1), np.zeros(5)], axis=1),
        np.tile([sign * 80.0, sign * 80.0, sign * 90.0], (5, 1)),
        "latlon",
        np.ones(5, bool),
        5,
    )
    found = found_in(wedges, grid)
    inside = found[:19] >= 0
    first = np.floor(grid.lon % 360 / 72).astype(int)
    expected = np.broadcast_to((3 - first) % 5 if south else first, found[:19].shape)
    np.testing.assert_array_equal(found[:19][inside], expected[inside])
    assert inside.mean() > 0.95
    assert (found[21:] == NOWHERE).all()


def test_a_cell_that_is_not_convex() -> None:
    """In the gnomonic projection great circles are straight: there a plain polygon tells what is inside."""
    lon = np.array([[-6.0, 7.0, 5.0, 0.5, -4.0]])
    lat = np.array([[-5.0, -4.5, 6.0, -2.0, 5.5]])
    mesh = Mesh("arrow", np.arange(1), lon, lat, "great_circle", np.ones(1, bool), 1)
    grid = LatLonGrid(-8.0, 0.11, 150, 8.0, -0.11, 145)

    def project(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        lon, lat = np.deg2rad(lon.ravel()), np.deg2rad(lat.ravel())
        return np.stack([np.tan(lon), np.tan(lat) / np.cos(lon)], axis=1)

    points = samples(grid, 3)
    inside = Polygon(project(lon, lat)).contains_points(project(*points)).reshape(points[0].shape)
    found = found_in(mesh, grid)
    mixed = (inside != inside[0]).any(axis=0)
    assert (found[mixed] == CUT).all()
    assert mixed.any()
    whole = found != CUT
    np.testing.assert_array_equal(found[whole] == 0, inside[0][whole])


def test_the_ocean_is_nowhere_and_boxes_count_from_the_grid() -> None:
    grid = LatLonGrid(-180.0, 1.0, 360, 90.0, -1.0, 180)
    outline, box = Outline(octahedral_mesh(1)), Box(30, 133, 300, 360)
    land = np.random.default_rng(0).random(box.shape) < 0.2
    part = refine(outline, grid, box, land)
    whole = found_in(octahedral_mesh(1), grid)[box.slices()]
    np.testing.assert_array_equal(part, np.where(land, whole, NOWHERE))
    assert (refine(outline, grid, box, np.zeros(box.shape, bool)) == NOWHERE).all()


def test_host_cells_that_overlap_cut_what_they_share() -> None:
    """Nothing is taken for inside of one cell where two claim it; the backend decides."""
    one = octahedral_mesh(0)
    twice = Mesh(
        "twice",
        np.arange(16),
        np.tile(one.corner_lon, (2, 1)),
        np.tile(one.corner_lat, (2, 1)),
        "great_circle",
        np.ones(16, bool),
        16,
    )
    assert (found_in(twice, LatLonGrid(0.0, 4.0, 20, 40.0, -4.0, 20)) == CUT).all()


def test_reach_of_boxes() -> None:
    """No point of a box is farther from its centre than said, in space, to the east and to the north."""
    grid = LatLonGrid(-180.0, 2.5, 144, 90.0, -2.5, 72)
    rng = np.random.default_rng(2)
    row0, col0 = rng.integers(0, 66, 200), rng.integers(0, 130, 200)
    row1, col1 = row0 + rng.integers(1, 6, 200), col0 + rng.integers(1, 12, 200)
    boxes = GridBoxes.of(grid, row0, row1, col0, col1)
    edges = grid.lat_edges
    for u, v in np.ndindex(7, 7):
        lat = edges[row0] + (edges[row1] - edges[row0]) * u / 6
        lon = grid.lon0 + grid.dlon * (col0 + (col1 - col0) * v / 6)
        away = unit_vectors(lon, lat).T - boxes.point
        east = away[1] * boxes.cos_lon - away[0] * boxes.sin_lon
        north = boxes.cos_lat * away[2] - boxes.sin_lat * (away[0] * boxes.cos_lon + away[1] * boxes.sin_lon)
        assert (np.linalg.norm(away, axis=0) <= boxes.radius + 1e-12).all()
        assert (np.abs(east) <= boxes.east + 1e-12).all()
        assert (np.abs(north) <= boxes.north + 1e-12).all()
