"""Harvest, fertiliser and irrigation of the forcing on a host's grid: hand-worked, and conserved from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
from coupling import PERSISTENCE, Raw, config_of, realized

from ai4land_coupler import LandComponent
from ai4land_coupler.api import DataAdapter, FieldInfo, LatLonGrid, Request
from ai4land_coupler.errors import ConfigError, TimeError
from ai4land_coupler.experiments.twin.luh_land_use import land_use_of
from ai4land_coupler.experiments.twin.luh_layouts import write_published
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.host.field_table import make_field_table
from ai4land_coupler.host.pass_through import PassThrough, passed_variables, shares_of
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_coupler.inputs.readers import ForcingReader
from ai4land_coupler.land.forcing import LandForcing
from ai4land_coupler.parallel import Communicator

needs.yac()

#: Four cells of one degree, two to a host cell, on both sides of the equator: all of one area.
GRID = LatLonGrid(0.0, 1.0, 4, 0.0, -1.0, 1)
UNITS = {"primf_harv": "1", "primf_bioh": "kg yr-1", "fertl_c3ann": "kg ha-1 yr-1", "c3ann": "1"}
VALUES = {
    "primf_harv": [0.1, 0.3, np.nan, 0.2],
    "primf_bioh": [1e6, 3e6, 5e6, np.nan],
    "fertl_c3ann": [100.0, 20.0, np.nan, 40.0],
    "c3ann": [0.1, 0.3, 0.5, 0.0],
}


class InMemory(DataAdapter):
    """An adapter with values in memory."""

    def fields(self) -> dict[str, FieldInfo]:
        return {name: FieldInfo(name, units, years=(2000, 2001)) for name, units in UNITS.items()}

    def grid(self) -> LatLonGrid:
        return GRID

    def read(self, request: Request) -> Any:
        import xarray as xr

        coords = {"year": list(request.years), "lat": request.grid.lat, "lon": request.grid.lon}
        found = {
            name: (("year", "lat", "lon"), np.array(VALUES[name], np.float32).reshape(1, 1, 4), {"units": UNITS[name]})
            for name in request.variables
        }
        return xr.Dataset(found, coords)


def test_shares_of_names() -> None:
    """Every name that hosts can get, and what its values refer to (Hurtt et al. 2020)."""
    crops = ["c3ann", "c4ann", "c3per", "c4per", "c3nfx"]
    states = ["primf", "primn", "secdf", "secdn", "urban", *crops, "pastr", "range", "pltns"]
    harvested = ["primf", "primn", "secmf", "secyf", "secnf", "pltns"]
    expected = dict.fromkeys([*states, *(f"{a}_to_{b}" for a in states for b in states)], "cell")
    expected |= {f"{name}_harv": "cell" for name in harvested} | {f"{name}_bioh": "amount" for name in harvested}
    for kind in ("fertl", "irrig", "crpbf", "cpbf1", "cpbf2", "fharv"):
        expected |= {f"{kind}_{crop}": crop for crop in crops}
    assert shares_of() == expected


@pytest.fixture
def plugins(twin_config: Raw) -> Any:
    from ai4land_coupler.registry.loading import load_plugins

    return load_plugins(None)


def test_hand_worked(plugins: Any) -> None:
    forcing = Catalogue("forcing", [NamedAdapter("given", InMemory())])
    mesh = latlon_mesh(LatLonGrid(0.0, 2.0, 3, 0.0, -1.0, 1), "host")  # two cells over the forcing, one beyond it
    regridder = plugins.create("regridder", "yac", {}, "regrid", base=Path())
    variables = passed_variables(("primf_harv", "primf_bioh", "fertl_c3ann"), forcing)
    through = PassThrough(variables, ForcingReader(forcing, GRID), [0], mesh, regridder, Communicator())
    found = through.fields(2000)
    np.testing.assert_allclose(found["primf_harv"], [0.2, 0.1, 0], rtol=1e-6)  # without data nothing was cut
    np.testing.assert_allclose(found["primf_bioh"], [4e6, 5e6, 0], rtol=1e-6)
    # (100 x 0.1 + 20 x 0.3) / 0.4; no crop has a known rate in the second cell
    np.testing.assert_allclose(found["fertl_c3ann"], [40, 0, 0], rtol=1e-6)
    with pytest.raises(TimeError, match="2002"):
        through.fields(2002)


@pytest.fixture
def raw(twin_config: Raw, small_twin: Any, tmp_path: Path) -> Raw:
    """The twin's land use in the layout of LUH2, with transitions and management."""
    paths = write_published(tmp_path, "luh2-v2h", land_use_of(small_twin))
    options = {kind: str(paths[kind]) for kind in ("states", "transitions", "management")}
    names = ["primf_harv", "secmf_bioh", "fertl_c3ann", "irrig_c3ann", "secdf_to_c3ann"]
    return {
        **twin_config,
        "predictors": [PERSISTENCE],
        "forcing": [{"name": "luh2", "options": options}],
        "exports": {"lookahead": True, "pass_through": names},
    }


