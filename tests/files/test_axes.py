"""Axes of all kinds in the adapters that read netCDF: right, or refused with the file and what it is."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from adapter_files import LAT, LON, fractions, write_states

from ai4land_coupler.api import GridError, LatLonGrid, Request
from ai4land_hilda.plugin import HildaOptions, hilda
from ai4land_luh2.plugin import Luh2Options, luh2
from ai4land_netcdf.options import NetcdfOptions
from ai4land_netcdf.plugin import netcdf
from ai4land_static.options import StaticOptions
from ai4land_static.plugin import static

GRID = LatLonGrid(-2.0, 0.5, 6, 53.0, -0.5, 6)  # square: shapes do not tell rows from columns
CODES = np.random.default_rng(1).choice(np.array([11, 22, 33, 40, 55, 66], np.uint8), GRID.shape)
NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}
ROTATED = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": 39.25,
    "grid_north_pole_longitude": -162.0,
}
LAMBERT = {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": [50.0, 60.0]}
POLAR = {"grid_mapping_name": "polar_stereographic", "straight_vertical_longitude_from_pole": -45.0}
WKT = {"crs_wkt": 'PROJCRS["ETRS89-extended / LAEA Europe",BASEGEOGCRS["ETRS89"]]'}
UTM = {"spatial_ref": 'PROJCS["WGS 84 / UTM zone 30N",GEOGCS["WGS 84",DATUM["WGS_1984"]]]'}


def write(path, y=("lat", GRID.lat, NORTH), x=("lon", GRID.lon, EAST), mapping=None, transpose=False, two=None):
    """A file with the maps ``LULC_states`` of codes; ``y``, ``x``: names, values (or none) and attributes of the axes.

    ``two``: names, values and attributes of two-dimensional coordinates.
    """
    with netCDF4.Dataset(path, "w") as ds:
        for name, values, attributes in (y, x):
            ds.createDimension(name, 6)
            if values is not None:
                ds.createVariable(name, np.asarray(values).dtype, (name,))[:] = values
                ds[name].setncatts(attributes)
        dims = (y[0], x[0])
        for name, values, attributes in two or ():
            ds.createVariable(name, "f8", dims)[:] = values
            ds[name].setncatts(attributes)
        variable = ds.createVariable("LULC_states", "u1", dims[::-1] if transpose else dims)
        variable.units = "1"
        variable[:] = CODES.T if transpose else CODES
        if mapping is not None:
            ds.createVariable("crs", "i4", ()).setncatts(mapping)
            variable.grid_mapping = "crs"
        if two:
            variable.coordinates = " ".join(name for name, _, _ in two)
    return path


def three(path):
    """Readers of one file: the codes on a grid by each adapter."""
    kind = {"name": "LULC_states", "kind": "category"}

    def of_netcdf(grid):
        return netcdf(NetcdfOptions(path=path, variables={"x": kind})).read(Request(("x",), grid)).x.values

    def of_static(grid):
        return static(StaticOptions(path=path, variables={"x": kind})).read(Request(("x",), grid)).x.values

    def of_hilda(grid):
        adapter = hilda(HildaOptions(path=path, legend="hilda-v1.0-f", year=2000))
        return adapter.read(Request(("land_cover",), grid, (2000,))).land_cover.values[0]

    return of_netcdf, of_static, of_hilda


LAT2, LON2 = np.meshgrid(GRID.lat, GRID.lon, indexing="ij")
LATLON = {"grid_mapping_name": "latitude_longitude"}
CLM = [("LATIXY", LAT2, {"units": "degrees north"}), ("LONGXY", LON2 + 360, {"units": "degrees east"})]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"transpose": True},
        {"y": ("lat", np.deg2rad(GRID.lat), {"units": "radian", "standard_name": "latitude"}),
         "x": ("lon", np.deg2rad(GRID.lon), {"units": "radian", "standard_name": "longitude"})},
        {"y": ("row", GRID.lat, {"units": "degreeN"}), "x": ("column", GRID.lon + 360, {"units": "degree_E"})},
        {"y": ("y", GRID.lat, NORTH), "x": ("x", GRID.lon, EAST), "mapping": LATLON},
        {"mapping": {"crs_wkt": 'GEOGCRS["WGS 84",DATUM["World Geodetic System 1984"]]'}},
        {"x": ("lat", GRID.lat, NORTH), "y": ("lon", GRID.lon, EAST)},  # rows are meridians
        {"y": ("lsmlat", None, {}), "x": ("lsmlon", None, {}), "two": CLM},
        {"y": ("lsmlat", None, {}), "x": ("lsmlon", None, {}), "two": CLM, "transpose": True},
        {"y": ("y", np.arange(6), {}), "x": ("x", np.arange(6), {}), "two": CLM},  # indices are no degrees
    ],
)  # fmt: skip
def test_axes_that_are_read(tmp_path, options):
    truth = CODES.T if "x" in options and options["x"][0] == "lat" else CODES
    for read in three(write(tmp_path / "a.nc", **options)):
        np.testing.assert_array_equal(read(GRID), truth)


def metres(standard, units="m"):
    return {"units": units, "standard_name": f"projection_{standard}_coordinate"}


KM = np.arange(6) * 5.0
DEGREES = {"units": "degrees"}
RLAT, RLON = ({**DEGREES, "standard_name": f"grid_{axis}"} for axis in ("latitude", "longitude"))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"y": ("y", KM / 10, RLAT), "x": ("x", KM / 10, RLON), "mapping": ROTATED}, "rotated_latitude_longitude"),
        ({"y": ("rlat", KM / 10, RLAT), "x": ("rlon", KM / 10, RLON), "mapping": ROTATED}, "rotated"),
        ({"y": ("y", KM / 10, DEGREES), "x": ("x", KM / 10, DEGREES), "mapping": ROTATED}, "rotated"),
        ({"y": ("lat", KM / 10, {}), "x": ("lon", KM / 10, {}), "mapping": ROTATED}, "rotated"),
        ({"y": ("y", KM / 10, RLAT), "x": ("x", KM / 10, RLON)}, "grid_latitude"),
        ({"y": ("y", KM, metres("y", "km")), "x": ("x", KM, metres("x", "km")), "mapping": LAMBERT}, "lambert"),
        ({"y": ("y", KM, {"units": "km"}), "x": ("x", KM, {"units": "km"})}, "km"),
        ({"y": ("y", KM, metres("y")), "x": ("x", KM, metres("x"))}, "projection_y_coordinate"),
        ({"y": ("y", KM, {}), "x": ("x", KM, {}), "mapping": LAMBERT}, "lambert"),
        ({"y": ("y", KM, {}), "x": ("x", KM, {}), "mapping": POLAR}, "polar_stereographic"),
        ({"y": ("y", KM, {}), "x": ("x", KM, {}), "mapping": {"grid_mapping_name": "sinusoidal"}}, "sinusoidal"),
        ({"y": ("y", KM, {}), "x": ("x", KM, {}), "mapping": WKT}, "ETRS89-extended / LAEA Europe"),
        ({"y": ("lat", KM, NORTH), "x": ("lon", KM, EAST), "mapping": UTM}, "WGS 84 / UTM zone 30N"),
        ({"mapping": {"grid_mapping_name": "latitude_longitude", "longitude_of_prime_meridian": 2.337}}, "2.337"),
        ({"y": ("lat", GRID.lat * 1000, {"units": "m"})}, "'lat': 6 (m)"),
        ({"y": ("south_north", None, {}), "x": ("west_east", None, {}),
          "two": [("XLAT", LAT2 + 0.01 * LON2, NORTH), ("XLONG", LON2, EAST)]}, "curvilinear"),
        ({"y": ("y", np.arange(6), {}), "x": ("x", np.arange(6), {}),
          "two": [("lat", LAT2, NORTH), ("lon", LON2 + 0.1 * LAT2, EAST)]}, "curvilinear"),
        ({"y": ("y", None, {}), "x": ("x", None, {})}, "{'y': 6, 'x': 6}"),
    ],
)  # fmt: skip
def test_axes_that_are_not_degrees_are_refused_by_all(tmp_path, options, name):
    path = write(tmp_path / "a.nc", **options)
    of_netcdf, of_static, of_hilda = three(path)
    for read in (of_netcdf, of_hilda):
        with pytest.raises(GridError) as error:
            read(GRID)
        assert name in str(error.value)
        assert str(path) in str(error.value)
        assert "what to do" in str(error.value)
    if options.get("mapping") is ROTATED and options["y"][0] in ("y", "rlat") and options["y"][2] is RLAT:
        of_static(GRID)  # it reads rotated poles: test_static.py
    else:
        with pytest.raises(GridError) as error:
            of_static(GRID)
        assert name in str(error.value)
        assert str(path) in str(error.value)


def test_uneven_latitudes_are_refused_with_a_remedy_and_read_by_static(tmp_path):
    lat = np.array([52.75, 52.3, 51.8, 51.2, 50.7, 50.2])
    of_netcdf, of_static, _ = three(write(tmp_path / "a.nc", y=("lat", lat, NORTH)))
    with pytest.raises(GridError, match="latitude is not evenly spaced") as error:
        of_netcdf(GRID)
    assert "ai4land regrid" in str(error.value)
    assert "a.nc" in str(error.value)
    rows = np.abs(GRID.lat[:, None] - lat).argmin(axis=1)
    np.testing.assert_array_equal(of_static(GRID), CODES[rows])


def test_land_use_on_axes_that_are_not_degrees(tmp_path):
    truth = fractions()
    grid = luh2(Luh2Options(states=write_states(tmp_path / "right.nc", truth))).grid()
    path = write_states(tmp_path / "a.nc", truth, np.deg2rad(LAT), np.deg2rad(LON))
    with netCDF4.Dataset(path, "a") as ds:
        ds["lat"].units = ds["lon"].units = "radian"
    adapter = luh2(Luh2Options(states=path))
    found = adapter.read(Request(("primf",), grid, (2015,))).primf.values[0]
    np.testing.assert_array_equal(found[:, 2:], truth["primf"][0][:, 2:])
    for name, change in (("b.nc", {"units": "km"}), ("c.nc", {"standard_name": "grid_latitude"}), ("d.nc", None)):
        with netCDF4.Dataset(write_states(tmp_path / name, truth), "a") as ds:
            ds["lat"].setncatts(change or {})
            for variable in truth if change is None else ():
                ds[variable].grid_mapping = "crs"
            ds.createVariable("crs", "i4", ()).setncatts(ROTATED)
        with pytest.raises(GridError, match="no latitude-longitude grid") as error:
            luh2(Luh2Options(states=tmp_path / name))
        assert name in str(error.value)
        assert (next(iter(change.values())) if change else "rotated_latitude_longitude") in str(error.value)


def test_radians_that_are_called_degrees_are_refused_and_a_region_at_the_equator_is_not(tmp_path):
    lat, lon = -1.3 + 0.52 * np.arange(6), 1.1 * np.arange(6)
    of_netcdf, _, _ = three(write(tmp_path / "a.nc", ("lat", lat, NORTH), ("lon", lon, EAST)))
    grid = LatLonGrid(-0.55, 1.1, 6, -1.56, 0.52, 6)
    np.testing.assert_array_equal(of_netcdf(grid), CODES)
    lat, lon = np.deg2rad(75.0 - 30 * np.arange(6)), np.deg2rad(60.0 * np.arange(6))
    of_netcdf, _, _ = three(write(tmp_path / "b.nc", ("lat", lat, NORTH), ("lon", lon, EAST)))
    with pytest.raises(GridError, match="look like radians") as error:
        of_netcdf(grid)
    assert "b.nc" in str(error.value)
