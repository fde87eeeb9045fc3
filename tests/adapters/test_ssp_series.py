"""Scenarios by name, their extensions, and their joint with the history; from local folders and URLs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import fsspec
import netCDF4
import numpy as np
import pytest
import yaml
from adapter_files import LAT, LON, fractions, write_states
from pydantic import ValidationError

from ai4land_coupler.api import ConfigError, DataError, LatLonGrid, Request, TimeError
from ai4land_coupler.experiments.twin.luh_land_use import LandUse, land_use_of
from ai4land_coupler.experiments.twin.luh_layouts import write_published
from ai4land_luh2.plugin import Luh2Options, luh2
from ai4land_ssp.plugin import SspOptions, ssp

GRID = LatLonGrid.from_centres(LON, LAT)
FUTURE = "years since {}-01-01 0:0:0"
PUBLISHED = {
    "ssp119": "IMAGE-ssp119",
    "ssp126": "IMAGE-ssp126",
    "ssp245": "MESSAGE-ssp245",
    "ssp370": "AIM-ssp370",
    "ssp434": "GCAM-ssp434",
    "ssp460": "GCAM-ssp460",
    "ssp534": "MAGPIE-ssp534",
    "ssp585": "MAGPIE-ssp585",
}
NAME = "multiple-{}_input4MIPs_landState_ScenarioMIP_UofMD-{}-2-1-{}_gn_{}.nc"


def read(adapter, name, *years):
    return adapter.read(Request((name,), adapter.grid(), years))[name].values


@pytest.fixture(scope="module")
def use(small_twin) -> LandUse:
    return land_use_of(small_twin, luh3=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """All eight scenarios, each with other fractions, as the published files are named."""
    folder = tmp_path_factory.mktemp("luh2") / "futures"
    folder.mkdir()
    for seed, name in enumerate(PUBLISHED.values()):
        path = folder / NAME.format("states", name, "f", "2015-2100")
        write_states(path, fractions(2, seed), first=0.0, time_units=FUTURE.format(2015))
    return folder


@pytest.mark.parametrize("scenario", [*PUBLISHED, "ssp534-over", "IMAGE-ssp126"])
def test_scenarios_are_found_by_name(published, scenario):
    adapter = ssp(SspOptions(folder=published, scenario=scenario))
    name = {"ssp534-over": "MAGPIE-ssp534"}.get(scenario, PUBLISHED.get(scenario, scenario))
    seed = list(PUBLISHED.values()).index(name)
    expected = fractions(2, seed)["secdf"]
    np.testing.assert_array_equal(read(adapter, "secdf", 2015, 2016)[..., 2:], expected[..., 2:])
    assert adapter.read(Request(("urban",), GRID, (2015,))).attrs["scenario"] == name


def test_scenarios_are_found_in_subfolders(published):
    assert ssp(SspOptions(folder=published.parent, scenario="ssp245")).grid() == GRID


def test_unknown_and_absent_scenarios_are_refused_by_name(published, tmp_path):
    with pytest.raises(ConfigError, match="unknown scenario") as error:
        ssp(SspOptions(folder=published, scenario="ssp586"))
    assert "'ssp585'" in str(error.value)
    shutil.copy(published / NAME.format("states", "GCAM-ssp460", "f", "2015-2100"), tmp_path)
    with pytest.raises(DataError, match="does not hold the states of scenario 'ssp126'") as error:
        ssp(SspOptions(folder=tmp_path, scenario="ssp126"))
    assert "UofMD-IMAGE-ssp126-2-1-f_gn_" in str(error.value)
    assert "GCAM-ssp460" in str(error.value)


def test_a_file_or_a_folder_is_needed(tmp_path):
    for options in ({}, {"states": tmp_path, "folder": tmp_path}, {"folder": tmp_path}):
        with pytest.raises(ValidationError, match="folder"):
            SspOptions(**options)


def test_two_versions_of_a_scenario_are_refused(published, tmp_path):
    name = NAME.format("states", "AIM-ssp370", "f", "2015-2100")
    for version in ("v20171019", "v20180101"):
        (tmp_path / version).mkdir()
        shutil.copy(published / name, tmp_path / version / name)
    with pytest.raises(DataError, match="two files of states start in the same year") as error:
        ssp(SspOptions(folder=tmp_path, scenario="ssp370"))
    assert "v20180101" in str(error.value)


def future(folder, states, extension, first=2098):
    """A scenario to 2100 and its extension."""
    write_states(
        folder / NAME.format("states", "IMAGE-ssp126", "f", "2015-2100"),
        states,
        first=first - 2015,
        time_units=FUTURE.format(2015),
    )
    path = folder / NAME.format("states", "IMAGE-ssp126", "e", "2100-2300")
    return write_states(path, extension, first=0.0, time_units=FUTURE.format(2100))


def test_an_extension_is_joined_at_2100(tmp_path):
    states = fractions(6)
    future(tmp_path, {n: v[:3] for n, v in states.items()}, {n: v[2:] for n, v in states.items()})
    adapter = ssp(SspOptions(folder=tmp_path, scenario="ssp126"))
    assert adapter.fields()["secdf"].years == (2098, 2103)
    np.testing.assert_array_equal(read(adapter, "secdf", *range(2098, 2104))[..., 2:], states["secdf"][..., 2:])
    (joint,) = adapter.joints()
    assert (joint.year, joint.cells) == (2100, 6 * 6)
    assert max(joint.largest.values()) == 0
    assert "joined in 2100" in adapter.describe()


def test_a_jump_at_the_extension_is_refused_with_its_size(tmp_path):
    states, other = fractions(6), fractions(6, seed=9)
    extension = future(tmp_path, {n: v[:3] for n, v in states.items()}, {n: v[2:] for n, v in other.items()})
    options = {"folder": tmp_path, "scenario": "ssp126"}
    with pytest.raises(DataError, match="states jump where two files are joined") as error:
        read(ssp(SspOptions(**options)), "secdf", 2098)
    difference = {n: np.abs(states[n][2] - other[n][2].astype("f8"))[:, 2:] for n in states}
    worst = max(difference, key=lambda n: difference[n].mean())
    assert f"{difference[worst].mean():.4g} for {worst}, at most {difference[worst].max():.4g}" in str(error.value)
    for part in (str(extension), "year 2100", "0.02"):
        assert part in str(error.value)
    mended = ssp(SspOptions(**options, policy="mend"))
    assert mended.read(Request(("secdf",), GRID, (2100,))).attrs["quality"]["jumps"] == 12
    assert np.isfinite(read(ssp(SspOptions(**options, joint_tolerance=0.5)), "secdf", 2098)[..., 2:]).all()


def test_the_history_has_the_years_before_the_scenario(small_twin):
    """The twin's two files: both hold 2015, and agree there."""
    paths = small_twin.paths
    adapter = ssp(SspOptions(states=paths["scenario"], history=paths["states"]))
    assert adapter.fields()["primf"].years == (2010, 2022)
    alone = {"states": luh2(Luh2Options(states=paths["states"])), "scenario": ssp(SspOptions(states=paths["scenario"]))}
    for year, key in ((2010, "states"), (2014, "states"), (2015, "scenario"), (2022, "scenario")):
        np.testing.assert_array_equal(read(adapter, "secdf", year), read(alone[key], "secdf", year))
    (joint,) = adapter.joints()
    assert (joint.year, set(joint.mean.values())) == (2015, {0.0})


