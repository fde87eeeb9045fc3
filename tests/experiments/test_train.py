"""Training: the network learns a simple rule, equal seeds give equal weights, inputs are correct."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_series import training_series

from ai4land_coupler.api import OUTSIDE, LatLonGrid, TrainingChannel, TrainingRun, get_legend
from ai4land_coupler.core.grid import forcing_lattice
from ai4land_coupler.errors import Ai4LandError, ConfigError, DataError, FieldError
from ai4land_coupler.experiments.training.data import MapPairs
from ai4land_coupler.experiments.training.hold_out import fold_of_blocks
from ai4land_coupler.experiments.training.land import survey
from ai4land_coupler.experiments.training.reader import read_training_data
from ai4land_coupler.experiments.training.scores import change_scores, placed_change
from ai4land_coupler.experiments.training.sources import MemorySource
from ai4land_coupler.experiments.training.split import Split
from ai4land_coupler.experiments.training.train import parse_train_config, train
from ai4land_coupler.registry.loading import load_plugins
from ai4land_unet.bundle import read_bundle
from ai4land_unet.optimise import schedule
from ai4land_unet.options import Optimisation, TrainerOptions
from ai4land_unet.training import UNetTrainer

LEGEND = get_legend("hilda-v1.0-f")
CROPLAND, PASTURE, FOREST = (LEGEND.classes.index(name) for name in ("cropland", "pasture", "forest"))
EXAMPLE = Path(__file__).parents[2] / "examples" / "british-isles-train.yaml"


class Silent(TrainingRun):
    def __call__(self, done: float, note: str) -> None:
        assert 0 <= done <= 1


silent = Silent()


def smooth(shape: tuple[int, int], seed: int) -> np.ndarray:
    """A periodic random field with unit variance that is smooth over about 10 cells."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * np.exp(-((frequency * 12) ** 2))).real
    return (field / field.std()).astype(np.float32)


def ruled_pairs(**changes: Any) -> MapPairs:
    """Forest below an elevation of 500 m becomes pasture in one step; nothing else changes. Sea in the east."""
    fine = LatLonGrid(0.0, 0.01, 160, 52.0, -0.01, 160)
    elevation = 400 + 300 * smooth(fine.shape, 1)
    before = np.where(smooth(fine.shape, 2) > 0, FOREST, CROPLAND).astype(np.int8)
    before[:, 150:] = OUTSIDE
    after = np.where((before == FOREST) & (elevation < 500), np.int8(PASTURE), before)
    content: dict[str, Any] = {
        "legend": LEGEND,
        "step": "P1Y",
        "direction": 1,
        "fine": fine,
        "channels": (
            TrainingChannel("land_cover", "1", "cover", -1),
            TrainingChannel("elevation", "m", "static", 0, "standard", 400.0, 300.0, 400.0),
        ),
        "covers": {2000: before, 2001: after},
        "pairs": ((2000, 2001),),
        "static": {"elevation": elevation.astype(np.float32)},
        "split": fold_of_blocks(fine, 0.5, 5, 0),
    }
    return pairs_in_memory(**(content | changes))


def pairs_in_memory(**content: Any) -> MapPairs:
    """A training set of arrays. All pairs are used for the training and the scores."""
    covers, static, pairs = (content.pop(name) for name in ("covers", "static", "pairs"))
    fine, split = content["fine"], content["split"]
    content["forcing"] = forcing = forcing_lattice(fine, LatLonGrid(-180, 0.25, 1440, 90, -0.25, 720))
    source = MemorySource(fine, covers, static, {})
    land = survey(source, fine, forcing, split, pairs, pairs, len(LEGEND.view), {}).land()
    return MapPairs(**content, source=source, pairs=pairs, validation_pairs=pairs, scored_pairs=pairs, land=land)


def held_out(data: MapPairs) -> np.ndarray:
    return data.split.held_out(data.fine.box)


def maps(data: MapPairs) -> Any:
    assert isinstance(data.source, MemorySource)
    return data.source.maps


def options(steps: int, **changes: Any) -> TrainerOptions:
    optimisation = {"steps": steps, "batch": 4, "window": 32, "learning_rate": 1e-2, "threads": 1, "device": "cpu"}
    return TrainerOptions(
        name="rule", architecture={"width": 6, "depth": 1}, optimisation=Optimisation(**(optimisation | changes))
    )


