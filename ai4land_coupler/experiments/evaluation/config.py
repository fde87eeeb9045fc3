"""The configuration of an evaluation: observed maps, inputs, and what is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from ai4land_coupler.config.allocation import AllocationOptions
from ai4land_coupler.config.sections import (
    Config,
    ForcingSection,
    PluginChoice,
    PluginSection,
    QualitySection,
    Section,
    checked,
    parse_config,
    read_yaml,
)
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.experiments.training import hold_out
from ai4land_coupler.experiments.training.config import CoverSection, Region
from ai4land_coupler.experiments.training.split import Split


class JudgedSection(PluginChoice):
    """A predictor that is judged, or a baseline."""

    label: str | None = Field(None, description="name in the results; default: the name of the predictor")
    allocation: dict[str, Any] = Field(
        default_factory=dict, description="settings of the section `allocation` that differ for this predictor"
    )

    @property
    def title(self) -> str:
        return self.label or self.name


class HeldOutSection(Section):
    """The land that is judged: what a training held out. The keys are those of its section ``validation``."""

    method: Literal["blocks", "region", "zones", "file"] = Field(
        "blocks",
        description="blocks: one of several folds; region: a rectangle; zones: climate zones; file: a mask, or the "
        "split that a training wrote",
    )
    block: float = Field(0.5, gt=0, description="side of a block in degrees (blocks)")
    folds: int = Field(5, ge=2)
    fold: int = Field(0, ge=0)
    region: Region | None = None
    zones: tuple[str, ...] = Field((), description="Koeppen-Geiger zones, such as Cfb, or their beginning, such as C")
    file: Path | None = Field(None, description="netCDF file with a variable held_out over (lat, lon)")

    @model_validator(mode="after")
    def _complete(self) -> HeldOutSection:
        if self.fold >= self.folds:
            raise ValueError(f"fold must be below folds ({self.folds})")
        needed = {"region": self.region, "zones": self.zones, "file": self.file}
        if self.method in needed and not needed[self.method]:
            raise ValueError(f"method {self.method} needs the key {self.method}")
        return self

    def split(self, grid: LatLonGrid, base: Path) -> Split:
        """The held-out land on a land grid. ``base``: folder from which a relative path starts."""
        if self.file is not None:
            return Split.read(base / self.file, grid)
        if self.region is not None:
            return hold_out.region(grid, self.region.west, self.region.south, self.region.east, self.region.north)
        if self.zones:
            return hold_out.climate_zones(grid, self.zones)
        return hold_out.fold_of_blocks(grid, self.block, self.folds, self.fold)


class GroupSection(PluginChoice):
    """A static field whose values divide the land into groups, such as climate zones or countries."""

    field: str = Field(description="name of the field of the adapter; its values are rounded to whole numbers")
    units: str = Field("1", description="units of the field")
    names: dict[int, str] = Field(default_factory=dict, description="name of each value; default: the value")


class BootstrapSection(Section):
    """Intervals by resampling blocks of land."""

    samples: int = Field(500, ge=20)
    level: float = Field(0.9, gt=0, lt=1, description="share of the samples inside of an interval")
    seed: int = Field(0, ge=0)


class RolloutSection(Section):
    """Free runs: each step starts from the map that the step before predicted."""

    years: int = Field(ge=1, description="length of a run in years")
    starts: tuple[int, ...] = Field(
        (), description="first years; default: the first year with a map (last if backward)"
    )


class EvaluateConfig(Section):
    """An evaluation."""

    title: str = "evaluation"
    legend: str
    step: str = Field("P1Y", description="step of the baselines, if no predictor is judged")
    direction: Literal["forward", "backward"] = Field("forward", description="as `step`")
    cover: CoverSection = Field(description="adapter and years of the observed maps")
    forcing: tuple[ForcingSection, ...] = ()
    static: tuple[PluginChoice, ...] = ()
    quality: QualitySection = QualitySection()
    allocation: AllocationOptions = AllocationOptions()
    predictors: tuple[JudgedSection, ...] = ()
    baselines: tuple[JudgedSection, ...] = (JudgedSection(name="persistence", allocation={"method": "argmax"}),)
    stores: dict[str, Path] = Field(default_factory=dict, description="stores of finished runs, by their label")
    held_out: HeldOutSection | None = Field(None, description="judge only this land; default: all land")
    groups: dict[str, GroupSection] = Field(default_factory=dict)
    block: float = Field(1.0, gt=0, description="side of the blocks of the bootstrap in degrees; at least 25 cells")
    weights: Literal["area", "cells"] = Field("area", description="weight of a cell: its area, or 1")
    bootstrap: BootstrapSection = BootstrapSection()
    rollout: RolloutSection | None = None
    plugins: PluginSection = PluginSection()

    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _where: str = PrivateAttr(default="evaluation")

    @model_validator(mode="after")
    def _distinct_labels(self) -> EvaluateConfig:
        labels = [*(choice.title for choice in (*self.predictors, *self.baselines)), *self.stores]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"two judged predictors have the name {', '.join(twice)}: give each a `label`")
        return self

    @property
    def base(self) -> Path:
        """Folder from which relative paths start."""
        return self._base

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self._where

    def run_of(self, choice: JudgedSection, start: int, stop: int, **sections: Any) -> Config:
        """The configuration of a run of one predictor, from an observed map.

        Parameters
        ----------
        sections:
            Further sections of the run file.
        """
        options = dict(choice.options)
        allocation = self.allocation.model_dump(mode="json") | choice.allocation
        raw: dict[str, Any] = {
            "title": f"{self.title}: {choice.title}",
            "legend": self.legend,
            "time": {"start": start, "stop": stop},
            "initial": {"name": self.cover.name, "options": self.cover.options},
            "forcing": _plain(self.forcing),
            "static": _plain(self.static),
            "predictors": [{"name": choice.name, "options": options}],
            "quality": self.quality.model_dump(mode="json"),
            "allocation": allocation,
            "plugins": self.plugins.model_dump(mode="json"),
        }
        return parse_config(raw | sections, self.base, f"{self.where}: {choice.title}")


def _plain(choices: Sequence[Section]) -> list[dict[str, Any]]:
    return [choice.model_dump(mode="json", exclude_defaults=True) for choice in choices]


def load_evaluate_config(path: str | Path, overrides: Sequence[str] = ()) -> EvaluateConfig:
    """Read and check the configuration of an evaluation, as :func:`ai4land_coupler.config.sections.load_config`."""
    path = Path(path)
    return parse_evaluate_config(read_yaml(path), path.resolve().parent, str(path), overrides)


def parse_evaluate_config(
    raw: Mapping[str, Any] | Any, base: Path, where: str, overrides: Sequence[str] = ()
) -> EvaluateConfig:
    """Check a configuration that is already a mapping."""
    config = checked(EvaluateConfig, raw, where, overrides)
    config._base = base
    config._where = where
    return config
