"""The section ``allocation`` of a run file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AllocationOptions(BaseModel):
    """How logits become a map."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["allocate", "argmax", "sample"] = "allocate"
    crosswalk: str = "luh2-hilda"
    gross: Literal["rates", "none"] | dict[str, float] = Field(
        "rates",
        description="gross change: the rates by class that the predictor was trained with, none, or rates given here "
        "(share of each class's land that leaves it in one step)",
    )
    temperature: float = Field(
        0.0, ge=0, description="net change: 0 takes the likeliest cells; 1 draws cells with their probabilities"
    )
    gross_temperature: float = Field(
        0.5,
        ge=0,
        description="gross change, likewise; at 0 the same cells flip to and fro in a long run and patches grow round",
    )
    forbidden: tuple[tuple[str, str], ...] = Field(
        (), description="transitions that never happen, as pairs of classes of the view"
    )
