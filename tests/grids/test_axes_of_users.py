"""Rectilinear grids as users bring them: bounds of every form, longitudes that pass 180 or 360, very wide cells."""

from __future__ import annotations

import numpy as np
import pytest
from grid_files import Nc, as_scrip, degrees, rectilinear, write

from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import read_mesh
from ai4land_coupler.grids.mesh import Mesh

SOUTH, WEST = np.arange(-90.0, 90, 10), np.arange(0.0, 360, 10)
LAT_BOUNDS, LON_BOUNDS = np.stack([SOUTH, SOUTH + 10], axis=1), np.stack([WEST, WEST + 10], axis=1)


def sides(mesh: Mesh) -> np.ndarray:
    """West, east, south and north of each cell, (n, 4)."""
    found = (np.nanmin(mesh.corner_lon, 1), np.nanmax(mesh.corner_lon, 1))
    return np.stack([*found, np.nanmin(mesh.corner_lat, 1), np.nanmax(mesh.corner_lat, 1)], axis=1)


BOXES = np.array([[w, w + 10, s, s + 10] for s in SOUTH for w in WEST])


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("form", ["pairs", "descending pairs", "edges"])
def test_bounds_are_used_as_they_are_wherever_the_coordinate_lies(tmp_path, place, form):
    bounds = {
        "pairs": (LAT_BOUNDS, LON_BOUNDS),
        "descending pairs": (LAT_BOUNDS[:, ::-1], LON_BOUNDS[:, ::-1]),
        "edges": (np.append(SOUTH, 90.0), np.append(WEST, 360.0)),
    }[form]
    dims = ("lat_edges", "lon_edges") if form == "edges" else ("lat two", "lon two")
    mesh = read_mesh(
        write(
            tmp_path / "g.nc",
            lat=Nc("lat", SOUTH + 10 * place, degrees("lat", bounds="lat_bnds")),
            lon=Nc("lon", WEST + 10 * place, degrees("lon", bounds="lon_bnds")),
            lat_bnds=Nc(dims[0], bounds[0]),
            lon_bnds=Nc(dims[1], bounds[1]),
        ),
        expect="global",
    )
    assert mesh.notes == ()
    np.testing.assert_array_equal(sides(mesh), BOXES)


@pytest.mark.parametrize("named", [True, False])
def test_bounds_shifted_by_half_a_cell_as_those_of_luh2_are_not_used(tmp_path, named):
    lat, lon = SOUTH[::-1] + 5, WEST - 175
    attrs = [{"bounds": f"{axis}_bounds"} if named else {} for axis in ("lat", "lon")]
    mesh = read_mesh(
        write(
            tmp_path / "g.nc",
            lat=Nc("lat", lat, degrees("lat", **attrs[0])),
            lon=Nc("lon", lon, degrees("lon", **attrs[1])),
            lat_bounds=Nc("lat two", np.stack([lat, lat - 10], axis=1)),
            lon_bounds=Nc("lon two", np.stack([lon - 10, lon], axis=1)),
        ),
        expect="global",
    )
    assert ["does not hold the values" in note and "not used" in note for note in mesh.notes] == [True, True]
    np.testing.assert_array_equal(sides(mesh)[0], [-180, -170, 80, 90])


def test_bounds_beyond_a_pole_are_cut_off_and_told(tmp_path):
    lat = np.linspace(-90, 90, 19)
    bounds = np.stack([lat - 5, lat + 5], axis=1)
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", lat, WEST, bounds), expect="global")
    assert mesh.notes[0] == "lat: lat_bnds reaches beyond a pole, and was cut off there"
    np.testing.assert_array_equal(np.unique(sides(mesh)[:, 2:], axis=0)[[0, -1]], [[-90, -85], [85, 90]])


