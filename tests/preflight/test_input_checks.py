"""Faulty inputs of land use: `ai4land check` finds them, and a run refuses them before or at the year of the fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import rasterio
import yaml
from click.testing import CliRunner

from ai4land_coupler import Simulation
from ai4land_coupler.cli import cli
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.experiments.twin import TwinReport
from ai4land_coupler.land import first_state
from ai4land_coupler.preflight.inputs import check_inputs

Raw = dict[str, Any]
Change = Callable[[dict[str, np.ndarray]], None]
STATES = ("primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range")


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    """A run of the small twin from 2015 to 2018, without a network."""
    twin_config.pop("hosts")
    twin_config["time"] = {"start": 2015, "stop": 2018}
    twin_config["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
    twin_config["allocation"] = {"gross": "none"}
    return twin_config


@pytest.fixture
def states(small_twin: TwinReport) -> dict[str, np.ndarray]:
    """The states of the twin's scenario from 2015 to 2018, float64 (year, lat, lon), NaN over the sea."""
    with netCDF4.Dataset(small_twin.paths["scenario"]) as file:
        file.set_auto_mask(False)
        found = {name: file[name][:4].astype(np.float64) for name in STATES}
    return {name: np.where(np.abs(values) > 1e19, np.nan, values) for name, values in found.items()}


@pytest.fixture
def write(raw: Raw, small_twin: TwinReport, tmp_path: Path) -> Callable[..., Path]:
    """Write states to a file that the run then reads as its scenario."""

    def make(
        states: dict[str, np.ndarray], fill: Any = 1e20, kind: str = "f4", chunks: Any = None, **attributes: Any
    ) -> Path:
        path = tmp_path / "made.nc"
        with netCDF4.Dataset(small_twin.paths["scenario"]) as source, netCDF4.Dataset(path, "w") as file:
            for name in ("time", "lat", "lon"):
                values = source[name][:4] if name == "time" else source[name][:]
                file.createDimension(name, len(values))
                file.createVariable(name, "f8", (name,))[:] = values
                file[name].setncatts({k: source[name].getncattr(k) for k in source[name].ncattrs() if k[0] != "_"})
            for name, values in states.items():
                variable = file.createVariable(
                    name, kind, ("time", "lat", "lon"), fill_value=fill, chunksizes=chunks, zlib=chunks is not None
                )
                variable.set_auto_maskandscale(False)
                variable.setncatts({"units": "1", **attributes})
                variable[:] = np.where(np.isnan(values), fill, values)
        raw["forcing"][0]["options"]["states"] = str(path)
        return path

    return make


def report_of(raw: Raw) -> Any:
    return check_inputs(parse_config(raw, Path(), "run.yaml"))


def run(raw: Raw) -> Any:
    return Simulation(parse_config(raw, Path(), "run.yaml")).run()


def refused(raw: Raw, *texts: str) -> None:
    """Both the check and the run refuse the inputs, and say all texts in one fault."""
    faults = report_of(raw).faults
    assert any(all(text in fault for text in texts) for fault in faults), "\n".join(faults)
    with pytest.raises(Ai4LandError) as caught:
        run(raw)
    assert caught.value.exit_code == 2
    for text in texts:
        assert text in str(caught.value)


def zero_in_2017(states: dict[str, np.ndarray]) -> None:
    for values in states.values():
        values[2][np.isfinite(values[2])] = 0


def forest_lost_in_2017(states: dict[str, np.ndarray]) -> None:
    states["secdf"][2][np.isfinite(states["secdf"][2])] = 0


def half_of_2016_lost(states: dict[str, np.ndarray]) -> None:
    for values in states.values():
        part = values[1, 4:]
        part[np.isfinite(part)] = 0


def test_good_states_are_good(raw: Raw, states: dict[str, np.ndarray], write: Any, small_twin: TwinReport) -> None:
    write(states)
    report = report_of(raw)
    assert not report.faults
    assert not report.warnings
    # Independent truth: 1 - icwtr of the twin's static file is the sum of each cell in every year.
    with netCDF4.Dataset(small_twin.paths["static_luh2"]) as file:
        land = 1 - np.ma.filled(file["icwtr"][:].astype(np.float64), np.nan)
    total = sum(states.values())
    assert land.shape == total.shape[1:]
    known = np.isfinite(total)
    np.testing.assert_allclose(total[known], np.broadcast_to(land, total.shape)[known], atol=1e-6)
    assert report.closure["land use"][1] == pytest.approx(np.nanmax(total), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (zero_in_2017, ("same in every year", "from 2015 to 2017", "made.nc")),
        (forest_lost_in_2017, ("same in every year", "0 of secdf in 2017", "made.nc")),
        (half_of_2016_lost, ("same in every year", "from 2015 to 2016", "made.nc")),
    ],
)
def test_states_that_are_lost_in_one_year(
    raw: Raw, states: dict[str, np.ndarray], write: Any, change: Change, texts: tuple[str, ...]
) -> None:
    change(states)
    write(states)
    refused(raw, *texts)