def test_variables_are_conserved_from_files_to_the_host(raw: Raw) -> None:
    component = realized(raw)
    area = component.hosts["host"].area
    grid = component.setup.plan.forcing
    cells = np.broadcast_to(grid.row_area[:, None], grid.shape)
    units = {"primf_harv": "1", "secmf_bioh": "kg yr-1", "fertl_c3ann": "kg ha-1 yr-1", "irrig_c3ann": "1"}
    for name, unit in units.items():
        assert component.exports()[name].units == unit
    for year in (2015, 2016):
        component.run((year, 7, 1))
        read = LandForcing(component.setup).reader.read({**units, "secdf_to_c3ann": "1", "c3ann": "1"}, year)
        source = {name: np.nan_to_num(values.astype(np.float64)) for name, values in read.items()}
        for name in ("primf_harv", "secdf_to_c3ann"):
            assert component.export(name) @ area == pytest.approx((source[name] * cells).sum(), rel=1e-9), name
        assert component.export("secmf_bioh").sum() == pytest.approx(source["secmf_bioh"].sum(), rel=1e-9)
        rates = source["fertl_c3ann"][source["c3ann"] > 0]
        given = component.export("fertl_c3ann")
        assert 0 < given.max() <= rates.max() * (1 + 1e-9)
        following = component.export("primf_harv", at="next")
        component.run(year + 1)
        np.testing.assert_array_equal(component.export("primf_harv"), following)


def test_a_year_without_transitions(raw: Raw) -> None:
    """Transitions end a year before the states: refused at the start, or the last year is held."""
    parts = {"time": {"start": 2020, "stop": 2022}, "exports": {"pass_through": ["secdf_to_c3ann"]}}
    with pytest.raises(TimeError, match="'secdf_to_c3ann' for the year 2022") as caught:
        LandComponent(config_of(raw, **parts)).initialize()
    assert "beyond: hold" in str(caught.value)
    held = realized(raw, **parts, forcing=[{**raw["forcing"][0], "beyond": "hold"}])
    needs = LandForcing(held.setup, make_field_table(held.setup).pass_through_inputs).needs()
    assert all(("secdf_to_c3ann", "1") in needs[year] for year in range(2020, 2023))  # as `ai4land prepare` copies them
    held.run(2021)
    last = held.export("secdf_to_c3ann")
    assert last.max() > 0
    held.run(2022)
    np.testing.assert_array_equal(held.export("secdf_to_c3ann"), last)


@pytest.mark.parametrize(
    ("name", "text"), [("rndwd", "not known what it is a share of"), ("fertl_c4per", "no forcing adapter has")]
)
def test_variables_that_are_refused(twin_config: Raw, name: str, text: str) -> None:
    config = config_of({**twin_config, "predictors": [PERSISTENCE], "exports": {"pass_through": [name]}})
    with pytest.raises(ConfigError, match=text):
        LandComponent(config).initialize()