@pytest.mark.parametrize(
    ("lon", "edges"),
    [
        ([178.5, 179.5, -179.5, -178.5], [178, 179, 180, 181, 182]),
        ([358.0, 359.0, 0.0, 1.0], [357.5, 358.5, 359.5, 360.5, 361.5]),
        ([1.0, 0.0, 359.0, 358.0], [1.5, 0.5, -0.5, -1.5, -2.5]),
        ([350.0, 10.0], [340, 360, 380]),
    ],
)
def test_longitudes_that_pass_180_or_360_are_neighbours(tmp_path, lon, edges):
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", [-5.0, 5.0], lon))
    pairs = np.sort(np.stack([edges[:-1], edges[1:]], axis=1), axis=1)
    np.testing.assert_allclose(sides(mesh)[: len(lon), :2], pairs, atol=1e-12)


def test_bounds_on_both_sides_of_the_seam_belong_to_one_cell(tmp_path):
    bounds = [[359.5, 0.5], [0.5, 1.5], [1.5, 2.5]]
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", [-5.0, 5.0], [0.0, 1.0, 2.0], lon_bnds=bounds))
    np.testing.assert_array_equal(sides(mesh)[:3, :2], [[-0.5, 0.5], [0.5, 1.5], [1.5, 2.5]])


def test_edges_of_smoothly_uneven_axes_are_half_way_and_told(tmp_path):
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", [0.0, 10, 21, 33.5], [0.0, 10, 20]))
    assert mesh.notes[0] == "lat: edges half-way between uneven steps"
    np.testing.assert_array_equal(
        np.unique(sides(mesh)[:, 2:], axis=0), [[-5, 5], [5, 15.5], [15.5, 27.25], [27.25, 39.75]]
    )


def test_bounds_that_the_file_lacks_are_told(tmp_path):
    path = write(
        tmp_path / "g.nc",
        lat=Nc("lat", SOUTH + 5, degrees("lat", bounds="lat_bnds")),
        lon=Nc("lon", WEST + 5, degrees("lon")),
    )
    assert read_mesh(path).notes[0].startswith("lat: its bounds lat_bnds are not in the file; edges half-way")


def scrip_bands(width: float) -> Mesh:
    """Cells of a number of degrees along parallels, as a SCRIP file has them."""
    west = np.arange(0.0, 360, width)
    boxes = np.array([[w, w + width, s, s + 10] for s in SOUTH for w in west])
    lon, lat = boxes[:, [0, 1, 1, 0]], boxes[:, [2, 2, 3, 3]]
    return Mesh("bands", np.arange(len(lon)), lon, lat, "latlon", np.ones(len(lon), bool), len(lon))


@pytest.mark.parametrize("width", [180.0, 360.0])
def test_cells_half_a_circle_wide_or_wider_are_refused_as_too_wide(tmp_path, width):
    with pytest.raises(GridError, match=r"cells are too wide\n  expected: cells narrower than 180(.*\n)*.*repeat each"):
        read_mesh(as_scrip(tmp_path / "s.nc", scrip_bands(width)))
    lon = np.arange(0.0, 360, width) + width / 2
    bounds = np.stack([lon - width / 2, lon + width / 2], axis=1)
    with pytest.raises(DataError, match=r"cells are too wide\n(.*\n)*.*g.nc: lon\n.*zonal means"):
        read_mesh(rectilinear(tmp_path / "g.nc", SOUTH + 5, lon, lon_bnds=bounds))
    assert read_mesh(as_scrip(tmp_path / "t.nc", scrip_bands(120.0)), expect="global").mask.all()


def test_one_longitude_without_bounds_is_refused_as_a_zonal_mean(tmp_path):
    with pytest.raises(DataError, match=r"edges of cells are unknown\n(.*\n)*  found: one value(.*\n)*.*zonal mean"):
        read_mesh(rectilinear(tmp_path / "g.nc", SOUTH + 5, [0.0]))


def test_a_latitude_beyond_a_pole_is_refused(tmp_path):
    with pytest.raises(DataError, match="beyond a pole"):
        read_mesh(rectilinear(tmp_path / "g.nc", np.arange(-85, 100, 10.0), WEST))
