"""Host grids of a component: by name from the configuration, and faults of grids that a host gives."""

from __future__ import annotations

from dataclasses import replace

import needs
import numpy as np
import pytest

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
    with pytest.raises(GridError, match="must fill the globe has gaps"):
        component.set_named_grid("gaps")
    component.set_named_grid("host")


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
