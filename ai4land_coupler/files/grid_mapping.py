"""Finds the projection of a variable by its grid mapping (CF 1.11, section 5.6 and appendix F)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ai4land_coupler.errors import GridError

GEOGRAPHIC, ROTATED = "latitude_longitude", "rotated_latitude_longitude"


@dataclass(frozen=True)
class GridMapping:
    """The grid mapping of a variable.

    Parameters
    ----------
    kind:
        ``grid_mapping_name``, or the name of the reference system in ``crs_wkt`` if there is no such attribute.
    attributes:
        Those of the grid mapping variable.
    """

    kind: str
    attributes: dict[str, Any]


def read_grid_mapping(dataset: Any, name: str, where: object) -> GridMapping | None:
    """Read the grid mapping of a variable; ``None`` if it names none that the file has.

    Raises
    ------
    GridError
        Its longitudes do not count from Greenwich.
    """
    text = str(getattr(dataset[name], "grid_mapping", ""))
    # The extended form is "crs: x y  crs_geographic: lat lon". The first one is that of the dimensions.
    names = re.findall(r"(\S+)\s*:", text) or text.split()
    variable = next((dataset[each] for each in names if each in dataset.variables), None)
    if variable is None:
        return None
    attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
    kind = str(attributes.get("grid_mapping_name", "")).strip() or _kind_of_wkt(attributes)
    meridian = float(attributes.get("longitude_of_prime_meridian", 0.0))
    if kind == GEOGRAPHIC and meridian:
        raise GridError(
            "longitudes do not count from Greenwich",
            expected="a prime meridian of 0 degrees",
            found=f"longitude_of_prime_meridian {meridian:g}",
            where=where,
            remedy="add it to the longitudes, and remove the attribute",
        )
    return GridMapping(kind, attributes)


def _kind_of_wkt(attributes: dict[str, Any]) -> str:
    """The kind by the text of the reference system (``crs_wkt`` of CF, ``spatial_ref`` of GDAL)."""
    text = str(attributes.get("crs_wkt", attributes.get("spatial_ref", "")))
    named = re.match(r'\s*(\w+)\s*\[\s*"([^"]*)"', text)
    if named is None or (named[1].upper().startswith("GEO") and "BASEGEO" not in text.upper()):
        return GEOGRAPHIC
    return named[2] or named[1]
