"""Trains a U-Net on pairs of maps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ai4land_coupler.api import OUTSIDE, Batch, ConfigError, Trainer, TrainingData, TrainingRun, TrainResult
from ai4land_unet.bundle import make_spec, save_bundle, sha256
from ai4land_unet.card import COVER, Architecture, Card, Channel, Training, in_channels
from ai4land_unet.encoding import HIDDEN, encode, one_hot, previous_map
from ai4land_unet.losses import map_loss
from ai4land_unet.network import UNet
from ai4land_unet.predictor import UNetPredictor, choose_device
from ai4land_unet.weights import serialise
from ai4land_unet.window import alignment, halo

if TYPE_CHECKING:
    from ai4land_unet.options import Optimisation, TrainerOptions

#: Share of the training during which the learning rate rises to its maximum.
_WARM_UP = 0.05
#: Largest norm of the gradients.
_CLIP = 1.0
#: Number of batches that are drawn before the training to estimate how much land changes.
_SAMPLED = 10
#: Steps between two progress messages.
_REPORT = 20


class UNetTrainer(Trainer):
    """Trains one network; see :class:`ai4land_unet.options.TrainerOptions`."""

    def __init__(self, options: TrainerOptions) -> None:
        self._options = options

    def train(self, data: TrainingData, folder: Path, progress: TrainingRun) -> TrainResult:
        """Train, compute scores on the held-out cells, and write the bundle.

        Raises
        ------
        ConfigError
            If the channels lack the previous map, or the GPU is not available.
        """
        options, run = self._options, self._options.optimisation
        channels = tuple(Channel.of(c, options.architecture.cover) for c in data.channels)
        if sum(c.name == COVER and c.offset == -1 for c in channels) != 1:
            found = [(c.name, c.offset) for c in channels]
            raise ConfigError("a U-Net needs the previous map", expected=f"{COVER} at offset -1", found=found)
        classes, depth = len(data.legend.view), options.architecture.depth
        shape = Architecture(
            in_channels=in_channels(channels, classes), width=options.architecture.width, depth=depth, classes=classes
        )
        device = choose_device(run.device)
        with _settings(run):
            network = UNet(shape.in_channels, shape.width, depth, classes, run.dropout)
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            steps, seconds = _optimise(network, channels, data, run, progress)
            threads = torch.get_num_threads()
            network.cpu().eval()
            spec = make_spec(
                channels, data.legend.name, data.step, data.direction, align=alignment(depth), halo=halo(depth)
            )
            progress(1.0, "scoring")
            predictor = UNetPredictor(network, channels, spec, device=run.device)
            metrics = data.evaluate(predictor)
        weights = serialise(network)
        card = Card(
            name=options.name,
            description=options.description,
            licence=options.licence,
            legend=data.legend.name,
            classes={item.name: item.codes for item in data.legend.view},
            step=data.step,
            direction="forward" if data.direction == 1 else "backward",
            align=spec.align,
            halo=spec.halo,
            channels=channels,
            architecture=shape,
            weights_sha256=sha256(weights),
            gross_rates=dict(data.gross_rates),
            metrics=metrics,
            training=Training(
                record=dict(data.record),
                options=options.model_dump(mode="json"),
                steps=steps,
                windows=steps * run.batch,
                seconds=round(seconds, 1),
                torch=torch.__version__,
                device=str(device),
                threads=threads,
            ),
        )
        save_bundle(folder, card, weights)
        return TrainResult(folder, card.weights_sha256, steps, seconds, metrics)


@contextmanager
def _settings(run: Optimisation) -> Iterator[None]:
    """Set seeds, threads and deterministic algorithms during the training; restore the old settings afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        try:
            torch.manual_seed(run.seed)
            torch.use_deterministic_algorithms(True, warn_only=True)
            if run.threads is not None:
                torch.set_num_threads(run.threads)
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)


