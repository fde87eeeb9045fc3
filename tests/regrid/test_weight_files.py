"""Weight files of ESMF, SCRIP, CDO and YAC: read, written, converted, checked against grids, on any ranks."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from ranks import environment, launcher
from regrid_cases import matrix
from weight_cases import DESTINATION, SOURCE, as_areas, exact, exact_file, meshes

from ai4land_coupler.api import ConfigError, DataError, GridError, LatLonGrid
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.from_file import FileOptions, FileRegridder
from ai4land_coupler.regrid.weight_files.read import GridSide, WeightFile, read_weights
from ai4land_coupler.regrid.weight_files.write import write_weights

LAYOUTS = ["esmf", "basic", "scrip", "yac"]


def build(path, source=None, destination=None, **asked):
    here, there = meshes()
    return FileRegridder(FileOptions(path=path)).build(source or here, destination or there, **asked)


def dense(weights):
    return matrix(weights, SOURCE.size).toarray()


def spoilt(folder: Path, layout: str = "esmf", **changes) -> Path:
    """A written file whose variables or attributes are changed by functions of their old values."""
    path = write_weights(folder / "spoilt.nc", exact_file(), layout)
    with netCDF4.Dataset(path, "a") as file:
        for name, change in changes.items():
            if name in file.variables:
                file[name][:] = change(file[name][:].data)
            else:
                file.setncattr(name, change)
    return path


# ---- layouts ------------------------------------------------------------------------------------------------------


@examples(10)
@given(data=st.data(), n_source=st.integers(1, 40), n_destination=st.integers(1, 40))
def test_layouts_become_each_other_without_loss(tmp_path_factory, data, n_source, n_destination):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    pairs = rng.choice(n_source * n_destination, rng.integers(0, n_source * n_destination + 1), replace=False)
    row, col = np.divmod(np.sort(pairs), n_source)
    values = rng.random(pairs.size) * 10.0 ** rng.integers(-12, 1, pairs.size)
    sides = [
        GridSide(
            name, size, (size,), rng.uniform(0, 360, size), rng.uniform(-90, 90, size),
            rng.uniform(0, 360, (size, 5)), rng.uniform(-90, 90, (size, 5)),
            rng.integers(0, 2, size).astype(np.int32), rng.random(size), rng.random(size),
        )
        for name, size in (("from", n_source), ("onto", n_destination))
    ]  # fmt: skip
    file = WeightFile(row, col, values, *sides, "conservative", "destination", {})
    folder = tmp_path_factory.mktemp("chain")
    for step, layout in enumerate(data.draw(st.lists(st.sampled_from(["esmf", "scrip"]), min_size=1, max_size=3))):
        file = read_weights(
            write_weights(folder / f"{step}{data.draw(st.sampled_from(['.nc', '.zarr']))}", file, layout)
        )
    last = read_weights(write_weights(folder / "last.nc", file, data.draw(st.sampled_from(["basic", "yac"]))))
    for found in (file, last):
        np.testing.assert_array_equal(found.row, row)
        np.testing.assert_array_equal(found.col, col)
        np.testing.assert_array_equal(found.values, values)
    assert (file.method, file.norm) == ("conservative", "destination")
    for found, side in zip((file.source, file.destination), sides, strict=True):
        assert (found.size, found.dims) == (side.size, side.dims)
        for name in ("centre_lon", "centre_lat", "corner_lon", "corner_lat", "mask", "area", "fraction"):
            np.testing.assert_array_equal(getattr(found, name), getattr(side, name), err_msg=name)


def test_the_names_and_the_numbers_of_esmf(tmp_path):
    with netCDF4.Dataset(write_weights(tmp_path / "w.nc", exact_file())) as file:
        assert file.data_model == "NETCDF3_64BIT_OFFSET"
        assert (file.normalization, file.map_method) == ("destarea", "Conservative remapping")
        assert file["S"].dimensions == file["row"].dimensions == ("n_s",)
        assert file["xv_b"].dimensions == ("n_b", "nv_b")
        assert file["xv_b"].units == "degrees"
        np.testing.assert_array_equal(file["src_grid_dims"][:], [20, 12])
        np.testing.assert_array_equal(file["dst_grid_dims"][:], [16, 10])
        assert file["row"][:].min() >= 1
        assert file["col"][:].max() <= SOURCE.size
        np.testing.assert_allclose(file["area_b"][:].sum(), 4 * np.pi)
        # conservation in the file's own terms: what leaves a source cell is its area times its fraction
        given = np.bincount(file["col"][:] - 1, file["S"][:] * file["area_b"][:][file["row"][:] - 1], SOURCE.size)
        np.testing.assert_allclose(given, file["frac_a"][:] * file["area_a"][:], rtol=1e-13)
        np.testing.assert_allclose(file["frac_a"][:], 1, rtol=1e-12)


def test_radians_and_square_metres_are_understood(tmp_path):
    path = write_weights(tmp_path / "w.nc", exact_file(), "scrip")
    before = read_weights(path)
    with netCDF4.Dataset(path, "a") as file:
        for name in ("src_grid_center_lon", "dst_grid_corner_lat"):
            file[name][:] = np.deg2rad(file[name][:])
            file[name].units = "radians"
        file["dst_grid_area"][:] = file["dst_grid_area"][:] * 6371229.0**2
        file["dst_grid_area"].units = "m2"
    after = read_weights(path)
    np.testing.assert_allclose(after.source.centre_lon, before.source.centre_lon, rtol=1e-14)
    np.testing.assert_allclose(after.destination.corner_lat, before.destination.corner_lat, atol=1e-13)
    np.testing.assert_allclose(after.destination.area, before.destination.area, rtol=1e-4)


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_DATA", "NETCDF4"])
def test_all_kinds_of_netcdf_are_read(tmp_path, kind):
    file = exact_file()
    path = tmp_path / "w.nc"
    with netCDF4.Dataset(path, "w", format=kind) as made:
        made.createDimension("n_s", file.row.size)
        for name, values in (("S", file.values), ("row", file.row + 1), ("col", file.col + 1)):
            made.createVariable(name, "f8" if name == "S" else "i4", ("n_s",))[:] = values
    np.testing.assert_array_equal(read_weights(path).values, file.values)


# ---- the backend --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "name"), [*((layout, "w.nc") for layout in LAYOUTS), ("esmf", "w.zarr"), ("scrip", "w.zarr")]
)
def test_the_backend_gives_the_weights_of_the_file(tmp_path, layout, name):
    found = build(write_weights(tmp_path / name, exact_file(), layout))
    np.testing.assert_allclose(dense(found), exact(), rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.destination_fraction, exact().sum(axis=1), atol=1e-14)
    np.testing.assert_allclose(found.destination_area, np.repeat(DESTINATION.row_area, 16), rtol=1e-12)
    assert found.source_ids.dtype == np.int64
    assert found.provenance["backend"] == "file"


def test_the_plugin_is_found_by_name(tmp_path):
    path = write_weights(tmp_path / "w.nc", exact_file())
    regridder = load_plugins().create("regridder", "file", {"path": "w.nc"}, "regrid", base=tmp_path)
    np.testing.assert_array_equal(regridder.build(*meshes()).values, build(path).values)


@pytest.mark.parametrize("asked", ["destination", "fraction"])
@pytest.mark.parametrize("given_norm", ["destination", "fraction", "none"])
def test_norms_are_converted(tmp_path, given_norm, asked):
    file = as_areas(exact_file()) if given_norm == "none" else exact_file(given_norm)
    found = build(write_weights(tmp_path / "w.nc", file, "scrip"), norm=asked)
    np.testing.assert_allclose(dense(found), exact(asked), atol=1e-14)
    np.testing.assert_allclose(found.destination_fraction, exact().sum(axis=1), atol=1e-14)


def test_sums_give_the_norm_of_a_file_with_links_only(tmp_path):
    shares = write_weights(tmp_path / "destination.nc", exact_file(), "basic")
    np.testing.assert_allclose(dense(build(shares, norm="fraction")), exact("fraction"), atol=1e-14)
    means = write_weights(tmp_path / "fraction.nc", exact_file("fraction"), "basic")
    told = FileRegridder(FileOptions(path=means, norm="fraction"))
    np.testing.assert_allclose(dense(told.build(*meshes(), norm="fraction")), exact("fraction"), atol=1e-14)
    with pytest.raises(ConfigError, match="does not tell how much"):
        told.build(*meshes())


def test_links_in_any_order_and_in_pieces_add_up_the_same(tmp_path):
    file = exact_file()
    share = np.random.default_rng(1).random(file.row.size)
    row, col = np.tile(file.row, 3), np.tile(file.col, 3)
    pieces = np.concatenate([file.values * share / 3, file.values * (1 - share), file.values * share * 2 / 3])
    found = []
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(row.size)
        shuffled = replace(file, row=row[order], col=col[order], values=pieces[order])
        found.append(build(write_weights(tmp_path / f"{seed}.nc", shuffled)))
    np.testing.assert_array_equal(found[0].values, found[1].values)
    np.testing.assert_array_equal(found[0].source_ids, found[1].source_ids)
    assert (np.diff(found[0].indptr) == (exact() > 0).sum(axis=1)).all()
    np.testing.assert_allclose(dense(found[0]), exact(), atol=1e-15)


def test_masked_and_absent_cells_have_no_weights(tmp_path):
    path = write_weights(tmp_path / "w.nc", exact_file())
    source, destination = meshes()
    gives, gets = source.cell_ids % 3 > 0, destination.cell_ids % 4 > 0
    masked = build(path, replace(source, mask=gives), replace(destination, mask=gets))
    np.testing.assert_allclose(dense(masked), exact() * gives * gets[:, None], atol=1e-15)
    np.testing.assert_allclose(masked.destination_fraction, (exact() * gives).sum(axis=1) * gets, atol=1e-14)
    absent = build(path, source.take(np.flatnonzero(gives)), destination.take(np.flatnonzero(gets)))
    np.testing.assert_array_equal(dense(absent), dense(masked)[gets])
    with pytest.raises(GridError, match="masked or belong to no rank"):
        build(path, replace(source, mask=gives), norm="fraction")


def test_of_a_folder_the_file_for_the_two_grids_is_taken(tmp_path):
    write_weights(tmp_path / "a.nc", replace(exact_file(), source=GridSide("other", 7, (7,))))
    (tmp_path / "b.nc").write_text("no netCDF")
    write_weights(tmp_path / "c.nc", exact_file())
    np.testing.assert_allclose(dense(build(tmp_path)), exact(), atol=1e-15)
    (tmp_path / "c.nc").unlink()
    with pytest.raises(GridError, match="no weight file of the folder") as caught:
        build(tmp_path)
    assert "a.nc: a weight file was made for another source grid" in str(caught.value)
    assert "b.nc: a file is neither netCDF nor Zarr" in str(caught.value)


# ---- what is refused ----------------------------------------------------------------------------------------------

REFUSED = {
    "ids from 0": ({"row": lambda ids: ids - 1}, DataError, "ids of destination cells lie outside"),
    "an id beyond the grid": ({"col": lambda ids: ids + SOURCE.size - 1}, DataError, "ids of source cells lie outside"),
    "NaN": ({"S": lambda s: np.where(np.arange(s.size) == 5, np.nan, s)}, DataError, "weights are not numbers"),
    "too large": ({"S": lambda s: s * 1.5}, DataError, "add up to more than 1"),
    "negative": ({"S": lambda s: np.where(np.arange(s.size) == 5, -s, s)}, DataError, "weights are negative"),
    "sums that are not the fractions": ({"S": lambda s: s * 0.9}, DataError, "do not add up to the fractions"),
    "sums below 1": ({"normalization": "fracarea"}, DataError, "do not add up to 1"),
    "another method": ({"ESMF_regrid_method": "Bilinear"}, ConfigError, "made with another method"),
    "a method nobody knows": ({"ESMF_regrid_method": "Patch"}, ConfigError, "made with another method"),
    "moved corners": ({"xv_b": lambda lon: lon + 0.5}, GridError, "made for another grid"),
    "cells in another order": ({"yv_a": lambda lat: lat[::-1]}, GridError, "made for another grid"),
    "another sphere": ({"area_b": lambda area: area * 1.6}, GridError, "areas of another sphere"),
    "square degrees": ({"area_a": lambda area: np.rad2deg(np.rad2deg(area))}, GridError, "areas of another sphere"),
    "another mask": ({"mask_b": lambda mask: mask * (np.arange(mask.size) > 3)}, GridError, "leaves out cells"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(tmp_path, case):
    changes, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message) as caught:
        build(spoilt(tmp_path, **changes))
    assert "spoilt.nc" in str(caught.value)


def test_centres_identify_grids_without_corners(tmp_path):
    file = exact_file()
    bare = [replace(side, corner_lon=None, corner_lat=None) for side in (file.source, file.destination)]
    path = write_weights(tmp_path / "w.nc", replace(file, source=bare[0], destination=bare[1]))
    build(path)
    moved = latlon_mesh(replace(DESTINATION, lon0=-90.0), "moved")
    with pytest.raises(GridError, match="the centres of moved"):
        build(path, destination=moved)
    with pytest.raises(GridError, match="another destination grid"):
        build(path, destination=latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "finer"))


@pytest.mark.parametrize(
    ("attribute", "value"), [("contains_fixed_dst", "TRUE"), ("dst_location", "CORNER"), ("src_locations", "EDGE")]
)
def test_yac_files_with_more_than_weights_are_refused(tmp_path, attribute, value):
    path = write_weights(tmp_path / "w.nc", exact_file(), "yac")
    with netCDF4.Dataset(path, "a") as file:
        if attribute in file.variables:
            file[attribute][:] = np.array(list(value.ljust(30, "\0")), "S1")
        else:
            file.setncattr(attribute, value)
    with pytest.raises(DataError, match="YAC"):
        build(path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_files_are_refused(tmp_path, layout):
    path = write_weights(tmp_path / "w.nc", exact_file(), layout)
    content = path.read_bytes()
    for cut in (0, 3, 40, len(content) // 2):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError):
            build(path)
    with pytest.raises(DataError, match="missing"):
        build(tmp_path / "none.nc")
    with netCDF4.Dataset(tmp_path / "grid.nc", "w") as file:
        file.createDimension("n", 3)
        file.createVariable("row", "i4", ("n",))
    with pytest.raises(DataError, match="holds no regrid weights"):
        build(tmp_path / "grid.nc")


# ---- over ranks ---------------------------------------------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [3, *(pytest.param(n, marks=pytest.mark.soak) for n in (2, 4))])
def test_any_number_of_ranks_gives_the_same_bits_and_every_rank_raises_errors(tmp_path, ranks):
    """Weights from a file, and from the cache, whatever ranks wrote it; one faulty rank is every rank's error."""
    program = Path(__file__).with_name("weight_file_program.py")
    path = write_weights(tmp_path / "w.nc", exact_file())
    done = subprocess.run(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "mpi4py", program, tmp_path, path],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(ranks)]
    for name, start in {
        "NaN": "DataError: weights are not numbers",
        "an id": "DataError: ids of destination cells lie outside",
        "a sum": "DataError: weights of a destination cell add up to more than 1",
        "a far cell": "GridError: links of a weight file join cells that lie apart",
        "a corner": "GridError: a weight file was made for another grid",
        "a mask": "GridError: a weight file leaves out cells",
        "cut": "DataError: a file cannot be read",
    }.items():
        assert all(facts[name].startswith(start) for facts in told), [facts[name] for facts in told]
    whole = build(path)
    parts = [np.load(tmp_path / f"{rank}.npz") for rank in range(ranks)]
    cells = np.concatenate([part["cells"] for part in parts])
    assert sorted(cells) == list(range(DESTINATION.size))
    values = np.sin(np.arange(SOURCE.size) * 0.37) + np.arange(3)[:, None]
    fields = RegridPlan(whole, np.arange(SOURCE.size)).apply(values)
    for part in parts:
        np.testing.assert_array_equal(part["fields"], fields[:, part["cells"]])
    for kind in ("file", "cache"):
        for part in parts:
            expected = np.concatenate(
                [np.arange(whole.indptr[cell], whole.indptr[cell + 1]) for cell in part["cells"]] or [[]]
            ).astype(int)
            np.testing.assert_array_equal(part[f"{kind}_values"], whole.values[expected])
            np.testing.assert_array_equal(part[f"{kind}_source_ids"], whole.source_ids[expected])
