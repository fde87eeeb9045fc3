"""Which variables are latitudes and longitudes, and their degrees."""

from __future__ import annotations

import numpy as np
import pytest

from ai4land_coupler.errors import GridError
from ai4land_coupler.files.cf_coordinates import coordinate_kind, look_like_radians, to_degrees

#: CF 1.11, sections 4.1 and 4.2: all spellings.
NORTH = ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN")


@pytest.mark.parametrize("units", NORTH)
def test_every_spelling_of_cf(units):
    east = units.replace("north", "east").replace("N", "E")
    assert coordinate_kind("a", {"units": units}) == "latitude"
    assert coordinate_kind("a", {"units": east}) == "longitude"
    assert to_degrees(np.array([45, -90]), units, "latitude", None).tolist() == [45.0, -90.0]


@pytest.mark.parametrize(
    ("name", "attributes", "kind"),
    [
        ("clat", {"standard_name": "latitude", "units": "radian"}, "latitude"),
        ("clon", {"units": "radian"}, "longitude"),
        ("lat", {}, "latitude"),
        ("Latitude", {}, "latitude"),
        ("nav_lon", {"units": "degrees"}, "longitude"),
        ("XLONG", {}, "longitude"),
        ("y", {"standard_name": "grid_latitude", "units": "degrees"}, None),
        ("lat", {"standard_name": "projection_y_coordinate", "units": "km"}, None),
        ("y", {"units": "m"}, None),
        ("x", {"units": "km"}, None),
        ("y", {}, "latitude"),
        ("plat", {}, None),
        ("t", {"units": "degC"}, None),
        ("lat", {"units": b"degrees_north"}, "latitude"),
    ],
)
def test_standard_name_units_and_name(name, attributes, kind):
    assert coordinate_kind(name, attributes) == kind


def test_a_contradiction_is_refused():
    with pytest.raises(GridError, match="contradict each other") as error:
        coordinate_kind("lat", {"standard_name": "latitude", "units": "degrees_east"}, "file.nc")
    assert "file.nc" in str(error.value)


@pytest.mark.parametrize("units", ["radian", "radians", "rad", "Radians"])
def test_radians(units):
    np.testing.assert_allclose(to_degrees(np.array([np.pi / 2]), units, "latitude", None), [90.0])
    with pytest.raises(GridError, match="look like degrees"):
        to_degrees(np.array([40.0]), units, "latitude", None)


@pytest.mark.parametrize("units", ["m", "km", "degC", "degrees_celsius", "K", "hours"])
def test_other_units_are_refused(units):
    with pytest.raises(GridError, match="cannot be used"):
        to_degrees(np.array([40.0]), units, "latitude", "file.nc")


def test_radians_under_units_of_degrees():
    lat, lon = np.deg2rad(np.arange(-85, 90, 10.0)), np.deg2rad(np.arange(5, 360, 10.0))
    assert look_like_radians(lon, lat)
    assert not look_like_radians(np.rad2deg(lon), np.rad2deg(lat))
    assert not look_like_radians(np.arange(0, 3, 0.5), np.arange(-1.5, 1.5, 0.25))
