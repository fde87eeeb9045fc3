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
from ai4land_coupler.grids import latlon_mesh

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
