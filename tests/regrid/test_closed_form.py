"""Weights between boxes of longitude and latitude, against dense sums and against YAC."""

import needs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from regrid_cases import LATLON, box_mesh, exact_latlon_weights, matrix, octahedral_mesh, reduced_mesh

from ai4land_coupler.api import ConfigError, GridError, LatLonGrid, Mesh
from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions
from ai4land_coupler.regrid.methods import closed_form

REGRIDDER = YacRegridder()


@pytest.mark.parametrize("case", LATLON)
def test_regular_grids(case):
    source, destination = LATLON[case]
    found = REGRIDDER.build(latlon_mesh(source, "source"), latlon_mesh(destination, "destination"))
    exact = exact_latlon_weights(source, destination)
    assert found.provenance["backend"] == "closed form"
    np.testing.assert_allclose(matrix(found, source.size).toarray(), exact, atol=1e-13)
    np.testing.assert_allclose(found.destination_fraction, exact.sum(axis=1), atol=1e-12)


@examples(50)
@given(
    west=st.floats(-360, 300),
    south=st.floats(-90, 60),
    step=st.floats(0.01, 4.9),
    other=st.floats(0.01, 4.9),
    shift=st.sampled_from([0.7, 0.0, -1.0, 1e-9]),
)
def test_any_two_regions(west, south, step, other, shift):
    source = LatLonGrid(west, step, 6, south, step, 3)
    destination = LatLonGrid(west + shift * step + 360.0 * (shift < 0), other, 4, max(south + shift, -90), other, 3)
    found = REGRIDDER.build(latlon_mesh(source, "source"), latlon_mesh(destination, "destination"))
    # edges of 1e-13 degrees have no digits left for cells of 0.01
    np.testing.assert_allclose(
        matrix(found, source.size).toarray(), exact_latlon_weights(source, destination), atol=1e-12 + 1e-12 / other
    )


def dense_areas(source: Mesh, destination: Mesh) -> np.ndarray:
    """Every box with every box, one pair at a time."""
    found = np.zeros((destination.size, source.size))
    (sw, sd, ss, sn), (dw, dd, ds, dn) = closed_form.cell_boxes(source), closed_form.cell_boxes(destination)
    for turn in (-720, -360, 0, 360, 720):
        width = np.minimum(sw + sd, (dw + dd)[:, None] + turn) - np.maximum(sw, dw[:, None] + turn)
        low, high = np.maximum(ss, ds[:, None]), np.minimum(sn, dn[:, None])
        height = np.sin(np.deg2rad(high)) - np.sin(np.deg2rad(low))
        found += np.maximum(np.deg2rad(width), 0) * np.maximum(height, 0)
    return found * EARTH_RADIUS**2


@examples(25)
@given(st.integers(0, 2**32 - 1))
def test_boxes_thrown_at_random(seed):
    # overlapping, of all sizes, over the date line and the poles, masked
    rng = np.random.default_rng(seed)

    def throw(n):
        west, south = rng.uniform(-180, 360, n), np.round(rng.uniform(-89.99, 89, n), rng.integers(0, 3))
        width, height = rng.choice([0.01, 1.0, 30.0, 170.0], n), rng.choice([0.01, 1.0, 30.0, 100.0], n)
        return box_mesh(west, south, west + width, np.minimum(south + height, 89.999 + 0.001 * (south > -90)))

    source, destination = throw(40), throw(30)
    rows, cols, areas = closed_form.box_overlaps(closed_form.cell_boxes(source), closed_form.cell_boxes(destination))
    found = np.zeros((destination.size, source.size))
    np.add.at(found, (rows, cols), areas)
    expected = dense_areas(source, destination)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * EARTH_RADIUS**2)
    assert len(set(zip(rows.tolist(), cols.tolist(), strict=True))) == rows.size, "no pair twice"


def test_reduced_grids_both_ways():
    reduced, other = reduced_mesh([4, 12, 20, 24, 20, 12, 4]), reduced_mesh([5, 9, 16, 16, 9, 5], turn=-187.3)
    for source, destination in ((reduced, other), (other, reduced)):
        found = REGRIDDER.build(source, destination)
        assert found.provenance["backend"] == "closed form"
        expected = dense_areas(source, destination) / found.destination_area[:, None]
        np.testing.assert_allclose(matrix(found, source.size).toarray(), expected, atol=1e-14)
        np.testing.assert_allclose(found.destination_fraction, 1.0, rtol=1e-13)