def test_deterministic_rule_is_learnt_on_held_out_land(tmp_path: Path) -> None:
    data = ruled_pairs()
    assert 0.02 < held_out(data).mean() < 0.5
    result = UNetTrainer(options(150)).train(data, tmp_path / "b", silent)
    metrics = result.metrics
    assert metrics["overall_accuracy_persistence"] < 0.9
    assert metrics["figure_of_merit"] > 0.8
    assert metrics["figure_of_merit_right_amount"] > 0.8
    card = read_bundle(tmp_path / "b").card
    assert card.metrics == metrics
    assert card.training.windows == 600


@pytest.mark.parametrize("weight", [1.0, 8.0])
def test_weighted_change_keeps_probabilities_calibrated(tmp_path: Path, weight: float) -> None:
    data = ruled_pairs()
    chance = np.random.default_rng(5).random(data.fine.shape)
    before = maps(data)[2000]
    after = np.where((before != OUTSIDE) & (chance < 0.06), np.int8(PASTURE), before)  # no input predicts it
    data = ruled_pairs(covers={2000: before, 2001: after})
    metrics = UNetTrainer(options(60, change_weight=weight)).train(data, tmp_path / "b", silent).metrics
    assert metrics["changed_share_expected"] == pytest.approx(0.06, rel=0.3)


