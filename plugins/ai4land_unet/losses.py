"""The loss of a map of classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ai4land_coupler.api import OUTSIDE


def map_loss(logits: Tensor, target: Tensor, previous: Tensor, change_weight: float = 1.0) -> Tensor:
    """Mean cross entropy over the cells that have a target.

    With ``change_weight`` 1 it is a proper score: it is least for the true probabilities. With a weight w it is
    least for probabilities whose odds of change are w times too large, so adding log(w) to the logit of the
    class shown as the previous one makes them true again (the trainer does that to the network's prior).

    Parameters
    ----------
    logits:
        (B, class, Y, X).
    target:
        Classes (B, Y, X), int64; -1 where there is no land or the cell is held out.
    previous:
        Classes that the network was shown; negative where there is no land or the class was hidden.
    change_weight:
        Weight of a cell that is seen to change, relative to others.

    Returns
    -------
    Scalar; zero where no cell has a target.
    """
    each = functional.cross_entropy(logits, target, ignore_index=OUTSIDE, reduction="none")
    weight = (target != OUTSIDE).to(each.dtype)
    if change_weight != 1:
        weight = torch.where((target != previous) & (previous >= 0), weight * change_weight, weight)
    return (each * weight).sum() / weight.sum().clamp_min(1.0)
