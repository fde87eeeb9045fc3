"""Types, missing values and attributes of regridded variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ai4land_coupler.files.cf_values import ENCODING_ATTRIBUTES, decode_codes, decode_values
from ai4land_coupler.regrid.files.averaging import Rule
from ai4land_coupler.regrid.files.fields import Field

#: Attributes of a variable that are wrong on the new grid.
_GRID_ATTRIBUTES = frozenset(
    {
        "coordinates",
        "grid_mapping",
        "cell_measures",
        "bounds",
        "ancillary_variables",
        "actual_range",
        "CDI_grid_type",
        "mesh",
        "location",
    }
)
_CATEGORIES = frozenset({"flag_values", "flag_meanings", "flag_masks"})


def is_category(attributes: Mapping[str, Any]) -> bool:
    """Whether the values of a variable are codes (CF 1.11, section 3.5)."""
    return bool(_CATEGORIES & set(attributes))


def kept_attributes(field: Field, averaged: bool) -> dict[str, Any]:
    """The attributes that hold for the new values: none of the storage or the old grid, and no flags of a mean."""
    gone = ENCODING_ATTRIBUTES | _GRID_ATTRIBUTES | (_CATEGORIES if averaged else frozenset())
    # names that start with an underscore are reserved for libraries (_Unsigned, _ChunkSizes, _fillvalue of LUH2)
    return {key: value for key, value in field.array.attrs.items() if key not in gone and not key.startswith("_")}


def output_type(field: Field, rule: Rule) -> np.dtype[Any]:
    """Categories and means of floats keep their type; means of integers, and packed values, are float64."""
    decode = decode_codes if rule == "largest-share" else decode_values
    return np.dtype(decode(np.zeros(0, field.array.dtype), field.array.attrs).dtype)


def fill_of(field: Field, dtype: np.dtype[Any]) -> Any:
    """The missing value: that of the input, or else the default of netCDF for the type."""
    import netCDF4

    stored = field.array.dtype
    for name in ("_FillValue", "missing_value"):
        given = np.ravel(field.array.attrs.get(name, ()))[:1]
        if given.dtype.kind not in "iuf" or not given.size or stored.itemsize != dtype.itemsize:
            continue
        if dtype.kind == "f" and stored.kind == "f" and not abs(given[0]) > np.finfo(dtype).max:
            return dtype.type(given[0])
        if dtype.kind in "iu" and given.dtype.kind in "iu":
            return given.astype(f"u{dtype.itemsize}").view(dtype)[0]
    return dtype.type(netCDF4.default_fillvals[dtype.str[1:]])
