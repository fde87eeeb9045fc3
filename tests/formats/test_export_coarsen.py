"""Areas on coarse grids: conserved, and equal to direct calculations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.core.grid import EARTH_RADIUS, LatLonGrid
from ai4land_coupler.formats.coarsen import Coarsening, class_areas, covering_grid, overlap_lengths
from ai4land_coupler.formats.store_reader import StoreReader
from ai4land_coupler.store.output import open_store


def test_overlap_by_hand() -> None:
    coarse, fine = np.array([0.0, 1.0, 2.0]), np.array([2.5, 1.75, 0.5, -1.0])
    assert overlap_lengths(coarse, fine).toarray().tolist() == [[0, 0.5, 0.5], [0.25, 0.75, 0]]


@given(
    st.lists(st.floats(-80, 80), min_size=2, max_size=12, unique=True),
    st.lists(st.floats(-80, 80), min_size=2, max_size=12, unique=True),
)
def test_overlap_lengths_sum_to_the_common_length(coarse: list[float], fine: list[float]) -> None:
    found = overlap_lengths(np.sort(coarse), np.sort(fine)[::-1]).toarray()
    common = max(0.0, min(max(coarse), max(fine)) - max(min(coarse), min(fine)))
    assert found.sum() == pytest.approx(common, abs=1e-11)
    assert (found >= 0).all()
    assert (found.sum(axis=1) <= np.diff(np.sort(coarse)) + 1e-11).all()


@pytest.mark.parametrize("step", [0.25, 0.5, 1.0])
def test_area_of_each_class_is_conserved(store: Path, step: float) -> None:
    source = StoreReader.open(store)
    coarsening = Coarsening.between(source.grid, covering_grid(source.grid, step))
    for year in source.years:
        found = class_areas(source, year, coarsening, lambda: None)
        expected = open_store(store).class_area.sel(year=year).values
        np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, rtol=1e-12)
        assert (found.sum(axis=0) <= coarsening.coarse.row_area[:, None] * (1 + 1e-12)).all()


def test_one_coarse_cell_by_its_polygons(store: Path) -> None:
    """Compare with all overlaps of fine and coarse cells, calculated one by one from the corners."""
    source = StoreReader.open(store)
    coarse = covering_grid(source.grid, 0.25)
    found = class_areas(source, 2018, Coarsening.between(source.grid, coarse), lambda: None)
    classes = source.legend.to_view(source.codes(2018, source.grid.box))
    row, col = 2, 3
    expected = np.zeros(7)
    for i, j in zip(*np.nonzero(classes >= 0), strict=True):
        west = max(source.grid.lon_edges[j], coarse.lon_edges[col])
        east = min(source.grid.lon_edges[j + 1], coarse.lon_edges[col + 1])
        north = min(source.grid.lat_edges[i], coarse.lat_edges[row])
        south = max(source.grid.lat_edges[i + 1], coarse.lat_edges[row + 1])
        if east > west and north > south:
            sines = np.sin(np.deg2rad(north)) - np.sin(np.deg2rad(south))
            expected[classes[i, j]] += EARTH_RADIUS**2 * np.deg2rad(east - west) * sines
    np.testing.assert_allclose(found[:, row, col], expected, rtol=1e-11)


def test_covering_grids() -> None:
    published = LatLonGrid(-180.0, 0.00998837, 36041, 90.0, -0.00998837, 18021)
    assert covering_grid(published, 0.25) == LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)
    exact = LatLonGrid(-5.0, 0.1, 30, 52.0, -0.1, 20)
    assert covering_grid(exact, 0.5) == LatLonGrid(-5.0, 0.5, 6, 52.0, -0.5, 4)
    from_greenwich = LatLonGrid(0.0, 0.5, 720, -90.0, 0.5, 360)
    assert covering_grid(from_greenwich, 1.0) == LatLonGrid(0.0, 1.0, 360, 90.0, -1.0, 180)