def test_small_pieces_give_the_same(monkeypatch):
    source, destination = (latlon_mesh(grid, "grid") for grid in LATLON["globes"])
    whole = closed_form.box_overlaps(closed_form.cell_boxes(source), closed_form.cell_boxes(destination))
    monkeypatch.setattr(closed_form, "_CHUNK", 64)
    pieces = closed_form.box_overlaps(closed_form.cell_boxes(source), closed_form.cell_boxes(destination))
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one[np.lexsort(whole[1::-1])], other[np.lexsort(pieces[1::-1])])


def test_land_only_sources_cover_in_part():
    grid = LatLonGrid(0, 2, 180, -90, 2, 90)
    land = np.flatnonzero(np.random.default_rng(3).random(grid.size) < 0.3)
    host = LatLonGrid(-180, 7.5, 48, 90, -9, 20)
    found = REGRIDDER.build(latlon_mesh(grid, "land", land), latlon_mesh(host, "host"))
    whole = exact_latlon_weights(grid, host)
    np.testing.assert_allclose(matrix(found, grid.size).toarray()[:, land], whole[:, land], atol=1e-13)
    np.testing.assert_allclose(found.destination_fraction @ found.destination_area, found.source_area.sum(), rtol=1e-12)


def test_the_norm_by_fraction_means_over_the_covered_part():
    source, host = (latlon_mesh(grid, "grid") for grid in LATLON["a region over the date line"])
    by_cell, by_part = (REGRIDDER.build(source, host, norm=norm) for norm in ("destination", "fraction"))
    np.testing.assert_array_equal(by_cell.destination_fraction, by_part.destination_fraction)
    covered = by_cell.destination_fraction > 0
    assert 0 < covered.sum() < host.size
    sums = matrix(by_part, source.size) @ np.ones(source.size)
    np.testing.assert_allclose(sums, covered, rtol=1e-14)
    scaled = matrix(by_part, source.size).toarray() * by_part.destination_fraction[:, None]
    np.testing.assert_allclose(scaled, matrix(by_cell, source.size).toarray(), rtol=1e-14)


def test_cells_that_are_no_boxes_go_to_the_library():
    needs.yac()
    grid = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "grid")
    cap = Mesh("cap", np.arange(1), np.array([[0.0, 120, 240]]), np.full((1, 3), 75.0), "latlon", np.ones(1, bool), 1)
    found = REGRIDDER.build(grid, cap)
    assert found.provenance["backend"] == "yac"
    assert found.destination_fraction[0] == pytest.approx(1.0, rel=1e-12)
    assert REGRIDDER.build(octahedral_mesh(1), octahedral_mesh(2)).provenance["backend"] == "yac"
    assert REGRIDDER.build(cap, octahedral_mesh(1)).provenance["backend"] == "yac"
    assert YacRegridder(YacRegridOptions(closed_form=False)).build(grid, grid).provenance["backend"] == "yac"


@pytest.mark.parametrize(
    ("lon", "lat"),
    [
        ([3.0, 23, 23, 13, 13, 3], [2.0, 2, 12, 12, 22, 22]),  # an L
        ([3.0, 13, 23, 23, 3], [2.0, 2, 2, 12, 12]),  # a corner on a straight edge
        ([0.0, 90, 180, 270], [75.0] * 4),  # a cap around the pole
    ],
)
def test_what_yac_would_abort_on_is_refused(lon, lat):
    needs.yac()
    odd = Mesh("odd", np.arange(1), np.array([lon]), np.array([lat]), "latlon", np.ones(1, bool), 1)
    for meshes in ((octahedral_mesh(1), odd), (odd, octahedral_mesh(1))):
        with pytest.raises(GridError, match=r"YAC does not know such cells[\s\S]*where: odd, cell 0"):
            YacRegridder(YacRegridOptions(closed_form=False)).build(*meshes)


def test_an_unknown_norm_is_refused():
    mesh = latlon_mesh(LatLonGrid(0, 10, 4, 0, 10, 4), "region")
    with pytest.raises(ConfigError, match="norm destination or fraction"):
        REGRIDDER.build(mesh, mesh, norm="area")


def test_masked_cells_without_corners_give_no_warnings():
    """As the land of an ocean model: the error state of numpy turns a warning into an error."""
    mesh = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "ocean")
    lon, lat = mesh.corner_lon.copy(), mesh.corner_lat.copy()
    lon[40:50], lat[40:50] = np.nan, np.nan
    mask = np.isfinite(lat[:, 0])
    ocean = Mesh("ocean", mesh.cell_ids, lon, lat, "latlon", mask, mesh.global_size)
    with np.errstate(all="raise"):
        assert closed_form.all_boxes(ocean, None)
        np.testing.assert_array_equal(closed_form.is_box(ocean), mask)
        places = closed_form.value_places(ocean)
    assert np.isfinite(places[0][mask]).all()
