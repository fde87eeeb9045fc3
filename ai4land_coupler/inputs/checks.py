"""Input checks: whether an adapter, also one of a third party, delivers what the names of its variables say.

``schemas/fields.yaml`` holds the values that each variable can have. Under the policy ``stop`` a fault ends the run
with an error. Under ``mend`` faulty values are corrected or made missing, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict

from ai4land_coupler.core.fields import FieldInfo
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.units import factor
from ai4land_coupler.errors import DataError, FieldError, GridError, TimeError, nearest

Policy = Literal["stop", "mend"]
Values = NDArray[np.float32]

#: A fraction, or a sum of fractions, may be beyond its bounds by this much: real data sets are rounded and packed.
TOLERANCE = 0.01
#: Other fields may be beyond their bounds by this share of their range.
_SLACK = 1e-5
#: Single precision alone causes differences of this share of the range.
_ROUNDING = 1e-6
#: No field has larger values. They are fill values (1e20, 9.97e36) that were not masked, or averages with them.
_FILL_ABOVE = 1e17
#: Cell centres may be shifted by this share of a cell.
_REGISTRATION = 1e-3
#: Coordinates in single precision shift the cell edges of a grid by less than this share of a cell.
_OFF_LATTICE = 0.05
#: Areas on the sphere and on the ellipsoid differ by up to 0.7 %; areas in m2 and km2 differ by much more.
_AREA = 0.02


def _bounds(pair: Any) -> Any:
    low, high = pair
    return (-np.inf if low is None else low, np.inf if high is None else high)


#: Lowest and highest value; infinite if there is no bound.
Bounds = Annotated[tuple[float, float], BeforeValidator(_bounds)]


class FieldRule(BaseModel):
    """Which values a variable can have; the keys are explained in ``schemas/fields.yaml``."""

    model_config = ConfigDict(frozen=True)

    long_name: str
    kind: str
    units: str | None = None
    valid: Bounds
    valid_on_land: Bounds
    sum: str | None = None
    parts: tuple[str, ...] = ()
    mask: str | None = None
    lattice: str | None = None
    share_of: str | None = None
    stars: tuple[str, ...] = ()


@cache
def field_rules() -> dict[str, FieldRule]:
    """The rules of all fields, by name or pattern."""
    raw = yaml.safe_load((resources.files("ai4land_coupler.schemas") / "fields.yaml").read_text())
    return {name: FieldRule.model_validate({"valid_on_land": item["valid"], **item}) for name, item in raw.items()}


@cache
def field_rule(name: str) -> FieldRule | None:
    """The rule of a variable, or ``None`` if there is no rule for it."""
    rules = field_rules()
    if name in rules:
        return rules[name]
    return next((rule for pattern, rule in rules.items() if "*" in pattern and fnmatchcase(name, pattern)), None)


def check_delivery(
    dataset: Any, names: Iterable[str], fields: Mapping[str, FieldInfo], grid: LatLonGrid, year: int | None, where: str
) -> None:
    """Check that an adapter delivered what was requested: variables, units, cells and year.

    Parameters
    ----------
    dataset:
        What ``DataAdapter.read`` returned.
    fields:
        What ``DataAdapter.fields`` returned.

    Raises
    ------
    DataError, FieldError, GridError, TimeError
        A variable is missing, or the units, the coordinates, the shape or the year are not those of the request.
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
    The values, and the counts of the mended ones: ``infinite``, ``fill_value`` and ``out_of_range`` values became
    missing; ``clipped`` values were beyond a bound by no more than the tolerance, and were set to the bound.

    Raises
    ------
    DataError
        Under the policy ``stop``, with the worst value and its place. Under both policies if cell areas are not those
        of the grid.
    """
    checker = ValueChecker(name, grid, where, policy)
    values = checker.without_fill_values(values)
    rule = field_rule(name)
    if rule is None:
        return values, checker.mended
    scale = 1.0 if rule.units is None else factor(units, rule.units, where=f"{where}, variable {name}")
    values = checker.within_bounds(values, rule, units, scale)
    if rule.kind == "cell_area":
        _check_area(name, values * scale, grid, where)
    return values, checker.mended


class ValueChecker:
    """Checks the values of one variable, and counts in ``mended`` those that it corrected."""

    def __init__(self, name: str, grid: LatLonGrid, where: str, policy: Policy) -> None:
        self._name, self._grid, self._where, self._policy = name, grid, where, policy
        self.mended: Counter[str] = Counter()

    def without_fill_values(self, values: Values) -> Values:
        """Make infinite values and undeclared fill values missing."""
        least, most = _range(values)
        if not (least < -_FILL_ABOVE or most > _FILL_ABOVE):
            return values
        infinite = np.isinf(values)
        filled = ~infinite & (np.abs(values) > _FILL_ABOVE)
        expected = "a finite value, or a declared fill value"
        remedy = "find out which step of the preparation divided by zero or overflowed"
        values = self._without(values, infinite, "infinite", expected, remedy)
        remedy = "declare the fill value of the file as _FillValue, and mask it before regridding"
        return self._without(values, filled, "fill_value", expected, remedy)

    def within_bounds(self, values: Values, rule: FieldRule, units: str, scale: float) -> Values:
        """Make values missing that are beyond the bounds of a rule by more than the tolerance, and clip the others.

        ``scale`` converts ``units`` to the units of the rule.
        """
        low, high = (bound / scale for bound in rule.valid)
        span = high - low if np.isfinite(high - low) else 0.0
        # A bound that is rounded to single precision must not exclude a value that the exact bound allows.
        rounding = _ROUNDING * span
        least, most = _range(values)
        if not (least < low - rounding or most > high + rounding):
            return values
        slack = (TOLERANCE if rule.kind == "fraction" else _SLACK) * span
        remedy = (
            "values up to 100 are per cent under wrong units; correct the attribute `units` of the file, or its values"
            if rule.kind == "fraction"
            else "correct the attribute `units` of the file, or declare its fill value as _FillValue"
        )
        wrong = (values < low - slack) | (values > high + slack)
        values = self._without(values, wrong, "out_of_range", f"{low:g} to {high:g} {units}", remedy)
        outside = (values < low - rounding) | (values > high + rounding)
        if not outside.any():
            return values
        self.mended["clipped"] += int(outside.sum())
        return np.clip(values, np.float32(low), np.float32(high))

    def _without(self, values: Values, wrong: NDArray[np.bool_], fault: str, expected: str, remedy: str) -> Values:
        """Make the wrong values missing and count them, or raise an error that names the worst of them."""
        number = int(wrong.sum())
        if number == 0:
            return values
        if self._policy == "stop":
            row, col = divmod(int(np.argmax(np.where(wrong, np.abs(values), -1.0))), self._grid.nlon)
            lat, lon = self._grid.lat[row], self._grid.lon[col]
            raise DataError(
                f"variable {self._name!r} holds values that it cannot have in {number} cells "
                f"({fault.replace('_', ' ')})",
                expected=expected,
                found=f"{values[row, col]:.6g} at {lat:.4f} N {lon:.4f} E",
                where=self._where,
                remedy=f"{remedy}; `quality.policy: mend` makes such cells missing and counts them",
            )
        self.mended[fault] += number
        return np.where(wrong, np.float32(np.nan), values)


def _range(values: Values) -> tuple[float, float]:
    """The smallest and the largest value, NaN if all are missing: they show quickly whether there is any fault."""
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))


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


def check_lattice(fields: Mapping[str, FieldInfo], grid: LatLonGrid, where: str) -> None:
    """Check that the cells of a published grid are at their published places: else a shifted file is not noticed.

    Raises
    ------
    GridError
        The rule of a variable says that cell edges are at whole cells from 180 W and 90 N, but they are not.
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
