"""Curvilinear cells as users bring them: corners in any order, as nodes, or none at all."""

from __future__ import annotations

import itertools

import netCDF4
import numpy as np
import pytest
from grid_files import Nc, as_scrip, degrees, write

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import latlon_mesh, read_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.files.rotated import true_coordinates
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.grids.mesh import Mesh, unit_vectors

LON, LAT = np.meshgrid(np.arange(3.0, 13), np.arange(42.0, 50))


def curvilinear(path, lat, lon, **extra):
    dims = "y x" if lat.ndim == 2 else "Time y x"
    names = {"XLAT": Nc(dims, lat, {"units": "degree_north"}), "XLONG": Nc(dims, lon, {"units": "degree_east"})}
    return write(path, **names, T2=Nc(dims, np.ones(lat.shape, "f4"), {"coordinates": "XLONG XLAT"}), **extra)


def test_corners_lie_between_the_centres_of_a_rotated_grid(tmp_path):
    """Truth: the boxes around the centres, 0.5 degrees each, turned with the pole."""
    pole = (-162.0, 39.25)
    step = np.arange(-5, 5.1, 0.5)
    x, y = np.meshgrid(step, step)
    lon, lat = true_coordinates(x, y, *pole)
    mesh = read_mesh(curvilinear(tmp_path / "g.nc", lat.astype("f4"), lon.astype("f4")))
    assert mesh.notes == ("XLAT, XLONG: no bounds; corners in the middle of four centres",)
    assert mesh.mask.all()
    corner = (
        [(x + i).ravel() for i in (-0.25, 0.25, 0.25, -0.25)],
        [(y + j).ravel() for j in (-0.25, -0.25, 0.25, 0.25)],
    )
    true = unit_vectors(*true_coordinates(*(np.stack(values, axis=1) for values in corner), *pole))
    found = unit_vectors(mesh.corner_lon, mesh.corner_lat)
    assert np.rad2deg(np.abs(found - true).max()) < 5e-4, "a thousandth of a cell"
    for way in (np.s_[::-1], np.s_[:, ::-1]):  # south up, north up, eastward, westward
        turned = read_mesh(curvilinear(tmp_path / "t.nc", lat[way].astype("f4"), lon[way].astype("f4")))
        validate(turned)
        np.testing.assert_allclose(np.sort(cell_area(turned)), np.sort(cell_area(mesh)), rtol=1e-6)
        (tmp_path / "t.nc").unlink()


@pytest.mark.parametrize("transposed", [False, True])
def test_2d_coordinates_between_meridians_and_parallels_have_their_boxes(tmp_path, transposed):
    lon, lat = np.meshgrid(np.arange(5.0, 360, 10), np.arange(-90.0, 91, 10))
    if transposed:
        lon, lat = lon.T, lat.T
    mesh = read_mesh(curvilinear(tmp_path / "g.nc", lat, lon), expect="global")
    assert mesh.edges == "latlon"
    assert cell_area(mesh).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-12)
    np.testing.assert_array_equal(mesh.centre_lat, lat.ravel())
    cell = 1 * 36 + 3 if not transposed else 3 * 19 + 1
    assert sorted(set(mesh.corner_lon[cell])) == [30, 40]
    assert sorted(set(mesh.corner_lat[cell])) == [-85, -75]
    assert [note.split(":")[0] for note in mesh.notes] == ["XLAT", "XLONG"]


def test_a_cyclic_grid_closes_without_bounds(tmp_path):
    lon, lat = np.meshgrid(np.arange(0.0, 360, 10), np.arange(-65.0, 70, 10))
    lon = (lon + 0.2 * (lat + 65)) % 360  # rows are shifted against each other
    mesh = read_mesh(curvilinear(tmp_path / "g.nc", lat, lon))
    middle = cell_area(mesh).reshape(lat.shape)[6:8]  # the rows beside the equator
    band = 2 * np.pi * (np.sin(np.deg2rad(10)) - np.sin(np.deg2rad(-10))) * EARTH_RADIUS**2
    assert middle.sum() == pytest.approx(band, rel=0.01)
    assert np.ptp(middle) < 1e-6 * middle.mean()


def test_coordinates_may_have_a_time_along_which_they_stay(tmp_path):
    lon, lat = np.repeat((LON + 0.1 * LAT)[None], 3, axis=0), np.repeat(LAT[None], 3, axis=0)
    whole = read_mesh(curvilinear(tmp_path / "g.nc", lat, lon), variable="T2")
    flat = read_mesh(curvilinear(tmp_path / "f.nc", lat[0], lon[0]))
    assert grid_hash(whole) == grid_hash(flat)
    with pytest.raises(DataError, match=r"change along their first dimension(.*\n)*.*XLAT"):
        read_mesh(curvilinear(tmp_path / "m.nc", lat + np.arange(3)[:, None, None], lon))