def test_only_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    data = ruled_pairs()
    digests = [
        UNetTrainer(options(6, seed=seed, mask_share=0.3, dropout=0.1)).train(data, tmp_path / str(i), silent).digest
        for i, seed in enumerate((1, 1, 2))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_held_out_land_is_never_a_target() -> None:
    data = ruled_pairs()
    rng = np.random.default_rng(0)
    for _ in range(10):
        batch, target = data.sample(rng, 4, 32)
        for tile, seen, wanted in zip(batch.tiles, batch.fields["land_cover"][:, 0], target, strict=True):
            rows, cols = tile.window.slices()
            held = held_out(data)[rows, cols]
            land = maps(data)[2000][rows, cols] != OUTSIDE
            np.testing.assert_array_equal(wanted != OUTSIDE, land & ~held)
            np.testing.assert_array_equal(wanted[land & ~held], maps(data)[2001][rows, cols][land & ~held])
            np.testing.assert_array_equal(seen, maps(data)[2000][rows, cols])


def test_gross_rates_are_shares_of_the_area_that_leaves() -> None:
    # Two rows of two cells. Pasture changes only in the north, where cells are smaller.
    fine = LatLonGrid(0.0, 1.0, 2, 61.0, -30.0, 2)
    before = np.array([[PASTURE, FOREST], [PASTURE, FOREST]], np.int8)
    after = np.array([[FOREST, FOREST], [PASTURE, FOREST]], np.int8)
    data = ruled_pairs(fine=fine, covers={2000: before, 2001: after}, split=Split.nothing(fine), static={}, channels=())
    north, south = (np.sin(np.deg2rad(a)) - np.sin(np.deg2rad(b)) for a, b in ((61, 31), (31, 1)))
    assert data.gross_rates["pasture"] == pytest.approx(north / (north + south))
    assert data.gross_rates["forest"] == 0
    assert data.gross_rates["urban"] == 0


def test_held_out_blocks_are_a_fifth_and_never_touch() -> None:
    grid = LatLonGrid(-5.0, 0.5, 40, 60.0, -0.5, 40)  # one cell per block
    held = fold_of_blocks(grid, 0.5, 5, 2).held_out(grid.box)
    assert held.mean() == pytest.approx(0.2)
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        assert not (held & np.roll(held, shift, (0, 1))).any()
    folds = sum(fold_of_blocks(grid, 0.5, 5, fold).held_out(grid.box).astype(int) for fold in range(5))
    assert (folds == 1).all()
    # The position of a block does not depend on the domain.
    part = LatLonGrid(-1.0, 0.5, 10, 50.0, -0.5, 10)
    np.testing.assert_array_equal(fold_of_blocks(part, 0.5, 5, 2).held_out(part.box), held[20:30, 8:18])


def test_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [schedule(done) for done in np.linspace(0, 1, 101)]
    assert rates[0] < 0.2
    assert max(rates) == pytest.approx(1, abs=1e-3)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert np.argmax(rates) == 5


# --- scores, by hand


def test_scores_by_hand() -> None:
    previous = np.array([0, 0, 1, 1], np.int8)
    observed = np.array([0, 1, 1, 0], np.int8)
    chance = np.array([[0.9, 0.1, 0.0001], [0.6, 0.4, 0.0001], [0.2, 0.8, 0.0001], [0.5001, 0.4999, 0.0001]])
    scores = change_scores(previous, observed, np.log(chance).astype(np.float32), ("a", "b", "c"))
    assert scores["overall_accuracy_persistence"] == 0.5
    assert scores["overall_accuracy"] == 0.75
    assert scores["figure_of_merit"] == 0.5  # one hit, one miss
    assert scores["figure_of_merit_right_amount"] == 1.0  # the two most probable changes are correct
    assert scores["changed_share_expected"] == pytest.approx((0.1 + 0.4 + 0.2 + 0.5) / 4, abs=1e-3)
    assert scores["recall"] == {"a": 1.0, "b": 0.5}
    assert scores["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-5)
    assert scores["calibration_error"] == pytest.approx((0.1 + 0.6 + 0.2 + 0.5) / 4, abs=1e-3)


def test_undefined_scores_are_none() -> None:
    same = np.zeros(3, np.int8)
    logits = np.tile(np.float32([5, 0]), (3, 1))
    assert change_scores(same, same, logits, ("a", "b"))["figure_of_merit"] is None


def test_placed_change_has_the_requested_amount() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    previous = logits.argmin(1).astype(np.int8)
    for amount in (0, 7, 50):
        assert (placed_change(previous, logits, amount) != previous).sum() == amount


# --- through adapters: a yearly series in the formats of the twin


@pytest.fixture
def series(tmp_path: Path) -> dict[str, Any]:
    return training_series(tmp_path)


def test_yearly_series_with_the_published_35_channels(series: dict[str, Any], tmp_path: Path) -> None:
    config = parse_train_config(series, tmp_path, "train.yaml")
    data = read_training_data(config, load_plugins())
    assert data.pairs == ((2015, 2016), (2016, 2017))
    assert [c.directional for c in data.channels if c.name in ("aspect", "slope")] == [False, True]
    elevation = next(c for c in data.channels if c.name == "elevation")
    covers = maps(data)
    known = [(covers[a] != OUTSIDE) & (covers[b] != OUTSIDE) for a, b in data.pairs]
    used = (known[0] | known[1]) & ~held_out(data)
    shown = data.source.statics["elevation"][used]
    assert (elevation.mean, elevation.scale) == pytest.approx((shown.mean(), shown.std()), rel=1e-5)
    change = next(c for c in data.channels if c.name == "primf" and c.offset == 0)
    # each training cell counts with the change of its forcing cell
    rows, cols = data.forcing.rows_of(data.fine.lat), data.forcing.cols_of(data.fine.lon)
    primf = [data.source.coarse["primf", year][rows[:, None], cols][used] for year in (2015, 2016, 2017)]
    size = np.sqrt(np.nanmean(np.diff(primf, axis=0).astype(np.float64) ** 2))
    assert (change.minus, change.mean, change.scale) == (-1, 0.0, pytest.approx(size, rel=1e-5))
    # the second pair's forcing at offset -1 is the first pair's at offset 0
    earlier, later = (data.inputs(pair, data.fine.box).coarse for pair in data.pairs)
    whole = np.arange(data.forcing.nlat)[:, None], np.arange(data.forcing.nlon)
    np.testing.assert_array_equal(earlier["primf", 0][whole], later["primf", -1][whole])
    assert not np.array_equal(earlier["primf", 0][whole], earlier["primf", -1][whole])
    result = train(config, tmp_path / "bundle")
    card = read_bundle(result.bundle).card
    assert card.architecture.in_channels == 35
    assert (card.step, card.direction) == ("P1Y", "forward")
    assert card.training.record["pairs"] == [[2015, 2016], [2016, 2017]]
    assert {entry["file"] for entry in card.training.record["files"]} == {
        "states.nc",
        "static.nc",
        *(f"hilda_plus_{year}_states_X-v1-0-f.tif" for year in (2015, 2016, 2017)),
    }


def test_backward_pairs_start_from_the_later_map(series: dict[str, Any], tmp_path: Path) -> None:
    config = parse_train_config(series | {"direction": "backward"}, tmp_path, "train.yaml")
    assert config.pairs() == ((2016, 2015), (2017, 2016))
    assert read_training_data(config, load_plugins()).spec.direction == -1


def test_one_year_of_forcing_can_be_used_for_all_years(series: dict[str, Any], tmp_path: Path) -> None:
    data = read_training_data(
        parse_train_config(series | {"fixed_forcing_year": 2016}, tmp_path, "train.yaml"), load_plugins()
    )
    coarse = data.inputs((2015, 2016), data.fine.box).coarse
    whole = np.arange(data.forcing.nlat)[:, None], np.arange(data.forcing.nlon)
    np.testing.assert_array_equal(coarse["primf", -1][whole], coarse["primf", 0][whole])


def test_region_selects_a_part_of_the_maps(series: dict[str, Any], tmp_path: Path) -> None:
    region = {"west": -3.1, "south": 59.4, "east": -2.8, "north": 59.7}
    data = read_training_data(parse_train_config(series | {"region": region}, tmp_path, "t"), load_plugins())
    assert data.fine.shape == (30, 30)
    assert data.fine.lon[0] == pytest.approx(-3.095)


BAD: dict[str, tuple[dict[str, Any], type[Ai4LandError], tuple[str, ...]]] = {
    "years": ({"step": "P3Y"}, ConfigError, ("no two maps lie one step apart", "P3Y", "cover.years")),
    "months": ({"step": "P1M"}, ConfigError, ("whole number of years",)),
    "legend": ({"legend": "hilda-v1.0"}, ConfigError, ("another legend", "expected: hilda-v1.0\n", "train.yaml")),
    "key": ({"chanels": []}, ConfigError, ("chanels", "did you mean 'channels'")),
    "channel": (
        {"channels": [{"names": ["primff"], "source": "forcing"}]},
        DataError,
        ("no forcing adapter has the variable 'primff'", "did you mean 'primf'"),
    ),
    "twice": (
        {"channels": [{"names": ["primf"], "source": "forcing"}, {"names": ["primf"], "source": "static"}]},
        ConfigError,
        ("listed twice: primf",),
    ),
    "units": (
        {"channels": [{"names": ["elevation"], "source": "static", "units": "K"}]},
        FieldError,
        ("wrong units", "expected: K", "found: m", "static static, variable elevation"),
    ),
    "fold": ({"validation": {"fold": 5}}, ConfigError, ("fold must be below folds",)),
    "field": (
        {"trainer": {"name": "lai", "options": {"name": "leaves"}}},
        ConfigError,
        ("trains a continuous field", "FieldTrainingData"),
    ),
    "trainer": ({"trainer": {"name": "unit"}}, Ai4LandError, ("no plugin offers the trainer 'unit'", "'unet'")),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_of_bad_configurations(series: dict[str, Any], tmp_path: Path, case: str) -> None:
    changes, kind, words = BAD[case]
    with pytest.raises(kind) as error:
        train(parse_train_config(series | changes, tmp_path, "train.yaml"), tmp_path / "bundle")
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"minutes": 1}, "either steps or minutes"),
        ({"window": 17}, "multiple of 2"),
        ({"learning_rat": 1}, "did you mean 'learning_rate'"),
    ],
)
def test_errors_of_bad_trainer_options(
    series: dict[str, Any], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    series["trainer"]["options"]["optimisation"].update(changes)
    with pytest.raises(ConfigError) as error:
        train(parse_train_config(series, tmp_path, "train.yaml"), tmp_path / "bundle")
    assert words in str(error.value)


# --- the United Kingdom


@pytest.mark.real_data
def test_the_example_trains_on_the_united_kingdom(
    sample_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai4land_coupler.experiments.training.train import load_train_config

    monkeypatch.setenv("AI4LAND_SAMPLE_DATA", str(sample_data))
    settings = ("optimisation.steps=2", "optimisation.batch=2", "optimisation.threads=1", "architecture.width=4")
    short = [f"trainer.options.{setting}" for setting in settings]
    config = load_train_config(EXAMPLE, short)
    data = read_training_data(config, load_plugins())
    before, after = maps(data)[2009], maps(data)[2012]
    both = (before != OUTSIDE) & (after != OUTSIDE)
    assert both.sum() == 331_904  # from the README of the data
    assert (before != after)[both].mean() == pytest.approx(0.095, abs=0.003)  # 9.6 % of native codes, fewer classes
    assert 0.15 < held_out(data)[both].mean() < 0.25
    result = train(config, tmp_path / "bundle")
    assert result.metrics["overall_accuracy_persistence"] == pytest.approx(0.905, abs=0.02)
    assert read_bundle(result.bundle).card.step == "P3Y"
