"""Bilinear weights against ESMF's, against fields that they reproduce, and against dense searches."""

from dataclasses import replace

import netCDF4
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from regrid_cases import matrix, octahedral_mesh, reduced_mesh

from ai4land_coupler.api import LatLonGrid, Mesh
from ai4land_coupler.grids import latlon_mesh, read_mesh
from ai4land_coupler.grids.mesh import unit_vectors
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions
from ai4land_coupler.regrid.methods.closed_form import value_places, value_points

REGRIDDER = YacRegridder()
NO_FILL = YacRegridder(YacRegridOptions(unmapped="none"))


@pytest.mark.real_data
@pytest.mark.parametrize("edges", ["latlon", "great_circle"])
def test_weights_are_those_of_esmf(sample_data, edges):
    source = replace(latlon_mesh(LatLonGrid(0.0, 4.0, 90, -90.0, 4.0, 45), "source"), edges=edges)
    with netCDF4.Dataset(sample_data / "esmf_weights" / "ll4_to_T42_bilinear.nc") as file:
        file.set_auto_mask(False)
        points = {"centre_lon": file["xc_b"][:], "centre_lat": file["yc_b"][:]}
        middles = file["xc_a"][:], file["yc_a"][:]
        entries = file["S"][:], (file["row"][:] - 1, file["col"][:] - 1)
    source = replace(source, centre_lon=middles[0], centre_lat=middles[1])
    host = replace(read_mesh(sample_data / "grids" / "scrip_T42.nc"), **points)
    found = NO_FILL.build(source, host, method="bilinear")
    expected = sp.csr_matrix(entries, (host.size, source.size))
    assert (found.destination_fraction == 1).all(), "all of T42 lies between 88 S and 88 N"
    assert abs(matrix(found, source.size) - expected).max() < 1e-9
    assert 0.2 < abs(expected).max() < 1


def at_points(lon, lat) -> Mesh:
    """Tiny triangles at these places: a destination of points."""
    lon, lat = np.asarray(lon, float), np.asarray(lat, float)
    n = lon.size
    size = 1e-3 * np.clip(90 - np.abs(lat), 1e-6, 1.0)[:, None]
    size[np.abs(lat) == 90] = 1e-3
    corners = np.clip(lat[:, None] + size * np.array([-1.0, -1, 1]), -90, 90)
    wide = np.where(np.abs(lat) == 90, 120.0, size[:, 0] / np.cos(np.deg2rad(lat)))[:, None]
    turn = np.where((np.abs(lat) == 90)[:, None], np.array([-1.0, 0, 1]), np.array([-1.0, 1, 0]))
    corners[lat == 90] = 90 - 1e-3
    return Mesh(
        "points", np.arange(n), lon[:, None] + wide * turn, corners, "great_circle", np.ones(n, bool), n, lon, lat
    )


def scattered(n: int, seed: int = 0) -> Mesh:
    rng = np.random.default_rng(seed)
    return at_points(rng.uniform(-180, 180, n), np.rad2deg(np.arcsin(rng.uniform(-0.9999999, 0.9999999, n))))


SOURCES = {
    "latlon": lambda: latlon_mesh(LatLonGrid(-180, 5, 72, 90, -5, 36), "latlon"),
    "triangles": lambda: octahedral_mesh(4),
    "reduced": lambda: reduced_mesh([8, 16, 24, 32, 40, 48, 48, 48, 48, 40, 32, 24, 16, 8]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_smooth_fields_come_out_to_second_order(name):
    source, host = SOURCES[name](), scattered(4000)
    found = NO_FILL.build(source, host, method="bilinear")
    rows = matrix(found, source.size)
    np.testing.assert_array_equal(found.destination_fraction, 1.0)
    np.testing.assert_allclose(rows @ np.ones(source.size), 1.0, rtol=1e-14)
    assert found.values.min() > 0
    here, there = value_points(source), unit_vectors(*host.centres())
    # in a plane between points that far apart, the radius is off by this much, and so are coordinates
    height = 1 - np.linalg.norm(rows @ here, axis=1)
    assert np.abs(rows @ here - there).max() < 1.6 * height.max() < 0.05
    # the line from the Earth's centre: the weighted points lie on it, wherever there are no means
    direct = np.diff(found.indptr) <= 4
    assert direct.mean() > 0.5 or name == "triangles"
    meant = rows @ here / np.linalg.norm(rows @ here, axis=1, keepdims=True)
    assert np.abs(meant - there)[direct].max() < (1e-9 if name != "triangles" else 0.05)


def test_the_value_at_the_pole_is_the_mean_of_the_last_row():
    source = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "source")  # points at 85 N, 5 E ...
    host = at_points([20.0, 25.0], [90.0, 88.0])
    dense = matrix(NO_FILL.build(source, host, method="bilinear"), source.size).toarray()
    row = np.arange(17 * 36, 18 * 36)
    np.testing.assert_allclose(dense[0, row], 1 / 36, rtol=1e-12)
    # between the pole and the point at 25 E, 85 N: sin(5 - 2) parts of the pole to sin(2) of the point
    pole, point = np.sin(np.deg2rad([3.0, 2.0]))
    expected = np.full(36, pole / (pole + point) / 36)
    expected[2] += point / (pole + point)
    np.testing.assert_allclose(dense[1, row], expected, rtol=1e-9)


def test_points_of_the_source_get_its_value():
    source = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "source")
    dense = matrix(REGRIDDER.build(source, source, method="bilinear"), source.size).toarray()
    np.testing.assert_allclose(dense, np.eye(source.size), atol=1e-9)


