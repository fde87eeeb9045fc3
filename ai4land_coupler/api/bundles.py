"""Bundles: a folder of ``card.json`` and one file of numbers, whose sha256 is on the card.

What a card says beyond that belongs to the plugin: a pydantic model with the key ``format``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ai4land_coupler.config.faults import fault_lines
from ai4land_coupler.core.legend import Legend, get_legend
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.files.durable import new_paths

CARD = "card.json"

CardT = TypeVar("CardT", bound=BaseModel)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def save_bundle(folder: Path, card: BaseModel, numbers: str, content: bytes) -> None:
    """Write a bundle. Replaces an existing one when the new one is complete. The card with the hash comes last.

    Parameters
    ----------
    numbers, content:
        Name and content of the file of numbers.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    with new_paths([folder / numbers, folder / CARD], "a bundle could not be written") as (numbers_file, card_file):
        numbers_file.write_bytes(content)
        card_file.write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n")


def read_card(folder: Path, model: type[CardT], remedy: str) -> CardT:
    """Read ``card.json`` and check its format and its content.

    Parameters
    ----------
    model:
        The card. The default of its field ``format`` is the format that is read.
    remedy:
        What to do if there is no card, or one of another format.

    Raises
    ------
    DataError
        If there is no card, it has another format, or it is malformed.
    """
    path, expected = folder / CARD, model.model_fields["format"].default
    try:
        raw: Any = json.loads(path.read_text())
    except OSError as error:
        raise DataError(
            "the card of a bundle cannot be read", found=error.strerror, where=path, remedy=remedy
        ) from None
    except ValueError as error:
        raise DataError("the card of a bundle is not valid JSON", found=error, where=path) from None
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != expected:
        raise DataError(
            "a bundle has a format that this predictor cannot read",
            expected=expected,
            found=found,
            where=path,
            remedy=remedy,
        )
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(fault_lines(error, model))
        raise DataError("the card of a bundle is malformed", found=faults, where=path) from None


def check_classes(name: str, classes: Mapping[str, tuple[int, ...]], wanted: str | None, folder: Path) -> Legend:
    """The legend of a bundle, which must be that of the run, with the classes of the training.

    Parameters
    ----------
    name, classes:
        Name of the legend on the card, and the native codes of each class of its view.
    wanted:
        Name of the legend of the run; ``None``: any.

    Raises
    ------
    ConfigError
        If the run has another legend.
    DataError
        If the legend has other classes today.
    """
    if wanted is not None and wanted != name:
        raise ConfigError(
            "a bundle has another legend than the run",
            expected=wanted,
            found=name,
            where=folder,
            remedy="choose the legend that the bundle was trained on, or train one on yours",
        )
    legend = get_legend(name)
    known = {item.name: item.codes for item in legend.view}
    if list(known.items()) != list(classes.items()):
        raise DataError(
            f"a bundle was trained on another edition of legend {name!r}",
            expected=known,
            found=classes,
            where=folder,
            remedy="train the bundle again",
        )
    return legend


def read_numbers(path: Path, digest: str, what: str) -> bytes:
    """Read the file of numbers of a bundle, and compare it with the card.

    Parameters
    ----------
    digest:
        The sha256 on the card.
    what:
        What the numbers are called in messages: ``weights``.

    Raises
    ------
    DataError
        If the file cannot be read, or is truncated or altered.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the {what} of a bundle cannot be read", found=error.strerror, where=path) from None
    if sha256(content) != digest:
        raise DataError(
            f"the {what} of a bundle are truncated or were altered",
            expected=f"sha256 {digest}",
            found=f"sha256 {sha256(content)} of {len(content)} bytes",
            where=path,
            remedy="copy the bundle again from where it comes from",
        )
    return content
