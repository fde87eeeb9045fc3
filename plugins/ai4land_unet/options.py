"""Options of the predictor and of the trainer. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ai4land_coupler.api import Options


class UNetOptions(Options):
    """Options of the predictor.

    Parameters
    ----------
    bundle:
        Folder of a bundle, or the name of one that is shipped.
    legend:
        Legend of the run; a bundle that speaks another is refused. Default: the bundle's.
    dtype:
        Type of the layers; logits are float32 in either. bfloat16 is two to four times faster on recent CPUs.
    device:
        ``auto`` takes a GPU where there is one.
    """

    bundle: str
    legend: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("bundle")
    @classmethod
    def _absolute(cls, value: str, info: ValidationInfo) -> str:
        """A path may be relative to the configuration; a plain name that is no bundle there stays one."""
        base = (info.context or {}).get("base")
        beside = Path(base or ".") / value
        return str(beside) if (beside / "card.json").is_file() or Path(value).name != value else value


class ArchitectureOptions(Options):
    """Shape of the network: channels of the first level, poolings, and how it is shown the previous map."""

    width: int = Field(16, ge=1)
    depth: int = Field(4, ge=1, le=8)
    cover: Literal["one_hot", "index"] = "one_hot"


class Optimisation(Options):
    """How the network is trained.

    Parameters
    ----------
    steps, minutes:
        One of them. Equal steps and seeds give equal weights on one machine; minutes do not.
    batch, window:
        Windows in a batch, and their side in cells: a multiple of the network's alignment.
    learning_rate, weight_decay, dropout:
        Of AdamW, with a warm-up and a cosine decay to zero.
    change_weight:
        Weight of cells that change: more than 1 learns rare change in fewer steps. The odds of change are set
        right afterwards, so that probabilities stay calibrated.
    mask_share, mask_patch:
        Share of the previous map that is hidden, in square patches of so many cells.
    augment:
        Turn and mirror windows; never done where an input has a direction (aspect).
    threads:
        torch threads while training; part of what the bits of the weights depend on.
    """

    steps: int | None = Field(None, ge=1)
    minutes: float | None = Field(None, gt=0)
    batch: int = Field(8, ge=1)
    window: int = Field(128, ge=2)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    change_weight: float = Field(1.0, gt=0)
    mask_share: float = Field(0.0, ge=0, lt=1)
    mask_patch: int = Field(8, ge=1)
    augment: bool = True
    seed: int = Field(0, ge=0)
    threads: int | None = Field(None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        return self


class TrainerOptions(Options):
    """Options of the trainer. ``name``, ``description`` and ``licence`` go on the card."""

    name: str
    description: str = ""
    licence: str = "unspecified"
    architecture: ArchitectureOptions = ArchitectureOptions()
    optimisation: Optimisation

    @model_validator(mode="after")
    def _whole_windows(self) -> Self:
        align = 2**self.architecture.depth
        if self.optimisation.window % align:
            raise ValueError(f"optimisation.window must be a multiple of {align}, 2 to the power of the depth")
        return self
