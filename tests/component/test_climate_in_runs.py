"""A run without a host that reads monthly climate from files: as with a host that sends it, restarts, ranks, faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from climate_files import cmip, era5, months_from
from clockwork import field, recorded, recorder, run_of, simulation
from ranks import mpirun
from stopped_runs import run_until

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.config.sections import load_config, parse_config
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.preflight.inputs import check_inputs
from ai4land_coupler.store.output import open_store

needs.yac()

TAS, CO2 = "air_temperature", "mole_fraction_of_carbon_dioxide_in_air"
#: The forcing grid of the run: 4 x 4 cells of 0.25 degrees.
LAT, LON = 50.875 - 0.25 * np.arange(4), 0.125 + 0.25 * np.arange(4)
START, STOP = 2015, 2018
PPM = {2014: 397.0, 2015: 399.0, 2016: 402.0, 2017: 404.0}


def kelvins(year: int, month: int) -> float:
    """A temperature that names its month and has the same value in single precision."""
    return 250 + (12 * (year - 2010) + month - 1) / 4


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """From December 2014 to December 2017, a file for each year."""
    for first, count, month in ((2014, 1, 12), (2015, 12, 1), (2016, 12, 1), (2017, 12, 1)):
        months = months_from(first, count, month)
        values = np.stack([np.full((4, 4), kelvins(*one)) for one in months])
        cmip(tmp_path / f"tas_{first}.nc", {"tas": (values, "K")}, months, LAT, LON, "360_day")
    return tmp_path


def run(folder: Path, *predictors: dict[str, Any], **parts: Any) -> dict[str, Any]:
    climate = [
        {"name": "climate", "options": {"path": str(folder / "tas_*.nc")}},
        {"name": "series", "options": {"name": CO2, "values": PPM, "units": "ppm"}},
    ]
    tas = field(TAS, "import", 0, -1, units="K")
    inputs = (tas, field(CO2, "import", units="1e-6"))
    chosen = predictors or (recorder("seen", "P1M", *inputs), recorder("drawn", "P1M", tas, random=True))
    return run_of(*chosen, start=START, stop=STOP, climate=climate, imports={}, **parts)


def host(raw: dict[str, Any]) -> None:
    """A host on the forcing grid that sends the same months."""
    component = LandComponent(parse_config(raw, Path(), "test"))
    component.set_calendar("360_day")
    component.initialize()
    component.set_named_grid("host")
    component.realize()
    ones = np.ones(component.cell_count)
    for year, month in months_from(2014, 37, 12):
        since, at = (year, month, 1), (year + month // 12, month % 12 + 1, 1)
        component.import_(TAS, kelvins(year, month) * ones, at=at, since=since)
        component.import_(CO2, PPM[year] * ones, at=at, since=since, units="ppm")
        if at >= (START, 1, 1):
            component.run(at)
    component.finalize()


def test_as_if_a_host_had_sent_it(site: Path, files: Path, tmp_path: Path) -> None:
    """The predictor gets the true months, and what it gets from a host is the same to the bit."""
    raw = run(files)
    record = recorded(simulation(raw, tmp_path / "run.zarr").run)
    seen = {time: fields for (name, time), fields in record.items() if name == "seen"}
    assert sorted(seen) == months_from(START, 36)
    for (year, month), fields in seen.items():
        before = (year, month - 1) if month > 1 else (year - 1, 12)
        assert fields == {TAS: (kelvins(year, month), kelvins(*before)), CO2: (PPM[year],)}
    assert recorded(lambda: host(raw)) == record


def test_cells_get_what_a_host_on_other_cells_sends(site: Path, tmp_path: Path) -> None:
    """A field that differs from cell to cell: that of ERA5 at the corners of the cells is interpolated to them."""
    lat, lon = np.arange(51.25, 49.5, -0.25), np.arange(-0.25, 1.5, 0.25)
    kelvin = 270 + np.random.default_rng(1).uniform(0, 20, (12, lat.size, lon.size)).astype(np.float32)
    path = era5(tmp_path / "era5.zarr", {"t2m": (kelvin, "K")}, months_from(2015, 12), lat, lon)
    raw = run(tmp_path, recorder("seen", "P1M")) | {"time": {"start": 2015, "stop": 2016}}
    raw["climate"] = [{"name": "climate", "options": {"path": str(path)}}]
    raw["predictors"].append({"name": "phenology", "options": {"legend": "hilda-v1.0-f"}})
    component = LandComponent(parse_config(raw, tmp_path, "test"), online=False)
    component.initialize()
    component.realize()
    _, imports = component._stepper.inputs(component.clock.next(), component._time.calendar)
    corners = kelvin[:, 1:6, 1:6].astype(np.float64)  # of the 4 x 4 cells
    expected = (corners[:, 1:, 1:] + corners[:, :-1, 1:] + corners[:, 1:, :-1] + corners[:, :-1, :-1]) / 4
    np.testing.assert_allclose(imports[TAS], expected, rtol=1e-7)
    component.run(2016)
    assert component.state.fields["lai"][0].shape[0] == 12
    component.finalize()


@pytest.mark.parametrize("stopped", [2016, 2017])
def test_a_restart_in_mid_history(site: Path, files: Path, tmp_path: Path, stopped: int) -> None:
    raw = run(files)
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    expected = recorded(simulation(raw, whole).run)
    config = parse_config(raw | {"output": {"store": str(parts), "shard": 16}}, tmp_path, "test")
    first = recorded(lambda: run_until(config, stopped))
    second = recorded(lambda: Simulation(config).run(restart=True))
    assert first.keys() & second.keys() == set()
    assert first | second == expected
    np.testing.assert_array_equal(open_store(parts)["drawn"], open_store(whole)["drawn"])
    cmip(files / "tas_2017.nc", {"tas": (np.full((12, 4, 4), 280), "K")}, months_from(2017, 12), LAT, LON, "360_day")
    with pytest.raises(Ai4LandError, match=r"(?s)climate\[0\].*tas_2017"):
        Simulation(config).run(restart=True)


@pytest.mark.mpi
def test_two_ranks(site: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if only one of them predicts."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    phenology = {"name": "phenology", "options": {"legend": "hilda-v1.0-f"}}
    raw = run(files, phenology)
    recorded(simulation(raw, tmp_path / "alone.zarr").run)
    for name, workers in (("both", "all"), ("one", 1)):
        store = tmp_path / f"{name}.zarr"
        plain = json.loads(json.dumps(raw | {"output": {"store": str(store), "shard": 16}}))
        plain["parallel"]["workers"] = workers
        plain["climate"][1]["options"]["values"] = PPM  # JSON has texts as keys
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(plain))
        done = mpirun(2, "-m", "ai4land_coupler.cli", "run", path)
        assert done.returncode == 0, done.stdout + done.stderr
        np.testing.assert_array_equal(open_store(store)["lai"], open_store(tmp_path / "alone.zarr")["lai"])


def test_a_control_run_repeats_a_year(site: Path, files: Path, tmp_path: Path) -> None:
    raw = run(files)
    for section in raw["climate"]:
        section["constant_year"] = 2016
    record = recorded(simulation(raw, tmp_path / "run.zarr").run)
    assert record["seen", (2017, 1)] == {TAS: (kelvins(2016, 1), kelvins(2016, 12)), CO2: (402.0,)}


def test_missing_months_are_refused_before_the_run(site: Path, files: Path, tmp_path: Path) -> None:
    """The last year, a month of it, and the month before the first."""
    raw = run(files)
    values = np.full((11, 4, 4), 280.0)
    cmip(files / "tas_2017.nc", {"tas": (values, "K")}, months_from(2017, 11), LAT, LON, "360_day")
    with pytest.raises(Ai4LandError, match=r"(?s)'air_temperature'.*2017-12.*tas_\*\.nc"):
        simulation(raw, tmp_path / "run.zarr").run()
    (files / "tas_2017.nc").unlink()
    with pytest.raises(Ai4LandError, match=r"(?s)'air_temperature' for the year 2017.*2014-2016"):
        simulation(raw, tmp_path / "run.zarr").run()
    report = check_inputs(parse_config(raw, tmp_path, "test"))
    assert any("2017" in fault for fault in report.faults)
    (files / "tas_2014.nc").unlink()
    with pytest.raises(Ai4LandError, match=r"(?s)'air_temperature' for the year 2014"):
        simulation(raw, tmp_path / "run.zarr").run()
    assert not (tmp_path / "run.zarr").exists()


def test_climate_of_another_place_is_refused(site: Path, tmp_path: Path) -> None:
    values = np.full((37, 4, 4), 280.0)
    cmip(tmp_path / "tas_1.nc", {"tas": (values, "K")}, months_from(2014, 37, 12), LAT - 20, LON)
    with pytest.raises(Ai4LandError, match=r"(?s)'air_temperature' has no data at all.*tas_"):
        simulation(run(tmp_path), tmp_path / "run.zarr").run()


def test_a_host_that_does_not_send_it(site: Path, files: Path) -> None:
    """It must, as with values of the configuration; with `missing: fill` the files are read."""
    raw = run(files, recorder("seen", "P1M", field(TAS, "import", units="K")))

    def silent(raw: dict[str, Any]) -> None:
        component = LandComponent(parse_config(raw, Path(), "test"))
        component.initialize()
        component.set_named_grid("host")
        component.realize()
        component.run(2016)
        component.finalize()

    with pytest.raises(Ai4LandError, match="never set"):
        silent(raw)
    filled = raw | {"imports": {TAS: {"values": 280.0, "units": "K", "missing": "fill"}}}
    assert recorded(lambda: silent(filled))["seen", (2015, 3)] == {TAS: (kelvins(2015, 3),)}


def test_check_reports_the_climate(site: Path, files: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    raw = json.loads(json.dumps(run(files)))
    raw["climate"][1]["options"]["values"] = PPM
    path.write_text(yaml.safe_dump(raw))
    report = check_inputs(load_config(path))
    assert report.faults == []
    lines = {line.name: line for line in report.variables if line.kind == "climate"}
    assert lines[TAS].read == [2015, 2016, 2017]
    assert (lines[TAS].low, lines[TAS].high) == (kelvins(2014, 12), kelvins(2017, 12))
    assert (lines[CO2].low, lines[CO2].missing) == (399.0, 0.0)
