"""A bundle: a folder of ``weights.safetensors`` and ``card.json``. Needs no torch.

Ranks that never run the network (``parallel.workers``) also read its bundle, to plan their tiles.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ai4land_coupler.api import (
    LOGITS,
    ConfigError,
    DataError,
    FieldSpec,
    Legend,
    PredictorSpec,
    fault_lines,
    get_legend,
    nearest,
    new_paths,
)
from ai4land_unet.card import COVER, FORMAT, Card, Channel, field_specs, in_channels
from ai4land_unet.window import alignment, halo

WEIGHTS = "weights.safetensors"
CARD = "card.json"


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: card, legend, and the bytes of the weights file."""

    folder: Path
    card: Card
    legend: Legend
    weights: bytes


def shipped() -> dict[str, Path]:
    """Bundles that come with the plugin, by name."""
    folder = resources.files("ai4land_unet") / "bundles"
    if not folder.is_dir():
        return {}
    return {item.name: Path(str(item)) for item in folder.iterdir() if (item / CARD).is_file()}


def find_bundle(name: str) -> Path:
    """The folder of a bundle, given as a path or as the name of a bundle that comes with the plugin.

    Raises
    ------
    DataError
        If there is no such bundle.
    """
    folder = Path(name)
    if (folder / CARD).is_file():
        return folder
    known = shipped()
    if name in known:
        return known[name]
    raise DataError(
        "there is no bundle of weights",
        expected=f"a folder with {CARD} and {WEIGHTS}, or the name of a shipped bundle",
        found=name,
        remedy=f"train one with `ai4land train`, or {nearest(folder.name, known)}",
    )


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def save_bundle(folder: Path, card: Card, weights: bytes) -> None:
    """Write a bundle. Replaces an existing one when the new one is complete. The card with the hash comes last.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    with new_paths([folder / WEIGHTS, folder / CARD], "a bundle could not be written") as (weights_file, card_file):
        weights_file.write_bytes(weights)
        card_file.write_text(json.dumps(card.model_dump(mode="json"), indent=1) + "\n")


def read_bundle(folder: Path, legend: str | None = None) -> Bundle:
    """Read a bundle and check that its parts belong together.

    Parameters
    ----------
    legend:
        Name of the legend of the run. A bundle with another legend is refused.

    Raises
    ------
    DataError
        If files are missing, the card has another format, or the weights are truncated or altered.
    ConfigError
        If the bundle has another legend than the run.
    """
    card = _read_card(folder / CARD)
    run_legend = _check_legend(card, legend, folder)
    _check_shape(card, folder)
    path = folder / WEIGHTS
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError("the weights of a bundle cannot be read", found=error.strerror, where=path) from None
    if sha256(content) != card.weights_sha256:
        raise DataError(
            "the weights of a bundle are truncated or were altered",
            expected=f"sha256 {card.weights_sha256}",
            found=f"sha256 {sha256(content)} of {len(content)} bytes",
            where=path,
            remedy="copy the bundle again from where it comes from",
        )
    return Bundle(folder, card, run_legend, content)


def spec_of(card: Card) -> PredictorSpec:
    """The predictor's specification according to the card."""
    direction: Literal[1, -1] = 1 if card.direction == "forward" else -1
    return make_spec(card.channels, card.legend, card.step, direction, align=card.align, halo=card.halo)


def make_spec(
    channels: tuple[Channel, ...], legend: str, step: str, direction: Literal[1, -1], *, align: int, halo: int
) -> PredictorSpec:
    """The specification of a land-cover predictor."""
    outputs = (FieldSpec(LOGITS, "1", source="output"),)
    return PredictorSpec(field_specs(channels), outputs, legend, step, direction, align, halo)


def _read_card(path: Path) -> Card:
    try:
        raw: Any = json.loads(path.read_text())
    except OSError as error:
        raise DataError("the card of a bundle cannot be read", found=error.strerror, where=path) from None
    except ValueError as error:
        raise DataError("the card of a bundle is not valid JSON", found=error, where=path) from None
    version = raw.get("format") if isinstance(raw, dict) else None
    if version != FORMAT:
        raise DataError(
            "a bundle has a format that this version cannot read",
            expected=FORMAT,
            found=version,
            where=path,
            remedy="use the version of ai4land_coupler that wrote it, or a newer one",
        )
    try:
        return Card.model_validate(raw)
    except ValidationError as error:
        faults = "; ".join(fault_lines(error, Card))
        raise DataError("the card of a bundle is malformed", found=faults, where=path) from None


def _check_legend(card: Card, wanted: str | None, folder: Path) -> Legend:
    if wanted is not None and wanted != card.legend:
        raise ConfigError(
            "a bundle has another legend than the run",
            expected=wanted,
            found=card.legend,
            where=folder,
            remedy="choose the legend that the bundle was trained on, or train one on yours",
        )
    legend = get_legend(card.legend)
    classes = {item.name: item.codes for item in legend.view}
    if list(classes.items()) != list(card.classes.items()):
        raise DataError(
            f"a bundle was trained on another edition of legend {card.legend!r}",
            expected=classes,
            found=card.classes,
            where=folder,
            remedy="train the bundle again",
        )
    return legend


def _check_shape(card: Card, folder: Path) -> None:
    """Check that the numbers on the card agree: otherwise windows would be too small or channels shifted."""
    shape = card.architecture
    cover = [c for c in card.channels if c.name == COVER and c.offset == -1]
    checks = {
        "architecture.in_channels": (in_channels(card.channels, len(card.classes)), shape.in_channels),
        "architecture.classes": (len(card.classes), shape.classes),
        "align": (alignment(shape.depth), card.align),
        "halo, at least": (halo(shape.depth), min(card.halo, halo(shape.depth))),
        f"channels of {COVER} at offset -1": (1, len(cover)),
    }
    known = {(c.name, c.offset) for c in card.channels}
    for c in card.channels:
        if c.minus is not None:
            checks[f"{c.name} at offset {c.minus}, which a channel subtracts"] = (1, int((c.name, c.minus) in known))
    for name, (expected, found) in checks.items():
        if expected != found:
            raise DataError(
                f"the card of a bundle contradicts itself: {name}",
                expected=expected,
                found=found,
                where=folder / CARD,
            )
