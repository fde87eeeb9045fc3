"""Cells that a file has several times take part once: halo columns, fold rows, fillers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from grid_files import Nc, as_scrip, degrees, write

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids import icosahedral_mesh, read_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh


def halo_and_fold(path, dtype="f8"):
    """Cells of 10 degrees with a halo column on either side, and the top row again, from east to west."""
    lat, lon = np.arange(-85.0, 90, 10), np.arange(-5.0, 370, 10)
    lon, lat = np.meshgrid(lon, lat)
    lon, lat = np.concatenate([lon, lon[-1:, ::-1]]), np.concatenate([lat, lat[-1:]])
    corners = [centre[..., None] + np.array(by) for centre, by in ((lon, [-5, 5, 5, -5]), (lat, [-5, -5, 5, 5]))]
    corners[0] = np.mod(corners[0], 360.0) if dtype == "f4" else corners[0]
    if dtype == "f4":  # halo columns come from a sum in single precision
        corners[0][:, 0] = (corners[0][:, 0] + 1e-5).astype("f4")
    return write(
        path,
        nav_lat=Nc("y x", lat, {"units": "degrees_north", "bounds": "blat"}),
        nav_lon=Nc("y x", lon, {"units": "degrees_east", "bounds": "blon"}),
        blat=Nc("y x nv", corners[1].astype(dtype)),
        blon=Nc("y x nv", corners[0].astype(dtype)),
    )


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_halo_columns_and_a_repeated_row_take_part_once(tmp_path, dtype):
    mesh = read_mesh(halo_and_fold(tmp_path / "g.nc", dtype), expect="global")
    assert (mesh.size, int(mesh.mask.sum())) == (19 * 38, 18 * 36)
    told = [int(note.split()[0]) for note in mesh.notes if "cells that repeat another one" in note]
    assert sum(told) == 19 * 38 - 18 * 36 == 74
    taken = mesh.take(np.flatnonzero(mesh.mask))
    assert cell_area(taken).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-6)
    middle = {(round(lon % 360) % 360, round(lat)) for lon, lat in zip(*taken.centres(), strict=True)}
    assert len(middle) == 18 * 36, "each place once"


def twice(mesh: Mesh, cells: list[int], move: float) -> Mesh:
    """The mesh with copies of some cells at its end; the longitudes of their corners differ by ``move``."""
    copies = mesh.take(np.array(cells))
    corners = [np.concatenate([mesh.corner_lon, copies.corner_lon + move])]
    corners.append(np.concatenate([mesh.corner_lat, copies.corner_lat]))
    n = len(corners[0])
    return replace(
        mesh, cell_ids=np.arange(n), corner_lon=corners[0], corner_lat=corners[1], mask=np.ones(n, bool), global_size=n
    )


def test_of_cells_that_come_often_the_first_takes_part(tmp_path):
    ico = icosahedral_mesh(2, "ico")
    mesh = read_mesh(as_scrip(tmp_path / "g.nc", twice(ico, [7, 7, 7, 30, 31, 31], 0.0)), expect="global")
    assert np.flatnonzero(~mesh.mask).tolist() == list(range(320, 326))
    assert mesh.notes == ("6 cells that repeat another one were masked",)


def test_a_repeated_row_in_the_other_direction_is_a_copy(tmp_path):
    """At a fold, the cells of the repeated row may come clockwise, and before the others."""
    lat, lon = np.meshgrid(np.arange(-85.0, 90, 10), np.arange(5.0, 360, 10), indexing="ij")
    lat, lon = np.concatenate([lat[-1:], lat]).ravel(), np.concatenate([lon[-1:], lon]).ravel()
    corners = lon[:, None] + np.array([-5, 5, 5, -5]), lat[:, None] + np.array([-5, -5, 5, 5])
    for values in corners:
        values[:36] = values[:36, ::-1]
    n = lat.size
    fold = Mesh("fold", np.arange(n), *corners, "latlon", np.ones(n, bool), n)
    mesh = read_mesh(as_scrip(tmp_path / "g.nc", fold), expect="global")
    assert np.flatnonzero(~mesh.mask).tolist() == list(range(36))
    assert mesh.notes == ("36 cells that repeat another one were masked",)


def test_copies_that_differ_by_rounding_are_copies(tmp_path):
    ico = icosahedral_mesh(2, "ico")
    mesh = read_mesh(as_scrip(tmp_path / "g.nc", twice(ico, [7, 7, 40], 360.00002)), expect="global")
    assert np.flatnonzero(~mesh.mask).tolist() == [320, 321, 322]


def test_cells_that_bear_the_corners_of_another_cell_are_fillers(tmp_path):
    """As in ORCA2: the centres of fillers lie elsewhere."""
    ico = icosahedral_mesh(2, "ico")
    corners = ico.corner_lon.copy(), ico.corner_lat.copy()
    for values in corners:
        values[[100, 150, 200, 250]] = values[[7]]
    lon, lat = ico.centres()
    path = write(
        tmp_path / "g.nc",
        lon=Nc("cell", lon, degrees("lon", bounds="lon_bnds")),
        lat=Nc("cell", lat, degrees("lat", bounds="lat_bnds")),
        lon_bnds=Nc("cell nv", corners[0]),
        lat_bnds=Nc("cell nv", corners[1]),
    )
    mesh = read_mesh(path)
    assert mesh.notes == ("5 cells whose corners come more than twice were masked as fillers",)
    path.unlink()
    first = read_mesh(
        write(
            path,
            lon=Nc("cell", lon, degrees("lon", bounds="lon_bnds")),
            lat=Nc("cell", lat, degrees("lat", bounds="lat_bnds")),
            lon_bnds=Nc("cell nv", np.where(ico.cell_ids[:, None] == 7, ico.corner_lon[[100]], ico.corner_lon)),
            lat_bnds=Nc("cell nv", np.where(ico.cell_ids[:, None] == 7, ico.corner_lat[[100]], ico.corner_lat)),
        )
    )
    assert np.flatnonzero(~first.mask).tolist() == [7], "the genuine cell stays, though it comes second"
