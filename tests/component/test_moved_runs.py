"""A restart continues a run with the same settings and inputs, wherever they are; every difference is named."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
from coupling import PERSISTENCE, Raw, config_of, realized

from ai4land_coupler import LandComponent
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.files.durable import seal, unseal
from ai4land_coupler.store.restart import MANIFEST

needs.yac()
COVER = "land_cover_fraction"


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    return {**twin_config, "predictors": [PERSISTENCE], "static": [], "allocation": {"gross": "none"}}


@pytest.fixture
def restart(raw: Raw, tmp_path: Path) -> Path:
    first = realized(raw)
    first.run(2017)
    first.write_restart(tmp_path / "restart")
    return tmp_path / "restart"


def continued(raw: Raw, restart: Path) -> LandComponent:
    component = LandComponent(config_of(raw))
    component.initialize(restart)
    return component


def moved(raw: Raw, folder: Path) -> Raw:
    """The same run with copies of all its inputs in another folder, and scenario files with other names."""
    folder.mkdir()
    new = copy.deepcopy(raw)
    maps = Path(raw["initial"]["options"]["path"])
    for file in maps.parent.glob("*.tif"):
        shutil.copy(file, folder)
    new["initial"]["options"]["path"] = str(folder / maps.name)
    for number, entry in enumerate(new["forcing"]):
        target = folder / f"states_{number}.nc"
        shutil.copy(entry["options"]["states"], target)
        entry["options"]["states"] = str(target)
    return new


def rewrite(restart: Path, change: Any) -> None:
    manifest = restart / "2017" / MANIFEST
    content = unseal(manifest.read_bytes(), manifest, "")
    change(content["attrs"])
    manifest.write_bytes(seal(content))


def test_another_folder_and_other_threads(raw: Raw, restart: Path, tmp_path: Path) -> None:
    whole = realized(raw)
    whole.run(2019)
    other = {**moved(raw, tmp_path / "moved"), "parallel": {**raw["parallel"], "threads": 3}}
    component = continued(other, restart)
    assert [warning.split(";")[0] for warning in component.warnings] == [
        "the restart was written with threads 1, this run has 3"
    ]
    component.set_named_grid("host")
    component.realize()
    component.run(2019)
    np.testing.assert_array_equal(component.export(COVER), whole.export(COVER))


def test_settings_that_change_no_results(raw: Raw, restart: Path, tmp_path: Path) -> None:
    other = {
        **raw,
        "title": "another title",
        "time": {"start": 2015, "stop": 2019},
        "output": {"store": str(tmp_path / "elsewhere.zarr")},
        "exports": {"transitions": True},
        "hosts": {},
        "parallel": {**raw["parallel"], "workers": 1},
        "regrid": {"cache": str(tmp_path / "cache")},
    }
    assert not continued(other, restart).warnings
    reported = continued({**raw, "quality": {"policy": "mend"}}, restart).warnings
    assert list(reported) == ["the restart was written with quality.policy stop, this run has mend"]


def test_a_run_goes_on_after_its_scenario(raw: Raw, restart: Path) -> None:
    """`beyond` changes only years that the other run could not reach; what it says after that must stay."""
    first, *others = raw["forcing"]
    held = {**raw, "forcing": [{**first, "beyond": "hold"}, *others]}
    reported = continued(held, restart).warnings
    assert list(reported) == ["the restart was written with forcing[0].beyond stop, this run has hold"]
    rewrite(restart, lambda attrs: attrs["settings"].update({"forcing[0].beyond": "hold"}))
    with pytest.raises(ConfigError, match=r"forcing\[0\].beyond"):
        continued(raw, restart)


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"time": {"start": 2015, "stop": 2021, "base_year": 2016}}, ("time.base_year 2016", "time.base_year None")),
        ({"random": {"seed": 3}}, ("seed 3", "seed 0")),
        (
            {"allocation": {"gross": "none", "gross_temperature": 0.25}},
            ("allocation.gross_temperature 0.25", "allocation.gross_temperature 0.5"),
        ),
        (
            {"imports": {"air_temperature": {"values": 280.0, "units": "K"}}},
            ("imports.air_temperature.values 280.0", "imports.air_temperature.values (none)"),
        ),
        ({"parallel": {"block": 2}}, ("parallel.block 2", "parallel.block 3")),
    ],
)
def test_each_setting_that_differs_is_named(raw: Raw, restart: Path, part: Raw, text: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="does not fit") as caught:
        continued({**raw, **part}, restart)
    assert text[0] in str(caught.value.expected)
    assert text[1] in str(caught.value.found)


def test_other_inputs_are_named(raw: Raw, restart: Path, tmp_path: Path) -> None:
    """The forcing has another content under the same name; a data set more; a file more."""
    other = moved(raw, tmp_path / "moved")
    states = Path(other["forcing"][0]["options"]["states"])
    with states.open("ab") as file:
        file.write(b"0")
    with pytest.raises((ConfigError, DataError), match=r"files of forcing\[0\]") as caught:
        continued(other, restart)
    assert "files of forcing[1]" not in str(caught.value)
    assert f"{states.stat().st_size} bytes" in str(caught.value.expected)
    assert f"{states.stat().st_size - 1} bytes" in str(caught.value.found)
    with pytest.raises(ConfigError, match=r"forcing\[1\].name") as caught:
        continued({**raw, "forcing": raw["forcing"][:1]}, restart)
    assert "forcing[1].name (none)" in str(caught.value.expected)


def test_restarts_of_older_versions(raw: Raw, restart: Path, tmp_path: Path) -> None:
    """They have one digest of all settings, with paths and threads."""

    def make_old(attrs: dict[str, Any]) -> None:
        del attrs["settings"], attrs["inputs"]
        attrs["configuration"] = config_of(raw).digest

    rewrite(restart, make_old)
    assert not continued(raw, restart).warnings
    assert len(continued({**raw, "parallel": {**raw["parallel"], "threads": 3}}, restart).warnings) == 1
    with pytest.raises(ConfigError, match="configuration"):
        continued({**raw, "allocation": {"gross": "none", "gross_temperature": 0.25}}, restart)


def test_a_setting_of_a_later_version(raw: Raw, restart: Path) -> None:
    """A setting that the restart does not know changes nothing while it has its default."""
    rewrite(restart, lambda attrs: attrs["settings"].pop("allocation.gross_temperature"))
    continued(raw, restart)
    with pytest.raises(ConfigError, match=r"allocation.gross_temperature 0.25"):
        continued({**raw, "allocation": {"gross": "none", "gross_temperature": 0.25}}, restart)


def test_the_digest_of_older_versions_stays() -> None:
    """Computed by the version that stored it; add settings of later versions to ``_LATER_SETTINGS``."""
    raw = {
        "title": "a",
        "legend": "hilda-v1.0-f",
        "time": {"start": 2015, "stop": 2021},
        "initial": {"name": "hilda", "options": {"path": "maps_{year}.tif"}},
        "forcing": [{"name": "ssp", "options": {"states": "states.nc"}, "constant_year": 2016}],
        "static": [{"name": "static", "options": {"path": "soil.nc"}}],
        "predictors": [{"name": "persistence"}],
        "imports": {"air_temperature": {"values": [1.0] * 12, "units": "K"}},
        "quality": {"jump": 0.5},
    }
    assert parse_config(raw, Path("/"), "test").digest == "52e5b3b36cc1c2cc"


def test_a_restart_without_the_memory_of_a_predictor(raw: Raw, restart: Path) -> None:
    """Another version of a predictor wrote it: an error with the name, and no KeyError in the first step."""
    from safetensors.numpy import load_file

    from ai4land_coupler.store.restart import Restart, RestartWriter

    held = Restart.open(restart)
    writer = RestartWriter(restart, 2017)
    for number in held.blocks:
        arrays = load_file(held.path / held.files[number].file)
        writer.write_block(number, {name: array for name, array in arrays.items() if name != "memory/allocation.unmet"})
    writer.finish(held.attrs, writer.entries)
    with pytest.raises(DataError, match=r"lacks the memory 'allocation.unmet'"):
        continued(raw, restart)
