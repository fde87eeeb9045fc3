"""YAC weights against ESMF's, against closed forms, and against the conservation of area."""

from dataclasses import replace

import needs
import netCDF4
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from regrid_cases import LATLON, exact_latlon_weights, matrix, octahedral_mesh, uk_land

from ai4land_coupler.core.grid import EARTH_RADIUS, LatLonGrid
from ai4land_coupler.errors import ConfigError, GridError, PluginError
from ai4land_coupler.grids import latlon_mesh, read_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends import yac, yac_library
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions, ai4land_register

needs.yac()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("weights", "destination", "step"),
    [
        ("ll4_to_T42_conserve", "scrip_T42", 4.0),
        ("ll4_to_ne30pg2_conserve", "scrip_ne30pg2", 4.0),
        ("ll2p5_to_icon_conserve", "icon_extpar_0010_R02B04_G", 2.5),
    ],
)
def test_weights_are_those_of_esmf(sample_data, weights, destination, step):
    # ESMF took every edge as a great circle
    grid = LatLonGrid(0.0, step, round(360 / step), -90.0, step, round(180 / step))
    source = replace(latlon_mesh(grid, "source"), edges="great_circle")
    host = read_mesh(sample_data / "grids" / f"{destination}.nc", edges="great_circle")
    found = YacRegridder().build(source, host)
    with netCDF4.Dataset(sample_data / "esmf_weights" / f"{weights}.nc") as file:
        file.set_auto_mask(False)
        esmf = {name: file[name][:] for name in ("frac_b", "area_a", "area_b", "yv_b")}
        entries = file["S"][:], (file["row"][:] - 1, file["col"][:] - 1)
        expected = sp.csr_matrix(entries, (host.size, source.size))
    # ICON's single precision puts polar corners at 90.0000025 degrees: ESMF took them beyond the pole, we at it
    beyond = (np.abs(esmf["yv_b"]) > 90 + 1e-7).any(axis=1)
    assert beyond.sum() == (10 if "icon" in weights else 0)
    difference = abs(matrix(found, source.size) - expected)
    assert difference[~beyond].max() < 1e-9
    assert difference.max() < 5e-6
    assert abs(expected).max() > 0.2, "compared with something"
    np.testing.assert_allclose(found.destination_fraction, esmf["frac_b"], atol=1e-9)
    np.testing.assert_allclose(found.source_area / EARTH_RADIUS**2, esmf["area_a"], rtol=1e-9)
    np.testing.assert_allclose((found.destination_area / EARTH_RADIUS**2)[~beyond], esmf["area_b"][~beyond], rtol=1e-9)


#: YAC also for pairs that have a closed form.
YAC_ALONE = YacRegridder(YacRegridOptions(closed_form=False))


@pytest.mark.parametrize("case", LATLON)
def test_latlon_weights_have_the_closed_form(case):
    source, destination = LATLON[case]
    found = YAC_ALONE.build(latlon_mesh(source, "source"), latlon_mesh(destination, "destination"))
    assert found.provenance["backend"] == "yac"
    exact = exact_latlon_weights(source, destination)
    np.testing.assert_allclose(matrix(found, source.size).toarray(), exact, atol=1e-12)
    np.testing.assert_allclose(found.destination_fraction, exact.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(found.source_area, np.repeat(source.row_area, source.nlon), rtol=1e-12)


@examples(20)
@given(west=st.floats(-179, 179), south=st.floats(-80, 60), step=st.floats(0.01, 8.0), other=st.floats(0.01, 8.0))
def test_any_two_latlon_regions(west, south, step, other):
    # YAC takes points within 6 mm for one, so edges that nearly coincide may move by that much
    source = LatLonGrid(west, step, 6, south, step, 3)
    destination = LatLonGrid(west + 0.7 * step, other, 4, south + 0.3 * step, other, 3)
    found = YAC_ALONE.build(latlon_mesh(source, "source"), latlon_mesh(destination, "destination"))
    exact = exact_latlon_weights(source, destination)
    np.testing.assert_allclose(matrix(found, source.size).toarray(), exact, atol=1e-9)


def test_rows_are_in_the_order_of_the_destination_and_sorted():
    source, host = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "source"), octahedral_mesh(2)
    shuffled = np.random.default_rng(1).permutation(host.size)
    found, whole = YacRegridder().build(source, host.take(shuffled)), YacRegridder().build(source, host)
    dense = matrix(whole, source.size).toarray()
    np.testing.assert_array_equal(matrix(found, source.size).toarray(), dense[shuffled])
    np.testing.assert_allclose(found.destination_fraction, 1.0, rtol=1e-12)
    for row in range(host.size):
        assert (np.diff(found.source_ids[found.indptr[row] : found.indptr[row + 1]]) > 0).all()
    assert found.source_ids.dtype == np.int64


