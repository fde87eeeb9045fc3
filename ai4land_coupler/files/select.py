"""Finds positions along a dimension of a netCDF variable by coordinate value, by name, or by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError, nearest

#: A coordinate may differ from the value that is asked for by this share (single precision).
_ROUNDING = 1e-6


def find_positions(dataset: Any, name: str, dim: str, wanted: Sequence[int | float | str], where: object) -> list[int]:
    """Positions along a dimension of a variable, one for each wanted value.

    A number is the value of the coordinate of the dimension. Without a coordinate it is a position, counted from 0.
    A text is a name: a value of a coordinate of texts (CF 1.11, section 6.1: a variable of the attribute
    ``coordinates``, or one with the name of the dimension), or a word of ``flag_meanings`` of the coordinate.

    Raises
    ------
    DataError
        The variable has no such dimension, or there is no such value, or it is there twice.
    """
    variable = dataset[name]
    if dim not in variable.dimensions:
        raise DataError(
            f"variable {name!r} has no dimension {dim!r}, along which `select` chooses",
            expected=f"one of {', '.join(variable.dimensions)}",
            where=where,
            remedy=nearest(dim, variable.dimensions),
        )
    size = dataset.dimensions[dim].size if dim in dataset.dimensions else variable.shape[variable.dimensions.index(dim)]
    names, numbers = _names(dataset, variable, dim), _numbers(dataset, dim)
    found = []
    for value in wanted:
        if isinstance(value, str):
            at = [i for i, label in enumerate(names) if label == value]
            known = nearest(value, {label for label in names if label})
        elif numbers is not None:
            at = np.flatnonzero(np.isclose(numbers, value, rtol=_ROUNDING, atol=1e-12)).tolist()
            known = f"its coordinate has the values {_some(numbers)}"
        else:
            at = [int(value)] if value == int(value) and 0 <= value < size else []
            known = f"it has no coordinate: give a position from 0 to {size - 1}"
        if len(at) != 1:
            raise DataError(
                f"`select` finds {value!r} {len(at)} times along dimension {dim!r} of variable {name!r}",
                expected="once",
                where=where,
                remedy=known,
            )
        found += at
    return found


def _numbers(dataset: Any, dim: str) -> NDArray[np.float64] | None:
    """The numbers of the coordinate of a dimension; ``None`` if it has none."""
    coordinate = dataset.variables.get(dim)
    if coordinate is None or coordinate.dimensions != (dim,) or np.dtype(coordinate.dtype).kind not in "iuf":
        return None
    return np.ma.filled(np.ma.asarray(coordinate[:]).astype(np.float64), np.nan)


def _names(dataset: Any, variable: Any, dim: str) -> list[str]:
    """The names of the positions along a dimension; empty texts where a position has no name."""
    for name in (dim, *str(getattr(variable, "coordinates", "")).split()):
        labels = dataset.variables.get(name)
        if labels is None or labels.dimensions[:1] != (dim,):
            continue
        if labels.dtype is str:
            return [str(text).strip() for text in np.ravel(labels[:])]
        if labels.ndim == 2 and np.dtype(labels.dtype).kind == "S":
            rows = np.ma.filled(np.ma.asarray(labels[:]), b" ").reshape(labels.shape[0], -1)
            return [b"".join(row).decode("utf-8", "replace").strip(" \0") for row in rows]
    numbers = _numbers(dataset, dim)
    if numbers is not None and hasattr(dataset[dim], "flag_meanings"):
        words = str(dataset[dim].flag_meanings).split()
        flags = np.ravel(getattr(dataset[dim], "flag_values", ()))
        meanings = dict(zip(flags.tolist(), words, strict=False))
        return [meanings.get(number, "") for number in numbers.tolist()]
    return []


def _some(numbers: NDArray[np.float64]) -> str:
    texts = [f"{number:g}" for number in numbers]
    return ", ".join(texts) if len(texts) <= 20 else f"{', '.join(texts[:5])} ... {texts[-1]}"
