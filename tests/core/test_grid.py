"""Longitude-latitude grids, against hand-worked values and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.core.grid import EARTH_RADIUS, Box, LatLonGrid, forcing_lattice
from ai4land_coupler.errors import GridError

# HILDA+ v1.0, as its geotransform says.
HILDA = LatLonGrid(-180.0, 0.00998837, 36041, 90.0, -0.00998837, 18021)
GLOBE = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)

grids = st.builds(
    LatLonGrid,
    st.floats(-180, 180),
    st.floats(0.01, 2.0),
    st.integers(2, 60),
    st.floats(-30, 30),
    st.floats(0.01, 0.9) | st.floats(-0.9, -0.01),
    st.integers(2, 60),
)


def test_cells_of_the_globe_add_up_to_the_sphere() -> None:
    assert GLOBE.row_area.sum() * GLOBE.nlon == pytest.approx(4 * math.pi * EARTH_RADIUS**2, rel=1e-12)
    # The authalic sphere has the surface of WGS 84, 510 065 622 km2.
    assert GLOBE.row_area.sum() * GLOBE.nlon == pytest.approx(510_065_622e6, rel=1e-6)


def test_a_quarter_degree_at_the_equator_has_the_hand_worked_area() -> None:
    side = EARTH_RADIUS * math.radians(0.25)
    # sin(x) = x (1 - x^2 / 6): the sphere takes 3.2e-6 from the square.
    assert GLOBE.row_area[359] == pytest.approx(side * side * (1 - math.radians(0.25) ** 2 / 6), rel=1e-10)


def test_the_global_hilda_grid_is_periodic_though_it_spans_less_than_the_globe() -> None:
    assert 359.98 < HILDA.dlon * HILDA.nlon < 360
    assert HILDA.periodic
    assert not HILDA.sub(Box(0, 100, 0, 36000)).periodic


@given(grids)
def test_a_grid_is_found_again_from_its_centres(grid: LatLonGrid) -> None:
    again = LatLonGrid.from_centres(grid.lon, grid.lat)
    assert again.shape == grid.shape
    np.testing.assert_allclose(again.lon_edges, grid.lon_edges, atol=1e-9)
    np.testing.assert_allclose(again.lat_edges, grid.lat_edges, atol=1e-9)


@given(grids, st.data())
def test_a_centre_lies_in_its_own_cell_whole_turns_away_too(grid: LatLonGrid, data: st.DataObject) -> None:
    turns = data.draw(st.integers(-2, 2))
    np.testing.assert_array_equal(grid.rows_of(grid.lat), np.arange(grid.nlat))
    np.testing.assert_array_equal(grid.cols_of(grid.lon + 360.0 * turns), np.arange(grid.nlon))


@given(grids, st.data())
def test_a_box_of_a_grid_has_the_centres_of_its_cells(grid: LatLonGrid, data: st.DataObject) -> None:
    row0, row1 = sorted(data.draw(st.lists(st.integers(0, grid.nlat), min_size=2, max_size=2, unique=True)))
    col0, col1 = sorted(data.draw(st.lists(st.integers(0, grid.nlon), min_size=2, max_size=2, unique=True)))
    part = grid.sub(Box(row0, row1, col0, col1))
    np.testing.assert_allclose(part.lon, grid.lon[col0:col1], atol=1e-9)
    np.testing.assert_allclose(part.lat, grid.lat[row0:row1], atol=1e-9)
    np.testing.assert_allclose(part.row_area, grid.row_area[row0:row1], rtol=1e-6)


def test_the_forcing_cells_of_a_domain_are_those_that_hold_its_centres() -> None:
    fine = HILDA.sub(Box(2900, 3700, 16600, 18300))
    lattice = forcing_lattice(fine, GLOBE)
    rows = {math.floor((90 - lat) / 0.25) for lat in fine.lat}
    cols = {math.floor((lon + 180) / 0.25) for lon in fine.lon}
    assert lattice.shape == (len(rows), len(cols))
    assert lattice.lat0 == pytest.approx(90 - 0.25 * min(rows))
    assert lattice.lon0 == pytest.approx(-180 + 0.25 * min(cols))
    # 25.03 fine cells in a forcing cell: some rows of forcing cells have 25, some 26.
    counts = np.bincount(lattice.rows_of(fine.lat))[1:-1]
    assert set(counts) == {25, 26}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, -1, 4, 0, 1, 4), "malformed"),
        ((0, 1, 4, math.nan, 1, 4), "malformed"),
        ((0, 1, 0, 0, 1, 4), "no cells"),
        ((0, 1, 361, 0, 1, 4), "more than the globe"),
        ((0, 1, 4, 89, 1, 4), "beyond a pole"),
    ],
)
def test_malformed_grids_are_refused(values: tuple[float, ...], message: str) -> None:
    with pytest.raises(GridError, match=message):
        LatLonGrid(*values)  # type: ignore[arg-type]


def test_uneven_axes_are_refused() -> None:
    with pytest.raises(GridError, match="latitude is not evenly spaced"):
        LatLonGrid.from_centres(np.arange(4.0), np.array([0.0, 1.0, 2.5, 3.0]))
    with pytest.raises(GridError, match="longitude is not an axis"):
        LatLonGrid.from_centres(np.array([1.0]), np.arange(3.0))


def test_the_hash_of_a_grid_tells_grids_apart() -> None:
    assert GLOBE.hash == LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720).hash
    assert GLOBE.hash != GLOBE.sub(Box(0, 720, 1, 1440)).hash


def test_boxes_intersect_and_slice() -> None:
    box = Box(2, 6, 3, 9)
    assert (box.shape, box.size) == ((4, 6), 24)
    assert box.intersect(Box(0, 4, 5, 20)) == Box(2, 4, 5, 9)
    assert box.intersect(Box(7, 9, 0, 2)).size == 0
    array = np.arange(100).reshape(10, 10)
    assert array[box.slices()][0, 0] == 23
    assert array[1:, 2:][box.slices(Box(1, 10, 2, 10))][0, 0] == 23