def test_the_order_of_the_source_does_not_matter():
    grid, host = LatLonGrid(0, 10, 36, -90, 10, 18), octahedral_mesh(1)
    straight = YacRegridder().build(latlon_mesh(grid, "source"), host)
    reverse = YacRegridder().build(latlon_mesh(grid, "source", np.arange(grid.size)[::-1]), host)
    np.testing.assert_array_equal(straight.source_ids, reverse.source_ids)
    np.testing.assert_array_equal(straight.values, reverse.values)


def test_ids_beyond_32_bits_survive():
    grid, host = LatLonGrid(0, 10, 36, -90, 10, 18), octahedral_mesh(1)
    source = latlon_mesh(grid, "source")
    far = 2**40
    big = replace(source, cell_ids=source.cell_ids + far, global_size=2**41)
    expected = YacRegridder().build(source, host)
    np.testing.assert_array_equal(YacRegridder().build(big, host).source_ids, expected.source_ids + far)


def test_masked_cells_have_no_weights():
    source, host = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "source"), octahedral_mesh(1)
    give, get = source.cell_ids % 3 > 0, host.cell_ids % 2 > 0
    found = YacRegridder().build(replace(source, mask=give), replace(host, mask=get))
    full = matrix(YacRegridder().build(source, host), source.size).toarray()
    # a cell with a share in a masked one is covered in part: rounding is left in
    np.testing.assert_allclose(matrix(found, source.size).toarray(), full * get[:, None] * give, rtol=1e-12, atol=1e-15)
    assert (found.destination_fraction[~get] == 0).all()


def test_masked_cells_may_lack_corners():
    source, host = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "source"), octahedral_mesh(2)
    expected = YacRegridder().build(source, host)
    lon, lat, mask = host.corner_lon.copy(), host.corner_lat.copy(), host.mask.copy()
    lon[3], lat[3], mask[3] = np.nan, np.nan, False
    found = YacRegridder().build(source, replace(host, corner_lon=lon, corner_lat=lat, mask=mask))
    whole, part = matrix(expected, source.size).toarray(), matrix(found, source.size).toarray()
    whole[3] = 0.0
    np.testing.assert_allclose(part, whole, atol=1e-9)
    np.testing.assert_allclose(np.delete(found.destination_fraction, 3), 1.0, rtol=1e-12)


def test_meshes_without_common_ground_and_without_cells():
    north, south = (latlon_mesh(LatLonGrid(0, 5, 4, lat, 5, 4), "region") for lat in (40, -60))
    none = Mesh("none", np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)), "latlon", np.zeros(0, bool), 9)
    for source, destination in ((north, south), (none, south), (north, none), (none, none)):
        found = YacRegridder().build(source, destination)
        assert found.values.size == found.source_ids.size == 0
        np.testing.assert_array_equal(found.indptr, np.zeros(destination.size + 1))
        np.testing.assert_array_equal(found.destination_fraction, np.zeros(destination.size))


def covered_area(weights, global_ids):
    """Area that each source cell gives away."""
    shares = weights.values * np.repeat(weights.destination_area, np.diff(weights.indptr))
    return np.bincount(np.searchsorted(global_ids, weights.source_ids), shares, global_ids.size)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["icon_extpar_0010_R02B04_G", "scrip_T42"])
