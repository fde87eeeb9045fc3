"""Explains why values are missing: by the attributes with which a netCDF file says which of its values are missing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.files.cf_values import is_packed
from ai4land_coupler.files.netcdf import attributes_of, open_netcdf


def cause_of_gaps(name: str, files: Iterable[Path]) -> str | None:
    """A text that names attributes by which real values of a variable may count as missing; ``None`` if none is found.

    Parameters
    ----------
    name:
        The variable. If a file calls it otherwise, all variables of the file are looked at.
    """
    for path in files:
        try:
            with open_netcdf(path) as dataset:
                known = dataset.variables
                chosen = [known[name]] if name in known else [v for v in known.values() if v.ndim >= 2]
                for variable in chosen:
                    text = _cause(variable)
                    if text is not None:
                        return f"{path.name}, variable {variable.name!r}: {text}"
        except (Ai4LandError, OSError):
            continue
    return None


def _cause(variable: Any) -> str | None:
    attributes = attributes_of(variable)
    for key in ("_FillValue", "missing_value"):
        if key in attributes and _is_zero(attributes[key]):
            return (
                f"{key} is 0, so that each real 0 counts as missing. Write it with another fill value, such as 1e20 or "
                "the lowest integer"
            )
    limits = {key: attributes[key] for key in ("valid_range", "valid_min", "valid_max") if key in attributes}
    if not limits:
        return None
    said = ", ".join(f"{key} = {np.asarray(value).tolist()}" for key, value in limits.items())
    packed = is_packed(attributes)
    floating = any(np.asarray(value).dtype.kind == "f" for value in limits.values())
    meant = "" if not packed else ", taken as unpacked values" if floating else ", taken as packed numbers"
    return f"{said}{meant}: values beyond it count as missing. Correct it, or delete it"


def _is_zero(value: Any) -> bool:
    try:
        return bool((np.asarray(value, np.float64) == 0).any())
    except (TypeError, ValueError):
        return False
