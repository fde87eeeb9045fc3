"""Arrays of hosts in single precision, masked, and with closed polygons."""

from __future__ import annotations

import numpy as np
import pytest

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import GridError
from ai4land_coupler.grids import icosahedral_mesh, mesh_from_arrays
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.hash import grid_hash

ICO = icosahedral_mesh(3, "ico")
IDS = np.arange(ICO.size)


def made(**given):
    arrays = {"lon": ICO.corner_lon, "lat": ICO.corner_lat} | given
    return mesh_from_arrays("host", IDS, global_size=ICO.size, expect="global", **arrays)


@pytest.mark.parametrize("units", ["degrees", "radians"])
@pytest.mark.parametrize("at_pole", ["beyond", "before"])
def test_corners_in_single_precision_that_miss_the_pole(units, at_pole):
    lon, lat = ICO.corner_lon - 180.0, ICO.corner_lat
    if units == "radians":
        lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    lon, lat = lon.astype("f4"), lat.astype("f4")
    pole = np.abs(ICO.corner_lat) == 90
    assert pole.sum() == 10
    step = np.float32(np.inf if at_pole == "beyond" else 0)
    lat[pole] = np.nextafter(np.abs(lat[pole]), step) * np.sign(lat[pole])
    lon[pole] = np.linspace(-3, 3, 10)  # any longitude
    area = cell_area(made(lon=lon, lat=lat, units=units))
    np.testing.assert_allclose(area, cell_area(ICO), rtol=1e-5)
    assert area.sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-7)


def test_units_as_icon_spells_them():
    radian = {"lon": np.deg2rad(ICO.corner_lon), "lat": np.deg2rad(ICO.corner_lat)}
    assert grid_hash(made(**radian, units="radian")) == grid_hash(made(**radian, units="radians"))
    with pytest.raises(GridError, match="unknown units"):
        made(units="gradian")


def test_latitudes_far_beyond_a_pole_are_refused():
    with pytest.raises(GridError, match="out of range"):
        made(lat=ICO.corner_lat * 1.001)


def test_polygons_that_do_not_close_exactly_have_no_fourth_corner():
    lon = np.c_[ICO.corner_lon, ICO.corner_lon[:, 0] + 2e-5]
    lat = np.c_[ICO.corner_lat, ICO.corner_lat[:, 0] * (1 - 1e-7)]
    assert grid_hash(made(lon=lon, lat=lat)) == grid_hash(ICO)
    small = 1e-5 * np.array([[0.0, 1, 1, 0]]), 1e-5 * np.array([[0.0, 0, 1, 1]]) + 50
    assert mesh_from_arrays("box", [0], *small, 1).corner_lat.shape == (1, 4), "a box of 1 m keeps its corners"
    assert not np.isnan(mesh_from_arrays("box", [0], *small, 1).corner_lat).any()


@pytest.mark.parametrize("width", [180.0, 360.0])
def test_cells_half_a_circle_wide_are_refused_as_too_wide(width):
    lon, lat = [[0.0, width, width, 0.0]], [[10.0, 10, 20, 20]]
    with pytest.raises(GridError, match="cells are too wide"):
        mesh_from_arrays("band", [0], lon, lat, 1, edges="latlon")


def test_masked_values_of_masked_arrays_are_missing():
    mesh = made(mask=np.ma.masked_array(np.ones(ICO.size), IDS < 5))
    np.testing.assert_array_equal(mesh.mask, IDS >= 5)
    unused = np.ma.masked_array(np.c_[ICO.corner_lat, np.zeros(ICO.size)], np.arange(4) == np.full((ICO.size, 1), 3))
    lon = np.c_[ICO.corner_lon, np.zeros(ICO.size)]
    assert grid_hash(made(lon=np.ma.masked_array(lon, unused.mask), lat=unused)) == grid_hash(ICO)
    with pytest.raises(GridError, match=r"corners are missing"):
        made(lat=np.ma.masked_array(ICO.corner_lat, IDS[:, None] == [[7, 7, 7]]))
    with pytest.raises(GridError, match=r"cell ids are missing\n  found: 1 masked"):
        mesh_from_arrays("host", np.ma.masked_equal(IDS, 3), ICO.corner_lon, ICO.corner_lat, ICO.size)


def test_masked_nodes_of_a_connectivity_are_unused():
    lon, lat = [0.0, 10, 10, 0], [0.0, 0, 10, 10]
    nodes = np.ma.masked_equal([[1, 2, 3, 99], [1, 3, 4, 99]], 99)
    mesh = mesh_from_arrays("two", [0, 1], lon, lat, 2, connectivity=nodes, start_index=1)
    np.testing.assert_array_equal(mesh.corner_lat[:, :3], [[0, 0, 10], [0, 10, 10]])
    assert np.isnan(mesh.corner_lat[:, 3]).all()
