"""Host grids of a component: by name from the configuration, and faults of grids that a host gives."""

from __future__ import annotations

from dataclasses import replace

import needs
import netCDF4
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from ai4land_coupler.cli import cli
from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import GridError
from ai4land_coupler.grids import icosahedral_mesh, latlon_mesh
from ai4land_coupler.grids.hash import grid_hash

needs.yac()


@pytest.fixture
def component(twin_config) -> LandComponent:
    twin_config["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
    twin_config["hosts"]["ifs"] = {"grid": "O80", "expect": "global"}
    twin_config["hosts"]["gaps"] = {"grid": twin_config["hosts"]["host"]["grid"], "expect": "global"}
    component = LandComponent(Config.model_validate(twin_config))
    component.initialize()
    return component


def test_a_host_grid_by_name(component):
    component.set_named_grid("ifs")
    component.realize()
    assert component.cell_count == 4 * 80 * (80 + 9)
    land = component.export("land_area_fraction")
    assert 0 < np.count_nonzero(land) < 20, "the twin is 2 x 3 degrees"
    assert (land * component.hosts["host"].area).sum() > 0


def test_a_regional_file_is_refused_if_the_globe_is_expected(component):
    with pytest.raises(GridError, match="must fill the globe has gaps") as caught:
        component.set_named_grid("gaps")
    assert str(caught.value.where).startswith("hosts.gaps.grid, ")
    component.set_named_grid("host")


def test_masked_arrays_in_a_mesh(component):
    """A cell whose flag is masked takes part not at all; masked corners and ids are missing, whatever is below."""
    mesh = latlon_mesh(LatLonGrid(-2.0, 0.5, 8, 53.0, -0.5, 6), "mine")
    at = np.arange(mesh.size) == 20
    with pytest.raises(GridError, match="cell ids lie outside"):
        set_and_realize(component, replace(mesh, cell_ids=np.ma.masked_array(mesh.cell_ids, at)))
    hidden = np.ma.masked_array(mesh.corner_lat, np.broadcast_to(at[:, None], mesh.corner_lat.shape))
    with pytest.raises(GridError) as caught:
        set_and_realize(component, replace(mesh, corner_lat=hidden))
    assert "host grid 'host'" in str(caught.value.where)
    set_and_realize(component, replace(mesh, mask=np.ma.masked_array(mesh.mask, at)))
    land = component.export("land_area_fraction")
    assert land[at] == 0
    assert np.count_nonzero(land) > 10


def set_and_realize(component, mesh):
    component.set_grid(mesh)
    component.realize()


def test_overlapping_host_cells_are_refused(component):
    mesh = latlon_mesh(LatLonGrid(-2.0, 0.5, 8, 53.0, -0.5, 6), "mine")
    moved = mesh.corner_lon + np.where(mesh.cell_ids == 11, 0.2, 0.0)[:, None]
    component.set_grid(replace(mesh, corner_lon=moved))
    with pytest.raises(GridError, match=r"cells overlap\n(.*\n)*  found: 1 pairs of cells, first cells 11 and 12"):
        component.realize()
    component.set_grid(mesh)
    component.realize()


def test_host_cells_in_single_precision_may_pass_the_pole_and_close_their_polygons(component):
    """As a C or Fortran host gives them: degrees in double precision that were radians in single precision."""
    ico = icosahedral_mesh(3, "ico")
    lat = np.where(np.abs(ico.corner_lat) == 90, np.sign(ico.corner_lat) * 90.0000025, ico.corner_lat)
    lon, lat = (np.c_[values, values[:, 0] + 1e-6] for values in (ico.corner_lon, lat))
    component.set_grid(replace(ico, corner_lat=ico.corner_lat * 1.001))
    with pytest.raises(GridError, match="out of range"):
        component.realize()
    component.set_grid(replace(ico, corner_lon=lon, corner_lat=lat))
    component.realize()
    assert grid_hash(component.hosts["host"].mesh) == grid_hash(ico)


def test_what_was_changed_in_a_host_grid_is_told_on_screen(twin_config, tmp_path):
    """A column of the grid comes twice; `validate` and `run` say so."""
    lat, lon = np.meshgrid(np.arange(50.25, 53), np.arange(-1.75, 2, 0.5), indexing="ij")
    lon[:, -1] = lon[:, 0]
    with netCDF4.Dataset(tmp_path / "halo.nc", "w") as file:
        for dim, size in (("y", 3), ("x", 8), ("nv", 4)):
            file.createDimension(dim, size)
        for name, units, values, by in (
            ("lat", "degrees_north", lat, [-0.5, -0.5, 0.5, 0.5]),
            ("lon", "degrees_east", lon, [-0.25, 0.25, 0.25, -0.25]),
        ):
            centre = file.createVariable(name, "f8", ("y", "x"))
            centre.setncatts({"units": units, "bounds": f"{name}_bnds"})
            centre[:] = values
            file.createVariable(f"{name}_bnds", "f8", ("y", "x", "nv"))[:] = values[..., None] + by
    twin_config["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
    twin_config["time"] = {"start": 2015, "stop": 2016}
    twin_config["hosts"] = {"halo": {"grid": "halo.nc"}}
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(twin_config))
    said = CliRunner().invoke(cli, ["validate", str(run_file)])
    assert said.exit_code == 0, said.output
    assert "3 of 24 cells are masked and take no part" in said.output
    assert "3 cells that repeat another one were masked" in said.output
    ran = CliRunner().invoke(cli, ["run", str(run_file)])
    assert ran.exit_code == 0, ran.output
    assert "host grid halo: 3 cells that repeat another one were masked" in ran.output
