"""Training from a prepared store: the same windows and weights as from memory, with and without worker processes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import DataError
from ai4land_coupler.experiments.prepare import prepare
from ai4land_coupler.experiments.training import reader
from ai4land_coupler.experiments.training.data import MapPairs
from ai4land_coupler.experiments.training.reader import read_training_data
from ai4land_coupler.experiments.training.train import parse_train_config, train
from ai4land_coupler.registry.loading import load_plugins
from ai4land_unet.batches import StepWindows, read_ahead
from ai4land_unet.card import Channel
from ai4land_unet.options import TrainerOptions

YEARS = range(2015, 2018)


@pytest.fixture
def stored(twin_config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A prepared store of the small twin, and the configuration of a training from it."""
    raw = {**twin_config, "time": {"start": YEARS[0], "stop": YEARS[-1]}, "hosts": {}}
    store = tmp_path / "in.zarr"
    prepare(parse_config(raw, tmp_path, "test"), store, maps=YEARS, jobs=1)

    def part(name: str) -> dict[str, Any]:
        return {"name": "prepared", "options": {"store": str(store), "part": name}}

    return {
        "legend": "hilda-v1.0-f",
        "cover": part("maps") | {"years": list(YEARS)},
        "forcing": [part("forcing")],
        "static": [part("static")],
        "channels": [
            {"names": ["primf", "urban"], "source": "forcing", "offsets": [-1, 0], "change": True},
            {"names": ["elevation"], "source": "static", "units": "m", "scaling": "standard"},
        ],
        "validation": {"block": 0.5, "buffer": 4},
        "trainer": {
            "name": "unet",
            "options": {
                "name": "stored",
                "architecture": {"width": 4, "depth": 1},
                "optimisation": {"steps": 4, "batch": 2, "window": 32, "threads": 1, "mask_share": 0.2},
            },
        },
    }


def test_windows_of_a_store_are_those_of_memory(stored: dict[str, Any], tmp_path: Path) -> None:
    by_window, in_memory = (
        read_training_data(parse_train_config(stored | {"in_memory": memory}, tmp_path, "t"), load_plugins())
        for memory in (None, True)
    )
    assert (by_window.in_memory, in_memory.in_memory) == (False, True)
    assert by_window.channels == in_memory.channels
    assert by_window.gross_rates == in_memory.gross_rates
    elsewhere = pickle.loads(pickle.dumps(by_window))
    for number in range(3):
        windows = [data.window(number, 48, seed=3) for data in (by_window, in_memory, elsewhere)]
        for batch, target in windows[1:]:
            np.testing.assert_array_equal(target, windows[0][1])
            for name, values in windows[0][0].fields.items():
                np.testing.assert_array_equal(batch.fields[name], values, err_msg=name)


def test_weights_do_not_depend_on_memory_and_workers(stored: dict[str, Any], tmp_path: Path) -> None:
    memory, ahead = (
        train(parse_train_config(stored | {"in_memory": memory}, tmp_path, "t"), tmp_path / name, workers=2)
        for name, memory in (("memory", True), ("ahead", None))
    )
    assert memory.digest == ahead.digest
    assert memory.metrics == ahead.metrics


def test_statistics_are_kept_for_the_same_data_and_split(
    stored: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "work" / "statistics.npz"

    def read(**changes: Any) -> MapPairs:
        return read_training_data(parse_train_config(stored | changes, tmp_path, "t"), load_plugins(), kept)

    first = read()
    monkeypatch.setattr(reader, "survey", lambda *given: pytest.fail("went through the maps again"))
    again = read(trainer={"name": "markov", "options": {"name": "other"}})
    assert again.channels == first.channels
    assert again.gross_rates == first.gross_rates
    for number in range(3):
        np.testing.assert_array_equal(again.window(number, 48)[1], first.window(number, 48)[1])
    for changes in ({"validation": {"block": 0.5, "buffer": 5}}, {"channels": stored["channels"][:1]}):
        with pytest.raises(pytest.fail.Exception, match="went through the maps again"):
            read(**changes)
    kept.write_bytes(kept.read_bytes()[:-100])  # a damaged file is no reason to stop
    with pytest.raises(pytest.fail.Exception, match="went through the maps again"):
        read()


def test_error_of_a_worker_keeps_its_message(stored: dict[str, Any], tmp_path: Path) -> None:
    data = read_training_data(parse_train_config(stored, tmp_path, "t"), load_plugins())
    for file in (tmp_path / "in.zarr" / "maps" / "land_cover" / "c" / "0").rglob("*"):
        if file.is_file():
            file.unlink()
    channels = tuple(Channel.of(c, "one_hot") for c in data.channels)
    options = TrainerOptions.model_validate(stored["trainer"]["options"]).optimisation
    with pytest.raises(DataError, match=r"^a prepared store has lost a file\n  expected") as error:
        list(read_ahead(StepWindows(data, channels, options), 0, 20, workers=1))
    assert "Traceback" not in str(error.value)