def test_corners_that_are_made_and_do_not_fit_are_refused_with_the_reason(tmp_path):
    """The first and the last row lie on the poles, where each centre would get a cell of the same place."""
    lon, lat = np.meshgrid(np.arange(0.0, 360, 10), np.linspace(-90, 90, 19))
    with pytest.raises(GridError, match=r"cells overlap\n(.*\n)*.*add bounds to the file.*in the middle of four"):
        read_mesh(curvilinear(tmp_path / "g.nc", lat, lon + np.arange(19)[:, None]))


def test_missing_centres_without_bounds_are_refused(tmp_path):
    lat = np.where(LON == 5, np.nan, LAT)
    with pytest.raises(DataError, match=r"edges of cells are unknown\n(.*\n)*.*8 missing values"):
        read_mesh(curvilinear(tmp_path / "g.nc", lat, LON))


BOX = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


def bounded(path, order):
    corners = [centre[..., None] + by for centre, by in ((LON, BOX[list(order), 0]), (LAT, BOX[list(order), 1]))]
    return write(
        path,
        lon=Nc("y x", LON, degrees("lon", bounds="lon_b")),
        lat=Nc("y x", LAT, degrees("lat", bounds="lat_b")),
        lon_b=Nc("y x nv", corners[0]),
        lat_b=Nc("y x nv", corners[1]),
    )


def test_corners_may_come_in_any_order(tmp_path):
    first = bounded(tmp_path / "first.nc", (0, 1, 2, 3))
    name, whole = grid_hash(read_mesh(first)), read_mesh(first)
    area = (np.sin(np.deg2rad(49.5)) - np.sin(np.deg2rad(41.5))) * np.deg2rad(10) * EARTH_RADIUS**2
    assert cell_area(whole).sum() == pytest.approx(area, rel=1e-12)
    for number, order in enumerate(itertools.permutations(range(4))):
        assert grid_hash(read_mesh(bounded(tmp_path / f"{number}.nc", order))) == name, order


@pytest.mark.parametrize("shift", [0.0, 0.5, 0.7, 1.0])
def test_centres_outside_of_their_corners_are_refused(tmp_path, shift):
    """A coordinate may lie anywhere in its cell, on the edge too, but not in the next cell."""
    path = bounded(tmp_path / "g.nc", (0, 1, 2, 3))
    with netCDF4.Dataset(path, "a") as file:
        file["lon"][:] += shift
    if shift <= 0.5:
        assert read_mesh(path).mask.all()
    else:
        with pytest.raises(GridError, match="points that values stand for are not in their cells"):
            read_mesh(path)


def test_corners_that_are_put_in_order_are_told(tmp_path):
    globe = read_mesh("r36x18")
    lon, lat = (corner.copy() for corner in (globe.corner_lon, globe.corner_lat))
    full = ~np.isnan(lat[:, 3])
    lon[full], lat[full] = lon[full][:, [0, 1, 3, 2]], lat[full][:, [0, 1, 3, 2]]
    wrong = Mesh("z", globe.cell_ids, lon, lat, "latlon", globe.mask, globe.size)
    mesh = read_mesh(as_scrip(tmp_path / "g.nc", wrong), expect="global")
    assert mesh.notes == ("corners were put in order around their cells",)
    np.testing.assert_allclose(cell_area(mesh), cell_area(globe), rtol=1e-12)


@pytest.mark.parametrize("named", [True, False])
def test_nodes_are_corners_of_curvilinear_cells(tmp_path, named):
    nodes = np.meshgrid(np.arange(2.5, 13), np.arange(41.5, 50))
    path = write(
        tmp_path / "g.nc",
        lon=Nc("y x", LON, degrees("lon", **({"bounds": "lon_b"} if named else {}))),
        lat=Nc("y x", LAT, degrees("lat", **({"bounds": "lat_b"} if named else {}))),
        lon_b=Nc("y1 x1", nodes[0]),
        lat_b=Nc("y1 x1", nodes[1]),
    )
    assert grid_hash(read_mesh(path)) == grid_hash(read_mesh(bounded(tmp_path / "b.nc", (0, 1, 2, 3))))


