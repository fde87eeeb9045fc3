"""Units of fields with UDUNITS-2: equal spellings, and conversion.

This module adds spellings that occur in files and are unknown to UDUNITS. It refuses units that UDUNITS would interpret
in another way than the file means. UDUNITS is loaded only if two spellings differ.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import FieldError

#: Spellings in files that UDUNITS does not know, or interprets differently (``a`` is the unit are in UDUNITS).
_SPELLINGS = {
    "": "1",
    "fraction": "1",
    "unitless": "1",
    "dimensionless": "1",
    "deg": "degree",
    "a": "year",
    "yr": "year",
}

#: Density of water (kg m-3), to convert precipitation in ``mm s-1``.
_WATER = 1000.0
_MASS_FLUX = "kg m-2 s-1"


def factor(found: str, wanted: str, where: object = None, remedy: str | None = None) -> float:
    """Multiply values in ``found`` units by this to get ``wanted`` units.

    ``remedy``: what the user can do; the default is for values of a file.

    Raises
    ------
    FieldError
        No factor converts one into the other. For example, ``degC`` to ``K`` needs :func:`convert`.
    """
    if found == wanted:
        return 1.0
    scale = _factor(found.strip(), wanted.strip())
    if scale is None:
        raise FieldError(
            "a field has the wrong units",
            expected=wanted,
            found=found or "none",
            where=where,
            remedy=remedy
            or ("correct the units attribute of the file" if found else "add the units attribute to the file"),
        )
    return scale


def convert(
    values: NDArray[Any], found: str, wanted: str, where: object = None, remedy: str | None = None
) -> NDArray[Any]:
    """Convert values to ``wanted`` units. Keeps their floating type. Also for units with another zero (``degC``).

    ``remedy``: what the user can do if the units are wrong; the default is for values of a file.

    Raises
    ------
    FieldError
        The units cannot be converted.
    """
    values = np.asarray(values)
    target = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    spellings = [_SPELLINGS.get(s, s) for s in (found.strip(), wanted.strip())]
    if found != wanted and _factor(found.strip(), wanted.strip()) is None and _same_quantity(*spellings):
        unit, other = (_parse(s) for s in spellings)
        return np.asarray(unit.convert(values.astype(np.float64), other), target)
    scale = factor(found, wanted, where, remedy)
    return np.asarray(values.astype(target) if scale == 1 else values.astype(np.float64) * scale, target)


def is_known(units: str) -> bool:
    """Whether a spelling is a unit."""
    spelling = _SPELLINGS.get(units.strip(), units.strip())
    return spelling == "1" or _parse(spelling) is not None


def is_convertible(found: str, wanted: str) -> bool:
    """Whether :func:`convert` converts units into others."""
    spellings = [_SPELLINGS.get(s.strip(), s.strip()) for s in (found, wanted)]
    return _factor(*spellings) is not None or _same_quantity(*spellings)


@cache
def _factor(found: str, wanted: str) -> float | None:
    """The factor between two spellings. ``None`` if no factor converts them."""
    found, wanted = _SPELLINGS.get(found, found), _SPELLINGS.get(wanted, wanted)
    if found == wanted:
        return 1.0
    if _same_quantity(wanted, _MASS_FLUX) and _same_quantity(found, "m s-1"):
        return float(_parse(found).convert(_WATER, _parse("m s-1")) * _parse(_MASS_FLUX).convert(1.0, _parse(wanted)))
    if not _same_quantity(found, wanted):
        return None
    unit, other = _parse(found), _parse(wanted)
    zero, one, two = (float(unit.convert(x, other)) for x in (0.0, 1.0, 2.0))
    proportional = abs(zero) <= 1e-12 * abs(one) and abs(two - 2 * one) <= 1e-12 * abs(one)
    return one if proportional else None


def _same_quantity(found: str, wanted: str) -> bool:
    """Whether the units can be converted. Angles differ from plain numbers here, unlike radians in UDUNITS."""
    unit, other = _parse(found), _parse(wanted)
    if unit is None or other is None or not unit.is_convertible(other):
        return False
    return ("rad" in unit.definition) == ("rad" in other.definition)


@cache
def _parse(spelling: str) -> Any:
    """The ``cf_units.Unit`` of a spelling. ``None`` if it is not a unit, or is a time since a date."""
    from cf_units import Unit

    try:
        unit = Unit(spelling)
    except ValueError:
        return None
    return None if unit.is_unknown() or unit.is_no_unit() or unit.is_time_reference() else unit
