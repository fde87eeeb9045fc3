"""Persistence, replay and phenology, with the prediction by tiles of the component."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from properties import examples
from rasterio.transform import Affine
from scipy.integrate import solve_ivp

from ai4land_coupler.api import Batch, Box, KeyedRng, LatLonGrid, Tile, get_legend
from ai4land_coupler.errors import Ai4LandError, ConfigError, DataError, GridError, PluginError, TimeError
from ai4land_coupler.land.assemble import TileInputs, window_of
from ai4land_coupler.land.tiling import predict_tiles
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.store.layout import StoreLayout
from ai4land_coupler.store.output import OutputStore

LEGEND = get_legend("hilda-v1.0-f")
GRID = LatLonGrid(-10.0, 0.05, 40, 60.0, -0.05, 30)
FORCING = LatLonGrid(-10.0, 0.25, 8, 60.0, -0.25, 6)
PLUGINS = load_plugins([])
CODES = np.array([0, 11, 22, 33, 40, 41, 44, 55, 66, 77, 99], np.uint8)


def create(name: str, **options: Any) -> Any:
    return PLUGINS.create("predictor", name, {"legend": LEGEND.name, **options}, "test")


def predict(
    predictor: Any,
    land: Mapping[str, NDArray[Any]],
    time: tuple[int, int] = (2001, 0),
    coarse: Mapping[tuple[str, int], NDArray[np.float32]] | None = None,
    grid: LatLonGrid = GRID,
) -> dict[str, NDArray[np.float32]]:
    """Predict the whole domain in four tiles with a halo of two cells, and join the results."""

    def reader(name: str, offset: int, tile: Tile) -> NDArray[Any]:
        return window_of(land[name], tile.window, periodic=grid.periodic, fill=-1)

    half_row, half_col = grid.nlat // 2, grid.nlon // 2
    cores = [
        Box(r, r + half_row, c, c + half_col) for r in (0, grid.nlat - half_row) for c in (0, grid.nlon - half_col)
    ]
    tiles = [Tile(i, b, Box(b.row0 - 2, b.row1 + 2, b.col0 - 2, b.col1 + 2)) for i, b in enumerate(cores)]
    whole: dict[str, NDArray[np.float32]] = {}
    inputs = TileInputs(grid, FORCING, reader, coarse or {})
    for tile, answer in predict_tiles("test", predictor, tiles, inputs, time, KeyedRng(1)):
        for key, values in answer.items():
            full = whole.setdefault(key, np.full((*values.shape[:-2], *grid.shape), np.nan, np.float32))
            full[..., tile.core.row0 : tile.core.row1, tile.core.col0 : tile.core.col1] = values
    return whole


def random_codes(seed: int, shape: tuple[int, int] = GRID.shape) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(CODES, shape)


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    odds = np.exp(logits.astype(np.float64))
    return np.asarray(odds / odds.sum(axis=0))


# --- persistence


def test_persistence_gives_nearly_all_probability_to_the_present_class() -> None:
    cover = LEGEND.to_view(random_codes(1))
    logits = predict(create("persistence"), {"land_cover": cover})["land_cover_logits"]
    land = cover >= 0
    assert logits.shape == (7, *GRID.shape)
    np.testing.assert_array_equal(logits.argmax(axis=0)[land], cover[land])
    assert probabilities(logits).max(axis=0)[land].min() > 0.9999
    assert (logits[:, ~land] == 0).all()


def test_persistence_has_the_step_and_direction_of_the_run() -> None:
    spec = create("persistence", step="P3Y", direction="backward").spec
    assert (spec.interval.months, spec.direction, spec.halo, spec.legend) == (36, -1, 0, LEGEND.name)
    with pytest.raises(ConfigError, match="ISO 8601"):
        create("persistence", step="yearly")
    with pytest.raises(ConfigError, match=r"direction: expected 'forward' or 'backward', found 'back'"):
        create("persistence", direction="back")


# --- replay


def write_map(path: Path, codes: NDArray[Any], grid: LatLonGrid, **profile: Any) -> None:
    transform = Affine(grid.dlon, 0, grid.lon0, 0, grid.dlat, grid.lat0)
    options = {"crs": "EPSG:4326", "dtype": codes.dtype, "transform": transform, **profile}
    with rasterio.open(path, "w", driver="GTiff", height=grid.nlat, width=grid.nlon, count=1, **options) as file:
        file.write(codes, 1)


def replayed(
    path: Path, year: int, before: NDArray[np.int8], grid: LatLonGrid = GRID, **options: Any
) -> NDArray[np.int64]:
    """The map from ``argmax``. A cell without logits keeps its class."""
    predictor = create("replay", path=str(path), **options)
    logits = predict(predictor, {"land_cover": before}, (year, 0), grid=grid)["land_cover_logits"]
    assert probabilities(logits).max(axis=0)[logits.any(axis=0)].min() > 1 - 1e-12
    return np.where(logits.any(axis=0), logits.argmax(axis=0), before)


@examples(10)
@given(st.integers(0, 10_000), st.integers(-8, 8), st.integers(-8, 8))
def test_replay_gives_the_stored_classes_wherever_the_domain_lies_on_the_map(
    tmp_path_factory: pytest.TempPathFactory, seed: int, south: int, east: int
) -> None:
    folder = tmp_path_factory.mktemp("maps")
    stored = GRID.sub(Box(south, south + 34, east, east + 44))
    codes = random_codes(seed, stored.shape)
    write_map(folder / "map_1999.tif", codes, stored)
    before = LEGEND.to_view(random_codes(seed + 1))
    found = replayed(folder / "map_{year}.tif", 1999, before)
    for row in range(GRID.nlat):
        for col in range(GRID.nlon):
            i, j = row - south, col - east
            inside = 0 <= i < stored.nlat and 0 <= j < stored.nlon
            new = LEGEND.to_view(codes[i : i + 1, j])[0] if inside else -1
            assert found[row, col] == (new if new >= 0 else before[row, col])


def test_replay_on_a_domain_across_the_edge_of_a_global_map(tmp_path: Path) -> None:
    globe = LatLonGrid(-180.0, 4.0, 90, 88.0, -4.0, 44)
    codes = np.random.default_rng(3).choice(CODES[1:9], globe.shape)
    write_map(tmp_path / "g1950.tif", codes, globe)
    domain = LatLonGrid(160.0, 4.0, 10, 40.0, -4.0, 8)
    found = replayed(tmp_path / "g{year}.tif", 1950, np.full(domain.shape, -1, np.int8), domain)
    columns = [int((lon + 180.0) % 360.0 // 4) for lon in domain.lon]
    np.testing.assert_array_equal(found, LEGEND.to_view(codes[12:20][:, columns]))


def test_replay_reads_only_years_that_a_run_has_written(tmp_path: Path) -> None:
    layout = StoreLayout(GRID, (2000, 2001, 2002), LEGEND, shard=32, chunk=16)
    store = OutputStore.create(tmp_path / "run.zarr", layout, {"title": "test"})
    maps = {year: random_codes(year) for year in (2000, 2001)}
    for year, codes in maps.items():
        for box in store.shard_boxes():
            store.write_land_cover(year, box, codes[box.slices()])
        store.write_diagnostic("class_area", year, np.ones(7))
        store.sync()
        store.commit(year)
    before = np.full(GRID.shape, -1, np.int8)
    for year in (2000, 2001):
        np.testing.assert_array_equal(replayed(store.path, year, before), LEGEND.to_view(maps[year]))
    create("replay", path=str(store.path)).check_years([2000, 2001])
    with pytest.raises(TimeError, match=r"no stored map of 2002\n(.*\n)?  found: 2000-2001"):
        create("replay", path=str(store.path)).check_years([2000, 2001, 2002])
    with pytest.raises(
        PluginError, match=r"there is no stored map of 2002\n  expected: a year that the run has finished"
    ):
        replayed(store.path, 2002, before)
    with pytest.raises(PluginError, match=r"there is no stored map of 1999\n  expected: one of \[2000, 2001, 2002\]"):
        replayed(store.path, 1999, before)
    with pytest.raises(DataError, match=r"have another legend\n  expected: hilda-v1.0\n  found: hilda-v1.0-f"):
        create("replay", path=str(store.path), legend="hilda-v1.0")


@pytest.mark.parametrize("template", ["map_{year}.tif", "{year}/map_{year}.tif", "a[1]-{year}.tif"])
def test_replay_knows_before_a_run_which_years_are_stored(tmp_path: Path, template: str) -> None:
    for year in (1998, 1999, 2001):
        path = tmp_path / template.replace("{year}", str(year))
        path.parent.mkdir(exist_ok=True)
        write_map(path, random_codes(year), GRID)
    (tmp_path / template.replace("{year}", "none")).parent.mkdir(exist_ok=True)
    path = str(tmp_path / template)
    create("replay", path=path).check_years([1998, 1999])
    for years, first in (([1998, 1999, 2000], 2000), ([2001, 2002], 2002), ([1997, 1998], 1997)):
        with pytest.raises(TimeError, match=f"no stored map of {first}\n") as caught:
            create("replay", path=path).check_years(years)
        assert "found: 1998-1999, 2001" in str(caught.value)
    held = create("replay", path=path, beyond="hold")
    held.check_years([2001, 2002, 2100])
    with pytest.raises(TimeError, match="no stored map of 2000"):
        held.check_years([1999, 2000, 2001])
    before = np.full(GRID.shape, -1, np.int8)
    for year, stored in ((1999, 1999), (2001, 2001), (2002, 2001), (2100, 2001)):
        found = replayed(tmp_path / template, year, before, beyond="hold")
        np.testing.assert_array_equal(found, LEGEND.to_view(random_codes(stored)))
    with pytest.raises(TimeError, match="no stored map of 2004"):  # 2000 stands for it, which has no map
        create("replay", path=path, beyond="cycle").check_years([2001, 2002, 2003, 2004])
    last = Path(path.replace("{year}", "2000"))
    last.parent.mkdir(exist_ok=True)
    write_map(last, random_codes(2000), GRID)
    create("replay", path=path, beyond="cycle").check_years(range(1998, 2100))
    for year, stored in ((2002, 1998), (2003, 1999), (2005, 2001), (2006, 1998)):
        found = replayed(tmp_path / template, year, before, beyond="cycle")
        np.testing.assert_array_equal(found, LEGEND.to_view(random_codes(stored)))


@pytest.mark.real_data
def test_replay_gives_the_real_map_of_the_united_kingdom(sample_data: Path) -> None:
    template = sample_data / "hilda_plus" / "hilda_plus_{year}_states_UK-v1-0-f_wgs84-nn.tif"
    with rasterio.open(str(template).replace("{year}", "2012")) as file:
        t, raw = file.transform, file.read(1)[200:400, 800:1000]
    domain = LatLonGrid(t.c, t.a, 1549, t.f, t.e, 1096).sub(Box(200, 400, 800, 1000))
    expected = {11: 0, 22: 1, 33: 2, 40: 3, 41: 3, 42: 3, 43: 3, 44: 3, 45: 3, 55: 4, 66: 5, 77: 6}
    wanted = np.array([[expected.get(int(v), -1) if np.isfinite(v) else -1 for v in row] for row in raw])
    assert (wanted >= 0).sum() > 5000
    found = replayed(template, 2012, np.full(domain.shape, -1, np.int8), domain)
    np.testing.assert_array_equal(found, wanted)


def refusal(path: Path, year: int = 1999) -> Ai4LandError:
    """The error that the predictor raises in a single call."""
    tile = Tile(0, GRID.box, GRID.box)
    batch = Batch((tile,), (year, 0), {"land_cover": np.zeros((1, 1, *GRID.shape), np.int8)}, GRID)
    with pytest.raises(Ai4LandError) as caught:
        create("replay", path=str(path)).predict(batch, KeyedRng(0))
    return caught.value


def test_replay_refuses_maps_that_do_not_fit(tmp_path: Path) -> None:
    codes = random_codes(5)
    template = tmp_path / "m{year}.tif"
    write_map(tmp_path / "m1999.tif", np.where(codes == 33, 12, codes).astype(np.uint8), GRID)
    error = refusal(template)
    assert isinstance(error, DataError)
    assert f"code 12 in {(codes == 33).sum()} cells" in str(error)
    assert "m1999.tif" in str(error)

    write_map(tmp_path / "m2000.tif", codes, LatLonGrid(-10.02, 0.05, 40, 60.0, -0.05, 30))
    assert isinstance(refusal(template, 2000), GridError)
    assert "centres differ by 0.4 of a cell" in str(refusal(template, 2000))

    write_map(tmp_path / "m2001.tif", codes + np.float32(0.5), GRID)
    assert "values that are no class codes" in str(refusal(template, 2001))

    write_map(tmp_path / "m2002.tif", codes, GRID, crs="EPSG:3035")
    assert "not on a grid of longitudes and latitudes" in str(refusal(template, 2002))

    (tmp_path / "m2003.tif").write_bytes(b"II*\0 cut off")
    assert "cannot be read" in str(refusal(template, 2003))

    error = refusal(template, 2050)
    assert isinstance(error, TimeError)
    assert "m2050.tif" in str(error)

    with pytest.raises(DataError, match="found no stored maps"):
        create("replay", path=str(tmp_path / "nothing.zarr"))


def test_cells_without_data_in_a_map_keep_their_class(tmp_path: Path) -> None:
    values = np.full(GRID.shape, 22.0, np.float32)
    values[0], values[1] = np.nan, -9999.0
    write_map(tmp_path / "m1999.tif", values, GRID, nodata=-9999.0)
    found = replayed(tmp_path / "m{year}.tif", 1999, np.full(GRID.shape, 3, np.int8))
    assert (found[:2] == 3).all()
    assert (found[2:] == 1).all()


# --- phenology


def months_of(
    temperature: NDArray[np.float64], cover: NDArray[np.int8], **options: Any
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Leaf area after each month, and the last kept field, with one temperature per month for all cells."""
    predictor = create("phenology", **options)
    carry = np.full(GRID.shape, options.get("start", 1.0), np.float32)
    leaves = []
    for index, value in enumerate(temperature):
        coarse = {("air_temperature", 0): np.full(FORCING.shape, value, np.float32)}
        time = 2001 + index // 12, index % 12 + 1
        answer = predict(predictor, {"land_cover": cover, "lai_carry": carry}, time, coarse)
        assert answer["lai"].shape == (1, *GRID.shape)
        carry = answer["lai_carry"]
        np.testing.assert_array_equal(answer["lai"][0], carry)
        leaves.append(carry)
    return np.stack(leaves), carry


