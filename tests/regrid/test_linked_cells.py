"""Weight files whose links join cells that lie apart are refused; links of xESMF, and links that tell no norm."""

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from regrid_cases import octahedral_mesh

from ai4land_coupler.api import ConfigError, DataError, GridError, LatLonGrid, Mesh
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.regrid.backends.from_file import FileOptions, FileRegridder
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions
from ai4land_coupler.regrid.weight_files.gather import gather_weights
from ai4land_coupler.regrid.weight_files.read import WeightFile, read_weights
from ai4land_coupler.regrid.weight_files.write import write_weights

#: 4 x 3 cells of 10 degrees, from the south and from the north.
SOUTH_UP, NORTH_UP = LatLonGrid(0, 10, 4, 0, 10, 3), LatLonGrid(0, 10, 4, 30, -10, 3)
COARSE, FINE, TURNED = LatLonGrid(0, 10, 36, -90, 10, 18), LatLonGrid(0, 4, 90, -90, 4, 45), LatLonGrid(
    0, 10, 36, 90, -10, 18
)  # fmt: skip
SQUARE = LatLonGrid(20, 1, 12, 30, 1, 12)
APART = "join cells that lie apart"


def links_file(path: Path, row, col, values) -> Path:
    """Links alone, without attributes, counted from 1."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("n_s", len(row))
        for name, kind, column in (("row", "i4", np.add(row, 1)), ("col", "i4", np.add(col, 1)), ("S", "f8", values)):
            file.createVariable(name, kind, ("n_s",))[:] = column
    return path


def made(source: Mesh, destination: Mesh, method: str = "conservative") -> WeightFile:
    regridder = YacRegridder(YacRegridOptions(unmapped="none"))
    file = gather_weights(regridder.build(source, destination, method), source, destination)
    assert file is not None
    return file


def build(path: Path, source: Mesh, destination: Mesh, method: str = "conservative", norm: str = "destination"):
    return FileRegridder(FileOptions(path=path)).build(source, destination, method, norm)


def test_links_of_rows_in_the_other_order_are_refused(tmp_path):
    same = np.arange(12)
    path = links_file(tmp_path / "links.nc", same, same, np.ones(12))
    south, north = latlon_mesh(SOUTH_UP, "south up"), latlon_mesh(NORTH_UP, "north up")
    assert build(path, south, south).source_ids.tolist() == same.tolist()
    with pytest.raises(GridError, match=APART) as caught:
        build(path, north, south)
    assert "8 of 12 that were compared" in str(caught.value), "the row in the middle is right"
    assert "source cell 1 at 5 E 25 N and destination cell 1 at 5 E 5 N" in str(caught.value)


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
@pytest.mark.parametrize("pair", [(COARSE, FINE), (FINE, COARSE), (COARSE, "triangles"), ("triangles", FINE)])
def test_wrong_orders_are_refused_and_right_ones_are_not(tmp_path, method, pair):
    source, destination = (octahedral_mesh(3) if grid == "triangles" else latlon_mesh(grid, "boxes") for grid in pair)
    file = made(source, destination, method)
    path = links_file(tmp_path / "right.nc", file.row, file.col, file.values)
    np.testing.assert_array_equal(build(path, source, destination, method).source_ids, file.col)
    # ids count from 0, and id 0 is not used: all links are of the next lower cell
    used = ~np.isin(file.row, file.row[(file.row == 0) | (file.col == 0)])
    path = links_file(tmp_path / "from_0.nc", file.row[used] - 1, file.col[used] - 1, file.values[used])
    with pytest.raises(GridError, match=APART):
        build(path, source, destination, method)
    if pair[0] == COARSE:
        right = links_file(tmp_path / "right.nc", file.row, file.col, file.values)
        with pytest.raises(GridError, match=APART):
            build(right, latlon_mesh(TURNED, "north up"), destination, method)


def test_exchanged_axes_of_a_square_grid_are_refused(tmp_path):
    mesh = latlon_mesh(SQUARE, "square")
    exchanged = mesh.take(np.arange(144).reshape(12, 12).T.ravel())
    exchanged = replace(exchanged, cell_ids=np.arange(144))
    path = links_file(tmp_path / "links.nc", np.arange(144), np.arange(144), np.ones(144))
    build(path, mesh, mesh)
    for method in ("conservative", "bilinear", "nearest"):
        with pytest.raises(GridError, match=APART):
            build(path, exchanged, mesh, method)


def test_one_wrong_link_of_areas_is_found(tmp_path):
    """A link to the next cell shares an edge, but no area."""
    coarse, fine = latlon_mesh(COARSE, "coarse"), latlon_mesh(LatLonGrid(0, 2, 180, -90, 2, 90), "fine")
    file = made(coarse, fine)
    col = file.col.copy()
    cell = 45 * 180 + 4  # 8 to 10 E, at the east edge of its source cell; the next source cell starts at 10 E
    col[file.row == cell] += 1
    path = write_weights(tmp_path / "links.nc", replace(file, col=col), "basic")
    with pytest.raises(GridError, match="1 of 16200 that were compared"):
        build(path, coarse, fine)


def test_nearest_links_beyond_a_region_are_no_fault(tmp_path):
    region, globe = latlon_mesh(SOUTH_UP, "region"), latlon_mesh(FINE, "globe")
    filled = YacRegridder(YacRegridOptions(unmapped="nearest")).build(region, globe, "nearest")
    file = gather_weights(filled, region, globe)
    assert file is not None
    path = links_file(tmp_path / "links.nc", file.row, file.col, file.values)
    assert build(path, region, globe, "nearest").values.size == globe.size
    with pytest.raises(GridError, match=APART):
        build(path, latlon_mesh(NORTH_UP, "north up"), globe, "nearest")


def test_one_nan_in_a_row_means_no_source(tmp_path):
    """xESMF's ``add_nans_to_weights``: rows outside of the source get one NaN in the first column."""
    source, destination = latlon_mesh(SOUTH_UP, "source"), latlon_mesh(LatLonGrid(0, 5, 12, 0, 5, 6), "destination")
    cell = np.arange(72)
    inside = cell % 12 < 8
    col = np.where(inside, cell // 24 * 4 + cell % 12 // 2, 0)
    found = build(links_file(tmp_path / "w.nc", cell, col, np.where(inside, 1.0, np.nan)), source, destination)
    np.testing.assert_array_equal(found.destination_fraction, inside)
    np.testing.assert_array_equal(found.source_ids, col[inside])
    row, col, values = np.append(cell, 0), np.append(col, 1), np.append(np.where(inside, 1.0, np.nan), np.nan)
    with pytest.raises(DataError, match="weights are not numbers"):
        build(links_file(tmp_path / "two.nc", row, col, values), source, destination)


def test_a_file_of_nan_alone_is_refused(tmp_path):
    source, same = latlon_mesh(SOUTH_UP, "source"), np.arange(12)
    path = links_file(tmp_path / "w.nc", same, same, np.full(12, np.nan))
    with pytest.raises(DataError, match="weights are not numbers"):
        build(path, source, source)
    with pytest.raises(DataError, match="all 12 are NaN"):
        read_weights(path)


def test_links_whose_sums_are_all_1_must_tell_their_norm_if_cells_are_covered_in_part(tmp_path):
    source, destination = latlon_mesh(SOUTH_UP, "source"), latlon_mesh(LatLonGrid(-5, 10, 5, 0, 10, 3), "shifted")
    file = made(source, destination)
    sums = np.bincount(file.row, file.values)
    np.testing.assert_allclose(sums[[0, 1, 4]], [0.5, 1.0, 0.5])
    shares = links_file(tmp_path / "shares.nc", file.row, file.col, file.values / sums[file.row])
    with pytest.raises(ConfigError, match="does not tell its norm") as caught:
        build(shares, source, destination)
    assert "--norm fraction" in str(caught.value)
    found = build(shares, source, destination, norm="fraction")
    np.testing.assert_allclose(found.values, file.values / sums[file.row])
    # complete coverage: both norms are the same, and nobody is asked
    whole = links_file(tmp_path / "whole.nc", np.arange(12), np.arange(12), np.ones(12))
    assert build(whole, source, source).values.tolist() == [1.0] * 12
