"""CMIP7 (LUH3) as it comes from ESGF: no-data plantations, the overlap with the history, static and retracted files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import netCDF4
import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from ai4land_coupler.api import Box, DataError, Request, TimeError
from ai4land_coupler.experiments.twin.cmip7 import MARKERS, scenario_of, write_cmip7
from ai4land_coupler.experiments.twin.luh_land_use import LandUse, land_use_of
from ai4land_luh2.plugin import Luh2Options, luh2
from ai4land_ssp.plugin import SspOptions, ssp

#: From the data base of https://github.com/PCMDI/input4MIPs_CVs, August 2026; ``ln``, ``l``, ``ml`` and ``hl`` are not
#: in it yet.
SOURCES = {
    "CMIP_UofMD-landState-3-1-2": ("0850-2024", "0850-2023"),
    "ScenarioMIP_UofMD-landState-vl-3-1-1": ("2022-2100", "2022-2099"),
    "ScenarioMIP_UofMD-landState-m-3-1": ("2022-2100", "2022-2099"),
    "ScenarioMIP_UofMD-landState-h-3-1-1": ("2022-2100", "2022-2099"),
    "ScenarioMIP_UofMD-landState-h-ext-3-1": ("2100-2500", "2100-2499"),
}
STATIC = "multiple-static_input4MIPs_landState_CMIP_UofMD-landState-3-1-2_gn.nc"
PUBLISHED = [STATIC] + [
    f"multiple-{kind}_input4MIPs_landState_{source}_gn_{years[kind == 'transitions']}.nc"
    for source, years in SOURCES.items()
    for kind in ("states", "management", "transitions")
]
STATES = "multiple-states_input4MIPs_landState_{}_gn_{}.nc"
HISTORY = STATES.format("CMIP_UofMD-landState-3-1-2", "0850-2024")
H = STATES.format("ScenarioMIP_UofMD-landState-h-3-1-1", "2022-2100")


@pytest.fixture(scope="module")
def use(small_twin) -> LandUse:
    """Thirteen years that change, 2014 to 2026; the years before and after are like the first and the last one."""
    return land_use_of(small_twin, luh3=True, plantations=False).moved(2014)


@pytest.fixture(scope="module")
def published(use, tmp_path_factory) -> Path:
    """All scenarios and one extension, with a part of the transitions and of the management."""
    folder = tmp_path_factory.mktemp("cmip7")
    names = {
        "transitions": ["primf_harv", "secdf_to_c3ann", "secdf_to_pltns", "pltns_to_c3ann", "pltns_harv", "pltns_bioh"],
        "management": ["irrig_c3ann", "pltns_bfuel", "prtct_pltns"],
    }
    part = {kind: {name: getattr(use, kind)[name] for name in chosen} for kind, chosen in names.items()}
    write_cmip7(folder, replace(use, **part), (*MARKERS, "h-ext"))
    return folder


@pytest.fixture
def folder(published, tmp_path) -> Path:
    """Copies of the states of the history and of ``h``, and the static file, that a test may change."""
    for name in (HISTORY, H, STATIC):
        shutil.copy(published / name, tmp_path)
    return tmp_path


def joined(folder, scenario="h", **options):
    return ssp(SspOptions(folder=folder, scenario=scenario, history=folder, **options))


def read(adapter, names, *years):
    return adapter.read(Request(tuple(names), adapter.grid(), years))


def change(path, year, name, function):
    with netCDF4.Dataset(path, "a") as ds:
        ds.set_auto_mask(False)
        step = int(np.flatnonzero(ds["time"][:] == (year - 850) * 365)[0])
        ds[name][step] = function(ds[name][step])


def test_the_twin_writes_the_published_names_years_and_attributes(published):
    assert set(PUBLISHED) <= {path.name for path in published.iterdir()}
    with netCDF4.Dataset(published / H) as ds:
        assert ds.source_id == "UofMD-landState-h-3-1-1"
        assert (ds.source_version, ds.mip_era, ds.target_mip) == ("3.1.1", "CMIP7", "ScenarioMIP")
        assert ds.Conventions == "CF-1.7"
        assert ds.source == "LUH3-H V1.1: Land-Use Harmonization Data Set for H Scenario in CMIP7"
        assert ds.comment.startswith("Note: variables related to plantation forests are set to 'no-data' values")
        assert (ds["time"].units, ds["time"].calendar) == ("days since 0850-01-01 00:00:00", "noleap")
        assert [*ds.variables][-3:] == ["secmb", "secma", "pltns"]
        assert ds["pltns"][:].mask.all()
    with xr.open_dataset(published / H) as ds:
        # as in the data base: datetime_start 2022-01-01T00:00:00Z, datetime_end 2100-01-01T00:00:00Z
        dates = [str(date) for date in ds.time.values[[0, -1]]]
        assert dates == ["2022-01-01 00:00:00", "2100-01-01 00:00:00"]
        assert ds.sizes["time"] == 79
    with xr.open_dataset(published / HISTORY) as ds:
        assert ds.sizes["time"] == 1175
        assert float(ds.pltns.max()) == float(ds.pltns.min()) == 0
    with netCDF4.Dataset(published / PUBLISHED[-1]) as ds:
        assert ds.source == "LUH3-H-ext V1: Land-Use Harmonization Data Set for H-ext Scenario in CMIP7"
        assert ds.dimensions["time"].size == 400


@pytest.mark.parametrize("scenario", [*MARKERS, "h-ext"])
def test_all_scenarios_are_read_over_the_joint(published, use, scenario):
    adapter = joined(published, scenario)
    last = 2500 if scenario in {"h-ext", "h"} else 2100
    assert adapter.fields()["secdf"].years == (850, last)
    assert adapter.fields()["primf_harv"].years == (850, last - 1)
    assert adapter.fields()["irrig_c3ann"].years == (850, last)
    assert adapter.fields()["icwtr"].years is None
    truth = scenario_of(use, scenario.removesuffix("-ext"))
    for kind, names in (("states", ("pltns", "secdf", "urban")), ("transitions", ("secdf_to_c3ann",))):
        found = read(adapter, names, 2021, 2022, 2024, 2025, 2099)
        for name in names:
            expected = [getattr(use, kind)[name][2021 - 2014], *getattr(truth, kind)[name][[0, 2, 3, 77]]]
            np.testing.assert_array_equal(found[name], expected, err_msg=name)
    (joint, *_) = adapter.joints()
    assert (joint.year, joint.compared, max(joint.largest.values()), joint.usual) == (2022, 2022, 0.0, {})


def test_plantations_without_data_are_no_plantations(published, use):
    """In states, transitions and management, in windows as in the whole; the cells without land stay missing."""
    adapter = joined(published)
    land = np.isfinite(use.states["primf"][0])
    names = ("pltns", "secdf_to_pltns", "pltns_harv", "pltns_bioh", "pltns_bfuel", "prtct_pltns")
    for name in names:
        found = read(adapter, [name], 2023, 2024)
        np.testing.assert_array_equal(found[name], np.broadcast_to(np.where(land, 0.0, np.nan), (2, *land.shape)))
        assert found.attrs["quality"]["no_plantations"] == 2 * land.sum()
        assert {k: v for k, v in found.attrs["quality"].items() if v} == {"no_plantations": 2 * land.sum()}
        box = Box(2, 6, 3, 9)
        part = joined(published).read(Request((name,), adapter.grid().sub(box), (2023,)))
        np.testing.assert_array_equal(part[name][0], found[name][0, 2:6, 3:9])
    text = adapter.describe()
    assert text.count("no data of plantations in " + H) == 1
    assert "no data of plantations in " + HISTORY not in text


def test_plantations_that_are_lost_in_a_part_are_counted(folder, use):
    """A file with data elsewhere is not "no-data": a window without any value is missing, as in all other states."""
    path = folder / H
    land = np.isfinite(use.states["primf"][0])
    some = np.where(np.arange(land.shape[1]) < 6, np.float32(0), np.float32(1e20))
    change(path, 2023, "pltns", lambda v: np.where(land, some, v))
    adapter = joined(folder)
    whole = read(adapter, ["pltns"], 2023)
    assert whole.attrs["quality"]["partly_missing"] == land[:, 6:].sum() > 0
    part = adapter.read(Request(("pltns",), adapter.grid().sub(Box(0, 8, 6, 12)), (2023,)))
    assert np.isnan(part["pltns"]).all()
    assert "no_plantations" not in part.attrs["quality"]
    assert read(adapter, ["pltns"], 2024).attrs["quality"]["no_plantations"] == land.sum()


def test_the_joint_can_be_any_year_of_the_overlap(folder, use):
    """The files are made to differ a little in 2023, so that it shows which one a year is read from."""
    change(folder / H, 2023, "urban", lambda v: np.where(v > 1e19, v, v + np.float32(2**-10)))
    for year, later in ((None, True), (2022, True), (2023, True), (2024, False), (2025, False)):
        adapter = joined(folder, joint_year=year, joint_tolerance=0.02)
        difference = np.nanmax(read(adapter, ["urban"], 2023).urban - use.states["urban"][2023 - 2014])
        assert difference == (2**-10 if later else 0), year
        assert adapter.joints()[0].year == (year or 2022)
        assert adapter.joints()[0].compared == min(year or 2022, 2024)
    text = joined(folder, joint_year=2024).describe()
    assert f"from {folder / HISTORY} (850 to 2023)" in text
    assert f"from {folder / H} (2024 to 2100)" in text
    for year in (2021, 2026):
        with pytest.raises(TimeError, match=f"cannot be joined in {year}") as error:
            joined(folder, joint_year=year)
        assert "from 2022 to 2025" in str(error.value)
    with pytest.raises(ValidationError, match="`joint_year` needs a `history`"):
        SspOptions(folder=folder, scenario="h", joint_year=2022)


def test_transitions_follow_the_joint(published, use):
    """The history has no transitions of 2024: with a joint in 2025, those of 2024 are in the scenario alone."""
    for year in (2023, 2025):
        adapter = joined(published, joint_year=year)
        found = read(adapter, ["primf_harv"], *range(2020, 2026))
        np.testing.assert_array_equal(found.primf_harv[:2], use.transitions["primf_harv"][6:8])
        np.testing.assert_array_equal(found.primf_harv[2:], scenario_of(use, "h").transitions["primf_harv"][:4])


def test_areas_that_jump_at_the_joint_are_refused_with_their_size(folder, use):
    """2 km2 in a thousand change hands in every cell: less than the tolerance of a cell, more than in a usual year."""
    before = {n: use.states[n][2022 - 2014].astype("f8") for n in ("c3ann", "secdf", "secdn")}
    moved = np.float32(2**-9)
    enough = (before["secdf"] > moved) & (before["c3ann"] < 0.9)
    for name, sign in (("c3ann", 1), ("secdf", -1)):
        for year in range(2022, 2026):
            change(folder / H, year, name, lambda v, sign=sign: np.where((v < 1e19) & enough, v + sign * moved, v))
    area = use.grid.row_area[:, None] / 1e6 * np.ones(use.grid.shape)
    crops = np.sum([use.states[n].astype("f8") for n in ("c3ann", "c4ann", "c3per", "c4per", "c3nfx")], axis=0)
    yearly = np.nansum((crops[8] - crops[7]) * area)  # the scenario changes as the history in these years
    jump = float(moved) * (area * enough).sum()
    assert jump > 2 * abs(yearly)
    with pytest.raises(DataError, match=r"areas of land use jump where two files are joined: .*cropland") as error:
        read(joined(folder), ["secdf"], 2021)
    (joint,) = joined(folder, policy="mend").joints()
    assert joint.area["cropland"] == pytest.approx(jump, rel=1e-9)
    assert joint.area["forest"] == pytest.approx(-jump, rel=1e-9)
    assert joint.area["urban"] == 0
    largest = max(abs(yearly), abs(np.nansum((crops[9] - crops[8]) * area)))
    assert joint.usual["cropland"] == pytest.approx(largest, rel=1e-6)
    worst = joint.area_jumps()[0]
    assert f"{joint.area[worst]:+.4g} km2 of {worst}" in str(error.value)
    assert f"{folder / HISTORY} and {folder / H}, year 2022" in str(error.value)
    assert read(joined(folder, policy="mend"), ["secdf"], 2021).attrs["quality"]["jumps"] == len(joint.area_jumps()) > 0
    assert read(joined(folder, joint_tolerance=0.02), ["secdf"], 2021).attrs["quality"]["jumps"] == 0


def test_the_static_file_of_the_history_is_found(folder, use):
    adapter = joined(folder)
    found = adapter.read(Request(("icwtr", "carea", "fstnf", "ccode", "ptbio"), adapter.grid()))
    np.testing.assert_array_equal(found.icwtr, use.static["icwtr"])
    np.testing.assert_allclose(found.carea, use.static["carea"].astype("f8") * 1e6, rtol=1e-6)
    own = luh2(Luh2Options(states=folder / HISTORY, static=folder / STATIC))
    np.testing.assert_array_equal(own.read(Request(("icwtr",), own.grid())).icwtr, found.icwtr)


def test_files_in_the_folders_of_esgf(published, tmp_path):
    """As ``esgpull`` downloads them: a folder for each data set, kind and date."""
    for name in PUBLISHED[:4] + PUBLISHED[10:13]:
        kind, source = name.split("_")[0], name.split("_")[4]
        activity = name.split("_")[3]
        frequency = "fx" if kind == "multiple-static" else "yr"
        target = tmp_path / f"input4MIPs/CMIP7/{activity}/UofMD/{source}/land/{frequency}/{kind}/gn/v20260408"
        target.mkdir(parents=True)
        shutil.copy(published / name, target)
    adapter = joined(tmp_path)
    assert adapter.fields()["pltns"].years == (850, 2100)
    assert "icwtr" in adapter.fields()


@pytest.mark.parametrize("older", ["3-1", "3-1-1", "3-0"])
def test_the_newest_version_of_several_is_read(folder, older):
    for name, version in ((HISTORY, "3-1-2"), (H, "3-1-1")):
        if older != version:
            shutil.copy(folder / name, folder / name.replace(f"{version}_gn", f"{older}_gn"))
    (folder / STATIC.replace("3-1-2_gn", f"{older}_gn")).touch()
    layouts = joined(folder).series["states"].layouts
    assert [layout.path.name for layout in layouts] == [HISTORY, H]


@pytest.mark.parametrize("renamed", [False, True])
def test_the_retracted_version_is_named(folder, renamed):
    """By its name, and by its attribute if the file has another name."""
    name = "states.nc" if renamed else HISTORY.replace("3-1-2", "3-0")
    path = (folder / HISTORY).rename(folder / name)
    if renamed:
        with netCDF4.Dataset(path, "a") as ds:
            ds.source_id = "UofMD-landState-3-0"
    for make in (
        lambda **o: luh2(Luh2Options(states=path, **o)),
        lambda **o: ssp(SspOptions(states=folder / H, history=path, **o)),
        lambda **o: joined(folder, **o),
    ):
        with pytest.raises(DataError, match="LUH3 version 3-0 was retracted") as error:
            make()
        assert str(path) in str(error.value)
        assert "UofMD-landState-3-1-2" in str(error.value)
        assert make(policy="mend").fields()["primf"].years[0] == 850


def test_a_history_that_is_not_there_is_refused(folder, tmp_path):
    (folder / HISTORY).unlink()
    with pytest.raises(DataError, match="does not hold the states of the history") as error:
        joined(folder)
    assert "CMIP_UofMD-landState-3-" in str(error.value)


def test_folders_may_be_urls(folder, use):
    memory = fsspec.filesystem("memory")
    for name in (HISTORY, H, STATIC):
        memory.put_file(folder / name, f"/cmip7/{name}")
    adapter = ssp(SspOptions(folder="memory://cmip7", scenario="h", history="memory://cmip7/"))
    found = read(adapter, ["secdf", "icwtr"], 2021, 2022)
    np.testing.assert_array_equal(found.secdf, use.states["secdf"][[2021 - 2014, 2022 - 2014]])
    np.testing.assert_array_equal(found.icwtr, use.static["icwtr"])


def test_a_renamed_file_says_its_scenario_itself(folder):
    path = (folder / H).rename(folder / "mine.nc")

    def scenario(**options):
        adapter = ssp(SspOptions(states=path, **options))
        return read(adapter, ["urban"], 2030).attrs["scenario"]

    assert scenario() == scenario(scenario="h") == "h"
    assert scenario(scenario="high") == "high"
    with pytest.raises(DataError, match="another scenario") as error:
        scenario(scenario="m")
    assert str(path) in str(error.value)


def test_history_and_scenario_in_one_file(folder, published, use):
    """As ``cdo mergetime`` joins them: plantations are zero to 2021 and have no data from 2022 on."""
    parts = [xr.open_dataset(folder / name, decode_times=False) for name in (HISTORY, H)]
    whole = xr.concat(
        [parts[0].isel(time=slice(2015 - 850, 2022 - 850)), parts[1]], "time", data_vars="minimal", coords="minimal",
        compat="override", combine_attrs="override",
    )  # fmt: skip
    whole.to_netcdf(folder / "whole.nc", engine="netcdf4")
    adapter = luh2(Luh2Options(states=folder / "whole.nc"))
    assert adapter.fields()["pltns"].years == (2015, 2100)
    land = np.isfinite(use.states["primf"][0])
    for year in (2021, 2022, 2100):
        np.testing.assert_array_equal(read(adapter, ["pltns"], year).pltns[0], np.where(land, 0.0, np.nan))
    assert "no data of plantations in whole.nc" in adapter.describe()
