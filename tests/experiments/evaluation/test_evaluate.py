"""Whole evaluations of the small twin: of persistence, of the truth, and of a finished run."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ai4land_coupler import Simulation
from ai4land_coupler.api import get_legend
from ai4land_coupler.cli import cli
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.experiments.evaluation.config import parse_evaluate_config
from ai4land_coupler.experiments.evaluation.evaluate import Evaluation, evaluate
from ai4land_coupler.experiments.training.hold_out import fold_of_blocks
from ai4land_coupler.experiments.twin import TwinReport
from ai4land_coupler.files.geotiff import open_geotiff

LEGEND = "hilda-v1.0-f"
CLIMATE = {"variables": {"climate_zone": {"name": "climate_zone", "kind": "category"}}}


@pytest.fixture(scope="module")
def raw(small_twin: TwinReport) -> dict[str, Any]:
    """Persistence against the truth, with the scenario."""
    paths = {name: str(path) for name, path in small_twin.paths.items()}
    return {
        "title": "small <twin>",
        "legend": LEGEND,
        "cover": {
            "name": "hilda",
            "options": {"path": paths["maps"], "legend": LEGEND},
            "years": {"start": 2015, "stop": 2017},
        },
        "forcing": [{"name": "ssp", "options": {"states": paths["scenario"]}}],
        "predictors": [
            {"name": "replay", "label": "truth", "options": {"path": paths["maps"]}, "allocation": {"method": "argmax"}}
        ],
        "baselines": [{"name": "persistence"}],
        "weights": "cells",
        "bootstrap": {"samples": 50},
        "groups": {
            "zone": {"name": "static", "field": "climate_zone", "options": CLIMATE | {"path": paths["climate"]}}
        },
        "rollout": {"years": 2},
    }


def run(raw: dict[str, Any], **changes: Any) -> Evaluation:
    return evaluate(parse_evaluate_config(json.loads(json.dumps(raw | changes)), Path.cwd(), "evaluation.yaml"))


@pytest.fixture(scope="module")
def evaluation(raw: dict[str, Any]) -> Evaluation:
    return run(raw)


def maps(raw: dict[str, Any], year: int) -> np.ndarray:
    path = Path(raw["cover"]["options"]["path"].replace("{year}", str(year)))
    with open_geotiff(path, path) as source:
        return get_legend(LEGEND).to_view(source.read(1))


def value(evaluation: Evaluation, label: str, key: str) -> float:
    return float(evaluation.result["one_step"][label][key]["value"])


def test_truth_is_perfect_and_persistence_finds_nothing(evaluation: Evaluation) -> None:
    assert value(evaluation, "truth", "argmax.merit") == 1
    assert value(evaluation, "truth", "argmax.mean_iou") == 1
    assert value(evaluation, "truth", "argmax.edge") == pytest.approx(1)
    assert value(evaluation, "truth", "merit") == pytest.approx(1, abs=1e-3)
    assert value(evaluation, "truth", "average_precision") == pytest.approx(1)
    assert value(evaluation, "truth", "brier") == pytest.approx(0, abs=1e-9)
    # at the observed amount of each forcing cell an odd cell, and cycles of three classes, stay as they are
    assert value(evaluation, "truth", "amount.merit") > 0.9
    assert value(evaluation, "truth", "argmax.coarse") == 0
    # persistence does not know where, but a run follows the areas of the scenario
    assert value(evaluation, "persistence", "scenario.coarse") < value(evaluation, "persistence", "argmax.coarse") / 2
    assert value(evaluation, "persistence", "argmax.merit") == 0
    assert value(evaluation, "persistence", "argmax.skill") == 0
    entry = evaluation.result["one_step"]["truth"]["argmax.merit"]
    assert (entry["low"], entry["high"]) == (1, 1)
    assert entry["baseline"] == "persistence"
    assert entry["difference"] == {"value": 1, "low": 1, "high": 1}


def test_share_of_change_is_that_of_the_maps(evaluation: Evaluation, raw: dict[str, Any]) -> None:
    three = [maps(raw, year) for year in (2015, 2016, 2017)]
    land = three[0] != -1
    changed = sum(np.count_nonzero((a != b) & land) for a, b in pairwise(three))
    assert evaluation.result["weight"] == 2 * land.sum()
    assert evaluation.result["change"] == pytest.approx(changed / (2 * land.sum()), rel=1e-5)
    assert value(evaluation, "persistence", "brier") == pytest.approx(evaluation.result["change"], rel=1e-3)


def test_groups_add_up_to_all_land(evaluation: Evaluation, raw: dict[str, Any]) -> None:
    groups = evaluation.result["groups"]
    assert groups
    assert all(name.startswith("zone: ") for name in groups)
    assert all(values["truth"]["argmax.merit"]["value"] in (1, None) for values in groups.values())


def test_free_runs_are_compared_by_lead(evaluation: Evaluation, raw: dict[str, Any]) -> None:
    leads = evaluation.result["leads"]
    assert list(leads) == ["1", "2"]
    assert leads["2"]["truth"]["map.merit"]["value"] == 1
    assert leads["2"]["persistence"]["map.merit"]["value"] < 0.5
    first, last = maps(raw, 2015), maps(raw, 2017)
    expected = np.mean((first != last)[first != -1])
    assert leads["2"]["truth"]["map.change"]["value"] == pytest.approx(expected, rel=1e-5)
    flips = evaluation.result["rollout"]["truth"]
    assert flips["flip"]["value"] == flips["flip_observed"]["value"]


def test_only_the_held_out_land_is_judged(raw: dict[str, Any], small_twin: TwinReport, tmp_path: Path) -> None:
    result = run(raw, held_out={"block": 0.5, "folds": 5, "fold": 2}, groups={}, rollout=None).result
    grid = small_twin.options.land_grid
    split = fold_of_blocks(grid, 0.5, 5, 2)
    fold = split.held_out(grid.box)
    assert result["weight"] == 2 * np.count_nonzero(fold & (maps(raw, 2015) != -1))
    assert result["one_step"]["truth"]["argmax.merit"]["value"] == 1
    split.write(tmp_path / "split.nc")  # as a training writes it
    held_out = {"method": "file", "file": str(tmp_path / "split.nc")}
    again = run(raw, held_out=held_out, groups={}, rollout=None).result
    assert again["one_step"] == result["one_step"]


def test_backward_in_time(raw: dict[str, Any]) -> None:
    choice = raw["predictors"][0] | {"options": raw["predictors"][0]["options"] | {"direction": "backward"}}
    result = run(raw, predictors=[choice], groups={}, forcing=[]).result
    assert result["direction"] == "backward"
    assert result["pairs"] == [[2016, 2015], [2017, 2016]]
    assert result["one_step"]["truth"]["argmax.merit"]["value"] == 1
    assert result["leads"]["2"]["truth"]["map.merit"]["value"] == 1


def test_a_finished_run_is_judged(raw: dict[str, Any], tmp_path: Path) -> None:
    config = parse_evaluate_config(json.loads(json.dumps(raw)), tmp_path, "evaluation.yaml")
    run_of = config.run_of(config.predictors[0], 2015, 2017, output={"store": "run.zarr"})
    options = dict(run_of.predictors[0].options) | {"legend": LEGEND}
    content = run_of.model_dump(mode="json") | {"predictors": [{"name": "replay", "options": options}]}
    Simulation(parse_config(content, tmp_path, "run.yaml")).run()
    found = evaluate(
        parse_evaluate_config(
            raw | {"predictors": [], "rollout": None, "groups": {}, "stores": {"my run": "run.zarr"}},
            tmp_path,
            "e.yaml",
        )
    )
    last = found.result["leads"]["2"]
    assert last["my run"]["map.merit"]["value"] == 1
    assert last["my run"]["map.merit"]["baseline"] == "persistence"


def test_results_and_page_are_written(raw: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "evaluation.yaml"
    file.write_text(json.dumps(raw))
    answer = CliRunner().invoke(cli, ["evaluate", str(file), "-o", str(tmp_path / "out")], catch_exceptions=False)
    assert answer.exit_code == 0
    assert "overall accuracy" in answer.output
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["one_step"]["truth"]["argmax.merit"]["value"] == 1
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "small &lt;twin&gt;" in page
    assert "<twin>" not in page
    assert page.count("<img") == 2
    assert "<script" not in page
    assert "style=" not in page  # the policy of the page allows no style but its own


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": {"block": 40.0, "folds": 50, "fold": 7}}, "no land is judged"),
        ({"cover": {"years": [2015, 2017]}}, "no two observed maps lie one step apart"),
        ({"predictors": [{"name": "persistence"}]}, "give each a `label`"),
        ({"predictors": [{"name": "phenology"}]}, "makes no maps"),
        ({"stores": {"mine": "nowhere.zarr"}}, "nowhere.zarr"),
        ({"rollout": {"years": 2, "starts": [1999]}}, "starts in a year without an observed map"),
        ({"groups": {"zone": {"name": "static", "field": "country"}}}, "no such field"),
    ],
)
def test_faulty_evaluations_are_refused(raw: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    merged = {
        key: raw[key] | part if isinstance(part, dict) and key == "cover" else part for key, part in changes.items()
    }
    if "groups" in merged:
        merged["groups"]["zone"]["options"] = raw["groups"]["zone"]["options"]
    with pytest.raises(Ai4LandError, match=message):
        run(raw, **merged)
