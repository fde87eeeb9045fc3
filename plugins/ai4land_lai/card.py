"""The card of a bundle: what the networks read, and what each class can have."""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ai4land_coupler.api import FieldSpec
from ai4land_lai.options import Vegetation

#: Version of the bundle format. Bundles of any other version are refused.
FORMAT: Final = "ai4land-lai/1"
COVER = "land_cover"
#: The outputs, all in m2 m-2: per area of ground, of low and of high vegetation; each with its standard deviation.
OUTPUTS = ("lai", "lai_lv", "lai_hv", "lai_sd", "lai_lv_sd", "lai_hv_sd")


class _CardPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_CardPart):
    """One input field; a network reads (x - mean) / scale of each offset (months before the predicted month)."""

    name: str
    units: str
    source: Literal["forcing", "static", "import"]
    offsets: tuple[int, ...] = (0,)
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    missing: Literal["error", "fill"] = "error"
    fill: float = 0.0

    def spec(self) -> FieldSpec:
        """The input as the component knows it."""
        grid: Literal["land", "coarse"] = "land" if self.source == "static" else "coarse"
        return FieldSpec(self.name, self.units, self.source, grid, self.offsets, self.missing, self.fill)


class LeafRange(_CardPart):
    """The vegetation of a class: its kind, and the observed range of its leaf area index (m2 m-2)."""

    vegetation: Vegetation
    least: float = Field(ge=0)
    most: float = Field(ge=0)
    samples: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is above most")
        if self.vegetation == "none" and self.most > 0:
            raise ValueError("a class without vegetation has no leaves")
        return self


class Card(_CardPart):
    """``card.json``. ``classes`` and ``ranges`` are in the order of the legend's view."""

    format: Literal["ai4land-lai/1"] = FORMAT
    name: str
    description: str
    licence: str
    legend: str
    classes: dict[str, tuple[int, ...]]
    ranges: dict[str, LeafRange]
    radii: tuple[int, ...]
    inputs: tuple[Input, ...]
    weights_sha256: str
    metrics: dict[str, Any]
    training: dict[str, Any]

    @model_validator(mode="after")
    def _same_classes(self) -> Self:
        if list(self.ranges) != list(self.classes):
            raise ValueError("ranges must have the classes of the bundle in their order")
        return self
