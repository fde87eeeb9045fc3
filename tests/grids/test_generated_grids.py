"""Grids that are made from their names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import check_coverage, read_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.mesh import lon_lat, unit_vectors


@pytest.mark.parametrize(
    ("name", "cells", "edges"),
    [
        ("F16", 2 * 16 * 64, "latlon"),
        ("O16", 4 * 16 * (16 + 9), "latlon"),
        ("r36x18", 648, "latlon"),
        ("global_10", 648, "latlon"),
        ("ne5", 150, "great_circle"),
        ("ne5pg2", 600, "great_circle"),
        ("ico3", 1280, "great_circle"),
    ],
)
def test_names_stand_for_grids_that_fill_the_globe(name, cells, edges):
    mesh = read_mesh(name)
    assert (mesh.size, mesh.edges, mesh.name) == (cells, edges, name)
    validate(mesh)
    check_coverage(mesh, expect="global")
    assert cell_area(mesh).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-13)


def test_rows_of_gaussian_grids_have_the_areas_of_their_weights():
    weights = np.polynomial.legendre.leggauss(64)[1]
    area = cell_area(mesh := read_mesh("O32")) / EARTH_RADIUS**2
    row = np.unique(-mesh.centre_lat, return_inverse=True)[1].ravel()
    np.testing.assert_allclose(np.bincount(row, area), 2 * np.pi * weights, rtol=1e-11)
    assert np.bincount(row)[[0, 1, 31, 32, 63]].tolist() == [20, 24, 144, 144, 20]
    assert mesh.centre_lon[0] == 0.0


@pytest.mark.real_data
def test_the_cubed_sphere_is_that_of_cam(sample_data):
    made = read_mesh("ne30pg2")
    real = read_mesh(sample_data / "grids" / "scrip_ne30pg2.nc")
    ours, theirs = (np.unique(np.round(unit_vectors(*m.centres()), 9), axis=0) for m in (made, real))
    assert len(ours) == len(theirs) == 21600
    np.testing.assert_allclose(np.sort(cell_area(made)), np.sort(cell_area(real)), rtol=1e-10)
    corners = [unit_vectors(m.corner_lon, m.corner_lat).reshape(-1, 3) for m in (made, real)]
    assert cKDTree(corners[0]).query(corners[1])[0].max() < 1e-13


def test_names_that_no_rule_has(tmp_path):
    with pytest.raises(GridError, match=r"classical reduced(.*\n)*.*F80.*O80"):
        read_mesh("N80")
    with pytest.raises(GridError, match="do not fill the globe"):
        read_mesh("global_7")
    for name in ("F0", "r0x4", "ne0", "O20000", "ico30"):
        with pytest.raises(GridError, match="of this size"):
            read_mesh(name)
    with pytest.raises(GridError, match=r"not all alike(.*\n)*.*r90x46"):  # CDO: from pole to pole
        read_mesh("r90x45")
    with pytest.raises(DataError, match="a grid file is missing"):
        read_mesh(tmp_path / "C48")
    with pytest.raises(GridError, match="neither meridians nor parallels"):
        read_mesh("ico1", edges="latlon")
    assert read_mesh("r36x18", edges="great_circle").edges == "great_circle"


def test_points_in_space_are_turned_into_angles():
    lon, lat = lon_lat(np.array([[2.0, 0, 0], [0, -1, 0], [0, 0, 3]]))
    np.testing.assert_allclose(lon[:2], [0, 270])
    np.testing.assert_allclose(lat, [0, 0, 90])
