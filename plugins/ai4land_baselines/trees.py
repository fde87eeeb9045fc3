"""Decision trees as plain arrays: what gradient boosting is at the time of prediction. Needs no scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Marks a leaf in ``Trees.feature``.
LEAF = -1
#: Start of a class that no training cell changes to.
_IMPOSSIBLE = -30.0


@dataclass(frozen=True)
class Trees:
    """The trees of one model; each output is the sum of its trees.

    Parameters
    ----------
    feature:
        Feature that each node asks for, int16 (nodes,); :data:`LEAF` for leaves.
    threshold:
        A cell goes left if its feature is at most this, float32 (nodes,).
    left, right:
        The nodes below, int32 (nodes,), above the number of their parent.
    value:
        What a leaf adds, float64 (nodes,).
    roots:
        First node of each tree, int32 (rounds, outputs).
    start:
        Value of each output before the first tree, float64 (outputs,).
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    roots: NDArray[np.int32]
    start: NDArray[np.float64]

    def sums(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The outputs before the link function, (outputs, n), of features (feature, n).

        It is fastest for some thousands of cells at a time.
        """
        sums = np.repeat(self.start[:, None], features.shape[1], axis=1)
        for trees in self.roots.tolist():
            for output, root in enumerate(trees):
                self._add(root, features, sums[output])
        return sums

    def _add(self, root: int, features: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
        """Add one tree: all cells start at the root, and each node divides its cells between the two below."""
        waiting: list[tuple[int, NDArray[Any]]] = [(root, np.arange(features.shape[1]))]
        while waiting:
            node, cells = waiting.pop()
            feature = self.feature[node]
            if feature == LEAF:
                sums[cells] += self.value[node]
                continue
            goes_left = features[feature].take(cells) <= self.threshold[node]
            for below, its in ((self.left[node], cells[goes_left]), (self.right[node], cells[~goes_left])):
                if its.size:
                    waiting.append((int(below), its))

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays by name, for a bundle."""
        return {f"{prefix}.{name}": getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, features: int) -> Trees:
        """The trees of a bundle.

        Parameters
        ----------
        features:
            Number of features that the predictor has.

        Raises
        ------
        ValueError
            An array is missing or has another type or shape, or a node refers to something that does not exist.
        """
        found = {}
        for name, kind in _TYPES.items():
            values = arrays.get(f"{prefix}.{name}")
            if values is None or values.dtype != kind or values.ndim != (2 if name == "roots" else 1):
                raise ValueError(f"{prefix}.{name} is missing, or is not an array of {kind}")
            found[name] = values
        trees = cls(**found)
        nodes = trees.feature.size
        inner = np.flatnonzero(trees.feature != LEAF)
        right_sizes = all(found[name].size == nodes for name in ("threshold", "left", "right", "value"))
        if not right_sizes or trees.roots.shape[1] != trees.start.size:
            raise ValueError(f"the arrays of {prefix} differ in length")
        if trees.feature.max(initial=LEAF) >= features or trees.feature.min(initial=LEAF) < LEAF:
            raise ValueError(f"a node of {prefix} asks for a feature that the card does not have")
        for name in ("left", "right"):
            below = found[name][inner]
            if not ((below > inner) & (below < nodes)).all():
                raise ValueError(f"a node of {prefix} has no node below it")
        if not ((trees.roots >= 0) & (trees.roots < nodes)).all():
            raise ValueError(f"a tree of {prefix} has no root")
        return trees


_TYPES = {
    "feature": "int16",
    "threshold": "float32",
    "left": "int32",
    "right": "int32",
    "value": "float64",
    "roots": "int32",
    "start": "float64",
}


def from_sklearn(model: Any) -> Trees:
    """The trees of a fitted ``HistGradientBoostingClassifier`` without categories and without missing values.

    Its nodes are ``PREDICTOR_RECORD_DTYPE`` of ``sklearn/ensemble/_hist_gradient_boosting/common.pyx``.
    Thresholds are rounded down to float32: for features in float32 the comparison is then the same.
    """
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    roots: list[list[int]] = []
    nodes = 0
    for trees in model._predictors:
        roots.append([])
        for tree in trees:
            records = tree.nodes
            leaf = records["is_leaf"].astype(bool)
            if records["is_categorical"].any():
                raise ValueError("trees with categories cannot be converted")
            threshold = records["num_threshold"].astype(np.float32)
            above = threshold > records["num_threshold"]
            threshold[above] = np.nextafter(threshold[above], np.float32(-np.inf))
            parts["feature"].append(np.where(leaf, LEAF, records["feature_idx"]).astype(np.int16))
            parts["threshold"].append(np.where(leaf, np.float32(0), threshold))
            for side in ("left", "right"):
                parts[side].append(np.where(leaf, 0, records[side].astype(np.int64) + nodes).astype(np.int32))
            parts["value"].append(np.where(leaf, records["value"], 0.0))
            roots[-1].append(nodes)
            nodes += records.size
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    start = np.asarray(model._baseline_prediction, np.float64).reshape(-1)
    return Trees(**joined, roots=np.array(roots, np.int32).reshape(-1, start.size), start=start)


def spread(trees: Trees, labels: NDArray[np.int64], classes: int) -> Trees:
    """The trees of a model of some classes as trees of all classes, of which the others are next to impossible.

    Parameters
    ----------
    labels:
        The classes of the model, in order. A model of two classes has one output, the log-odds of the second.
    """
    nothing = trees.feature.size  # one more leaf, which adds 0
    roots = np.full((len(trees.roots), classes), nothing, np.int32)
    start = np.full(classes, _IMPOSSIBLE)
    known = labels[-trees.start.size :]
    start[labels] = 0.0
    start[known], roots[:, known] = trees.start, trees.roots
    leaf = {"feature": LEAF, "threshold": 0, "left": 0, "right": 0, "value": 0}
    longer = {name: np.append(getattr(trees, name), np.array(end, _TYPES[name])) for name, end in leaf.items()}
    return Trees(**longer, roots=roots, start=start)