def test_points_outside_the_source_get_a_value_only_if_this_is_asked_for():
    grid = LatLonGrid(0, 10, 6, 0, 10, 5)
    source = latlon_mesh(grid, "region")
    source.mask[2 * 6 + 3] = False  # centre 35 E, 25 N
    # between points; at a corner of the masked cell, in the next cell; in the last row; outside: near, far
    host = at_points([12.0, 29.0, 3.0, 1.0, 72.0, -170.0], [12.0, 22.0, 48.0, 55.0, 25.0, -45.0])
    bare = matrix(NO_FILL.build(source, host, method="bilinear"), source.size).toarray()
    assert bare.sum(axis=1) == pytest.approx([1, 0, 0, 0, 0, 0])
    inside = REGRIDDER.build(source, host, method="bilinear")
    np.testing.assert_array_equal(inside.destination_fraction, [1, 1, 1, 0, 0, 0])
    assert inside.source_ids[inside.indptr[1] : inside.indptr[2]].tolist() == [2 * 6 + 2]
    assert inside.source_ids[inside.indptr[2] : inside.indptr[3]].tolist() == [4 * 6]
    filled = YacRegridder(YacRegridOptions(unmapped="nearest")).build(source, host, method="bilinear")
    np.testing.assert_array_equal(filled.destination_fraction, 1.0)
    assert filled.source_ids[filled.indptr[3] : filled.indptr[4]].tolist() == [4 * 6]
    near = YacRegridder(YacRegridOptions(max_distance=1.2e6)).build(source, host, method="bilinear")
    assert near.destination_fraction.tolist() == [1, 1, 1, 1, 0, 0], "10.2 degrees are 1134 km"


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_a_region_gives_no_values_far_away(method):
    """The region 10 W to 10 E, 40 to 55 N on a global grid of 10 degrees with points at 0, 10 ... E and 5, 15 ... N."""
    source = latlon_mesh(LatLonGrid(-10, 1, 20, 40, 1, 15), "region")
    host = latlon_mesh(LatLonGrid(-5, 10, 36, -90, 10, 18), "globe")
    found = REGRIDDER.build(source, host, method=method)
    lon, lat = value_places(host)
    lon = np.mod(lon + 180, 360) - 180
    touched = (np.abs(lon) <= 10) & (lat >= 40) & (lat <= 55)
    np.testing.assert_array_equal(found.destination_fraction, touched)
    values = matrix(found, source.size) @ value_places(source)[1]
    # near the edge of the region it is the value of the nearest cell
    np.testing.assert_allclose(values[touched], np.clip(lat[touched], 40.5, 54.5), atol=0.500001)
    everywhere = YacRegridder(YacRegridOptions(unmapped="nearest")).build(source, host, method=method)
    assert (everywhere.destination_fraction == 1).all()


@examples(20)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_cells_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    source, host = octahedral_mesh(2), scattered(50, seed)
    shuffled = source.take(rng.permutation(source.size))
    one, other = (NO_FILL.build(mesh, host, method="bilinear") for mesh in (source, shuffled))
    np.testing.assert_array_equal(one.source_ids, other.source_ids)
    np.testing.assert_array_equal(one.values, other.values)
