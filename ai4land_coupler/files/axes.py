"""Finds the latitude-longitude grid of a variable of a netCDF file by the CF conventions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import GridError
from ai4land_coupler.files.cf_coordinates import to_degrees
from ai4land_coupler.files.map_coordinates import REGRID, read_coordinates
from ai4land_coupler.files.netcdf import read_values

#: The middle of the bounds may differ from the centre by this share of a cell.
_BOUNDS = 1e-2
_EVEN = f"make a file on an even grid: {REGRID}; `static` reads uneven axes"


@dataclass(frozen=True)
class MapAxes:
    """The grid of a variable.

    Parameters
    ----------
    dims:
        Names of the dimensions of rows and columns.
    reverse:
        Whether the columns of the file run from east to west. Those of ``grid`` always run from west to east.
    """

    grid: LatLonGrid
    dims: tuple[str, str]
    reverse: bool

    def block(
        self,
        variable: Any,
        step: int | None,
        time: str | None,
        rows: slice,
        cols: slice,
        read: Callable[..., NDArray[Any]] = read_values,
        at: Mapping[Any, int] | None = None,
    ) -> NDArray[Any]:
        """Read a window of ``grid``, (rows, columns), with NaN where values are missing.

        ``time`` is the time dimension and ``step`` the index along it; both are ``None`` if there is no time. ``read``
        gets the variable and its indices. ``at`` are the positions along further dimensions; default: the first.
        """
        if self.reverse:
            cols = slice(self.grid.nlon - cols.stop, self.grid.nlon - cols.start)
        index: dict[Any, Any] = {**(at or {}), self.dims[0]: rows, self.dims[1]: cols, time: step}
        part = read(variable, *(index.get(d, 0) for d in variable.dimensions))
        if variable.dimensions.index(self.dims[0]) > variable.dimensions.index(self.dims[1]):
            part = part.T
        return part[:, ::-1] if self.reverse else part


def read_axes(dataset: Any, name: str, where: object, check_bounds: bool = True) -> MapAxes:
    """Find latitude and longitude of a variable.

    Raises
    ------
    GridError
        It has no dimensions of latitude and longitude (a rotated pole or a projection is named), these are not evenly
        spaced, or their bounds do not fit.
    """
    found = read_coordinates(dataset, name, where)
    lat, lon = found.lat, found.lon
    reverse = bool(lon.size > 1 and lon[0] > lon[-1])
    try:
        grid = LatLonGrid.from_centres(lon[::-1] if reverse else lon, lat, where=where)
    except GridError as error:
        error.where, error.remedy = where, error.remedy or _EVEN
        raise
    if check_bounds:
        for dim, centres, step in ((found.dims[0], lat, grid.dlat), (found.dims[1], lon, grid.dlon)):
            _check_bounds(dataset, dim, centres, abs(step), where)
    return MapAxes(grid, found.dims, reverse)


def _bounds(dataset: Any, dim: str, name: str, where: object) -> NDArray[np.float64]:
    """Bounds in degrees. They have the units of their coordinate if they have none (CF 7.1)."""
    units = str(getattr(dataset[name], "units", "")) or str(getattr(dataset[dim], "units", ""))
    values = read_values(dataset[name], slice(None))
    return to_degrees(values, units, None, f"{where}, bounds {name!r}") if units else values


def _check_bounds(dataset: Any, dim: str, centres: NDArray[Any], step: float, where: object) -> None:
    name = getattr(dataset[dim], "bounds", None) if dim in dataset.variables else None
    if name not in dataset.variables or dataset[name].shape != (centres.size, 2):
        return
    bounds = np.unwrap(_bounds(dataset, dim, str(name), where), axis=1, period=360.0)
    shift = (bounds.mean(axis=1) - centres + 180.0) % 360.0 - 180.0
    # Bounds that are cut at a pole shift the middle of the outermost cells only.
    inner = shift[1:-1] if shift.size > 2 else shift
    worst = float(np.abs(inner).max()) / step
    if not worst <= _BOUNDS:
        raise GridError(
            "the bounds of a coordinate do not enclose its centres evenly: one of them is shifted",
            expected=f"{dim!r} in the middle of {name!r}",
            found=f"a distance of {worst:.3g} cells",
            where=where,
            remedy="correct the file; where the centres are right, set `check_bounds: false`",
        )
