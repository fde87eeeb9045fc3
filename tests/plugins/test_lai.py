"""The predictor and the trainer ``lai``: bounds and sums by hand, tiles, bundles, a known law, a run, and the Piave."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from piave import Piave
from properties import examples
from safetensors.numpy import load, save
from stopped_runs import run_until

from ai4land_coupler import Simulation
from ai4land_coupler.api import (
    CARD,
    OUTSIDE,
    Batch,
    Box,
    ConfigError,
    DataError,
    KeyedRng,
    LatLonGrid,
    PredictorSpec,
    Tile,
    TrainingChannel,
    TrainingRun,
    get_legend,
    save_bundle,
    sha256,
)
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.land.assemble import TileInputs, assemble, window_of
from ai4land_coupler.land.tiling import predict_tiles
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.store.output import open_store
from ai4land_lai.bundle import WEIGHTS, read_bundle
from ai4land_lai.card import Card, Input, LeafRange
from ai4land_lai.features import Features
from ai4land_lai.options import LaiTrainerOptions, Vegetation
from ai4land_lai.predictor import OUTPUTS, LeafArea
from ai4land_lai.training import LaiTrainer

LEGEND = get_legend("hilda-v1.0-f")
URBAN, CROPLAND, PASTURE, FOREST, GRASS, OTHER, WATER = range(7)
LEAST = (0.1, 0.2, 0.3, 0.5, 0.2, 0.0, 0.0)
MOST = (1.0, 4.0, 3.0, 6.0, 2.0, 0.4, 0.0)
KINDS: tuple[Vegetation, ...] = ("low", "low", "low", "high", "low", "low", "none")
TEMPERATURE = Input(name="air_temperature", units="K", source="import", offsets=(-1, 0), mean=283.0, scale=10.0)
SLOPE = Input(name="slope", units="degree", source="static", scale=5.0)
GRID = LatLonGrid(-10.0, 0.05, 40, 60.0, -0.05, 30)
FORCING = LatLonGrid(-10.0, 0.25, 8, 60.0, -0.25, 6)
Arrays = dict[str, NDArray[np.float32]]


def weights(radii: tuple[int, ...], inputs: tuple[Input, ...], seed: int | None = None, members: int = 2) -> Arrays:
    """Weights of a bundle: zero, or random and so large that outputs reach both ends of the range."""
    shapes = {
        "first": (members, Features(7, radii, inputs).count + 1, 8),
        "second": (members, 9, 8),
        "third": (members, 9, 7),
        "noise": (7, 12),
    }
    rng = np.random.default_rng(seed)
    draw: Callable[[tuple[int, ...]], NDArray[Any]] = np.zeros if seed is None else rng.standard_normal
    arrays = {name: np.asarray(draw(shape), np.float32) for name, shape in shapes.items()}
    return {**arrays, "noise": np.abs(arrays["noise"])}


def write(folder: Path, arrays: Arrays, radii: tuple[int, ...] = (), inputs: tuple[Input, ...] = ()) -> Path:
    content = save(arrays)
    card = Card(
        name="test",
        description="",
        licence="none",
        legend=LEGEND.name,
        classes={item.name: item.codes for item in LEGEND.view},
        ranges={
            name: LeafRange(vegetation=kind, least=least, most=most)
            for name, kind, least, most in zip(LEGEND.classes, KINDS, LEAST, MOST, strict=True)
        },
        radii=radii,
        inputs=inputs,
        weights_sha256=sha256(content),
        metrics={},
        training={},
    )
    save_bundle(folder, card, WEIGHTS, content)
    return folder


def create(folder: Path, **options: Any) -> LeafArea:
    made = load_plugins([]).create("predictor", "lai", {"bundle": str(folder), **options}, "test")
    assert isinstance(made, LeafArea)
    return made


def predict(
    predictor: LeafArea,
    cover: NDArray[np.int8],
    time: tuple[int, int] = (2010, 7),
    parts: int = 1,
    temperature: NDArray[np.float32] | None = None,
    grid: LatLonGrid = GRID,
) -> Arrays:
    """Predict the domain in parts x parts tiles, and join the results."""
    slope = np.random.default_rng(4).uniform(0, 20, grid.shape).astype(np.float32)
    fields = {"land_cover": cover, "slope": slope}
    air = np.full(FORCING.shape, 283.0, np.float32) if temperature is None else temperature

    def read(name: str, offset: int, tile: Tile) -> NDArray[Any]:
        return window_of(fields[name], tile.window, periodic=False, fill=-1 if name == "land_cover" else np.nan)

    inputs = TileInputs(grid, FORCING, read, {("air_temperature", o): air + o for o in (-1, 0)})
    rows, cols, halo = grid.nlat // parts, grid.nlon // parts, predictor.spec.halo
    cores = [Box(r * rows, (r + 1) * rows, c * cols, (c + 1) * cols) for r in range(parts) for c in range(parts)]
    tiles = [Tile(i, b, Box(b.row0 - halo, b.row1 + halo, b.col0 - halo, b.col1 + halo)) for i, b in enumerate(cores)]
    whole = {name: np.full(grid.shape, np.nan, np.float32) for name in OUTPUTS}
    for tile, answer in predict_tiles("lai", predictor, tiles, inputs, time, KeyedRng(1)):
        for name in OUTPUTS:
            whole[name][tile.core.slices(Box(0, *grid.shape[:1], 0, grid.shape[1]))] = answer[name][0]
    return whole


def random_cover(seed: int, grid: LatLonGrid = GRID) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-1, 7, grid.shape).astype(np.int8)


# --- what it predicts


def test_leaves_by_hand(tmp_path: Path) -> None:
    """Two members with u = 0 and u = ln 3 are at 1/2 and 3/4 of the range of a class: mean 5/8, deviation 1/8."""
    arrays = weights((), ())
    arrays["third"][1, -1] = math.log(3)
    arrays["noise"][:] = 0.3
    cover = np.resize(np.array([FOREST, CROPLAND, WATER, OUTSIDE, OTHER], np.int8), GRID.shape)
    found = predict(create(write(tmp_path, arrays)), cover)
    forest, crops = 0.5 + 5.5 * 5 / 8, 0.2 + 3.8 * 5 / 8
    expected = {
        "lai": [forest, crops, 0, 0, 0.4 * 5 / 8],
        "lai_lv": [0, crops, 0, 0, 0.4 * 5 / 8],
        "lai_hv": [forest, 0, 0, 0, 0],
        "lai_sd": [math.hypot(5.5 / 8, 0.3), math.hypot(3.8 / 8, 0.3), 0, 0, math.hypot(0.4 / 8, 0.3)],
        "lai_lv_sd": [0, math.hypot(3.8 / 8, 0.3), 0, 0, math.hypot(0.4 / 8, 0.3)],
        "lai_hv_sd": [math.hypot(5.5 / 8, 0.3), 0, 0, 0, 0],
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].ravel()[:5], values, rtol=1e-6, err_msg=name)


@examples(15)
@given(st.integers(0, 10_000), st.floats(-1e4, 1e4), st.integers(1, 12))
def test_leaves_stay_in_the_range_of_their_class_whatever_the_input(
    tmp_path_factory: pytest.TempPathFactory, seed: int, far: float, month: int
) -> None:
    inputs, radii = (TEMPERATURE, SLOPE), (1, 2)
    predictor = create(write(tmp_path_factory.mktemp("b"), weights(radii, inputs, seed), radii, inputs))
    cover, air = random_cover(seed), np.full(FORCING.shape, far, np.float32)
    found = predict(predictor, cover, (2010, month), temperature=air)
    least, most = (np.array([*ends, 0.0], np.float32)[cover] for ends in (LEAST, MOST))
    assert (least <= found["lai"]).all()
    assert (found["lai"] <= most).all()
    assert all((values >= 0).all() for values in found.values())
    barren = (cover == OUTSIDE) | (cover == WATER)
    assert all((values[barren] == 0).all() for values in found.values())
    # on coarser cells, as hosts have them: the parts, each with its share of the area, sum to the leaves
    high = (cover == FOREST).mean()
    low = (~barren & (cover != FOREST)).mean()
    of_low = found["lai_lv"].sum(dtype=float) / max((~barren & (cover != FOREST)).sum(), 1)
    of_high = found["lai_hv"].sum(dtype=float) / max((cover == FOREST).sum(), 1)
    assert low * of_low + high * of_high == pytest.approx(found["lai"].mean(dtype=float), abs=1e-6)
    np.testing.assert_allclose(found["lai"], found["lai_lv"] + found["lai_hv"], atol=1e-6)


def test_a_cell_that_changes_class_has_the_leaves_of_the_new_class_at_once(tmp_path: Path) -> None:
    inputs = (TEMPERATURE, SLOPE)
    predictor = create(write(tmp_path, weights((), inputs, 3), (), inputs))
    forest, crops = (np.full(GRID.shape, kind, np.int8) for kind in (FOREST, CROPLAND))
    changed = forest.copy()
    changed[10:12, 5:9] = CROPLAND
    found, of_forest, of_crops = (predict(predictor, cover)["lai"] for cover in (changed, forest, crops))
    np.testing.assert_allclose(found[10:12, 5:9], of_crops[10:12, 5:9], rtol=1e-5)
    np.testing.assert_allclose(found[changed == FOREST], of_forest[changed == FOREST], rtol=1e-5)
    assert np.abs(of_forest - of_crops).max() > 0.5


def test_tiles_do_not_show(tmp_path: Path) -> None:
    inputs, radii = (TEMPERATURE, SLOPE), (1, 4)
    predictor = create(write(tmp_path, weights(radii, inputs, 5), radii, inputs))
    assert predictor.spec.halo == 4
    cover, air = random_cover(8), np.random.default_rng(1).normal(283, 9, FORCING.shape).astype(np.float32)
    whole, tiled = (predict(predictor, cover, parts=parts, temperature=air) for parts in (1, 2))
    for name in OUTPUTS:
        np.testing.assert_allclose(tiled[name], whole[name], rtol=1e-4, atol=1e-5)
    assert whole["lai"].std() > 0.5


def test_the_south_has_the_season_of_the_north_six_months_later(tmp_path: Path) -> None:
    predictor = create(write(tmp_path, weights((), (), 6)))
    south = replace(GRID, lat0=-30.0)
    cover = random_cover(2)
    july, january = predict(predictor, cover, (2010, 7))["lai"], predict(predictor, cover, (2010, 1))["lai"]
    np.testing.assert_array_equal(predict(predictor, cover, (2010, 1), grid=south)["lai"], july)
    assert np.abs(july - january).max() > 0.1


def test_what_the_networks_read(tmp_path: Path) -> None:
    """One cell of crops in forest: shares of nine cells and of the land, then (x - mean) / scale of each month."""
    inputs, cover = (TEMPERATURE,), np.full((5, 5), FOREST, np.int8)
    cover[2, 2], cover[1, 1] = CROPLAND, OUTSIDE
    tile = Tile(0, Box(0, 5, 0, 5), Box(0, 5, 0, 5))
    air = np.stack([np.full((5, 5), value, np.float32) for value in (273.0, 288.0)])
    batch = Batch((tile,), (2010, 4), {"land_cover": cover[None, None], "air_temperature": air[None]})
    table, season = Features(7, (1,), inputs).table(batch, 0, np.array([2, 4]), np.array([2, 4]))
    assert season.tolist() == [3, 3]
    np.testing.assert_allclose(table[0, :4], [0, 1, -1, 0], atol=1e-7)  # April: a quarter of the year, half a half-year
    np.testing.assert_allclose(table[:, 4:11], [[0, 1 / 8, 0, 7 / 8, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]])
    np.testing.assert_allclose(table[:, 11:], [[-1, 0.5], [-1, 0.5]])


# --- bundles


def edit(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**card, **changes}))

    return change


def numbers(**changes: NDArray[Any]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = save({**load((folder / WEIGHTS).read_bytes()), **changes})
        (folder / WEIGHTS).write_bytes(content)
        edit(weights_sha256=sha256(content))(folder)

    return change


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no card": (lambda folder: (folder / CARD).unlink(), "train one with `ai4land train`"),
    "other format": (edit(format="ai4land-unet/1"), "format that this predictor cannot read"),
    "altered": (lambda folder: (folder / WEIGHTS).write_bytes(b"x"), "truncated or were altered"),
    "other codes": (
        edit(classes={"urban": [11]}, ranges={"urban": {"vegetation": "low", "least": 0, "most": 1}}),
        "another edition of legend",
    ),
    "classes without range": (edit(ranges={}), "ranges must have the classes"),
    "leaves on water": (edit(ranges={"water": {"vegetation": "none", "least": 0, "most": 1}}), "has no leaves"),
    "fewer inputs": (edit(radii=[1, 2]), "first: expected float32"),
    "not finite": (numbers(noise=np.full((7, 12), np.nan, np.float32)), "noise is not finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bundles_that_do_not_fit_are_refused(tmp_path: Path, case: str) -> None:
    write(tmp_path, weights((1,), (SLOPE,), 1), (1,), (SLOPE,))
    change, words = REFUSED[case]
    change(tmp_path)
    with pytest.raises(DataError) as error:
        create(tmp_path)
    assert words in str(error.value)


def test_another_legend_is_refused(tmp_path: Path) -> None:
    write(tmp_path, weights((), ()))
    with pytest.raises(ConfigError, match="another legend than the run"):
        create(tmp_path, legend="hilda-v1.0")


# --- training


class KnownLaw:
    """Months of leaves that follow temperature, one month late, and the class, with noise of 0.1."""

    legend, record, has_held_out = LEGEND, {"source": "a law"}, True
    channels = (
        TrainingChannel("air_temperature", "K", "import", -1, "standard", 283.0, 8.0),
        TrainingChannel("air_temperature", "K", "import", 0, "standard", 283.0, 8.0),
    )

    def __init__(self, noise: float = 0.1) -> None:
        self._noise = noise
        self._cover = np.kron(np.random.default_rng(0).integers(0, 7, (10, 12)), np.ones((3, 3))).astype(np.int8)

    @staticmethod
    def law(cover: NDArray[np.int8], before: NDArray[np.floating]) -> NDArray[np.floating]:
        least, most = np.array(LEAST)[cover], np.array(MOST)[cover]
        return least + (most - least) * np.clip(0.5 + (before - 283) / 40, 0.05, 0.95)

    def each_window(
        self, side: int, *, held_out: bool = False, spec: PredictorSpec
    ) -> Iterator[tuple[Batch, NDArray[np.float32]]]:
        rows, cols = self._cover.shape
        tile = Tile(0, Box(0, rows, 0, cols), Box(-spec.halo, rows + spec.halo, -spec.halo, cols + spec.halo))
        grid = LatLonGrid(0.0, 0.05, cols, 50.0, -0.05, rows)
        forcing = LatLonGrid(0.0, 0.25, 8, 50.0, -0.25, 6)
        rng = np.random.default_rng(9)

        def read(name: str, offset: int, tile: Tile) -> NDArray[Any]:
            return window_of(self._cover, tile.window, periodic=False)

        used = (np.arange(cols) % 6 < 3) == held_out
        for month in range(1, 13):
            air = {o: rng.normal(283, 8, forcing.shape).astype(np.float32) for o in (-1, 0)}
            inputs = TileInputs(grid, forcing, read, {("air_temperature", o): v for o, v in air.items()})
            leaves = self.law(self._cover, inputs.spread(air[-1], tile.core))
            leaves += rng.normal(0, self._noise, leaves.shape)
            target = np.where(used & (self._cover != WATER), np.maximum(leaves, 0), np.nan).astype(np.float32)
            yield assemble(spec, [tile], inputs, (2010, month)), target


def trainer(**options: Any) -> LaiTrainer:
    made = load_plugins([]).create("trainer", "lai", {"name": "law", "threads": 1, **options}, "test")
    assert isinstance(made, LaiTrainer)
    return made


def test_a_known_law_is_learned_with_its_noise(tmp_path: Path) -> None:
    options = {"steps": 300, "hidden": 24, "members": 3, "batch": 512, "radii": ()}
    result = trainer(**options).train(KnownLaw(), tmp_path / "a", TrainingRun())
    assert result.metrics["r2"] > 0.97
    assert result.metrics["r2_departures"] > 0.9  # the climatology knows no temperature
    bundle = read_bundle(tmp_path / "a")
    assert bundle.card.inputs[0].offsets == (-1, 0)
    assert [item.vegetation for item in bundle.card.ranges.values()] == list(KINDS)
    assert bundle.card.ranges["water"].most == 0
    np.testing.assert_allclose(np.median(bundle.networks.noise[:5]), 0.1, rtol=0.25)
    again = trainer(**options).train(KnownLaw(), tmp_path / "b", TrainingRun())
    assert again.digest == result.digest
    assert create(tmp_path / "a").spec.inputs[1].offsets == (-1, 0)


def test_trainings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no such class[\s\S]*did you mean 'forest'"):
        trainer(vegetation={"forst": "high"}).train(KnownLaw(), tmp_path, TrainingRun())
    everything = dict.fromkeys(LEGEND.classes, "none")
    with pytest.raises(ConfigError, match="no cell to train with"):
        trainer(vegetation=everything).train(KnownLaw(), tmp_path, TrainingRun())
    stopped = TrainingRun()
    stopped.stopped = True
    with pytest.raises(Exception, match="interrupted"):
        trainer().train(KnownLaw(), tmp_path, stopped)
    assert not list(tmp_path.iterdir())


# --- in a run


def test_a_run_with_a_restart_is_the_same(twin_config: dict[str, Any], tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle", weights((1,), (TEMPERATURE,), 2), (1,), (TEMPERATURE,))
    raw = twin_config | {
        "predictors": [
            {"name": "persistence", "options": {"legend": LEGEND.name}},
            {"name": "lai", "options": {"bundle": str(bundle)}},
        ],
        "imports": {"air_temperature": {"values": [270.0 + 2 * month for month in range(12)], "units": "K"}},
        "allocation": {"method": "argmax"},
    }
    raw["time"] = {"start": 2015, "stop": 2018}
    whole, parts = (
        parse_config({**raw, "output": raw["output"] | {"store": str(tmp_path / name)}}, Path.cwd(), "test")
        for name in ("whole.zarr", "parts.zarr")
    )
    Simulation(whole).run()
    run_until(parts, 2016)
    Simulation(parts).run(restart=True)
    stores = [open_store(tmp_path / name) for name in ("whole.zarr", "parts.zarr")]
    for name in OUTPUTS:
        np.testing.assert_array_equal(*(np.asarray(store[name][:]) for store in stores))
    assert np.nanmax(np.asarray(stores[0]["lai"][:])) > 1


# --- the real sample


@pytest.mark.real_data
def test_the_piave_is_predicted_better_than_by_its_climatology(sample_data: Path, tmp_path: Path) -> None:
    """A fifth of the blocks of 9 x 9 cells held out; docs/lai.md has the scores of all blocks."""
    piave = Piave.read(sample_data / "lai" / "monthly_lai_Piave_derived.nc")
    held = np.unique(piave.block[piave.cover != OUTSIDE])[::5]
    options = LaiTrainerOptions(name="Piave", steps=300, members=3, batch=768, threads=1)
    result = LaiTrainer(options).train(replace(piave, held=tuple(held.tolist())), tmp_path / "b", TrainingRun())
    assert result.metrics["r2"] > 0.86
    assert result.metrics["r2"] > result.metrics["r2_climatology"] + 0.08
    assert result.metrics["r2_departures"] > 0.4
