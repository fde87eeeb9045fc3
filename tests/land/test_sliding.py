"""Blended windows: against a plain implementation over the whole domain, analytic results, other blocks and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from ai4land_coupler.config.sections import TilingSection, parse_config
from ai4land_coupler.core.fields import Batch, FieldSpec, PredictorSpec, Tile
from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.errors import ConfigError, PluginError
from ai4land_coupler.land import sliding
from ai4land_coupler.land.assemble import TileInputs, window_of
from ai4land_coupler.land.sliding import ExactTiling, GaussianTiling, Tiling, Windows, importance, make_tiling
from ai4land_coupler.parallel import BlockPlan

COARSE = LatLonGrid(-180.0, 1.0, 360, 90.0, -1.0, 180)
#: 47 rows and 61 columns: no multiple of 4. A forcing cell has 10 or 11 cells.
REGION = LatLonGrid(-3.1, 0.097, 61, 51.3, -0.097, 47)
#: 37 columns around the globe.
GLOBE = LatLonGrid(-180.0, 9.72, 37, 90.0, -9.0, 20)
WIDE = LatLonGrid(-180.0, 30.0, 12, 90.0, -30.0, 6)
SLIDING = GaussianTiling(16, 0.5, 0.125)
CLASSES = 7


class Scene:
    """Predicts classes, two times of a field, and a memory. The results depend on the window, as those of a network at
    the border of its window do; with ``pointwise`` they do not.
    """

    def __init__(self, align: int = 4, *, pointwise: bool = False) -> None:
        self.pointwise = pointwise
        self.windows: list[Box] = []
        self.spec = PredictorSpec(
            (
                FieldSpec("land_cover", "1", "cover", offsets=(-1,)),
                FieldSpec("height", "m", "static", fill=-5.0),
                FieldSpec("crop", "1", "forcing", offsets=(-1, 0), fill=-1.0),
            ),
            (FieldSpec("land_cover_logits", "1", "output"), FieldSpec("lai", "1", "output")),
            "hilda-v1.0-f",
            align=align,
            memory={"snow": 2.0},
        )

    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        (tile,) = batch.tiles
        self.windows.append(tile.window)
        answer = self.of({name: values[0] for name, values in batch.fields.items()})
        for values in batch.fields.values():
            values[:] = 0  # a predictor may change its inputs
        return answer

    def of(self, fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All results of one window, with a batch axis. Fields are (T, Y, X)."""
        cover, height, crop, snow = (fields[name] for name in ("land_cover", "height", "crop", "snow"))
        seen = height[0] + crop[1] - 2 * crop[0]
        if not self.pointwise:
            seen = ndimage.uniform_filter(seen, 5, mode="reflect") + np.float32(seen.mean())
        logits = np.stack([seen * np.float32(k) + (cover[0] == k) for k in range(CLASSES)])
        return {
            "land_cover_logits": logits[None].astype(np.float32),
            "lai": np.stack([seen, -3 * seen])[None],
            "snow": snow + seen,
        }


