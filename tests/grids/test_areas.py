"""Cell areas against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.core.grid import EARTH_RADIUS, LatLonGrid
from ai4land_coupler.grids import latlon_mesh, read_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh

SPHERE = 4 * np.pi * EARTH_RADIUS**2


def cell(lon, lat, edges):
    lon, lat = np.array([lon], float), np.array([lat], float)
    return cell_area(Mesh("one", np.zeros(1, np.int64), lon, lat, edges, np.ones(1, bool), 1))[0]


@given(
    west=st.floats(-180, 180),
    south=st.floats(-90, 89.99),
    width=st.floats(0.01, 90),
    height=st.floats(0.01, 60),
)
def test_latlon_cells_have_the_closed_form(west, south, width, height):
    # corners as the mesh has them, after rounding
    east, north = west + width, min(south + height, 90.0)
    exact = np.longdouble([west, east, south, north]) * np.pi / 180
    area = (exact[1] - exact[0]) * (np.sin(exact[3]) - np.sin(exact[2])) * EARTH_RADIUS**2
    found = cell([west, east, east, west], [south, south, north, north], "latlon")
    assert found == pytest.approx(float(area), rel=1e-10)


@pytest.mark.parametrize("south", [-90.0, -89.99, -45.0, -0.005, 0.0, 60.0, 89.98, 89.99])
def test_cells_of_1_km_keep_their_digits(south):
    found = cell([300.0, 300.01, 300.01, 300.0], [south, south, south + 0.01, south + 0.01], "latlon")
    lon = np.longdouble(300.01) - np.longdouble(300.0)
    lat = np.longdouble([south, south + 0.01]) * np.arctan(np.longdouble(1)) / 45
    exact = lon * np.arctan(np.longdouble(1)) / 45 * (np.sin(lat[1]) - np.sin(lat[0])) * EARTH_RADIUS**2
    assert found == pytest.approx(float(exact), rel=1e-10)


def huilier(lon, lat):
    """Spherical excess by l'Huilier's theorem, in extended precision, arcs by the haversine formula."""
    degree = np.arctan(np.longdouble(1)) / 45
    lon, lat = np.asarray(lon, np.longdouble) * degree, np.asarray(lat, np.longdouble) * degree
    arcs = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        hav = np.sin((lat[j] - lat[i]) / 2) ** 2 + np.cos(lat[i]) * np.cos(lat[j]) * np.sin((lon[j] - lon[i]) / 2) ** 2
        arcs.append(2 * np.arcsin(np.sqrt(hav)))
    s = sum(arcs) / 2
    product = np.tan(s / 2)
    for arc in arcs:
        product *= np.tan((s - arc) / 2)
    return float(4 * np.arctan(np.sqrt(product)) * EARTH_RADIUS**2)


@pytest.mark.parametrize("size", [0.001, 0.01, 1.0, 40.0])
@pytest.mark.parametrize("lat", [-75.0, 0.0, 37.0])
def test_great_circle_triangles_have_their_spherical_excess(size, lat):
    lon, lat = [200.0, 200.0 + size, 200.0 + 0.3 * size], [lat, lat + 0.1 * size, lat + 0.9 * size]
    lat = np.clip(lat, -90, 90).tolist()
    # coordinates of the sphere carry 1e-16: 1e-16 / size in radians
    assert cell(lon, lat, "great_circle") == pytest.approx(huilier(lon, lat), rel=max(1e-12, 2e-13 / size))


def test_an_octant_either_way():
    for edges in ("great_circle", "latlon"):
        assert cell([0, 90, 0], [0, 0, 90], edges) == pytest.approx(SPHERE / 8, rel=1e-14)
    assert cell([0, 0, 90], [0, 90, 0], "great_circle") == pytest.approx(-SPHERE / 8, rel=1e-14)


def test_a_cell_around_a_pole():
    cap = SPHERE / 2 * (1 - np.sin(np.deg2rad(80)))
    assert cell([0, 120, 240], [80, 80, 80], "latlon") == pytest.approx(cap, rel=1e-12)
    assert cell([240, 120, 0], [-80, -80, -80], "latlon") == pytest.approx(cap, rel=1e-12)


def test_cells_that_differ_in_corners_alone_have_one_area():
    lon, lat = [10.0, 20.0, 25.0, 12.0], [10.0, 12.0, 30.0, 25.0]
    assert cell([*lon, np.nan], [*lat, np.nan], "great_circle") == cell(lon, lat, "great_circle")
    assert cell([*lon, 12.0], [*lat, 25.0], "great_circle") == cell(lon, lat, "great_circle")
    assert cell(lon, lat, "great_circle") == pytest.approx(
        huilier(lon[:3], lat[:3]) + huilier([lon[i] for i in (0, 2, 3)], [lat[i] for i in (0, 2, 3)]), rel=1e-13
    )


def test_areas_of_a_latlon_grid_are_those_of_its_rows():
    grid = LatLonGrid(-180.0, 2.5, 144, 90.0, -2.5, 72)
    np.testing.assert_allclose(cell_area(latlon_mesh(grid, "globe")), np.repeat(grid.row_area, 144), rtol=1e-12)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["icon_extpar_0010_R02B04_G", "scrip_T42", "scrip_ne30pg2"])
def test_the_cells_of_a_globe_make_the_sphere(sample_data, name):
    assert cell_area(read_mesh(sample_data / "grids" / f"{name}.nc")).sum() == pytest.approx(SPHERE, rel=1e-10)


@pytest.mark.real_data
def test_areas_agree_with_those_that_esmf_and_the_file_have(sample_data):
    import netCDF4

    with netCDF4.Dataset(sample_data / "esmf_weights" / "ll4_to_ne30pg2_conserve.nc") as file:
        esmf = file["area_b"][:].data
    with netCDF4.Dataset(sample_data / "grids" / "scrip_ne30pg2.nc") as file:
        own = file["grid_area"][:].data
    found = cell_area(read_mesh(sample_data / "grids" / "scrip_ne30pg2.nc")) / EARTH_RADIUS**2
    np.testing.assert_allclose(found, esmf, rtol=1e-10)
    np.testing.assert_allclose(found, own, rtol=1e-6)
