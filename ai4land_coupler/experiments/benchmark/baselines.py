"""The baselines of the benchmarks. Those that learn are trained on the land and the years that a training may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ai4land_coupler.experiments.benchmark.editions import Benchmark, Sources
from ai4land_coupler.experiments.training.train import parse_train_config, train
from ai4land_coupler.registry.loading import Plugins


@dataclass(frozen=True)
class Baseline:
    """A baseline: a predictor, with options or with a trainer of the same name.

    Parameters
    ----------
    allocation:
        Settings of the allocation that differ from the common ones.
    """

    name: str
    trained: bool = False
    allocation: dict[str, Any] = field(default_factory=dict)


BASELINES = (
    Baseline("persistence", allocation={"method": "argmax"}),
    Baseline("exact-areas"),
    Baseline("neighbourhood"),
    Baseline("markov", trained=True),
    Baseline("boosting", trained=True),
)


def installed(plugins: Plugins) -> list[Baseline]:
    """The baselines whose plugins are installed."""
    return [baseline for baseline in BASELINES if baseline.name in plugins.predictors]


def choose(
    benchmark: Benchmark,
    sources: Sources,
    plugins: Plugins,
    folder: Path,
    fold: int | None,
    note: Callable[[str], None],
) -> list[dict[str, Any]]:
    """The section ``baselines`` of an evaluation; trains those that learn.

    Parameters
    ----------
    folder:
        Where trained baselines are kept. A baseline that is there is not trained again.
    fold:
        The fold that is held out; ``None`` if the training years are other years than those that are judged.
    """
    chosen = []
    for baseline in installed(plugins):
        options: dict[str, Any] = {}
        if baseline.trained:
            bundle = folder / (baseline.name if fold is None else f"{baseline.name}-{fold}")
            if not (bundle / "card.json").is_file():
                note(f"training {baseline.name}")
                _train(benchmark, sources, baseline.name, bundle, fold)
            options = {"bundle": str(bundle)}
        chosen.append({"name": baseline.name, "options": options, "allocation": baseline.allocation})
    return chosen


def _train(benchmark: Benchmark, sources: Sources, name: str, bundle: Path, fold: int | None) -> None:
    first, last = benchmark.train
    years: Any = [first, last] if benchmark.step != "P1Y" else {"start": first, "stop": last}
    forcing = [dict(section) for section in sources.sections["forcing"]]
    fixed = [section.pop("constant_year", None) for section in forcing]
    validation: dict[str, Any] = {"fold": None}
    if fold is not None and benchmark.folds is not None:
        validation = {"block": benchmark.folds.block, "folds": benchmark.folds.folds, "fold": fold}
    raw = {
        "legend": sources.sections["legend"],
        "step": benchmark.step,
        "cover": sources.sections["cover"] | {"years": years},
        "forcing": forcing,
        "fixed_forcing_year": next((year for year in fixed if year is not None), None),
        "static": sources.sections["static"],
        "channels": sources.channels,
        "validation": validation,
        "trainer": {"name": name, "options": {"name": f"{name}, benchmark {benchmark.name}"}},
    }
    train(parse_train_config(raw, Path.cwd(), f"benchmark {benchmark.name}: {name}"), bundle)
