"""Benchmarks: hashes of the data, entries, folds, and the leaderboard."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ai4land_coupler.cli.benchmark import parse_option
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.experiments.benchmark import baselines, editions
from ai4land_coupler.experiments.benchmark.editions import Benchmark, benchmark_list, find_benchmark, open_sources
from ai4land_coupler.experiments.benchmark.entry import FORMAT, read_cards, read_entries, run_benchmark, write_entry
from ai4land_coupler.experiments.benchmark.leaderboard import boards
from ai4land_coupler.experiments.twin import BenchmarkEdition, TwinReport, benchmark_names
from ai4land_coupler.report.leaderboard_page import write_leaderboard


def silent(done: float, note: str) -> None:
    assert 0 <= done <= 1


@pytest.fixture
def tiny(small_twin: TwinReport, monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """A benchmark on the small twin of the tests, with persistence as its only baseline."""
    edition = BenchmarkEdition(
        edition="of-the-tests",
        name="tiny",
        options=small_twin.options,
        maps_sha256=small_twin.maps_sha256,
        states_sha256=small_twin.states_sha256,
        skill={s.lead: (s.oracle, s.oracle_net) for s in small_twin.skill},
    )
    monkeypatch.setattr(editions, "benchmark_edition", lambda name: edition)
    monkeypatch.setattr(baselines, "BASELINES", baselines.BASELINES[:1])
    years = {"train": (2010, 2015), "judge": (2015, 2017)}
    return Benchmark(
        name="tiny", twin=small_twin.folder.name, block=0.75, rollout={"starts": [2015], "years": 2}, **years
    )


def test_benchmarks_are_complete() -> None:
    assert {"small", "standard", "uk"} <= set(benchmark_list())
    for name in benchmark_list():
        benchmark = find_benchmark(name)
        assert (benchmark.twin in benchmark_names()) != bool(benchmark.files)
    with pytest.raises(ConfigError, match="unknown benchmark"):
        find_benchmark("smal")


def test_a_predictor_gets_an_entry(tiny: Benchmark, small_twin: TwinReport, tmp_path: Path) -> None:
    truth = {"name": "replay", "label": "the truth", "options": {"path": str(small_twin.paths["maps"])}}
    entry, evaluation = run_benchmark(tiny, truth, small_twin.folder.parent, tmp_path, tmp_path, silent)
    assert entry["format"] == FORMAT
    assert entry["hashes"]["maps"] == small_twin.maps_sha256
    assert entry["predictor"] == {"name": "replay", "options": truth["options"]}
    assert entry["versions"]["numpy"]
    assert entry["seeds"] == {"run": 0, "bootstrap": 0}
    merit = entry["result"]["one_step"]["the truth"]["argmax.merit"]
    assert (merit["value"], merit["baseline"]) == (1, "persistence")
    assert set(evaluation.pictures) == {"the truth", "persistence"}
    path = write_entry(entry, tmp_path / "board")
    assert path.name == "tiny-the-truth.json"
    (board,) = boards(read_entries(tmp_path / "board"))
    assert [row["label"] for row in board["rows"]] == ["the truth", "persistence"]
    page = write_leaderboard([board], tmp_path / "board" / "leaderboard.html").read_text()
    assert page.index("the truth") < page.index("persistence")
    assert small_twin.maps_sha256[:16] in page


def test_changed_maps_of_a_twin_are_refused(tiny: Benchmark, small_twin: TwinReport, tmp_path: Path) -> None:
    folder = tmp_path / small_twin.folder.name
    shutil.copytree(small_twin.folder, folder)
    pattern = str(small_twin.paths["maps"].relative_to(small_twin.folder))
    shutil.copy(folder / pattern.replace("{year}", "2011"), folder / pattern.replace("{year}", "2012"))
    with pytest.raises(DataError, match="the maps of a twin differ"):
        open_sources(tiny, tmp_path)


def test_changed_and_missing_files_are_refused(tmp_path: Path) -> None:
    files = {"hilda_plus/map_2009.tif": b"a", "luh2/states.nc": b"b", "static/height.nc": b"c"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    real = Benchmark(name="real", files=hashes, train=(2009, 2012), judge=(2009, 2012), step="P3Y", block=0.5)
    sources = open_sources(real, tmp_path)
    assert sources.sections["cover"]["options"]["path"] == str(tmp_path / "hilda_plus" / "map_{year}.tif")
    (tmp_path / "luh2" / "states.nc").write_bytes(b"x")
    with pytest.raises(DataError, match="differs from that of the benchmark"):
        open_sources(real, tmp_path)
    (tmp_path / "luh2" / "states.nc").unlink()
    with pytest.raises(DataError, match="is missing"):
        open_sources(real, tmp_path)


def test_folds_are_put_together(tiny: Benchmark, small_twin: TwinReport, tmp_path: Path) -> None:
    pattern = str(small_twin.paths["maps"])
    for fold in range(2):
        (tmp_path / f"maps-{fold}").mkdir()
        for year in (2015, 2016, 2017):
            name = Path(pattern.replace("{year}", str(year)))
            shutil.copy(name, tmp_path / f"maps-{fold}" / name.name)
    truth = {
        "name": "replay",
        "label": "truth",
        "options": {"path": str(tmp_path / "maps-{fold}" / Path(pattern).name)},
    }
    folded = tiny.model_copy(
        update={"judge": (2015, 2016), "rollout": None, "folds": editions.Folds(block=0.5, folds=2)}
    )
    whole = tiny.model_copy(update={"judge": (2015, 2016), "rollout": None})
    data = small_twin.folder.parent
    parts = run_benchmark(folded, truth, data, tmp_path, tmp_path, silent)[0]["result"]
    plain = truth | {"options": {"path": pattern}}
    at_once = run_benchmark(whole, plain, data, tmp_path, tmp_path, silent)[0]["result"]
    assert len(parts["folds"]) == 2
    assert parts["weight"] == pytest.approx(at_once["weight"], rel=1e-5)
    assert parts["change"] == pytest.approx(at_once["change"], rel=1e-5)
    assert parts["one_step"]["truth"]["argmax.merit"]["value"] == 1


def entry(benchmark: str, label: str, merit: float | None, **judged: float) -> dict[str, Any]:
    values = {name: {"amount.merit": {"value": value, "low": None, "high": None}} for name, value in judged.items()}
    values[label] = {"amount.merit": {"value": merit, "low": None, "high": None}}
    kinds = dict.fromkeys(judged, "baseline") | {label: "predictor"}
    return {
        "format": FORMAT,
        "benchmark": benchmark,
        "hashes": {"maps": "abc"},
        "oracle": {"20": 0.391},
        "label": label,
        "predictor": {"name": label, "options": {}},
        "cards": [{"name": label, "weights_sha256": "0123"}],
        "versions": {},
        "seeds": {"run": 0},
        "seconds": 1.0,
        "result": {"judged": kinds, "one_step": values, "level": 0.9},
    }


def test_leaderboards_are_sorted_and_show_baselines_once(tmp_path: Path) -> None:
    for item in (
        entry("small", "mine", 0.2, persistence=0.1),
        entry("small", "<yours>", 0.3, persistence=0.1),
        entry("small", "broken", None, persistence=0.1),
        entry("uk", "mine", 0.1),
    ):
        write_entry(item, tmp_path)
    (tmp_path / "other.json").write_text(json.dumps({"format": "something else"}))
    first, second = boards(read_entries(tmp_path))
    assert [row["label"] for row in first["rows"]] == ["<yours>", "mine", "persistence", "broken"]
    assert (second["title"], len(second["rows"])) == ("uk", 1)
    page = write_leaderboard([first, second], tmp_path / "page.html").read_text()
    assert "&lt;yours&gt;" in page
    assert "0.391 after 20 years" in page
    assert "<yours>" not in page


def test_a_folder_without_entries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no entry of a benchmark"):
        read_entries(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_entries(tmp_path)


def test_an_option_of_the_command_line_is_yaml_in_which_the_fold_stays_a_text(tmp_path: Path) -> None:
    key, value = parse_option("members=[{name: unet, options: {bundle: 'b/u-{fold}'}, weight: 2}, {name: persistence}]")
    assert key == "members"
    assert value == [{"name": "unet", "options": {"bundle": "b/u-{fold}"}, "weight": 2}, {"name": "persistence"}]
    assert parse_option("bundle=b/u-{fold}") == ("bundle", "b/u-{fold}")
    assert parse_option("radii=[1, 2]") == ("radii", [1, 2])
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_option("bundle")


def test_an_entry_has_the_cards_of_all_members(tmp_path: Path) -> None:
    replay = {"name": "replay", "options": {"path": "maps"}}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(json.dumps({"name": name}))
    assert read_cards({"bundle": "a"}, tmp_path) == [{"name": "a"}]
    assert read_cards({"path": "a"}, tmp_path) == []
    members = [{"name": "unet", "options": {"bundle": "a"}}, replay, {"name": "unet", "options": {"bundle": "b"}}]
    assert [card["name"] for card in read_cards({"members": members}, tmp_path)] == ["a", "b"]
