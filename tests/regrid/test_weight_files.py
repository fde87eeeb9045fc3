"""Weight files of ESMF, SCRIP, CDO and YAC: read, written, converted, checked against grids, on any ranks."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import needs
import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from ranks import environment, launcher
from regrid_cases import exact_latlon_weights, matrix
from weight_cases import DESTINATION, SOURCE, as_areas, exact, exact_file, meshes

from ai4land_coupler import LandComponent
from ai4land_coupler.api import ConfigError, DataError, GridError, LatLonGrid
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.grids import latlon_mesh, read_mesh
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.from_file import FileOptions, FileRegridder
from ai4land_coupler.regrid.weight_files.gather import gather_weights
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
@pytest.mark.parametrize("ranks", [2, 4])
def test_any_number_of_ranks_gives_the_same_bits_and_every_rank_raises_errors(tmp_path, ranks):
    """Weights from a file, and from the cache, whatever ranks wrote it; one faulty rank is every rank's error."""
    program = Path(__file__).with_name("weight_file_program.py")
    path = write_weights(tmp_path / "w.nc", exact_file())
    done = subprocess.run(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "mpi4py", program, tmp_path, path],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
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


# ---- other people's files -----------------------------------------------------------------------------------------

PAIRS = {
    "ll4_to_T42_conserve": ("scrip_T42", LatLonGrid(0, 4, 90, -90, 4, 45), "conservative"),
    "ll4_to_ne30pg2_conserve": ("scrip_ne30pg2", LatLonGrid(0, 4, 90, -90, 4, 45), "conservative"),
    "ll2p5_to_icon_conserve": ("icon_extpar_0010_R02B04_G", LatLonGrid(0, 2.5, 144, -90, 2.5, 72), "conservative"),
    "ll4_to_T42_bilinear": ("scrip_T42", LatLonGrid(0, 4, 90, -90, 4, 45), "bilinear"),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", PAIRS)
def test_files_of_esmf_fit_their_grids_and_our_weights(sample_data, name):
    grid, source, method = PAIRS[name]
    path = sample_data / "esmf_weights" / f"{name}.nc"
    ours = replace(latlon_mesh(source, "source"), edges="great_circle")
    host = replace(read_mesh(sample_data / "grids" / f"{grid}.nc"), edges="great_circle")
    found = FileRegridder(FileOptions(path=path)).build(ours, host, method)
    with netCDF4.Dataset(path) as file:
        assert found.values.size == file.dimensions["n_s"].size
        np.testing.assert_allclose(found.values.sum(), file["S"][:].sum(), rtol=1e-13)
    np.testing.assert_allclose(found.destination_fraction, 1, atol=1e-8)
    if method != "conservative":
        return
    needs.yac()
    from ai4land_coupler.regrid.backends.yac import YacRegridder

    made = YacRegridder().build(ours, host)
    off = abs(matrix(found, source.size) - matrix(made, source.size))
    # ESMF took single-precision corners up to 3e-6 degrees beyond a pole; we put them on it
    polar = np.nanmax(np.abs(host.corner_lat), axis=1) > 88.0 if "icon" in grid else np.zeros(host.size, bool)
    assert polar.sum() <= 40
    assert off[~polar].max() < 1e-9
    assert off.max() < (2e-6 if polar.any() else 1e-9)


@pytest.mark.real_data
def test_the_wrong_pair_of_grids_is_refused(sample_data):
    path = sample_data / "esmf_weights" / "ll4_to_T42_conserve.nc"
    host = read_mesh(sample_data / "grids" / "scrip_T42.nc")
    with pytest.raises(GridError, match="made for another grid"):
        FileRegridder(FileOptions(path=path)).build(latlon_mesh(LatLonGrid(0, 4, 90, 90, -4, 45), "north up"), host)


@pytest.mark.real_data
@pytest.mark.parametrize("norm", ["dstarea", "fracarea"])
@pytest.mark.parametrize(
    ("option", "method"),
    [
        ("conserve", "conservative"), ("conserve2nd", "conservative2nd"), ("bilinear", "bilinear"),
        ("neareststod", "nearest"), ("nearestdtos", None), ("patch", None),
    ],
)  # fmt: skip
def test_files_made_by_esmf_now(tmp_path, sample_data, option, method, norm):
    """Real ESMF_RegridWeightGen, where it is on the path."""
    made_by = needs.program("ESMF_RegridWeightGen")
    grids = [sample_data / "grids" / f"{name}.nc" for name in ("scrip_T42", "scrip_ne30pg2")]
    command = [made_by, "-s", grids[0], "-d", grids[1], "-m", option, "--norm_type", norm, "-w", "w.nc"]
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True, capture_output=True)
    regridder = FileRegridder(FileOptions(path=tmp_path / "w.nc"))
    meshes = [read_mesh(grid) for grid in grids]
    if method is None:
        with pytest.raises(ConfigError, match="another method"):
            regridder.build(*meshes, "nearest")
        return
    for asked in ("destination", "fraction"):
        found = regridder.build(*meshes, method, asked)
        np.testing.assert_allclose(matrix(found, meshes[0].size).sum(axis=1), 1, atol=1e-10)
        np.testing.assert_allclose(found.destination_area.sum(), 4 * np.pi * 6371007.2**2, rtol=1e-7)


