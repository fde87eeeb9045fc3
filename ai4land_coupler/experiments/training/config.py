"""The configuration of a training: maps, inputs, held-out land, and trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from ai4land_coupler.config.sections import PluginChoice, PluginSection, Section, checked, read_yaml
from ai4land_coupler.core.clock import Step
from ai4land_coupler.errors import ConfigError


class YearRange(Section):
    """Years from ``start`` to ``stop``, both included."""

    start: int
    stop: int
    every: int = Field(1, ge=1)


class CoverSection(PluginChoice):
    """The adapter of the maps. Any two years that are one step apart are a pair."""

    years: tuple[int, ...] | YearRange

    def all_years(self) -> tuple[int, ...]:
        """The years in order."""
        if isinstance(self.years, YearRange):
            return tuple(range(self.years.start, self.years.stop + 1, self.years.every))
        return tuple(sorted(set(self.years)))


class ChannelSection(Section):
    """A group of inputs with the same treatment. The previous map is always an input and is not listed."""

    names: tuple[str, ...] = Field(min_length=1)
    source: Literal["forcing", "static"]
    units: str = "1"
    offsets: tuple[Literal[-1, 0], ...] = Field(
        (0,), min_length=1, description="-1: the step before, 0: the step itself"
    )
    scaling: Literal["none", "standard", "log1p", "cos"] = "none"
    change: bool = Field(
        False, description="replace offset 0 by the change since offset -1, in standard deviations of the change"
    )
    missing: Literal["error", "fill"] = Field("error", description="what a run does if no adapter has the variable")
    fill: float | None = Field(None, description="value of missing cells; default: the mean of a static field, else 0")
    directional: bool = Field(
        False, description="the field depends on directions, so windows are not rotated; always true for aspect"
    )

    @model_validator(mode="after")
    def _fitting_offsets(self) -> ChannelSection:
        if self.source == "static" and self.offsets != (0,):
            raise ValueError("static fields have the offset 0 only")
        if len(set(self.offsets)) != len(self.offsets):
            raise ValueError("an offset is given twice")
        if self.change and set(self.offsets) != {-1, 0}:
            raise ValueError("change needs the offsets -1 and 0")
        return self


class Region(Section):
    """A rectangular part of the maps, in degrees."""

    west: float
    south: float
    east: float
    north: float


class YearsSection(Section):
    """The years of the training and the years of the scores. A pair belongs to one of them if both of its maps do."""

    train: YearRange = YearRange(start=1960, stop=2000)
    test: YearRange = YearRange(start=2001, stop=2015)

    @model_validator(mode="after")
    def _apart(self) -> YearsSection:
        if self.train.start <= self.test.stop and self.test.start <= self.train.stop:
            raise ValueError("the years of train and test overlap")
        return self


class ValidationSection(Section):
    """The land and the years that are not used for training, but for the scores."""

    method: Literal["blocks", "farthest", "region", "zones", "file"] = Field(
        "blocks",
        description="blocks: one of several folds; farthest: blocks far from each other; region: a rectangle; "
        "zones: climate zones; file: a mask",
    )
    block: float = Field(0.5, gt=0, description="side of a block in degrees (blocks, farthest)")
    folds: int = Field(5, ge=2)
    fold: int | None = Field(0, ge=0, description="the fold that is held out; null: train on all land")
    share: float = Field(0.2, gt=0, lt=1, description="share of the blocks that is held out (farthest)")
    seed: int = Field(0, ge=0, description="chooses the first block (farthest)")
    region: Region | None = Field(None, description="the rectangle that is held out (region)")
    zones: tuple[str, ...] = Field(
        (), description="Koeppen-Geiger zones that are held out, such as Cfb, or their beginning, such as C (zones)"
    )
    file: Path | None = Field(
        None,
        description="netCDF file with a variable held_out over (lat, lon): a mask, or another training's split",
    )
    buffer: int = Field(
        0, ge=0, description="cells around held-out cells that are not used for training: the halo of the network"
    )
    years: YearsSection | None = Field(None, description="separate years for training and scores; null: all for both")
    pairs: int = Field(1, ge=1, description="number of pairs to score, counted from the last")

    @model_validator(mode="after")
    def _complete(self) -> ValidationSection:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold must be below folds ({self.folds})")
        needed = {"region": self.region, "zones": self.zones, "file": self.file}
        if self.method in needed and not needed[self.method]:
            raise ValueError(f"method {self.method} needs the key {self.method}")
        return self


class TrainConfig(Section):
    """A training."""

    legend: str
    step: str = Field("P1Y", description="interval between the two maps of a pair")
    direction: Literal["forward", "backward"] = "forward"
    cover: CoverSection
    region: Region | None = None
    forcing: tuple[PluginChoice, ...] = ()
    fixed_forcing_year: int | None = Field(None, description="use the forcing of this year for all years")
    static: tuple[PluginChoice, ...] = ()
    channels: tuple[ChannelSection, ...] = ()
    validation: ValidationSection = ValidationSection()
    in_memory: bool | None = Field(
        None, description="read whole maps into memory; default: not if all inputs are prepared stores"
    )
    trainer: PluginChoice
    plugins: PluginSection = PluginSection()

    _base: Path = PrivateAttr(default_factory=Path.cwd)
    _where: str = PrivateAttr(default="training")

    @field_validator("step")
    @classmethod
    def _whole_years(cls, value: str) -> str:
        try:
            interval = Step.parse(value)
        except ConfigError as error:
            raise ValueError(error.what) from None
        if interval.months % 12:
            raise ValueError("maps are a whole number of years apart")
        return value

    @model_validator(mode="after")
    def _distinct_channels(self) -> TrainConfig:
        names = [name for group in self.channels for name in group.names]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"channels are listed twice: {', '.join(twice)}")
        return self

    @property
    def base(self) -> Path:
        """Folder from which relative paths start."""
        return self._base

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self._where

    @property
    def sign(self) -> Literal[1, -1]:
        """+1 forward in time, -1 backward."""
        return 1 if self.direction == "forward" else -1

    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(first year, second year) of all pairs, in the order of the first year.

        Raises
        ------
        ConfigError
            If no two years are one step apart.
        """
        years = self.cover.all_years()
        length = self.sign * Step.parse(self.step).years
        pairs = tuple((year, year + length) for year in years if year + length in years)
        if not pairs:
            raise ConfigError(
                "no two maps lie one step apart",
                expected=f"years that are {self.step} apart",
                found=years,
                where=f"{self.where}: cover.years",
            )
        return pairs

    def pairs_of(self, part: Literal["train", "test"]) -> tuple[tuple[int, int], ...]:
        """The pairs of the training, or of the scores (without ``validation.years``: all).

        Raises
        ------
        ConfigError
            If there is none.
        """
        if self.validation.years is None:
            return self.pairs()
        span: YearRange = getattr(self.validation.years, part)
        found = tuple(pair for pair in self.pairs() if span.start <= min(pair) and max(pair) <= span.stop)
        if not found:
            raise ConfigError(
                f"no pair of maps lies in the years {part}",
                expected=f"two maps that are {self.step} apart, from {span.start} to {span.stop}",
                found=self.cover.all_years(),
                where=f"{self.where}: validation.years.{part}",
                remedy="add these years to cover.years, or change validation.years",
            )
        return found


def load_train_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read and check the configuration of a training, like :func:`ai4land_coupler.config.sections.load_config`."""
    path = Path(path)
    return parse_train_config(read_yaml(path), path.resolve().parent, str(path), overrides)


def parse_train_config(raw: object, base: Path, where: str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Check a configuration that is already a mapping."""
    config = checked(TrainConfig, raw, where, overrides)
    config._base = base
    config._where = where
    return config
