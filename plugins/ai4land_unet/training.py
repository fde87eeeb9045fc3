"""Trains a U-Net on pairs of maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ai4land_coupler.api import ConfigError, RunError, Trainer, TrainingData, TrainingRun, TrainResult, sha256
from ai4land_unet.bundle import make_spec, save_bundle
from ai4land_unet.card import COVER, Architecture, Card, Channel, Training, in_channels
from ai4land_unet.checkpoint import fingerprint
from ai4land_unet.network import UNet
from ai4land_unet.optimise import Optimiser
from ai4land_unet.predictor import UNetPredictor, choose_device
from ai4land_unet.processes import joined, share_normalisation
from ai4land_unet.weights import serialise
from ai4land_unet.window import alignment, halo

if TYPE_CHECKING:
    from ai4land_unet.options import Optimisation, TrainerOptions


class UNetTrainer(Trainer):
    """Trains one network; see :class:`ai4land_unet.options.TrainerOptions`."""

    distributed = True

    def __init__(self, options: TrainerOptions) -> None:
        self._options = options

    def train(self, data: TrainingData, folder: Path, progress: TrainingRun) -> TrainResult:
        """Train, compute scores on the held-out cells, and write the bundle.

        Raises
        ------
        ConfigError
            If the channels lack the previous map, the GPU is not available, or the batch cannot be shared.
        RunError
            If the training diverged or was interrupted. The folder is as it was.
        """
        options, run = self._options, self._options.optimisation
        channels = tuple(Channel.of(c, options.architecture.cover) for c in data.channels)
        if sum(c.name == COVER and c.offset == -1 for c in channels) != 1:
            found = [(c.name, c.offset) for c in channels]
            raise ConfigError("a U-Net needs the previous map", expected=f"{COVER} at offset -1", found=found)
        classes, depth = len(data.legend.view), options.architecture.depth
        shape = Architecture(
            in_channels=in_channels(channels, classes),
            width=options.architecture.width,
            depth=depth,
            classes=classes,
            heads=options.architecture.heads,
        )
        device = choose_device(run.device)
        with _settings(run), joined(device) as processes:
            _check_shares(run.batch, processes.size)
            two = shape.heads == "two"
            network = UNet(shape.in_channels, shape.width, depth, classes, run.dropout, two_heads=two)
            if processes.size > 1:
                share_normalisation(network)
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            mark = fingerprint(options, data)
            done = Optimiser(network, channels, data, run, progress, processes, mark).train()
            threads = torch.get_num_threads()
            network.cpu().eval()
            if not all(torch.isfinite(values).all() for values in network.state_dict().values()):
                raise RunError(
                    "the training diverged: the weights are not finite",
                    where="optimisation",
                    remedy="take a smaller learning_rate. No bundle was written; an older one is as it was",
                )
            if processes.rank > 0:  # rank 0 alone scores and writes
                processes.barrier()
                return TrainResult(folder, sha256(serialise(network)), done.step, done.seconds, {})
            spec = make_spec(
                channels, data.legend.name, data.step, data.direction, align=alignment(depth), halo=halo(depth)
            )
            progress(1.0, "scoring")
            metrics = data.evaluate(UNetPredictor(network, channels, spec, device=run.device))
            processes.barrier()
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
                steps=done.step,
                windows=done.step * run.batch,
                seconds=round(done.seconds, 1),
                torch=torch.__version__,
                device=str(device),
                threads=threads,
            ),
        )
        save_bundle(folder, card, weights)
        return TrainResult(folder, card.weights_sha256, done.step, done.seconds, metrics)


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


def _check_shares(batch: int, processes: int) -> None:
    if batch % processes:
        raise ConfigError(
            "the windows of a step cannot be shared equally",
            expected=f"a multiple of {processes}, the number of processes",
            found=batch,
            where="optimisation.batch",
        )
