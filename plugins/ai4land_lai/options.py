"""Options of the predictor and of the trainer. Needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ai4land_coupler.api import LegendName, Options

#: The kind of vegetation of a class. A class of the kind ``none`` (water, ice) has no leaves.
Vegetation = Literal["low", "high", "none"]


class LaiOptions(Options):
    """Options of the predictor.

    Parameters
    ----------
    bundle:
        Folder of a bundle that the trainer wrote.
    legend:
        Legend of the run. A bundle with another legend is refused. Default: the legend of the bundle.
    """

    bundle: Path
    legend: LegendName | None = None


class LaiTrainerOptions(Options):
    """Options of the trainer.

    Parameters
    ----------
    name, description, licence:
        What it writes to the card of its bundle.
    vegetation:
        Kind of vegetation by class of the legend's view. Default: ``high`` for classes with trees, ``none`` for water
        and ice, ``low`` for all others, by the CF area types of the legend.
    radii:
        Windows in which the shares of the classes are inputs: 2 * radius + 1 cells on each side.
    members:
        Number of networks, of which each is trained without one of as many groups of blocks.
    block:
        Side of these blocks (cells).
    hidden:
        Width of the two hidden layers.
    steps, batch, learning_rate, decay:
        Number of steps, samples in a step, largest learning rate, and weight decay (AdamW).
    samples:
        Largest number of samples (a cell in a month) to train with.
    threads:
        Threads of torch. Default: as torch has them.
    seed:
        Seed of the first weights and of the choice of samples.
    """

    name: str
    description: str = ""
    licence: str = "unspecified"
    vegetation: dict[str, Vegetation] = Field(default_factory=dict)
    radii: tuple[int, ...] = (1, 2, 4)
    members: int = Field(5, ge=2)
    block: int = Field(9, ge=1)
    hidden: int = Field(48, ge=1)
    steps: int = Field(2000, ge=1)
    batch: int = Field(1024, ge=1)
    learning_rate: float = Field(3e-3, gt=0)
    decay: float = Field(1e-2, ge=0)
    samples: int = Field(2_000_000, ge=1)
    threads: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)

    @field_validator("radii")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(radius < 1 for radius in value) or list(value) != sorted(set(value)):
            raise ValueError("radii are rising whole numbers above 0")
        return value
