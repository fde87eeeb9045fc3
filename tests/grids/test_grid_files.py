"""Grid files of every layout: the same cells come out, and oddities are masked by rule."""

from __future__ import annotations

import needs
import netCDF4
import numpy as np
import pytest
from grid_files import (
    LAYOUTS,
    MIXED,
    Nc,
    as_cf_cells,
    as_esmf,
    as_scrip,
    changed,
    rectilinear,
    write,
)

from ai4land_coupler.core.grid import EARTH_RADIUS, LatLonGrid
from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import icosahedral_mesh, latlon_mesh, read_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.grids.mesh import Mesh, unit_vectors


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_cells(tmp_path, layout):
    mesh = read_mesh(LAYOUTS[layout](tmp_path / "grid.nc"))
    assert (mesh.size, mesh.global_size, mesh.edges, mesh.notes) == (48, 48, "great_circle", ())
    assert mesh.mask.all()
    np.testing.assert_allclose(mesh.corner_lon, MIXED.corner_lon, rtol=1e-14)
    np.testing.assert_allclose(mesh.corner_lat, MIXED.corner_lat, rtol=1e-14, atol=1e-14)


def test_points_that_values_stand_for_are_kept(tmp_path):
    mesh = read_mesh(as_cf_cells(tmp_path / "grid.nc", MIXED))
    np.testing.assert_array_equal(mesh.centre_lat, MIXED.centres()[1])
    area = Nc("elementCount", cell_area(MIXED) / EARTH_RADIUS**2, {"units": "radians^2"})
    centres = np.stack(MIXED.centres(), axis=1) + np.array([0.0, 0.25])
    extra = {"centerCoords": Nc("elementCount coordDim", centres, {"units": "degrees"}), "elementArea": area}
    mesh = read_mesh(as_esmf(tmp_path / "esmf.nc", MIXED, **extra))
    np.testing.assert_allclose(mesh.centres()[1], centres[:, 1])


def test_masks_of_the_layouts_and_by_name(tmp_path):
    taken = np.arange(48) % 3 > 0
    scrip = as_scrip(tmp_path / "s.nc", MIXED, grid_imask=Nc("grid_size", taken.astype("i4")))
    np.testing.assert_array_equal(read_mesh(scrip).mask, taken)
    other = Nc("time elementCount", np.where(taken, 0.3, np.nan)[None])
    esmf = as_esmf(tmp_path / "e.nc", MIXED, elementMask=Nc("elementCount", (~taken).astype("i1")), depth=other)
    np.testing.assert_array_equal(read_mesh(esmf).mask, ~taken)
    np.testing.assert_array_equal(read_mesh(esmf, mask="depth").mask, taken)
    with pytest.raises(DataError, match=r"mask 'nodeCoords' does not fit"):
        read_mesh(esmf, mask="nodeCoords")
    with pytest.raises(DataError, match=r"lacks a variable\n  found: dept\n.*\n.*'depth'"):
        read_mesh(esmf, mask="dept")


# ---- axes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("north_up", [True, False])
def test_regular_axes_need_no_bounds(tmp_path, dtype, north_up):
    grid = LatLonGrid(-180.0, 7.2, 50, *((90.0, -7.2) if north_up else (-90.0, 7.2)), 25)
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", grid.lat.astype(dtype), grid.lon.astype(dtype)), expect="global")
    whole = latlon_mesh(grid, "whole")
    assert mesh.edges == "latlon"
    np.testing.assert_allclose(mesh.corner_lat, whole.corner_lat, atol=1e-5)
    assert len(mesh.notes) == 2
    assert cell_area(mesh).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-12)


def test_points_on_the_poles_have_half_cells(tmp_path):
    mesh = read_mesh(
        rectilinear(tmp_path / "era.nc", np.linspace(90, -90, 19), np.arange(0, 360, 10.0)), expect="global"
    )
    assert mesh.size == 19 * 36
    assert np.nanmin(mesh.corner_lat[0]) == 85.0
    assert mesh.centre_lat[0] == 90.0


def test_bounds_are_taken_where_steps_are_unequal(tmp_path):
    lat_bnds, lon_bnds = [[-10, 0], [0, 15], [15, 40]], [[170, 185], [185, 200.5]]
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", [-5.0, 7, 30], [175.0, 190], lat_bnds, lon_bnds))
    assert mesh.notes == ()
    np.testing.assert_array_equal(mesh.corner_lon[5], [185, 200.5, 200.5, 185])
    np.testing.assert_array_equal(mesh.corner_lat[5], [15, 15, 40, 40])
    np.testing.assert_array_equal(mesh.centre_lon, [175, 190] * 3)


