"""The networks: small, in numpy, with one output for each class, between the least and the most that was observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ai4land_lai.card import LeafRange

#: Cells that go through the networks together: their layers then stay in the processor's cache.
_STRIP = 1 << 12

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Networks:
    """An ensemble of networks with two hidden layers.

    The leaf area index of class c is least_c + (most_c - least_c) * sigmoid(u_c), so no input takes a class out of its
    range. u_c is the output of the network for the class.

    Parameters
    ----------
    first, second, third:
        Weights of the layers (member, from, to), float32. The last row of each belongs to a constant input of 1.
    least, most:
        Observed range of the leaf area index of each class (class,), float32.
    noise:
        Standard deviation of what no member explains, by class and month of the season (class, 12), float32.
    """

    first: Array
    second: Array
    third: Array
    least: Array
    most: Array
    noise: Array

    @property
    def hidden(self) -> int:
        """Width of the hidden layers."""
        return int(self.first.shape[2])

    def class_leaves(self, table: Array, classes: NDArray[np.integer]) -> tuple[Array, Array]:
        """Leaf area index of one class in each cell.

        Parameters
        ----------
        table:
            Inputs (n, feature) of :class:`ai4land_lai.features.Features`.
        classes:
            The class of each cell, (n,).

        Returns
        -------
        Mean and variance of the members, (n,) each, in m2 m-2 and its square.
        """
        mean, variance = np.empty(len(table), np.float32), np.empty(len(table), np.float32)
        for start in range(0, len(table), _STRIP):
            part = slice(start, start + _STRIP)
            shares = self._shares(table[part], classes[part])
            least, most = self.least[classes[part]], self.most[classes[part]]
            mean[part] = np.clip(least + (most - least) * shares.mean(axis=0), least, most)
            variance[part] = np.square(most - least) * shares.var(axis=0)
        return mean, variance

    def _shares(self, table: Array, classes: NDArray[np.integer]) -> Array:
        """Place of each cell in the range of its class, 0 to 1, (member, n)."""
        outputs = np.empty((len(self.first), len(table)), np.float32)
        cell = np.arange(len(table))
        for member, layers in enumerate(zip(self.first, self.second, self.third, strict=True)):
            values = table
            for number, layer in enumerate(layers):
                values = values @ layer[:-1]
                values += layer[-1]
                if number < 2:
                    np.maximum(values, 0, out=values)
            outputs[member] = values[cell, classes]
        # Beyond 30 the function does not change in float32, and exp would overflow.
        return np.asarray(1 / (1 + np.exp(-np.clip(outputs, -30, 30))))

    def arrays(self) -> dict[str, Array]:
        """The arrays by name, for a bundle."""
        return {name: getattr(self, name) for name in ("first", "second", "third", "noise")}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], features: int, ranges: Mapping[str, LeafRange]) -> Self:
        """The networks of a bundle.

        Parameters
        ----------
        features:
            Number of inputs that the card describes.
        ranges:
            Range of each class, from the card.

        Raises
        ------
        ValueError
            An array is missing, or has another type or shape, or is not finite.
        """
        members, _, hidden = arrays["first"].shape if "first" in arrays and arrays["first"].ndim == 3 else (0, 0, 0)
        shapes = {
            "first": (members, features + 1, hidden),
            "second": (members, hidden + 1, hidden),
            "third": (members, hidden + 1, len(ranges)),
            "noise": (len(ranges), 12),
        }
        for name, shape in shapes.items():
            values = arrays.get(name)
            if values is None or values.dtype != np.float32 or values.shape != shape or not members:
                found = None if values is None else (str(values.dtype), values.shape)
                raise ValueError(f"{name}: expected float32 {shape}, found {found}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} is not finite")
        least, most = (np.array([getattr(r, key) for r in ranges.values()], np.float32) for key in ("least", "most"))
        return cls(**{name: arrays[name] for name in shapes}, least=least, most=most)
