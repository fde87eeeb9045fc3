"""Grid files that are wrong are refused, with the reason."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from grid_files import (
    MIXED,
    Nc,
    as_mpas,
    as_scrip,
    as_ugrid,
    changed,
    degrees,
    rectilinear,
    write,
)

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import icosahedral_mesh, read_mesh
from ai4land_coupler.grids.areas import cell_area

ICO = icosahedral_mesh(2, "ico")
WRONG = {
    "mixed orientation": (
        lambda: changed(ICO, slice(100), lambda x: x[:, ::-1], lambda y: y[:, ::-1]),
        "turn both ways",
    ),
    "latitude 95": (lambda: changed(MIXED, 5, lat=lambda y: y + 95), r"out of range\n(.*\n)*.*cell 5"),
    "moved cells": (lambda: changed(MIXED, slice(4), lon=lambda x: x + 11), "cells overlap"),
    "radians": (lambda: changed(ICO, slice(None), np.deg2rad, np.deg2rad), "look like radians"),
}


@pytest.mark.parametrize("case", WRONG)
def test_malformed_cells_are_refused(tmp_path, case):
    mesh, message = WRONG[case]
    with pytest.raises(GridError, match=message):
        read_mesh(as_scrip(tmp_path / "g.nc", mesh()))


def test_gaps_are_refused_where_the_globe_is_expected(tmp_path):
    path = as_scrip(tmp_path / "g.nc", ICO.take(np.arange(1, ICO.size)))
    read_mesh(path)
    with pytest.raises(GridError, match=r"gaps\n.*\n  found: 0.00\d+ of the sphere"):
        read_mesh(path, expect="global")
    read_mesh(as_scrip(tmp_path / "w.nc", ICO), expect="global")


def test_areas_of_another_sphere_are_refused(tmp_path):
    steradians = cell_area(ICO) / EARTH_RADIUS**2
    attrs = {"units": "radians^2"}
    good = as_scrip(tmp_path / "g.nc", ICO, grid_area=Nc("grid_size", steradians, attrs))
    assert read_mesh(good).notes == ()
    note = as_scrip(tmp_path / "n.nc", ICO, grid_area=Nc("grid_size", steradians * 1.003, attrs))
    assert read_mesh(note).notes == ("areas in the file are 1.003 times those of the corners",)
    bad = as_scrip(tmp_path / "b.nc", ICO, grid_area=Nc("grid_size", steradians * 1.1, attrs))
    with pytest.raises(GridError, match=r"not those of its cells\n(.*\n)*  found: areas that are 1.1 times"):
        read_mesh(bad)


@pytest.mark.parametrize(("units", "factor"), [("m2", 1.0), ("km2", 1e-6), ("degrees2", 77.0)])
def test_areas_that_a_data_variable_names_are_compared(tmp_path, units, factor):
    lat, lon = np.arange(-85, 90, 10.0), np.arange(5, 360, 10.0)
    area = cell_area(read_mesh(rectilinear(tmp_path / "g.nc", lat, lon))).reshape(18, 36)
    attrs = {"cell_measures": "area: areacella"}
    for scale in (1.0, 1.05):
        path = write(
            tmp_path / f"{scale}.nc",
            lat=Nc("lat", lat, degrees("lat")),
            lon=Nc("lon", lon, degrees("lon")),
            tas=Nc("lat lon", np.ones((18, 36)), attrs),
            areacella=Nc("lat lon", scale * factor * area, {"units": units}),
        )
        if scale == 1.0 or factor == 77.0:
            assert len(read_mesh(path, variable="tas").notes) == 2
        else:
            with pytest.raises(GridError, match=r"areas that are 1\.05 times"):
                read_mesh(path, variable="tas")


FAULTY_FILES = {
    "degrees said to be radians": (
        lambda path: write(
            path,
            clon_vertices=Nc("cell nv", ICO.corner_lon, {"units": "radian"}),
            clat_vertices=Nc("cell nv", ICO.corner_lat, {"units": "radian"}),
        ),
        "clon_vertices: coordinates look like degrees",
    ),
    "no bounds": (
        lambda path: write(
            path, lat=Nc("cell", ICO.centres()[1], degrees("lat")), lon=Nc("cell", ICO.centres()[0], degrees("lon"))
        ),
        "edges of cells are unknown",
    ),
    "unequal steps": (lambda path: rectilinear(path, [0.0, 1, 3], [0.0, 1, 2]), "edges of cells are unknown"),
    "axis with a repeat": (lambda path: rectilinear(path, [0.0, 1, 1], [0.0, 1, 2]), "does not rise or fall"),
    "bounds that overlap": (
        lambda path: rectilinear(path, [1.0, 3], [1.0, 2], [[0, 2.5], [2, 4]]),
        "bounds of a coordinate overlap",
    ),
    "units of no angle": (
        lambda path: write(path, lat=Nc("lat", np.arange(3.0), {"units": "m"}), lon=Nc("lon", np.arange(3.0))),
        r"lat: coordinates cannot be used\n  expected: units of degrees or radians.*\n  found: units 'm'",
    ),
    "connections that do not add up": (
        lambda path: write(
            path,
            nodeCoords=Nc("n d", np.zeros((4, 2)), {"units": "degrees"}),
            elementConn=Nc("c", np.array([1, 2, 3], "i4")),
            numElementConn=Nc("e", np.array([4], "i4")),
        ),
        "numElementConn does not fit",
    ),
    "on a plane": (lambda path: as_mpas(path, MIXED, "NO"), "mesh is on a plane"),
    "several grids": (
        lambda path: write(
            path,
            lat=Nc("cell", np.zeros(3), degrees("lat")),
            lon=Nc("cell", np.zeros(3), degrees("lon")),
            vlat=Nc("vertex", np.zeros(4), degrees("lat")),
            vlon=Nc("vertex", np.zeros(4), degrees("lon")),
        ),
        "several grids",
    ),
}


@pytest.mark.parametrize("case", FAULTY_FILES)
def test_files_that_do_not_tell_a_grid_are_refused(tmp_path, case):
    make, message = FAULTY_FILES[case]
    with pytest.raises(DataError, match=message) as caught:
        read_mesh(make(tmp_path / "g.nc"))
    assert "g.nc" in str(caught.value.where)


def test_nodes_that_do_not_exist_are_refused(tmp_path):
    path = as_ugrid(tmp_path / "g.nc", MIXED, 1)
    with netCDF4.Dataset(path, "a") as file:
        file["faces"].start_index = np.int32(0)
    with pytest.raises(DataError, match=r"node that does not exist\n(.*\n)*.*start_index"):
        read_mesh(path)


@pytest.mark.parametrize("format_", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"])
@pytest.mark.parametrize("missing", [8, 100, 3000, -300])
def test_a_truncated_file_is_refused(tmp_path, format_, missing):
    path = as_scrip(tmp_path / "g.nc", ICO, format_=format_)
    assert read_mesh(path).size == ICO.size
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(DataError, match=r"cannot be read as netCDF\n(.*\n)*.*truncated"):
        read_mesh(path)


def test_a_file_without_cells_is_refused(tmp_path):
    with pytest.raises(GridError, match=r"no cells\n  where: .*g.nc"):
        read_mesh(as_scrip(tmp_path / "g.nc", ICO.take(np.arange(0)), "missing"))
