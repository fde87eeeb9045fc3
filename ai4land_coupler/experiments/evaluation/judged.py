"""What is judged: predictors with the parts of a run, for one step or for a free run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ai4land_coupler.api import LOGITS, Predictor
from ai4land_coupler.core.clock import Step
from ai4land_coupler.errors import ConfigError, PluginError
from ai4land_coupler.experiments.evaluation.config import EvaluateConfig, JudgedSection
from ai4land_coupler.experiments.evaluation.sums import Sums, add
from ai4land_coupler.registry.loading import Plugins

Kind = Literal["predictor", "baseline", "store"]
#: Sources of inputs that a single step from an observed map has.
_SOURCES = ("cover", "forcing", "static", "memory")


@dataclass
class Judged:
    """The sums of one predictor or store.

    Parameters
    ----------
    label, kind:
        Its name in the results, and what it is.
    parts:
        Sums by part of the evaluation (``step``, ``lead 5``) and group of land (empty for all land), then by block.
    """

    label: str
    kind: Kind
    parts: dict[tuple[str, str], dict[int, Sums]] = field(default_factory=dict)

    def add(self, part: str, group: str, block: int, sums: Sums) -> None:
        """Add sums of a block."""
        add(self.parts.setdefault((part, group), {}).setdefault(block, {}), sums)


@dataclass(frozen=True)
class Timing:
    """The step that all predictors of an evaluation share.

    Parameters
    ----------
    step:
        Its length, such as ``P1Y``.
    direction:
        +1 forward in time, -1 backward.
    """

    step: str
    direction: Literal[1, -1]

    @property
    def years(self) -> int:
        """Years from one map to the next; negative if backward."""
        return self.direction * Step.parse(self.step).years

    def pairs(self, years: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """(year of the map before, year of the predicted map), for maps that are one step apart."""
        return tuple((year, year + self.years) for year in years if year + self.years in years)


def with_defaults(choice: JudgedSection, plugins: Plugins, config: EvaluateConfig, timing: Timing) -> JudgedSection:
    """The choice, with the legend, step and direction of the evaluation where its options have these and lack them."""
    known = plugins.find("predictor", choice.name, config.where).options.model_fields
    direction = "forward" if timing.direction == 1 else "backward"
    defaults = {"legend": config.legend, "step": timing.step, "direction": direction}
    options: dict[str, Any] = {k: v for k, v in defaults.items() if k in known} | choice.options
    return choice.model_copy(update={"options": options})


def find_timing(config: EvaluateConfig, plugins: Plugins) -> Timing:
    """The step and the direction of the predictors; those of the evaluation if there is none.

    Raises
    ------
    ConfigError
        Two predictors differ, or no two maps are one step apart.
    """
    timing = Timing(config.step, 1 if config.direction == "forward" else -1)
    found: dict[str, Timing] = {}
    for choice in config.predictors:
        choice = with_defaults(choice, plugins, config, timing)
        spec = make_predictor(choice, plugins, config).spec
        found[choice.title] = Timing(spec.step, spec.direction)
    if len(set(found.values())) > 1:
        steps = {label: f"{t.step}, {'forward' if t.direction == 1 else 'backward'}" for label, t in found.items()}
        raise ConfigError(
            "predictors of one evaluation have different steps",
            expected="one step and one direction",
            found=steps,
            where=config.where,
            remedy="evaluate each in an evaluation of its own",
        )
    timing = next(iter(found.values()), timing)
    years = config.cover.all_years()
    if not timing.pairs(years) and not config.stores:
        raise ConfigError(
            "no two observed maps lie one step apart",
            expected=f"years that are {timing.step} apart",
            found=years,
            where=f"{config.where}: cover.years",
        )
    return timing


def make_predictor(choice: JudgedSection, plugins: Plugins, config: EvaluateConfig) -> Predictor:
    """The predictor, not yet loaded.

    Raises
    ------
    PluginError
        It makes no maps, or needs inputs that a single step from an observed map does not have.
    """
    where = f"{config.where}: {choice.title}"
    predictor: Predictor = plugins.create("predictor", choice.name, choice.options, where, base=config.base)
    if all(output.name != LOGITS for output in predictor.spec.outputs):
        raise PluginError("a predictor makes no maps of land cover", expected=LOGITS, where=where)
    other = [
        f"{item.name} ({item.source})"
        for item in predictor.spec.inputs
        if item.source not in _SOURCES or (item.source == "cover" and item.offsets != (-1,))
    ]
    if other:
        raise PluginError(
            "a predictor needs inputs that a single step from an observed map does not have",
            expected="forcing, static fields and the map before",
            found=", ".join(other),
            where=where,
            remedy="run it with `ai4land run`, and give the store to the evaluation (`stores`)",
        )
    return predictor


def of_part(judged: Sequence[Judged], part: str, group: str = "") -> Mapping[str, dict[int, Sums]]:
    """The sums by block of all that have a part of the evaluation, by label."""
    return {item.label: item.parts[part, group] for item in judged if (part, group) in item.parts}