def test_lost_states_are_counted_under_the_policy_mend(raw: Raw, states: dict[str, np.ndarray], write: Any) -> None:
    forest_lost_in_2017(states)
    write(states)
    raw["quality"] = {"policy": "mend"}
    with_forest = int((np.nan_to_num(states["secdf"][1]) > 0.05).sum())
    counts = run(raw).mended
    assert 0 < counts["ssp: sum_changed"] <= with_forest
    assert report_of(raw).mended["ssp: sum_changed"] == counts["ssp: sum_changed"]


@pytest.mark.parametrize(("scale", "said"), [(0.25, "0.25"), (0.01, "0.01")])
def test_states_that_are_a_part_of_the_truth(
    raw: Raw, states: dict[str, np.ndarray], write: Any, scale: float, said: str
) -> None:
    write({name: values * scale for name, values in states.items()})
    refused(raw, f"the largest sum is {said}", "all land on the map", "made.nc")


def test_fractions_under_units_of_per_cent(raw: Raw, states: dict[str, np.ndarray], write: Any) -> None:
    write(states, units="%")
    refused(raw, "fractions under units of per cent", "made.nc", "2015")
    write({name: 100 * values for name, values in states.items()}, units="%")
    assert not report_of(raw).faults


def test_states_that_lack_land_of_the_static_file(
    raw: Raw, states: dict[str, np.ndarray], write: Any, small_twin: TwinReport
) -> None:
    """A type that is lost in all years shows against 1 - icwtr only."""
    raw["forcing"][0]["options"]["static"] = str(small_twin.paths["static_luh2"])
    write(states)
    assert not report_of(raw).faults
    states["c3ann"] *= 0
    write(states)
    refused(raw, "fill less than the land of their cells", "1 - icwtr", "made.nc")
    raw["quality"] = {"policy": "mend"}
    assert report_of(raw).mended["ssp: under_land"] > 100


@pytest.mark.parametrize("kind", ["netcdf", "ssp"])
def test_a_year_between_others_is_missing(
    raw: Raw, states: dict[str, np.ndarray], write: Any, tmp_path: Path, kind: str
) -> None:
    path = write(states)
    with netCDF4.Dataset(path, "a") as file:
        file["time"][2:] = file["time"][2:] + 1  # 2015, 2016, 2018, 2019
    if kind == "netcdf":
        variables = {name: {"name": name, "kind": "fraction"} for name in STATES}
        raw["forcing"] = [{"name": "netcdf", "options": {"path": str(path), "variables": variables}}]
    refused(raw, "2017", "2015-2019 without 2017")
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(raw))
    done = CliRunner().invoke(cli, ["validate", str(run_file)])
    assert done.exit_code != 0
    assert not (tmp_path / "run.zarr").exists()


def test_a_fill_value_of_0_is_named(raw: Raw, states: dict[str, np.ndarray], write: Any) -> None:
    write(states, fill=0)
    refused(raw, "made.nc", "_FillValue is 0", "each real 0 counts as missing")


def test_a_valid_range_that_leaves_values_out_is_named(raw: Raw, states: dict[str, np.ndarray], write: Any) -> None:
    packed = {name: np.rint(values / 1e-4) for name, values in states.items()}
    packing = {"fill": -32768, "kind": "i2", "scale_factor": 1e-4, "add_offset": 0.0}
    write(packed, **packing, valid_range=np.array([0, 1000], "i2"))
    refused(raw, "made.nc", "valid_range = [0, 1000]", "packed numbers", "count as missing")
    write(packed, **packing, valid_range=np.array([0, 10000], "i2"))
    assert not report_of(raw).faults


def test_a_scale_factor_as_text_is_a_number(raw: Raw, states: dict[str, np.ndarray], write: Any) -> None:
    write({n: np.rint(v / 1e-4) for n, v in states.items()}, fill=-32768, kind="i2", scale_factor="0.0001")
    report = report_of(raw)
    assert not report.faults
    urban = next(line for line in report.variables if line.name == "urban")
    assert urban.high == pytest.approx(np.nanmax(states["urban"]), abs=6e-5)


