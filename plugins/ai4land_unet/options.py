"""Options of the predictor and of the trainer. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ai4land_coupler.api import LegendName, Options


class UNetOptions(Options):
    """Options of the predictor.

    Parameters
    ----------
    bundle:
        Folder of a bundle, or name of a bundle that comes with the plugin.
    legend:
        Legend of the run. A bundle with another legend is refused. Default: the legend of the bundle.
    dtype:
        Type of the layers; logits are always float32. bfloat16 is two to four times faster on recent CPUs, and ten
        times slower on CPUs without instructions for it (AVX2 only).
    device:
        ``auto`` uses a GPU if one is available.
    symmetries:
        Mean of the logits of so many views of each window: its four rotations, or these and their mirror images.
        Takes as many times as long. Only for networks that were trained with ``augment``.
    """

    bundle: str
    legend: LegendName | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    symmetries: Literal[1, 4, 8] = 1

    @field_validator("bundle")
    @classmethod
    def _absolute(cls, value: str, info: ValidationInfo) -> str:
        """Make a path absolute. Keep a plain name, unless it is a bundle in the folder of the configuration."""
        base = (info.context or {}).get("base")
        path = Path(base or ".") / value
        return str(path) if (path / "card.json").is_file() or Path(value).name != value else value


class ArchitectureOptions(Options):
    """Shape of the network.

    Parameters
    ----------
    width, depth:
        Channels of the first level; number of poolings.
    cover:
        Encoding of the previous map.
    heads:
        With ``two``, one output tells whether a cell changes, and the others to which class. With ``one``, a softmax
        over all classes answers both.
    """

    width: int = Field(16, ge=1)
    depth: int = Field(4, ge=1, le=8)
    cover: Literal["one_hot", "index"] = "one_hot"
    heads: Literal["one", "two"] = "one"


class Optimisation(Options):
    """How the network is trained.

    Parameters
    ----------
    steps, minutes:
        Length of the training; give one of them. The same steps and seed give the same weights on one machine; the same
        minutes do not.
    batch, window:
        Number of windows in a batch, and their side in cells: a multiple of the network's alignment.
    learning_rate, weight_decay, dropout:
        Parameters of AdamW, with a warm-up and a cosine decay to zero.
    change_weight:
        Weight of cells that change. With more than 1, the network learns rare changes in fewer steps. The odds of
        change are corrected afterwards, so that probabilities stay calibrated.
    mask_share, mask_patch:
        Share of the previous map that is hidden during training, and side of the square patches (cells).
    average:
        The weights of the bundle are a running mean over steps, in which the last step counts by 1 - ``average``
        (Polyak and Juditsky 1992, https://doi.org/10.1137/0330046); 0: those of one step.
    augment:
        Rotate and mirror windows. Not done if an input has a direction (aspect).
    threads:
        Number of torch threads during training. The last bits of the weights depend on it.
    validations, validation_windows:
        How often the loss on held-out land is computed, and over how many windows.
    keep:
        The weights of the bundle: those with the smallest loss on held-out land, or the last ones.
    dtype:
        Type of the layers during training. With float32, one and several processes give nearly the same losses.
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
    average: float = Field(0.0, ge=0, lt=1)
    augment: bool = True
    seed: int = Field(0, ge=0)
    threads: int | None = Field(None, ge=1)
    validations: int = Field(10, ge=0)
    validation_windows: int = Field(32, ge=1)
    keep: Literal["best", "last"] = "best"
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        return self


class TrainerOptions(Options):
    """Options of the trainer. ``name``, ``description`` and ``licence`` are written to the card."""

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
