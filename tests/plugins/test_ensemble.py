"""The mean of several predictors: by hand, on tiles, and what does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai4land_coupler.api import (
    LOGITS,
    Batch,
    Box,
    ConfigError,
    FieldSpec,
    KeyedRng,
    LatLonGrid,
    PluginError,
    Predictor,
    PredictorSpec,
    Tile,
)
from ai4land_coupler.registry.loading import load_plugins
from ai4land_ensemble.predictor import Ensemble

LEGEND = "hilda-v1.0-f"
RNG = KeyedRng(0)
COVER = FieldSpec("land_cover", "1", source="cover", offsets=(-1,))
#: Predicts the four cells in the middle of a window of 4 x 4 cells.
TILE = Tile(0, Box(1, 3, 1, 3), Box(0, 4, 0, 4))


class Reader(Predictor):
    """Logits of class k are k times the sum of the values that it gets, first offset counted twice."""

    def __init__(self, inputs: tuple[FieldSpec, ...], *, core: bool = False, **spec: Any) -> None:
        outputs = (FieldSpec(LOGITS, "1", source="output"),)
        self.spec = PredictorSpec((COVER, *inputs), outputs, **{"legend": LEGEND, **spec})
        self._names, self._core = [field.name for field in inputs], core
        self.advice: tuple[str, ...] = ()

    def load(self) -> None:
        self.advice = ("slow",)

    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        total = np.zeros(batch.fields["land_cover"].shape[-2:], np.float32)
        for name in self._names:
            total += batch.fields[name][0].sum(axis=0) + batch.fields[name][0, 0]
        logits = np.arange(7, dtype=np.float32)[:, None, None] * total
        return {LOGITS: logits[None, :, 1:3, 1:3] if self._core else logits[None]}


def crop(*offsets: int, **changes: Any) -> FieldSpec:
    return FieldSpec("crop", **{"units": "1", "source": "forcing", "offsets": offsets, **changes})


def test_the_weighted_mean_by_hand_with_different_offsets_and_cores() -> None:
    ensemble = Ensemble([Reader((crop(-1, 0),)), Reader((crop(0),), core=True)], [3.0, 1.0])
    assert [(f.name, f.offsets) for f in ensemble.spec.inputs] == [("land_cover", (-1,)), ("crop", (-1, 0))]
    values = np.zeros((1, 2, 4, 4), np.float32)
    values[0, 0, 1, 2], values[0, 1, 1, 2] = 5.0, 7.0  # the step before, and this step
    batch = Batch((TILE,), (2000, 0), {"land_cover": np.zeros((1, 1, 4, 4), np.int8), "crop": values})
    logits = ensemble.predict(batch, RNG)[LOGITS]
    assert logits.shape == (1, 7, 2, 2)
    # the first member: 5 + 7 + 5 = 17; the second one: 7 + 7 = 14
    np.testing.assert_allclose(logits[0, :, 0, 1], np.arange(7) * (0.75 * 17 + 0.25 * 14), rtol=1e-6)
    assert not logits[0, :, 1].any()


def test_offsets_in_another_order_reach_each_member_as_it_asks() -> None:
    ensemble = Ensemble([Reader((crop(-1, 0),)), Reader((crop(0, -1),))], [1.0, 1.0])
    values = np.stack([np.full((4, 4), 5.0), np.full((4, 4), 7.0)])[None].astype(np.float32)
    batch = Batch((TILE,), (2000, 0), {"land_cover": np.zeros((1, 1, 4, 4), np.int8), "crop": values})
    np.testing.assert_allclose(ensemble.predict(batch, RNG)[LOGITS][0, 1], (17 + 19) / 2)


def test_windows_suit_all_members() -> None:
    spec = Ensemble([Reader((), align=4, halo=10), Reader((), align=6, halo=3)], [1.0, 1.0]).spec
    assert (spec.align, spec.halo) == (12, 10)


def test_members_are_named_as_in_a_run_and_have_relative_paths(tmp_path: Path) -> None:
    members = [
        {"name": "persistence", "options": {"legend": LEGEND}, "weight": 2},
        {"name": "neighbourhood", "options": {"legend": LEGEND, "radii": [2]}},
    ]
    ensemble = load_plugins().create("predictor", "ensemble", {"members": members}, "run.yaml: predictors[0]", tmp_path)
    assert ensemble.spec.halo == 2
    missing = {"members": [{"name": "boosting", "options": {"bundle": "trees"}}]}
    with pytest.raises(Exception, match=str(tmp_path / "trees")):
        load_plugins().create("predictor", "ensemble", missing, "run.yaml", tmp_path)
    with pytest.raises(PluginError, match="no plugin offers the predictor 'unett'"):
        load_plugins().create("predictor", "ensemble", {"members": [{"name": "unett"}]}, "run.yaml")


def test_a_mean_of_one_is_that_one() -> None:
    plugins, grid = load_plugins(), LatLonGrid(0.0, 1.0, 6, 6.0, -1.0, 6)
    cover = np.random.default_rng(0).integers(-1, 7, (1, 1, 6, 6)).astype(np.int8)
    batch = Batch((Tile(0, Box(0, 6, 0, 6), Box(0, 6, 0, 6)),), (2000, 0), {"land_cover": cover}, grid)
    options = {"legend": LEGEND, "radii": [1, 2]}
    single = plugins.create("predictor", "neighbourhood", options, "run.yaml")
    pair = [{"name": "neighbourhood", "options": options, "weight": 0.5}] * 2
    ensemble = plugins.create("predictor", "ensemble", {"members": pair}, "run.yaml")
    expected = single.predict(batch, RNG)[LOGITS]
    np.testing.assert_array_equal(ensemble.predict(batch, RNG)[LOGITS], expected)
    assert expected.any()


def test_advice_of_the_members_is_said_once() -> None:
    ensemble = Ensemble([Reader(()), Reader(())], [1.0, 1.0])
    ensemble.load()
    assert ensemble.advice == ("slow",)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (Reader((), step="P5Y"), "do not fit together"),
        (Reader((), direction=-1), "do not fit together"),
        (Reader((), memory={"age": 0.0}), "predicts more than land cover"),
        (Reader((crop(0, fill=2.0),)), "want the field 'crop' in different ways"),
        (Reader((crop(0, grid="coarse"),)), "want the field 'crop' in different ways"),
    ],
)
def test_members_that_do_not_fit_are_refused(second: Predictor, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Ensemble([Reader((crop(-1),)), second], [1.0, 1.0])


def test_another_weight_is_another_identity() -> None:
    members = [Reader(()), Reader(())]
    assert Ensemble(members, [1.0, 1.0]).identity == Ensemble(members, [2.0, 2.0]).identity
    assert Ensemble(members, [1.0, 1.0]).identity != Ensemble(members, [1.0, 2.0]).identity
