"""Keeps what the pass over the maps found, so that a training that continues does not repeat it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ai4land_coupler.api import TrainingChannel
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.experiments.training.config import TrainConfig
from ai4land_coupler.experiments.training.land import TrainingLand
from ai4land_coupler.experiments.training.split import Split
from ai4land_coupler.files.durable import new_path
from ai4land_coupler.version import __version__

#: Channels, and counts over the training land and the held-out land.
Found = tuple[tuple[TrainingChannel, ...], TrainingLand]


def found_key(config: TrainConfig, record: Mapping[str, Any], split: Split) -> str:
    """Digest of all that the pass depends on: the configuration without the trainer, the data, and the split."""
    content = [__version__, config.model_dump(mode="json", exclude={"trainer", "plugins"}), record, str(split.grid)]
    text = json.dumps([*content, split.buffer], sort_keys=True, default=str)
    return hashlib.sha256(text.encode() + np.packbits(split.table).tobytes()).hexdigest()


def save_found(path: Path, key: str, found: Found) -> None:
    """Write to an npz file.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    channels, land = found
    text = json.dumps([asdict(channel) for channel in channels])
    with new_path(path, "the statistics of a training could not be written") as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            key=key,
            channels=text,
            training=land.training,
            held_out=land.held_out,
            gross_rates=land.gross_rates,
        )


def load_found(path: Path, key: str, fine: LatLonGrid) -> Found | None:
    """Read what was written. ``None`` if there is no such file, or if it has another key or is damaged."""
    try:
        with np.load(path) as content:
            if str(content["key"]) != key:
                return None
            channels = tuple(TrainingChannel(**channel) for channel in json.loads(str(content["channels"])))
            land = TrainingLand(fine, content["training"], content["held_out"], content["gross_rates"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return channels, land
