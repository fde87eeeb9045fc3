"""Prediction in tiles equals prediction in one pass, and a predictor that breaks its contract is named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from ai4land_coupler.core.fields import Batch, FieldSpec, PredictorSpec, Tile
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import PluginError
from ai4land_coupler.land.assemble import TileInputs, window_of
from ai4land_coupler.land.tiling import predict_tiles
from ai4land_coupler.parallel import BlockPlan

COARSE = LatLonGrid(-180.0, 1.0, 360, 90.0, -1.0, 180)
REGION = LatLonGrid(-3.1, 0.097, 61, 51.3, -0.097, 47)
GLOBE = LatLonGrid(-180.0, 9.972, 36, 90.0, -10.0, 18)


class Relief:
    """Highest minus lowest cell of a square of (2 reach + 1)^2 cells: every cell of it counts."""

    def __init__(self, reach: int, halo: int, align: int = 1) -> None:
        self.reach = reach
        self.spec = PredictorSpec(
            (FieldSpec("height", "m", "static", fill=-50.0),),
            (FieldSpec("relief", "m", "output"),),
            None,
            align=align,
            halo=halo,
        )

    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        return {"relief": np.stack([[self.of(layer[0])] for layer in batch.fields["height"]])}

    def of(self, height: np.ndarray) -> np.ndarray:
        size = 2 * self.reach + 1
        low, high = (
            f(height, size, mode="constant", cval=-50.0) for f in (ndimage.minimum_filter, ndimage.maximum_filter)
        )
        return high - low


def heights(grid: LatLonGrid) -> np.ndarray:
    return np.random.default_rng(11).normal(size=grid.shape).astype(np.float32)


def in_tiles(predictor: Relief, grid: LatLonGrid, coarse: LatLonGrid, block: int) -> np.ndarray:
    plan = BlockPlan(grid, forcing_lattice(grid, coarse), block)
    height = heights(grid)

    def read(name: str, offset: int, tile: Tile) -> np.ndarray:
        return window_of(height, tile.window, periodic=grid.periodic, fill=np.nan)

    tiles = [plan.tile(block, predictor.spec.halo, predictor.spec.align) for block in plan.blocks]
    assert len(tiles) > 5
    whole = np.full(grid.shape, np.nan, np.float32)
    inputs = TileInputs(grid, plan.forcing, read, {})
    for tile, outputs in predict_tiles("relief", predictor, tiles, inputs, (2001, 0), KeyedRng(1)):
        assert outputs["relief"].shape == (1, *tile.core.shape)
        whole[tile.core.slices()] = outputs["relief"][0]
    return whole


@pytest.mark.parametrize("reach", [1, 4])
@pytest.mark.parametrize("align", [1, 8])
def test_tiles_with_the_halo_equal_one_pass(reach: int, align: int) -> None:
    predictor = Relief(reach, reach, align)
    np.testing.assert_array_equal(in_tiles(predictor, REGION, COARSE, 2), predictor.of(heights(REGION)))


def test_a_halo_one_cell_short_is_not_enough() -> None:
    """If this passed with fewer cells, the test above would prove nothing."""
    short = in_tiles(Relief(4, 3), REGION, COARSE, 2)
    whole = Relief(4, 4).of(heights(REGION))
    assert (short != whole).any()
    assert (short == whole).mean() > 0.5


def test_around_the_globe_the_reference_is_one_pass_over_wrapped_columns() -> None:
    predictor = Relief(3, 3, 4)
    wrapped = np.concatenate([heights(GLOBE)[:, -8:], heights(GLOBE), heights(GLOBE)[:, :8]], axis=1)
    tiled = in_tiles(predictor, GLOBE, LatLonGrid(-180.0, 30.0, 12, 90.0, -30.0, 6), 3)
    np.testing.assert_array_equal(tiled, predictor.of(wrapped)[:, 8:-8])
    assert (tiled != predictor.of(heights(GLOBE))).any()


# --- what is handed over, and what comes back

GRID = LatLonGrid(0.0, 0.25, 8, 50.0, -0.25, 8)
PLAN = BlockPlan(GRID, LatLonGrid(0.0, 1.0, 2, 50.0, -1.0, 2), 1)
MAPS = PredictorSpec(
    (),
    (FieldSpec("land_cover_logits", "1", "output"), FieldSpec("lai", "m2 m-2", "output")),
    "hilda-v1.0-f",
    halo=1,
    memory={"snow": 0.0},
)
WINDOW = {(tile := PLAN.tile(block, 1, 1)).id: tile.window.shape for block in PLAN.blocks}


def good(batch: Batch, **changed: Any) -> dict[str, Any]:
    rows, cols = batch.tiles[0].window.shape
    answer = {
        "land_cover_logits": np.zeros((1, 7, rows, cols)),
        "lai": np.ones((1, 1, rows, cols), np.float32),
        "snow": np.full((1, rows, cols), 2, np.int32),
    }
    return {key: value for key, value in (answer | changed).items() if value is not None}


class Scripted:
    """Answers with whatever it is told to, on the tile 2 only; as it should on the others."""

    spec = MAPS

    def __init__(self, answer: Callable[[Batch], Any]) -> None:
        self.answer = answer

    def predict(self, batch: Batch, rng: KeyedRng) -> Any:
        return self.answer(batch) if batch.tiles[0].id == 2 else good(batch)


def run(predictor: Any) -> list[tuple[Tile, Mapping[str, np.ndarray]]]:
    tiles = [PLAN.tile(block, predictor.spec.halo, predictor.spec.align) for block in PLAN.blocks]
    memory = np.zeros(GRID.shape, np.float32)

    def read(name: str, offset: int, tile: Tile) -> np.ndarray:
        return window_of(memory, tile.window, periodic=False, fill=np.nan)

    inputs = TileInputs(GRID, PLAN.forcing, read, {})
    return list(predict_tiles("mine", predictor, tiles, inputs, (1987, 0), KeyedRng(3)))


def test_a_good_answer_arrives_as_float32_over_the_core() -> None:
    answers = run(Scripted(good))
    assert [tile.id for tile, _ in answers] == [0, 1, 2, 3]
    for tile, outputs in answers:
        assert {key: values.shape for key, values in outputs.items()} == {
            "land_cover_logits": (7, *tile.core.shape),
            "lai": (1, *tile.core.shape),
            "snow": tile.core.shape,
        }
        assert all(values.dtype == np.float32 and values.flags.c_contiguous for values in outputs.values())
        assert (outputs["snow"] == 2).all()


def test_tiles_come_one_a_call_with_the_time_and_the_random_numbers() -> None:
    seen = []

    class Watching:
        spec = MAPS

        def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
            seen.append((len(batch.tiles), batch.time, batch.fields["snow"].shape[0], rng))
            return good(batch)

    run(Watching())
    assert seen == [(1, (1987, 0), 1, KeyedRng(3))] * 4


def test_tiles_are_predicted_as_they_are_taken() -> None:
    """A domain of any size streams through: no answer is made before it is asked for."""
    calls = []

    class Counting:
        spec = MAPS

        def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
            calls.append(batch.tiles[0].id)
            return good(batch)

    tiles = [PLAN.tile(block, 1, 1) for block in PLAN.blocks]
    inputs = TileInputs(GRID, PLAN.forcing, lambda name, offset, tile: np.zeros(tile.window.shape), {})
    stream = predict_tiles("mine", Counting(), tiles, inputs, (1987, 0), KeyedRng(3))
    assert calls == []
    next(stream)
    assert calls == [0]


def test_only_the_core_of_an_answer_has_to_be_finite() -> None:
    def nan_in_the_halo(batch: Batch) -> dict[str, Any]:
        lai = np.full((1, 1, *batch.tiles[0].window.shape), np.nan, np.float32)
        rows, cols = batch.tiles[0].core.slices(batch.tiles[0].window)
        lai[..., rows, cols] = 3
        return good(batch, lai=lai)

    assert (run(Scripted(nan_in_the_halo))[2][1]["lai"] == 3).all()


def test_an_answer_may_cover_the_core_only() -> None:
    def cut(batch: Batch) -> dict[str, Any]:
        (tile,) = batch.tiles
        return {name: values[..., *tile.core.slices(tile.window)] for name, values in numbered(batch).items()}

    def numbered(batch: Batch) -> dict[str, Any]:
        return {
            name: np.asarray(values) + np.arange(values.shape[-2] * values.shape[-1]).reshape(values.shape[-2:])
            for name, values in good(batch).items()
        }

    whole, core = run(Scripted(numbered)), run(Scripted(cut))
    assert all(tile.window.shape != tile.core.shape for tile, _ in whole)
    for (_, a), (_, b) in zip(whole, core, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_a_predictor_may_use_its_arrays_again() -> None:
    class Thrifty:
        spec = PredictorSpec((), (FieldSpec("lai", "m2 m-2", "output"),), None)
        buffer = np.zeros((1, 1, 4, 4), np.float32)

        def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
            self.buffer[:] = batch.tiles[0].id
            return {"lai": self.buffer}

    assert [outputs["lai"].max() for _, outputs in run(Thrifty())] == [0, 1, 2, 3]


def raising(error: BaseException) -> Callable[[Batch], Any]:
    def answer(batch: Batch) -> Any:
        raise error

    return answer


def exiting(batch: Batch) -> Any:
    sys.exit(0)


def one_bad_value(value: float) -> Callable[[Batch], Any]:
    def answer(batch: Batch) -> Any:
        lai = np.ones((1, 1, *WINDOW[2]))
        lai[0, 0, 2, 2] = value
        return good(batch, lai=lai)

    return answer


BROKEN: dict[str, tuple[Callable[[Batch], Any], str, str | None]] = {
    "raises": (raising(ValueError("no such layer")), "a predictor failed", "ValueError: no such layer"),
    "exits": (exiting, "a predictor failed", "SystemExit: 0"),
    "nothing": (lambda batch: None, "did not return a mapping", "NoneType"),
    "an array": (lambda batch: np.zeros((1, 7, *WINDOW[2])), "did not return a mapping", "ndarray"),
    "an output less": (
        lambda batch: good(batch, lai=None),
        "did not return what it promised",
        "land_cover_logits, snow",
    ),
    "a memory less": (
        lambda batch: good(batch, snow=None),
        "did not return what it promised",
        "lai, land_cover_logits",
    ),
    "neither the window nor the core": (
        lambda batch: good(batch, lai=np.zeros((1, 1, 4, 5))),
        "'lai' in the wrong shape",
        "(1, 1, 4, 5)",
    ),
    "two tiles": (
        lambda batch: good(batch, lai=np.zeros((2, 1, *WINDOW[2]))),
        "'lai' in the wrong shape",
        "(2, 1, 5, 5)",
    ),
    "no time": (lambda batch: good(batch, lai=np.zeros((1, *WINDOW[2]))), "'lai' in the wrong shape", "(1, 5, 5)"),
    "memory with time": (
        lambda batch: good(batch, snow=np.zeros((1, 1, *WINDOW[2]))),
        "'snow' in the wrong shape",
        "(1, 1, 5, 5)",
    ),
    "a number": (lambda batch: good(batch, lai=3.0), "'lai' in the wrong shape", "()"),
    "a class too many": (
        lambda batch: good(batch, land_cover_logits=np.zeros((1, 8, *WINDOW[2]))),
        "'land_cover_logits' in the wrong shape",
        "(1, 8, 5, 5)",
    ),
    "text": (lambda batch: good(batch, lai="many"), "'lai' that are not numbers", None),
    "NaN": (one_bad_value(np.nan), "not finite", "1 of 16"),
    "infinite": (one_bad_value(np.inf), "not finite", "1 of 16"),
    "beyond float32": (one_bad_value(1e300), "not finite", "1 of 16"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_predictor_that_breaks_its_contract_is_named_with_year_and_tile(case: str) -> None:
    answer, what, found = BROKEN[case]
    with pytest.raises(PluginError) as caught:
        run(Scripted(answer))
    assert what in str(caught.value)
    assert str(caught.value.where) == "predictor 'mine', year 1987, tile 2"
    if found is not None:
        assert str(caught.value.found) == found


def test_a_tensor_that_still_has_its_gradient_is_a_broken_contract() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(PluginError, match="not numbers"):
        run(Scripted(lambda batch: good(batch, lai=torch.ones((1, 1, *WINDOW[2]), requires_grad=True))))
    assert run(Scripted(lambda batch: good(batch, lai=torch.ones((1, 1, *WINDOW[2])))))


def test_the_cause_is_kept_and_the_user_may_still_interrupt() -> None:
    with pytest.raises(PluginError) as caught:
        run(Scripted(raising(ZeroDivisionError("oh"))))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(KeyboardInterrupt):
        run(Scripted(raising(KeyboardInterrupt())))


def test_maps_without_a_legend_are_refused() -> None:
    class Nameless(Scripted):
        spec = PredictorSpec((), (FieldSpec("land_cover_logits", "1", "output"),), None)

    with pytest.raises(PluginError, match="legend"):
        run(Nameless(good))
