"""Meshes: read from files, made from a latitude-longitude grid, validated, split."""

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import latlon_mesh, partition, read_mesh
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.grids.mesh import Mesh, merge_corners

GLOBE = LatLonGrid(0.0, 30.0, 12, 90.0, -30.0, 6)


def one_cell(lon: list[float], lat: list[float], edges: str = "great_circle", **changes: object) -> Mesh:
    corners = np.array([lon], float), np.array([lat], float)
    mesh = Mesh("one", np.zeros(1, np.int64), *corners, edges, np.ones(1, bool), 1)
    return replace(mesh, **changes)


def write_scrip(path: Path, lon: np.ndarray, lat: np.ndarray, units: str, mask: list[int]) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("grid_size", len(lon))
        file.createDimension("grid_corners", lon.shape[1])
        for name, values in (("grid_corner_lon", lon), ("grid_corner_lat", lat)):
            variable = file.createVariable(name, "f8", ("grid_size", "grid_corners"))
            variable.units = units
            variable[:] = values
        file.createVariable("grid_imask", "i4", ("grid_size",))[:] = mask
    return path


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "cells", "corners", "edges"),
    [
        ("icon_extpar_0010_R02B04_G", 20480, 3, "great_circle"),
        ("scrip_T42", 8192, 4, "latlon"),
        ("scrip_ne30pg2", 21600, 4, "great_circle"),
    ],
)
def test_layouts_and_edges_of_real_grids_are_recognised(sample_data, name, cells, corners, edges):
    mesh = read_mesh(sample_data / "grids" / f"{name}.nc")
    assert (mesh.size, mesh.corner_lon.shape, mesh.edges) == (cells, (cells, corners), edges)
    assert mesh.corner_lat.dtype == np.float64
    assert np.nanmax(np.abs(mesh.corner_lat)) == pytest.approx(90.0, abs=1e-12), "single precision overshoots the pole"
    assert mesh.mask.all()
    np.testing.assert_array_equal(mesh.cell_ids, np.arange(cells))


@pytest.mark.real_data
def test_polar_cells_of_a_gaussian_grid_are_triangles(sample_data):
    mesh = read_mesh(sample_data / "grids" / "scrip_T42.nc")
    corners = (~np.isnan(mesh.corner_lat)).sum(axis=1).reshape(64, 128)
    assert (corners[[0, -1]] == 3).all()
    assert (corners[1:-1] == 4).all()


@pytest.mark.real_data
def test_edges_can_be_overridden(sample_data):
    assert read_mesh(sample_data / "grids" / "scrip_T42.nc", edges="great_circle").edges == "great_circle"
    with pytest.raises(GridError, match="neither meridians nor parallels"):
        read_mesh(sample_data / "grids" / "scrip_ne30pg2.nc", edges="latlon")


