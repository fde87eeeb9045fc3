"""A bundle: a folder of ``card.json`` and ``weights.safetensors``. Loading it executes no code and needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load

from ai4land_coupler import api
from ai4land_lai.card import Card
from ai4land_lai.features import Features
from ai4land_lai.network import Networks

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Bundle:
    """A checked bundle."""

    card: Card
    networks: Networks


def read_bundle(folder: Path, legend: str | None = None) -> Bundle:
    """Read a bundle and check that its parts belong together.

    Parameters
    ----------
    legend:
        Legend of the run. A bundle with another legend is refused.

    Raises
    ------
    DataError
        If files are missing, have another format, or are truncated or altered.
    ConfigError
        If the bundle has another legend than the run.
    """
    card = api.read_card(folder, Card, "train one with `ai4land train` and the trainer 'lai'")
    api.check_classes(card.legend, card.classes, legend, folder)
    content = api.read_numbers(folder / WEIGHTS, card.weights_sha256, "weights")
    try:
        networks = Networks.of(load(content), Features.of(card).count, card.ranges)
    except (SafetensorError, ValueError) as error:
        raise api.DataError(
            "the weights of a bundle do not fit its card",
            found=error,
            where=folder / WEIGHTS,
            remedy="train the bundle again",
        ) from None
    return Bundle(card, networks)
