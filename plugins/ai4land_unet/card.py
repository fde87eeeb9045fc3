"""The card of a bundle: describes the weights, their training data and their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from ai4land_coupler.api import FieldSpec, TrainingChannel

#: Version of the bundle format. Bundles of any other version are refused.
FORMAT: Final = "ai4land-unet/1"

#: Name of the map. Every bundle has the previous map as input.
COVER = "land_cover"


class _CardPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Channel(_CardPart):
    """One field at one offset, and how it is encoded.

    ``one_hot`` uses one channel per class and one for land. ``index`` uses one channel: (class + 1) / classes, and zero
    outside of the land.
    ``standard``, ``log1p`` and ``cos`` are (f(x) - mean) / scale. See :func:`ai4land_unet.encoding.encode`.
    """

    name: str
    units: str
    source: Literal["cover", "forcing", "static", "import", "output"]
    offset: int
    encoding: Literal["one_hot", "index", "none", "standard", "log1p", "cos"]
    mean: float = 0.0
    scale: float = Field(1.0, gt=0)
    missing: Literal["error", "fill"] = "error"
    fill: float = 0.0
    #: Offset of the same field. Its value is subtracted first.
    minus: int | None = None

    @classmethod
    def of(cls, channel: TrainingChannel, cover: Literal["one_hot", "index"]) -> Channel:
        """The channel that training data describe."""
        return cls(
            name=channel.name,
            units=channel.units,
            source=channel.source,
            offset=channel.offset,
            encoding=cover if channel.source == "cover" else channel.scaling,
            mean=channel.mean,
            scale=channel.scale,
            missing=channel.missing,
            fill=channel.fill,
            minus=channel.minus,
        )

    def width(self, classes: int) -> int:
        """Number of input channels of the network that this field uses."""
        return classes + 1 if self.encoding == "one_hot" else 1


class Architecture(_CardPart):
    """Shape of the network. ``in_channels`` follows from the channels and is checked against them."""

    in_channels: int = Field(ge=1)
    width: int = Field(ge=1)
    depth: int = Field(ge=1, le=8)
    classes: int = Field(ge=2)
    heads: Literal["one", "two"] = "one"


class Training(_CardPart):
    """How the weights were trained, so that the training can be repeated."""

    record: dict[str, Any]
    options: dict[str, Any]
    steps: int
    windows: int
    seconds: float
    torch: str
    device: str
    threads: int


class Card(_CardPart):
    """``card.json`` of a bundle."""

    format: Literal["ai4land-unet/1"] = FORMAT
    name: str
    description: str
    licence: str
    legend: str
    #: Name of each class of the view, with its native codes, in the order of the logits.
    classes: dict[str, tuple[int, ...]]
    step: str
    direction: Literal["forward", "backward"]
    align: int
    halo: int
    channels: tuple[Channel, ...]
    architecture: Architecture
    weights_sha256: str
    gross_rates: dict[str, float]
    metrics: dict[str, Any]
    training: Training


def is_coarse(channel: Channel) -> bool:
    """Whether the component provides the field on forcing cells, which the encoding spreads."""
    return channel.source in ("forcing", "import")


def field_specs(channels: tuple[Channel, ...]) -> tuple[FieldSpec, ...]:
    """The input fields: one for each name, with its offsets in the order of the channels."""
    groups: dict[str, list[Channel]] = {}
    for channel in channels:
        groups.setdefault(channel.name, []).append(channel)
    return tuple(
        FieldSpec(
            name,
            group[0].units,
            group[0].source,
            grid="coarse" if is_coarse(group[0]) else "land",
            offsets=tuple(c.offset for c in group),
            missing=group[0].missing,
            fill=group[0].fill,
        )
        for name, group in groups.items()
    )


def in_channels(channels: tuple[Channel, ...], classes: int) -> int:
    """Number of input channels of the network that all fields use together."""
    return sum(channel.width(classes) for channel in channels)


def layers(channels: tuple[Channel, ...]) -> Mapping[tuple[str, int], int]:
    """Index of each (name, offset) along the time axis of the batch."""
    return {(spec.name, offset): t for spec in field_specs(channels) for t, offset in enumerate(spec.offsets)}