def test_a_state_missing_in_the_scenario_counts_as_a_jump(tmp_path):
    states = fractions(4)
    history = write_states(tmp_path / "states.nc", {n: v[:2] for n, v in states.items()}, first=1164.0)
    without = {n: v[1:] for n, v in states.items() if n != "range"}
    scenario = write_states(tmp_path / "future.nc", without, first=0.0, time_units=FUTURE.format(2015))
    with pytest.raises(DataError, match=r"joined: range\n"):
        read(ssp(SspOptions(states=scenario, history=history)), "primf", 2016)
    # five crop states on one side, their sum on the other: no jump
    crops = ("c3ann", "c4ann", "c3per", "c4per", "c3nfx")
    together = {n: v[1:] for n, v in states.items() if n not in crops}
    together["crop"] = np.minimum(sum(states[n][1:].astype("f8") for n in crops), 1e20)
    scenario = write_states(tmp_path / "crop.nc", together, first=0.0, time_units=FUTURE.format(2015))
    adapter = ssp(SspOptions(states=scenario, history=history))
    assert adapter.joints()[0].mean["crop"] < 1e-7
    assert adapter.fields()["crop"].years == (2015, 2017)
    assert adapter.fields()["c3ann"].years == (2014, 2014)


def test_years_between_history_and_scenario_are_not_missing(tmp_path):
    history = write_states(tmp_path / "states.nc", fractions(2), first=1160.0)
    scenario = write_states(tmp_path / "future.nc", fractions(2), first=0.0, time_units=FUTURE.format(2015))
    with pytest.raises(TimeError, match="years are missing between two files of states") as error:
        ssp(SspOptions(states=scenario, history=history))
    assert "2011 or 2012" in str(error.value)
    with pytest.raises(DataError, match="history starts after the scenario"):
        ssp(SspOptions(states=history, history=scenario))


