"""Legends and crosswalks from files of the user: a run on maps in the layout of ESA CCI, and wrong files."""

from __future__ import annotations

import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import yaml
from adapter_files import STATES, write_map, write_states
from click.testing import CliRunner

from ai4land_coupler import Simulation, api
from ai4land_coupler.cli import cli
from ai4land_coupler.config.legends import find_crosswalk, find_legend
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.core.legend import get_legend, know_legend, make_legend
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.store.output import open_store
from ai4land_hilda.plugin import HildaOptions, hilda

LEGENDS = Path(__file__).parents[2] / "examples" / "legends"
LCCS = np.array([0, 10, 11, 30, 50, 90, 100, 130, 180, 190, 200, 202, 210, 220], np.uint8)


def write_cci(path: Path, codes: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> Path:
    """A map as ESA CCI publishes it: signed bytes with ``_Unsigned``, 0 is the fill value, one step."""
    with netCDF4.Dataset(path, "w") as ds:
        for name, values, units in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            ds.createDimension(name, len(values))
            ds.createVariable(name, "f8", (name,))[:] = values
            ds[name].setncatts({"units": units, "standard_name": {"lat": "latitude", "lon": "longitude"}[name]})
        ds.createDimension("time", 1)
        ds.createVariable("time", "f8", ("time",))[:] = [16436]  # 2015-01-01
        ds["time"].setncatts({"units": "days since 1970-01-01 00:00:00", "calendar": "standard"})
        ds.createVariable("lccs_class", "i1", ("time", "lat", "lon"), fill_value=np.int8(0))
        ds["lccs_class"].setncatts({"_Unsigned": "true", "flag_values": LCCS.view(np.int8)})
        ds["lccs_class"].set_auto_maskandscale(False)
        ds["lccs_class"][:] = codes.view(np.int8)[None]
    return path


@pytest.fixture
def folder(tmp_path):
    """A configuration on 6 x 8 forcing cells with 10 x 10 land cells each."""
    for name in ("esa-cci.yaml", "luh2-without-pasture.yaml"):
        shutil.copy(LEGENDS / name, tmp_path)
    rng = np.random.default_rng(3)
    codes = rng.choice(LCCS, (60, 80))
    np.save(tmp_path / "codes.npy", codes)
    lat, lon = 60.25 - 0.025 * (np.arange(60) + 0.5), -4 + 0.025 * (np.arange(80) + 0.5)
    write_cci(tmp_path / "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2015-v2.0.7.nc", codes, lat, lon)
    shares = rng.dirichlet(np.ones(len(STATES)), (6, 8)).astype(np.float32)
    states = {name: np.broadcast_to(shares[..., i], (4, 6, 8)).copy() for i, name in enumerate(STATES)}
    write_states(tmp_path / "states.nc", states, first=1165.0)
    return tmp_path


def config_of(folder, **parts):
    names = {name: {"name": name, "kind": "fraction"} for name in STATES}
    raw = {
        "title": "own legend",
        "legend": "esa-cci.yaml",
        "time": {"start": 2015, "stop": 2017},
        "initial": {
            "name": "hilda",
            "options": {"path": "ESACCI*.nc", "legend": "esa-cci.yaml", "variable": "lccs_class"},
        },
        "forcing": [{"name": "netcdf", "options": {"path": "states.nc", "variables": names}}],
        "predictors": [{"name": "persistence", "options": {"legend": "esa-cci.yaml"}}],
        "allocation": {"crosswalk": "luh2-without-pasture.yaml", "gross": "none"},
        "output": {"store": "out.zarr"},
        **parts,
    }
    return parse_config(raw, folder, "test")


def test_a_run_with_a_legend_of_the_user(folder, monkeypatch):
    Simulation(config_of(folder)).run()
    monkeypatch.setattr("ai4land_coupler.core.legend._own_legends", {})  # another process, without the file
    data = open_store(folder / "out.zarr")
    codes = np.load(folder / "codes.npy")
    np.testing.assert_array_equal(data.land_cover.sel(year=2015), codes)
    np.testing.assert_array_equal(data.land_cover.sel(year=2017), codes)  # the scenario does not change
    assert data.attrs.get("legend", data.land_cover.attrs["legend"]) == "esa-cci"
    for arguments in (
        ("report", "--output", folder / "page.html"),
        ("export", "netcdf", "--output", folder / "out.nc"),
    ):
        command, *rest = map(str, arguments)
        result = CliRunner().invoke(cli, [command, str(folder / "out.zarr"), *rest])
        assert result.exit_code == 0, result.output
    legend = get_legend("esa-cci")
    assert legend.names[220] == "snow_and_ice"
    # areas on the sphere, by another formula than the grid's: 2 R2 dlon cos(lat) sin(dlat / 2)
    lat = np.deg2rad(60.25 - 0.025 * (np.arange(60) + 0.5))
    cell = 2 * 6_371_007.2**2 * np.deg2rad(0.025) * np.cos(lat) * np.sin(np.deg2rad(0.0125))
    forest = np.isin(codes, [50, 90, 100])
    assert data.class_area.sel(year=2015, land_class="forest").item() == pytest.approx(
        float((forest * cell[:, None]).sum()), rel=1e-9
    )


def test_a_restart_notes_that_the_file_of_the_legend_changed(folder):
    config = config_of(folder, time={"start": 2015, "stop": 2016})
    Simulation(config).run()
    legend = get_legend("esa-cci")
    assert legend.identity.startswith("esa-cci ")
    changed = make_legend({**legend.describe(), "title": "another edition"})
    assert changed.identity != legend.identity
    with pytest.raises(ConfigError, match="two legends have the same name"):
        know_legend(changed)


@pytest.mark.parametrize("name", ["esa-cci", "copernicus-lc100"])
def test_the_example_legends_are_complete(name):
    legend = find_legend(f"{name}.yaml", LEGENDS)
    assert legend.name == name
    groups = find_crosswalk("luh2-without-pasture.yaml", LEGENDS).group_of_class(legend)
    assert (groups >= 0).tolist() == [True] * 5 + [False]  # all but water


def test_no_data_of_a_geotiff_become_the_code_of_the_legend(tmp_path):
    codes = np.array([[20, 111, 255], [80, 200, 40]], np.uint8)  # LC100: 255 is the no-data value of the files
    path = write_map(tmp_path / "PROBAV_LC100_global_v3.0.1_2019.tif", codes, nodata=255)
    adapter = hilda(HildaOptions(path=path, legend=str(LEGENDS / "copernicus-lc100.yaml"), year=2019))
    found = adapter.read(api.Request(("land_cover",), adapter.grid(), (2019,)))
    np.testing.assert_array_equal(found.land_cover[0], np.where(codes == 255, 0, codes))
    assert found.land_cover.attrs["legend"] == "copernicus-lc100"


def test_codes_that_the_file_does_not_list_are_refused(tmp_path):
    path = write_map(tmp_path / "m_2019.tif", np.array([[20, 21]], np.uint8))
    adapter = hilda(HildaOptions(path=path, legend=str(LEGENDS / "copernicus-lc100.yaml")))
    with pytest.raises(DataError, match="code 21 in 1 cells"):
        adapter.read(api.Request(("land_cover",), adapter.grid(), (2019,)))


RIGHT = {
    "name": "two",
    "title": "two classes",
    "ocean": [0],
    "classes": {1: {"name": "trees", "area_type": "trees"}, 2: {"name": "rest", "area_type": "bare_ground"}},
    "view": {
        "forest": {"codes": [1], "new": 1, "colour": "#00ff00"},
        "other": {"codes": [2], "new": 2, "colour": "#ff0000"},
    },
}
TREES, REST = RIGHT["view"]["forest"], RIGHT["view"]["other"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"view": {"forest": TREES}}, "code 2 is in no class of the view"),
        ({"view": {"forest": TREES, "other": {**REST, "codes": [1, 2]}}}, "code 1 is in forest and in other"),
        ({"view": {"forest": {**TREES, "new": 2}, "other": REST}}, "`new` of forest is 2, which is none of its codes"),
        ({"view": {"forest": TREES, "other": {**REST, "codes": [2, 3]}}}, "without an entry in `classes`: 3"),
        ({"ocean": [1]}, "code 1 is in ocean and in forest"),
        ({"ocean": []}, "ocean"),
        ({"ocean": [255]}, "ocean"),
        ({"view": {"forest": {**TREES, "color": "#00ff00"}, "other": REST}}, "unknown key; did you mean 'colour'"),
        ({"title": None}, "title"),
        ({"name": "hilda-v1.0"}, "two legends have the same name"),
    ],
)
def test_a_wrong_legend_is_refused_with_its_fault(tmp_path, change, match):
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({**RIGHT, "name": "right"}))
    assert find_legend("two.yaml", tmp_path).classes == ("forest", "other")
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(RIGHT | change))
    with pytest.raises(ConfigError, match=match):
        find_legend("wrong.yaml", tmp_path)


def test_files_that_are_missing_or_no_legend_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        find_legend("none.yaml", tmp_path)
    (tmp_path / "text.yaml").write_text("just text")
    with pytest.raises(ConfigError, match="not a mapping"):
        find_crosswalk("text.yaml", tmp_path)
    with pytest.raises(ConfigError, match="give the path of a legend file"):
        find_legend("esa-ccj", tmp_path)
    groups = {"a": {"classes": ["forest"], "states": ["primf"]}, "b": {"classes": ["forest"], "states": ["secdf"]}}
    (tmp_path / "twice.yaml").write_text(yaml.safe_dump({"name": "twice", "groups": groups}))
    with pytest.raises(ConfigError, match="classes are in two groups: forest"):
        find_crosswalk("twice.yaml", tmp_path)