def cdo(*command: object) -> None:
    subprocess.run([needs.program("cdo"), "-s", "-O", *map(str, command)], check=True, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("operator", "method"), [("gencon", "conservative"), ("genbil", "bilinear"), ("gennn", "nearest")]
)
def test_files_of_cdo_give_the_fields_of_cdo(tmp_path, operator, method):
    cdo("-f", "nc", "-b", "F64", "topo,r72x36", tmp_path / "in.nc")
    cdo(f"{operator},r48x20", tmp_path / "in.nc", tmp_path / "w.nc")
    cdo(f"remap,r48x20,{tmp_path / 'w.nc'}", tmp_path / "in.nc", tmp_path / "out.nc")
    source = latlon_mesh(LatLonGrid(-2.5, 5, 72, -90, 5, 36), "r72x36")
    host = latlon_mesh(LatLonGrid(-3.75, 7.5, 48, -90, 9, 20), "r48x20")
    backend = FileRegridder(FileOptions(path=tmp_path / "w.nc"))
    weights = backend.build(source, host, method, "fraction")
    # the source covers the globe: what CDO calls fracarea is destarea too
    other = backend.build(source, host, method, "destination")
    np.testing.assert_allclose(other.values, weights.values, rtol=0, atol=1e-12)
    with netCDF4.Dataset(tmp_path / "in.nc") as before, netCDF4.Dataset(tmp_path / "out.nc") as after:
        made = matrix(weights, source.size) @ before["topo"][:].data.ravel()
        np.testing.assert_allclose(made, after["topo"][:].data.ravel(), rtol=0, atol=1e-8)


def test_regional_files_of_cdo(tmp_path):
    """Many destination cells are covered in part; with fracarea, CDO writes fractions of 1 for them."""
    cdo("-f", "nc", "-b", "F64", "-sellonlatbox,10,70,-30,40", "-topo,r72x36", tmp_path / "in.nc")
    cdo("gencon,r48x20", tmp_path / "in.nc", tmp_path / "fracarea.nc")
    try:
        os.environ["CDO_REMAP_NORM"] = "destarea"
        cdo("gencon,r48x20", tmp_path / "in.nc", tmp_path / "destarea.nc")
    finally:
        del os.environ["CDO_REMAP_NORM"]
    region, globe = LatLonGrid(7.5, 5, 13, -30, 5, 14), LatLonGrid(-3.75, 7.5, 48, -90, 9, 20)
    shares = exact_latlon_weights(region, globe)
    source, host = latlon_mesh(region, "region"), latlon_mesh(globe, "globe")
    with pytest.raises(ConfigError, match="does not tell how much"):
        FileRegridder(FileOptions(path=tmp_path / "fracarea.nc")).build(source, host)
    for name, norm in (("destarea", "destination"), ("destarea", "fraction"), ("fracarea", "fraction")):
        found = FileRegridder(FileOptions(path=tmp_path / f"{name}.nc")).build(source, host, norm=norm)
        sums = np.where(shares.sum(axis=1) > 1e-14, shares.sum(axis=1), np.inf)[:, None]
        expected = shares if norm == "destination" else shares / sums
        np.testing.assert_allclose(matrix(found, source.size).toarray(), expected, atol=1e-10)
    np.testing.assert_allclose(found.destination_area, np.repeat(globe.row_area, 48), rtol=1e-9)