def test_cells_are_numbered_as_the_data_variable_has_them(tmp_path):
    path = rectilinear(tmp_path / "g.nc", [0.0, 10, 20], [30.0, 40], dims="lon lat")
    assert read_mesh(path).centre_lat[:2].tolist() == [0, 0]
    assert read_mesh(path, variable="field").centre_lat.tolist() == [0, 10, 20, 0, 10, 20]
    assert read_mesh(path, variable="field", mask="field").mask.tolist() == [False] + [True] * 5


def test_gaussian_latitudes_without_bounds_have_the_weights_as_areas(tmp_path):
    sines, weights = np.polynomial.legendre.leggauss(32)
    mesh = read_mesh(
        rectilinear(tmp_path / "g.nc", np.rad2deg(np.arcsin(sines)), np.arange(64) * 5.625), expect="global"
    )
    assert "F16" in mesh.notes[0]
    area = cell_area(mesh).reshape(32, 64).sum(axis=1) / EARTH_RADIUS**2
    np.testing.assert_allclose(area, 2 * np.pi * weights, rtol=1e-12)


@pytest.mark.real_data
def test_luh2_bounds_that_are_off_by_half_a_cell_are_not_used(sample_data):
    mesh = read_mesh(sample_data / "luh2" / "staticData_quarterdeg.nc", variable="ptbio", expect="global")
    assert [("does not hold" in note) for note in mesh.notes] == [True, True]
    np.testing.assert_allclose(mesh.corner_lat[5000], [89.0, 89.0, 89.25, 89.25], atol=1e-9)


# ---- curvilinear -------------------------------------------------------------------------------------------------


def test_rotated_poles_are_turned_back(tmp_path):
    axis = {"units": "degrees"}
    mapping = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 30.0,
        "grid_north_pole_longitude": -170.0,
    }
    path = write(
        tmp_path / "r.nc",
        rlat=Nc("rlat", np.arange(-5, 6, 1.0), {"standard_name": "grid_latitude", **axis}),
        rlon=Nc("rlon", np.arange(-3, 4, 1.0), {"standard_name": "grid_longitude", **axis}),
        rotated_pole=Nc("", np.int32(0), mapping),
        hsurf=Nc("rlat rlon", np.ones((11, 7), "f4"), {"grid_mapping": "rotated_pole"}),
    )
    mesh = read_mesh(path, variable="hsurf")
    middle = 5 * 7 + 3  # rotated (0, 0): on the great circle from the rotated pole over the true one, 90 degrees on
    np.testing.assert_allclose([mesh.centre_lon[middle], mesh.centre_lat[middle]], [10.0, 60.0], atol=1e-12)
    # turning keeps areas: those of the same boxes of great circles at the equator
    boxes = latlon_mesh(LatLonGrid(-3.5, 1.0, 7, -5.5, 1.0, 11), "boxes")
    boxes = Mesh("b", boxes.cell_ids, boxes.corner_lon, boxes.corner_lat, "great_circle", boxes.mask, 77)
    np.testing.assert_allclose(cell_area(mesh), cell_area(boxes), rtol=1e-10)


@pytest.mark.real_data
def test_the_rotated_pole_of_euro_cordex_has_the_coordinates_of_the_file(sample_data):
    path = sample_data / "static" / "HSURF_EURO-CORDEX_0.11deg_rotated-pole.nc"
    mesh = read_mesh(path, variable="HSURF")
    with netCDF4.Dataset(path) as file:
        given = unit_vectors(*(np.asarray(file[name][:], float).ravel() for name in ("lon", "lat")))
    assert np.abs(unit_vectors(*mesh.centres()) - given).max() < 2e-7, "single precision"
    assert mesh.size == 438 * 450


@pytest.mark.real_data
def test_the_oddities_of_orca2_are_masked_and_counted(sample_data):
    mesh = read_mesh(sample_data / "grids" / "orca2_votemper.nc", mask="votemper")
    whole = read_mesh(sample_data / "grids" / "orca2_votemper.nc")
    assert whole.edges == "great_circle"
    counts = {note.split(" ", 1)[1].split(":")[0]: int(note.split()[0]) for note in whole.notes}
    assert counts == {
        "cells that repeat another one were masked": 83,
        "cells whose corners come more than twice were masked as fillers": 227,
        "cells without area were masked": 17,
        "cells that overlap others were masked": 13,
    }
    assert (~whole.mask).sum() == 83 + 227 + 17 + 13
    assert mesh.mask.sum() < whole.mask.sum()
    assert cell_area(whole)[whole.mask].min() > 0
    with pytest.raises(GridError, match="has gaps"):
        read_mesh(sample_data / "grids" / "orca2_votemper.nc", expect="global")