class Domain:
    """A map with much ocean, and the other inputs of the scene."""

    def __init__(self, grid: LatLonGrid, coarse: LatLonGrid) -> None:
        rng = np.random.default_rng(3)
        self.grid, self.forcing = grid, forcing_lattice(grid, coarse)
        cover = rng.integers(0, CLASSES, grid.shape).astype(np.int8)
        cover[rng.random(grid.shape) < 0.2] = -1
        rows, cols = np.indices(grid.shape)
        cover[(rows > 8) & (cols < grid.nlon * 0.7)] = -1  # whole windows without land
        self.maps = {
            "land_cover": cover,
            "height": rng.normal(size=grid.shape).astype(np.float32),
            "snow": rng.random(grid.shape).astype(np.float32),
        }
        self.crop = {("crop", t): rng.random(self.forcing.shape).astype(np.float32) for t in (-1, 0)}

    @property
    def land(self) -> np.ndarray:
        return self.maps["land_cover"] >= 0

    @property
    def inputs(self) -> TileInputs:
        def land(name: str, offset: int, tile: Tile) -> np.ndarray:
            array = self.maps[name]
            fill = -1 if array.dtype == np.int8 else np.nan
            return window_of(array, tile.window, periodic=self.grid.periodic, fill=fill)

        return TileInputs(self.grid, self.forcing, land, self.crop)

    def run(
        self, predictor: Any, tiling: Tiling, block: int, ranks: int = 1, *, all_blocks: bool = False
    ) -> dict[str, np.ndarray]:
        """The outputs on the whole domain, NaN in blocks without land. Each rank predicts its own tiles."""
        plan = BlockPlan(self.grid, self.forcing, block)
        tiles = [
            tiling.tile(plan, b, predictor.spec) for b in plan.blocks if all_blocks or self.land[b.core.slices()].any()
        ]
        found: dict[str, np.ndarray] = {}
        for rank in range(ranks):
            work: Any = tiling.work("scene", predictor, tiles[rank::ranks], self.inputs, (2001, 0), KeyedRng(1))
            for tile in tiles[rank::ranks]:
                outputs = work.predict(work.read(tile))
                for name, values in outputs.items():
                    whole = found.setdefault(name, np.full((*values.shape[:-2], *self.grid.shape), np.nan, np.float32))
                    whole[(..., *tile.core.slices())] = values
        return found

    def whole(self, predictor: Scene, size: int, stride: int, sigma: float, align: int) -> dict[str, np.ndarray]:
        """The same in plain loops over the whole domain, in double precision."""
        nlat, nlon = self.grid.shape
        lat, lon = self.grid.lat, self.grid.lon
        home = np.ix_(self.forcing.rows_of(lat), self.forcing.cols_of(lon, wrap=False))

        def starts(cells: int) -> list[int]:
            length = cells + -cells % align
            found, start = [], 0
            while start + size < length:
                found.append(start)
                start += stride
            return [*found, length - size]

        rows = starts(nlat)
        cols = list(range(0, nlon, stride)) if self.grid.periodic else starts(nlon)
        weight = np.zeros(self.grid.shape)
        sums: dict[str, Any] = {}
        for row in rows:
            for col in cols:
                fields = {
                    "land_cover": np.full((1, size, size), -1, np.int8),
                    "height": np.full((1, size, size), -5.0, np.float32),
                    "crop": np.full((2, size, size), -1.0, np.float32),
                    "snow": np.full((1, size, size), 2.0, np.float32),
                }
                places = {}
                for i in range(size):
                    for j in range(size):
                        y, x = row + i, col + j
                        x = x % nlon if self.grid.periodic else x
                        if 0 <= y < nlat and 0 <= x < nlon:
                            places[i, j] = y, x
                            for name in ("land_cover", "height", "snow"):
                                fields[name][0, i, j] = self.maps[name][y, x]
                            for t in (-1, 0):
                                fields["crop"][t + 1, i, j] = self.crop["crop", t][home][y, x]
                if not (fields["land_cover"] >= 0).any():
                    continue
                answer = predictor.of(fields)
                for (i, j), (y, x) in places.items():
                    away = (i - (size - 1) / 2) ** 2 + (j - (size - 1) / 2) ** 2
                    w = max(np.exp(-away / 2 / (sigma * size) ** 2), 1e-3)
                    weight[y, x] += w
                    for name, values in answer.items():
                        single = values[0].astype(np.float64)
                        if name not in sums:
                            sums[name] = np.zeros((*single.shape[:-2], nlat, nlon))
                        sums[name][..., y, x] += w * single[..., i, j]
        with np.errstate(invalid="ignore"):
            return {name: values / weight for name, values in sums.items()}


DOMAINS = {"region": Domain(REGION, COARSE), "globe": Domain(GLOBE, WIDE)}


@pytest.mark.parametrize("where", DOMAINS)
@pytest.mark.parametrize(("overlap", "stride", "align"), [(0.5, 8, 4), (0.3, 8, 4), (0.25, 12, 1)])
def test_against_plain_loops_over_the_whole_domain(where: str, overlap: float, stride: int, align: int) -> None:
    """The plain implementation leaves windows without land out; on land, this changes nothing."""
    domain = DOMAINS[where]
    expected = domain.whole(Scene(align), 16, stride, 0.2, align)
    found = domain.run(Scene(align), GaussianTiling(16, overlap, 0.2), 2)
    assert found.keys() == expected.keys() == {"land_cover_logits", "lai", "snow"}
    for name, values in expected.items():
        assert np.abs(values[..., domain.land]).max() > 1
        np.testing.assert_allclose(found[name][..., domain.land], values[..., domain.land], rtol=0, atol=1e-5)


