"""A configuration with parts: what parts have in common, and which parts do not fit together."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from ai4land_coupler.config.parts import load_run, merge, parse_parts
from ai4land_coupler.config.sections import Config, load_config, parse_config
from ai4land_coupler.errors import ConfigError

FORWARD = {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}
BACKWARD = {"name": "persistence", "options": {"legend": "hilda-v1.0-f", "direction": "backward"}}
RAW: dict[str, Any] = {
    "title": "parts",
    "legend": "hilda-v1.0-f",
    "time": {"start": 2015},
    "initial": {"name": "hilda", "options": {"path": "map.tif"}},
    "forcing": [{"name": "luh2", "options": {"states": "states.nc"}}],
    "predictors": [FORWARD],
    "allocation": {"temperature": 2.0, "method": "allocate"},
    "output": {"store": "out/run.zarr", "shard": 64},
    "parts": {
        "past": {"time": {"stop": 1850}, "predictors": [BACKWARD], "allocation": {"temperature": 1.0}},
        "future": {"time": {"stop": 2100}, "forcing": [{"name": "ssp", "options": {"states": "ssp.nc"}}]},
    },
}


def changed(**parts: Any) -> dict[str, Any]:
    """The configuration with other parts; ``None`` removes one."""
    raw = copy.deepcopy(RAW)
    raw["parts"] = {name: part for name, part in {**raw["parts"], **parts}.items() if part is not None}
    return raw


def test_a_part_has_the_common_settings_and_its_own(tmp_path: Path) -> None:
    found = parse_parts(RAW, tmp_path, "run.yaml")
    assert list(found.parts) == ["past", "future"]
    assert (found.history, found.scenarios) == ("past", ("future",))
    past = {key: value for key, value in RAW.items() if key != "parts"} | {
        "time": {"start": 2015, "stop": 1850},
        "predictors": [BACKWARD],
        "allocation": {"temperature": 1.0, "method": "allocate"},
        "output": {"store": "out/run.zarr.parts/past.zarr", "shard": 64},
    }
    assert found.part("past") == parse_config(past, tmp_path, "one run")
    future = found.part("future")
    assert [choice.name for choice in future.forcing] == ["ssp"]
    assert (future.time.start, future.time.stop, future.allocation.temperature) == (2015, 2100, 2.0)
    assert found.joined_store("future") == tmp_path / "out/run.zarr"
    assert found.part_store("future") == tmp_path / "out/run.zarr.parts/future.zarr"


def test_several_scenarios_share_a_history(tmp_path: Path) -> None:
    raw = changed(low={"time": {"stop": 2100}}) | {"restart": {"folder": "scratch"}}
    found = parse_parts(raw, tmp_path, "run.yaml", ["time.start=2010", "parts.low.time.stop=2050"])
    assert found.scenarios == ("future", "low")
    assert {found.joined_store(name).name for name in found.scenarios} == {"run-future.zarr", "run-low.zarr"}
    assert found.part("low").restart.folder == Path("scratch/low")
    assert (found.part("past").time.start, found.part("low").time.stop) == (2010, 2050)


def test_mappings_are_merged_and_lists_are_replaced() -> None:
    common = {"a": {"b": 1, "c": {"d": 2}}, "e": [1, 2], "f": None}
    assert merge(common, {"a": {"c": {"g": 3}}, "e": [3], "f": {"h": 4}}) == {
        "a": {"b": 1, "c": {"d": 2, "g": 3}},
        "e": [3],
        "f": {"h": 4},
    }
    assert common == {"a": {"b": 1, "c": {"d": 2}}, "e": [1, 2], "f": None}


@pytest.mark.parametrize(
    ("raw", "texts"),
    [
        (changed(past={"time": {"stop": 1850}, "legend": "x"}), ["must be the same", "parts.past.legend", "outside"]),
        (changed(past={"random": {"seed": 1}}), ["must be the same", "parts.past.random"]),
        (changed(past={"initial": {"year": 2012}}), ["must be the same", "parts.past.initial"]),
        (changed(past={"predictor": []}), ["unknown key", "parts.past.predictor", "did you mean 'predictors'"]),
        (changed(past={"time": {"start": 2014, "stop": 1850}}), ["same year", "past 2014 to 1850", "future 2015 to"]),
        (changed(past=None), ["one history", "future 2015 to 2100"]),
        (changed(older={"time": {"stop": 1700}}), ["one history", "older 2015 to 1700", "several files"]),
        (changed(still={"time": {"stop": 2015}}), ["one history", "still 2015 to 2015"]),
        (changed(past={"time": {"stop": "long ago"}}), ["part 'past'", "time.stop", "long ago"]),
        (changed(past={"predictors": [BACKWARD]}), ["part 'past'", "time.stop: missing"]),
        (changed(**{"a/b": {"time": {"stop": 2050}}}), ["name of a folder", "a/b"]),
        (changed(past=[1]), ["malformed", "'past': 'list'"]),
        ({**RAW, "parts": None}, ["malformed"]),
        ({**RAW, "parts": {}}, ["one history", "no part"]),
        ({key: value for key, value in RAW.items() if key != "output"}, ["output.store"]),
    ],
)
def test_parts_that_do_not_fit_together(raw: dict[str, Any], texts: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_parts(raw, tmp_path, "run.yaml")
    for text in [*texts, "run.yaml"]:
        assert text in str(caught.value)


def test_files_with_and_without_parts(tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(RAW, sort_keys=False))
    found = load_run(path)
    assert not isinstance(found, Config)
    with pytest.raises(ConfigError, match=r"no part of this name(.|\n)*did you mean 'future'"):
        found.part("futur")
    with pytest.raises(ConfigError, match=r"not one run(.|\n)*past, future(.|\n)*--part NAME"):
        load_config(path)
    single = {key: value for key, value in RAW.items() if key != "parts"} | {"time": {"start": 2015, "stop": 2020}}
    path.write_text(yaml.safe_dump(single))
    assert load_run(path) == load_config(path)


def test_the_example_has_a_history_and_two_scenarios() -> None:
    found = load_run(Path(__file__).parents[2] / "examples" / "history-and-scenarios.yaml")
    assert not isinstance(found, Config)
    assert (found.history, found.scenarios) == ("history", ("demand", "none"))
    assert found.part("none").allocation.method == "argmax"
