"""Training in several processes that ``torchrun`` starts: data-parallel, with the results of one process.

The processes share the windows of each step. Sums of the loss and the statistics of the normalisation go over all of
them, so that the number of processes does not change the training (beyond rounding).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

#: How long a process waits for another one: rank 0 scores and writes while the others wait.
_PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class Processes:
    """The processes of a training. A single process needs no communication."""

    rank: int = 0
    size: int = 1

    def total(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network for the training: gradients are averaged over all processes."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network, broadcast_buffers=False)

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started, if it did."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def share_normalisation(network: nn.Module) -> None:
    """Let each BatchNorm of a network use the statistics of all processes."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.load_state_dict(child.state_dict())
            setattr(network, name, shared)
        else:
            share_normalisation(child)


class SharedBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the batches of all processes. ``torch.nn.SyncBatchNorm`` exists for GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = torch.tensor([float(x.numel() // x.shape[1])], device=x.device)
        sums = all_reduce(torch.cat([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count]))
        n = sums[-1]
        mean, squares = sums[: self.num_features] / n, sums[self.num_features : -1] / n
        variance = (squares - mean.square()).clamp_min(0)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum or 0.0)
        scale = self.weight * (variance + self.eps).rsqrt()
        result: Tensor = (wide - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        return result.to(x.dtype)