@pytest.mark.parametrize("where", DOMAINS)
def test_other_blocks_and_ranks_give_the_same_bits_on_land(where: str) -> None:
    domain = DOMAINS[where]
    reference = domain.run(Scene(), SLIDING, 2)
    one_window = domain.run(Scene(), ExactTiling(), 2)
    assert (one_window["lai"] != reference["lai"])[..., domain.land].all()  # the tiling matters
    for block, ranks in ((1, 1), (3, 2), (5, 3), (2, 3), (100, 1)):
        found = domain.run(Scene(), SLIDING, block, ranks)
        for name, values in reference.items():
            np.testing.assert_array_equal(found[name][..., domain.land], values[..., domain.land], f"{name} {block}")


@pytest.mark.parametrize("where", DOMAINS)
def test_a_pointwise_predictor_has_the_same_results_with_both_tilings(where: str) -> None:
    domain = DOMAINS[where]
    exact = domain.run(Scene(pointwise=True), ExactTiling(), 2, all_blocks=True)
    blended = domain.run(Scene(pointwise=True), SLIDING, 2, all_blocks=True)
    for name, values in exact.items():
        np.testing.assert_allclose(blended[name], values, rtol=2e-6, atol=2e-6)
        assert np.isfinite(values).all()


# --- windows and weights


def starts(cells: int, size: int, stride: int, align: int = 1) -> list[int]:
    grid = LatLonGrid(0.0, 0.1, 5, 60.0, -0.1, cells)
    return sorted({window.row0 for window in Windows(grid, size, stride, align).overlapping(grid.box)})


def test_windows_by_hand() -> None:
    assert starts(20, 8, 4) == [0, 4, 8, 12]
    assert starts(21, 8, 4) == [0, 4, 8, 12, 13]  # the last one is moved back to the end
    assert starts(21, 8, 4, align=4) == [0, 4, 8, 12, 16]  # the domain ends at 24, a multiple of 4
    assert starts(8, 8, 4) == [0]
    assert starts(5, 8, 4) == [-1]  # 1 cell before the domain, 2 after it
    assert starts(5, 16, 8, align=8) == [0]  # the domain is rounded up to 8; 4 cells before it are no multiple of 8
    assert starts(20, 8, 8) == [0, 8, 12]  # without overlap


def test_windows_go_on_across_the_last_column() -> None:
    windows = Windows(GLOBE, 16, 8, 4)
    cols = [window.col0 for window in windows.overlapping(Box(0, 1, 0, 37))]
    assert cols == [-13, -5, 0, 8, 16, 24, 32]  # -13 and -5 are 24 and 32 before the first column
    assert [window.col0 for window in windows.overlapping(Box(0, 1, 36, 37))] == [24, 32]
    assert windows.canonical(Box(0, 16, -13, 3)) == Box(0, 16, 24, 40)
    with pytest.raises(ConfigError, match="wider than the globe") as caught:
        GaussianTiling(38, 0.5, 0.125).check(GLOBE, Scene().spec)
    assert "at most 37" in str(caught.value)
    GaussianTiling(38, 0.5, 0.125).check(REGION, Scene().spec)


def test_weights_by_hand() -> None:
    """MONAI 1.6 gives the same: ``compute_importance_map((4, 4), "gaussian", 0.25)``."""
    near, far = np.exp(-(0.5**2) / 2), np.exp(-(1.5**2) / 2)
    expected = np.outer([far, near, near, far], [far, near, near, far])
    np.testing.assert_allclose(importance(4, 0.25), expected, rtol=1e-6)
    assert importance(64, 0.05).min() == np.float32(1e-3)
    assert importance(5, 0.125)[2, 2] == importance(5, 0.125).max() == 1


class Position(Scene):
    """A plane: the column plus twice the row of each cell."""

    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        box = batch.tiles[0].window
        rows, cols = np.mgrid[box.row0 : box.row1, box.col0 : box.col1]
        plane = (cols % 37 + 2.0 * rows)[None]
        return {"land_cover_logits": np.ones((1, CLASSES, *box.shape)), "lai": plane[None], "snow": plane}


@pytest.mark.parametrize("grid", ["region", "globe"])
def test_a_constant_and_a_plane_stay(grid: str) -> None:
    """The weights of all windows of a cell sum to one after the division."""
    domain = DOMAINS[grid]
    found = domain.run(Position(), SLIDING, 3, all_blocks=True)
    np.testing.assert_allclose(found["land_cover_logits"], 1.0, rtol=1e-6)
    rows, cols = np.indices(domain.grid.shape)
    np.testing.assert_allclose(found["lai"][0], cols % 37 + 2 * rows, rtol=1e-6)


