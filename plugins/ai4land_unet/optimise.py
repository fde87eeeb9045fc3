"""The steps of a training: optimiser, validation, checkpoints, and when to give up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ai4land_coupler.api import OUTSIDE, RunError, TrainingData, TrainingRun
from ai4land_unet.batches import StepWindows, Tensors, Window, read_ahead, to_tensors
from ai4land_unet.card import Channel
from ai4land_unet.checkpoint import Progress, load_checkpoint, save_checkpoint
from ai4land_unet.encoding import previous_map
from ai4land_unet.losses import weighted_entropy
from ai4land_unet.network import UNet
from ai4land_unet.processes import Processes

if TYPE_CHECKING:
    from ai4land_unet.options import Optimisation

#: Share of the training during which the learning rate rises to its maximum.
_WARM_UP = 0.05
#: Largest norm of the gradients.
_CLIP = 1.0
#: Number of batches that are drawn before the training to estimate how much land changes.
_SAMPLED = 10
#: Steps between two progress messages.
_REPORT = 20
#: A training whose mean loss is so many times that of equally likely classes has diverged.
_DIVERGED = 10.0


@dataclass
class Optimiser:
    """One training of a network.

    Parameters
    ----------
    mark:
        Digest of all that the training depends on; a checkpoint with another one is refused.
    """

    network: UNet
    channels: tuple[Channel, ...]
    data: TrainingData
    options: Optimisation
    run: TrainingRun
    processes: Processes
    mark: str

    def __post_init__(self) -> None:
        options = self.options
        self.device = next(self.network.parameters()).device
        self.classes = self.network.classes
        self.adamw = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.dtype = torch.bfloat16 if options.dtype == "bfloat16" else torch.float32
        self.windows = self._step_windows(held_out=False)
        self.held_out: list[list[Window]] = []
        self.progress = Progress()

    def train(self) -> Progress:
        """Train with AdamW, warm-up and cosine decay. The network has the best or the last weights afterwards.

        Raises
        ------
        RunError
            If the training diverged, or was interrupted.
        """
        options = self.options
        self._start()
        if self.data.has_held_out and options.validations:
            held_out = self._step_windows(held_out=True)
            self.held_out = [held_out[step] for step in range(-(-options.validation_windows // options.batch))]
        self.run.waits = True
        try:
            self._take_steps()
        finally:
            self.run.waits = False
        if options.keep == "best" and self.progress.best is not None:
            self.network.load_state_dict(self.progress.best)
        elif self.progress.averaged is not None:
            self.network.load_state_dict(self.progress.averaged)
        self.network.prior.data += math.log(options.change_weight)  # see weighted_entropy
        return self.progress

    def _take_steps(self) -> None:
        """All steps that are left, with validations and checkpoints."""
        run, options = self.run, self.options
        self.network.train()
        wrapped = self.processes.wrap(self.network)
        source = read_ahead(self.windows, self.progress.step, options.steps, run.workers)
        clock = _Clock(self.progress.seconds)
        validated = self._validations(self._share(clock.seconds))
        while (done := self._share(clock.seconds)) < 1:
            loss, stopped = self._step(wrapped, next(source), done)
            self.progress.seconds = clock.seconds
            self._guard(loss)
            done = self._share(clock.seconds)
            if self._validations(done) > validated or done >= 1:
                validated = self._validations(done)
                self._validate()
            if self.progress.step % _REPORT == 0:
                speed = clock.speed(_REPORT * options.batch)
                run(min(done, 1.0), f"step {self.progress.step}, loss {self.progress.mean:.4f}, {speed:.3g} windows/s")
            if stopped or done >= 1 or clock.due(run.every):
                self._save()
            if stopped:
                raise self._interrupted()

    # ---- before the first step ---------------------------------------------------------------------------------

    def _start(self) -> None:
        """Continue from a checkpoint, or start from the map that does not change."""
        run = self.run
        if run.resume and run.work is not None:
            found = load_checkpoint(run.work, self.mark, self.network, self.adamw)
            if found is not None:
                self.progress = found
                run.continue_from(found.step)
                run(0.0, f"continuing after step {found.step}")
                return
            run(0.0, "there is no checkpoint: starting from the beginning")
        run.continue_from(0)
        self.network.start_from_persistence(self._changed_share())

    def _changed_share(self) -> float:
        """Share of the cells of a few batches that change, with weighted change. Never exactly 0 or 1."""
        options = self.options
        changed = known = 1.0
        spec = StepWindows(self.data, self.channels, options).spec
        for number in range(_SAMPLED * options.batch):
            batch, target = self.data.window(number, options.window, seed=options.seed, spec=spec)
            land = target != OUTSIDE
            known += np.count_nonzero(land)
            changed += np.count_nonzero(land & (target != previous_map(self.channels, batch.fields)[0]))
        odds = options.change_weight * changed / (known - changed + 1)
        return odds / (1 + odds)

    def _step_windows(self, *, held_out: bool) -> StepWindows:
        return StepWindows(
            self.data,
            self.channels,
            self.options,
            rank=self.processes.rank,
            size=self.processes.size,
            held_out=held_out,
        )

    # ---- steps -------------------------------------------------------------------------------------------------

    def _step(self, network: nn.Module, windows: list[Window], done: float) -> tuple[float, bool]:
        """One step. Returns the loss, and whether any process was asked to stop."""
        options, step = self.options, self.progress.step
        # Dropout depends on the step alone, so a training that was continued gives the same weights.
        torch.manual_seed(hash((options.seed, step, self.processes.rank)) % 2**63)
        rate = options.learning_rate * schedule(done)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        batch = to_tensors(self.channels, self.classes, windows, self.device)
        summed, weight = self._entropy(network, batch, options.change_weight)
        stopped = float(self.run.stopped)
        totals = torch.stack([weight.detach(), torch.tensor(stopped, device=self.device)])
        totals = self.processes.total(totals)
        loss = summed / totals[0].clamp_min(1.0)
        self.adamw.zero_grad(set_to_none=True)
        # Gradients are averaged over the processes, but the loss is a sum over them.
        (loss * self.processes.size).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self.adamw.step()
        value = float(self.processes.total(loss.detach().clone()))
        progress = self.progress
        progress.step += 1
        if options.average:  # the first steps count alike
            share = max(1 - options.average, 1 / progress.step)
            progress.averaged = running_mean(progress.averaged, self.network.state_dict(), share)
        progress.mean = value if math.isnan(progress.mean) else 0.95 * progress.mean + 0.05 * value
        self.run.record(progress.step, {"loss": value, "learning_rate": rate})
        return value, bool(totals[1] > 0)

    def _entropy(self, network: nn.Module, batch: Tensors, change_weight: float) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = network(batch.x, batch.hot)
        return weighted_entropy(logits, batch.target, batch.previous, change_weight)

    def _validate(self) -> None:
        """Compute the loss on held-out land, and remember the weights if they are the best so far."""
        if not self.held_out:
            return
        last = None
        if self.progress.averaged is not None:
            last = {name: values.clone() for name, values in self.network.state_dict().items()}
            self.network.load_state_dict(self.progress.averaged)
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.network.eval()
        with torch.no_grad():
            shift = math.log(self.options.change_weight)
            self.network.prior.data += shift
            for windows in self.held_out:
                batch = to_tensors(self.channels, self.classes, windows, self.device)
                totals += torch.stack(self._entropy(self.network, batch, 1.0)).double()
            self.network.prior.data -= shift
        self.network.train()
        summed, weight = self.processes.total(totals).tolist()
        loss, progress = summed / max(weight, 1.0), self.progress
        self.run.record(progress.step, {"validation_loss": loss})
        if loss < progress.best_loss:
            progress.best_loss, progress.best_step = loss, progress.step
            progress.best = {name: values.detach().clone() for name, values in self.network.state_dict().items()}
        if last is not None:
            self.network.load_state_dict(last)

    def _share(self, seconds: float) -> float:
        """Share of the training that is done."""
        if self.options.steps is not None:
            return self.progress.step / self.options.steps
        assert self.options.minutes is not None  # the options require exactly one of both
        share = torch.tensor(min(seconds / (60 * self.options.minutes), 1.0), dtype=torch.float64)
        if self.processes.size > 1:  # the processes must end together
            share = self.processes.total(share.to(self.device)) / self.processes.size
        return float(share)

    def _validations(self, done: float) -> int:
        """How many validations belong to a share of the training."""
        return math.floor(done * self.options.validations + 1e-9)

    # ---- ends before the end -----------------------------------------------------------------------------------

    def _guard(self, loss: float) -> None:
        if math.isfinite(loss) and self.progress.mean < _DIVERGED * math.log(self.classes):
            return
        raise RunError(
            "the training diverged",
            expected=f"a loss that falls below {math.log(self.classes):.3g}, that of equally likely classes",
            found=f"a loss of {loss:.4g} at step {self.progress.step}, and a running mean of {self.progress.mean:.4g}",
            where="optimisation",
            remedy="take a smaller learning_rate. No bundle was written; an older one is as it was",
        )

    def _save(self) -> None:
        if self.run.work is not None and self.processes.rank == 0:
            save_checkpoint(self.run.work, self.mark, self.network, self.adamw, self.progress)

    def _interrupted(self) -> RunError:
        kept = self.run.work is not None
        return RunError(
            "the training was interrupted",
            found=f"a signal after step {self.progress.step}",
            where=self.run.work,
            remedy="continue with --resume. No bundle was written; an older one is as it was" if kept else None,
        )


class _Clock:
    """Time of the training, with the time before it was continued."""

    def __init__(self, before: float, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now() - before
        self._saved = self._reported = now()

    @property
    def seconds(self) -> float:
        return self._now() - self._began

    def due(self, every: float) -> bool:
        """Whether so many seconds have gone by since the last time that it was true."""
        if self._now() - self._saved < every:
            return False
        self._saved = self._now()
        return True

    def speed(self, count: int) -> float:
        """``count`` by the seconds since the last call."""
        before, self._reported = self._reported, self._now()
        return count / max(self._reported - before, 1e-9)


def running_mean(mean: dict[str, Tensor] | None, state: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """A running mean of the weights of a network, after a state that counts by ``share``."""
    if mean is None:
        return {name: values.clone() for name, values in state.items()}
    for name, values in mean.items():
        if values.is_floating_point():
            values.lerp_(state[name], share)
        else:
            values.copy_(state[name])
    return mean


def schedule(done: float) -> float:
    """Learning rate relative to its maximum, after this share of the training."""
    if done < _WARM_UP:
        return (done + 0.1 * _WARM_UP) / (1.1 * _WARM_UP)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))
