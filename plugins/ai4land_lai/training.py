"""Trains the networks with torch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from ai4land_coupler.api import (
    ConfigError,
    FieldTrainingData,
    RunError,
    Trainer,
    TrainingRun,
    TrainResult,
    nearest,
    sha256,
)
from ai4land_coupler.api import save_bundle as write_bundle
from ai4land_lai.bundle import WEIGHTS
from ai4land_lai.card import Card, LeafRange
from ai4land_lai.features import Features
from ai4land_lai.network import Networks
from ai4land_lai.options import LaiTrainerOptions
from ai4land_lai.samples import Samples, collect, inputs_of, ranges_of, vegetation_of

#: Samples for which the noise of a class and month and that of all have equal weights.
_ENOUGH = 30.0


class LaiTrainer(Trainer):
    """Trains an ensemble; see :class:`ai4land_lai.options.LaiTrainerOptions`."""

    target = "lai"

    def __init__(self, options: LaiTrainerOptions) -> None:
        self._options = options

    # `target` tells which data a trainer gets, which a type checker cannot know.
    def train(self, data: FieldTrainingData, folder: Path, progress: TrainingRun) -> TrainResult:  # type: ignore[override]
        """Train, compute scores on the held-out cells, and write the bundle.

        Raises
        ------
        ConfigError
            If there are no samples, or the options name a class that the legend lacks.
        RunError
            If the training diverged or was interrupted. The folder is as it was.
        """
        began, options, legend = time.monotonic(), self._options, data.legend
        for name in options.vegetation:
            if name not in legend.classes:
                raise ConfigError(
                    f"legend {legend.name!r} has no such class",
                    found=name,
                    where="trainer 'lai', option vegetation",
                    remedy=nearest(name, legend.classes),
                )
        features = Features(len(legend.view), options.radii, inputs_of(data))
        rng = np.random.default_rng(options.seed)
        read = partial(
            collect, data, features, block=options.block, groups=options.members, most=options.samples, rng=rng
        )
        progress(0.0, "reading")
        samples = read()
        ranges = ranges_of(samples, vegetation_of(legend, options.vegetation))
        networks = fit(samples, ranges, options, progress)
        metrics: dict[str, Any] = {}
        if data.has_held_out:
            held_out = read(held_out=True)
            metrics = scores(networks, samples, held_out)
        content = save({name: np.ascontiguousarray(values) for name, values in networks.arrays().items()})
        card = Card(
            **options.model_dump(include={"name", "description", "licence", "radii"}),
            legend=legend.name,
            classes={item.name: item.codes for item in legend.view},
            ranges=ranges,
            inputs=features.inputs,
            weights_sha256=sha256(content),
            metrics=metrics,
            training={
                "record": dict(data.record),
                "options": options.model_dump(mode="json"),
                "samples": samples.leaves.size,
                "torch": torch.__version__,
            },
        )
        write_bundle(folder, card, WEIGHTS, content)
        return TrainResult(folder, card.weights_sha256, options.steps, time.monotonic() - began, metrics)


def fit(
    samples: Samples, ranges: Mapping[str, LeafRange], options: LaiTrainerOptions, progress: TrainingRun
) -> Networks:
    """Train the networks on samples, each without one of the groups.

    All members are trained at once, on the same samples, by AdamW (Loshchilov and Hutter 2019,
    https://arxiv.org/abs/1711.05101) with a warm start and a cosine end of the learning rate. The last layer is the sum
    of one that all classes share and one of each class, so that rare classes borrow from others.

    Raises
    ------
    ConfigError
        If there are no samples of classes with vegetation.
    RunError
        If the training diverged or was interrupted.
    """
    green = np.array([item.vegetation != "none" for item in ranges.values()])
    samples = samples.only(green[samples.classes])
    if not samples.leaves.size:
        raise ConfigError("there is no cell to train with", remedy="check region, years and held-out part")
    with _threads(options.threads):
        layers = _optimise(samples, ranges, options, progress)
    least, most = (np.array([getattr(r, key) for r in ranges.values()], np.float32) for key in ("least", "most"))
    networks = Networks(*layers, least, most, np.zeros((len(ranges), 12), np.float32))
    return replace(networks, noise=_noise(networks, samples))


def _optimise(
    samples: Samples, ranges: Mapping[str, LeafRange], options: LaiTrainerOptions, progress: TrainingRun
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The weights of the three layers, as :class:`ai4land_lai.network.Networks` has them."""
    members, hidden, features = options.members, options.hidden, samples.table.shape[1]
    generator = torch.Generator().manual_seed(options.seed)

    def start(inputs: int, outputs: int) -> torch.Tensor:
        """He et al. (2015, https://arxiv.org/abs/1502.01852); the last row is the constant."""
        weights: torch.Tensor = torch.randn(members, inputs + 1, outputs, generator=generator) * (2 / inputs) ** 0.5
        weights[:, -1] = 0
        return weights.requires_grad_()

    first, second, common = start(features, hidden), start(hidden, hidden), start(hidden, 1)
    own = torch.zeros(members, hidden + 1, len(ranges), requires_grad=True)
    parameters = [first, second, common, own]
    optimiser = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=options.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, total_steps=options.steps)
    table, leaves = torch.from_numpy(samples.table), torch.from_numpy(samples.leaves)
    classes = torch.from_numpy(samples.classes)
    shown = torch.from_numpy(samples.group)[None] != torch.arange(members)[:, None]
    least, most = (torch.tensor([getattr(r, key) for r in ranges.values()]) for key in ("least", "most"))
    for step in range(options.steps):
        if progress.stopped:
            raise RunError("the training was interrupted", remedy="start it again; an older bundle is as it was")
        pick = torch.randint(len(leaves), (options.batch,), generator=generator)
        values = table[pick].expand(members, -1, -1)
        for layer in (first, second):
            values = torch.relu(torch.baddbmm(layer[:, -1:], values, layer[:, :-1]))
        third = common + own
        outputs = torch.baddbmm(third[:, -1:], values, third[:, :-1])
        kinds = classes[pick]
        place = torch.sigmoid(outputs.gather(2, kinds.expand(members, -1)[..., None])[..., 0])
        found = least[kinds] + (most - least)[kinds] * place
        loss = (torch.square(found - leaves[pick]) * shown[:, pick]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0 or step == options.steps - 1:
            value = float(loss.detach())
            if not np.isfinite(value):
                raise RunError(
                    "the training diverged",
                    where="trainer 'lai'",
                    remedy="take a smaller learning_rate. No bundle was written; an older one is as it was",
                )
            progress.record(step, {"loss": value})
            progress(step / options.steps, f"loss {value:.4f}")
    return first.detach().numpy(), second.detach().numpy(), (common + own).detach().numpy()


def _noise(networks: Networks, samples: Samples) -> NDArray[np.float32]:
    """Standard deviation by class and month of what the members do not explain.

    Each sample is predicted by the member that was trained without its group. The mean of the squared errors is that of
    the members' variance and the noise together; few samples are drawn towards all.
    """
    squares = np.empty(samples.leaves.size)
    for member in range(len(networks.first)):
        its = samples.group == member
        layers = (getattr(networks, name)[member : member + 1] for name in ("first", "second", "third"))
        one = replace(networks, **dict(zip(("first", "second", "third"), layers, strict=True)))
        squares[its] = np.square(one.class_leaves(samples.table[its], samples.classes[its])[0] - samples.leaves[its])
    _, variance = networks.class_leaves(samples.table, samples.classes)
    cell = samples.classes * 12 + samples.season
    count = np.bincount(cell, minlength=networks.noise.size)
    excess = np.bincount(cell, squares - variance, networks.noise.size)
    of_all = float((squares - variance).mean())
    found = (excess + _ENOUGH * of_all) / (count + _ENOUGH)
    return np.asarray(np.sqrt(np.maximum(found, 0)).reshape(networks.noise.shape), np.float32)


def climatology(samples: Samples, classes: int) -> NDArray[np.float64]:
    """Mean leaf area index by class and month of the season, (class, 12); the mean of the month without samples."""
    cell = samples.classes * 12 + samples.season
    count = np.bincount(cell, minlength=classes * 12).reshape(classes, 12)
    total = np.bincount(cell, samples.leaves, classes * 12).reshape(classes, 12)
    of_month = total.sum(axis=0) / np.maximum(count.sum(axis=0), 1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), of_month))


def scores(networks: Networks, training: Samples, held_out: Samples) -> dict[str, Any]:
    """RMSE, bias, R2, and R2 of the departures from the class-month climatology of the training samples."""
    found, _ = networks.class_leaves(held_out.table, held_out.classes)
    usual = climatology(training, len(networks.least))[held_out.classes, held_out.season]
    observed = held_out.leaves.astype(np.float64)
    squares = float(np.square(found - observed).sum())
    spread = float(np.square(observed - observed.mean()).sum())
    departures = float(np.square(observed - usual).sum())
    return {
        "samples": observed.size,
        "rmse": (squares / observed.size) ** 0.5,
        "bias": float((found - observed).mean()),
        "r2": 1 - squares / spread if spread else None,
        "r2_departures": 1 - squares / departures if departures else None,
        "r2_climatology": 1 - departures / spread if spread else None,
    }


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Set the threads of torch during the training, and restore them."""
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
