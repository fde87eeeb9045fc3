"""A bundle: a folder of ``weights.safetensors`` and ``card.json``. Needs no torch.

Ranks that never run the network (``parallel.workers``) also read its bundle, to plan their tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from ai4land_coupler import api
from ai4land_coupler.api import CARD, LOGITS, DataError, FieldSpec, Legend, PredictorSpec, nearest
from ai4land_unet.card import COVER, Card, Channel, field_specs, in_channels
from ai4land_unet.window import alignment, halo

WEIGHTS = "weights.safetensors"


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


def save_bundle(folder: Path, card: Card, weights: bytes) -> None:
    """Write a bundle; see :func:`ai4land_coupler.api.save_bundle`."""
    api.save_bundle(folder, card, WEIGHTS, weights)


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
    card = api.read_card(folder, Card, "use the version of ai4land_coupler that wrote it, or a newer one")
    run_legend = api.check_classes(card.legend, card.classes, legend, folder)
    _check_shape(card, folder)
    return Bundle(folder, card, run_legend, api.read_numbers(folder / WEIGHTS, card.weights_sha256, "weights"))


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