def test_land_classes_of_the_united_kingdom_keep_their_area(sample_data, name):
    source, codes, n_codes = uk_land(sample_data)
    host = read_mesh(sample_data / "grids" / f"{name}.nc")
    weights = YacRegridder().build(source, host)
    np.testing.assert_allclose(covered_area(weights, source.cell_ids), weights.source_area, rtol=1e-14)
    fractions = RegridPlan(weights, source.cell_ids).aggregate(codes, n_codes)
    on_land = np.bincount(codes, weights.source_area)
    np.testing.assert_allclose(fractions @ weights.destination_area, on_land, rtol=1e-12)
    assert 0 < on_land.min() < 1e6, "one class is a single cell: rounding cannot hide in a sum"
    np.testing.assert_allclose(fractions.sum(axis=0), weights.destination_fraction, atol=1e-14)
    assert 0.5 < weights.destination_fraction.max() <= 1 + 1e-12
    # the area on the sphere comes from the grid, not from the weights
    np.testing.assert_allclose(weights.source_area, cell_area(source), rtol=0)


@pytest.mark.parametrize("shift", [0.0, 1e-8, 4e-8, 1e-7])
def test_area_is_conserved_if_edges_nearly_coincide(shift):
    # YAC takes edges closer than 1e-9 rad (6e-8 degrees) for one, which is 1e-6 of the area of such cells
    source = latlon_mesh(LatLonGrid(-0.1, 0.01, 20, 50.0, 0.01, 20), "source")
    weights = YAC_ALONE.build(source, latlon_mesh(LatLonGrid(-2 + shift, 1.0, 4, 49.0, 1.0, 3), "host"))
    np.testing.assert_allclose(covered_area(weights, source.cell_ids), weights.source_area, rtol=1e-14)


def test_cells_that_leave_the_destination_are_not_stretched_to_fit():
    source = latlon_mesh(LatLonGrid(0, 4, 5, 40, 4, 3), "source")
    host = latlon_mesh(LatLonGrid(0, 6, 3, 40, 6, 2), "host")  # 0-18 E of the source's 0-20 E
    weights = YacRegridder().build(source, host)
    share = covered_area(weights, source.cell_ids) / weights.source_area
    np.testing.assert_allclose(share.reshape(3, 5), np.tile([1, 1, 1, 1, 0.5], (3, 1)), rtol=1e-12)


def test_provenance_says_what_made_the_weights():
    mesh = latlon_mesh(LatLonGrid(0, 10, 4, 0, 10, 4), "region")
    found = YAC_ALONE.build(mesh, replace(mesh, edges="great_circle")).provenance
    assert found["backend"] == "yac"
    assert found["version"].startswith("v")
    assert (found["source_edges"], found["destination_edges"]) == ("latlon", "great_circle")


def test_what_the_backend_does_not_do_is_refused():
    mesh = latlon_mesh(LatLonGrid(0, 10, 4, 0, 10, 4), "region")
    with pytest.raises(ConfigError, match="does not make such weights"):
        YacRegridder().build(mesh, mesh, method="conservative2nd")
    clockwise = replace(mesh, corner_lat=mesh.corner_lat[:, ::-1].copy())
    for meshes in ((clockwise, mesh), (mesh, clockwise)):
        with pytest.raises(GridError, match="clockwise"):
            YacRegridder().build(*meshes)


def test_without_yac_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(yac, "import_yac", yac_library.import_yac.__wrapped__)  # without what it remembers
    monkeypatch.setattr(yac_library.importlib.util, "find_spec", lambda name: None)
    mesh = latlon_mesh(LatLonGrid(0, 10, 4, 0, 10, 4), "region")
    YacRegridder().build(mesh, mesh)  # in closed form
    with pytest.raises(PluginError, match=r"pip install ai4land_coupler\[yac\]"):
        YAC_ALONE.build(mesh, replace(mesh, edges="great_circle"))


def test_the_plugin_registers_the_backend():
    offered = {}

    class Offers:
        def regridder(self, name, factory, options):
            offered[name] = factory, options

    ai4land_register(Offers())
    factory, options = offered["yac"]
    assert options is YacRegridOptions
    assert isinstance(factory(options()), YacRegridder)
