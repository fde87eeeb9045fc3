"""Every published layout of LUH2 and LUH3, with its faults, gives the same arrays as a clean file."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
import xarray as xr

from ai4land_coupler.api import Box, Request, TimeError
from ai4land_coupler.experiments.twin.luh_land_use import QUANTA, LandUse, land_use_of
from ai4land_coupler.experiments.twin.luh_layouts import KINDS, LAYOUTS, units_of, write_published
from ai4land_luh2.plugin import Luh2Options, luh2
from ai4land_ssp.plugin import SspOptions, ssp

SCENARIO = {"luh2-future": "IMAGE-ssp126", "luh2-extension": "IMAGE-ssp126", "luh3-scenario": "h"}


@pytest.fixture(scope="module")
def uses(small_twin) -> dict[str, LandUse]:
    """Three years around the joint of history and scenario."""
    return {name: land_use_of(small_twin, luh3=name == "luh3").part(2014, 2016) for name in ("luh2", "luh3")}


def use_of(layout, uses) -> LandUse:
    return uses["luh3" if layout.startswith("luh3") else "luh2"]


def write_clean(folder, use):
    """The same land use, plainly written with xarray: proper fill values and dates, southernmost row first, and
    longitudes another turn on."""
    paths = {}
    for kind in KINDS:
        fields, years = getattr(use, kind), use.years[:-1] if kind == "transitions" else use.years
        dims = ("lat", "lon") if kind == "static" else ("time", "lat", "lon")
        data = {n: (dims, v, {"units": units_of(n, "1").removesuffix(" (crop season)")}) for n, v in fields.items()}
        coords = {"lat": use.grid.lat, "lon": use.grid.lon + 360}
        if kind != "static":
            coords["time"] = xr.date_range(f"{years[0]:04d}-01-01", periods=len(years), freq="YS", use_cftime=True)
        ds = xr.Dataset(data, coords).isel(lat=slice(None, None, -1)).sortby("lon")
        paths[kind] = folder / f"{kind}.nc"
        ds.to_netcdf(paths[kind], engine="netcdf4", encoding={n: {"_FillValue": np.float32(1e20)} for n in fields})
    return paths


def adapter_of(layout, paths):
    options = dict(paths)
    if layout in SCENARIO:
        return ssp(SspOptions(**options))
    return luh2(Luh2Options(**options))


def read_all(adapter, use, kind):
    years = {"static": (), "transitions": use.years[:-1]}.get(kind, use.years)
    return adapter.read(Request(tuple(getattr(use, kind)), use.grid, years))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_layout_gives_the_arrays_of_its_clean_equivalent(layout, uses, tmp_path):
    use = use_of(layout, uses)
    published = write_published(tmp_path, layout, use, SCENARIO.get(layout, ""))
    (tmp_path / "clean").mkdir()
    clean = write_clean(tmp_path / "clean", use)
    faulty, clean = adapter_of(layout, published), luh2(Luh2Options(**{kind: clean[kind] for kind in published}))
    assert set(faulty.fields()) == set(clean.fields())
    for kind in published:
        left, right = read_all(faulty, use, kind), read_all(clean, use, kind)
        for name, written in getattr(use, kind).items():
            expected = written.astype(np.float64) * 1e6 if name == "carea" else written
            np.testing.assert_array_equal(left[name], expected.astype(np.float32), err_msg=name)
            np.testing.assert_array_equal(right[name], expected.astype(np.float32), err_msg=name)
            assert left[name].attrs == right[name].attrs
        assert left.attrs["quality"] == right.attrs["quality"]
        assert sum(left.attrs["quality"].values()) == 0
    part = Box(2, 6, 3, 9)
    window = adapter_of(layout, published).read(Request(("secdf", "flood"), use.grid.sub(part), use.years[:2]))
    np.testing.assert_array_equal(window.secdf, use.states["secdf"][:2, 2:6, 3:9])
    np.testing.assert_array_equal(window.flood, use.management["flood"][:2, 2:6, 3:9])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_have_the_faults_of_the_originals(layout, uses, tmp_path):
    paths = write_published(tmp_path, layout, use_of(layout, uses), SCENARIO.get(layout, ""))
    assert ("static" in paths) == (layout != "luh3-scenario")
    with netCDF4.Dataset(paths["management"]) as ds, netCDF4.Dataset(paths.get("static", paths["states"])) as static:
        assert ds["fertl_c3ann"].units == "kg ha-1 yr-1 (crop season)"
        assert ("_FillValue" in ds["flood"].ncattrs()) == layout.startswith("luh3")
        assert ("lat_bnds" in ds.variables) == layout.startswith("luh3")
        assert ds["time"].units.split()[0] == ("days" if layout.startswith("luh3") else "years")
        bounds = static["lat_bnds" if layout.startswith("luh3") else "lat_bounds"][0]
        off = abs(float(bounds.mean()) - float(static["lat"][0]))
        assert off == pytest.approx(0.0 if layout.startswith("luh3") else 0.125)


@pytest.mark.parametrize("family", ["luh2", "luh3"])
def test_states_follow_exactly_from_the_transitions(family, uses, tmp_path):
    """state(t + 1) = state(t) + in - out, from what is read; harvest of primary land makes it secondary."""
    use = uses[family]
    layout = {"luh2": "luh2-v2h", "luh3": "luh3"}[family]
    adapter = adapter_of(layout, write_published(tmp_path, layout, use))
    states, flows = read_all(adapter, use, "states"), read_all(adapter, use, "transitions")
    moves = {n: v for n, v in flows.items() if "_to_" in n}
    moves |= {"primf_to_secdf": flows["primf_harv"], "primn_to_secdn": flows["primn_harv"]}
    moved = 0.0
    for state in [n for n in states if n not in ("secma", "secmb")]:
        now = states[state].values.astype(np.float64)
        came = sum(v.values.astype(np.float64) for n, v in moves.items() if n.endswith(f"_to_{state}"))
        went = sum(v.values.astype(np.float64) for n, v in moves.items() if n.startswith(f"{state}_to_"))
        np.testing.assert_array_equal(now[1:], now[:-1] + came - went)
        moved += np.nansum(went)
    assert moved > 0.1
    total = sum(states[n].values.astype(np.float64) for n in states if n not in ("secma", "secmb"))
    assert np.ptp(total, axis=0)[np.isfinite(total[0])].max() == 0
    assert np.nanmax(np.abs(total[0] - (1 - use.static["icwtr"]))) < 13 / QUANTA


def test_transitions_end_a_year_before_the_states(uses, tmp_path):
    use = uses["luh2"]
    adapter = adapter_of("luh2-v2h", write_published(tmp_path, "luh2-v2h", use))
    assert adapter.fields()["primf"].years == (2014, 2016)
    assert adapter.fields()["primf_to_secdn"].years == adapter.fields()["secmf_bioh"].years == (2014, 2015)
    with pytest.raises(TimeError, match="2016 is not in the data") as error:
        adapter.read(Request(("primf_harv",), use.grid, (2016,)))
    assert "they end a year before the states" in str(error.value)


def test_units_are_those_of_the_documentation(uses, tmp_path):
    adapter = adapter_of("luh2-v2h", write_published(tmp_path, "luh2-v2h", uses["luh2"]))
    fields = adapter.fields()
    units = {n: fields[n].units for n in ("fertl_c3ann", "irrig_c4per", "rndwd", "primf_harv", "secyf_bioh", "ccode")}
    assert units == {
        "fertl_c3ann": "kg ha-1 yr-1", "irrig_c4per": "1", "rndwd": "1",
        "primf_harv": "1", "secyf_bioh": "kg yr-1", "ccode": "1",
    }  # fmt: skip
    # LUH2 v2h has 108 transitions and 10 variables of wood harvest, and 22 of management
    assert len(uses["luh2"].transitions) == 118
    assert len(uses["luh2"].management) == 22


def test_the_description_for_users(uses, tmp_path):
    paths = write_published(tmp_path, "luh3-scenario", uses["luh3"], "h")
    text = ssp(SspOptions(**paths)).describe()
    for part in (
        "LUH3 future, scenario h",
        "states 2014 to 2016: 15 variables",
        "in kg m-2: secmb",
        str(paths["transitions"]),
        "a transition belongs to the year it starts from",
        "grid: ",
        "masked: values above 1e19",
        "closed: states that sum to more than 1",
    ):
        assert part in text
    assert max(len(line) for line in text.replace(str(tmp_path), "").splitlines()) < 170
