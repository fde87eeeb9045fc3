"""Overlaps of great-circle cells and boxes in closed form: against YAC, known areas, and themselves."""

from dataclasses import replace

import needs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from regrid_cases import matrix, octahedral_mesh, random_voronoi_mesh, reduced_mesh

from ai4land_coupler.api import LatLonGrid, LocalWeights, Mesh
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions

needs.yac()

OURS, YAC = YacRegridder(), YacRegridder(YacRegridOptions(closed_form=False))
GLOBE = latlon_mesh(LatLonGrid(0, 7.5, 48, -90, 7.5, 24), "globe")


def triangles(corners: list[list[list[float]]], edges: str = "great_circle") -> Mesh:
    """Cells from their corners (lon, lat)."""
    both = np.array(corners, float)
    n = len(both)
    lon, lat = np.ascontiguousarray(both[..., 0]), np.ascontiguousarray(both[..., 1])
    return Mesh("cells", np.arange(n), lon, lat, edges, np.ones(n, bool), n)  # type: ignore[arg-type]


def octants(lon: float) -> Mesh:
    """The eight octants, from a longitude: corners at the poles, edges on meridians and on the equator."""
    quarter = [(lon + 90.0 * i, lon + 90.0 * (i + 1)) for i in range(4)]
    north = [[[west, 0.0], [east, 0.0], [17.0, 90.0]] for west, east in quarter]
    south = [[[east, 0.0], [west, 0.0], [-99.0, -90.0]] for west, east in quarter]
    return triangles(north + south)


def made(source: Mesh, destination: Mesh) -> LocalWeights:
    found = OURS.build(source, destination)
    assert found.provenance["backend"] == "closed form"
    return found


def check_with_yac(source: Mesh, destination: Mesh, within: float = 1e-8) -> LocalWeights:
    found, expected = made(source, destination), YAC.build(source, destination)
    assert expected.provenance["backend"] == "yac"
    difference = abs(matrix(found, source.global_size) - matrix(expected, source.global_size))
    assert difference.max() <= within
    np.testing.assert_allclose(found.destination_fraction, expected.destination_fraction, atol=within)
    return found


@pytest.mark.parametrize("lon", [0.0, -180.0, 3.0, 7.5])
def test_octants_get_the_part_of_each_box_between_their_meridians(lon):
    found = made(GLOBE, octants(lon))
    share = matrix(found, GLOBE.size).toarray() * found.destination_area[:, None] / found.source_area
    west, south = np.tile(np.arange(48) * 7.5, 24), np.repeat(np.arange(24) * 7.5 - 90, 48)
    for octant in range(8):
        # overlap of the box and of the octant in longitude, wherever the globe is cut open
        begin = lon + 90.0 * (octant % 4) + np.array([-360.0, 0.0, 360.0])[:, None]
        along = np.maximum(np.minimum(west + 7.5, begin + 90.0) - np.maximum(west, begin), 0.0).sum(axis=0) / 7.5
        np.testing.assert_allclose(share[octant], along * ((south >= 0) == (octant < 4)), atol=1e-12)
    np.testing.assert_allclose(found.destination_fraction, 1.0, rtol=1e-12)


@pytest.mark.parametrize("north", [1.0, -1.0])
def test_cells_with_a_pole_inside(north):
    lon, lat = np.array([10.0, 130.0, 250.0]), np.array([70.0, 62.5, 81.0])
    cap = triangles([np.stack([lon, lat], 1)[:: int(north)] * [1.0, north]])
    found = check_with_yac(GLOBE, cap)
    np.testing.assert_allclose(found.destination_fraction, 1.0, rtol=1e-12)
    check_with_yac(cap, GLOBE)


@pytest.mark.parametrize("seed", range(3))
def test_random_polygons_both_ways(seed):
    cells = random_voronoi_mesh(400, seed=seed)
    check_with_yac(GLOBE, cells)
    check_with_yac(cells, GLOBE)


@examples(25)
@given(
    west=st.floats(-360, 360), south=st.floats(-89, 70), step=st.floats(0.05, 6.0), seed=st.integers(0, 1000)
)  # fmt: skip
def test_any_region(west, south, step, seed):
    step = min(step, (90.0 - south) / 5)
    region = latlon_mesh(LatLonGrid(west, step, 7, south, step, 5), "region")
    cells = octahedral_mesh(3)
    masked = replace(cells, mask=np.random.default_rng(seed).random(cells.size) < 0.8)
    # YAC takes points within 6 mm for one: up to that share of a small box
    check_with_yac(masked, region, 1e-7)
    check_with_yac(region, masked, 1e-7)


def test_boxes_may_be_masked_and_in_any_order():
    order = np.random.default_rng(1).permutation(GLOBE.size)
    shuffled, cells = GLOBE.take(order), octahedral_mesh(2)
    shuffled = replace(shuffled, mask=shuffled.cell_ids % 3 > 0)
    whole = matrix(made(GLOBE, cells), GLOBE.size).toarray()
    part = matrix(made(shuffled, cells), GLOBE.size).toarray()
    whole[:, ::3] = 0.0
    np.testing.assert_allclose(part, whole, atol=1e-12)


def test_small_pieces_give_the_same(monkeypatch):
    cells = random_voronoi_mesh(100, seed=5)
    whole = made(GLOBE, cells)
    monkeypatch.setattr("ai4land_coupler.regrid.methods.cut._CHUNK", 50)
    np.testing.assert_array_equal(made(GLOBE, cells).values, whole.values)


def test_what_has_no_closed_form_goes_to_the_library():
    reduced = reduced_mesh([8, 16, 24, 16, 8])
    through_the_pole = triangles([[[0.0, 80.0], [90.0, 40.0], [180.0, 80.0]]])
    part = GLOBE.take(np.arange(0, GLOBE.size, 2))
    for source, destination in ((reduced, octahedral_mesh(1)), (GLOBE, through_the_pole), (part, octahedral_mesh(1))):
        assert OURS.build(source, destination).provenance["backend"] == "yac"


def test_cells_of_one_degree_over_boxes_of_a_hundred_metres():
    boxes = latlon_mesh(LatLonGrid(10.0, 0.001, 60, 50.0, 0.001, 40), "fine")
    cells = triangles([[[9.9, 49.9], [10.03, 50.02], [9.95, 50.1]], [[9.9, 49.9], [10.1, 49.95], [10.03, 50.02]]])
    found = check_with_yac(boxes, cells, 1e-7)
    inside = found.destination_fraction.sum()
    assert 0 < inside < 2
    check_with_yac(cells, boxes, 1e-4)
