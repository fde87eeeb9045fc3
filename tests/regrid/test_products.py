"""Weights between two rectilinear grids as products of rows and columns: against dense sums and the general path."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import netCDF4
import numpy as np
import pytest
import scipy.sparse as sp
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from regrid_cases import LATLON, exact_latlon_weights, overlap

from ai4land_coupler.api import DataError, GridError
from ai4land_coupler.cli import cli
from ai4land_coupler.grids import generated_mesh
from ai4land_coupler.grids.rectilinear import RectilinearGrid, named_rectilinear
from ai4land_coupler.regrid.files import inputs
from ai4land_coupler.regrid.methods import products
from ai4land_coupler.regrid.methods.products import ProductWeights
from ai4land_coupler.regrid.weight_files.read import QUANTITIES, read_weights
from ai4land_coupler.regrid.weight_files.write_slices import write_product_weights


def dense(weights: ProductWeights) -> np.ndarray:
    found = np.zeros((weights.destination.size, weights.source.size))
    for row, col, value in weights.links():
        assert (found[row, col] == 0).all()
        found[row, col] = value
    return found


def fractions(weights: ProductWeights, side: str) -> np.ndarray:
    return np.concatenate(list(weights.fractions(side)))


def areas(weights: ProductWeights, side: str) -> np.ndarray:
    return np.concatenate(list(weights.areas(side)))


@pytest.mark.parametrize("case", LATLON)
def test_regular_grids(case, monkeypatch):
    monkeypatch.setattr(products, "_PIECE", 50)
    source, destination = LATLON[case]
    made = ProductWeights.between(*(RectilinearGrid.of(grid, "grid") for grid in (source, destination)), "destination")
    exact = exact_latlon_weights(source, destination)
    np.testing.assert_allclose(dense(made), exact, atol=1e-13)
    np.testing.assert_allclose(fractions(made, "destination"), exact.sum(axis=1), atol=1e-13)
    assert made.count() == np.count_nonzero(exact > 1e-12)


@st.composite
def rectilinear(draw) -> RectilinearGrid:
    """Rows and columns of any height and width, in any direction, of a region or of the globe, some cells masked."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    edges = []
    for longest, low, high in ((9, -90.0, 90.0), (12, 0.0, 360.0)):
        n = draw(st.integers(3, longest))
        whole = draw(st.booleans())
        ends = (low, high) if whole else np.sort(rng.uniform(low, high, 2))
        parts = np.cumsum(rng.uniform(0.3, 1.0, n))
        edges.append(ends[0] + (ends[1] - ends[0]) * np.append(0.0, parts / parts[-1]))
    lat, lon = edges[0], edges[1] + draw(st.sampled_from([0.0, -180.0, 13.3, 360.0]))
    north_down, east_down = draw(st.booleans()), draw(st.booleans())
    rows, cols = slice(None, None, -1 if north_down else 1), slice(None, None, -1 if east_down else 1)
    south, north, west, east = lat[:-1][rows], lat[1:][rows], lon[:-1][cols], lon[1:][cols]
    mask = rng.random((south.size, west.size)) < 0.7 if draw(st.booleans()) else None
    return RectilinearGrid("any", south, north, (south + north) / 2, west, east, (west + east) / 2, mask)


@examples(60)
@given(source=rectilinear(), destination=rectilinear(), norm=st.sampled_from(["destination", "fraction"]))
def test_any_two_rectilinear_grids_conserve_area(source, destination, norm):
    def sides(grid):
        sines = np.sin(np.deg2rad(np.stack([grid.south, grid.north], 1)))
        return sines, np.deg2rad(np.stack([grid.west, grid.east], 1))

    (sines, lon), (own_sines, own_lon) = sides(source), sides(destination)
    exact = np.kron(overlap(sines, own_sines), sum(overlap(lon + k * 2 * np.pi, own_lon) for k in range(-3, 4)))
    area, own_area = (np.outer(np.diff(a), np.diff(b)).ravel() for a, b in ((sines, lon), (own_sines, own_lon)))
    for grid, axis in ((source, 1), (destination, 0)):
        if grid.mask is not None:
            exact = exact * np.expand_dims(grid.mask.ravel(), 1 - axis)
    made = ProductWeights.between(source, destination, norm)
    found = dense(made)
    exact[exact < 1e-12 * own_area[:, None]] = 0  # edges that are the same after whole turns
    covered = exact.sum(axis=1) / own_area
    expected = exact / own_area[:, None]
    if norm == "fraction":
        expected = expected / np.where(covered > 0, covered, 1)[:, None]
    # overlaps of a billionth of a cell may be rounding
    np.testing.assert_allclose(found, expected, atol=1e-9 if norm == "fraction" else 1e-11)
    np.testing.assert_allclose(fractions(made, "destination"), covered, atol=1e-11)
    np.testing.assert_allclose(areas(made, "source"), area, rtol=1e-9)
    share = areas(made, "destination")[:, None] * found
    if norm == "fraction":
        share = share * fractions(made, "destination")[:, None]
        linked = found.sum(axis=1) > 0
        np.testing.assert_allclose(found.sum(axis=1)[linked], 1, rtol=1e-12)
    # what leaves the source is what reaches the destination
    np.testing.assert_allclose(share.sum(axis=0), areas(made, "source") * fractions(made, "source"), rtol=1e-12, atol=0)
    assert made.count() == np.count_nonzero(found)


