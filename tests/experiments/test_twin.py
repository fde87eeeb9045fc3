"""The Twin Earth, compared with independent calculations, its documented rules, and its frozen edition."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from click.testing import CliRunner, Result
from pydantic import ValidationError

from ai4land_coupler.cli import cli
from ai4land_coupler.core.legend import get_crosswalk, get_legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.experiments.twin import (
    TwinOptions,
    TwinReport,
    benchmark_edition,
    benchmark_names,
    generate,
    make_landscape,
    write_cmip7_of,
)
from ai4land_coupler.experiments.twin.dynamics import simulate
from ai4land_coupler.experiments.twin.earth import land_at
from ai4land_coupler.experiments.twin.landscape import landscape_on, make_ground
from ai4land_coupler.experiments.twin.noise import gradient_noise
from ai4land_coupler.experiments.twin.part import whole as whole_of
from ai4land_coupler.inputs.climate_zones import zone_at

FRACTIONS = ["primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range"]
LEGEND = get_legend("hilda-v1.0-f")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> TwinReport:
    """The small frozen edition, for tests."""
    return generate(benchmark_edition("small").options, tmp_path_factory.mktemp("small"))


def tiny(**changes: object) -> TwinOptions:
    """Two degrees of southern England with the cell size of HILDA+ v1.0."""
    base = {"lon0": -1.5, "lon1": -0.5, "lat0": 51.0, "lat1": 51.75, "resolution": 0.00998837}
    return TwinOptions(**{**base, "first_year": 2012, "last_year": 2017, "seed": 3, **changes})


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> TwinReport:
    """Cells that do not divide 0.25 degree."""
    return generate(tiny(), tmp_path_factory.mktemp("fine"))


def read_map(report: TwinReport, year: int) -> np.ndarray:
    with rasterio.open(str(report.paths["maps"]).format(year=year)) as source:
        return source.read(1)


def read_states(path: Path) -> xr.Dataset:
    return xr.open_dataset(path, decode_times=False).load()


# --- The frozen edition ----------------------------------------------------------------------------------------


def test_benchmark_is_unchanged(small: TwinReport) -> None:
    edition = benchmark_edition("small")
    edition.check(small)
    assert edition.edition == "twin-1"
    with pytest.raises(DataError, match="the maps of a Twin Earth differ"):
        edition.check(small.model_copy(update={"maps_sha256": "0" * 64}))


def test_standard_edition_is_a_few_thousand_forcing_cells() -> None:
    names = benchmark_names()
    assert {"small", "standard", "standard-seed-2", "standard-seed-3"} == set(names)
    standard = [benchmark_edition(n) for n in names if n != "small"]
    assert {e.options.seed for e in standard} == {1, 2, 3}
    assert all(2000 < e.options.forcing_grid.size < 6000 for e in standard)
    assert len({e.maps_sha256 for e in standard}) == 3
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        benchmark_edition("smal")


# --- Determinism -----------------------------------------------------------------------------------------------


def test_same_options_give_same_arrays_and_another_seed_does_not(fine: TwinReport, tmp_path: Path) -> None:
    again = generate(tiny(), tmp_path / "again")
    assert (again.maps_sha256, again.states_sha256) == (fine.maps_sha256, fine.states_sha256)
    other = generate(tiny(seed=4, last_year=2013), tmp_path / "other")
    assert (read_map(other, 2012) != read_map(fine, 2012)).mean() > 0.1


def test_static_fields_and_first_map_do_not_depend_on_the_region() -> None:
    ground, inner = (
        make_ground(whole_of(TwinOptions(**box, resolution=0.03)))
        for box in (
            {"lon0": -2, "lon1": 1, "lat0": 50.5, "lat1": 52.5},
            {"lon0": -1.25, "lon1": 0.25, "lat0": 51, "lat1": 52},
        )
    )
    whole, part = landscape_on(ground), landscape_on(inner)
    row, col = np.argwhere(whole.cell == part.cell[0, 0])[0]
    crop = slice(row, row + part.shape[0]), slice(col, col + part.shape[1])
    assert np.array_equal(whole.cell[crop], part.cell)
    assert np.array_equal(whole.first_map()[crop], part.first_map())
    for name in ("elevation", "slope", "clay", "zone"):
        assert np.array_equal(getattr(ground, name)[crop], getattr(inner, name)), name
    for name in ("water", "forest_code", "crop_type", "wild", "age"):
        assert np.array_equal(getattr(whole, name)[crop], getattr(part, name)), name
    for name in ("suitability", "hidden"):
        assert np.array_equal(getattr(whole, name)[:, *crop], getattr(part, name)), name


def test_noise_is_periodic_around_the_globe() -> None:
    rng, lat = KeyedRng(1), np.linspace(-80, 80, 50)
    west = gradient_noise(rng, np.full(50, -180.0), lat, 90, shift=0.3)
    east = gradient_noise(rng, np.full(50, 180.0), lat, 90, shift=0.3)
    assert east == pytest.approx(west, abs=1e-9)
    sample = gradient_noise(rng, np.linspace(-180, 180, 2000)[None, :], np.linspace(-60, 60, 500)[:, None], 720, 0.3)
    assert abs(sample.mean()) < 0.02
    assert 0.4 < sample.std() < 0.6


def test_mask_and_zones_are_the_real_ones() -> None:
    lon, lat = np.array([-0.12, -30.0, 2.35, 13.0]), np.array([51.5, 48.85, 23.5])
    assert land_at(lon, lat)[0, 0]
    assert not land_at(lon, lat)[:2, 1].any()
    zones = zone_at(lon, lat)
    assert zones[0, 0] == zones[1, 2] == 10  # London and Paris: Cfb
    assert zones[2, 3] == 7  # the Sahara: BWh


# --- The map and its change ------------------------------------------------------------------------------------


def test_gross_change_has_the_configured_rate(small: TwinReport) -> None:
    rates = []
    for year in range(2001, 2026):
        before, after = (LEGEND.to_view(read_map(small, y)) for y in (year - 1, year))
        dry = (before >= 0) & (before != 6)
        edges = np.sin(np.deg2rad(np.linspace(54, 50, 81)))
        area = np.broadcast_to((edges[:-1] - edges[1:])[:, None], before.shape)
        rates.append(area[dry & (before != after)].sum() / area[dry].sum())
        assert rates[-1] == pytest.approx(small.gross_change[year], rel=1e-4)
        assert np.array_equal(before < 0, after < 0)
        assert np.array_equal(before == 6, after == 6)
    assert np.mean(rates) == pytest.approx(0.0053, rel=0.03)
    assert small.mean_gross_change == pytest.approx(np.mean(rates), rel=1e-4)


def test_codes_and_landscape(small: TwinReport) -> None:
    codes = read_map(small, 2000)
    LEGEND.check(codes)
    shares = Counter(LEGEND.to_view(codes).ravel().tolist())
    land = codes.size - shares[-1]
    assert 0.005 < shares[0] / land < 0.08, "towns"
    assert min(shares[c] for c in (1, 2, 3)) / land > 0.05, "fields, pastures and forests"
    lon, lat = small.options.land_grid.lon, small.options.land_grid.lat
    assert np.array_equal(codes > 0, land_at(lon, lat))


def test_towns_never_shrink(small: TwinReport) -> None:
    first, last = (LEGEND.to_view(read_map(small, y)) for y in (2000, 2025))
    assert (last[first == 0] == 0).all()
    assert (last == 0).sum() > (first == 0).sum()


def test_a_step_depends_on_the_past_only() -> None:
    short, long = (TwinOptions(resolution=0.05, first_year=2010, last_year=y) for y in (2012, 2015))
    maps = {year: cover for year, cover, _ in simulate(make_landscape(long))}
    for year, cover, _ in simulate(make_landscape(short)):
        assert np.array_equal(cover, maps[year])


# --- Coarse states ---------------------------------------------------------------------------------------------


def test_states_are_the_aggregates_of_the_map(fine: TwinReport) -> None:
    """Compare with a loop over cells, areas from an exact formula, and sums of classes by the crosswalk."""
    radius, size = 6_371_007.2, fine.options.resolution
    crosswalk = get_crosswalk("luh2-hilda")
    group_of = crosswalk.group_of_class(LEGEND)
    states = read_states(fine.paths["states"])
    water = xr.open_dataset(fine.paths["static_luh2"])["icwtr"].values
    for year in (2012, 2015):
        with rasterio.open(str(fine.paths["maps"]).format(year=year)) as source:
            codes, transform = source.read(1), source.transform
        view = LEGEND.to_view(codes)
        area: dict[tuple[int, int], Counter[int]] = {}
        for row in range(codes.shape[0]):
            north = transform.f + row * transform.e
            cell = radius**2 * np.deg2rad(size) * (np.sin(np.deg2rad(north)) - np.sin(np.deg2rad(north - size)))
            for col in range(codes.shape[1]):
                lon, lat = transform.c + (col + 0.5) * size, north - 0.5 * size
                key = int((90 - lat) // 0.25), int((lon + 180) // 0.25)
                group = -1 if view[row, col] < 0 else int(group_of[view[row, col]])
                area.setdefault(key, Counter())[group] += cell
        step = states.sel(time=year - 850)
        assert len(area) == states.lat.size * states.lon.size
        for (j, i), groups in area.items():
            at = step.sel(lat=90 - 0.25 * (j + 0.5), lon=-180 + 0.25 * (i + 0.5))
            total = sum(groups.values())
            for number, group in enumerate(crosswalk.groups):
                names = (*crosswalk.states[group], *(s for s in crosswalk.optional[group] if s in at))
                found = sum(float(at[s]) for s in names)
                assert found == pytest.approx(groups[number] / total, abs=2e-7)
    assert float(water.max()) < 0.2


def test_states_sum_to_land_and_have_missing_values(small: TwinReport) -> None:
    static = read_states(small.paths["static_luh2"])
    land = static["icwtr"].values < 1
    assert 0.2 < land.mean() < 1
    for path, base in ((small.paths["states"], 850), (small.paths["scenario"], 2015)):
        states = read_states(path)
        total = sum(states[s].values.astype(np.float64) for s in FRACTIONS)
        assert total[:, land] == pytest.approx(
            np.broadcast_to(1 - static["icwtr"].values[land], total[:, land].shape), abs=1e-6
        )
        for name in (*FRACTIONS, "secma", "secmb"):
            assert (states[name].values[:, ~land] == np.float32(1e20)).all()
        assert states.time.attrs["units"] == f"years since {base}-01-01 0:0:0"
    history, future = read_states(small.paths["states"]), read_states(small.paths["scenario"])
    assert history.time.values.tolist() == list(range(2000 - 850, 2015 - 850 + 1))
    assert future.time.values.tolist() == list(range(11))
    for name in (*FRACTIONS, "secma", "secmb"):
        assert np.array_equal(history[name].values[-1], future[name].values[0]), "2015 is in both"


def test_primary_land_never_grows_and_ages_increase(small: TwinReport) -> None:
    states = read_states(small.paths["states"])
    for name in ("primf", "primn"):
        values = np.where(states[name] > 1e19, 0, states[name])
        assert (np.diff(values, axis=0) <= 1e-7).all()
        assert values.max() > 0
    age, biomass = (np.where(states[n] > 1e19, np.nan, states[n]) for n in ("secma", "secmb"))
    secondary = np.where(states["secdf"] > 1e19, 0, states["secdf"] + states["secdn"])
    assert np.nanmin(age[secondary > 0]) >= 0
    assert 10 < np.nanmean(age[secondary > 0]) < 140
    assert 0 <= np.nanmin(biomass) <= np.nanmax(biomass) < 20
    unchanged = (secondary[0] == secondary[1]) & (secondary[0] > 0.05)
    assert np.nanmedian((age[1] - age[0])[unchanged]) == pytest.approx(1)


# --- Layouts ---------------------------------------------------------------------------------------------------


def test_map_layout(fine: TwinReport) -> None:
    with rasterio.open(str(fine.paths["maps"]).format(year=2013)) as source:
        assert (source.crs.to_epsg(), source.count, source.dtypes[0]) == (4326, 1, "uint8")
        assert source.transform.a == -source.transform.e == 0.00998837
        # Cells of the global lattice with centres in the region.
        assert (source.transform.c + 180) / 0.00998837 == pytest.approx(round((source.transform.c + 180) / 0.00998837))
        assert -1.5 < source.transform.c + 0.005 < -1.49
    assert Path(str(fine.paths["maps"]).format(year=2013)).name == "hilda_plus_2013_states_GLOB-v1-0-f_wgs84-nn.tif"


def test_luh2_layout(small: TwinReport) -> None:
    states = read_states(small.paths["states"])
    assert states["primf"].dims == ("time", "lat", "lon")
    assert states["primf"].dtype == np.float32
    assert states.time.attrs["calendar"] == "noleap"
    assert states.lat.values[0] == 53.875
    assert states.lat.values[-1] == 50.125
    assert states.lon.values[[0, -1]].tolist() == [-3.875, 1.875]
    for name in (*FRACTIONS, "secma", "secmb"):
        assert states[name].attrs["_fillvalue"] == np.float32(1e20)
        assert "_FillValue" not in states[name].encoding or states[name].encoding["_FillValue"] is None
    assert {states[n].attrs["units"] for n in FRACTIONS} == {"1"}
    assert (states["secma"].attrs["units"], states["secmb"].attrs["units"]) == ("years", "kg m-2")
    assert small.paths["scenario"].name == (
        "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-IMAGE-ssp126-2-1-f_gn_2015-2025.nc"
    )


def test_luh2_static_layout(small: TwinReport) -> None:
    static = xr.open_dataset(small.paths["static_luh2"])
    assert {"ptbio", "fstnf", "carea", "icwtr", "ccode"} < set(static.data_vars)
    zone = 4 * np.pi * 6371.0072**2 * (np.sin(np.deg2rad(54)) - np.sin(np.deg2rad(50))) / 2 * 6 / 360
    assert float(static["carea"].astype("f8").sum()) == pytest.approx(zone, rel=1e-6)
    assert static["carea"].attrs["units"] == "km2"
    assert set(np.unique(static["fstnf"])) <= {0, 1}
    # Wrong by half a cell, as in the published file.
    assert static["lat_bounds"].values[0].tolist() == [53.875, 53.625]
    assert static["lon_bounds"].values[0].tolist() == [-4.125, -3.875]


def test_global_forcing(tmp_path: Path) -> None:
    report = generate(tiny(global_forcing=True, last_year=2013, resolution=0.05), tmp_path)
    static, states = (read_states(report.paths[k]) for k in ("static_luh2", "states"))
    assert static["icwtr"].shape == (720, 1440)
    assert float(static["carea"].astype("f8").sum()) == pytest.approx(4 * np.pi * 6371.0072**2, rel=1e-6)
    inside = states["urban"].sel(lat=slice(51.75, 51.0), lon=slice(-1.5, -0.5))
    assert inside.shape == (2, 3, 4)
    assert float(inside.max()) <= 1
    assert int((states["urban"] < 1e19).sum()) == inside.size
    assert "scenario" not in report.paths


def test_static_layout(small: TwinReport) -> None:
    elevation = xr.open_dataset(small.paths["elevation"])["elevation"]
    assert (elevation.attrs["units"], elevation.attrs["standard_name"]) == ("m", "surface_altitude")
    terrain, soil = xr.open_dataset(small.paths["terrain"]), xr.open_dataset(small.paths["soil"])
    assert {terrain[n].attrs["units"] for n in ("slope", "aspect")} == {"degree"}
    assert [soil[n].attrs["units"] for n in ("clay", "sand", "organic_carbon")] == ["1", "1", "g kg-1"]
    assert float((soil["clay"] + soil["sand"]).max()) < 1
    assert elevation.shape == read_map(small, 2000).shape
    # Slope and aspect are those of a plane that numpy fits to the elevation of five cells.
    h, y, x = elevation.values.astype(np.float64), 40, 60
    metres = 6_371_007.2 * np.deg2rad(0.05)
    east = (h[y, x + 1] - h[y, x - 1]) / (2 * metres * np.cos(np.deg2rad(float(elevation.lat[y]))))
    north = (h[y - 1, x] - h[y + 1, x]) / (2 * metres)
    assert float(terrain["slope"][y, x]) == pytest.approx(np.rad2deg(np.arctan(np.hypot(east, north))), rel=1e-4)
    assert float(terrain["aspect"][y, x]) == pytest.approx(np.rad2deg(np.arctan2(-east, -north)) % 360, abs=0.01)


def test_static_fields_explain_the_map(small: TwinReport) -> None:
    """Cropland lies on better soil and lower ground than forest."""
    view = LEGEND.to_view(read_map(small, 2000))
    soil, elevation = (
        xr.open_dataset(small.paths["soil"]),
        xr.open_dataset(small.paths["elevation"])["elevation"].values,
    )
    loam = np.abs(soil["clay"].values - 0.26) + np.abs(soil["sand"].values - 0.40)
    assert loam[view == 1].mean() < loam[view == 3].mean()
    assert elevation[view == 1].mean() < elevation[view == 3].mean()


# --- Skill -----------------------------------------------------------------------------------------------------


def test_hidden_noise_limits_the_skill(small: TwinReport) -> None:
    assert [s.lead for s in small.skill] == [1, 20]
    for skill in small.skill:
        assert skill.persistence == 0
        assert 0.05 < skill.oracle_net < skill.oracle < 0.6
        assert skill.accuracy > 0.9
    text = "\n".join(small.lines())
    assert "oracle" in text
    assert "  1 y   0.327" in text
    assert " 20 y   0.393" in text


def test_known_driver_is_better_than_chance(small: TwinReport) -> None:
    """The known driver gives much higher skill than a random choice of cells: there is something to learn."""
    rng, hits, called = np.random.default_rng(1), 0, 0
    before, after = (LEGEND.to_view(read_map(small, y)).ravel() for y in (2000, 2020))
    dry = (before >= 0) & (before != 6)
    guess = before.copy()
    changed = np.flatnonzero(dry & (before != after))
    chosen = rng.choice(np.flatnonzero(dry), changed.size, replace=False)
    guess[chosen] = rng.permutation(after[changed])
    hits = ((guess == after) & (before != after)).sum()
    called = ((before != after) | (before != guess)).sum()
    assert hits / called < 0.05 < small.skill[1].oracle / 4


# --- Files and errors ----------------------------------------------------------------------------------------


def test_second_call_changes_nothing_and_other_options_replace_the_twin(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    options = tiny(resolution=0.05, last_year=2014)
    report = generate(options, tmp_path, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    stamps = {f: (tmp_path / f).stat().st_mtime_ns for f in report.files}
    again = generate(options, tmp_path)
    assert again == report
    assert {f: (tmp_path / f).stat().st_mtime_ns for f in again.files} == stamps
    (tmp_path / report.files[0]).unlink()
    assert generate(options, tmp_path).maps_sha256 == report.maps_sha256
    assert (tmp_path / report.files[0]).is_file()

    (tmp_path / "notes.txt").write_text("mine")
    shorter = generate(tiny(resolution=0.05, last_year=2013), tmp_path)
    on_disk = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert on_disk == {*shorter.files, Path("twin.json"), Path("notes.txt")}


def test_other_files_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "luh2").mkdir()
    (tmp_path / "luh2" / "states.nc").write_text("precious")
    with pytest.raises(DataError, match="holds files that no twin wrote"):
        generate(tiny(resolution=0.05, last_year=2013), tmp_path)
    assert (tmp_path / "luh2" / "states.nc").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["luh2"]


def test_an_unfinished_twin_is_finished(tmp_path: Path) -> None:
    options = tiny(resolution=0.05, last_year=2013)
    report = generate(options, tmp_path)
    manifest = json.loads((tmp_path / "twin.json").read_text())
    (tmp_path / "twin.json").write_text(json.dumps({**manifest, "complete": False}))
    assert generate(options, tmp_path).maps_sha256 == report.maps_sha256
    (tmp_path / "twin.json").write_text("{")
    with pytest.raises(DataError, match="manifest of a Twin Earth cannot be read"):
        generate(options, tmp_path)


def test_errors_of_bad_options(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no land"):
        generate(TwinOptions(lon0=-30, lon1=-29, lat0=40, lat1=41, resolution=0.05), tmp_path)
    with pytest.raises(ConfigError, match=r"edges of 0\.25-degree forcing cells"):
        generate(TwinOptions(resolution=0.1), tmp_path)
    with pytest.raises(ValidationError, match="lon0 must be below lon1"):
        TwinOptions(lon0=170, lon1=-170)
    with pytest.raises(ValidationError, match="history file would be empty"):
        TwinOptions(first_year=2020)
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TwinOptions(sead=1)


def test_cmip7_on_the_command_line(tmp_path: Path) -> None:
    """History, seven scenarios and an extension under their published names. Years that they share are needed."""
    small = ["--region", "-0.5", "0", "51.5", "52", "--resolution", "0.0625", "--scenario-start", "2020"]

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["twin", *arguments, "--cmip7", *small])

    folder = tmp_path / "twin"
    result = run("-o", str(folder), "--years", "2020", "2025")
    assert result.exit_code == 0, result.output
    assert f"28 files in {folder / 'cmip7'}" in result.output.replace("\n", "")
    names = {path.name for path in (folder / "cmip7").iterdir()}
    assert len(names) == 28
    assert "multiple-transitions_input4MIPs_landState_CMIP_UofMD-landState-3-1-2_gn_0850-2023.nc" in names
    assert "multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-landState-h-ext-3-1_gn_2100-2500.nc" in names
    with pytest.raises(ConfigError, match="does not have the years that the history and the scenarios") as error:
        write_cmip7_of(
            generate(
                TwinOptions(lon0=-0.5, lon1=0, lat0=51.5, lat1=52, resolution=0.0625, first_year=2012, last_year=2016),
                tmp_path / "early",
            )
        )
    assert "2022 to 2024" in str(error.value)
