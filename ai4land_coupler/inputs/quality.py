"""Are the values that an adapter delivers what their names say? Checked for every adapter, also third parties'.

What a variable can hold lies in ``schemas/fields.yaml``. Under the policy ``stop`` a fault ends the run and is named;
under ``mend`` faulty values are corrected or made missing, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from ai4land_coupler.core.fields import FieldInfo
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.units import factor
from ai4land_coupler.errors import DataError, FieldError, GridError, TimeError, nearest

Policy = Literal["stop", "mend"]
Values = NDArray[np.float32]

#: How far a fraction, or a sum of fractions, may leave its range: rounding and packing of real data sets. Other
#: fields: this share of their range.
TOLERANCE = 0.01
_SLACK = 1e-5
#: Differences that single precision alone makes, as a share of the range.
_ROUNDING = 1e-6
#: No field is as large: such values are fill values (1e20, 9.97e36) that nothing masked, or averages with them.
_FILL_ABOVE = 1e17
#: Cell centres may be off by this share of a cell.
_REGISTRATION = 1e-3
#: Coordinates in single precision put a lattice's edges off by less than this share of a cell.
_OFF_LATTICE = 0.05
#: Areas on a sphere and on the ellipsoid differ by up to 0.7 %; square metres and kilometres by much more.
_AREA = 0.02


@dataclass(frozen=True)
class FieldRule:
    """What a variable can hold; see ``schemas/fields.yaml``. Bounds that do not exist are infinite."""

    long_name: str
    kind: str
    units: str | None
    valid: tuple[float, float]
    valid_on_land: tuple[float, float]
    sum: str | None
    parts: tuple[str, ...]
    mask: str | None
    lattice: str | None
    share_of: str | None
    stars: tuple[str, ...]


@cache
def field_rules() -> dict[str, FieldRule]:
    """The field dictionary, by name or pattern."""
    raw = yaml.safe_load((resources.files("ai4land_coupler.schemas") / "fields.yaml").read_text())
    return {
        name: FieldRule(
            item["long_name"],
            item["kind"],
            item.get("units"),
            _bounds(item["valid"]),
            _bounds(item.get("valid_on_land", item["valid"])),
            item.get("sum"),
            tuple(item.get("parts", ())),
            item.get("mask"),
            item.get("lattice"),
            item.get("share_of"),
            tuple(item.get("stars", ())),
        )
        for name, item in raw.items()
    }


def _bounds(pair: list[float | None]) -> tuple[float, float]:
    low, high = pair
    return (-np.inf if low is None else float(low), np.inf if high is None else float(high))


@cache
def field_rule(name: str) -> FieldRule | None:
    """The rule of a variable, ``None`` where we know nothing about it."""
    rules = field_rules()
    if name in rules:
        return rules[name]
    return next((rule for pattern, rule in rules.items() if "*" in pattern and fnmatchcase(name, pattern)), None)


def check_delivery(
    dataset: Any, names: Iterable[str], fields: Mapping[str, FieldInfo], grid: LatLonGrid, year: int | None, where: str
) -> None:
    """Check that an adapter delivered what it was asked for: variables, units, cells and year.

    Parameters
    ----------
    dataset:
        What ``DataAdapter.read`` returned.
    fields:
        What the adapter says that it has.

    Raises
    ------
    DataError, FieldError, GridError, TimeError
        A variable that is not there; units that are not the declared ones; coordinates or shape of another grid;
        another year.
    """
    for name in names:
        if name not in dataset:
            raise DataError(
                f"variable {name!r} was not delivered",
                expected=name,
                found=", ".join(map(str, dataset.data_vars)) or "no variable",
                where=where,
                remedy=nearest(name, map(str, dataset.data_vars)),
            )
        array, said = dataset[name], fields[name].units
        given = array.attrs.get("units", said)
        if given != said and factor(given, said, where=f"{where}, variable {name}") != 1:
            raise FieldError(
                f"variable {name!r} is delivered in other units than the adapter declares",
                expected=said,
                found=given,
                where=where,
                remedy="this is a fault of the adapter: it must convert, or declare the units that it delivers",
            )
        if array.shape[-2:] != grid.shape or array.size != grid.size:
            raise GridError(
                f"variable {name!r} is delivered on other cells than were asked for",
                expected=f"{grid.shape} cells",
                found=array.shape,
                where=where,
            )
    for axis, wanted, step in (("lat", grid.lat, grid.dlat), ("lon", grid.lon, grid.dlon)):
        if axis in dataset.coords:
            _check_axis(np.asarray(dataset[axis].values, np.float64), wanted, step, axis, where)
    if year is not None and "year" in dataset.coords and int(np.ravel(dataset["year"].values)[0]) != year:
        raise TimeError("another year was delivered", expected=year, found=dataset["year"].values, where=where)


def _check_axis(given: NDArray[np.float64], wanted: NDArray[np.float64], step: float, axis: str, where: str) -> None:
    off = given - wanted
    if axis == "lon":
        off = (off + 180.0) % 360.0 - 180.0
    shift = float(np.abs(off / step).max())
    if shift > _REGISTRATION:
        raise GridError(
            f"data are delivered at other {'latitudes' if axis == 'lat' else 'longitudes'} than were asked for",
            expected=f"{wanted[0]:.6g} to {wanted[-1]:.6g}",
            found=f"{given[0]:.6g} to {given[-1]:.6g}: {shift:.3g} of a cell off",
            where=where,
            remedy="the adapter must deliver the request's cells in the request's order",
        )


def check_values(
    name: str, values: Values, units: str, grid: LatLonGrid, where: str, policy: Policy
) -> tuple[Values, Counter[str]]:
    """Check the values of one variable by its rule.

    Parameters
    ----------
    values:
        (rows, cols) on the cells of ``grid``, in ``units``; NaN where missing.

    Returns
    -------
    The values, and what was mended: ``infinite``, ``fill_value`` and ``out_of_range`` values became missing,
    ``clipped`` ones were brought to the bound that they left by no more than the tolerance.

    Raises
    ------
    DataError
        Under the policy ``stop``, with the worst value and its place; always for cell areas that are not those of
        the grid.
    """
    rule = field_rule(name)
    counts: Counter[str] = Counter()
    # The smallest and the largest value tell whether there is any fault: cells are searched only then.
    least, most = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if least < -_FILL_ABOVE or most > _FILL_ABOVE:
        infinite = np.isinf(values)
        filled = ~infinite & (np.abs(values) > _FILL_ABOVE)
        for fault, wrong, remedy in (
            ("infinite", infinite, "find out which step of the preparation divided by zero or overflowed"),
            ("fill_value", filled, "declare the fill value of the file as _FillValue, and mask it before regridding"),
        ):
            expected = "a finite value, or a declared fill value"
            values = _without(name, values, wrong, fault, expected, remedy, grid, where, policy, counts)
        least, most = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if rule is None:
        return values, counts
    scale = 1.0 if rule.units is None else factor(units, rule.units, where=f"{where}, variable {name}")
    low, high = (bound / scale for bound in rule.valid)
    span = high - low if np.isfinite(high - low) else 0.0
    slack = (TOLERANCE if rule.kind == "fraction" else _SLACK) * span
    expected = f"{low:g} to {high:g} {units}"
    remedy = (
        "values up to 100 are per cent under wrong units; correct the attribute `units` of the file, or its values"
        if rule.kind == "fraction"
        else "correct the attribute `units` of the file, or declare its fill value as _FillValue"
    )
    # A bound that is rounded to single precision excludes no value that the exact one admits.
    if least < low - _ROUNDING * span or most > high + _ROUNDING * span:
        wrong = (values < low - slack) | (values > high + slack)
        values = _without(name, values, wrong, "out_of_range", expected, remedy, grid, where, policy, counts)
        outside = (values < low - _ROUNDING * span) | (values > high + _ROUNDING * span)
        if outside.any():
            counts["clipped"] += int(outside.sum())
            values = np.clip(values, np.float32(low), np.float32(high))
    if rule.kind == "cell_area":
        _check_area(name, values * scale, grid, where)
    return values, counts


def _without(
    name: str,
    values: Values,
    wrong: NDArray[np.bool_],
    fault: str,
    expected: str,
    remedy: str,
    grid: LatLonGrid,
    where: str,
    policy: Policy,
    counts: Counter[str],
) -> Values:
    """Values with the wrong ones made missing and counted, or the error that names the worst of them."""
    number = int(wrong.sum())
    if number == 0:
        return values
    if policy == "stop":
        cell = int(np.argmax(np.where(wrong, np.abs(values), -1.0)))
        row, col = divmod(cell, grid.nlon)
        raise DataError(
            f"variable {name!r} holds values that it cannot have in {number} cells ({fault.replace('_', ' ')})",
            expected=expected,
            found=f"{values[row, col]:.6g} at {grid.lat[row]:.4f} N {grid.lon[col]:.4f} E",
            where=where,
            remedy=f"{remedy}; `quality.policy: mend` makes such cells missing and counts them",
        )
    counts[fault] += number
    return np.where(wrong, np.float32(np.nan), values)


def _check_area(name: str, area: NDArray[np.floating[Any]], grid: LatLonGrid, where: str) -> None:
    ratio = area / grid.row_area[:, None]
    wrong = np.abs(ratio - 1) > _AREA
    if wrong.any():
        raise DataError(
            f"variable {name!r} does not hold the areas of its cells in {int(wrong.sum())} cells",
            expected=f"{grid.row_area.min():.4g} to {grid.row_area.max():.4g} m2 (within {100 * _AREA:g} %)",
            found=f"{np.nanmin(area):.4g} to {np.nanmax(area):.4g} m2",
            where=where,
            remedy="areas in km2 under units m2 are a million times too small; areas of another latitude mean that "
            "the rows run the other way than the latitudes say",
        )


def sum_members(names: Iterable[str]) -> dict[str, list[str]]:
    """The names of each sum that closes; one that stands for its parts only where none of them is there."""
    given = list(names)
    found: dict[str, list[str]] = {}
    for name in given:
        rule = field_rule(name)
        if rule is not None and rule.sum is not None and not set(rule.parts) & set(given):
            found.setdefault(rule.sum, []).append(name)
    return found


def check_sums(read: Mapping[str, Values], where: str, policy: Policy) -> tuple[dict[str, Values], Counter[str]]:
    """Check that the fields of a cell that share a sum add up to no more than 1.

    Larger sums are scaled to 1 under the policy ``mend``, and counted as ``renormalised``.
    """
    values, counts = dict(read), Counter[str]()
    for total_name, members in sum_members(read).items():
        if _surely_closed([values[name] for name in members]):
            continue
        total = np.zeros(values[members[0]].shape)
        for name in members:
            np.add(total, values[name], out=total, where=~np.isnan(values[name]))
        over = total > 1 + TOLERANCE
        if not over.any():
            continue
        if policy == "stop":
            raise DataError(
                f"the {total_name} fractions of {int(over.sum())} cells add up to more than 1",
                expected=f"a sum of at most 1 + {TOLERANCE:g} over {', '.join(members)}",
                found=f"the worst sum is {total.max():.6g}",
                where=where,
                remedy="one of them may be in per cent; `quality.policy: mend` scales such sums to 1 and counts them",
            )
        counts["renormalised"] += int(over.sum())
        for name in members:
            values[name] = np.where(over, values[name] / total, values[name]).astype(np.float32)
    return values, counts


def _surely_closed(fields: list[Values]) -> bool:
    """Whether sums in single precision, without what is missing or negative, are below the limit by far more than
    they are rounded."""
    total = np.zeros_like(fields[0])
    for values in fields:
        total += np.fmax(values, np.float32(0))
    return bool(total.max(initial=0.0) < 1 + TOLERANCE / 2)


def check_lattice(fields: Mapping[str, FieldInfo], grid: LatLonGrid, where: str) -> None:
    """Check that a published grid's cells lie where they are published: a file shifted by half a cell reads well.

    Raises
    ------
    GridError
        Edges that are not on whole cells from 180 W and 90 N, for variables whose rule says that they are.
    """
    known = [variable for variable in fields if (rule := field_rule(variable)) and rule.lattice == "edges"]
    if not known:
        return
    off = ((grid.lon0 + 180.0) / grid.dlon, (90.0 - grid.lat0) / grid.dlat)
    shift = max(abs(x - round(x)) for x in off)
    if shift > _OFF_LATTICE:
        raise GridError(
            f"the grid is shifted by {shift:.3g} of a cell",
            expected=f"cell edges on multiples of {grid.dlon:g} degrees from 180 W and 90 N, as published ({known[0]})",
            found=grid,
            where=where,
            remedy="coordinates must be cell centres: some tools write the edges of cells instead",
        )


@dataclass(frozen=True)
class LandGaps:
    """Cells of land, those of them where a variable has no data, and those whose value land cannot have."""

    land: int
    missing: int
    impossible: int

    def __add__(self, other: LandGaps) -> LandGaps:
        return LandGaps(self.land + other.land, self.missing + other.missing, self.impossible + other.impossible)


def gaps_on_land(name: str, values: Values, land: NDArray[np.bool_], units: str) -> LandGaps:
    """Compare a variable with the land map, cell by cell."""
    rule = field_rule(name)
    impossible = 0
    if rule is not None:
        scale = 1.0 if rule.units is None else factor(units, rule.units)
        low, high = rule.valid_on_land
        impossible = int((land & ((values * scale < low) | (values * scale > high))).sum())
    return LandGaps(int(land.sum()), int((land & np.isnan(values)).sum()), impossible)


def refuse_gaps(name: str, gaps: LandGaps, limit: float, where: str, policy: Policy) -> None:
    """Refuse a variable that says too little about the land, or what no land has.

    Raises
    ------
    DataError
        More than the share ``limit`` of the land is missing (all of it: under either policy).
    """
    if not gaps.land:
        return
    share = gaps.missing / gaps.land
    if share == 1 or (share > limit and policy == "stop"):
        raise DataError(
            f"variable {name!r} has no data on {100 * share:.3g} % of the land",
            expected=f"at most {100 * limit:g} % (quality.missing_static, quality.missing_forcing)",
            found=f"{gaps.missing} of {gaps.land} land cells without data",
            where=where,
            remedy="check that the file covers the region and that its mask is right; where the gaps are meant, raise "
            "the limit: such cells get the predictor's fill value and are counted",
        )
    rule = field_rule(name)
    if gaps.impossible and rule is not None and policy == "stop":
        raise DataError(
            f"variable {name!r} holds values that land cannot have in {gaps.impossible} land cells",
            expected=f"{rule.valid_on_land[0]:g} to {rule.valid_on_land[1]:g} {rule.units}",
            where=where,
            remedy="declare the fill value of the file as _FillValue; `quality.policy: mend` lets them pass, counted",
        )
