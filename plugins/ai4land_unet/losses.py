"""The loss of a map of classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ai4land_coupler.api import OUTSIDE


def weighted_entropy(
    logits: Tensor, target: Tensor, previous: Tensor, change_weight: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Cross entropy over the cells that have a target: its weighted sum, and the sum of the weights.

    With ``change_weight`` 1 their ratio is a proper score: the true probabilities minimise it. With a weight w it is
    minimised by probabilities whose odds of change are w times too large. Adding log(w) to the logit of the previous
    class corrects them (the trainer adds it to the network's prior).

    Parameters
    ----------
    logits:
        (B, class, Y, X).
    target:
        Classes (B, Y, X), int64; -1 outside of the land and in cells that are held out.
    previous:
        Classes in the input of the network; negative outside of the land and where the class was hidden.
    change_weight:
        Weight of cells that change, relative to others.
    """
    each = functional.cross_entropy(logits, target, ignore_index=OUTSIDE, reduction="none")
    weight = (target != OUTSIDE).to(each.dtype)
    if change_weight != 1:
        weight = torch.where((target != previous) & (previous >= 0), weight * change_weight, weight)
    return (each * weight).sum(), weight.sum()
