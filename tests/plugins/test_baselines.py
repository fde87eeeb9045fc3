"""The baselines: maps worked by hand, tiles and one pass, bundles, and the same predictions as scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from ai4land_baselines.boosting import Boosting
from ai4land_baselines.boosting_training import BoostingTrainer, choose_cells
from ai4land_baselines.bundle import NUMBERS, Input, read_bundle, serialise
from ai4land_baselines.features import Features, WindowFeatures
from ai4land_baselines.markov import Markov
from ai4land_baselines.markov_training import MarkovTrainer, chances
from ai4land_baselines.options import BoostingTrainerOptions, MarkovTrainerOptions, TreeOptions
from ai4land_baselines.parts import make_spec
from ai4land_baselines.suitability import suitability_features
from ai4land_baselines.trees import Trees, from_sklearn, spread
from ai4land_coupler.api import (
    CARD,
    OUTSIDE,
    Batch,
    Box,
    ConfigError,
    DataError,
    KeyedRng,
    LatLonGrid,
    Predictor,
    PredictorSpec,
    Tile,
    TrainingChannel,
    get_legend,
)
from ai4land_coupler.core.grid import forcing_lattice
from ai4land_coupler.land.assemble import TileInputs, assemble, window_of
from ai4land_coupler.land.tiling import predict_tiles
from ai4land_coupler.parallel.block_plan import BlockPlan
from ai4land_coupler.registry.loading import load_plugins

LEGEND = get_legend("hilda-v1.0-f")
URBAN, CROPLAND, PASTURE, FOREST = range(4)
CLASSES = 7
RNG = KeyedRng(5, year=2001)
TREE_TYPES = {"feature": "int16", "threshold": "float32", "left": "int32", "right": "int32", "value": "float64"}
#: 0.13 degrees are 13 cells, but blocks never begin at a multiple of a radius.
GRID = LatLonGrid(-3.03, 0.01, 90, 60.13, -0.01, 70)


class Domain:
    """Random land with sea, and one pair of maps. A ``TrainingData`` whose cells in the east are held out."""

    legend, step, direction = LEGEND, "P1Y", 1
    record: ClassVar[dict[str, Any]] = {"files": []}
    gross_rates: ClassVar[dict[str, float]] = {"forest": 0.25}
    channels = (
        TrainingChannel("land_cover", "1", "cover", -1),
        TrainingChannel("crop", "1", "forcing", -1),
        TrainingChannel("crop", "1", "forcing", 0, "standard", minus=-1),
        TrainingChannel("elevation", "m", "static", 0, "standard", fill=300.0),
        TrainingChannel("aspect", "degree", "static", 0, "cos"),
    )

    def __init__(self, seed: int = 0, grid: LatLonGrid = GRID, classes: int = CLASSES) -> None:
        rng = np.random.default_rng(seed)
        self.fine, self.forcing = grid, forcing_lattice(grid, LatLonGrid(-180, 0.13, 2769, 90, -0.13, 1384))
        small = rng.integers(OUTSIDE, classes, (-(-grid.nlat // 5), -(-grid.nlon // 5))).astype(np.int8)
        self.before = small.repeat(5, 0).repeat(5, 1)[: grid.nlat, : grid.nlon]
        self.before[rng.random(grid.shape) < 0.1] = FOREST
        self.maps: dict[str, NDArray[Any]] = {
            "land_cover": self.before,
            "elevation": rng.normal(300, 200, grid.shape).astype(np.float32),
            "aspect": rng.uniform(0, 360, grid.shape).astype(np.float32),
        }
        self.crop = {("crop", t): rng.random(self.forcing.shape).astype(np.float32) for t in (-1, 0)}
        felled = (self.before == FOREST) & (self.maps["elevation"] < 300)
        self.after = np.where(felled, np.int8(PASTURE), self.before)
        self.training = np.broadcast_to(np.arange(grid.nlon) < 60, grid.shape)

    @property
    def inputs(self) -> TileInputs:
        def land(name: str, offset: int, tile: Tile) -> NDArray[Any]:
            array = self.maps[name]
            return window_of(
                array, tile.window, periodic=self.fine.periodic, fill=-1 if array.dtype == np.int8 else np.nan
            )

        return TileInputs(self.fine, self.forcing, land, self.crop)

    def tiled(self, predictor: Predictor, block: int) -> NDArray[np.float32]:
        """Logits of the whole domain, predicted in blocks."""
        plan = BlockPlan(self.fine, self.forcing, block)
        tiles = [plan.tile(b, predictor.spec.halo, predictor.spec.align) for b in plan.blocks]
        out = np.full((CLASSES, *self.fine.shape), np.nan, np.float32)
        for tile, answer in predict_tiles("test", predictor, tiles, self.inputs, (2001, 0), RNG):
            out[:, *tile.core.slices()] = answer["land_cover_logits"]
        return out

    def batch(self, spec: PredictorSpec, core: Box) -> Batch:
        halo = spec.halo
        window = Box(core.row0 - halo, core.row1 + halo, core.col0 - halo, core.col1 + halo)
        return assemble(spec, [Tile(0, core, window)], self.inputs, (2001, 0))

    def each_window(
        self, side: int, *, held_out: bool = False, spec: PredictorSpec | None = None
    ) -> Iterator[tuple[Batch, NDArray[np.int8]]]:
        assert spec is not None
        for row in range(0, self.fine.nlat, 40):
            core = Box(row, min(row + 40, self.fine.nlat), 0, self.fine.nlon)
            target = np.where(self.training, self.after, np.int8(OUTSIDE))[core.slices()]
            yield self.batch(spec, core), target

    def evaluate(self, predictor: Predictor) -> dict[str, Any]:
        logits = self.tiled(predictor, 3)
        judged = ~self.training & (self.before >= 0)
        return {"wrong": int((logits.argmax(0) != self.after)[judged].sum())}


def create(name: str, **options: Any) -> Predictor:
    made: Predictor = load_plugins([]).create("predictor", name, {"legend": LEGEND.name, **options}, "test")
    return made


def ignore(done: float, note: str) -> None:
    assert 0 <= done <= 1


def small_trees(**changes: Any) -> BoostingTrainerOptions:
    content: dict[str, Any] = {
        "name": "test",
        "radii": (1, 4),
        "distance": 7,
        "change": TreeOptions(rounds=12, leaves=8, learning_rate=0.3),
        "target": TreeOptions(rounds=6, leaves=4, learning_rate=0.3),
    }
    return BoostingTrainerOptions(**(content | changes))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles")
    result = BoostingTrainer(small_trees()).train(Domain(), folder / "boosting", ignore)
    assert result.bundle == folder / "boosting"
    with_suitability = small_trees(suitability=TreeOptions(rounds=3, leaves=4))
    BoostingTrainer(with_suitability).train(Domain(), folder / "suitability", ignore)
    MarkovTrainer(MarkovTrainerOptions(name="test")).train(Domain(), folder / "markov", ignore)
    MarkovTrainer(MarkovTrainerOptions(name="test", region=0.2)).train(Domain(), folder / "regions", ignore)
    return folder


def all_baselines(folder: Path) -> dict[str, Predictor]:
    return {
        "exact-areas": create("exact-areas"),
        "neighbourhood": create("neighbourhood", radii=[1, 3, 9]),
        "markov": create("markov", bundle=str(folder / "markov")),
        "regions": create("markov", bundle=str(folder / "regions")),
        "boosting": create("boosting", bundle=str(folder / "boosting")),
        "suitability": create("boosting", bundle=str(folder / "suitability")),
    }


def test_results_do_not_depend_on_blocks(trained: Path) -> None:
    domain = Domain(3)
    for name, predictor in all_baselines(trained).items():
        whole = domain.tiled(predictor, 20)
        for block in (1, 2, 3):
            np.testing.assert_array_equal(domain.tiled(predictor, block), whole, err_msg=name)
        assert whole.dtype == np.float32
        assert not whole[:, domain.before == OUTSIDE].any()
        assert np.ptp(whole[:, domain.before >= 0], axis=0).min() > 1


def test_a_batch_of_several_windows_gives_what_each_alone_gives(trained: Path) -> None:
    domain = Domain(3)
    for name, predictor in all_baselines(trained).items():
        spec = predictor.spec
        boxes = [Box(20, 44, 20, 50), Box(30, 54, 40, 70)]
        batch = assemble(spec, [Tile(i, box, box) for i, box in enumerate(boxes)], domain.inputs, (2001, 0))
        together = predictor.predict(batch, RNG)["land_cover_logits"]
        for item, box in enumerate(boxes):
            alone = assemble(spec, [Tile(0, box, box)], domain.inputs, (2001, 0))
            np.testing.assert_array_equal(
                together[item], predictor.predict(alone, RNG)["land_cover_logits"][0], err_msg=name
            )


# --- by hand


THREE = LatLonGrid(0.0, 0.1, 3, 50.3, -0.1, 3)
#: Forest left and above, cropland right and below, sea in a corner.
MAP = np.array([[FOREST, FOREST, CROPLAND], [FOREST, CROPLAND, CROPLAND], [FOREST, CROPLAND, OUTSIDE]], np.int8)


def three_by_three(halo: int = 0, cover: NDArray[np.int8] = MAP, grid: LatLonGrid = THREE) -> Batch:
    padded = np.pad(cover, halo, constant_values=OUTSIDE)
    core = Box(0, cover.shape[0], 0, cover.shape[1])
    window = Box(-halo, cover.shape[0] + halo, -halo, cover.shape[1] + halo)
    return Batch((Tile(0, core, window),), (2001, 0), {"land_cover": padded[None, None]}, grid)


@pytest.mark.parametrize("halo", [0, 1, 2])  # a window may be larger than needed, or end with the domain
def test_neighbourhood_by_hand(halo: int) -> None:
    predictor = create("neighbourhood", radii=[1], favour=2.0)
    logits = predictor.predict(three_by_three(halo), RNG)["land_cover_logits"][0]
    assert logits.shape == (7, 3, 3)
    # the middle cell sees all eight land cells: four of each class
    assert logits[FOREST, 1, 1] == pytest.approx(np.log(0.5 + 1e-4), rel=1e-6)
    assert logits[CROPLAND, 1, 1] == pytest.approx(np.log(0.5 + 1e-4) + 2, rel=1e-6)
    assert logits[URBAN, 1, 1] == pytest.approx(np.log(1e-4), rel=1e-6)
    # the corner at the top left sees three cells of forest and one of cropland
    assert logits[FOREST, 0, 0] == pytest.approx(np.log(0.75 + 1e-4) + 2, rel=1e-6)
    assert logits[CROPLAND, 0, 0] == pytest.approx(np.log(0.25 + 1e-4), rel=1e-6)
    assert not logits[:, 2, 2].any()


def test_the_mean_of_several_windows_by_hand() -> None:
    predictor = create("neighbourhood", radii=[1, 2], favour=0)
    logits = predictor.predict(three_by_three(), RNG)["land_cover_logits"][0]
    # three of four cells nearby, four of eight within two cells
    assert logits[FOREST, 0, 0] == pytest.approx(np.log((0.75 + 0.5) / 2 + 1e-4), rel=1e-6)


def test_features_by_hand() -> None:
    features = Features(4, (1,), 2, (Input(name="crop", units="1", source="forcing", offset=0),))
    batch = three_by_three(2)
    fields = {**batch.fields, "crop": np.arange(49, dtype=np.float32).reshape(1, 1, 7, 7)}
    cells = WindowFeatures(features, Batch(batch.tiles, batch.time, fields, THREE), 0)
    table = cells.table(slice(None))
    assert table.shape == (features.count, 8) == (4 + 5 + 5 + 1, 8)
    assert (cells.rows.tolist(), cells.cols.tolist()) == ([0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(cells.current, MAP[MAP >= 0])
    middle = table[:, 4]
    np.testing.assert_array_equal(middle[:4], [0, 1, 0, 0])
    np.testing.assert_allclose(middle[4:9], [8 / 9, 0, 0.5, 0, 0.5])
    # no urban land and no pasture; the sea begins at the corner, one cell down and one to the right
    np.testing.assert_allclose(middle[9:14], [2, 0, 2, 1, np.sqrt(2)])
    assert middle[14] == 3 * 7 + 3
    np.testing.assert_allclose(table[9:14, 0], [2, np.sqrt(2), 2, 0, 1])  # beyond the domain is sea
    np.testing.assert_array_equal(cells.table(slice(3, 5)), table[:, 3:5])


def test_surroundings_by_hand_do_not_hold_the_cell_itself() -> None:
    inputs = (
        Input(name="crop", units="1", source="forcing", offset=0),
        Input(name="elevation", units="m", source="static", offset=0),
    )
    features = Features(4, (1,), 2, inputs, suitability=True)
    batch = three_by_three(2)
    heights = np.arange(49, dtype=np.float32).reshape(1, 1, 7, 7)
    fields = {**batch.fields, "crop": heights, "elevation": heights}
    cells = WindowFeatures(features, Batch(batch.tiles, batch.time, fields, THREE), 0)
    found = cells.surroundings(slice(None))
    assert found.shape == (features.surroundings, 8) == (5 + 1, 8)
    assert features.count == cells.table(slice(None)).shape[0] + 2 * 4
    # the middle has 7 cells of land around it; it is cropland, as 3 of these are
    np.testing.assert_allclose(found[:, 4], [7 / 8, 0, 3 / 7, 0, 4 / 7, 3 * 7 + 3])


def test_a_lonely_cell_has_no_surroundings() -> None:
    cover = np.full((1, 1, 3, 3), OUTSIDE, np.int8)
    cover[0, 0, 1, 1] = FOREST
    tile = Tile(0, Box(1, 2, 1, 2), Box(0, 3, 0, 3))
    cells = WindowFeatures(
        Features(CLASSES, (1,), 0, (), suitability=True), Batch((tile,), (2001, 0), {"land_cover": cover}, THREE), 0
    )
    assert not cells.surroundings(slice(None)).any()


def test_suitability_features_by_hand() -> None:
    """Two classes with probabilities 0.2 and 0.8; a third that is nearly impossible counts as e^-12."""
    trees = spread(
        Trees(
            **{name: np.zeros(0, kind) for name, kind in TREE_TYPES.items()},
            roots=np.zeros((0, 2), np.int32),
            start=np.log([0.2, 0.8]),
        ),
        np.array([0, 1]),
        3,
    )
    found = suitability_features(trees, np.zeros((1, 2), np.float32), np.array([0, 2], np.int8))
    logs = np.array([np.log(0.2), np.log(0.8), -12])
    np.testing.assert_allclose(found, np.concatenate([[logs, logs], [logs - logs[0], logs + 12]], axis=1).T, rtol=1e-5)


def test_the_change_of_a_forcing_and_the_cosine_of_an_angle_are_features() -> None:
    domain = Domain()
    inputs = (
        Input(name="crop", units="1", source="forcing", offset=-1),
        Input(name="crop", units="1", source="forcing", offset=0, minus=-1),
        Input(name="aspect", units="degree", source="static", offset=0, cosine=True),
    )
    features = Features(CLASSES, (1,), 0, inputs)
    cells = WindowFeatures(
        features, domain.batch(make_spec(LEGEND.name, "P1Y", "forward", features.fields(), 1), GRID.box), 0
    )
    before, change, aspect = cells.table(slice(None))[-3:]
    row = domain.forcing.rows_of(GRID.lat)[cells.rows]
    col = domain.forcing.cols_of(GRID.lon)[cells.cols]
    np.testing.assert_array_equal(before, domain.crop["crop", -1][row, col])
    np.testing.assert_array_equal(change, (domain.crop["crop", 0] - domain.crop["crop", -1])[row, col])
    angle = domain.maps["aspect"][cells.rows, cells.cols]
    np.testing.assert_allclose(aspect, np.cos(np.deg2rad(angle.astype(np.float64))), atol=1e-6)


def test_transition_matrix_by_hand() -> None:
    counts = np.array([[6, 2, 0], [0, 0, 0], [0, 1, 3]])
    np.testing.assert_array_equal(chances(counts), [[0.75, 0.25, 0], [0, 1, 0], [0, 0.25, 0.75]])
    region = np.array([[0, 8, 0], [0, 5, 0], [0, 0, 0]])
    # 8 cells of its own, and 8 cells that are divided as in all land
    expected = [[6 / 16, 10 / 16, 0], [0, 1, 0], [0, 0.25, 0.75]]
    np.testing.assert_allclose(chances(region, counts, 8), expected)


def test_markov_by_hand(tmp_path: Path) -> None:
    """Two of the four cells of forest become pasture; in the other half of the map nothing changes."""
    domain = Domain(0, LatLonGrid(0.0, 0.01, 4, 50.02, -0.01, 2))
    domain.before[:] = np.array([[FOREST, FOREST, FOREST, FOREST], [CROPLAND, CROPLAND, FOREST, FOREST]])
    domain.after = domain.before.copy()
    domain.after[:, 2:] = [[PASTURE, FOREST], [PASTURE, FOREST]]
    domain.training = np.ones((2, 4), bool)
    bundle = tmp_path / "b"
    result = MarkovTrainer(MarkovTrainerOptions(name="test")).train(domain, bundle, ignore)
    predictor = Markov(read_bundle(bundle, "markov"))
    logits = domain.tiled(predictor, 1)
    odds = np.exp(logits.astype(np.float64))
    for row, col in np.argwhere(domain.before == FOREST):
        assert odds[PASTURE, row, col] == pytest.approx(1 / 3, rel=2e-3)
        assert odds[FOREST, row, col] == pytest.approx(2 / 3, rel=2e-3)
        assert odds[URBAN, row, col] == pytest.approx(1e-6, rel=2e-3)
    assert odds[CROPLAND, 1, 0] == pytest.approx(1, rel=2e-3)
    assert len(np.unique(logits[PASTURE, domain.before == FOREST])) == 6  # ties are decided by chance
    assert predictor.gross is not None
    assert predictor.gross.rates() == Domain.gross_rates
    assert result.digest.startswith(predictor.identity)


def test_regions_have_matrices_of_their_own(tmp_path: Path) -> None:
    domain = Domain(0, LatLonGrid(0.0, 0.01, 40, 50.02, -0.01, 2))
    domain.before[:] = FOREST
    domain.after = domain.before.copy()
    domain.after[:, 20:30] = PASTURE  # half of the east
    domain.training = np.ones((2, 40), bool)
    trainer = MarkovTrainer(MarkovTrainerOptions(name="test", region=0.2, strength=1e-9))
    trainer.train(domain, tmp_path / "b", ignore)
    odds = np.exp(domain.tiled(Markov(read_bundle(tmp_path / "b", "markov")), 1))
    np.testing.assert_allclose(odds[PASTURE, :, :20], 1e-6, rtol=2e-3)
    np.testing.assert_allclose(odds[PASTURE, :, 20:], 0.5, rtol=2e-3)
    elsewhere = Domain(1, LatLonGrid(20.0, 0.01, 10, 10.02, -0.01, 2))
    elsewhere.before[:] = FOREST
    odds = np.exp(elsewhere.tiled(Markov(read_bundle(tmp_path / "b", "markov")), 1))
    np.testing.assert_allclose(odds[PASTURE], 0.25, rtol=2e-3)  # no region: the matrix of all land


def test_exact_areas_are_random_by_key() -> None:
    domain, predictor = Domain(), create("exact-areas")
    logits = domain.tiled(predictor, 2)
    land = domain.before >= 0
    np.testing.assert_array_equal(logits.argmax(0)[land], domain.before[land])
    others = np.sort(logits[:, land], axis=0)[:-1]
    assert 0 <= others.min() < others.max() < 1
    assert others.mean() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(logits[0][land], logits[1][land])[0, 1]) < 0.3
    other_year = predictor.predict(domain.batch(predictor.spec, GRID.box), RNG.at(year=2002))["land_cover_logits"][0]
    assert (other_year != logits)[:, land].mean() > 0.8


# --- boosting


def test_boosting_learns_a_rule_on_held_out_land(trained: Path) -> None:
    card = read_bundle(trained / "boosting", "boosting").card
    domain = Domain()
    judged = ~domain.training & (domain.before >= 0)
    assert (domain.before != domain.after)[judged].mean() > 0.05
    assert card.metrics["wrong"] / judged.sum() < 0.01
    assert card.training["changed_cells"] == (domain.before != domain.after)[domain.training].sum()
    assert [(f.name, f.offsets, f.grid) for f in create("boosting", bundle=str(trained / "boosting")).spec.inputs] == [
        ("land_cover", (-1,), "land"),
        ("crop", (-1, 0), "coarse"),
        ("elevation", (0,), "land"),
        ("aspect", (0,), "land"),
    ]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_trees_predict_as_scikit_learn(classes: int) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble", reason="needs scikit-learn (the extra `baselines`)")
    rng = np.random.default_rng(1)
    table = rng.normal(size=(4000, 6)).astype(np.float32)
    table[:, 0] = np.round(table[:, 0], 1)  # many cells lie at a threshold
    table[:, 1] = rng.integers(0, 9, 4000) / 9
    noise = rng.normal(size=4000)
    label = np.digitize(table[:, 0] + table[:, 1] * table[:, 2] + noise, np.linspace(-1, 1, classes - 1))
    model = ensemble.HistGradientBoostingClassifier(max_iter=30, early_stopping=False).fit(table, label)
    expected = model.predict_proba(table)
    sums = from_sklearn(model).sums(np.ascontiguousarray(table.T))
    assert sums.shape == (1 if classes == 2 else classes, 4000)
    labels = np.arange(classes) * 2  # classes that are not in the training stay nearly impossible
    sums = spread(from_sklearn(model), labels, 2 * classes).sums(np.ascontiguousarray(table.T))
    found = np.exp(sums - sums.max(axis=0))
    found /= found.sum(axis=0)
    np.testing.assert_allclose(found[labels].T, expected, atol=1e-6)
    assert found[1::2].max() < 1e-9


def test_probabilities_of_the_two_questions_together(trained: Path) -> None:
    """P(stays) = 1 - P(change); P(class k) = P(change) P(k | change), where the present class is not a change."""
    bundle = read_bundle(trained / "boosting", "boosting")
    features = Features.of_card(bundle.card)
    domain = Domain(8)
    spec = create("boosting", bundle=str(trained / "boosting")).spec
    cells = WindowFeatures(features, domain.batch(spec, GRID.box), 0)
    table = cells.table(slice(None))
    (change,) = Trees.of(bundle.arrays, "change", features.count).sums(table)
    target = Trees.of(bundle.arrays, "target", features.count).sums(table)
    logits = Boosting(bundle).logits(table, cells.current).astype(np.float64)
    changes = 1 / (1 + np.exp(-change))
    for cell in range(0, cells.current.size, 97):
        now = cells.current[cell]
        others = [k for k in range(CLASSES) if k != now]
        share = np.exp(target[others, cell]) / np.exp(target[others, cell]).sum()
        expected = np.zeros(CLASSES)
        expected[now], expected[others] = 1 - changes[cell], changes[cell] * share
        np.testing.assert_allclose(np.exp(logits[:, cell]), expected, atol=1e-6)


def test_cells_are_chosen_with_weights(tmp_path: Path) -> None:
    domain = Domain()
    features = Features(CLASSES, (1,), 0, ())
    known = (domain.before >= 0) & domain.training
    changed = int((domain.before != domain.after)[known].sum())
    every = choose_cells(domain, features, small_trees())
    assert (every.weight, every.table.shape) == (None, (known.sum(), features.count))
    few = choose_cells(domain, features, small_trees(cells=600))
    moves = few.before != few.after
    assert few.weight is not None
    assert 200 < moves.sum() < 400
    assert 200 < (~moves).sum() < 400
    assert few.weight[moves].sum() == pytest.approx(changed, rel=0.2)
    assert few.weight[~moves].sum() == pytest.approx(known.sum() - changed, rel=0.2)
    again = choose_cells(domain, features, small_trees(cells=600))
    np.testing.assert_array_equal(again.table, few.table)
    still = Domain()
    still.after = still.before
    with pytest.raises(ConfigError, match="no training cell changes its class"):
        BoostingTrainer(small_trees()).train(still, tmp_path / "b", ignore)
    assert not (tmp_path / "b").exists()


def test_equal_seeds_give_equal_bundles(trained: Path, tmp_path: Path) -> None:
    BoostingTrainer(small_trees()).train(Domain(), tmp_path / "b", ignore)
    assert (tmp_path / "b" / NUMBERS).read_bytes() == (trained / "boosting" / NUMBERS).read_bytes()
    assert (tmp_path / "b" / CARD).read_bytes() == (trained / "boosting" / CARD).read_bytes()


def test_without_scikit_learn_a_trainer_says_what_to_install(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(ConfigError, match=r"needs scikit-learn") as error:
        BoostingTrainer(small_trees()).train(Domain(), tmp_path / "b", ignore)
    assert "pip install 'ai4land_coupler[baselines]'" in str(error.value)
    create("boosting", bundle=str(trained / "boosting"))


# --- bundles


def edit(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**card, **changes}))


def replace_numbers(folder: Path, **changes: Any) -> None:
    arrays = {**read_bundle(folder, "boosting").arrays, **changes}
    content, digest = serialise(arrays)
    (folder / NUMBERS).write_bytes(content)
    edit(folder, numbers_sha256=digest)


REFUSED: dict[str, tuple[Any, str]] = {
    "no card": (lambda folder: (folder / CARD).unlink(), "the card of a bundle cannot be read"),
    "no numbers": (lambda folder: (folder / NUMBERS).unlink(), "cannot be read"),
    "not JSON": (lambda folder: (folder / CARD).write_text("{"), "not valid JSON"),
    "other format": (partial(edit, format="ai4land-unet/1"), "format that this predictor cannot read"),
    "other kind": (partial(edit, kind="markov"), "write `name: markov`"),
    "unknown key": (partial(edit, colour="red"), "malformed"),
    "other codes": (partial(edit, classes={"urban": [11]}), "another edition of legend"),
    "altered": (lambda folder: (folder / NUMBERS).write_bytes(b"x"), "truncated or were altered"),
    "fewer features": (partial(edit, radii=[1]), "asks for a feature that the card does not have"),
    "a loop": (
        lambda folder: replace_numbers(
            folder, **{"change.left": np.zeros_like(read_bundle(folder, "boosting").arrays["change.left"])}
        ),
        "has no node below it",
    ),
    "a lost array": (partial(replace_numbers, **{"change.value": np.zeros(1, np.int8)}), "not an array of float64"),
    "short arrays": (partial(replace_numbers, **{"change.value": np.zeros(1)}), "differ in length"),
    "other outputs": (
        partial(replace_numbers, **{"target.start": np.zeros(2), "target.roots": np.zeros((1, 2), np.int32)}),
        "1 and 7 outputs",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bundles_that_do_not_fit_are_refused(trained: Path, tmp_path: Path, case: str) -> None:
    for name in (CARD, NUMBERS):
        (tmp_path / name).write_bytes((trained / "boosting" / name).read_bytes())
    change, words = REFUSED[case]
    change(tmp_path)
    with pytest.raises(DataError) as error:
        create("boosting", bundle=str(tmp_path))
    assert words in str(error.value)


def test_a_matrix_of_other_classes_is_refused(trained: Path, tmp_path: Path) -> None:
    content, digest = serialise({"chances": np.eye(3)[None], "places": np.zeros((0, 2), np.int64)})
    (tmp_path / CARD).write_bytes((trained / "markov" / CARD).read_bytes())
    (tmp_path / NUMBERS).write_bytes(content)
    edit(tmp_path, numbers_sha256=digest)
    with pytest.raises(DataError, match="do not fit its card"):
        create("markov", bundle=str(tmp_path))


def test_another_legend_is_refused(trained: Path) -> None:
    with pytest.raises(ConfigError, match="another legend than the run"):
        create("markov", bundle=str(trained / "markov"), legend="hilda-v1.0")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("neighbourhood", {"radii": [0, 1]}, "whole numbers above 0"),
        ("neighbourhood", {"radii": []}, "radii"),
        ("exact-areas", {"step": "yearly"}, "ISO 8601"),
        ("markov", {}, "bundle"),
    ],
)
def test_errors_of_bad_options(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create(name, **options)
