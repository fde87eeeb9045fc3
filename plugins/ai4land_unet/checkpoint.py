"""Checkpoints of a training: weights, optimiser, step, and the best weights so far, in one file."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ai4land_coupler.api import ConfigError, DataError, TrainingData, new_paths

if TYPE_CHECKING:
    from ai4land_unet.options import TrainerOptions

_NAME = "checkpoint.pt"


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    step, seconds:
        Steps that are done, and the time that they took.
    mean:
        Running mean of the loss.
    best_loss, best_step, best:
        Smallest loss on held-out land, and the step and the weights that had it.
    averaged:
        Running mean of the weights, if the training keeps one.
    """

    step: int = 0
    seconds: float = 0.0
    mean: float = float("nan")
    best_loss: float = float("inf")
    best_step: int = 0
    best: dict[str, torch.Tensor] | None = None
    averaged: dict[str, torch.Tensor] | None = None


def fingerprint(options: TrainerOptions, data: TrainingData) -> str:
    """Digest of all that a training depends on."""
    content = [
        options.model_dump(mode="json"),
        data.record,
        [vars(c) for c in data.channels],
        dict(data.gross_rates),
        data.step,
        data.direction,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def save_checkpoint(
    folder: Path, mark: str, network: torch.nn.Module, optimiser: torch.optim.Optimizer, progress: Progress
) -> None:
    """Replace the checkpoint of a folder at once.

    Raises
    ------
    RunError
        If writing to disk fails.
    """
    content = {
        "mark": mark,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "progress": vars(progress),
    }
    with new_paths([folder / _NAME], "a checkpoint could not be written") as (path,):
        torch.save(content, path)


def load_checkpoint(
    folder: Path, mark: str, network: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> Progress | None:
    """Continue from the checkpoint of a folder. ``None`` if there is none.

    Raises
    ------
    ConfigError
        If it belongs to another training.
    DataError
        If it cannot be read.
    """
    path = folder / _NAME
    if not path.is_file():
        return None
    device = next(network.parameters()).device
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise DataError(
            "a checkpoint cannot be read",
            found=f"{type(error).__name__}: {error}".splitlines()[0],
            where=path,
            remedy="remove it; the training then starts from the beginning",
        ) from None
    if content.get("mark") != mark:
        raise ConfigError(
            "the checkpoint belongs to another training",
            expected="the same configuration and the same data as when it was written",
            found="another one",
            where=path,
            remedy="use the configuration as it was, or train without --resume",
        )
    network.load_state_dict(content["network"])
    optimiser.load_state_dict(content["optimiser"])
    return Progress(**content["progress"])
