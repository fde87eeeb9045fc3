"""Weight files that ESMF and CDO made, and a run with weights from a file."""

import os
import subprocess
from dataclasses import replace

import needs
import netCDF4
import numpy as np
import pytest
from ranks import environment
from regrid_cases import exact_latlon_weights, matrix
from weight_cases import DESTINATION, SOURCE, exact, exact_file

from ai4land_coupler import LandComponent
from ai4land_coupler.api import ConfigError, GridError, LatLonGrid
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.grids import latlon_mesh, read_mesh
from ai4land_coupler.regrid.backends.from_file import FileOptions, FileRegridder
from ai4land_coupler.regrid.weight_files.gather import gather_weights
from ai4land_coupler.regrid.weight_files.write import write_weights

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
