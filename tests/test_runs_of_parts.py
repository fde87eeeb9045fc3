"""A history backward in time and scenarios forward from one configuration, and the store with the years of both."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import needs
import numpy as np
import pytest
import xarray as xr
import yaml
from click.testing import CliRunner
from ranks import mpirun
from stopped_runs import Stop

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.cli import cli
from ai4land_coupler.component.performance import read_sheets
from ai4land_coupler.config.parts import PartsConfig, parse_parts
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import Ai4LandError, ConfigError
from ai4land_coupler.formats import export
from ai4land_coupler.parts import run_parts
from ai4land_coupler.report.content import collect_content
from ai4land_coupler.store.output import inspect, open_store

if TYPE_CHECKING:
    from ai4land_coupler.experiments.twin import TwinReport

START, FIRST, LAST = 2015, 2013, 2017
YEARS = list(range(FIRST, LAST + 1))
ORDER = [("history", 2014), ("history", 2013), ("scenario", 2016), ("scenario", 2017)]
LEGEND = "hilda-v1.0-f"


@pytest.fixture(scope="module")
def settings(small_twin: TwinReport) -> dict[str, Any]:
    """A history and a scenario of the small twin, without hosts: that is faster."""
    paths = {name: str(path) for name, path in small_twin.paths.items()}
    return {
        "title": "small twin",
        "legend": LEGEND,
        "time": {"start": START},
        "initial": {"name": "hilda", "options": {"path": paths["maps"], "legend": LEGEND}},
        "forcing": [
            {"name": "ssp", "options": {"states": paths["scenario"]}},
            {"name": "luh2", "options": {"states": paths["states"]}},
        ],
        "predictors": [persistence()],
        "allocation": {"temperature": 1.0},
        "parallel": {"block": 3},
        "parts": {
            "history": {"time": {"stop": FIRST}, "predictors": [persistence(direction="backward")]},
            "scenario": {"time": {"stop": LAST}},
        },
    }


@pytest.fixture
def raw(settings: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(settings)


def persistence(**options: Any) -> dict[str, Any]:
    return {"name": "persistence", "options": {"legend": LEGEND, **options}}


def parts_of(raw: dict[str, Any], store: Path, **sections: Any) -> PartsConfig:
    return parse_parts({**raw, "output": {"store": str(store), "shard": 64}, **sections}, store.parent, "run.yaml")


def arrays(store: Path, host: str | None = None) -> dict[str, np.ndarray]:
    """All numbers of a store, on the land grid or on a host grid."""
    data = open_store(store, host=host)
    return {str(name): data[name].values for name in (*data.data_vars, "year")}


def single_runs(raw: dict[str, Any], folder: Path, host: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of the joined store, made in memory from two runs that know nothing of parts."""
    found = []
    for name, part in raw["parts"].items():
        own = {key: value for key, value in {**raw, **part}.items() if key != "parts"}
        own |= {"time": {"start": START, **part["time"]}, "output": {"store": f"{name}.zarr", "shard": 64}}
        Simulation(parse_config(own, folder, name)).run()
        found.append(arrays(folder / f"{name}.zarr", host))
    assert found[0]["year"].tolist() == [2015, 2014, 2013]
    return {key: np.concatenate([values[::-1], found[1][key][1:]]) for key, values in found[0].items()}