def test_a_domain_smaller_than_a_window_lies_in_its_middle() -> None:
    grid = LatLonGrid(0.0, 0.1, 9, 50.0, -0.1, 6)
    predictor = Scene(align=2)
    found = Domain(grid, COARSE).run(predictor, SLIDING, 2, all_blocks=True)
    assert set(predictor.windows) == {Box(-4, 12, -2, 14)}
    assert np.isfinite(found["lai"]).all()


# --- the work


def test_a_window_is_predicted_once_as_long_as_its_results_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = DOMAINS["region"]
    once = Scene()
    reference = domain.run(once, SLIDING, 2, all_blocks=True)
    assert len(once.windows) == len(set(once.windows)) == 5 * 7
    size = sum(values.nbytes for values in once.of({name: np.zeros((2, 16, 16)) for name in INPUTS}).values())
    monkeypatch.setattr(sliding, "_KEPT_BYTES", 4 * size)
    peak: list[int] = []
    make_room = sliding._Kept._make_room

    def watched(kept: sliding._Kept) -> None:
        make_room(kept)
        peak.append(sum(values.nbytes for outputs in kept._outputs.values() for values in outputs.values()))

    monkeypatch.setattr(sliding._Kept, "_make_room", watched)
    less = Scene()
    found = domain.run(less, SLIDING, 2, all_blocks=True)
    assert size < max(peak) <= 4 * size
    assert len(less.windows) > len(set(less.windows)) == 5 * 7
    for name, values in reference.items():
        np.testing.assert_array_equal(found[name], values)


INPUTS = ("land_cover", "height", "crop", "snow")


def test_a_field_is_read_once_for_a_tile() -> None:
    domain, predictor = DOMAINS["globe"], Scene()
    plan = BlockPlan(domain.grid, domain.forcing, 3)
    read: list[tuple[str, int]] = []

    def land(name: str, offset: int, tile: Tile) -> np.ndarray:
        read.append((name, tile.id))
        return domain.inputs.land(name, offset, tile)

    inputs = TileInputs(domain.grid, domain.forcing, land, domain.crop)
    tiles = [SLIDING.tile(plan, block, predictor.spec) for block in plan.blocks]
    work = SLIDING.work("scene", predictor, tiles, inputs, (2001, 0), KeyedRng(1))
    for batch in [work.read(tile) for tile in tiles]:  # all are read ahead
        work.predict(batch)
    assert sorted(read) == [(name, tile) for name in ("height", "land_cover", "snow") for tile in range(8)]
    assert len(predictor.windows) == len(set(predictor.windows)) > 8


def test_other_times_in_another_window_are_a_broken_contract() -> None:
    class Forgetful(Scene):
        def of(self, fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            answer = super().of(fields)
            return answer if len(self.windows) < 3 else answer | {"lai": answer["lai"][:, :1]}

    with pytest.raises(PluginError, match="'lai' with different times") as caught:
        DOMAINS["region"].run(Forgetful(), SLIDING, 2)
    assert "tile 0" in str(caught.value.where)


# --- the configuration


def test_the_choice() -> None:
    assert make_tiling(TilingSection()) == ExactTiling()
    assert make_tiling(TilingSection(method="gaussian", overlap=0.25)) == GaussianTiling(512, 0.25, 0.125)


@pytest.mark.parametrize(
    ("tiling", "text"),
    [
        ({"window": 256}, "parallel.tiling.window"),
        ({"method": "exact", "sigma": 0.2, "overlap": 0.1}, "parallel.tiling.overlap and parallel.tiling.sigma"),
        ({"method": "gaussian", "overlap": 1.0}, "parallel.tiling.overlap"),
        ({"method": "gauss"}, "'exact' or 'gaussian'"),
    ],
)
def test_a_faulty_choice_is_refused(tmp_path: Path, tiling: Any, text: str) -> None:
    raw = {
        "title": "a",
        "legend": "hilda-v1.0-f",
        "time": {"start": 2015, "stop": 2021},
        "initial": {"name": "hilda"},
        "predictors": [{"name": "persistence"}],
    }
    parse_config(raw | {"parallel": {"tiling": {"method": "gaussian", "window": 256}}}, tmp_path, "run.yaml")
    with pytest.raises(ConfigError) as caught:
        parse_config(raw | {"parallel": {"tiling": tiling}}, tmp_path, "run.yaml")
    assert text in str(caught.value)


def test_a_configuration_of_a_store_can_be_used_again() -> None:
    """The provenance of a store has all settings, also those of a method that is not used."""
    assert TilingSection.model_validate(TilingSection().model_dump()) == TilingSection()