@pytest.mark.parametrize("units", ["degrees", "radians"])
def test_scrip_units_mask_and_padding(tmp_path, units):
    lon = np.array([[10.0, 12.0, 11.0, 11.0], [20.0, 22.0, 22.0, 20.0]])  # a triangle padded by its last corner
    lat = np.array([[0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    factor = np.pi / 180 if units == "radians" else 1.0
    mesh = read_mesh(write_scrip(tmp_path / "grid.nc", lon * factor, lat * factor, units, [1, 0]))
    np.testing.assert_allclose(mesh.corner_lon[1], lon[1])
    np.testing.assert_allclose(mesh.corner_lat[0], [0.0, 0.0, 2.0, np.nan])
    assert mesh.mask.tolist() == [True, False]
    assert mesh.edges == "great_circle", "one oblique edge is enough"


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(DataError, match=r"missing\n  expected: a file, or .*O80.*\n  where: .*nowhere.nc"):
        read_mesh(tmp_path / "nowhere.nc")
    (tmp_path / "text.nc").write_text("not netCDF")
    with pytest.raises(DataError, match="cannot be read as netCDF"):
        read_mesh(tmp_path / "text.nc")
    with netCDF4.Dataset(tmp_path / "empty.nc", "w") as file:
        file.createDimension("x", 1)
        file.createVariable("depth", "f4", ("x",))
    with pytest.raises(
        DataError, match=r"no cells of a known layout\n.*grid_corner_lon.*clon_vertices.*\n  found: depth"
    ):
        read_mesh(tmp_path / "empty.nc")
    square = np.array([[0.0, 1.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0, 1.0]])
    with pytest.raises(DataError, match="units 'furlongs'"):
        read_mesh(write_scrip(tmp_path / "units.nc", *square, "furlongs", [1]))


@pytest.mark.parametrize("dlat", [-30.0, 30.0])
def test_cells_of_a_latlon_grid_are_counter_clockwise_either_way_up(dlat):
    grid = LatLonGrid(-180.0, 30.0, 12, -np.sign(dlat) * 90.0, dlat, 6)
    mesh = latlon_mesh(grid, "globe")
    validate(mesh)
    assert mesh.edges == "latlon"
    np.testing.assert_allclose(mesh.corner_lon[13], [-150, -120, -120, -150])
    np.testing.assert_allclose(np.sort(mesh.corner_lat[13, [0, 2]]), np.sort(grid.lat_edges[[1, 2]]))
    assert mesh.corner_lat[13, 0] < mesh.corner_lat[13, 2]


def test_some_cells_of_a_latlon_grid_keep_their_global_ids():
    ids = np.array([70, 3, 14])
    mesh, whole = latlon_mesh(GLOBE, "some", ids), latlon_mesh(GLOBE, "all")
    assert (mesh.size, mesh.global_size) == (3, 72)
    np.testing.assert_array_equal(mesh.cell_ids, ids)
    np.testing.assert_array_equal(mesh.corner_lon, whole.corner_lon[ids])
    assert grid_hash(mesh) == grid_hash(whole.take(ids))


def test_parts_of_a_partition_are_the_mesh():
    mesh = latlon_mesh(GLOBE, "globe")
    for size in (1, 5, 72, 80):  # 80: ranks without cells
        parts = [partition(mesh, rank, size).cell_ids for rank in range(size)]
        np.testing.assert_array_equal(np.concatenate(parts), mesh.cell_ids)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_corners_at_a_pole_are_one_point():
    merged = merge_corners(one_cell([0, 30, 30, 0], [60, 60, 90, 90], "latlon"))
    assert (~np.isnan(merged.corner_lat)).sum() == 3
    assert np.isnan(merged.corner_lat[0, 3])
    assert np.isnan(merged.corner_lon[0, 3])
    assert merge_corners(merged) is merged
    validate(merged)


def test_the_same_corner_on_either_side_of_the_date_line_is_one_point():
    merged = merge_corners(one_cell([179, -180, 180, 179], [0, 0, 0, 5.0]))
    assert (~np.isnan(merged.corner_lat)).sum() == 3


SQUARE = ([0.0, 10.0, 10.0, 0.0], [40.0, 40.0, 50.0, 50.0])

BAD = {
    "NaN inside of a row": (one_cell([0, np.nan, 10, 0], SQUARE[1]), "corners are missing"),
    "NaN in latitude alone": (one_cell(SQUARE[0], [40, 40, 50, np.nan]), "corners are missing"),
    "two corners": (one_cell([0, 10, np.nan], [0, 0, np.nan]), "at least 3 corners"),
    "two columns": (one_cell([0, 10], [0, 0]), "at least 3 corners"),
    "two distinct corners": (one_cell([0, 10, 10, 10], [0, 0, 0, 0]), "fewer than 3 distinct corners"),
    "infinite": (one_cell([0, np.inf, 10, 0], SQUARE[1]), "out of range"),
    "latitude 91": (one_cell(SQUARE[0], [40, 40, 91, 50]), r"out of range\n(.*\n)*  where: one, cell 0"),
    "clockwise": (one_cell(SQUARE[0][::-1], SQUARE[1][::-1]), "clockwise"),
    "no area": (one_cell([0, 10, 20], [0, 0, 0]), "have no area"),
    "no area on a meridian": (one_cell([10, 10, 10], [0, 10, 20.3]), "have no area"),
    "oblique latlon edge": (one_cell([0, 10, 12, 0], SQUARE[1], "latlon"), "neither meridians nor parallels"),
    "unknown edges": (one_cell(*SQUARE, "rhumb"), "unknown kind of edges"),
    "mask too long": (one_cell(*SQUARE, mask=np.ones(2, bool)), "mask does not fit"),
    "mask of integers": (one_cell(*SQUARE, mask=np.ones(1, int)), "mask does not fit"),
    "id too large": (one_cell(*SQUARE, cell_ids=np.array([1])), "outside of the grid\n  expected: 0 to 0"),
    "negative id": (one_cell(*SQUARE, cell_ids=np.array([-1])), "outside of the grid"),
    "32-bit ids": (one_cell(*SQUARE, cell_ids=np.zeros(1, np.int32)), "cell ids are malformed"),
    "more latitudes": (one_cell(SQUARE[0], [40, 40, 50, 50, 50]), "corner latitudes are malformed"),
    "single precision": (one_cell(*SQUARE, corner_lat=np.float32([SQUARE[1]])), "corner latitudes are malformed"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_meshes_are_refused(case):
    mesh, message = BAD[case]
    with pytest.raises(GridError, match=message):
        validate(mesh)


def test_a_good_cell_anywhere_is_accepted():
    validate(one_cell(*SQUARE))
    validate(one_cell(*SQUARE, "latlon"))
    validate(one_cell([179.0, -179.0, -179.0, 179.0], SQUARE[1], "latlon"))
    validate(one_cell([0.0, 120.0, 240.0], [80.0, 80.0, 80.0]))  # around the pole
    validate(one_cell([5.0, 5.001, 5.001, 5.0], [50.0, 50.0, 50.001, 50.001]))  # 100 m
    validate(Mesh("none", np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)), "latlon", np.zeros(0, bool), 9))


def test_a_globe_in_radians_is_refused():
    mesh = latlon_mesh(GLOBE, "globe")
    radians = replace(mesh, corner_lon=np.deg2rad(mesh.corner_lon), corner_lat=np.deg2rad(mesh.corner_lat))
    with pytest.raises(GridError, match="look like radians"):
        validate(replace(radians, edges="great_circle"))


def test_a_cell_that_comes_twice_is_refused():
    with pytest.raises(GridError, match=r"more than one owner\n(.*\n)*  found: id 4 more"):
        validate(latlon_mesh(GLOBE, "twice", np.array([9, 4, 5, 4])))
