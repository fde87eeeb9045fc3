"""The baselines in `ai4land train` and `ai4land run`: ranks and restarts on a twin, and real maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from ranks import mpirun
from stopped_runs import run_until

from ai4land_coupler import Simulation, load_config
from ai4land_coupler.experiments.training.train import load_train_config, parse_train_config, train
from ai4land_coupler.store.output import open_store

if TYPE_CHECKING:
    from ai4land_coupler.experiments.twin import TwinReport

PROGRAM = Path(__file__).with_name("baselines_program.py")
EXAMPLE = Path(__file__).parents[2] / "examples" / "british-isles-train.yaml"
TREES = {
    "radii": [1, 3],
    "distance": 5,
    "change": {"rounds": 8, "leaves": 8},
    "target": {"rounds": 3, "leaves": 4},
    "cells": 4000,
}


@pytest.fixture(scope="module")
def bundles(small_twin: TwinReport, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The four baselines as a run names them; those that need it are trained on the twin of 2012 to 2015."""
    pytest.importorskip("sklearn", reason="needs scikit-learn (the extra `baselines`)")
    folder = tmp_path_factory.mktemp("bundles")
    paths = {name: str(path) for name, path in small_twin.paths.items()}
    trainers: dict[str, dict[str, Any]] = {"markov": {"region": 1.0}, "boosting": TREES}
    for name, options in trainers.items():
        raw = {
            "legend": "hilda-v1.0-f",
            "cover": {
                "name": "hilda",
                "options": {"path": paths["maps"], "legend": "hilda-v1.0-f"},
                "years": {"start": 2012, "stop": 2015},
            },
            "forcing": [{"name": "luh2", "options": {"states": paths["states"]}}],
            "static": [{"name": "static", "options": {"path": paths["elevation"]}}],
            "channels": [
                {"names": ["urban", "pastr"], "source": "forcing", "offsets": [-1, 0], "change": True},
                {"names": ["elevation"], "source": "static", "units": "m", "scaling": "standard"},
            ],
            "trainer": {"name": name, "options": {"name": "twin", **options}},
        }
        result = train(parse_train_config(raw, folder, "train.yaml"), folder / name)
        assert result.metrics["cells"] > 100
    return {
        "exact-areas": {"legend": "hilda-v1.0-f"},
        "neighbourhood": {"legend": "hilda-v1.0-f", "radii": [1, 3]},
        **{name: {"bundle": str(folder / name), "legend": "hilda-v1.0-f"} for name in trainers},
    }


def write(raw: dict[str, Any], store: Path, name: str, options: dict[str, Any]) -> Path:
    content = {
        **raw,
        "predictors": [{"name": name, "options": options}],
        "hosts": {},
        "time": {"start": 2015, "stop": 2018},
        "output": {"store": str(store), "shard": 64},
    }
    path = store.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(content))
    return path


def cover(store: Path) -> np.ndarray:
    values: np.ndarray = open_store(store)["land_cover"].values
    return values


@pytest.mark.mpi
def test_maps_do_not_depend_on_ranks_and_restarts(
    bundles: dict[str, dict[str, Any]], twin_config: dict[str, Any], tmp_path: Path
) -> None:
    shared = [write(twin_config, tmp_path / f"{name}-3.zarr", name, options) for name, options in bundles.items()]
    done = mpirun(3, PROGRAM, *shared)
    assert done.returncode == 0, done.stdout + done.stderr
    maps = {}
    for name, options in bundles.items():
        config = load_config(write(twin_config, tmp_path / f"{name}.zarr", name, options))
        run_until(config, 2016)
        Simulation(config).run(restart=True)
        maps[name] = cover(tmp_path / f"{name}.zarr")
        np.testing.assert_array_equal(cover(tmp_path / f"{name}-3.zarr"), maps[name], err_msg=name)
        assert (maps[name][0] != maps[name][-1]).any()
    found = list(maps.values())
    assert all((found[i] != found[j]).any() for i in range(4) for j in range(i))


@pytest.mark.real_data
def test_baselines_of_the_united_kingdom(sample_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees that are few and see few cells are better than a matrix, which does not know the places."""
    pytest.importorskip("sklearn", reason="needs scikit-learn (the extra `baselines`)")
    monkeypatch.setenv("AI4LAND_SAMPLE_DATA", str(sample_data))
    change, target = {"rounds": 20, "leaves": 15}, {"rounds": 5, "leaves": 8}
    few = {"cells": 30_000, "radii": [1, 4, 16], "distance": 0, "change": change, "target": target}
    scores = {}
    for name, options in (("markov", {}), ("boosting", few)):
        chosen = json.dumps({"name": name, "options": {"name": "uk", **options}})
        result = train(load_train_config(EXAMPLE, [f"trainer={chosen}"]), tmp_path / name)
        scores[name] = result.metrics
        assert result.metrics["overall_accuracy_persistence"] == pytest.approx(0.905, abs=0.02)
        assert result.metrics["changed_share_expected"] == pytest.approx(0.095, abs=0.02)
    assert scores["markov"]["figure_of_merit_right_amount"] < 0.1
    assert scores["boosting"]["figure_of_merit_right_amount"] > 0.18
