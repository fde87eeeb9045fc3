"""A bundle of a baseline: a folder of ``card.json`` and ``numbers.safetensors``. Loading it executes no code.

Format of the numbers: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ai4land_coupler.api import ConfigError, DataError, Predictor, TrainingData, fault_lines, get_legend, new_paths

CARD, NUMBERS = "card.json", "numbers.safetensors"
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
    return content, hashlib.sha256(content).hexdigest()


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
    with new_paths([folder / NUMBERS, folder / CARD], "a bundle could not be written") as (numbers, text):
        numbers.write_bytes(content)
        text.write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n")


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
    card = _read_card(folder, kind)
    if legend is not None and legend != card.legend:
        raise ConfigError(
            "a bundle has another legend than the run",
            expected=legend,
            found=card.legend,
            where=folder,
            remedy="choose the legend that the bundle was trained on, or train one on yours",
        )
    classes = {item.name: item.codes for item in get_legend(card.legend).view}
    if list(classes.items()) != list(card.classes.items()):
        raise DataError(
            f"a bundle was trained on another edition of legend {card.legend!r}",
            expected=classes,
            found=card.classes,
            where=folder,
            remedy="train the bundle again",
        )
    path = folder / NUMBERS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError("the numbers of a bundle cannot be read", found=error.strerror, where=path) from None
    found = hashlib.sha256(content).hexdigest()
    if found != card.numbers_sha256:
        raise DataError(
            "the numbers of a bundle are truncated or were altered",
            expected=f"sha256 {card.numbers_sha256}",
            found=f"sha256 {found} of {len(content)} bytes",
            where=path,
            remedy="copy the bundle again from where it comes from",
        )
    try:
        return Bundle(folder, card, load(content))
    except SafetensorError as error:
        raise DataError("the numbers of a bundle are not safetensors", found=error, where=path) from None


def refuse_arrays(bundle: Bundle, expected: object, found: object) -> DataError:
    """The error about numbers that do not fit the card."""
    return DataError(
        "the numbers of a bundle do not fit its card",
        expected=expected,
        found=found,
        where=bundle.folder / NUMBERS,
        remedy="train the bundle again",
    )


def _read_card(folder: Path, kind: str) -> Card:
    path = folder / CARD
    try:
        raw: Any = json.loads(path.read_text())
    except OSError as error:
        raise DataError(
            "there is no bundle of a baseline",
            expected=f"a folder with {CARD} and {NUMBERS}",
            found=f"{path}: {error.strerror}",
            remedy=f"train one with `ai4land train` and the trainer {kind!r}",
        ) from None
    except ValueError as error:
        raise DataError("the card of a bundle is not valid JSON", found=error, where=path) from None
    version = raw.get("format") if isinstance(raw, dict) else None
    if version != FORMAT:
        raise DataError(
            "a bundle has a format that this predictor cannot read",
            expected=FORMAT,
            found=version,
            where=path,
            remedy=f"give a bundle of the trainer {kind!r}; the predictor `unet` reads those of a U-Net",
        )
    try:
        card = Card.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(fault_lines(error, Card))
        raise DataError("the card of a bundle is malformed", found=faults, where=path) from None
    if card.kind != kind:
        raise DataError(
            "a bundle belongs to another predictor",
            expected=kind,
            found=card.kind,
            where=path,
            remedy=f"write `name: {card.kind}` in the configuration, or give another bundle",
        )
    return card
