"""`ai4land weights` and `ai4land regrid` on the grids of data files."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from field_cases import east, north, read, write

from ai4land_coupler.cli import cli

LAT, LON = np.arange(-85.0, 90, 10), np.arange(5.0, 360, 10)
CORNERS = np.array([[-5, -5], [-5, 5], [5, 5], [5, -5]], float)


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def curvilinear(path: Path, land: np.ndarray) -> Path:
    """2-D coordinates in degrees_N and degrees_E without an attribute ``coordinates``; zeros for the cells of land."""
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    of_lat, of_lon = lat[..., None] + CORNERS[:, 0], lon[..., None] + CORNERS[:, 1]
    sea = ~land
    return write(
        path,
        {"y": 18, "x": 36, "nv": 4},
        lat=(("y", "x"), lat * sea, {"units": "degrees_N", "bounds": "lat_b"}),
        lat_b=(("y", "x", "nv"), of_lat * sea[..., None], {}),
        lon=(("y", "x"), lon * sea, {"units": "degrees_E", "bounds": "lon_b"}),
        lon_b=(("y", "x", "nv"), of_lon * sea[..., None], {}),
        t=(("y", "x"), np.where(sea, lat, np.nan), {}),
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("destination", ["ico2", "r36x18"])
def test_two_dimensional_coordinates_named_as_those_of_the_output(tmp_path, destination):
    path = curvilinear(tmp_path / "in.nc", np.zeros((18, 36), bool))
    run("weights", path, destination, "-o", tmp_path / "w.nc")
    run("regrid", tmp_path / "w.nc", path, tmp_path / "out.nc")
    found, lat = read(tmp_path / "out.nc", "t"), read(tmp_path / "out.nc", "lat")
    lat = lat if found.ndim == 1 else np.broadcast_to(lat[:, None], found.shape)
    # means of cells, some of which reach to a pole
    np.testing.assert_allclose(found, lat, atol=6.0)
    assert np.abs(found - lat).mean() < 1.5


@pytest.mark.filterwarnings("error")
def test_zeros_for_land_are_read_without_warnings(tmp_path):
    land = np.zeros((18, 36), bool)
    land[4:8, 10:20] = True
    path = curvilinear(tmp_path / "in.nc", land)
    run("weights", path, "r36x18", "-o", tmp_path / "w.nc")
    run("regrid", tmp_path / "w.nc", path, tmp_path / "out.nc")
    found = read(tmp_path / "out.nc", "t")
    covered = np.isfinite(found)
    assert not covered[4:8, 11:20].any()
    assert covered.sum() == 648 - 4 * 9
    np.testing.assert_allclose(found[covered], np.broadcast_to(LAT[:, None], found.shape)[covered], atol=1e-9)


def test_icon_output_in_radians(tmp_path):
    """Triangles of an octahedron with clon and clat in radians: each value goes to its own cell."""
    corners = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]], float)
    faces = corners[[[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]]]
    middle = faces.mean(axis=1)

    def angles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lon = np.arctan2(points[..., 1], points[..., 0])
        return lon, np.arctan2(points[..., 2], np.hypot(points[..., 0], points[..., 1]))

    (lon, lat), (lon_v, lat_v) = angles(middle), angles(faces)
    path = write(
        tmp_path / "icon.nc",
        {"time": 2, "cell": 8, "nv": 3},
        clon=(("cell",), lon, east("radian") | {"bounds": "clon_vertices"}),
        clat=(("cell",), lat, north("radian") | {"bounds": "clat_vertices"}),
        clon_vertices=(("cell", "nv"), lon_v, {"units": "radian"}),
        clat_vertices=(("cell", "nv"), lat_v, {"units": "radian"}),
        tas=(("time", "cell"), np.arange(16.0).reshape(2, 8), {"coordinates": "clat clon"}),
    )
    run("weights", path, "r8x4", "-o", tmp_path / "w.nc")
    assert "note" not in run("regrid", tmp_path / "w.nc", path, tmp_path / "out.nc")
    found = read(tmp_path / "out.nc", "tas")
    # boxes of 45 degrees with middles at 0, 45, ... E: those at 45, 135, ... E lie inside of one octant
    np.testing.assert_allclose(found[:, 2:, 1::2], [[[0, 1, 2, 3]] * 2, [[8, 9, 10, 11]] * 2], atol=1e-9)
    np.testing.assert_allclose(found[:, :2, 1::2], [[[4, 5, 6, 7]] * 2, [[12, 13, 14, 15]] * 2], atol=1e-9)
