"""A wanted grid on the lattice of the data: which cells, and nothing but those is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.api import Box, GridError, LatLonGrid, register

GLOBE = LatLonGrid(-180.0, 10.0, 36, 90.0, -10.0, 18)


def _values(grid: LatLonGrid) -> np.ndarray:
    """One number for each place on the globe, whichever way a grid writes it."""
    return np.round(grid.lat)[:, None] * 1000 + np.round(grid.lon % 360)[None, :]


@given(
    row=st.integers(0, 17),
    col=st.integers(-36, 71),
    rows=st.integers(1, 18),
    cols=st.integers(1, 36),
    flip_data=st.booleans(),
    flip_wanted=st.booleans(),
    west=st.sampled_from([-180.0, 0.0, 90.0, 180.0]),
    width=st.integers(1, 36),
)
def test_every_covered_cell_gets_the_value_of_its_place(row, col, rows, cols, flip_data, flip_wanted, west, width):
    data = LatLonGrid(west, 10.0, width, *((-90.0, 10.0) if flip_data else (90.0, -10.0)), 18)
    wanted = GLOBE.sub(Box(row, min(row + rows, 18), col, col + cols))
    if flip_wanted:
        wanted = LatLonGrid(
            wanted.lon0, wanted.dlon, wanted.nlon, wanted.lat0 + wanted.nlat * wanted.dlat, -wanted.dlat, wanted.nlat
        )
    stored = _values(data)
    read = []

    def fetch(rows: slice, cols: slice) -> np.ndarray:
        read.append(stored[rows, cols].size)
        return stored[rows, cols]

    place = register(data, wanted)
    found = place.gather(fetch, np.nan, np.float64)
    # independent of the code: a column is covered when its longitude, in whole turns, lies in the data
    covered = np.broadcast_to((wanted.lon - west) % 360 < 10.0 * width, wanted.shape)
    np.testing.assert_array_equal(found, np.where(covered, _values(wanted), np.nan))
    np.testing.assert_array_equal(place.covered, covered)
    assert place.outside == (~covered).sum()
    assert sum(read) == covered.sum(), "reads more than it delivers"
    assert len(read) <= 2


def test_cells_beyond_the_data_are_missing():
    data = LatLonGrid(0.0, 1.0, 3, 50.0, 1.0, 3)
    place = register(data, LatLonGrid(-2.0, 1.0, 7, 48.0, 1.0, 4))
    assert place.rows.tolist() == [-1, -1, 0, 1]
    assert place.cols.tolist() == [-1, -1, 0, 1, 2, -1, -1]
    assert place.outside == 4 * 7 - 2 * 3


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (LatLonGrid(0.1, 1.0, 3, 50.0, 1.0, 3), "centres differ by 0.1 of a cell"),
        (LatLonGrid(0.0, 0.5, 3, 50.0, 0.5, 3), "cell sizes differ"),
        (LatLonGrid(0.0, 1.0, 3, 50.002, 1.0, 3), "centres differ by 0.002 of a cell"),
        (LatLonGrid(0.0, 1.0005, 300, 50.0, 1.0, 3), "centres differ"),
    ],
)
def test_other_lattices_are_refused_with_both_grids(wanted, text):
    data = LatLonGrid(0.0, 1.0, 360, 50.0, 1.0, 3)
    with pytest.raises(GridError, match=text) as error:
        register(data, wanted, where="states.nc")
    assert str(data) in str(error.value)
    assert str(wanted) in str(error.value)
    assert "states.nc" in str(error.value)


def test_rounding_of_coordinates_is_no_shift():
    data = LatLonGrid(0.0, 0.25, 8, 50.0, 0.25, 8)
    place = register(data, LatLonGrid(0.0001, 0.25, 8, 50.0001, 0.25, 8))
    assert place.cols.tolist() == list(range(8))