@pytest.fixture(scope="module")
def reference(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    found = single_runs(settings, tmp_path_factory.mktemp("reference"))
    for before, after in zip(found["land_cover"][:-1], found["land_cover"][1:], strict=True):
        assert (before != after).any()  # without change, any run would give the same
    return found


def assert_joined(store: Path, reference: dict[str, np.ndarray], host: str | None = None) -> None:
    found = arrays(store, host)
    assert found.keys() == reference.keys()
    assert found["year"].tolist() == YEARS
    for name, values in reference.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_parts_equal_single_runs_and_every_reader_takes_the_joined_store(
    raw: dict[str, Any], host_grid: Path, tmp_path: Path
) -> None:
    needs.yac()
    raw["hosts"] = {"host": {"grid": str(host_grid)}}
    on_host = single_runs(raw, tmp_path, "host")
    store = tmp_path / "run.zarr"
    parts = parts_of(raw, store)
    told: list[tuple[str, int]] = []
    (joined,) = run_parts(parts, progress=lambda part, done, total, year: told.append((part, year)))
    assert told == ORDER
    assert (joined.path, joined.years, joined.copied) == (store, (FIRST, LAST), 0)
    assert_joined(store, on_host, "host")

    # other programs: xarray, with CF times
    with xr.open_zarr(store, consolidated=False) as data:
        assert data["year"].values.tolist() == YEARS
        assert [str(time)[:10] for time in data["time"].values] == [f"{year}-01-01" for year in YEARS]
        assert "backward in time" in data.attrs["comment"]
    with xr.open_zarr(store, group="hosts/host", consolidated=False) as data:
        np.testing.assert_array_equal(data["land_cover_fraction"].values, on_host["land_cover_fraction"])
    # our programs
    facts = inspect(store, verify=True)
    assert facts["years"] == facts["committed"] == YEARS
    assert len(read_sheets(store)) == 2
    content = collect_content(store)
    assert content.facts["years"] == YEARS
    assert content.facts["config"].startswith("part history:")
    assert "part scenario:" in content.facts["config"]
    (file,) = export(store, "netcdf", tmp_path / "maps.nc")
    with xr.open_dataset(file) as data:
        assert data["time"].dt.year.values.tolist() == YEARS

    # no map takes space twice
    maps = [file for file in store.joinpath("land_cover", "c").rglob("*") if file.is_file()]
    assert maps
    assert all(file.stat().st_nlink == 2 for file in maps)

    provenance = json.loads(open_store(store).attrs["provenance"])
    assert list(provenance["parts"]) == ["history", "scenario"]
    for name, own in provenance["parts"].items():
        assert json.loads(own["config"])["time"]["stop"] == parts.part(name).time.stop
        assert own["inputs"]


def test_maps_follow_the_history_and_the_scenario(raw: dict[str, Any], small_twin: TwinReport, tmp_path: Path) -> None:
    """Areas change as those of the twin's own maps of the past, and as the scenario's states."""
    import rasterio

    raw["parts"]["history"]["time"]["stop"] = 2010
    store = tmp_path / "run.zarr"
    run_parts(parts_of(raw, store))
    data = open_store(store)
    pattern = raw["initial"]["options"]["path"]
    maps = {}
    for year in (2010, START):
        with rasterio.open(pattern.format(year=year)) as file:
            maps[year] = file.read(1)
    rounding = 3 * np.sqrt(8 * 12 / 12)  # the cells of the forcing, each rounded to whole cells of land: 3 sigma
    moved = 0
    for codes in ([11], [22], [33], [40, 41, 42, 43, 44, 45]):
        wanted = int(np.isin(maps[2010], codes).sum()) - int(np.isin(maps[START], codes).sum())
        came = int(np.isin(data["land_cover"].sel(year=2010), codes).sum() - np.isin(maps[START], codes).sum())
        assert abs(came - wanted) <= rounding
        moved = max(moved, abs(wanted))
    assert moved > 2 * rounding
    np.testing.assert_array_equal(data["land_cover"].sel(year=START), maps[START])
    # what was not met stays small against what was asked, on both sides
    asked = np.abs(data["class_area"] - data["class_area"].sel(year=START)).sum("land_class")
    unmet = data["unmet_area"].sum("group")
    for year in (2010, LAST):
        assert float(unmet.sel(year=year)) < 0.2 * float(asked.sel(year=year))


def test_a_stopped_run_continues_in_its_part_and_year(
    raw: dict[str, Any], reference: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Stops inside the history, between the parts, and inside the scenario."""
    store = tmp_path / "run.zarr"
    parts = parts_of(raw, store)
    told: list[tuple[str, int]] = []
    stops = [("history", 2014), ("history", 2013), ("scenario", 2016)]

    def stop(part: str, done: int, total: int, year: int) -> None:
        told.append((part, year))
        if (part, year) in stops:
            raise Stop

    for last in stops:
        with pytest.raises(Stop):
            run_parts(parts, restart=True, progress=stop)
        assert told[-1] == last
        assert not store.exists()
    run_parts(parts, restart=True, progress=stop)
    assert told == ORDER
    assert_joined(store, reference)
    before = (store / "zarr.json").stat().st_ino
    run_parts(parts, restart=True, progress=stop)  # nothing is left to do
    assert told == ORDER
    assert (store / "zarr.json").stat().st_ino == before


def test_scenarios_share_one_history(raw: dict[str, Any], reference: dict[str, np.ndarray], tmp_path: Path) -> None:
    raw["parts"]["none"] = {"time": {"stop": 2016}, "allocation": {"method": "argmax"}}
    parts = parts_of(raw, tmp_path / "run.zarr")
    assert run_parts(parts, only="none") == []  # the history is not there yet
    joined = run_parts(parts, only="history")
    assert [(store.path.name, store.years) for store in joined] == [("run-none.zarr", (FIRST, 2016))]
    joined = run_parts(parts, only="scenario")
    assert [store.path.name for store in joined] == ["run-scenario.zarr"]
    assert_joined(tmp_path / "run-scenario.zarr", reference)
    cover = open_store(tmp_path / "run-none.zarr")["land_cover"]
    assert cover["year"].values.tolist() == YEARS[:-1]
    same = [bool((cover.sel(year=year) == reference["land_cover"][year - FIRST]).all()) for year in YEARS[:-1]]
    assert same == [True, True, True, False]


@pytest.mark.mpi
def test_parts_on_ranks(raw: dict[str, Any], reference: dict[str, np.ndarray], tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    config = tmp_path / "run.yaml"
    raw["output"] = {"store": str(store), "shard": 64}
    config.write_text(yaml.safe_dump(raw, sort_keys=False))
    done = mpirun(2, "-m", "ai4land_coupler.cli", "run", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index("part history") < done.stdout.index("part scenario")
    assert f"years {FIRST} to {LAST} are in {store}" in done.stdout
    assert_joined(store, reference)


def test_parts_that_do_not_fit_are_refused_before_one_runs(raw: dict[str, Any], tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"

    def refused(part: str, own: dict[str, Any], **sections: Any) -> str:
        given = {**raw["parts"], part: {**raw["parts"][part], **own}}
        parts = parts_of(raw, store, parts=given, **sections)
        with pytest.raises(Ai4LandError) as caught:
            run_parts(parts)
        assert not store.with_name("run.zarr.parts").exists()
        return str(caught.value)

    assert "trained for the other direction" in refused("history", {"predictors": raw["predictors"]})
    assert "2023" in refused("scenario", {"time": {"stop": 2090}})  # the first year without data
    text = refused("scenario", {"predictors": [persistence(step="P2Y")]})
    assert "do not fit together" in text
    assert "in part 'scenario': step P2Y" in text
    leaves = {"name": "phenology", "options": {"legend": LEGEND, "start": 0.0}}
    imports = {"air_temperature": {"values": 285.0, "units": "K"}}
    text = refused("scenario", {"predictors": [*raw["predictors"], leaves]}, imports=imports)
    assert "do not fit together" in text
    assert "lai" in text
    store.mkdir()
    (store / "notes.txt").write_text("mine")
    assert "path of the joined store is taken" in refused("scenario", {})


def test_a_part_that_ran_before_is_continued_or_refused(raw: dict[str, Any], tmp_path: Path) -> None:
    store = tmp_path / "run.zarr"
    run_parts(parts_of(raw, store))
    with pytest.raises(ConfigError, match=r"part 'history' has an output store already(.|\n)*--restart"):
        run_parts(parts_of(raw, store))
    raw["random"] = {"seed": 5}
    (joined,) = run_parts(parts_of(raw, store, output={"store": str(store), "shard": 64, "overwrite": True}))
    assert json.loads(open_store(joined.path).attrs["provenance"])["parts"]["history"]["config"].count('"seed": 5') == 1
    with pytest.raises(ConfigError, match="seed"):
        run_parts(parts_of({**raw, "random": {"seed": 6}}, store), restart=True)


def test_hosts_and_other_commands_take_one_part(raw: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw | {"output": {"store": "run.zarr"}}, sort_keys=False))
    with pytest.raises(ConfigError, match=r"a run made of parts is not one run(.|\n)*history, scenario"):
        LandComponent(path)

    def called(command: str, *arguments: str) -> str:
        done = CliRunner().invoke(cli, [command, str(path), *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    text = called("validate")
    assert text.index("part history") < text.index("2015 to 2013") < text.index("part scenario")
    assert "part history" not in called("validate", "--part", "scenario")
    assert called("plan").count("steps") == 2
    assert list(json.loads(called("check", "--years", "ends", "--json"))) == ["history", "scenario"]
