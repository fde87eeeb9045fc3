"""The loss of a map of classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ai4land_coupler.api import OUTSIDE


def map_loss(logits: Tensor, target: Tensor, previous: Tensor, change_weight: float = 1.0) -> Tensor:
    """Mean cross entropy over the cells that have a target.

    With ``change_weight`` 1 it is a proper score: it is least for the true probabilities, and the amount of
    change that they imply is the right one. A larger weight finds more change and overstates its probability.

    Parameters
    ----------
    logits:
        (B, class, Y, X).
    target, previous:
        Classes (B, Y, X), int64; -1 where there is no land or the cell is held out.
    change_weight:
        Weight of a cell whose class changes, relative to one that stays.

    Returns
    -------
    Scalar; zero where no cell has a target.
    """
    each = functional.cross_entropy(logits, target, ignore_index=OUTSIDE, reduction="none")
    weight = (target != OUTSIDE).to(each.dtype)
    if change_weight != 1:
        weight = torch.where(target != previous, weight * change_weight, weight)
    return (each * weight).sum() / weight.sum().clamp_min(1.0)
