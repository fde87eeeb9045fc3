"""`ai4land regrid`: values are regridded from where the coordinates of the input say they are, or refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from field_cases import LAT, LON, SHAPE, east, north, read, write
from weight_cases import DESTINATION, exact, exact_file

from ai4land_coupler.api import FieldError, GridError, LatLonGrid
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.regrid.backends.yac import YacRegridder
from ai4land_coupler.regrid.files import regrid_file
from ai4land_coupler.regrid.weight_files.gather import gather_weights
from ai4land_coupler.regrid.weight_files.write import write_weights

ELSEWHERE = "cells elsewhere than the weights"
#: A field that no turn and no shift leaves unchanged, as a function of the place.
RIGHT = np.sin(np.deg2rad(LAT))[:, None] * 3 + np.cos(np.deg2rad(LON) + 0.3)


@pytest.fixture
def weights(tmp_path) -> Path:
    return write_weights(tmp_path / "weights.nc", exact_file())


def regridded(weights: Path, path: Path, name: str = "t", **options) -> tuple[np.ndarray, list[str]]:
    notes: list[str] = []
    out = path.with_name("out.nc")
    regrid_file(weights, path, out, overwrite=True, note=notes.append, **options)
    return read(out, name), notes


def check(weights: Path, path: Path) -> list[str]:
    found, notes = regridded(weights, path)
    covered = exact().sum(axis=1) > 0
    expected = (exact("fraction") @ RIGHT.ravel())[covered]
    np.testing.assert_allclose(found.reshape(-1, found.shape[-2] * found.shape[-1])[0][covered], expected, atol=1e-12)
    return notes


UNITS = {
    "CF's first": ("degrees_north", "degrees_east", 1.0),
    "singular": ("degree_north", "degree_east", 1.0),
    "N and E": ("degrees_N", "degrees_E", 1.0),
    "without underscore": ("degreesN", "degreesE", 1.0),
    "degrees": ("degrees", "degrees", 1.0),
    "radian": ("radian", "radian", np.pi / 180),
    "radians": ("radians", "radians", np.pi / 180),
}


@pytest.mark.parametrize("standard", [True, False])
@pytest.mark.parametrize("order", ["same", "rows turned", "columns rolled", "exchanged"])
@pytest.mark.parametrize("units", [*UNITS, "none"])
def test_units_and_orders(tmp_path, weights, units, order, standard):
    """Every spelling, with the standard name or with the names lat and lon alone."""
    of_lat, of_lon, factor = UNITS.get(units, ("", "", 1.0))
    rows, columns = np.arange(SHAPE[0]), np.arange(SHAPE[1])
    rows = rows[::-1] if order == "rows turned" else rows
    columns = np.roll(columns, 7) if order == "columns rolled" else columns
    values, dims = RIGHT[np.ix_(rows, columns)], ("lat", "lon")
    if order == "exchanged":
        values, dims = values.T, ("lon", "lat")
    names = [{"standard_name": name} if standard else {} for name in ("latitude", "longitude")]
    attrs = [some | ({"units": unit} if unit else {}) for some, unit in zip(names, (of_lat, of_lon), strict=True)]
    path = write(
        tmp_path / "in.nc",
        {"lat": SHAPE[0], "lon": SHAPE[1]},
        lat=(("lat",), LAT[rows] * factor, attrs[0]),
        lon=(("lon",), (LON[columns] - 360) * factor, attrs[1]),
        t=(dims, values, {}),
    )
    notes = check(weights, path)
    assert bool(notes) == (order != "same")
    assert all("were matched by their coordinates" in note for note in notes)


def test_integer_packed_and_two_dimensional_coordinates(tmp_path, weights):
    whole = LatLonGrid(0, 10, 36, -90, 10, 18)  # centres at 5, 15 ...
    mesh = latlon_mesh(whole, "whole degrees")
    made = gather_weights(YacRegridder().build(mesh, mesh), mesh, mesh, None, ((36, 18), (36, 18)))
    assert made is not None
    same = write_weights(tmp_path / "same.nc", made)
    lat, lon = np.arange(-85, 90, 10), np.arange(5, 360, 10)
    values = lat[::-1, None] + 0.001 * lon
    cases = {
        "integers": (lat[::-1].astype("i4"), lon.astype("i2"), north(), east()),
        "packed": (
            (lat[::-1] * 10).astype("i2"), ((lon - 180) * 10).astype("i2"), north() | {"scale_factor": 0.1},
            east() | {"scale_factor": np.float32(0.1), "add_offset": 180.0},
        ),
    }  # fmt: skip
    for name, (rows, columns, of_lat, of_lon) in cases.items():
        path = write(
            tmp_path / f"{name}.nc", {"y": 18, "x": 36},
            nav_lat=(("y",), rows, of_lat), nav_lon=(("x",), columns, of_lon), t=(("y", "x"), values, {}),
        )  # fmt: skip
        np.testing.assert_allclose(regridded(same, path)[0], values[::-1], atol=1e-12, err_msg=name)
    both = np.broadcast_to(lat[::-1, None], (18, 36)), np.broadcast_to(lon, (18, 36))
    turned = write(
        tmp_path / "two.nc", {"x": 36, "y": 18},
        lat=(("x", "y"), both[0].T, {"units": "degrees_N"}), lon=(("x", "y"), both[1].T, {"units": "degrees_E"}),
        t=(("x", "y"), values.T, {"coordinates": "lon lat"}),
    )  # fmt: skip
    np.testing.assert_allclose(regridded(same, turned)[0], values[::-1], atol=1e-12)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.25, 0.1, 0.02])
@pytest.mark.parametrize("axis", ["lat", "lon"])
def test_a_shift_by_a_part_of_a_cell_is_refused(tmp_path, weights, axis, share):
    moved = {"lat": LAT, "lon": LON} | {axis: (LAT if axis == "lat" else LON) + 15.0 * share}
    path = write(
        tmp_path / "in.nc",
        {"lat": SHAPE[0], "lon": SHAPE[1]},
        lat=(("lat",), np.clip(moved["lat"], -90, 90), north()),
        lon=(("lon",), moved["lon"], east()),
        t=(("lat", "lon"), RIGHT, {}),
    )
    with pytest.raises(GridError, match=ELSEWHERE):
        regridded(weights, path)


def test_rounding_of_coordinates_is_no_shift(tmp_path, weights):
    path = write(
        tmp_path / "in.nc",
        {"lat": SHAPE[0], "lon": SHAPE[1]},
        lat=(("lat",), (LAT + 1e-6).astype("f4"), north()),
        lon=(("lon",), np.round(LON + 720.0, 3).astype("f4"), east()),
        t=(("lat", "lon"), RIGHT, {}),
    )
    assert check(weights, path) == []


def test_exchanged_axes_of_a_square_grid(tmp_path):
    square = LatLonGrid(20, 1, 12, 30, 1, 12)
    mesh = latlon_mesh(square, "square")
    made = gather_weights(YacRegridder().build(mesh, mesh), mesh, mesh, None, ((12, 12), (12, 12)))
    assert made is not None
    file = write_weights(tmp_path / "w.nc", made)
    values = square.lat[:, None] + 0.01 * square.lon
    axes = {"lat": (("lat",), square.lat, north()), "lon": (("lon",), square.lon, east())}
    path = write(tmp_path / "in.nc", {"lat": 12, "lon": 12}, **axes, t=(("lon", "lat"), values.T, {}))
    found, notes = regridded(file, path)
    np.testing.assert_allclose(found, values, atol=1e-12)
    assert len(notes) == 1


def test_rows_at_the_poles_can_be_turned(tmp_path):
    """All points of such a row are one place, but its columns are not one cell."""
    grid = LatLonGrid(0, 30, 12, -90, 15, 12)
    mesh = latlon_mesh(grid, "rows")
    lat = np.linspace(-90, 90, 12)
    mesh = replace(mesh, centre_lat=np.repeat(lat, 12), centre_lon=np.tile(grid.lon, 12))
    made = gather_weights(YacRegridder().build(mesh, mesh), mesh, mesh, None, ((12, 12), (12, 12)))
    assert made is not None
    file = write_weights(tmp_path / "w.nc", made)
    values = lat[:, None] + 0.01 * grid.lon
    axes = {"lat": (("lat",), lat[::-1], north()), "lon": (("lon",), grid.lon, east())}
    path = write(tmp_path / "in.nc", {"lat": 12, "lon": 12}, **axes, t=(("lat", "lon"), values[::-1], {}))
    np.testing.assert_allclose(regridded(file, path)[0], values, atol=1e-12)


def test_what_cannot_be_checked_is_said(tmp_path, weights):
    plain = write(tmp_path / "plain.nc", {"j": SHAPE[0], "i": SHAPE[1]}, t=(("j", "i"), RIGHT, {}))
    assert "were not checked: the input has no latitudes and longitudes on j, i" in check(weights, plain)[0]
    # an index along x is no longitude
    index = write(
        tmp_path / "index.nc", {"y": SHAPE[0], "x": SHAPE[1]},
        x=(("x",), np.arange(SHAPE[1]), {}), y=(("y",), np.arange(SHAPE[0]), {}), t=(("y", "x"), RIGHT, {}),
    )  # fmt: skip
    assert "were not checked" in check(weights, index)[0]
    half = write(
        tmp_path / "half.nc", {"lat": SHAPE[0], "i": SHAPE[1]},
        lat=(("lat",), LAT, north()), t=(("lat", "i"), RIGHT, {}),
    )  # fmt: skip
    assert "the input has no longitudes" in check(weights, half)[0]
    turned = write(
        tmp_path / "turned.nc", {"lat": SHAPE[0], "i": SHAPE[1]},
        lat=(("lat",), LAT + 1.0, north()), t=(("lat", "i"), RIGHT, {}),
    )  # fmt: skip
    with pytest.raises(GridError, match=ELSEWHERE):
        regridded(weights, turned)


def test_mpas_names_in_radians(tmp_path):
    file = exact_file()
    weights = write_weights(tmp_path / "w.nc", replace(file, source=replace(file.source, dims=(file.source.size,))))
    lat, lon = (np.deg2rad(axis.ravel()) for axis in np.meshgrid(LAT, LON, indexing="ij"))
    for unit in ("rad", None):
        attrs = {} if unit is None else {"units": unit}
        cells = {"latCell": (("nCells",), lat, attrs), "lonCell": (("nCells",), lon, attrs)}
        path = write(tmp_path / "in.nc", {"nCells": RIGHT.size}, **cells, t=(("nCells",), RIGHT.ravel(), {}))
        assert check(weights, path) == []
        cells["latCell"] = (("nCells",), lat + 0.01, attrs)
        moved = write(tmp_path / "moved.nc", {"nCells": RIGHT.size}, **cells, t=(("nCells",), RIGHT.ravel(), {}))
        with pytest.raises(GridError, match=ELSEWHERE):
            regridded(weights, moved)


def test_unknown_units_are_refused(tmp_path, weights):
    path = write(
        tmp_path / "in.nc", {"lat": SHAPE[0], "lon": SHAPE[1]},
        lat=(("lat",), LAT, north("furlongs")), lon=(("lon",), LON, east()), t=(("lat", "lon"), RIGHT, {}),
    )  # fmt: skip
    with pytest.raises(GridError, match="furlongs"):
        regridded(weights, path)


def test_cells_in_any_order_are_found_and_repeated_ones_refused(tmp_path):
    """A list of cells, as ICON writes it, in radians."""
    file = exact_file()
    listed = replace(file, source=replace(file.source, dims=(file.source.size,)))
    weights = write_weights(tmp_path / "w.nc", listed)
    order = np.random.default_rng(3).permutation(RIGHT.size)
    lat, lon = (np.deg2rad(axis.ravel()) for axis in np.meshgrid(LAT, LON, indexing="ij"))

    def cells(order: np.ndarray) -> Path:
        return write(
            tmp_path / "in.nc", {"cell": RIGHT.size},
            clat=(("cell",), lat[order], north("radian")), clon=(("cell",), lon[order], east("radian")),
            t=(("cell",), RIGHT.ravel()[order], {"coordinates": "clat clon"}),
        )  # fmt: skip

    found, notes = regridded(weights, cells(order))
    covered = exact().sum(axis=1) > 0
    np.testing.assert_allclose(found.ravel()[covered], (exact("fraction") @ RIGHT.ravel())[covered], atol=1e-12)
    assert len(notes) == 1
    order[0] = order[1]
    with pytest.raises(GridError, match=ELSEWHERE):
        regridded(weights, cells(order))


def test_links_between_cells_that_lie_apart_are_refused(tmp_path, weights):
    """A file with grids whose links are of another order than the grids."""
    file = exact_file()
    path = write(
        tmp_path / "in.nc", {"lat": SHAPE[0], "lon": SHAPE[1]},
        lat=(("lat",), LAT, north()), lon=(("lon",), LON, east()), t=(("lat", "lon"), RIGHT, {}),
    )  # fmt: skip
    turned = np.arange(DESTINATION.size).reshape(10, 16)[::-1].ravel()
    wrong = write_weights(tmp_path / "wrong.nc", replace(file, row=turned[file.row]))
    with pytest.raises(GridError, match="join cells that lie apart"):
        regridded(wrong, path)
    assert check(weights, path) == []


def test_a_variable_on_another_grid_is_refused(tmp_path, weights):
    path = write(tmp_path / "in.nc", {"j": 7, "i": SHAPE[1]}, t=(("j", "i"), RIGHT[:7], {}))
    with pytest.raises(FieldError, match="no variable lies on the source grid"):
        regridded(weights, path)
