"""A bundle of a baseline: a folder of ``card.json`` and ``numbers.safetensors``. Loading it executes no code.

Format of the numbers: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ai4land_coupler import api
from ai4land_coupler.api import CARD, DataError, Predictor, TrainingData

NUMBERS = "numbers.safetensors"
#: Version of the bundle format. Bundles of any other version are refused.
FORMAT: Final = "ai4land-baseline/1"

Arrays = Mapping[str, NDArray[Any]]


class CardPart(BaseModel):
    """Base class of the parts of a card."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(CardPart):
    """One input field at one offset. ``minus``: the offset whose value is subtracted; ``cosine``: of an angle."""

    name: str
    units: str
    source: Literal["forcing", "static"]
    offset: int
    missing: Literal["error", "fill"] = "error"
    fill: float = 0.0
    minus: int | None = None
    cosine: bool = False


class Card(CardPart):
    """``card.json``. ``classes`` are in the order of the logits. ``suitability``: whether boosting has such trees."""

    format: Literal["ai4land-baseline/1"] = FORMAT
    kind: Literal["markov", "boosting"]
    name: str
    description: str
    licence: str
    legend: str
    classes: dict[str, tuple[int, ...]]
    step: str
    direction: Literal["forward", "backward"]
    inputs: tuple[Input, ...] = ()
    radii: tuple[int, ...] = ()
    distance: int = Field(0, ge=0)
    suitability: bool = False
    region: float | None = None
    numbers_sha256: str
    gross_rates: dict[str, float]
    metrics: dict[str, Any]
    training: dict[str, Any]


@dataclass(frozen=True)
class Bundle:
    """A checked bundle."""

    folder: Path
    card: Card
    arrays: Arrays

    @property
    def identity(self) -> str:
        """Identifies the numbers in restarts."""
        return self.card.numbers_sha256[:16]


class ObservedRates:
    """Rates of gross change in the training maps."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        self._rates = dict(rates)

    def rates(self) -> Mapping[str, float]:
        """Share of the land of each class of the view that leaves the class in one step."""
        return self._rates


def describe(data: TrainingData) -> dict[str, Any]:
    """The part of a card that follows from the training data."""
    return {
        "metrics": {},
        "legend": data.legend.name,
        "classes": {item.name: item.codes for item in data.legend.view},
        "step": data.step,
        "direction": "forward" if data.direction == 1 else "backward",
        "gross_rates": dict(data.gross_rates),
    }


def serialise(arrays: Arrays) -> tuple[bytes, str]:
    """The numbers in safetensors format, and their sha256. Equal arrays give equal bytes."""
    content = save({name: np.ascontiguousarray(values) for name, values in arrays.items()})
    return content, api.sha256(content)


def score_and_save(
    folder: Path, card: Card, arrays: Arrays, predictor: Callable[[Bundle], Predictor], data: TrainingData
) -> dict[str, Any]:
    """Compute the scores of a trained predictor on the held-out cells, and write its bundle with them.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    metrics = data.evaluate(predictor(Bundle(folder, card, arrays)))
    save_bundle(folder, card.model_copy(update={"metrics": metrics}), serialise(arrays)[0])
    return metrics


def save_bundle(folder: Path, card: Card, content: bytes) -> None:
    """Write a bundle. Replaces an existing one when the new one is complete.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    api.save_bundle(folder, card, NUMBERS, content)


def read_bundle(folder: Path, kind: Literal["markov", "boosting"], legend: str | None = None) -> Bundle:
    """Read a bundle and check that its parts belong together.

    Parameters
    ----------
    kind:
        The predictor that asks for it.
    legend:
        Legend of the run. A bundle with another legend is refused.

    Raises
    ------
    DataError
        If files are missing, belong to another predictor, or are truncated or altered.
    ConfigError
        If the bundle has another legend than the run.
    """
    card = api.read_card(
        folder, Card, f"give a bundle of the trainer {kind!r}; the predictor `unet` reads those of a U-Net"
    )
    if card.kind != kind:
        raise DataError(
            "a bundle belongs to another predictor",
            expected=kind,
            found=card.kind,
            where=folder / CARD,
            remedy=f"write `name: {card.kind}` in the configuration, or give another bundle",
        )
    api.check_classes(card.legend, card.classes, legend, folder)
    content = api.read_numbers(folder / NUMBERS, card.numbers_sha256, "numbers")
    try:
        return Bundle(folder, card, load(content))
    except SafetensorError as error:
        raise DataError("the numbers of a bundle are not safetensors", found=error, where=folder / NUMBERS) from None


def refuse_arrays(bundle: Bundle, expected: object, found: object) -> DataError:
    """The error about numbers that do not fit the card."""
    return DataError(
        "the numbers of a bundle do not fit its card",
        expected=expected,
        found=found,
        where=bundle.folder / NUMBERS,
        remedy="train the bundle again",
    )
