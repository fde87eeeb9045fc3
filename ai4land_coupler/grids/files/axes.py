"""Edges of cells along one axis of a grid: from bounds, or computed from the coordinates of the centres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.gaussian import gaussian_latitudes

Floats = NDArray[np.float64]

#: A regular axis deviates from equal steps by at most this share of a step (rounding of single precision). A coordinate
#: within this share of a cell from its edge lies on the edge.
_REGULAR = 1e-3
#: Edges are put half-way between coordinates if no step is larger than this many times its neighbour. A larger step may
#: be a missing row.
_SMOOTH = 1.5
#: Cells must be narrower than this (degrees): from an edge of 180 degrees nobody can tell which way round it goes.
WIDEST = 180.0 - 1e-6


@dataclass(frozen=True)
class Axis:
    """Coordinates and the lower and upper edge of each cell along an axis, degrees, each (n,).

    ``misplaced`` is True if the file has bounds that are shifted against the cells, so that they were not used.
    """

    values: Floats
    low: Floats
    high: Floats
    note: str | None = None
    misplaced: bool = False


def bounds_name(file: GridFile, name: str) -> str | None:
    """Name of the variable with the bounds of a coordinate: from its attribute, else one of the usual names."""
    named = file.attribute(name, "bounds")
    usual = [f"{name}_bnds", f"{name}_bounds", f"{name}_vertices", f"bounds_{name}", f"vertices_{name}", f"{name}_b"]
    return next((found for found in [named, *usual] if found in file.variables), None)


def read_axis(file: GridFile, name: str, latitude: bool, doubt_bounds: bool = False) -> Axis:
    """Read the cells along a coordinate variable. Longitudes that pass 180 or 360 degrees are continued beyond.

    Parameters
    ----------
    doubt_bounds:
        Do not use bounds that put the coordinates on the edges of their cells.

    Raises
    ------
    DataError
        The axis has no usable bounds and its steps are too uneven to compute edges, or its values are missing or not
        monotonic, or its bounds overlap, or its cells are 180 degrees wide or wider.
    """
    values = file.degrees(name)
    where = f"{file.path}: {name}"
    if values.ndim == 1 and not latitude and np.abs(np.diff(values)).max(initial=0.0) > 180.0:
        values = np.unwrap(values, period=360.0)
    step = np.diff(values)
    if values.ndim != 1 or not np.isfinite(values).all() or not ((step > 0).all() or (step < 0).all()):
        raise DataError("a coordinate does not rise or fall throughout", found=_turn(values), where=where)
    if latitude and np.abs(values).max(initial=0.0) > 90.0 + 1e-3:
        raise DataError("a latitude lies beyond a pole", found=f"{values[np.abs(values).argmax()]:.9g}", where=where)
    bounds, note, misplaced = bounds_name(file, name), None, False
    if bounds is not None:
        given = _bounds(file, bounds, name, values, latitude, doubt_bounds)
        if isinstance(given, Axis):
            return _without_overlap(given if latitude else _narrow(given, where), where)
        note, misplaced = given
    elif file.attribute(name, "bounds"):
        note = f"its bounds {file.attribute(name, 'bounds')} are not in the file"
    derived = derived_axis(values, latitude)
    if derived is None:
        found = note or ("one value and no bounds" if values.size == 1 else "no bounds, and uneven steps")
        raise DataError(
            "the edges of cells are unknown",
            expected="bounds (n, 2), or coordinates in equal or smoothly changing steps, or Gaussian latitudes",
            found=found,
            where=where,
            remedy="add bounds to the file (CF conventions, cell boundaries)"
            + ("; for a zonal mean, repeat each value on a row of cells" if values.size == 1 and not latitude else ""),
        )
    notes = "; ".join(text for text in (note, derived.note) if text)
    derived = replace(derived, note=f"{name}: {notes}", misplaced=misplaced)
    return derived if latitude else _narrow(derived, where)


def derived_axis(values: Floats, latitude: bool) -> Axis | None:
    """The cells around coordinates without bounds; ``None`` if the steps are too uneven."""
    return _regular(values, latitude) or (_gaussian(values) if latitude else None) or _smooth(values, latitude)


def _turn(values: Floats) -> str:
    """Where a coordinate is missing, or does not go on in the direction of its first step, for a message."""
    if values.ndim != 1:
        return f"an array of shape {values.shape}"
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum())} missing values"
    step = np.diff(values)
    at = int(np.argmax(step * np.sign(step[0]) <= 0))
    return f"value {at + 1} is {values[at + 1]:.9g}, after {values[at]:.9g} (the first values: {values[:3].tolist()})"


def _narrow(axis: Axis, where: str) -> Axis:
    """Refuse cells along a longitude that are half a circle wide, or wider."""
    widest = float((axis.high - axis.low).max())
    if widest >= WIDEST:
        raise DataError(
            "cells are too wide",
            expected="cells narrower than 180 degrees of longitude",
            found=f"{axis.values.size} longitudes, and cells up to {widest:.6g} degrees wide",
            where=where,
            remedy="for zonal means: repeat each value on a row of cells, at least 3 around the globe"
            " (for example cdo enlarge,r36x18)",
        )
    return axis


def _bounds(
    file: GridFile, bounds: str, name: str, values: Floats, latitude: bool, doubt: bool
) -> Axis | tuple[str, bool]:
    """The cells that bounds tell, (n, 2) or (n + 1,); else why they are not used, and whether they are misplaced.

    Bounds that the attribute of a coordinate names are used as they are if each coordinate lies in its cell or on its
    edge (CF conventions, 7.1). Bounds that are only found by their name must have the coordinates inside, and so must
    bounds that reach beyond a pole: the bounds of LUH2's static file are such, and are shifted by half a cell.
    """
    edges = file.degrees(bounds, units_of=name)
    if edges.shape == (values.size + 1,) and edges.shape != (2,):
        edges = np.stack([edges[:-1], edges[1:]], axis=1)
    if edges.shape != (values.size, 2) or not np.isfinite(edges).all():
        return f"{bounds} is not ({values.size}, 2), or has missing values: not used", False
    if not latitude:  # each edge within half a turn of its coordinate, as 359.5 and 0.5 of 0; but not 0 and 360
        turns = (edges - values[:, None]) / 360.0
        whole = np.abs(np.abs(np.diff(edges, axis=1)) - 360.0) < 1e-6
        edges = edges - 360.0 * np.where((np.abs(turns) > 0.5 + 1e-8) & ~whole, np.round(turns), 0.0)
    axis = Axis(values, edges.min(axis=1), edges.max(axis=1))
    margin = _REGULAR * (axis.high - axis.low)
    outside = (values < axis.low - margin) | (values > axis.high + margin)
    # Except at a pole, a coordinate on an edge may mean that the bounds are shifted by half a cell.
    inner = np.where(latitude & (np.abs(values) > 89.99), 0.0, margin)
    on_edge = (values < axis.low + inner) | (values > axis.high - inner)
    beyond = latitude and bool((np.maximum(np.abs(axis.low), np.abs(axis.high)) > 90.0 + margin).any())
    guessed = bounds != file.attribute(name, "bounds")
    if outside.any() or (on_edge.any() and (guessed or beyond or doubt)):
        where = "outside of its cells" if outside.any() else "on the edges of its cells"
        misplaced = bool(not outside.any() and beyond)
        return f"{bounds} does not hold the values of {name} inside ({where}): not used", misplaced
    if beyond:
        cut = f"{name}: {bounds} reaches beyond a pole, and was cut off there"
        axis = replace(axis, note=cut)
    return replace(axis, low=np.clip(axis.low, -90, 90), high=np.clip(axis.high, -90, 90)) if latitude else axis


def single_turn(longitudes: Axis) -> bool:
    """Whether the cells along an axis span at most 360 degrees, so that they cannot overlap."""
    return bool(longitudes.high.max() - longitudes.low.min() <= 360.0 + 1e-6)


def _without_overlap(axis: Axis, where: str) -> Axis:
    order = np.argsort(axis.low)
    low, high = axis.low[order], axis.high[order]
    over = high[:-1] - low[1:] > 1e-3 * np.minimum(high - low, np.inf)[1:]
    if over.any() or (high <= low).any():
        raise DataError(
            "the bounds of a coordinate overlap, or are empty",
            expected="cells that share no more than edges",
            found=f"{int(over.sum())} overlaps, {int((high <= low).sum())} empty",
            where=where,
            remedy="correct the bounds; or remove them, and edges are put half-way between the coordinates",
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


def _smooth(values: Floats, latitude: bool) -> Axis | None:
    """Edges half-way between coordinates whose steps change smoothly. ``None`` if they do not."""
    step = np.abs(np.diff(values))
    if step.size < 2 or (np.maximum(step[1:], step[:-1]) > _SMOOTH * np.minimum(step[1:], step[:-1])).any():
        return None
    middle = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])
    if latitude:
        edges = np.clip(edges, -90.0, 90.0)
    elif abs(np.ptp(edges) - 360.0) < 0.1 * step[[0, -1]].min():  # the last edge is exactly the first edge
        edges[-1] = edges[0] + np.copysign(360.0, values[-1] - values[0])
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    return Axis(values, low, high, "edges half-way between uneven steps")


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
