"""An offline run stores the fields of each host grid as a host gets them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
from coupling import PERSISTENCE, Raw, config_of, realized

from ai4land_coupler import Simulation
from ai4land_coupler.component.output import RunOutput
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.experiments.twin.luh_land_use import land_use_of
from ai4land_coupler.experiments.twin.luh_layouts import write_published
from ai4land_coupler.host.field_table import exports_of
from ai4land_coupler.host.profiles import TYPES, get_profile, profile_exports, profile_names
from ai4land_coupler.store.layout import LandField, StoreLayout
from ai4land_coupler.store.output import open_store

needs.yac()

YEARS = (2015, 2016, 2017)


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    return {**twin_config, "predictors": [PERSISTENCE], "time": {"start": 2015, "stop": 2017}}


class Stopped(Exception):
    """Stops a run after a year."""


def stop_after(year: int) -> Any:
    def progress(done: int, total: int, now: int) -> None:
        if now == year:
            raise Stopped

    return progress


def assert_no_field_is_empty(store: Path) -> None:
    for host in (None, "host"):
        data = open_store(store, host=host)
        for name, values in data.data_vars.items():
            assert np.isfinite(values.values.astype(np.float64)).any(), name


@pytest.mark.parametrize("name", ["clm", "jsbach", "noahmp"])
def test_a_profile_is_stored_as_it_is_exported(raw: Raw, name: str):
    raw["exports"] = {"profile": name}
    store = Simulation(config_of(raw)).run().store
    assert_no_field_is_empty(store)
    land, host = open_store(store), open_store(store, host="host")
    component = realized(raw)
    variables = {TYPES, *get_profile(name).variables}
    assert variables <= set(map(str, host.data_vars))
    assert not variables & set(map(str, land.data_vars))
    for year in YEARS:
        component.run(year)
        for variable, info in component.exports().items():
            if info.grid == "host":
                stored = host[variable].sel(year=year)
                np.testing.assert_array_equal(stored, component.export(variable), err_msg=variable)
                assert stored.attrs["units"] == info.units
    for variable in variables:
        types = component.exports()[variable].types
        if types:
            assert tuple(host[f"{variable}_type"].values) == types
    # the types of a cell share out its land
    np.testing.assert_allclose(host[TYPES].sum(f"{TYPES}_type"), host["land_cover_fraction"].sum("land_class"))


def test_transitions_and_forcing_are_stored_on_host_grids(raw: Raw, small_twin: Any, tmp_path: Path):
    paths = write_published(tmp_path, "luh2-v2h", land_use_of(small_twin))
    options = {kind: str(paths[kind]) for kind in ("states", "transitions", "management")}
    raw["forcing"] = [{"name": "luh2", "options": options}]
    passed = ["primf_harv", "secmf_bioh", "fertl_c3ann"]
    raw["exports"] = {"transitions": True, "pass_through": passed}
    store = Simulation(config_of(raw)).run().store
    assert_no_field_is_empty(store)
    land, host = open_store(store), open_store(store, host="host")
    assert not {"land_cover_transition", *passed} & set(map(str, land.data_vars))
    change, component = host["land_cover_transition"], realized(raw)
    assert np.isnan(change.sel(year=2015)).all()  # no step leads to the first state
    for year in YEARS:
        component.run(year)
        for name in [*passed, *(["land_cover_transition"] if year > 2015 else [])]:
            np.testing.assert_array_equal(host[name].sel(year=year), component.export(name), err_msg=name)
    # sums over the new class are the fractions before, sums over the old class those after
    classes = host["land_cover_fraction"]
    for year in YEARS[1:]:
        pairs = change.sel(year=year).values.reshape(classes.shape[1], classes.shape[1], -1)
        np.testing.assert_allclose(pairs.sum(axis=1), classes.sel(year=year - 1), atol=1e-12)
        np.testing.assert_allclose(pairs.sum(axis=0), classes.sel(year=year), atol=1e-12)


def test_a_store_of_an_older_version_goes_on(raw: Raw, monkeypatch: pytest.MonkeyPatch):
    """Older versions stored only land cover on host grids, and empty profile variables on the land grid."""
    raw["exports"] = {"profile": "clm"}
    layout_now = RunOutput.layout

    def older(self: RunOutput, shard: int) -> StoreLayout:
        layout = layout_now(self, shard)
        fields = tuple(item for item in layout.host_fields if item.name == "land_cover_fraction")
        return replace(layout, host_fields=fields, land_fields=(LandField("PCT_CROP", "%", 1),))

    with monkeypatch.context() as patch:
        patch.setattr(RunOutput, "layout", older)
        with pytest.raises(Stopped):
            Simulation(config_of(raw), progress=stop_after(2016)).run()
    store = Simulation(config_of(raw)).run(restart=True).store
    host, component = open_store(store, host="host"), realized(raw)
    assert set(host.data_vars) >= {"land_cover_fraction"}
    assert "PCT_CROP" not in host
    for year in YEARS:
        component.run(year)
        stored = host["land_cover_fraction"].sel(year=year)
        np.testing.assert_array_equal(stored, component.export("land_cover_fraction"))


@pytest.mark.parametrize("name", profile_names())
def test_what_the_fields_of_a_profile_refer_to(name: str):
    profile = get_profile(name)
    table = profile_exports(profile, ahead=False)
    assert table[TYPES].norm == "cell"
    for info in table.values():
        assert info.norm in ("cell", "land", "types")
        assert info.grid == "host"
        if info.norm == "types":
            assert info.norm_types in profile.sets
        else:
            assert info.norm_types == ("land" if info.norm == "land" and "land" in profile.sets else "")


def test_what_other_fields_refer_to(raw: Raw):
    table = realized(raw).exports()
    assert {(info.norm, info.grid) for info in table.values()} == {("cell", "host")}
    lai = exports_of(get_legend("hilda-v1.0-f"), {"lai": ("1", 12)})["lai"]
    assert (lai.norm, lai.norm_types, lai.grid) == ("land", "", "land")
    for name, of in (("clm", {"cell", "land", "types"}), ("noahmp", {"cell", "land"}), ("ecland", {"cell", "types"})):
        assert {info.norm for info in profile_exports(get_profile(name), ahead=False).values()} == of


def test_a_run_goes_on_with_other_host_fields_than_its_store(raw: Raw):
    """``exports`` is no part of what names a run: it may change at a restart. What the store lacks, or gets no more,
    is reported."""
    with pytest.raises(Stopped):
        Simulation(config_of({**raw, "exports": {"profile": "clm"}}), progress=stop_after(2016)).run()
    changed = config_of({**raw, "exports": {"transitions": True}})
    summary = Simulation(changed).run(restart=True)
    host = open_store(summary.store, host="host")
    assert np.isfinite(host["surface_type_fraction"].sel(year=2016)).all()
    assert np.isnan(host["surface_type_fraction"].sel(year=2017)).all()
    assert "land_cover_transition" not in host
    assert any("land_cover_transition is not stored" in text for text in summary.warnings)
    assert any("surface_type_fraction is missing after 2016" in text for text in summary.warnings)
