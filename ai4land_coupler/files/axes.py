"""Finds latitude, longitude and time of a variable of a netCDF file by the CF conventions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import GridError, TimeError

#: Units of an axis, and its names in files without units and standard names (CF 1.11, sections 4.1 and 4.2).
_AXES = {
    "latitude": (re.compile(r"degrees?_?(north|N)$"), ("lat", "latitude", "y")),
    "longitude": (re.compile(r"degrees?_?(east|E)$"), ("lon", "longitude", "x")),
}
_TIMES = ("time", "year", "years")
#: The middle of the bounds may differ from the centre by this share of a cell.
_BOUNDS = 1e-2
#: Years and months of UDUNITS are no whole numbers of days, and cftime refuses them. Files count calendar years.
_COUNTED = re.compile(r"^\s*(?:common_)?(year|month)s?\s+since\s+(-?\d{1,4})(?:-(\d{1,2}))?", re.IGNORECASE)


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
        at: Mapping[Any, int] | None = None,
    ) -> NDArray[Any]:
        """Read a window of ``grid``, (rows, columns), masked where the file says that values are missing.

        ``time`` is the time dimension and ``step`` the index along it; both are ``None`` if there is no time. ``at``
        are the positions along further dimensions, by the name of the dimension; default: the first.
        """
        if self.reverse:
            cols = slice(self.grid.nlon - cols.stop, self.grid.nlon - cols.start)
        index: dict[str | None, Any] = {**(at or {}), self.dims[0]: rows, self.dims[1]: cols, time: step}
        part = np.ma.asarray(variable[tuple(index.get(d, 0) for d in variable.dimensions)])
        if variable.dimensions.index(self.dims[0]) > variable.dimensions.index(self.dims[1]):
            part = part.T
        return part[:, ::-1] if self.reverse else part


def read_axes(dataset: Any, name: str, where: object, check_bounds: bool = True) -> MapAxes:
    """Find latitude and longitude of a variable.

    Raises
    ------
    GridError
        It has no dimensions of latitude and longitude, these are not evenly spaced, or their bounds do not fit.
    """
    variable = dataset[name]
    dims = [_find(dataset, variable.dimensions, axis) for axis in _AXES]
    if dims[0] is None or dims[1] is None:
        raise GridError(
            "a variable lies on no latitude-longitude grid",
            expected="dimensions with coordinates in degrees_north and degrees_east",
            found=dict(zip(variable.dimensions, variable.shape, strict=True)),
            where=where,
            remedy="regrid the file to latitude-longitude first; `static` also reads rotated poles",
        )
    lat, lon = (np.ma.filled(np.ma.asarray(dataset[dim][:]), np.nan) for dim in (dims[0], dims[1]))
    lon = np.unwrap(lon, period=360.0).astype(lon.dtype)
    reverse = bool(lon.size > 1 and lon[0] > lon[-1])
    grid = LatLonGrid.from_centres(lon[::-1] if reverse else lon, lat, where=where)
    if check_bounds:
        for dim, centres, step in ((dims[0], lat, grid.dlat), (dims[1], lon, grid.dlon)):
            _check_bounds(dataset, dim, centres, abs(step), where)
    return MapAxes(grid, (dims[0], dims[1]), reverse)


def _find(dataset: Any, dims: tuple[str, ...], axis: str) -> str | None:
    units, names = _AXES[axis]
    for dim in dims:
        coordinate = dataset.variables.get(dim)
        if coordinate is not None and (
            getattr(coordinate, "standard_name", None) == axis
            or units.match(str(getattr(coordinate, "units", "")))
            or dim.lower() in names
        ):
            return dim
    return None


def _check_bounds(dataset: Any, dim: str, centres: NDArray[Any], step: float, where: object) -> None:
    name = getattr(dataset[dim], "bounds", None)
    if name not in dataset.variables or dataset[name].shape != (centres.size, 2):
        return
    bounds = np.unwrap(np.ma.filled(np.ma.asarray(dataset[name][:]).astype(np.float64), np.nan), axis=1, period=360.0)
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


def time_dimension(dataset: Any, dims: tuple[str, ...]) -> str | None:
    """The dimension along time, or ``None`` if there is none."""
    for dim in dims:
        coordinate = dataset.variables.get(dim)
        if dim.lower() in _TIMES or (coordinate is not None and " since " in str(getattr(coordinate, "units", ""))):
            return dim
    return None


def read_years(dataset: Any, dim: str, where: object) -> NDArray[np.int64]:
    """Read the year of each step of a time axis in any CF calendar, or of an axis of plain years.

    A step with bounds belongs to the year of the middle of its bounds. Other steps belong to the year of their time.

    Raises
    ------
    TimeError
        The axis cannot be read as years.
    """
    if dim not in dataset.variables:
        raise TimeError("a time dimension has no coordinate", expected=f"a variable {dim!r}", where=where)
    time = dataset[dim]
    steps = np.ma.filled(np.ma.asarray(time[:]).astype(np.float64), np.nan)
    units = str(getattr(time, "units", ""))
    if not np.isfinite(steps).all() or steps.size == 0:
        raise TimeError("a time axis has missing values", found=f"units {units!r}", where=where)
    bounds = getattr(time, "bounds", None)
    middles = steps
    if bounds in dataset.variables and dataset[bounds].shape == (steps.size, 2):
        middles = np.ma.filled(np.ma.asarray(dataset[bounds][:]).astype(np.float64), np.nan).mean(axis=1)
    if " since " not in units:
        return _plain_years(steps, units, where)
    counted = _COUNTED.match(units)
    if counted:
        year, month = int(counted[2]), int(counted[3] or 1) - 1
        years = middles if counted[1].lower() == "year" else middles / 12
        # Half a minute is added: a whole number of years that was rounded down must stay in its year.
        return np.asarray(np.floor(year + month / 12 + years + 1e-6), np.int64)
    return _calendar_years(middles, units, str(getattr(time, "calendar", "standard")), where)


def _plain_years(steps: NDArray[np.float64], units: str, where: object) -> NDArray[np.int64]:
    whole = np.rint(steps)
    if np.abs(steps - whole).max() > 1e-6 or whole.min() < 1 or whole.max() > 9999:
        raise TimeError(
            "a time axis without a reference date holds no years",
            expected="units like 'days since 1850-01-01', or whole years",
            found=f"{steps[0]:g} to {steps[-1]:g}, units {units!r}",
            where=where,
        )
    return np.asarray(whole, np.int64)


def _calendar_years(steps: NDArray[np.float64], units: str, calendar: str, where: object) -> NDArray[np.int64]:
    import cftime

    try:
        dates = np.atleast_1d(cftime.num2date(steps, units, calendar=calendar))
    except (ValueError, OverflowError) as error:
        raise TimeError(
            "a time axis cannot be decoded",
            expected="units and a calendar of the CF conventions",
            found=f"{units!r} in calendar {calendar!r}: {error}",
            where=where,
        ) from error
    years = np.array([date.year for date in dates], np.int64)
    days = np.array([date.dayofyr for date in dates])
    if np.unique(years).size == years.size and np.ptp(days) > 45:
        raise TimeError(
            "the dates of yearly steps drift through the year: the calendar is not the one that they were written in",
            expected="yearly steps at the same time of the year",
            found=f"from {dates[0]} to {dates[-1]} in calendar {calendar!r}",
            where=where,
            remedy="correct the attribute `calendar` of the time axis",
        )
    return years
