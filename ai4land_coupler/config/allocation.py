"""The section ``allocation`` of the configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AllocationOptions(BaseModel):
    """Options of the allocation, which turns logits into a map."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["allocate", "argmax", "sample"] = "allocate"
    crosswalk: str = "luh2-hilda"
    gross: Literal["rates", "predicted", "none"] | dict[str, float] = Field(
        "rates",
        description="gross change: the rates of the predictor's training data, the predicted probabilities of change "
        "(for a predictor whose probabilities are calibrated), none, or a rate for each class "
        "(share of the land of the class that leaves it in one step)",
    )
    temperature: float = Field(
        0.0, ge=0, description="net change: 0 chooses the most likely cells; 1 draws cells by their probabilities"
    )
    gross_temperature: float = Field(
        0.5,
        ge=0,
        description="the same for gross change; with 0, in a long run, the same cells change back and forth and "
        "patches become round",
    )
    forbidden: tuple[tuple[str, str], ...] = Field(
        (), description="forbidden transitions, as pairs of classes of the view"
    )
