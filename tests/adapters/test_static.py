"""The adapter ``static``: interpolation and terrain, compared with known solutions."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from adapter_files import write_fields
from scipy.spatial.transform import Rotation

from ai4land_coupler.api import EARTH_RADIUS, Box, DataAdapter, DataError, FieldError, GridError, LatLonGrid, Request
from ai4land_static import plugin
from ai4land_static.plugin import StaticOptions, static
from ai4land_static.rotated import RotatedPole

LAT = np.arange(50.0, 60.0, 0.5)
LON = np.arange(-8.0, 4.0, 0.5)
Y, X = np.meshgrid(LAT, LON, indexing="ij")
METRES = {"units": "m", "standard_name": "surface_altitude"}
GRID = LatLonGrid(-5.0, 0.07, 60, 58.0, -0.03, 70)
EURO_CORDEX = {"grid_north_pole_latitude": 39.25, "grid_north_pole_longitude": -162.0}


def read(path, *names, grid=GRID, variables=None, half_cell="refuse"):
    return static(StaticOptions(path=path, variables=variables, half_cell=half_cell)).read(Request(names, grid))


def plane(y, x):
    """A plane in latitude and longitude, which bilinear interpolation reproduces."""
    return 300.0 + 20.0 * (y - 55.0) - 7.0 * x


def to_geographic(rlat, rlon, pole):
    """Independent of the code: undo the rotation of the sphere that moves the pole (3-D rotations)."""
    lon0 = pole.get("north_pole_grid_longitude", 0.0)
    y, x = np.deg2rad(rlat), np.deg2rad(np.asarray(rlon) + lon0 + 180.0)
    xyz = np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], -1)
    # with the rotated pole at latitude p and longitude l: tilt by 90 - p about y, then turn by l about z
    turn = Rotation.from_euler(
        "yz", [90.0 - pole["grid_north_pole_latitude"], pole["grid_north_pole_longitude"]], degrees=True
    )
    out = turn.apply(xyz.reshape(-1, 3)).reshape(xyz.shape)
    return np.rad2deg(np.arcsin(out[..., 2])), np.rad2deg(np.arctan2(out[..., 1], out[..., 0]))


def test_registers_under_its_name():
    seen = []

    class Registry:
        def adapter(self, name, factory, options):
            seen.append((name, factory, options))

    plugin.ai4land_register(Registry())
    assert seen == [("static", static, StaticOptions)]


def test_bilinear_interpolation_reproduces_a_plane_in_any_orientation(tmp_path):
    expected = plane(*np.meshgrid(GRID.lat, GRID.lon, indexing="ij"))
    turned = np.argsort(LON % 360)
    files = [
        write_fields(tmp_path / "a.nc", {"elevation": (plane(Y, X), METRES)}, LAT, LON),
        write_fields(tmp_path / "b.nc", {"topo": (plane(Y, X)[::-1], METRES)}, LAT[::-1], LON),
        write_fields(tmp_path / "c.nc", {"topo": (plane(Y, X), METRES)}, LAT, LON + 360),
        write_fields(tmp_path / "d.nc", {"topo": (plane(Y, X), METRES)}, LAT, LON, transpose=True),
        write_fields(tmp_path / "e.nc", {"topo": (plane(Y, X)[:, ::-1], METRES)}, LAT, LON[::-1]),
    ]
    assert turned[0] != 0  # the domain crosses Greenwich
    for path in files:
        ds = read(path, "elevation")
        np.testing.assert_allclose(ds.elevation, expected, rtol=1e-6)
        assert ds.elevation.dtype == np.float32
        assert ds.elevation.dims == ("lat", "lon")
        assert ds.attrs["quality"] == {"outside": 0}
        np.testing.assert_array_equal(ds.lon, GRID.lon)


def test_is_an_adapter_without_a_grid(tmp_path):
    adapter = static(StaticOptions(path=write_fields(tmp_path / "a.nc", {"elevation": (Y, METRES)}, LAT, LON)))
    assert isinstance(adapter, DataAdapter)
    assert adapter.grid() is None
    assert set(adapter.fields()) == {"elevation", "slope", "aspect"}
    assert "derived from elevation" in adapter.fields()["slope"].long_name
    assert "derived" not in adapter.fields()["elevation"].long_name


@pytest.mark.parametrize("west", [-180.0, 0.0])
def test_interpolation_across_the_seam_of_a_global_file(tmp_path, west):
    lat, lon = np.arange(-89.0, 90, 2), np.arange(west + 1, west + 360, 2)
    values = 500 + 100 * np.cos(np.deg2rad(lon))[None, :] * np.cos(np.deg2rad(lat))[:, None]
    path = write_fields(tmp_path / "a.nc", {"elevation": (values, METRES)}, lat, lon)
    for seam in (-2.0, -4.5, 178.0, 174.5):
        grid = LatLonGrid(seam, 0.5, 8, 40.0, 0.5, 4)
        ds = read(path, "elevation", "aspect", grid=grid)
        truth = 500 + 100 * np.cos(np.deg2rad(grid.lon))[None, :] * np.cos(np.deg2rad(grid.lat))[:, None]
        np.testing.assert_allclose(ds.elevation, truth, atol=0.05)
        assert np.isfinite(ds.aspect).all()
    poles = read(path, "elevation", grid=LatLonGrid(0.0, 0.5, 720, 90.0, -0.5, 360))
    assert poles.attrs["quality"]["outside"] == 0
    assert np.isfinite(poles.elevation).all()


def test_points_outside_the_data_are_missing_and_counted(tmp_path):
    path = write_fields(tmp_path / "a.nc", {"elevation": (plane(Y, X), METRES)}, LAT, LON)
    grid = LatLonGrid(-9.0, 0.1, 20, 52.0, 0.1, 5)
    ds = read(path, "elevation", grid=grid)
    outside = grid.lon < -8.25  # the first cell reaches half a cell beyond its centre
    assert ds.attrs["quality"]["outside"] == outside.sum() * 5
    np.testing.assert_array_equal(np.isnan(ds.elevation), np.broadcast_to(outside, grid.shape))
    nowhere = read(path, "elevation", "slope", grid=LatLonGrid(100.0, 0.1, 3, 0.0, 0.1, 3))
    assert nowhere.attrs["quality"]["outside"] == 9
    assert np.isnan(nowhere.slope).all()


def test_missing_neighbours_make_a_point_missing_but_not_the_point_on_a_centre(tmp_path):
    clay = np.full(Y.shape, 0.25)
    clay[10, 10] = -9999.0
    attributes = {"units": "1", "missing_value": -9999.0}
    path = write_fields(tmp_path / "a.nc", {"clay": (clay, attributes)}, LAT, LON)
    same = LatLonGrid.from_centres(LON, LAT)
    ds = read(path, "clay", grid=same)
    np.testing.assert_array_equal(np.isnan(ds.clay), clay < 0)
    between = read(path, "clay", grid=LatLonGrid(-3.0, 0.5, 1, 55.0, 0.5, 1), half_cell="interpolate")
    assert np.isnan(between.clay).all()


def test_units_are_converted_or_refused(tmp_path):
    fields = {
        "clay": (np.full(Y.shape, 25.0), {"units": "%"}),
        "organic_carbon": (np.full(Y.shape, 120.0), {"units": "dg/kg"}),
        "elevation": (np.full(Y.shape, 1.2), {"units": "km"}),
    }
    ds = read(write_fields(tmp_path / "a.nc", fields, LAT, LON), "clay", "organic_carbon", "elevation")
    assert float(ds.clay[0, 0]) == pytest.approx(0.25)
    assert float(ds.organic_carbon[0, 0]) == pytest.approx(12.0)
    assert float(ds.elevation[0, 0]) == pytest.approx(1200.0)
    assert ds.clay.attrs["units"] == "1"
    path = write_fields(tmp_path / "b.nc", {"elevation": (Y, {"units": "degrees"})}, LAT, LON)
    with pytest.raises(FieldError, match="wrong units") as error:
        read(path, "elevation")
    for part in ("expected: m", "found: degrees", "variable 'elevation'", str(path)):
        assert part in str(error.value)


@pytest.mark.parametrize("value", [1e18, -9999.0, 25.0])
def test_values_that_a_field_cannot_have_are_refused(tmp_path, value):
    clay = np.full(Y.shape, 0.25)
    clay[14, 9] = value
    path = write_fields(tmp_path / "a.nc", {"clay": (clay, {"units": "1"})}, LAT, LON)
    with pytest.raises(DataError, match="'clay' holds values that clay cannot have in 1 cells") as error:
        read(path, "clay")
    assert "0 to 1 1" in str(error.value)
    assert f"found: {value:.6g}" in str(error.value)


@pytest.mark.parametrize(("rise", "faces"), [((0, 1), 270), ((0, -1), 90), ((1, 0), 180), ((-1, 0), 0), ((1, 1), None)])
def test_slope_and_aspect_of_a_plane_on_the_sphere(tmp_path, rise, faces):
    north, east = (40.0 * r for r in rise)  # m per degree
    path = write_fields(tmp_path / "a.nc", {"elevation": (500 + north * (Y - 55) + east * X, METRES)}, LAT, LON)
    ds = read(path, "slope", "aspect")
    degree = EARTH_RADIUS * np.pi / 180
    dx = np.broadcast_to(east / (degree * np.cos(np.deg2rad(GRID.lat)))[:, None], GRID.shape)
    dy = north / degree
    np.testing.assert_allclose(ds.slope, np.rad2deg(np.arctan(np.hypot(dx, dy))), rtol=1e-3)
    expected = np.full(GRID.shape, faces) if faces is not None else 180 + np.rad2deg(np.arctan2(dx, dy))
    difference = (ds.aspect.values - expected + 180) % 360 - 180
    assert np.abs(difference).max() < 0.05
    assert float(ds.aspect.min()) >= 0
    assert float(ds.aspect.max()) < 360


def test_flat_land_has_no_slope(tmp_path):
    path = write_fields(tmp_path / "a.nc", {"elevation": (np.full(Y.shape, 12.0), METRES)}, LAT, LON)
    ds = read(path, "slope", "aspect")
    assert (ds.slope == 0).all()
    assert (ds.aspect == 0).all()


def test_aspect_of_a_file_is_not_averaged_across_north(tmp_path):
    values = np.where(np.arange(LON.size) % 2, 350.0, 10.0) * np.ones(Y.shape)
    fields = {"aspect": (values, {"units": "degrees"}), "slope": (np.ones(Y.shape), {"units": "degree"})}
    path = write_fields(tmp_path / "a.nc", fields, LAT, LON)
    middle = LatLonGrid.from_centres(LON[4:9] + 0.25, LAT[4:7])
    aspect = read(path, "aspect", grid=middle, half_cell="interpolate").aspect.values
    assert np.abs((aspect + 180) % 360 - 180).max() < 1e-4
    own = read(path, "aspect", grid=LatLonGrid.from_centres(LON[4:9], LAT[4:7])).aspect.values
    np.testing.assert_allclose(own, values[4:7, 4:9], atol=1e-3)


def test_a_window_is_a_slice_of_the_whole(tmp_path):
    rough = 500 + 100 * np.random.default_rng(1).standard_normal(Y.shape)
    path = write_fields(tmp_path / "a.nc", {"elevation": (rough, METRES)}, LAT, LON)
    names = ("elevation", "slope", "aspect")
    whole = read(path, *names)
    for box in (Box(0, 10, 0, 10), Box(13, 14, 17, 18), Box(50, 70, 40, 60)):
        part = read(path, *names, grid=GRID.sub(box))
        for name in names:
            np.testing.assert_allclose(part[name], whole[name][box.slices()], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("pole", [EURO_CORDEX, {**EURO_CORDEX, "north_pole_grid_longitude": 30.0}, {
    "grid_north_pole_latitude": 40.0, "grid_north_pole_longitude": 170.0}])  # fmt: skip
def test_rotation_agrees_with_rotations_in_three_dimensions(pole):
    rlat, rlon = np.meshgrid(np.linspace(-60, 60, 13), np.linspace(-150, 150, 16))
    lat, lon = to_geographic(rlat, rlon, pole)
    found = RotatedPole(**pole).rotate(lat, lon)
    np.testing.assert_allclose(found[0], rlat, atol=1e-9)
    np.testing.assert_allclose(found[1], rlon, atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, 25.0])
def test_a_rotated_file_gives_slope_and_aspect_in_geographic_directions(tmp_path, turn):
    pole = {**EURO_CORDEX, "north_pole_grid_longitude": turn}
    rlat, rlon = np.arange(-8.0, 16.0, 0.25), np.arange(-22.0, 4.0, 0.25) - turn
    lat, lon = to_geographic(*np.meshgrid(rlat, rlon, indexing="ij"), pole)
    grid = LatLonGrid(-8.0, 0.1, 100, 50.0, 0.1, 90)
    degree = EARTH_RADIUS * np.pi / 180
    dims = ("rlat", "rlon")
    path = write_fields(tmp_path / "a.nc", {"HSURF": (40.0 * (lat - 50), METRES)}, rlat, rlon, dims, pole)
    ds = read(path, "elevation", "slope", "aspect", grid=grid)
    np.testing.assert_allclose(ds.elevation, np.broadcast_to(40.0 * (grid.lat - 50)[:, None], grid.shape), atol=0.05)
    np.testing.assert_allclose(ds.aspect, 180.0, atol=0.2)
    np.testing.assert_allclose(ds.slope, np.rad2deg(np.arctan(40 / degree)), rtol=2e-3)
    path = write_fields(tmp_path / "b.nc", {"HSURF": (40.0 * lon + 1000, METRES)}, rlat, rlon, dims, pole)
    ds = read(path, "slope", "aspect", grid=grid)
    np.testing.assert_allclose(ds.aspect, 270.0, atol=0.2)
    expected = np.rad2deg(np.arctan(40 / degree / np.cos(np.deg2rad(grid.lat))))
    np.testing.assert_allclose(ds.slope, np.broadcast_to(expected[:, None], grid.shape), rtol=2e-3)


def test_names_can_be_given(tmp_path):
    fields = {"a": (Y, METRES), "b": (X + 1000, METRES), "density": (Y, {"units": "kg m-3"})}
    path = write_fields(tmp_path / "a.nc", fields, LAT, LON)
    with pytest.raises(DataError, match="several variables could be 'elevation'") as error:
        read(path, "elevation")
    assert "a, b" in str(error.value)
    ds = read(path, "elevation", "bulk", variables={"elevation": "b", "bulk": "density"})
    assert float(ds.elevation.min()) > 900
    assert ds.bulk.attrs["units"] == "kg m-3"
    with pytest.raises(DataError, match="variable 'densty' is missing") as error:
        read(path, "bulk", variables={"bulk": "densty"})
    assert "did you mean 'density'?" in str(error.value)


def test_categories_are_not_interpolated(tmp_path):
    zones = {"zone": (np.round(Y), {"units": "1", "flag_values": np.arange(50, 61), "flag_meanings": "a b"})}
    path = write_fields(tmp_path / "a.nc", zones, LAT, LON)
    with pytest.raises(DataError, match="categories, which cannot be interpolated") as error:
        read(path, "climate_zone", variables={"climate_zone": "zone"})
    assert "variable 'zone'" in str(error.value)


def test_missing_variable_and_missing_file(tmp_path):
    path = write_fields(tmp_path / "a.nc", {"clay": (Y * 0, {"units": "1"})}, LAT, LON)
    with pytest.raises(DataError, match="variable 'slope' is missing from the static fields") as error:
        read(path, "slope")
    assert "known: clay" in str(error.value)
    with pytest.raises(DataError, match="an input file is missing"):
        read(tmp_path / "b.nc", "clay")
    path = write_fields(tmp_path / "c.nc", {"t2m": (Y, {"units": "K"})}, LAT, LON)
    with pytest.raises(DataError, match="none of the static fields") as error:
        read(path, "clay")
    assert "t2m" in str(error.value)


def test_other_grids_are_refused(tmp_path):
    path = write_fields(tmp_path / "a.nc", {"elevation": (Y, METRES)}, LAT, LON, ("y", "x"))
    with pytest.raises(GridError, match="no latitude-longitude grid") as error:
        read(path, "elevation")
    assert "variable 'elevation'" in str(error.value)
    with netCDF4.Dataset(path, "a") as ds:
        ds["elevation"].grid_mapping = "crs"
        ds.createVariable("crs", "i4", ()).grid_mapping_name = "lambert_conformal_conic"
    with pytest.raises(GridError, match="its axes are those of") as error:
        read(path, "elevation")
    assert "lambert_conformal_conic" in str(error.value)


HSURF = "HSURF_EURO-CORDEX_0.11deg_rotated-pole.nc"


@pytest.mark.real_data
def test_real_rotation_fits_the_coordinates_of_the_file(sample_data):
    with netCDF4.Dataset(sample_data / "static" / HSURF) as ds:
        found = RotatedPole(**EURO_CORDEX).rotate(ds["lat"][:].astype("f8"), ds["lon"][:].astype("f8"))
        np.testing.assert_allclose(found[0], np.broadcast_to(ds["rlat"][:][:, None], found[0].shape), atol=1e-4)
        np.testing.assert_allclose(found[1], np.broadcast_to(ds["rlon"][:][None, :], found[1].shape), atol=1e-4)


@pytest.mark.real_data
def test_real_data_sets_of_elevation_agree(sample_data):
    # means over 0.1 degree of the finer one, over England and Wales, against the model's 0.11 degree
    grid = LatLonGrid(-4.5, 0.1, 40, 54.5, -0.1, 35)
    fine = LatLonGrid(-4.5, 0.02, 200, 54.5, -0.02, 175)
    celtic = read(sample_data / "static" / "elevation_1arcmin_Celtic.nc", "elevation", grid=fine)
    model = read(sample_data / "static" / HSURF, "elevation", "slope", grid=grid)
    assert celtic.attrs["quality"] == model.attrs["quality"] == {"outside": 0}
    seen = celtic.elevation.values.reshape(35, 5, 40, 5).mean(axis=(1, 3))
    modelled = model.elevation.values
    land = (seen > 5) & (modelled > 5)
    assert land.sum() > 600
    agreement = np.corrcoef(seen[land], modelled[land])[0, 1]
    assert agreement > 0.85
    for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
        assert np.corrcoef(seen[land], np.roll(modelled, shift, axis)[land])[0, 1] < agreement - 0.02
    assert 0 < float(model.slope.mean()) < 2


@pytest.mark.real_data
def test_real_elevation_covers_the_united_kingdom(sample_data):
    grid = LatLonGrid(-8.0, 0.05, 200, 60.8, -0.05, 216)
    whole = read(sample_data / "static" / HSURF, "elevation", "slope", "aspect", grid=grid)
    assert whole.attrs["quality"] == {"outside": 0}
    row, col = grid.rows_of(np.array([56.9, 52.8])), grid.cols_of(np.array([-4.5, 0.0]))
    assert float(whole.elevation[row[0], col[0]]) > 300  # the Highlands
    assert float(whole.elevation[row[1], col[1]]) < 20  # the Fens
    box = Box(60, 90, 100, 150)
    part = read(sample_data / "static" / HSURF, "elevation", "slope", "aspect", grid=grid.sub(box))
    for name in part:
        np.testing.assert_allclose(part[name], whole[name][box.slices()], rtol=1e-5, atol=1e-4)