def test_luh3_scenarios_replace_the_history_from_their_first_year(use, tmp_path):
    """The history ends two years after the scenario starts, as in CMIP7; the extension comes on top."""
    moved = use.moved(2091)
    history = write_published(tmp_path, "luh3", moved.part(2091, 2096))["states"]
    for marker, first, last in (("h", 2094, 2100), ("h-ext", 2100, 2103), ("vl", 2094, 2096)):
        write_published(tmp_path, "luh3-scenario", moved.part(first, last), marker)
    adapter = ssp(SspOptions(folder=tmp_path, scenario="h-ext", history=history))
    assert [layout.where.rpartition("UofMD-")[2] for layout in adapter.series["states"].layouts] == [
        "landState-3-1-2_gn_2091-2096.nc",
        "landState-h-3-1-1_gn_2094-2100.nc",
        "landState-h-ext-3-1_gn_2100-2103.nc",
    ]
    assert [joint.year for joint in adapter.joints()] == [2094, 2100]
    years = tuple(range(2091, 2104))
    np.testing.assert_array_equal(read(adapter, "pltns", *years), moved.states["pltns"])
    assert adapter.fields()["pltns_to_c3ann"].years == (2094, 2102)
    assert ssp(SspOptions(folder=tmp_path, scenario="h")).fields()["irrig_c3ann"].years == (2094, 2103)
    assert ssp(SspOptions(folder=tmp_path, scenario="vl")).fields()["primf"].years == (2094, 2096)
    with pytest.raises(DataError, match="states of scenario 'vl-ext'"):
        ssp(SspOptions(folder=tmp_path, scenario="vl-ext"))


def test_a_glob_joins_the_parts_of_a_data_set(tmp_path):
    states = fractions(6)
    for first, last in ((0, 2), (2, 4), (4, 6)):
        part = {n: v[first:last] for n, v in states.items()}
        write_states(tmp_path / f"states_{first}.nc", part, first=1160.0 + first)
    adapter = luh2(Luh2Options(states=tmp_path / "states_*.nc"))
    assert adapter.fields()["urban"].years == (2010, 2015)
    np.testing.assert_array_equal(read(adapter, "urban", *range(2010, 2016))[..., 2:], states["urban"][..., 2:])
    assert adapter.joints() == ()
    (tmp_path / "states_2.nc").unlink()
    with pytest.raises(TimeError, match="years are missing"):
        luh2(Luh2Options(states=tmp_path / "states_*.nc"))
    with pytest.raises(DataError, match="no input file matches a pattern"):
        luh2(Luh2Options(states=tmp_path / "stats_*.nc"))


