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
from ai4land_coupler.grids.gaussian import classical_row_lengths
from ai4land_coupler.grids.hash import grid_hash
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
        ("N32", 6114, "latlon"),
        ("n16", 2 * 16 * 64, "latlon"),
        ("t21grid", 32 * 64, "latlon"),
        ("hp4", 192, "great_circle"),
        ("hp3_ring", 108, "great_circle"),
        ("hp4_nested", 192, "great_circle"),
        ("hpz2", 192, "great_circle"),
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


#: Numbers of points that ECMWF publishes for its grids (Gaussian grids, confluence.ecmwf.int).
POINTS = {32: 6114, 48: 13280, 80: 35718, 128: 88838, 160: 138346, 200: 213988, 256: 348528, 320: 542080, 400: 843490}


@pytest.mark.parametrize("n", POINTS)
def test_classical_reduced_gaussian_grids_have_the_published_number_of_points(n):
    rows = classical_row_lengths(n)
    assert (rows.size, rows.sum()) == (2 * n, POINTS[n])
    assert (np.diff(rows[:n]) >= 0).all()
    assert rows[:n].max() == 4 * n
    np.testing.assert_array_equal(rows, rows[::-1])


def test_rows_of_n80_are_those_of_ecmwf():
    assert classical_row_lengths(80)[:10].tolist() == [18, 25, 36, 40, 45, 54, 60, 64, 72, 72]
    mesh = read_mesh("N80")
    np.testing.assert_allclose(mesh.centre_lat[[0, 18, 43]], [89.1416, 88.0294, 86.9108], atol=1e-4)
    np.testing.assert_allclose(mesh.centre_lon[[0, 1, 18, 19]], [0, 20, 0, 14.4], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("n80", 80),
        ("t63grid", 48),
        ("t42grid", 32),
        ("t30grid", 23),
        ("t106grid", 80),
        ("tl95grid", 48),
        ("tl159grid", 80),
    ],
)
def test_names_of_cdo_stand_for_full_gaussian_grids(name, full):
    """Rows as CDO 2.1.1 writes them with ``cdo const,1,NAME``."""
    cdo, ours = read_mesh(name), read_mesh(f"F{full}")
    assert cdo.name == name
    assert grid_hash(cdo) == grid_hash(ours)


def test_healpix_cells_are_those_of_the_published_formulas():
    """Centres after Gorski et al. 2005, section 5.1; ring 1 to 2 of nside 2 also as CDO 2.1.1 writes them."""
    mesh = read_mesh("hp2")
    assert "ring order" in mesh.notes[0]
    z = [1 - 1 / 12, 1 - 4 / 12, 4 / 3 - 3 * 2 / 6, 0.0]
    expected = np.rad2deg(np.arcsin(z))
    np.testing.assert_allclose(mesh.centre_lat[[0, 4, 12, 20]], expected, atol=1e-12)
    np.testing.assert_allclose(mesh.centre_lon[:5], [45, 135, 225, 315, 22.5], atol=1e-12)
    np.testing.assert_allclose(mesh.centre_lon[[12, 20]], [0, 22.5], atol=1e-12)
    np.testing.assert_allclose(mesh.centre_lat, -mesh.centre_lat[::-1], atol=1e-12)
    base = read_mesh("hp1_nested")
    np.testing.assert_allclose(base.corner_lat[0], [0, 41.8103148957786, 90, 41.8103148957786], atol=1e-12)
    np.testing.assert_allclose(base.corner_lon[0][[0, 1, 3]], [45, 90, 0], atol=1e-12)


def test_the_nested_order_of_healpix_divides_cells_into_four():
    """Cell p of the nested order holds the cells 4 p to 4 p + 3 of the next level: south, east, west, north."""
    coarse, fine = read_mesh("hp2_nested"), read_mesh("hp4_nested")
    for corner, child in ((0, 0), (1, 1), (3, 2), (2, 3)):
        ours = unit_vectors(coarse.corner_lon[:, corner], coarse.corner_lat[:, corner])
        theirs = unit_vectors(fine.corner_lon[child::4, corner], fine.corner_lat[child::4, corner])
        np.testing.assert_allclose(ours, theirs, atol=1e-14)
    ring = read_mesh("hp4")
    nearest = cKDTree(unit_vectors(*ring.centres())).query(unit_vectors(*fine.centres()))
    assert nearest[0].max() < 1e-14
    assert sorted(nearest[1]) == list(range(192))


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
    with pytest.raises(GridError, match=r"rows of this classical(.*\n)*.*N80.*F81.*O81"):
        read_mesh("N81")
    with pytest.raises(GridError, match="needs a power of two"):
        read_mesh("hp3_nested")
    with pytest.raises(GridError, match="do not fill the globe"):
        read_mesh("global_7")
    for name in ("F0", "r0x4", "ne0", "O20000", "ico30", "n0", "t0grid", "hp0", "hpz40"):
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