def test_cdo_applies_our_files(tmp_path):
    """Topography of 8 km height: 1e-10 of it is 1e-6 m."""
    file = exact_file("fraction")
    write_weights(tmp_path / "w.nc", file, "scrip")
    values = np.random.default_rng(3).normal(size=(12, 20))
    with netCDF4.Dataset(tmp_path / "in.nc", "w") as made:
        for name, axis, units in (("lat", SOURCE.lat, "degrees_north"), ("lon", SOURCE.lon, "degrees_east")):
            made.createDimension(name, axis.size)
            made.createVariable(name, "f8", (name,))[:] = axis
            made[name].units = units
        made.createVariable("x", "f8", ("lat", "lon"))[:] = values
    lon, lat = DESTINATION.lon, DESTINATION.lat
    (tmp_path / "grid.txt").write_text(
        f"gridtype = lonlat\nxsize = 16\nysize = 10\nxfirst = {lon[0]}\nxinc = 22.5\nyfirst = {lat[0]}\nyinc = -18\n"
    )
    cdo("-b", "F64", f"remap,{tmp_path / 'grid.txt'},{tmp_path / 'w.nc'}", tmp_path / "in.nc", tmp_path / "out.nc")
    with netCDF4.Dataset(tmp_path / "out.nc") as made:
        found = made["x"][:].filled(np.nan).ravel()
    covered = exact().sum(axis=1) > 0
    np.testing.assert_allclose(found[covered], (exact("fraction") @ values.ravel())[covered], rtol=0, atol=1e-10)
    assert np.isnan(found[~covered]).all()


def test_a_run_with_weights_from_a_file(tmp_path, twin_config):
    """The land of a run on its host grid, by a file that somebody made for the whole land grid."""
    needs.yac()
    from ai4land_coupler.regrid.backends.yac import YacRegridder

    host = read_mesh(twin_config["hosts"]["host"]["grid"])

    def realized(regrid):
        land = LandComponent(parse_config(twin_config | {"regrid": regrid}, tmp_path, "run.yaml"))
        land.initialize()
        land.set_named_grid("host")
        land.realize()
        return land

    made = realized({"backend": "yac"})
    whole = latlon_mesh(made.setup.plan.fine, "the land grid")
    weights = gather_weights(YacRegridder().build(whole, host), whole, host)
    (tmp_path / "weights").mkdir()
    write_weights(tmp_path / "weights" / "land_to_host.zarr", weights)
    given = realized({"backend": "file", "options": {"path": "weights"}, "cache": "kept"})
    assert given.hosts["host"].weights.provenance["backend"] == "file"
    for name in ("land_cover_fraction", "land_area_fraction"):
        np.testing.assert_allclose(given.export(name), made.export(name), rtol=0, atol=1e-9)
    assert made.export("land_area_fraction").max() > 0.5
    assert not (tmp_path / "kept").exists(), "weights that are in a file are not kept again"
    with pytest.raises(GridError, match="another source grid"):
        FileRegridder(FileOptions(path=tmp_path / "weights" / "land_to_host.zarr")).build(host, whole)
