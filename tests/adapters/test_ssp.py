"""The adapter ``ssp``: names of scenarios, and the real sample. ``test_luh2.py`` tests the layout of the states."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from adapter_files import LAT, LON, fractions, write_states

from ai4land_coupler.api import Box, DataError, LatLonGrid, Request
from ai4land_ssp import plugin
from ai4land_ssp.plugin import SspOptions, ssp

PUBLISHED = "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-{}-2-1-f_gn_2015-2100.nc"


def test_registers_under_its_name():
    seen = []

    class Registry:
        def adapter(self, name, factory, options):
            seen.append((name, factory, options))

    plugin.ai4land_register(Registry())
    assert seen == [("ssp", ssp, SspOptions)]


def scenario(path, **options):
    write_states(path, fractions(), first=0.0, time_units="years since 2015-01-01 0:0:0")
    adapter = ssp(SspOptions(states=path, **options))
    ds = adapter.read(Request(("primf",), LatLonGrid.from_centres(LON, LAT), (2015, 2017)))
    assert ds.year.values.tolist() == [2015, 2017]
    return ds.attrs["scenario"]


@pytest.mark.parametrize("name", ["IMAGE-ssp119", "MESSAGE-ssp245", "AIM-ssp370", "GCAM-ssp434", "MAGPIE-ssp534"])
def test_published_names_give_the_scenario(tmp_path, name):
    assert scenario(tmp_path / PUBLISHED.format(name)) == name
    assert scenario(tmp_path / PUBLISHED.format(name), scenario=name.split("-")[1]) == name


def test_other_names_give_no_scenario(tmp_path):
    assert scenario(tmp_path / "states.nc") == "unnamed"
    assert scenario(tmp_path / "states.nc", scenario="my-ssp") == "my-ssp"


def test_contradicting_scenario_is_refused(tmp_path):
    with pytest.raises(DataError, match="another scenario") as error:
        scenario(tmp_path / PUBLISHED.format("MAGPIE-ssp585"), scenario="ssp126")
    assert "expected: ssp126" in str(error.value)
    assert "found: MAGPIE-ssp585" in str(error.value)


@pytest.fixture
def sample(sample_data):
    return sample_data / "scenario" / "multiple-states_derived_British-Isles_gn_2015-2100.nc"


@pytest.mark.real_data
def test_real_sums_of_1_005_are_renormalised_and_counted(sample):
    adapter = ssp(SspOptions(states=sample))
    names = tuple(n for n, f in adapter.fields().items() if f.units == "1")
    assert names == ("primf", "primn", "secdf", "secdn", "urban", "pastr", "crop")
    assert adapter.fields()["crop"].years == (2015, 2100)
    ds = adapter.read(Request(names, adapter.grid(), tuple(range(2015, 2101))))
    with xr.open_dataset(sample, decode_times=False) as raw:
        before = {n: np.where(raw[n] > 1e19, np.nan, raw[n].values.astype("f8")) for n in names}
    total = sum(before.values())
    over = total > 1 + 1e-6
    assert 1.004 < np.nanmax(total) < 1.006
    assert ds.attrs["quality"]["renormalised"] == over.sum() == 12_214
    after = sum(ds[n].values.astype("f8") for n in names)
    np.testing.assert_allclose(after[over], 1.0, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(total))
    for name in names:
        np.testing.assert_allclose(ds[name].values[over], before[name][over] / total[over], rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(ds[name].values[~over], before[name][~over].astype("f4"))


@pytest.mark.real_data
def test_real_sample_on_a_global_window_is_missing_where_the_file_ends(sample):
    adapter = ssp(SspOptions(states=sample))
    globe = LatLonGrid(0.0, 0.25, 1440, -90.0, 0.25, 720)
    ds = adapter.read(Request(("crop",), globe, (2050,)))
    assert ds.attrs["quality"]["outside"] == globe.size - 52 * 69
    own = adapter.read(Request(("crop",), adapter.grid(), (2050,))).crop
    # the western part of the British Isles lies at the end of a grid from 0 to 360
    rows = slice((49 + 90) * 4, (62 + 90) * 4)
    west = ds.crop.values[0, rows, 1440 - 56 :][::-1]
    np.testing.assert_array_equal(west, own.values[0, :, :56])
    part = adapter.read(Request(("crop",), adapter.grid().sub(Box(10, 20, 30, 40)), (2050,))).crop
    np.testing.assert_array_equal(part, own[:, 10:20, 30:40])


@pytest.mark.real_data
def test_real_sample_has_no_range_state(sample):
    adapter = ssp(SspOptions(states=sample))
    with pytest.raises(DataError, match="variable 'range' is missing") as error:
        adapter.read(Request(("range",), adapter.grid(), (2050,)))
    assert "crop, pastr, primf" in str(error.value)
