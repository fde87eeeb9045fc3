"""Latitudes and longitudes by the CF conventions (1.11, sections 4.1 and 4.2): which variables they are, in degrees."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import GridError

Kind = Literal["latitude", "longitude"]

#: All spellings of CF: degrees_north, degree_north, degree_N, degrees_N, degreeN, degreesN; and "degrees north" of CLM.
_UNITS: dict[Kind, re.Pattern[str]] = {
    "latitude": re.compile(r"degrees?[_ ]?(north|n)", re.IGNORECASE),
    "longitude": re.compile(r"degrees?[_ ]?(east|e)", re.IGNORECASE),
}
_DEGREES = re.compile(r"(arc_?)?deg(ree)?s?([_ ]?(north|n|east|e|true|t))?|°", re.IGNORECASE)
_RADIANS = re.compile(r"rad(ian)?s?", re.IGNORECASE)
#: Names of coordinates without a standard name whose units do not tell.
_NAMES: dict[Kind, re.Pattern[str]] = {
    "latitude": re.compile(r"(lat|latitude)s?|(nav_|x|t|c|geo)lat|latixy|y", re.IGNORECASE),
    "longitude": re.compile(r"(lon|longitude)s?|(nav_|c|geo)lon|[xt]long|longxy|x", re.IGNORECASE),
}
_NO_UNITS = ("", "none", "unitless", "1")


def text_of(attributes: Mapping[str, Any], key: str) -> str:
    """An attribute as text without outer blanks; empty if it does not exist."""
    value = attributes.get(key, "")
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def coordinate_kind(name: str, attributes: Mapping[str, Any], where: object = None) -> Kind | None:
    """Whether a variable holds latitudes or longitudes; ``None`` if it holds neither.

    The standard name decides, else the units, else the name. Coordinates of a rotated or projected grid are neither.

    Raises
    ------
    GridError
        The standard name and the units contradict each other.
    """
    standard, units = text_of(attributes, "standard_name").lower(), text_of(attributes, "units")
    by_units = next((kind for kind, pattern in _UNITS.items() if pattern.fullmatch(units)), None)
    if standard in _UNITS:
        if by_units not in (None, standard):
            raise GridError(
                "the attributes of a coordinate contradict each other",
                expected=f"the units of a {standard}",
                found=f"standard_name {standard!r}, units {units!r}",
                where=f"{where}, variable {name!r}" if where is not None else name,
            )
        return standard
    if standard:
        return None
    if by_units is not None:
        return by_units
    # Of the names, x and y are also those of projected grids: there units of length tell them apart.
    if units.lower() not in _NO_UNITS and not is_angle(units):
        return None
    return next((kind for kind, names in _NAMES.items() if names.fullmatch(name)), None)


def is_angle(units: str) -> bool:
    """Whether units are degrees or radians."""
    return bool(_DEGREES.fullmatch(units.strip()) or _RADIANS.fullmatch(units.strip()))


def to_degrees(values: NDArray[Any], units: str, kind: Kind | None, where: object) -> NDArray[np.float64]:
    """Convert angles to degrees. Without units they are taken for degrees: call :func:`look_like_radians` on the pair.

    Parameters
    ----------
    values:
        Any shape; NaN where missing.
    units:
        Units as the file spells them.
    kind:
        Tells how large values in radians can be; ``None`` for other angles.

    Raises
    ------
    GridError
        The units are no angles, or are radians and the values are too large for that.
    """
    values, units = np.asarray(values, np.float64), units.strip()
    if _RADIANS.fullmatch(units):
        size = float(np.nanmax(np.abs(values), initial=0.0)) if values.size else 0.0
        if size > (np.pi / 2 if kind == "latitude" else 4 * np.pi) + 1e-3:
            raise GridError(
                "coordinates look like degrees",
                expected="radians, as their units say",
                found=f"values up to {size:.6g}",
                where=where,
                remedy="correct the attribute `units`",
            )
        return np.asarray(np.rad2deg(values))
    if _DEGREES.fullmatch(units) or units.lower() in _NO_UNITS:
        return values
    raise GridError(
        "coordinates cannot be used",
        expected="units of degrees or radians, such as degrees_north",
        found=f"units {units!r}",
        where=where,
        remedy="correct the attribute `units`, or convert the coordinates",
    )


def look_like_radians(lon: NDArray[np.floating[Any]], lat: NDArray[np.floating[Any]]) -> bool:
    """Whether coordinates that are taken for degrees would fill the globe if they were radians."""
    if lon.size < 3 or lat.size < 3:
        return False
    quarter = np.pi / 2 + 1e-3
    fills = float(np.ptp(lon)) > 5.0 and float(np.ptp(lat)) > 2.5
    return bool(fills and np.nanmax(np.abs(lat)) <= quarter and np.nanmax(np.abs(lon)) <= 4 * quarter)
