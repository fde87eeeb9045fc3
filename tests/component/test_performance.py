"""The performance sheet of a run, against hand-worked numbers; energy counters against made-up ones."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ai4land_coupler.cli import cli
from ai4land_coupler.component.energy import EnergyCounters
from ai4land_coupler.component.performance import (
    NAME,
    RankCost,
    make_sheet,
    peak_memory,
    read_sheets,
    sheet_lines,
)
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.errors import DataError
from ai4land_coupler.simulation import Simulation
from ai4land_coupler.store.output import open_store

#: Two ranks: the first waits for the second, which uses half an hour.
COSTS = [
    RankCost(3600.0, {"predict unet": 1800.0, "predict phenology": 360.0, "exchange": 720.0}, 300, None, "a"),
    RankCost(3600.0, {"wait for allocation": 1440.0, "write restart": 360.0, "something new": 720.0}, 500, None, "a"),
]


def config(raw: dict[str, Any], folder: Path, **performance: float) -> Config:
    persistence = {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}
    light = {**raw, "predictors": [persistence], "static": [], "hosts": {}, "performance": performance}
    return parse_config(light, folder, "test")


def sheet(raw: dict[str, Any], costs: list[RankCost] = COSTS, **performance: float) -> dict[str, Any]:
    raw = {**raw, "parallel": {"threads": 3}}
    return make_sheet(costs, config(raw, Path(), **performance), (2025, 2015))


def test_speed_cost_and_memory(twin_config: dict[str, Any]) -> None:
    """Ten years in an hour on six cores, backward in time."""
    found = sheet(twin_config)
    assert found["SYPD"] == pytest.approx(240)
    assert found["CHSY"] == pytest.approx(0.6)
    assert found["memory"] == 800
    assert (found["ranks"], found["threads"], found["years"]) == (2, 3, [2025, 2015])


def test_shares_of_the_time_of_all_ranks(twin_config: dict[str, Any]) -> None:
    """Of 7200 s of both ranks. Other: 720 s of an unknown phase, 720 + 1080 s in no phase."""
    expected = {
        "network": 2160 / 7200,
        "allocation": 1440 / 7200,
        "reading": 0.0,
        "coupling": 720 / 7200,
        "output": 360 / 7200,
        "other": 2520 / 7200,
    }
    assert sheet(twin_config)["shares"] == pytest.approx(expected)


def test_energy_of_a_power_model(twin_config: dict[str, Any]) -> None:
    found = sheet(twin_config, watts_per_core=5.0, grams_co2e_per_kwh=400.0)
    assert found["joules"] == pytest.approx(6 * 5 * 3600)
    assert found["JPSY"] == pytest.approx(10800)
    assert found["grams_co2e"] == pytest.approx(0.03 * 400)


def test_energy_of_counters_counts_a_node_once(twin_config: dict[str, Any]) -> None:
    costs = [RankCost(10.0, {}, 0, joules, node) for joules, node in ((100.0, "a"), (101.0, "a"), (50.0, "b"))]
    assert sheet(twin_config, costs, watts_per_core=5.0)["joules"] == 151
    costs.append(RankCost(10.0, {}, 0, None, "c"))  # one node without counters
    assert sheet(twin_config, costs, watts_per_core=5.0)["joules"] == 4 * 3 * 5 * 10
    assert sheet(twin_config, costs)["joules"] is None


def test_what_is_not_measured_is_said(twin_config: dict[str, Any]) -> None:
    lines = dict(sheet_lines(sheet(twin_config, grams_co2e_per_kwh=400.0)))
    assert lines["energy"].startswith("not measured")
    assert lines["CO2e"].startswith("not measured")
    assert lines["simulated years a day (SYPD)"] == "240"


def test_peak_memory_is_that_of_this_process() -> None:
    before = peak_memory()
    block = bytearray(before + 50_000_000)
    assert peak_memory() >= before + 50_000_000
    del block


def counter(folder: Path, zone: str, value: int) -> None:
    (folder / zone).mkdir(exist_ok=True)
    (folder / zone / "energy_uj").write_text(f"{value}\n")
    (folder / zone / "max_energy_range_uj").write_text("10000000\n")


def test_energy_counters_that_start_again(tmp_path: Path) -> None:
    counter(tmp_path, "intel-rapl:0", 9_000_000)
    counter(tmp_path, "intel-rapl:1", 0)
    counter(tmp_path, "intel-rapl:0:0", 5)  # a part of the first
    counters = EnergyCounters(tmp_path)
    counter(tmp_path, "intel-rapl:0", 2_000_000)  # 1 J to the limit of 10 J, and 2 J
    counter(tmp_path, "intel-rapl:1", 500_000)
    counter(tmp_path, "intel-rapl:0:0", 900_000)
    counters.sample()
    assert counters.joules == pytest.approx(3.5)
    counter(tmp_path, "intel-rapl:1", 700_000)
    counters.sample()
    assert counters.joules == pytest.approx(3.7)


def test_without_counters_there_is_no_energy(tmp_path: Path) -> None:
    counters = EnergyCounters(tmp_path)
    counters.sample()
    assert counters.joules is None
    counter(tmp_path, "intel-rapl:0", 1)
    lost = EnergyCounters(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    lost.sample()
    assert lost.joules is None


def test_a_restarted_run_keeps_a_sheet_of_each_part(twin_config: dict[str, Any], tmp_path: Path) -> None:
    def interrupt(done: int, total: int, year: int) -> None:
        if year == 2018:
            raise KeyboardInterrupt

    store = tmp_path / "run.zarr"
    with pytest.raises(KeyboardInterrupt):
        Simulation(config(twin_config, tmp_path), progress=interrupt).run()
    assert read_sheets(store) == []
    Simulation(config(twin_config, tmp_path)).run(restart=True)
    (first,) = read_sheets(store)
    assert first["years"] == [2018, 2021]
    shutil.rmtree(tmp_path / "run.zarr.restart" / "2021")
    Simulation(config(twin_config, tmp_path)).run(restart=True)
    assert [sheet["years"] for sheet in read_sheets(store)] == [[2018, 2021], [2020, 2021]]
    assert 0 < first["shares"]["allocation"] < 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # zarr warns about unknown files in its groups
        assert open_store(store).sizes["year"] == 7
    Simulation(config(twin_config, tmp_path)).run(restart=True)  # nothing is due
    assert read_sheets(store)[0] == first
    assert len(read_sheets(store)) == 2
    shown = CliRunner().invoke(cli, ["inspect", str(store), "--verify"])
    assert shown.stdout.count("simulated years a day (SYPD)") == 2
    (store / NAME).write_text("{")
    with pytest.raises(DataError, match="performance sheet"):
        read_sheets(store)


def test_settings_of_the_sheet_do_not_change_the_digest(twin_config: dict[str, Any]) -> None:
    assert config(twin_config, Path()).digest == config(twin_config, Path(), watts_per_core=5.0).digest
    assert json.loads(config(twin_config, Path()).model_dump_json())["performance"]["watts_per_core"] is None