def test_a_map_that_is_half_written(
    raw: Raw, states: dict[str, np.ndarray], write: Any, tmp_path: Path, small_twin: TwinReport
) -> None:
    write(states)
    source = Path(str(small_twin.paths["maps"]).format(year=2015))
    half = tmp_path / "half_2015.tif"
    with rasterio.open(source) as file:
        codes, profile = file.read(1), file.profile
    codes[codes.shape[0] // 2 :] = 0
    with rasterio.open(half, "w", **profile) as file:
        file.write(codes, 1)
    raw["initial"]["options"]["path"] = str(tmp_path / "half_{year}.tif")
    (warning,) = report_of(raw).warnings
    # Rows of 0.25 degrees from 52.5 N: the map ends at 51.5 N.
    total = np.nan_to_num(sum(v[0] for v in states.values()))
    with netCDF4.Dataset(small_twin.paths["scenario"]) as file:
        lost = total[np.asarray(file["lat"][:]) < 51.5].sum() / total.sum()
    assert f"the forcing has land where the map has none ({100 * lost:.0f} %" in warning


def test_states_that_are_0_in_a_part_of_the_map(
    raw: Raw, states: dict[str, np.ndarray], write: Any, small_twin: TwinReport
) -> None:
    """The same in every year: nothing but the map shows that they are lost."""
    with netCDF4.Dataset(small_twin.paths["scenario"]) as file:
        south = np.asarray(file["lat"][:]) < 51.5
    for values in states.values():
        values[:, south] *= 0
    write(states)
    report = report_of(raw)
    assert not report.faults
    (warning,) = report.warnings
    source = str(small_twin.paths["maps"]).format(year=2015)
    with rasterio.open(source) as file:
        land = ~np.isin(file.read(1), (0, 99))
        rows = 52.5 - 0.03 * (np.arange(file.height) + 0.5) < 51.5
    share = 100 * land[rows].sum() / land.sum()
    assert f"all 0 ({share:.0f} %" in warning


def test_a_chunk_of_many_years_is_told(raw: Raw, small_twin: TwinReport, tmp_path: Path) -> None:
    """The LUH2 history of the twin has 6 years; repeated to 12, one chunk holds them all."""
    path = tmp_path / "long.nc"
    with netCDF4.Dataset(small_twin.paths["scenario"]) as source, netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", 12)
        for name in ("lat", "lon"):
            file.createDimension(name, source.dimensions[name].size)
            file.createVariable(name, "f8", (name,))[:] = source[name][:]
        file.createVariable("time", "f8", ("time",))[:] = np.arange(12)
        file["time"].units = "years since 2010-01-01"
        shape = (12, source.dimensions["lat"].size, source.dimensions["lon"].size)
        share = file.createVariable("share", "f4", ("time", "lat", "lon"), zlib=True, chunksizes=shape)
        share.units = "1"
        share[:] = 0.5
        each = file.createVariable("each", "f4", ("time", "lat", "lon"), zlib=True, chunksizes=(1, *shape[1:]))
        each.units = "1"
        each[:] = 0.5
    variables = {"share": {"name": "share", "kind": "fraction"}}
    raw["forcing"].append({"name": "netcdf", "options": {"path": str(path), "variables": variables}})
    (warning,) = report_of(raw).warnings
    assert "long.nc: a chunk spans 12 time steps" in warning
    assert "ai4land prepare" in warning
    run_file = tmp_path / "run.yaml"
    run_file.write_text(yaml.safe_dump(raw))
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["check", str(run_file)])
    assert re.search(r"warning: \S*long\.nc: a chunk spans 12", done.stdout)
    assert "the inputs are good, with one warning" in done.stdout


def test_the_map_is_read_by_rows_of_blocks(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, for the forcing and for the static fields. The report is the one from whole fields."""
    raw["predictors"] = [{"name": "unet", "options": {"bundle": "twin"}}]
    read, reports = [], []
    real = first_state.read_cover

    def spy(*given: Any) -> Any:
        codes = real(*given)
        read[-1].append(codes.size)
        return codes

    monkeypatch.setattr(first_state, "read_cover", spy)
    for block in (3, 64):
        read.append([])
        config = parse_config({**raw, "parallel": {"block": block}}, Path(), "run.yaml")
        reports.append(check_inputs(config, years="ends"))
    by_rows, whole = reports
    cells = 67 * 100
    assert sum(read[0]) == sum(read[1]) == 2 * cells
    assert max(read[1]) == cells > 2 * max(read[0])
    static = [line for line in by_rows.variables if line.kind == "static"]
    assert len(static) > 2
    assert all(np.isfinite([line.low, line.high, line.missing]).all() for line in static)
    assert by_rows.variables == whole.variables
    assert by_rows.closure.keys() == whole.closure.keys()
    for name, ends in whole.closure.items():
        assert by_rows.closure[name] == pytest.approx(ends)