@pytest.mark.parametrize("names", [("r3607x1202", "r288x180"), ("r288x180", "r1440x902"), ("F32", "global_2.5")])
def test_constants_and_area_stay_on_fine_grids(names):
    made = ProductWeights.between(*map(named_rectilinear, names), "destination")
    np.testing.assert_allclose(fractions(made, "destination"), 1, rtol=0, atol=2e-15)
    np.testing.assert_allclose(fractions(made, "source"), 1, rtol=0, atol=2e-15)
    assert abs(areas(made, "source").sum() / (4 * np.pi) - 1) < 1e-13
    assert made.count() == made.rows.size.size * made.columns.size.size
    sums = np.zeros(made.destination.size)
    for row, col, value in made.links():
        assert (np.diff(row) >= 0).all()
        assert (np.diff(col)[np.diff(row) == 0] > 0).all()
        sums += np.bincount(row, weights=value, minlength=sums.size)
    np.testing.assert_allclose(sums, 1, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["r36x18", "global_2.5", "F16", "n8", "t21grid", "tl31grid"])
def test_a_name_has_the_same_cells_as_its_mesh(name):
    grid, mesh = named_rectilinear(name), generated_mesh(name)
    assert grid.size == mesh.size
    row, col = np.divmod(np.arange(grid.size), grid.lon.size)
    np.testing.assert_allclose(np.nanmin(mesh.corner_lat, axis=1), grid.south[row], atol=1e-13)
    np.testing.assert_allclose(np.nanmax(mesh.corner_lat, axis=1), grid.north[row], atol=1e-13)
    inner = np.abs(mesh.corner_lat).max(axis=1) < 89  # the longitude of a corner at a pole is arbitrary
    np.testing.assert_allclose(np.nanmin(mesh.corner_lon, axis=1)[inner], grid.west[col][inner], atol=1e-12)


# ---- files --------------------------------------------------------------------------------------------------------


def ai4land(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def grid_file(path: Path, lat: np.ndarray, lon: np.ndarray, taken: np.ndarray | None = None) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            file.createDimension(name, values.size)
            made = file.createVariable(name, "f8", (name,))
            made[:], made.units, made.standard_name = values, units, {"lat": "latitude", "lon": "longitude"}[name]
        made = file.createVariable("x", "f4", ("lat", "lon"))
        made[:] = 1
        if taken is not None:
            file.createVariable("land", "i1", ("lat", "lon"), fill_value=-1)[:] = taken
    return path


@pytest.mark.parametrize("layout", ["esmf", "scrip", "basic", "yac"])
@pytest.mark.parametrize("norm", ["destination", "fraction"])
def test_a_file_is_the_one_of_the_general_path(tmp_path, monkeypatch, layout, norm):
    """From north to south, from 180 W, with a mask in the source, to a grid that crosses its seam."""
    taken = np.random.default_rng(1).integers(-1, 2, (36, 60)).astype(np.int8)
    source = grid_file(tmp_path / "in.nc", np.arange(87.5, -90, -5.0), np.arange(-177, 180, 6.0), taken)
    found = {}
    for name, most in (("general", 10**9), ("products", 0)):
        monkeypatch.setattr(inputs, "LISTED", most)
        path = tmp_path / f"{name}.nc"
        given = ("--mask", "land", "--norm", norm, "--format", layout, "-o", path)
        done = ai4land("weights", source, "r20x10", *given)
        assert done.exit_code == 0, (done.output, done.exception)
        assert f"{int((taken != 1).sum())} of 2160 cells are masked" in done.output
        found[name] = read_weights(path)
    general, made = found["general"], found["products"]
    # the general path may have links that are only rounding
    keep = general.values > 1e-11
    np.testing.assert_array_equal(made.row, general.row[keep])
    np.testing.assert_array_equal(made.col, general.col[keep])
    np.testing.assert_allclose(made.values, general.values[keep], rtol=1e-11)
    assert (made.method, made.norm) == (general.method, general.norm)
    for side in ("source", "destination"):
        one, other = getattr(general, side), getattr(made, side)
        assert (one.name, one.size, one.dims) == (other.name, other.size, other.dims)
        for quantity in QUANTITIES:
            mine, theirs = getattr(other, quantity), getattr(one, quantity)
            assert (mine is None) == (theirs is None)
            if mine is not None and "corner" not in quantity:
                np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-11, err_msg=f"{side} {quantity}")


