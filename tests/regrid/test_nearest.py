"""Nearest source cells against a search of all pairs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from regrid_cases import octahedral_mesh

from ai4land_coupler.api import EARTH_RADIUS, ConfigError, LatLonGrid
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.grids.mesh import unit_vectors
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions
from ai4land_coupler.regrid.methods.closed_form import value_points


def by_all_pairs(source, destination) -> np.ndarray:
    """Nearest unmasked source by the angle, ties to the lowest id."""
    here, there = value_points(source), value_points(destination)
    away = np.linalg.norm(there[:, None] - here, axis=2)
    away[:, ~source.mask] = np.inf
    tied = away <= away.min(axis=1, keepdims=True) + 1e-12
    return np.where(tied, source.cell_ids, np.iinfo(np.int64).max).min(axis=1)


@examples(20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, 0.01]))
def test_the_nearest_of_all(seed, share):
    rng = np.random.default_rng(seed)
    source = octahedral_mesh(3).take(rng.permutation(512))
    source = replace(source, mask=rng.random(512) < share)
    source.mask[0] = True
    host = latlon_mesh(LatLonGrid(rng.uniform(-180, 180), 9, 40, -90, 9, 20), "host")
    found = YacRegridder(YacRegridOptions(unmapped="nearest")).build(source, host, method="nearest")
    np.testing.assert_array_equal(found.source_ids, by_all_pairs(source, host))
    np.testing.assert_array_equal(found.values, 1.0)
    np.testing.assert_array_equal(found.indptr, np.arange(host.size + 1))


@examples(10)
@given(st.integers(0, 2**32 - 1))
def test_a_point_in_a_source_cell_always_has_a_value(seed):
    """With masks: every point of a cell that takes part, and none that is farther away than the corners of a cell."""
    rng = np.random.default_rng(seed)
    source = octahedral_mesh(3)
    source = replace(source, mask=rng.random(512) < 0.5)
    host = latlon_mesh(LatLonGrid(rng.uniform(-180, 180), 5, 72, -90, 5, 36), "host")
    found = YacRegridder().build(source, host, method="nearest").destination_fraction
    points, corners = value_points(host), unit_vectors(source.corner_lon, source.corner_lat)
    inward = np.cross(corners, np.roll(corners, -1, axis=1))
    inside = (np.einsum("nkj,mj->nkm", inward, points) > 0).all(axis=1)
    assert found[inside[source.mask].any(axis=0)].all()
    centre = value_points(source)
    reach = np.linalg.norm(corners - centre[:, None], axis=2).max(axis=1)
    near = np.linalg.norm(points[:, None] - centre, axis=2) <= 1.0001 * reach
    assert not found[~near[:, source.mask].any(axis=1)].any()


def test_ties_go_to_the_lowest_id():
    # points halfway between four, and at the pole: the sums of rounding must not choose
    source = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "source", np.random.default_rng(0).permutation(648))
    host = latlon_mesh(LatLonGrid(-5, 10, 36, -85, 10, 17), "host")
    host = replace(
        host, centre_lon=np.mod(np.arange(612) % 36 * 10.0, 360), centre_lat=np.arange(612) // 36 * 10.0 - 80
    )
    host.centre_lat[-1] = 90.0
    found = YacRegridder().build(source, host, method="nearest")
    np.testing.assert_array_equal(found.source_ids, by_all_pairs(source, host))
    assert found.source_ids[-1] == 17 * 36
    assert found.source_ids[0] in (0, 36), "of 355 and 5 E, 5 E"


def test_a_limit_of_distance():
    source = latlon_mesh(LatLonGrid(0, 1, 1, 0, 1, 1), "one cell")
    host = latlon_mesh(LatLonGrid(0, 1, 40, 0, 1, 1), "host")
    # cells on the equator, 111.195 km apart
    step = np.deg2rad(1.0) * EARTH_RADIUS * np.cos(np.deg2rad(0.5))
    for reach, count in ((10.5 * step, 11), (10.4 * step, 11), (9.99 * step, 10)):
        found = YacRegridder(YacRegridOptions(max_distance=reach)).build(source, host, method="nearest")
        assert found.destination_fraction.sum() == count
        assert (np.diff(found.indptr) == found.destination_fraction).all()


def test_no_source_cells_and_no_points():
    source, host = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "source"), octahedral_mesh(1)
    none = host.take(np.zeros(0, np.int64))
    masked = replace(source, mask=np.zeros(source.size, bool))
    for a, b in ((masked, host), (none, host), (host, none), (none, none)):
        for method in ("nearest", "bilinear"):
            found = YacRegridder().build(a, b, method=method)
            assert found.values.size == 0
            assert (found.destination_fraction == 0).all()
    half = replace(host, mask=host.cell_ids % 2 == 0)
    assert (YacRegridder().build(source, half, method="nearest").destination_fraction == half.mask).all()


def test_what_no_backend_does_is_refused():
    mesh = octahedral_mesh(1)
    with pytest.raises(ConfigError, match="does not make such weights"):
        YacRegridder().build(mesh, mesh, method="cubic")
