"""Runs a benchmark for a predictor and writes an entry of the leaderboard."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ai4land_coupler.errors import DataError, RunError
from ai4land_coupler.experiments.benchmark.baselines import choose
from ai4land_coupler.experiments.benchmark.editions import Benchmark, open_sources
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig, parse_evaluate_config
from ai4land_coupler.experiments.evaluation.evaluate import Evaluation, evaluate_folds
from ai4land_coupler.files.durable import write_durably
from ai4land_coupler.registry.loading import load_plugins
from ai4land_coupler.store.provenance import revision, software

FORMAT = "ai4land-benchmark/1"
#: In the options of a predictor, this is replaced by the number of the fold.
FOLD = "{fold}"

Progress = Callable[[float, str], None]


def run_benchmark(
    benchmark: Benchmark,
    predictor: Mapping[str, Any] | None,
    data: Path,
    work: Path,
    base: Path,
    progress: Progress,
) -> tuple[dict[str, Any], Evaluation]:
    """Judge a predictor and all baselines on a benchmark.

    Parameters
    ----------
    predictor:
        ``name``, ``options`` and ``label``. ``{fold}`` in texts of the options becomes the number of the fold.
        ``None``: judge the baselines alone.
    data, work:
        Folder of the data (see :func:`open_sources`), and folder for trained baselines.
    base:
        Folder from which relative paths of the options start.

    Returns
    -------
    The entry as plain JSON, and the evaluation.
    """
    began = time.monotonic()
    plugins = load_plugins()
    sources = open_sources(benchmark, data, lambda done, total: progress(0.0, "making the twin"))
    folds: list[int | None] = [None] if benchmark.folds is None else list(range(benchmark.folds.folds))
    configs = []
    for fold in folds:
        baselines = choose(benchmark, sources, plugins, work, fold, lambda note: progress(0.0, note))
        configs.append(_config(benchmark, sources.sections, predictor, baselines, fold, base))
    evaluation = evaluate_folds(configs, progress)
    result = dict(evaluation.result)
    config = result.pop("config")
    entry = {
        "format": FORMAT,
        "benchmark": benchmark.name,
        "hashes": sources.hashes,
        "oracle": sources.oracle,
        "label": None if predictor is None else predictor["label"],
        "predictor": None if predictor is None else {key: predictor[key] for key in ("name", "options")},
        "cards": [] if predictor is None else read_cards(predictor["options"], base),
        "versions": software() | {"python": platform.python_version(), "revision": revision()},
        "platform": f"{platform.system()} {platform.machine()}",
        "seeds": {"run": 0, "bootstrap": config["bootstrap"]["seed"]},
        "seconds": round(time.monotonic() - began, 1),
        "config": config,
        "result": result,
    }
    return entry, evaluation


def _config(
    benchmark: Benchmark,
    sections: Mapping[str, Any],
    predictor: Mapping[str, Any] | None,
    baselines: list[dict[str, Any]],
    fold: int | None,
    base: Path,
) -> EvaluateConfig:
    first, last = benchmark.judge
    raw: dict[str, Any] = dict(sections) | {
        "title": f"benchmark {benchmark.name}" + ("" if predictor is None else f": {predictor['label']}"),
        "step": benchmark.step,
        "cover": sections["cover"]
        | {"years": sorted({first, last}) if fold is not None else list(range(first, last + 1))},
        "predictors": [] if predictor is None else [_of_fold(predictor, fold)],
        "baselines": baselines,
        "block": benchmark.block,
    }
    if benchmark.rollout is not None:
        raw["rollout"] = benchmark.rollout.model_dump()
    if fold is not None and benchmark.folds is not None:
        raw["held_out"] = {"block": benchmark.folds.block, "folds": benchmark.folds.folds, "fold": fold}
    return parse_evaluate_config(raw, base, f"benchmark {benchmark.name}")


def _of_fold(predictor: Mapping[str, Any], fold: int | None) -> Any:
    return dict(predictor) if fold is None else replace_in_texts(dict(predictor), FOLD, str(fold))


def replace_in_texts(value: Any, old: str, new: str) -> Any:
    """Replace a part of all texts in dictionaries and lists."""
    if isinstance(value, dict):
        return {key: replace_in_texts(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_in_texts(item, old, new) for item in value]
    return value.replace(old, new) if isinstance(value, str) else value


def read_cards(options: Mapping[str, Any], base: Path) -> list[Any]:
    """The cards of the bundles that the options of a predictor or of its members name; of several folds the first."""
    cards = []
    bundle = options.get("bundle")
    path = base / str(bundle).replace(FOLD, "0") / "card.json"
    if bundle is not None and path.is_file():
        try:
            cards.append(json.loads(path.read_text()))
        except (OSError, ValueError) as error:
            raise DataError("the card of a bundle cannot be read", found=error, where=path) from None
    for member in options.get("members", ()):
        cards += read_cards(member.get("options", {}), base)
    return cards


def write_entry(entry: Mapping[str, Any], folder: Path) -> Path:
    """Write an entry to a folder. The name of its file comes from the benchmark and the label.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    label = entry["label"] or "baselines"
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in label)
    path = folder / f"{entry['benchmark']}-{safe}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(path, (json.dumps(entry, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise RunError(
            "an entry could not be written", found=error, where=path, remedy="choose another folder with -o"
        ) from error
    return path


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """The entries of a folder; other files are left out.

    Raises
    ------
    DataError
        There is no entry, or a file cannot be read.
    """
    entries = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DataError("an entry cannot be read", found=error, where=path) from None
        if isinstance(content, dict) and content.get("format") == FORMAT:
            entries.append(content)
    if not entries:
        raise DataError(
            "there is no entry of a benchmark",
            expected=f"files with the format {FORMAT}",
            where=folder,
            remedy="run `ai4land benchmark` with -o and this folder",
        )
    return entries