def test_zarr_and_slices(tmp_path, monkeypatch):
    """Slices that are shorter than an array give the same file."""
    from ai4land_coupler.regrid.weight_files import write_slices

    made = ProductWeights.between(named_rectilinear("r36x18"), named_rectilinear("F8"), "destination")
    write_product_weights(tmp_path / "one.nc", made)
    monkeypatch.setattr(write_slices, "_CHUNK", 64)
    monkeypatch.setattr(write_slices, "_SLICE", 256)
    monkeypatch.setattr(products, "_PIECE", 100)
    pieces = replace(made, _kept={})
    for name in ("two.nc", "two.zarr"):
        progress = Mock()
        assert write_product_weights(tmp_path / name, pieces, progress=progress) == made.count()
        done, total = progress.call_args.args[:2]
        assert done == total
        first, second = read_weights(tmp_path / "one.nc"), read_weights(tmp_path / name)
        for part in ("row", "col", "values"):
            np.testing.assert_array_equal(getattr(first, part), getattr(second, part))
        for side in ("source", "destination"):
            for quantity in QUANTITIES:
                one, other = (getattr(getattr(file, side), quantity) for file in (first, second))
                np.testing.assert_array_equal(one, other)


def test_huge_grids_have_no_corners_in_the_file(tmp_path, monkeypatch):
    from ai4land_coupler.regrid.weight_files import write_slices

    monkeypatch.setattr(write_slices, "MOST_CORNERS", 600)
    made = ProductWeights.between(named_rectilinear("r36x18"), named_rectilinear("r20x10"), "destination")
    write_product_weights(tmp_path / "w.nc", made)
    file = read_weights(tmp_path / "w.nc")
    assert file.source.corner_lon is None
    assert file.destination.corner_lon.shape == (200, 4)
    assert file.source.centre_lat[0] == -85


def test_grids_that_do_not_fit_into_memory_are_refused_first(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "free_memory", lambda: 2_000_000_000)
    for method, destination in (("bilinear", "r288x180"), ("nearest", "r288x180")):
        done = ai4land("weights", "r9040x8962", destination, "-m", method, "-o", tmp_path / "w.nc")
        assert isinstance(done.exception, GridError)
        assert "too many cells for the memory" in str(done.exception)
        assert "40.5 GB for 81016480 and 51840 cells" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_faulty_axis_of_a_huge_grid_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "LISTED", 0)
    path = grid_file(tmp_path / "in.nc", np.arange(-95.0, 96, 10), np.arange(0, 360, 10.0))
    done = ai4land("weights", path, "r20x10", "-o", tmp_path / "w.nc")
    assert isinstance(done.exception, DataError | GridError), done.output
    assert not (tmp_path / "w.nc").exists()


@pytest.mark.parametrize("norm", ["destination", "fraction"])
@pytest.mark.parametrize("layout", ["esmf", "scrip"])
def test_a_raster_on_a_host_grid_has_the_weights_of_the_general_path(tmp_path, monkeypatch, norm, layout):
    """With masked cells in the raster, from north to south; the host grid has triangles."""
    taken = (np.random.default_rng(2).random((90, 180)) < 0.8).astype(np.int8)
    source = grid_file(tmp_path / "in.nc", np.arange(89, -90, -2.0), np.arange(-179, 180, 2.0), taken)
    found = {}
    for name, most in (("general", 10**9), ("raster", 5000)):
        monkeypatch.setattr(inputs, "LISTED", most)
        given = ("--mask", "land", "--norm", norm, "--format", layout, "-o", tmp_path / f"{name}.nc")
        done = ai4land("weights", source, "ico2", *given)
        assert done.exit_code == 0, (done.output, done.exception)
        assert f"{int((taken != 1).sum())} of 16200 cells are masked" in done.output
        found[name] = read_weights(tmp_path / f"{name}.nc")
    general, made = found["general"], found["raster"]
    shape = 320, 16200
    tables = [sp.csr_matrix((file.values, (file.row, file.col)), shape) for file in (general, made)]
    assert abs(tables[0] - tables[1]).max() < 1e-9
    assert tables[0].nnz == tables[1].nnz
    # area: what leaves the source is what reaches the destination
    share = made.destination.area * (made.destination.fraction if norm == "fraction" else 1.0)
    np.testing.assert_allclose(tables[1].T @ share, made.source.area * made.source.fraction, rtol=1e-12, atol=1e-20)
    for side in ("source", "destination"):
        one, other = getattr(general, side), getattr(made, side)
        assert (one.name, one.size, one.dims) == (other.name, other.size, other.dims)
        for quantity in QUANTITIES:
            if "corner" not in quantity:
                np.testing.assert_allclose(getattr(other, quantity), getattr(one, quantity), rtol=1e-8, atol=1e-9)
