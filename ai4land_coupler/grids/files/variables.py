"""Variables of a grid file: values with NaN for missing data, and angles converted to degrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import DataError, GridError, nearest
from ai4land_coupler.files.cf_coordinates import Kind, coordinate_kind, to_degrees
from ai4land_coupler.files.netcdf import attributes_of, read_values

#: Larger values are fill values, even without a fill value attribute (the default of netCDF is 9.97e36).
_MISSING_ABOVE = 1e15

#: How a user names the variable whose grid is read, for remedies.
NAME_A_VARIABLE = "--variable of ai4land weights, variable: of the grid in hosts:, or variable= of read_mesh"

#: Steradians per unit of area, for the units that occur in grid files.
_STERADIANS = {
    **dict.fromkeys(("radians^2", "radian^2", "rad2", "radians2", "steradian", "steradians", "sr"), 1.0),
    **dict.fromkeys(("m2", "m^2", "m**2", "meter2", "metre2"), EARTH_RADIUS**-2),
    **dict.fromkeys(("km2", "km^2", "km**2"), 1e6 * EARTH_RADIUS**-2),
}


@dataclass(frozen=True)
class GridFile:
    """An open netCDF file, with the data variable and the mask that the user chose."""

    dataset: Any
    path: Path
    variable: str | None = None
    mask: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def variables(self) -> Mapping[str, Any]:
        return self.dataset.variables  # type: ignore[no-any-return]

    def check_names(self) -> None:
        """Refuse a data variable or a mask that is not in the file."""
        for name in (self.variable, self.mask):
            if name is not None:
                self.known(name)

    def attribute(self, name: str, key: str) -> str:
        """An attribute as text without outer blanks. Empty if the attribute does not exist."""
        return str(getattr(self.variables[name], key, "")).strip()

    def values(self, name: str, *index: int) -> NDArray[np.float64]:
        """Values of a variable as float64, unpacked, with NaN for missing values. Default: all of them."""
        values = read_values(self.known(name), *index)
        return np.where(np.abs(values) < _MISSING_ABOVE, values, np.nan)

    def degrees(self, name: str, units_of: str | None = None, *index: int) -> NDArray[np.float64]:
        """Read an angle in degrees. Bounds without units have the units of ``units_of``, as in CF.

        Without any units, values are taken as degrees, with a note; :func:`ai4land_coupler.grids.checks.check_radians`
        refuses a globe in radians.

        Raises
        ------
        DataError
            Units are no angles, or are radians although the values are degrees (beyond 4 pi).
        """
        units = self.attribute(name, "units") or (self.attribute(units_of, "units") if units_of else "")
        try:
            values = to_degrees(self.values(name, *index), units, None, f"{self.path}: {name}")
        except GridError as error:
            raise DataError(
                f"{name}: {error.what}",
                expected=error.expected,
                found=error.found,
                where=error.where,
                remedy=error.remedy,
            ) from error
        if not units and not units_of:
            self.note(f"{name} has no units: taken as degrees")
        return values

    def note(self, text: str) -> None:
        """Keep a note for the user (:attr:`Mesh.notes`), once."""
        if text not in self.notes:
            self.notes.append(text)

    def kind(self, name: str, by_name: bool = True) -> Kind | None:
        """Whether a variable holds latitudes or longitudes, by its standard name, units, or name.

        ``x`` and ``y`` alone tell nothing: in files of curvilinear grids they number the cells.
        """
        if name not in self.variables:
            return None
        attributes = attributes_of(self.variables[name])
        by_name = by_name and name.lower() not in ("x", "y")
        return coordinate_kind(name if by_name else "", attributes, self.path)

    def taken(
        self, shape: tuple[int, ...], own: str | None = None, dimensions: tuple[str, ...] = ()
    ) -> NDArray[np.bool_]:
        """False for masked cells, (n,). From the user's mask, else the layout's mask (``own``), else all True.

        If the mask has dimensions before those of the cells, its first field is used. Cells over several
        ``dimensions`` are found by their names, in any order.
        """
        name = self.mask or (own if own in self.variables else None)
        if name is None:
            return np.ones(int(np.prod(shape)), bool)
        values = self.values(name)
        given = self.variables[name].dimensions
        if set(dimensions) <= set(given):
            values = np.moveaxis(values, [given.index(dim) for dim in dimensions], range(-len(dimensions), 0))
        while values.ndim > len(shape) and len(values):
            values = values[0]
        if values.shape != shape:
            raise DataError(
                f"mask {name!r} does not fit the cells",
                expected=f"the shape {shape}",
                found=self.variables[name].shape,
                where=self.path,
            )
        return np.asarray((np.nan_to_num(values, nan=0.0) != 0).ravel())

    def steradians(self, name: str) -> NDArray[np.float64] | None:
        """Areas on the unit sphere, (n,). ``None`` if the file has no areas, or their units are unknown."""
        units = self.attribute(name, "units").lower().replace(" ", "") if name in self.variables else ""
        return self.values(name).ravel() * _STERADIANS[units] if units in _STERADIANS else None

    def cell_measure(self, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
        """Areas from the cell measure of the data variable (CF 7.2), steradians (n,). ``None`` if it has none."""
        if self.variable is None or self.variable not in self.variables:
            return None
        words = self.attribute(self.variable, "cell_measures").split()
        named = [name for key, name in pairwise(words) if key == "area:"]
        if not named or named[0] not in self.variables or tuple(self.variables[named[0]].shape) != shape:
            return None
        return self.steradians(named[0])

    def known(self, name: str) -> Any:
        if name not in self.variables:
            raise DataError(
                "a grid file lacks a variable", found=name, where=self.path, remedy=nearest(name, self.variables)
            )
        return self.variables[name]
