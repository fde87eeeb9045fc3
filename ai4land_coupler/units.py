"""Units of fields: which spellings mean the same, and which can be converted."""

from __future__ import annotations

from ai4land_coupler.errors import FieldError

#: Canonical unit -> {spelling: factor to the canonical unit}. UDUNITS spellings found in the field's files.
_UNITS: dict[str, dict[str, float]] = {
    "1": {"1": 1.0, "": 1.0, "fraction": 1.0, "unitless": 1.0, "%": 0.01, "percent": 0.01},
    "m": {"m": 1.0, "metre": 1.0, "meter": 1.0, "metres": 1.0, "meters": 1.0, "km": 1000.0},
    "m2": {"m2": 1.0, "m^2": 1.0, "km2": 1e6, "km^2": 1e6},
    "K": {"K": 1.0, "kelvin": 1.0, "Kelvin": 1.0},
    "kg m-2": {"kg m-2": 1.0, "kg/m2": 1.0, "kg m^-2": 1.0},
    "kg m-2 s-1": {"kg m-2 s-1": 1.0, "kg/m2/s": 1.0, "mm s-1": 1.0},
    "W m-2": {"W m-2": 1.0, "W/m2": 1.0},
    "year": {"year": 1.0, "years": 1.0, "yr": 1.0, "a": 1.0},
    "g kg-1": {"g kg-1": 1.0, "g/kg": 1.0, "dg/kg": 0.1, "kg kg-1": 1000.0, "%": 10.0},
    "degree": {"degree": 1.0, "degrees": 1.0, "deg": 1.0},
    "m2 m-2": {"m2 m-2": 1.0, "1": 1.0, "m^2/m^2": 1.0},
}


def factor(found: str, wanted: str, where: object = None) -> float:
    """Multiply values in ``found`` units by this to get ``wanted`` units.

    Raises
    ------
    FieldError
        When one cannot be turned into the other.
    """
    spellings = _UNITS.get(wanted)
    if found == wanted:
        return 1.0
    if spellings is None or found.strip() not in spellings:
        raise FieldError("a field has the wrong units", expected=wanted, found=found or "none", where=where)
    return spellings[found.strip()]