def test_leaves_approach_their_target_exponentially() -> None:
    """At a constant temperature above `warm`, the deficit decreases by exp(-1/tau) each month."""
    cover = np.full(GRID.shape, LEGEND.classes.index("forest"), np.int8)
    leaves, _ = months_of(np.full(6, 300.0), cover, tau_months=2.0, start=0.5)
    expected = [5.0 + (0.5 - 5.0) * math.exp(-month / 2.0) for month in range(1, 7)]
    np.testing.assert_allclose(leaves[:, 0, 0], expected, rtol=1e-6)


def test_a_year_of_seasons_agrees_with_an_integrator() -> None:
    """Compare with an ODE solver of high order for dl/dt = (target - l)/tau, with a constant target in each month."""
    season = 283.0 - 12.0 * np.cos(2 * np.pi * (np.arange(24) + 0.5) / 12)
    cover = np.full(GRID.shape, LEGEND.classes.index("cropland"), np.int8)
    leaves, _ = months_of(season, cover, tau_months=1.3)
    level, expected = 1.0, []
    for value in season:
        target = 0.2 + (3.5 - 0.2) * min(max((value - 275.0) / 15.0, 0.0), 1.0)
        solution = solve_ivp(lambda t, y, goal=target: (goal - y) / 1.3, (0, 1), [level], rtol=1e-10, atol=1e-12)
        level = float(solution.y[0, -1])
        expected.append(level)
    np.testing.assert_allclose(leaves[:, 3, 5], expected, rtol=2e-6)
    # The leaves lag behind the temperature, which peaks between months 6 and 7.
    assert leaves[12:, 0, 0].argmax() in (7, 8)