def test_masks_are_laid_on_cells_by_the_names_of_their_dimensions(tmp_path):
    """On a square grid, nothing but the names tells rows from columns."""
    lon, lat = np.meshgrid(np.arange(5.0), np.arange(40.0, 45))
    taken = lat + 0 * lon > 41.5
    attrs = {"units": "degree_north"}, {"units": "degree_east"}
    for name, axes in (("2d", [("y x", lat + 0.1 * lon), ("y x", lon)]), ("1d", [("y", lat[:, 0]), ("x", lon[0])])):
        path = write(
            tmp_path / f"{name}.nc",
            lat=Nc(*axes[0], attrs[0]),
            lon=Nc(*axes[1], attrs[1]),
            straight=Nc("time y x", taken[None].astype("i4")),
            turned=Nc("x y", taken.T.astype("i4")),
        )
        for mask in ("straight", "turned"):
            np.testing.assert_array_equal(read_mesh(path, mask=mask).mask, taken.ravel())


def test_variables_that_only_look_like_bounds_are_not_used(tmp_path):
    path = curvilinear(tmp_path / "g.nc", LAT + 0.1 * LON, LON, XLAT_b=Nc("y", LAT[:, 0]))
    mesh = read_mesh(path)
    assert mesh.notes[0] == "XLAT_b does not have the shape of the bounds of XLAT: not used"
    assert "corners in the middle of four centres" in mesh.notes[1]


def rotated(path, lat, lon):
    step = np.arange(-3, 4, 1.0)
    mapping = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
    return write(
        path,
        rlat=Nc("rlat", step, {"standard_name": "grid_latitude", "units": "degrees"}),
        rlon=Nc("rlon", step, {"standard_name": "grid_longitude", "units": "degrees"}),
        rotated_pole=Nc("", np.int32(0), mapping),
        lat=Nc("rlat rlon", lat.astype("f4"), degrees("lat")),
        lon=Nc("rlat rlon", lon.astype("f4"), degrees("lon")),
        tas=Nc("rlat rlon", np.ones(lat.shape), {"grid_mapping": "rotated_pole", "coordinates": "lat lon"}),
    )


def test_latitudes_that_contradict_the_rotated_pole_are_refused(tmp_path):
    step = np.arange(-3, 4, 1.0)
    lon, lat = true_coordinates(*np.meshgrid(step, step), -162.0, 39.25)
    mesh = read_mesh(rotated(tmp_path / "g.nc", lat, lon), variable="tas")
    np.testing.assert_allclose(mesh.centre_lat, lat.ravel(), atol=1e-5)
    for number, (wrong_lat, wrong_lon) in enumerate([(lat + 0.1, lon), (lat[::-1], lon[::-1]), (lat, -lon)]):
        path = rotated(tmp_path / f"{number}.nc", wrong_lat, wrong_lon)
        for variable in (None, "tas"):
            with pytest.raises(DataError, match=r"contradict each other\n(.*\n)*.*rotated_pole(.*\n)*.*\d.nc"):
                read_mesh(path, variable=variable)


def test_axes_of_latitude_under_a_rotated_pole_are_refused(tmp_path):
    step = np.arange(-3, 4, 1.0)
    mapping = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
    for names in (("lat", "lon"), ("rlat", "rlon")):
        plain = names[0] == "rlat"  # without a standard name
        path = write(
            tmp_path / f"{names[0]}.nc",
            **{names[0]: Nc("y", step, {"units": "degrees"} if plain else degrees("lat"))},
            **{names[1]: Nc("x", step, {"units": "degrees"} if plain else degrees("lon"))},
            crs=Nc("", np.int32(0), mapping),
            tas=Nc("time y x", np.ones((1, 7, 7)), {"grid_mapping": "crs"}),
        )
        for variable in (None, "tas"):
            if plain:
                lat = true_coordinates(*np.meshgrid(step, step), -162.0, 39.25)[1]
                np.testing.assert_allclose(read_mesh(path, variable=variable).centre_lat, lat.ravel(), atol=1e-12)
                continue
            with pytest.raises(DataError, match=r"contradict each other\n(.*\n)*  found: rotated_latitude_longitude"):
                read_mesh(path, variable=variable)


def test_boxes_of_latitude_and_longitude_as_2d_cells_are_those_of_the_axes(tmp_path):
    from ai4land_coupler.core.grid import LatLonGrid

    boxes = latlon_mesh(LatLonGrid(2.5, 1.0, 10, 41.5, 1.0, 8), "boxes")
    mesh = read_mesh(bounded(tmp_path / "g.nc", (0, 1, 2, 3)))
    np.testing.assert_array_equal(mesh.corner_lon, boxes.corner_lon)
    np.testing.assert_array_equal(mesh.corner_lat, boxes.corner_lat)