@pytest.mark.real_data
def test_every_cell_of_orca2_that_takes_part_gets_weights(sample_data):
    needs.yac()
    from ai4land_coupler.regrid.backends.yac import YacRegridder

    ocean = read_mesh(sample_data / "grids" / "orca2_votemper.nc")
    globe = latlon_mesh(LatLonGrid(-180.0, 5.0, 72, -90.0, 5.0, 36), "globe")
    weights = YacRegridder().build(globe, ocean)
    np.testing.assert_allclose(weights.destination_fraction[ocean.mask], 1.0, rtol=1e-6)
    assert (weights.destination_fraction[~ocean.mask] == 0).all()


# ---- what is mended, and told ------------------------------------------------------------------------------------


def test_files_that_are_clockwise_throughout_are_turned(tmp_path):
    ico = icosahedral_mesh(2, "ico")
    clockwise = Mesh("c", ico.cell_ids, ico.corner_lon[:, ::-1], ico.corner_lat[:, ::-1], ico.edges, ico.mask, ico.size)
    mesh = read_mesh(as_scrip(tmp_path / "c.nc", clockwise), expect="global")
    assert mesh.notes == ("cells are clockwise in the file: corners were reversed",)
    assert grid_hash(mesh) == grid_hash(ico)


def test_reading_a_file_made_of_what_was_read_changes_nothing(tmp_path):
    once = read_mesh(as_scrip(tmp_path / "a.nc", MIXED))
    twice = read_mesh(as_scrip(tmp_path / "b.nc", once))
    assert grid_hash(once) == grid_hash(twice) == grid_hash(MIXED)


def test_a_few_centres_outside_of_their_cells_are_put_into_the_middle(tmp_path):
    ico = icosahedral_mesh(3, "ico")
    lon, lat = ico.centres()

    def scrip(name, cells):
        wrong = np.where(np.isin(ico.cell_ids, cells), 90.0 - np.abs(lat), lat)
        centres = {"grid_center_lon": lon, "grid_center_lat": wrong}
        return as_scrip(
            tmp_path / name, ico, **{key: Nc("grid_size", v, {"units": "degrees"}) for key, v in centres.items()}
        )

    mesh = read_mesh(scrip("one.nc", [7]))
    assert mesh.notes == ("1 centres outside of their cells were put into the middle: 7",)
    np.testing.assert_allclose(mesh.centre_lat, lat, atol=1e-12)
    with pytest.raises(GridError, match="points that values stand for are not in their cells"):
        read_mesh(scrip("two.nc", [7, 100]))


def test_cells_narrower_than_points_are_told_apart_have_no_area(tmp_path):
    ico = icosahedral_mesh(3, "ico")
    sliver = changed(
        ico, 40, lon=lambda x: np.array([10.0, 10.00004, 10.00002]), lat=lambda y: np.array([5, 5, 5 + 1e-8])
    )
    mesh = read_mesh(as_scrip(tmp_path / "g.nc", sliver))
    assert mesh.notes == ("1 cells without area were masked: 40",)
    with pytest.raises(GridError, match="have no area"):
        validate(sliver)


def test_a_column_that_a_cyclic_grid_repeats_takes_no_part(tmp_path):
    lon = np.arange(0, 370, 10.0)
    bounds = np.stack([lon - 5, lon + 5], axis=1)
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", np.arange(-85, 90, 10.0), lon, lon_bnds=bounds), expect="global")
    assert mesh.notes[1] == "18 cells that repeat another one were masked"
    assert np.flatnonzero(~mesh.mask).tolist() == list(range(36, 18 * 37, 37))


def test_a_repeated_column_does_not_hide_a_gap(tmp_path):
    lon = np.delete(np.arange(0, 370, 10.0), 20)
    bounds = np.stack([lon - 5, lon + 5], axis=1)
    path = rectilinear(tmp_path / "g.nc", np.arange(-85, 90, 10.0), lon, lon_bnds=bounds)
    assert cell_area(read_mesh(path)).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2)
    with pytest.raises(GridError, match="has gaps"):
        read_mesh(path, expect="global")


def test_cells_without_corners_may_be_masked(tmp_path):
    holes = Mesh(**{**vars(MIXED), "corner_lon": MIXED.corner_lon.copy(), "corner_lat": MIXED.corner_lat.copy()})
    holes.corner_lon[[3, 30]], holes.corner_lat[[3, 30]] = np.nan, np.nan
    taken = np.ones(48, "i4")
    taken[[3, 30]] = 0
    mesh = read_mesh(as_scrip(tmp_path / "m.nc", holes, "missing", grid_imask=Nc("grid_size", taken)))
    assert mesh.mask.sum() == 46
    assert cell_area(mesh)[[3, 30]].tolist() == [0, 0]
    assert np.isnan(mesh.centres()[0][[3, 30]]).all()
    with pytest.raises(GridError, match=r"corners are missing\n(.*\n)*  where: n, cell 3"):
        read_mesh(as_scrip(tmp_path / "n.nc", holes, "missing"))
