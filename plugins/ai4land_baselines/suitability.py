"""The suitability of a cell for each class: how likely trees find the class where the cell lies, whatever it is now.

The trees know the static fields and the shares of the classes around the cell, without the cell itself. They learn from
all land of the training maps, not only from the few cells that change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ai4land_baselines.trees import Trees

#: Least logarithm of a probability: a class that is nearly impossible is as good as any other such class.
_LEAST = -12.0


def suitability_features(
    trees: Trees, surroundings: NDArray[np.float32], current: NDArray[np.int8]
) -> NDArray[np.float32]:
    """The features that the trees of change and of the new class get.

    Parameters
    ----------
    surroundings:
        From :meth:`ai4land_baselines.features.WindowFeatures.surroundings`, (feature, n).
    current:
        Present class of each cell, (n,).

    Returns
    -------
    For each class the logarithm of its probability, then the difference between that and the one of the present
    class, (2 * class, n).
    """
    values = trees.sums(surroundings)
    values -= values.max(axis=0)
    values -= np.log(np.exp(values).sum(axis=0))
    np.maximum(values, _LEAST, out=values)
    present = values[current, np.arange(current.size)]
    return np.concatenate([values, values - present]).astype(np.float32)
