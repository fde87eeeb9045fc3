"""Decodes stored values by their attributes: the one place for all readers of netCDF files and Zarr stores.

Rules: CF conventions 1.11, sections 2.5.1 and 8.1, and the NetCDF Users Guide, appendix A. xarray ignores the valid
range, and netCDF4 reads no Zarr; both stop at attributes that are text. So the rules are here, and the tests compare
the results with those of both libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.errors import DataError

#: Larger values are missing, although no attribute says so. The attribute that names the fill value 1e20 of LUH2 is
#: misspelt in the published files (``_fillvalue``), and cells that were never written hold 9.97e36.
MISSING_ABOVE = 1e19

_MISSING = ("_FillValue", "missing_value")
_VALID = ("valid_min", "valid_max", "valid_range")
#: Attributes that tell how values are stored. They are wrong for decoded values.
ENCODING_ATTRIBUTES = frozenset({*_MISSING, *_VALID, "scale_factor", "add_offset", "_Unsigned"})

#: Integers that cells hold which were never written (netcdf.h, NC_FILL_*). Files of bytes have no such value.
_UNWRITTEN = {
    "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295, "i8": -9223372036854775806,
    "u8": 18446744073709551614,
}  # fmt: skip


def is_packed(attributes: Mapping[str, Any]) -> bool:
    """Whether values are stored with a scale or an offset."""
    return "scale_factor" in attributes or "add_offset" in attributes


def decode_values(
    stored: NDArray[Any], attributes: Mapping[str, Any], where: object = None
) -> NDArray[np.floating[Any]]:
    """Unpack values, with NaN where they are missing.

    Values are missing if they equal ``_FillValue`` or ``missing_value``, lie outside of ``valid_range`` (``valid_min``,
    ``valid_max``), are integers that were never written, or are beyond 1e19. Infinite values are kept. A valid range is
    in the units of the unpacked values if it is of floating type and the stored values are packed integers; otherwise
    in those of the stored values.

    Parameters
    ----------
    stored:
        Numbers as the file holds them, any shape.
    attributes:
        Those of the variable. Numbers that are written as text are understood.
    where:
        File and variable, for messages.

    Returns
    -------
    float32 if unpacked float32 is stored, else float64. Same shape. A new array.

    Raises
    ------
    DataError
        The values, or one of the attributes, are no numbers.
    """
    stored = _native(stored, attributes, where)
    keeps_type = stored.dtype == np.float32 and not is_packed(attributes)
    values: NDArray[np.floating[Any]] = stored.astype(np.float32 if keeps_type else np.float64)
    scale, offset = _packing(attributes, where)
    if is_packed(attributes):
        values *= scale
        values += offset
    np.copyto(values, np.nan, where=_missing(stored, values, attributes, abs(scale), where))
    return values


def decode_codes(stored: NDArray[Any], attributes: Mapping[str, Any], where: object = None) -> Any:
    """:func:`decode_values` for categories: a masked array that keeps the type of integers that are not packed."""
    stored = _native(stored, attributes, where)
    if stored.dtype.kind == "f" or is_packed(attributes):
        return np.ma.masked_invalid(decode_values(stored, attributes, where))
    return np.ma.masked_array(stored, _missing(stored, stored, attributes, 1.0, where))


def _native(stored: NDArray[Any], attributes: Mapping[str, Any], where: object) -> NDArray[Any]:
    """Stored numbers in the byte order of the machine, unsigned or signed as ``_Unsigned`` says."""
    if stored.dtype.kind not in "iufb":
        raise DataError("a variable holds no numbers", expected="integers or floats", found=stored.dtype, where=where)
    stored = stored.view(np.uint8) if stored.dtype.kind == "b" else stored
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    kind = _unsigned_kind(stored.dtype, attributes)
    return stored.view(f"{kind}{stored.dtype.itemsize}") if kind != stored.dtype.kind else stored


def _unsigned_kind(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> str:
    word = str(_text(attributes.get("_Unsigned", ""))).strip().lower()
    return {("i", "true"): "u", ("u", "false"): "i"}.get((dtype.kind, word), dtype.kind)


def _packing(attributes: Mapping[str, Any], where: object) -> tuple[float, float]:
    scale, offset = (
        _number(attributes[name], name, where) if name in attributes else default
        for name, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if not (np.isfinite(scale) and np.isfinite(offset) and scale):
        raise DataError(
            "values cannot be unpacked",
            expected="a finite scale_factor that is not 0, and a finite add_offset",
            found=f"scale_factor {scale:g}, add_offset {offset:g}",
            where=where,
        )
    return scale, offset


def _missing(
    stored: NDArray[Any], values: NDArray[Any], attributes: Mapping[str, Any], scale: float, where: object
) -> NDArray[np.bool_]:
    """Where values are missing; ``values`` are the unpacked ones."""
    if values.dtype.kind == "f":
        size = np.abs(values)
        missing = np.asarray((size > MISSING_ABOVE) & (size < np.inf))
    else:
        missing = np.zeros(values.shape, bool)
    for fill in _fill_values(stored.dtype, attributes, where):
        missing |= _equals(stored, values, fill, scale)
    for name in _VALID:
        if name in attributes:
            missing |= _invalid(stored, values, name, attributes, scale, where)
    return missing


def _fill_values(dtype: np.dtype[Any], attributes: Mapping[str, Any], where: object) -> list[Any]:
    found: list[Any] = []
    for name in _MISSING:
        for value in np.atleast_1d(_text(attributes.get(name, ()))).ravel():
            found.append(_number(value, name, where) if isinstance(value, (str, bytes)) else value)
    if "_FillValue" not in attributes and dtype.str[1:] in _UNWRITTEN:
        found.append(_UNWRITTEN[dtype.str[1:]])
    return found


def _equals(stored: NDArray[Any], values: NDArray[Any], fill: Any, scale: float) -> NDArray[np.bool_] | np.bool_:
    """Where values are a fill value, which may be of another type than the stored values."""
    if np.isnan(fill):
        return np.False_  # NaN is missing anyway.
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(stored == stored.dtype.type(fill))
    if np.isfinite(fill) and float(fill) == np.rint(float(fill)):
        exact = _same_bits(int(fill), stored.dtype)
        return np.False_ if exact is None else np.asarray(stored == exact)
    # A fraction cannot be a stored integer: it is meant for the unpacked values.
    return np.asarray(np.abs(values - float(fill)) < 0.5 * scale)


def _same_bits(number: int, dtype: np.dtype[Any]) -> Any:
    """An integer in a type, also if it is given as the signed or unsigned one of the same bits; else ``None``."""
    bits = 8 * dtype.itemsize
    if not -(2 ** (bits - 1)) <= number < 2**bits:
        return None
    return np.array(number % 2**bits, f"u{dtype.itemsize}").view(dtype)[()]


def _invalid(
    stored: NDArray[Any], values: NDArray[Any], name: str, attributes: Mapping[str, Any], scale: float, where: object
) -> NDArray[np.bool_]:
    given = np.atleast_1d(_text(attributes[name])).ravel()
    numbers = np.array([_number(value, name, where) for value in given], np.float64)
    if numbers.size != (2 if name == "valid_range" else 1):
        raise DataError(f"the attribute {name} cannot be used", expected="its limits", found=given, where=where)
    unpacked = stored.dtype.kind in "iu" and given.dtype.kind not in "iu" and is_packed(attributes)
    if stored.dtype.kind == "f":
        numbers = numbers.astype(stored.dtype).astype(np.float64)  # A limit is not below the same number, rounded.
    elif not unpacked and stored.dtype.kind == "u":
        # Limits of a type without unsigned integers (classic netCDF) are signed too.
        numbers = np.where(numbers < 0, numbers + 2.0 ** (8 * stored.dtype.itemsize), numbers)
    compared, slack = (values, 1e-3 * scale) if unpacked else (stored, 0.0)
    low = numbers[0] if name != "valid_max" else -np.inf
    high = numbers[-1] if name != "valid_min" else np.inf
    return np.asarray((compared < low - slack) | (compared > high + slack))


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _number(value: Any, name: str, where: object) -> float:
    single = np.ravel(_text(value))
    try:
        if single.size == 1:
            return float(_text(single[0]))
    except (TypeError, ValueError):
        pass
    raise DataError(
        f"the attribute {name} is no number",
        expected="one number",
        found=repr(value),
        where=where,
        remedy=f"correct the attribute, such as with ncatted -a {name},VARIABLE,o,f,NUMBER",
    )