def test_leaf_area_stays_between_minimum_and_maximum_of_each_class() -> None:
    cover = LEGEND.to_view(random_codes(9))
    cold, _ = months_of(np.full(40, 230.0), cover)
    warm, _ = months_of(np.full(40, 320.0), cover)
    least = {
        "urban": 0.2,
        "cropland": 0.2,
        "pasture": 0.6,
        "forest": 1.2,
        "grass_shrub": 0.5,
        "other": 0.05,
        "water": 0,
    }
    most = {"urban": 0.8, "cropland": 3.5, "pasture": 2.5, "forest": 5.0, "grass_shrub": 1.8, "other": 0.2, "water": 0}
    for index, name in enumerate(LEGEND.classes):
        np.testing.assert_allclose(cold[-1][cover == index], least[name], atol=1e-6)
        np.testing.assert_allclose(warm[-1][cover == index], most[name], atol=1e-6)
    assert (warm[-1][cover == -1] == 0).all()


def test_cells_follow_their_temperature_and_do_not_change_without_one() -> None:
    cover = np.full(GRID.shape, LEGEND.classes.index("pasture"), np.int8)
    air = np.full(FORCING.shape, 279.5, np.float32)  # half way from 271 to 288
    air[0, 0], air[0, 1] = np.nan, 250.0
    land = {"land_cover": cover, "lai_carry": np.full(GRID.shape, 2.0, np.float32)}
    lai = predict(create("phenology"), land, (2001, 1), {("air_temperature", 0): air})["lai"][0]
    share = 1 - math.exp(-1)
    assert lai[2, 2] == 2.0
    assert lai[2, 7] == pytest.approx(2.0 + (0.6 - 2.0) * share, rel=1e-6)
    assert lai[20, 20] == pytest.approx(2.0 + (0.6 + 0.5 * 1.9 - 2.0) * share, rel=1e-6)


def test_specification_of_phenology() -> None:
    spec = create("phenology", start=0.25).spec
    assert spec.interval.months == 1
    assert {(f.name, f.source, f.units, f.offsets) for f in spec.inputs} == {
        ("land_cover", "cover", "1", (0,)),
        ("air_temperature", "import", "K", (0,)),
    }
    assert [(f.name, f.units) for f in spec.outputs] == [("lai", "m2 m-2")]
    assert dict(spec.memory) == {"lai_carry": 0.25}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": {"forrest": {"lai_min": 1, "lai_max": 2}}}, "did you mean 'forest'"),
        ({"classes": {"forest": {"lai_min": 1, "lai_max": 2}}}, "found: none for urban, cropland, pasture"),
        ({"classes": {"forest": {"lai_min": 3, "lai_max": 2}}}, "classes.forest: lai_min must not exceed lai_max"),
        ({"classes": {"forest": {"lai_min": 1, "lai_mx": 2}}}, "classes.forest.lai_mx: unknown key; did you mean"),
        ({"tau_months": 0}, "tau_months: expected greater than 0, found 0"),
    ],
)  # fmt: skip
def test_wrong_options_of_phenology_are_reported(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        create("phenology", **options)
    assert message in str(caught.value)