def _optimise(
    network: UNet,
    channels: tuple[Channel, ...],
    data: TrainingData,
    run: Optimisation,
    progress: Callable[[float, str], None],
) -> tuple[int, float]:
    """Train with AdamW, warm-up and cosine decay, in bfloat16 where this is safe. Returns steps and seconds."""
    rng = np.random.default_rng(run.seed)
    rotate = run.augment and not any(c.directional for c in data.channels)
    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(network.parameters(), lr=run.learning_rate, weight_decay=run.weight_decay)
    network.start_from_persistence(_changed_share(channels, data, run, rng))
    network.train()
    began, step, mean = time.monotonic(), 0, math.nan
    while (done := _share(run, step, time.monotonic() - began)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = run.learning_rate * schedule(done)
        batch, target = data.sample(rng, run.batch, run.window)
        x, hot, classes, previous = _tensors(channels, network.head.out_channels, batch, target, run, rng, rotate)
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(x.to(device), hot.to(device))
        loss = map_loss(logits, classes.to(device), previous.to(device), run.change_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        step += 1
        value = loss.item()
        mean = value if math.isnan(mean) else 0.95 * mean + 0.05 * value
        if step % _REPORT == 0:
            progress(_share(run, step, time.monotonic() - began), f"step {step}, loss {mean:.4f}")
    network.prior.data += math.log(run.change_weight)  # see map_loss
    return step, time.monotonic() - began


def _changed_share(
    channels: tuple[Channel, ...], data: TrainingData, run: Optimisation, rng: np.random.Generator
) -> float:
    """Share of the cells of a few batches that change, with weighted change. Never exactly 0 or 1."""
    changed = known = 1.0
    for _ in range(_SAMPLED):
        batch, target = data.sample(rng, run.batch, run.window)
        land = target != OUTSIDE
        known += np.count_nonzero(land)
        changed += np.count_nonzero(land & (target != previous_map(channels, batch.fields)))
    odds = run.change_weight * changed / (known - changed + 1)
    return odds / (1 + odds)


def _share(run: Optimisation, step: int, seconds: float) -> float:
    """Share of the training that is done."""
    if run.steps is not None:
        return step / run.steps
    assert run.minutes is not None  # the options require exactly one of both
    return min(seconds / (60 * run.minutes), 1.0)


def schedule(done: float) -> float:
    """Learning rate relative to its maximum, after this share of the training."""
    if done < _WARM_UP:
        return (done + 0.1 * _WARM_UP) / (1.1 * _WARM_UP)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def _tensors(
    channels: tuple[Channel, ...],
    classes: int,
    batch: Batch,
    target: NDArray[np.int8],
    run: Optimisation,
    rng: np.random.Generator,
    rotate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Input, one-hot previous map, target, and previous map with hidden cells, of a batch."""
    fields = dict(batch.fields)
    if run.mask_share > 0:
        fields[COVER] = _hide(fields[COVER], run, rng)
    shown = previous_map(channels, fields)
    arrays: list[Tensor] = [
        encode(channels, classes, fields),
        one_hot(classes, torch.from_numpy(shown)),
        torch.from_numpy(target.astype(np.int64)),
        torch.from_numpy(shown.astype(np.int64)),
    ]
    if rotate:
        quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
        arrays = [_turned(array, quarter, mirror) for array in arrays]
    x, hot, wanted, previous = arrays
    return x.contiguous(memory_format=torch.channels_last), hot, wanted, previous


def _turned(array: Tensor, quarter: int, mirror: bool) -> Tensor:
    turned = torch.rot90(array, quarter, (-2, -1))
    return turned.flip(-1) if mirror else turned


def _hide(cover: NDArray[np.int8], run: Optimisation, rng: np.random.Generator) -> NDArray[np.int8]:
    """Hide square patches of the land in maps (B, T, Y, X)."""
    count, _, rows, cols = cover.shape
    size = run.mask_patch
    patches = rng.random((count, 1, -(-rows // size), -(-cols // size))) < run.mask_share
    hidden = patches.repeat(size, 2).repeat(size, 3)[..., :rows, :cols]
    return np.where(hidden & (cover != OUTSIDE), np.int8(HIDDEN), cover)
