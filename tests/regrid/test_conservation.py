"""Area and constants are conserved, from every kind of global grid to every other kind."""

from functools import cache
from itertools import permutations
from pathlib import Path

import needs
import numpy as np
import pytest
from regrid_cases import random_voronoi_mesh

from ai4land_coupler.api import LatLonGrid, LocalWeights, Mesh
from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.grids import latlon_mesh, read_mesh
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions

needs.yac()

FILES = {"icon": "icon_extpar_0010_R02B04_G.nc", "ne30pg2": "scrip_ne30pg2.nc", "T42": "scrip_T42.nc"}
PAIRS = [pair for pair in permutations(("latlon", "voronoi", *FILES), 2) if set(pair) & set(FILES)]


@cache
def mesh(name: str, sample_data: Path | None) -> Mesh:
    if name == "latlon":
        return latlon_mesh(LatLonGrid(-180.0, 2.5, 144, 90.0, -2.5, 72), name)
    if name == "voronoi":
        return random_voronoi_mesh(1500, seed=11)
    return read_mesh(sample_data / "grids" / FILES[name])


def check(source: Mesh, destination: Mesh, closed_form: bool = True) -> LocalWeights:
    weights = YacRegridder(YacRegridOptions(closed_form=closed_form)).build(source, destination)
    # the areas are those of the sphere, and none is lost or made
    for area in (weights.source_area, weights.destination_area):
        assert area.sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-11)
    plan = RegridPlan(weights, source.cell_ids)
    fields = np.random.default_rng(0).normal(size=(3, source.size)) + np.array([[0.0], [1.0], [300.0]])
    fields[0, ::2] = 0.0
    fields[0, 7] = 1e6  # one cell that outweighs the rest: nothing can cancel
    found = plan.apply(fields)
    np.testing.assert_allclose(found @ weights.destination_area, fields @ weights.source_area, rtol=1e-12)
    np.testing.assert_allclose(plan.apply(np.full(source.size, 273.15)), 273.15, rtol=1e-12)
    np.testing.assert_allclose(weights.destination_fraction, 1.0, rtol=1e-12)
    assert weights.values.min() > 0
    return weights


def test_between_a_latlon_grid_and_random_polygons():
    one, other = mesh("latlon", None), mesh("voronoi", None)
    for source, destination in ((one, other), (other, one)):
        assert check(source, destination).provenance["backend"] == "closed form"
        assert check(source, destination, closed_form=False).provenance["backend"] == "yac"


@pytest.mark.real_data
@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_every_pair_of_global_grids(sample_data, source, destination):
    check(mesh(source, sample_data), mesh(destination, sample_data))
