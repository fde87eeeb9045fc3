"""Edges of cells along one axis of a grid: from bounds, or computed if the axis is regular or Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.gaussian import gaussian_latitudes

Floats = NDArray[np.float64]

#: A regular axis deviates from equal steps by at most this share of a step (rounding of single precision).
_REGULAR = 1e-3


@dataclass(frozen=True)
class Axis:
    """Coordinates and the lower and upper edge of each cell along an axis, degrees, each (n,)."""

    values: Floats
    low: Floats
    high: Floats
    note: str | None = None


def bounds_name(file: GridFile, name: str) -> str | None:
    """Name of the variable with the bounds of a coordinate: from its attribute, else one of the usual names."""
    named = file.attribute(name, "bounds")
    usual = [f"{name}_bnds", f"{name}_bounds", f"{name}_vertices", f"bounds_{name}"]
    return next((found for found in [named, *usual] if found in file.variables), None)


def read_axis(file: GridFile, name: str, latitude: bool) -> Axis:
    """Read the cells along a coordinate variable.

    Raises
    ------
    DataError
        The axis has no bounds and is neither regular nor Gaussian, or its values are missing or not monotonic, or its
        bounds overlap, or bounds of an irregular axis do not enclose their coordinates.
    """
    values = file.degrees(name)
    where = f"{file.path}: {name}"
    step = np.diff(values)
    if values.ndim != 1 or not np.isfinite(values).all() or not ((step > 0).all() or (step < 0).all()):
        raise DataError("a coordinate does not rise or fall throughout", found=values.shape, where=where)
    bounds = bounds_name(file, name)
    note = None
    if bounds is not None:
        edges = file.degrees(bounds, units_of=name)
        if edges.shape == (values.size, 2) and np.isfinite(edges).all():
            axis = Axis(values, edges.min(axis=1), edges.max(axis=1))
            # Except at a pole, a coordinate on an edge means that the bounds are shifted by half a cell.
            margin = np.where(np.abs(values) > 89.99, 0.0, 1e-3) * (axis.high - axis.low)
            if ((axis.low + margin <= values) & (values <= axis.high - margin)).all():
                return _without_overlap(axis, where)
            note = f"{bounds} does not hold the values of {name}: not used"
        else:
            note = f"{bounds} is not ({values.size}, 2), or has missing values: not used"
    derived = _regular(values, latitude) or (_gaussian(values) if latitude else None)
    if derived is None:
        raise DataError(
            "the edges of cells are unknown",
            expected="bounds (n, 2), or coordinates in equal steps, or the latitudes of a Gaussian grid",
            found=note or "no bounds, and unequal steps",
            where=where,
            remedy="add bounds to the file (CF conventions, cell boundaries)",
        )
    notes = "; ".join(text for text in (note, derived.note) if text)
    return Axis(derived.values, derived.low, derived.high, f"{name}: {notes}")


def _without_overlap(axis: Axis, where: str) -> Axis:
    order = np.argsort(axis.low)
    low, high = axis.low[order], axis.high[order]
    over = high[:-1] - low[1:] > 1e-3 * np.minimum(high - low, np.inf)[1:]
    if over.any() or (high <= low).any():
        raise DataError(
            "the bounds of a coordinate overlap, or are empty",
            found=f"{int(over.sum())} overlaps, {int((high <= low).sum())} empty",
            where=where,
        )
    return axis


def _regular(values: Floats, latitude: bool) -> Axis | None:
    """Edges half-way between coordinates with equal steps. Latitude edges end at the poles."""
    if values.size < 2:
        return None
    step = (values[-1] - values[0]) / (values.size - 1)
    if np.abs(values - (values[0] + step * np.arange(values.size))).max() > _REGULAR * abs(step):
        return None
    if not latitude and abs(abs(step) * values.size - 360.0) < _REGULAR * abs(step):
        step = np.copysign(360.0 / values.size, step)  # the last edge is exactly the first edge
    edges = values[0] + step * (np.arange(values.size + 1) - 0.5)
    if latitude:
        edges = np.clip(edges, -90.0, 90.0)
        near = np.abs(np.abs(edges) - 90.0) < _REGULAR * abs(step)
        edges[near] = np.copysign(90.0, edges[near])
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    return Axis(values, low, high, "edges half-way between equal steps")


def _gaussian(values: Floats) -> Axis | None:
    """Edges of rows with the areas of the Gaussian weights. ``None`` if the values are not Gaussian latitudes."""
    if values.size % 2:
        return None
    lat, edges = gaussian_latitudes(values.size // 2)
    if values[0] < values[-1]:
        lat, edges = lat[::-1], edges[::-1]
    if np.abs(values - lat).max() > 2e-3:
        return None
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    return Axis(values, low, high, f"edges of the Gaussian grid F{values.size // 2}")
