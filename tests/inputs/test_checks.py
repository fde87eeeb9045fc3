"""Input checks: of deliveries and values under both policies; the report on all inputs; counts in the store."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler import Simulation
from ai4land_coupler.api import DataAdapter, FieldInfo, LatLonGrid, Request
from ai4land_coupler.cli import cli
from ai4land_coupler.config.sections import load_config, parse_config
from ai4land_coupler.errors import Ai4LandError, DataError, FieldError, GridError, TimeError
from ai4land_coupler.experiments.twin import TwinReport
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue, Mended
from ai4land_coupler.inputs.checks import check_values, field_rule, field_rules
from ai4land_coupler.inputs.gaps import LandGaps, refuse_gaps
from ai4land_coupler.inputs.mended_log import read_mended, write_mended
from ai4land_coupler.preflight.inputs import check_inputs

Raw = dict[str, Any]
GRID = LatLonGrid(-2.0, 0.25, 6, 52.0, -0.25, 4)


class ThirdParty(DataAdapter):
    """An adapter that delivers the values that a test sets."""

    def __init__(self, grid: LatLonGrid = GRID, **values: Any) -> None:
        self.values = {name: np.full(GRID.shape, v, np.float32) if np.isscalar(v) else v for name, v in values.items()}
        self.units: dict[str, str] = {}
        self.attrs: dict[str, dict[str, str]] = {}
        self.years = (2000, 2020)
        self.shift = (0.0, 0.0)
        self.delivered_year: int | None = None
        self.rows: int | None = None
        self._grid = grid

    def fields(self) -> dict[str, FieldInfo]:
        return {n: FieldInfo(n, self.units.get(n, "1"), years=self.years) for n in self.values}

    def grid(self) -> LatLonGrid:
        return self._grid

    def read(self, request: Request) -> Any:
        import xarray as xr

        year = request.years[0] if self.delivered_year is None else self.delivered_year
        coords = {
            "year": [year],
            "lat": request.grid.lat[: self.rows] + self.shift[0],
            "lon": request.grid.lon + self.shift[1],
        }
        data = {n: (("year", "lat", "lon"), self.values[n][None]) for n in request.variables}
        made = xr.Dataset(data, coords, attrs={"quality": {"patched": 2}})
        for name, attributes in self.attrs.items():
            made[name].attrs.update(attributes)
        return made


def read(adapter: ThirdParty, *names: str, policy: Any = "stop", year: int = 2010) -> tuple[Any, Catalogue]:
    made = Catalogue("forcing", [NamedAdapter("third", adapter, ("its.nc",))], policy)
    return made.read(dict.fromkeys(names or adapter.values, "1"), GRID, year), made


def with_cell(value: float, rest: float = 0.25) -> np.ndarray:
    values = np.full(GRID.shape, rest, np.float32)
    values[1, 2] = value
    return values


class TestDelivery:
    def test_good(self) -> None:
        adapter = ThirdParty(primf=0.5, urban=0.25)
        found, made = read(adapter)
        np.testing.assert_array_equal(found["primf"], 0.5)
        assert made.mended_counts == {"third: patched": 2}

    def test_a_window_that_is_read_twice_counts_once(self) -> None:
        made = Catalogue("forcing", [NamedAdapter("third", ThirdParty(primf=0.5))])
        for _ in range(3):
            made.read({"primf": "1"}, GRID, 2010)
        assert made.mended_counts == {"third: patched": 2}

    @pytest.mark.parametrize("shift", [(0.125, 0.0), (0.0, 0.125), (0.0, 180.0)])
    def test_other_cells(self, shift: tuple[float, float]) -> None:
        adapter = ThirdParty(primf=0.5)
        adapter.shift = shift
        with pytest.raises(GridError, match=r"its\.nc"):
            read(adapter)

    def test_longitudes_shifted_by_360_degrees_are_the_same_cells(self) -> None:
        adapter = ThirdParty(primf=0.5)
        adapter.shift = (0.0, 360.0)
        read(adapter)

    def test_other_shape(self) -> None:
        adapter = ThirdParty(primf=0.5)
        adapter.values["primf"] = np.full((GRID.nlat - 1, GRID.nlon), 0.5, np.float32)
        adapter.rows = GRID.nlat - 1
        with pytest.raises(GridError, match="other cells"):
            read(adapter)

    def test_other_year(self) -> None:
        adapter = ThirdParty(primf=0.5)
        adapter.delivered_year = 2011
        with pytest.raises(TimeError, match="another year"):
            read(adapter)

    def test_units_that_contradict_the_declaration(self) -> None:
        adapter = ThirdParty(primf=0.5)
        adapter.attrs = {"primf": {"units": "%"}}
        with pytest.raises(FieldError, match="other units than the adapter declares"):
            read(adapter)

    def test_shifted_lattice(self) -> None:
        with pytest.raises(GridError) as caught:
            Catalogue(
                "forcing", [NamedAdapter("third", ThirdParty(LatLonGrid(-1.875, 0.25, 6, 52.0, -0.25, 4), primf=0.5))]
            )
        assert "shifted by 0.5 of a cell" in str(caught.value)
        # nothing is known about where another variable is published
        Catalogue("forcing", [NamedAdapter("third", ThirdParty(LatLonGrid(-1.875, 0.25, 6, 52.0, -0.25, 4), rain=0.5))])

    def test_two_adapters_half_a_cell_apart(self) -> None:
        other = ThirdParty(LatLonGrid(-1.875, 0.25, 6, 52.0, -0.25, 4), rain=1.0)
        made = Catalogue("forcing", [NamedAdapter("one", ThirdParty(primf=0.5)), NamedAdapter("other", other)])
        with pytest.raises(GridError, match="not registered"):
            _ = made.lattice

    def test_a_gap_between_the_years(self) -> None:
        adapter = ThirdParty(primf=0.5)
        info = FieldInfo("primf", "1", years=(2000, 2020), gaps=(2010,))
        adapter.fields = lambda: {"primf": info}  # type: ignore[method-assign]
        read(adapter, year=2011)
        with pytest.raises(TimeError) as caught:
            read(adapter, year=2010)
        assert "2000-2020 without 2010" in str(caught.value)


class TestPolicy:
    @pytest.mark.parametrize(
        ("value", "fault"), [(np.inf, "infinite"), (-np.inf, "infinite"), (1e20, "fill_value"), (25.0, "out_of_range"),
                             (-0.5, "out_of_range")]
    )  # fmt: skip
    def test_values(self, value: float, fault: str) -> None:
        with pytest.raises(DataError) as caught:
            read(ThirdParty(urban=with_cell(value)))
        for text in ("'urban'", "1 cells", "its.nc", "2010", "51.6250 N -1.3750 E", "mend"):
            assert text in str(caught.value)
        found, made = read(ThirdParty(urban=with_cell(value)), policy="mend")
        assert np.isnan(found["urban"][1, 2])
        assert np.isfinite(found["urban"]).sum() == GRID.size - 1
        assert made.mended_counts[f"third: {fault}"] == 1

    def test_values_slightly_out_of_range_are_clipped_and_counted(self) -> None:
        found, made = read(ThirdParty(urban=with_cell(-0.005)))
        assert found["urban"][1, 2] == 0
        assert made.mended_counts["third: clipped"] == 1

    def test_sums(self) -> None:
        parts = {"primf": with_cell(0.8), "urban": with_cell(0.6), "secma": with_cell(80.0)}
        adapter = ThirdParty(**parts)
        adapter.units = {"secma": "year"}
        with pytest.raises(DataError, match="land use fractions of 1 cells add up to more than 1") as caught:
            read(adapter, "primf", "urban")
        assert "1.4" in str(caught.value)
        found, made = read(adapter, "primf", "urban", policy="mend")
        assert found["primf"][1, 2] == pytest.approx(0.8 / 1.4)
        assert found["urban"][1, 2] == pytest.approx(0.6 / 1.4)
        assert made.mended_counts["third: renormalised"] == 1

    def test_all_cropland_does_not_count_in_a_sum_of_its_parts(self) -> None:
        read(ThirdParty(crop=0.8, c3ann=0.5, c4ann=0.3, primf=0.1))
        with pytest.raises(DataError, match="add up"):
            read(ThirdParty(crop=0.8, primf=0.3))

    def test_a_variable_with_lost_cells(self) -> None:
        adapter = ThirdParty(primf=0.3, urban=with_cell(np.nan))
        with pytest.raises(DataError) as caught:
            read(adapter)
        assert "'urban' has data in other cells than 'primf'" in str(caught.value)
        assert read(adapter, policy="mend")[1].mended_counts["third: partly_missing"] == 1

    def test_a_year_with_lost_cells(self) -> None:
        adapter = ThirdParty(primf=with_cell(0.3))
        made = Catalogue("forcing", [NamedAdapter("third", adapter)])
        made.read({"primf": "1"}, GRID, 2010)
        adapter.values["primf"] = with_cell(np.nan)
        with pytest.raises(DataError, match="2010"):
            made.read({"primf": "1"}, GRID, 2011)

    def test_no_data_at_all_is_refused_under_both_policies(self) -> None:
        for policy in ("stop", "mend"):
            with pytest.raises(DataError, match="no data at all"):
                read(ThirdParty(rain=np.nan), policy=policy)

    def test_jump(self) -> None:
        """History ends in 2014; the scenario goes on in 2015 with a quarter less forest."""
        history, scenario = ThirdParty(primf=0.5), ThirdParty(primf=0.25)
        history.years, scenario.years = (2000, 2014), (2015, 2020)
        adapters = [NamedAdapter("history", history), NamedAdapter("scenario", scenario)]
        made = Catalogue("forcing", adapters)
        made.read({"primf": "1"}, GRID, 2014)
        with pytest.raises(DataError) as caught:
            made.read({"primf": "1"}, GRID, 2015)
        assert "0.25 between 2014 of history and 2015 of scenario" in str(caught.value)
        Catalogue("forcing", adapters, jump=0.3).read({"primf": "1"}, GRID, 2015)
        mending = Catalogue("forcing", adapters, "mend")
        for year in (2014, 2015):
            mending.read({"primf": "1"}, GRID, year)
        assert mending.mended_counts["history to scenario: jump"] == 1


def test_gaps_on_land() -> None:
    refuse_gaps("clay", LandGaps(1000, 10, 0), 0.01, "here", "stop")
    with pytest.raises(DataError, match=r"1.1 % of the land"):
        refuse_gaps("clay", LandGaps(1000, 11, 0), 0.01, "here", "stop")
    refuse_gaps("clay", LandGaps(1000, 999, 0), 0.01, "here", "mend")
    with pytest.raises(DataError, match="100 % of the land"):
        refuse_gaps("clay", LandGaps(1000, 1000, 0), 0.01, "here", "mend")
    with pytest.raises(DataError, match="land cannot have in 3 land cells"):
        refuse_gaps("elevation", LandGaps(1000, 0, 3), 0.01, "here", "stop")


def test_every_rule_is_usable() -> None:
    """Bounds are in order, units are valid, and patterns match."""
    from ai4land_coupler.core.units import factor

    for name, rule in field_rules().items():
        assert rule.valid[0] < rule.valid[1], name
        assert rule.valid[0] <= rule.valid_on_land[0] < rule.valid_on_land[1] <= rule.valid[1], name
        if rule.units is not None:
            assert factor(rule.units, rule.units) == 1
    assert field_rule("primf_to_secdn") is field_rules()["*_to_*"]
    assert field_rule("nothing_known") is None


@given(st.floats(0, 1, width=32), st.sampled_from(["1", "%"]))
def test_good_values_are_not_changed(value: float, units: str) -> None:
    values = np.full(GRID.shape, value * (100 if units == "%" else 1), np.float32)
    found, counts = check_values("urban", values, units, GRID, "here", "stop")
    np.testing.assert_array_equal(found, values)
    assert not counts


# ---- the report -----------------------------------------------------------------------------------------------


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    twin_config.pop("hosts")
    return twin_config


@pytest.fixture
def spoil(raw: Raw, tmp_path: Path, small_twin: TwinReport) -> Callable[[Callable[[netCDF4.Dataset], None]], Path]:
    """Change a copy of the scenario, which the run then reads."""

    def make(change: Callable[[netCDF4.Dataset], None]) -> Path:
        path = tmp_path / "scenario.nc"
        shutil.copy(small_twin.paths["scenario"], path)
        with netCDF4.Dataset(path, "a") as file:
            file.set_auto_mask(False)
            change(file)
        raw["forcing"][0]["options"]["states"] = str(path)
        return path

    return make


def fault_of_urban(file: netCDF4.Dataset) -> None:
    """Per cent instead of a fraction in one cell, in every year."""
    values = file["urban"][:]
    values[:, 3, 4] = 55.0
    file["urban"][:] = values


def check(raw: Raw, tmp_path: Path, *options: str) -> Any:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(raw))
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["check", str(path), *options], standalone_mode=False)


def test_check_of_good_inputs(raw: Raw, tmp_path: Path) -> None:
    done = check(raw, tmp_path)
    assert done.return_value == 0
    assert "the inputs are good" in done.stdout
    # what the adapters say of their data
    assert "closed: states that sum to more than 1" in done.stdout
    assert "classes: 11 urban" in done.stdout
    # the run reads the forcing of 2015 to 2021; elevation's range is the file's over the land grid
    report = check_inputs(load_config(tmp_path / "run.yaml"))
    lines = {line.name: line for line in report.variables}
    with netCDF4.Dataset(raw["static"][0]["options"]["path"]) as file:
        elevation = file["elevation"][:]
    assert lines["elevation"].low == pytest.approx(elevation.min(), rel=1e-6)
    assert lines["elevation"].high == pytest.approx(elevation.max(), rel=1e-6)
    with netCDF4.Dataset(raw["forcing"][0]["options"]["states"]) as file:
        urban = np.ma.masked_greater(file["urban"][:], 1e19)
    assert lines["urban"].high == pytest.approx(float(urban[:7].max()), rel=1e-6)
    assert lines["urban"].read == list(range(2015, 2022))
    assert lines["urban"].available == ["2015-2022", "2010-2015"]
    assert report.closure["land use"][1] == pytest.approx(1.0, abs=1e-6)
    assert not report.faults
    assert not report.warnings


def test_check_of_the_first_and_the_last_year(raw: Raw, tmp_path: Path) -> None:
    content = json.loads(check(raw, tmp_path, "--years", "ends", "--json").stdout)
    assert {tuple(v["read"]) for v in content["variables"] if v["kind"] == "forcing"} == {(2015, 2021)}


def test_check_reports_the_faults_of_all_inputs(raw: Raw, tmp_path: Path, spoil: Any, small_twin: TwinReport) -> None:
    spoil(fault_of_urban)
    soil = tmp_path / "soil.nc"
    shutil.copy(small_twin.paths["soil"], soil)
    with netCDF4.Dataset(soil, "a") as file:
        file["clay"][10, 20] = 40.0
        file["sand"].units = "m"
    raw["static"][1]["options"]["path"] = str(soil)
    done = check(raw, tmp_path, "--json")
    assert done.return_value == 2
    faults = json.loads(done.stdout)["faults"]
    assert "soil.nc" in faults[0]  # wrong units: the adapter itself cannot be made
    with netCDF4.Dataset(soil, "a") as file:
        file["sand"].units = "1"
    done = check(raw, tmp_path, "--json")
    assert done.return_value == 2
    content = json.loads(done.stdout)
    assert len(content["faults"]) == 2
    for name, path in (("urban", "scenario.nc"), ("clay", "soil.nc")):
        (fault,) = (text for text in content["faults"] if f"'{name}'" in text)
        assert path in fault
        assert "what to do" in fault
    assert content["mended"]["ssp: removed"] == 7  # a cell in each of the years that were read
    assert "the run would stop: 2 faults" in check(raw, tmp_path).stdout


def test_check_of_a_missing_file(raw: Raw, tmp_path: Path) -> None:
    raw["static"][1]["options"]["path"] = "nowhere.nc"
    done = check(raw, tmp_path)
    assert done.return_value == 2
    assert "nowhere.nc" in re.sub(r"[\s│]", "", done.stdout)  # a long path goes over several lines


def test_check_of_a_year_outside(raw: Raw, tmp_path: Path) -> None:
    raw["time"]["stop"] = 2040
    done = check(raw, tmp_path)
    assert done.return_value == 2
    assert "2022" in done.stdout


@pytest.mark.real_data
def test_check_of_the_british_isles(sample_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI4LAND_SAMPLE_DATA", str(sample_data))
    example = Path(__file__).parents[2] / "examples" / "british-isles.yaml"
    predictor = "predictors=[{name: persistence, options: {legend: hilda-v1.0-f, step: P3Y}}]"
    report = check_inputs(load_config(example, [predictor]))
    assert not report.faults
    # counted with GDAL and netCDF4 alone: 4098 of 331996 land cells of the map lie in cells without states
    urban = next(line for line in report.variables if line.name == "urban")
    assert urban.missing == pytest.approx(4098 / 331996, rel=1e-6)


# ---- in a run -------------------------------------------------------------------------------------------------


def test_mended_counts_are_kept_with_the_results(raw: Raw, tmp_path: Path, spoil: Any) -> None:
    def fault(file: netCDF4.Dataset) -> None:
        values = file["urban"][:]
        values[1:3, 3, 4] = 55.0
        file["urban"][:] = values

    spoil(fault)
    raw["time"]["stop"] = 2018
    raw["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
    with pytest.raises(Ai4LandError, match="urban"):
        Simulation(parse_config(raw, tmp_path, "run.yaml")).run()
    raw["quality"] = {"policy": "mend"}
    raw["output"]["overwrite"] = True
    summary = Simulation(parse_config(raw, tmp_path, "run.yaml")).run()
    kept = read_mended(tmp_path / "run.zarr")
    assert kept is not None
    assert kept["policy"] == "mend"
    assert kept["years"]["2016"]["ssp: removed"] == kept["years"]["2017"]["ssp: removed"] == 1
    assert "ssp: removed" not in kept["years"].get("2018", {})
    assert kept["total"]["ssp: removed"] == summary.mended["ssp: removed"] == 2
    shown = CliRunner().invoke(cli, ["inspect", str(tmp_path / "run.zarr"), "--verify"])
    assert "mended while reading: ssp: removed: 2" in shown.stdout


def test_a_year_that_is_missing_later_is_found_before_the_run_starts(raw: Raw, tmp_path: Path, spoil: Any) -> None:
    """2018 lies between the first step and the last, which are read at the start."""

    def drop(file: netCDF4.Dataset) -> None:
        time = file["time"][:]
        file["time"][:] = np.where(time >= 3, time + 1, time)

    spoil(drop)
    raw["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
    with pytest.raises(Ai4LandError) as caught:
        Simulation(parse_config(raw, tmp_path, "run.yaml")).run()
    assert "2018" in str(caught.value)
    assert "scenario.nc" in str(caught.value)
    assert not (tmp_path / "run.zarr").exists()


def test_a_restarted_run_adds_to_the_counts(tmp_path: Path) -> None:
    (tmp_path / "year").mkdir()
    write_mended(tmp_path, "mend", {Mended("ssp", "clipped", 2015, "a"): 3, Mended("soil", "outside", None, "b"): 5})
    again = {Mended("ssp", "clipped", 2016, "a"): 4, Mended("ssp", "clipped", 2017, "a"): 0}
    write_mended(tmp_path, "mend", again | {Mended("soil", "outside", None, "b"): 5})
    assert read_mended(tmp_path) == {
        "policy": "mend",
        "total": {"soil: outside": 5, "ssp: clipped": 7},
        "static": {"soil: outside": 5},
        "years": {"2015": {"ssp: clipped": 3}, "2016": {"ssp: clipped": 4}},
    }
    (tmp_path / "year" / "quality.json").write_text("{")
    with pytest.raises(DataError, match="quality"):
        read_mended(tmp_path)


def test_the_policy_of_an_adapter_has_priority(raw: Raw, tmp_path: Path, spoil: Any) -> None:
    spoil(fault_of_urban)
    raw["quality"] = {"policy": "mend"}
    raw["forcing"][0]["options"]["policy"] = "stop"
    assert check_inputs(parse_config(raw, tmp_path, "run.yaml")).faults