def test_urls_give_the_same_values_as_paths(published, tmp_path):
    name = NAME.format("states", "AIM-ssp370", "f", "2015-2100")
    expected = read(ssp(SspOptions(states=published / name)), "pastr", 2016)
    memory = fsspec.filesystem("memory")
    memory.put_file(published / name, f"/futures/{name}")
    for options in (
        {"states": f"file://{published}/{name}"},
        {"states": f"memory://futures/{name}"},
        {"states": f"simplecache::memory://futures/{name}"},
        {"states": "memory://futures/multiple-states*AIM*.nc"},
        {"folder": "memory://futures", "scenario": "ssp370"},
        {"folder": f"file://{published}", "scenario": "ssp370"},
    ):
        adapter = ssp(SspOptions(**options))
        np.testing.assert_array_equal(read(adapter, "pastr", 2016), expected)
        assert adapter.read(Request(("pastr",), GRID, (2016,))).attrs["scenario"] == "AIM-ssp370"
    with pytest.raises(TimeError, match="2019") as error:
        read(ssp(SspOptions(states=f"memory://futures/{name}")), "pastr", 2019)
    assert f"memory://futures/{name}" in str(error.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("memory://futures/none.nc", "none.nc"),
        ("nosuchprotocol://a/b.nc", "nosuchprotocol"),
        ("memory://futures/none*.nc", "no input file matches"),
        ("file:///nowhere/b.nc", "missing"),
    ],
)
def test_urls_that_cannot_be_read_are_refused(url, text):
    with pytest.raises(DataError) as error:
        luh2(Luh2Options(states=url))
    assert url.removeprefix("file://") in str(error.value)
    assert text in str(error.value)


def test_paths_may_be_relative_to_the_configuration_and_urls_are_kept(tmp_path):
    options = SspOptions.model_validate(
        {"folder": "luh2/*", "scenario": "ssp126", "static": "memory://static.nc"}, context={"base": tmp_path}
    )
    assert options.folder == tmp_path / "luh2" / "*"
    assert options.static == "memory://static.nc"


def test_examples_of_the_documentation_are_valid_options():
    text = (Path(__file__).parents[2] / "docs" / "adapters-luh.md").read_text()
    entries = [
        e for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for e in yaml.safe_load(block)["forcing"]
    ]
    assert [e["name"] for e in entries] == ["luh2", "ssp", "ssp"]
    for entry in entries:
        {"luh2": Luh2Options, "ssp": SspOptions}[entry["name"]].model_validate(entry["options"])
    for name in PUBLISHED:
        assert f"`{name}`" in text


@pytest.mark.real_data
def test_real_history_and_scenario_of_different_sources_do_not_join(sample_data):
    """The two samples come from different data sets: the joint says so; figures from the files themselves."""
    history = sample_data / "luh2" / "states_2015_derived.nc"
    scenario = sample_data / "scenario" / "multiple-states_derived_British-Isles_gn_2015-2100.nc"
    with netCDF4.Dataset(history) as one, netCDF4.Dataset(scenario) as two:
        rows, cols = (np.flatnonzero(np.isin(one[n][:], two[n][:])) for n in ("lat", "lon"))
        pair = [np.ma.filled(one["urban"][0], np.nan)[np.ix_(rows, cols)], np.ma.filled(two["urban"][0], np.nan)]
        difference = np.abs(np.subtract(*(np.where(p > 1e19, np.nan, p).astype("f8") for p in pair)))
    adapter = ssp(SspOptions(states=scenario, history=history))
    with pytest.raises(DataError, match="states jump where two files are joined: pastr, secdf, range, crop, secdn"):
        adapter.joints()
    mended = ssp(SspOptions(states=scenario, history=history, policy="mend"))
    (joint,) = mended.joints()
    assert joint.mean["urban"] == pytest.approx(np.nanmean(difference), rel=1e-9) == pytest.approx(0.0155, abs=1e-4)
    assert joint.largest["urban"] == pytest.approx(np.nanmax(difference), rel=1e-9)
    assert mended.read(Request(("urban",), mended.grid(), (2050,))).attrs["quality"]["jumps"] == 5
