"""The inputs of a predictor, with the statistics of the training land."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ai4land_coupler.api import TrainingChannel
from ai4land_coupler.errors import FieldError
from ai4land_coupler.experiments.training.config import ChannelSection, TrainConfig
from ai4land_coupler.experiments.training.land import Moments, Pairs, Survey, forcing_moments
from ai4land_coupler.experiments.training.sources import COVER, MapSource

#: Replacement for a missing aspect (degrees): its cosine is zero.
_NO_ASPECT = 90.0


def static_scalings(config: TrainConfig) -> dict[str, str]:
    """The scaling of each static channel."""
    return {name: g.scaling for g in config.channels if g.source == "static" for name in g.names}


def make_channels(config: TrainConfig, source: MapSource, found: Survey, pairs: Pairs) -> tuple[TrainingChannel, ...]:
    """The previous map, and a channel for each name and offset in the configuration.

    Raises
    ------
    FieldError
        If a field has no value on the training land.
    """
    channels = [TrainingChannel(COVER, "1", "cover", -1)]
    for group in config.channels:
        years = {pair[offset + 1] for pair in pairs for offset in group.offsets}
        for name in group.names:
            if group.source == "static":
                channels += _channels(group, name, found.static[name], Moments())
            else:
                curved = group.scaling == "log1p"
                changes = pairs if group.change else ()
                moments = forcing_moments(source, found.cells, name, years, changes, curved=curved)
                channels += _channels(group, name, *moments)
    return tuple(channels)


def _channels(group: ChannelSection, name: str, values: Moments, change: Moments) -> list[TrainingChannel]:
    if not values.count:
        raise FieldError(f"channel {name!r} has no value in the training cells", remedy="check region and grid")
    mean, scale = 0.0, 1.0
    if group.scaling in ("standard", "log1p"):
        mean, scale = values.mean, values.deviation or 1.0
    directional = group.directional or "aspect" in name
    channel = TrainingChannel(
        name, group.units, group.source, 0, group.scaling, mean, scale, _fill(group, mean), group.missing, directional
    )
    channels = [replace(channel, offset=offset) for offset in group.offsets]
    if not group.change:
        return channels
    # Zero must mean no change, so do not subtract the mean change of the training years.
    spread: dict[str, Any] = {"scaling": "standard", "mean": 0.0, "scale": change.root_mean_square or 1.0, "minus": -1}
    return [replace(c, **spread) if c.offset == 0 else c for c in channels]


def _fill(group: ChannelSection, mean: float) -> float:
    """The value of missing cells."""
    if group.fill is not None:
        return group.fill
    if group.source == "forcing":
        return 0.0
    return {"standard": mean, "log1p": math.expm1(mean), "cos": _NO_ASPECT}.get(group.scaling, 0.0)
