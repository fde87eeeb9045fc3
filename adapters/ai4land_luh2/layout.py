"""Reads the layout of LUH2 and LUH3 files: their variables, their grid and their years.

Variables are (time, lat, lon), of a static file (lat, lon); https://luh.umd.edu/code.shtml.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.api import (
    DataError,
    GridError,
    InputFile,
    LatLonGrid,
    MapAxes,
    TimeError,
    open_netcdf,
    read_axes,
    read_native_values,
    read_years,
)

#: The version of LUH3 for the test phase of CMIP7.
RETRACTED = "UofMD-landState-3-0"

#: Cells may be shifted by this share of a cell against the published grid: coordinates are rounded.
LATTICE = 0.01


@dataclass(frozen=True)
class Layout:
    """The content of a file.

    Parameters
    ----------
    source:
        The file.
    units:
        Variable to its units as the file spells them.
    axes:
        The grid from the cell centres, and the order of the dimensions. The bounds of the published static file of LUH2
        are off by half a cell.
    years:
        Year of each time step; empty for a static file.
    source_id:
        The data set as input4MIPs names it (a global attribute); empty if the file does not say.
    """

    source: InputFile
    units: Mapping[str, str]
    axes: MapAxes
    years: tuple[int, ...]
    source_id: str = ""

    @property
    def grid(self) -> LatLonGrid:
        return self.axes.grid

    @property
    def path(self) -> Path:
        return self.source.path

    @property
    def where(self) -> str:
        """The name that messages give the file."""
        return self.source.name

    @property
    def first(self) -> int:
        return min(self.years)

    @property
    def last(self) -> int:
        return max(self.years)

    def read(self, variable: Any, year: int | None, rows: slice, cols: slice) -> NDArray[np.floating[Any]]:
        """Read a window of the grid in a year (None for a static field), NaN where missing."""
        step = None if year is None else self.years.index(year)
        time = None if year is None else "time"
        return self.axes.block(variable, step, time, rows, cols, read_native_values)


def read_layout(source: InputFile, known: Iterable[str], timed: bool) -> Layout:
    """Read which of the known variables a file holds, its grid and its years.

    Raises
    ------
    DataError
        The file is missing, unreadable, or holds none of the known variables in the layout of LUH2.
    GridError
        Its coordinates are not a regular grid, or are those of cell corners.
    TimeError
        Its time axis does not have one year for each step.
    """
    known = tuple(known)
    with open_netcdf(source.path) as dataset:
        found = [name for name in known if name in dataset.variables]
        if not found:
            raise DataError(
                "a file holds none of the variables that its layout has",
                expected=f"some of {', '.join(known)}",
                found=", ".join(sorted(dataset.variables)),
                where=source.name,
            )
        for name in found:
            # A static file may have one step of time.
            once = not timed and "time" in dataset.dimensions and dataset.dimensions["time"].size == 1
            wanted = ("time", "lat", "lon") if timed or (once and dataset[name].ndim == 3) else ("lat", "lon")
            _check_dims(dataset, name, wanted, source)
        for name in ("lat", "lon", *(["time"] if timed else [])):
            _check_dims(dataset, name, (name,), source)
        axes = read_axes(dataset, found[0], source.name, check_bounds=False)
        _check_half_cells(axes.grid, source)
        years: tuple[int, ...] = ()
        if timed:
            years = _yearly(dataset, f"{source.name}, variable 'time'")
        units_of = {name: str(getattr(dataset[name], "units", "")) for name in found}
        return Layout(source, units_of, axes, years, str(getattr(dataset, "source_id", "")))


def source_id(source: InputFile) -> str:
    """The data set of a file as input4MIPs names it, such as ``UofMD-landState-h-3-1-1``; empty if it does not say."""
    with open_netcdf(source.path, source.name) as dataset:
        return str(getattr(dataset, "source_id", ""))


def refuse_retracted(layouts: Iterable[Layout]) -> None:
    """Refuse files of LUH3 3-0, by the attribute ``source_id`` or the published name.

    It has spurious spikes after 1950 and was retracted
    (https://input4mips-cvs.readthedocs.io/en/latest/dataset-overviews/land-use/).
    """
    found = [x.where for x in layouts if x.source_id == RETRACTED or f"_{RETRACTED}_" in x.source.stem]
    if found:
        raise DataError(
            "land use of LUH3 version 3-0 was retracted: it has spurious spikes after 1950",
            expected="the history UofMD-landState-3-1-2",
            found=", ".join(found),
            remedy="download UofMD-landState-3-1-2 (input4MIPs on ESGF, https://doi.org/10.5281/zenodo.19261724); "
            "`policy: mend` reads version 3-0 all the same",
        )


def _yearly(dataset: Any, where: str) -> tuple[int, ...]:
    """The year of each step. Steps are on the first day of their years (LUH2, LUH3), in the middle or on the last."""
    units = str(getattr(dataset["time"], "units", ""))
    if " since " not in units:
        raise TimeError(
            "the time axis is not in the units of the LUH2 layout",
            expected="years since YYYY-01-01, or days since a date",
            found=units or "no units",
            where=where,
        )
    years = tuple(int(year) for year in read_years(dataset, "time", where, yearly=True))
    if len(set(years)) != len(years):
        raise TimeError("the time axis does not hold one step for each year", found=years, where=where)
    return years


def _check_dims(dataset: Any, name: str, expected: tuple[str, ...], source: InputFile) -> None:
    """Check the names of the dimensions of a variable. They may have any order if they have coordinates."""
    dims = dataset[name].dimensions if name in dataset.variables else None
    known = set(dims or ()) <= dataset.variables.keys()
    if dims is None or (dims != expected and not (known and sorted(dims) == sorted(expected))):
        raise DataError(
            f"variable {name!r} does not have the dimensions of the LUH2 layout",
            expected=expected,
            found=dims or "no such variable",
            where=source.name,
        )


def _check_half_cells(grid: LatLonGrid, source: InputFile) -> None:
    for name, shift in _shifts(grid).items():
        if shift > 0.5 - LATTICE:
            raise _shifted(grid, name, "half a cell", source)


def check_lattice(layout: Layout) -> None:
    """Refuse cells of a quarter of a degree that are not those of the published grid: they are shifted against it.

    The coordinates are those of cell corners, or rounded, or of another grid.
    """
    steps = {"lon": layout.grid.dlon, "lat": layout.grid.dlat}
    for name, shift in _shifts(layout.grid).items():
        if abs(abs(steps[name]) - 0.25) < 0.001 * 0.25 and shift > LATTICE:
            raise _shifted(layout.grid, name, f"{shift:.2g} of a cell", layout.source)


def _shifts(grid: LatLonGrid) -> dict[str, float]:
    """How far cell edges are from whole multiples of the cell size from 180 W and 90 N, as a share of a cell."""
    cells = {"lon": (grid.lon0 + 180.0) / grid.dlon, "lat": (grid.lat0 - 90.0) / grid.dlat}
    return {name: float(abs(number - np.rint(number))) for name, number in cells.items()}


def _shifted(grid: LatLonGrid, name: str, size: str, source: InputFile) -> GridError:
    edge, step = (grid.lon0, grid.dlon) if name == "lon" else (grid.lat0, grid.dlat)
    return GridError(
        f"the grid is shifted by {size} along {name!r}",
        expected=f"cell edges at whole multiples of {abs(step):g} degrees from 180 W and 90 N",
        found=f"an edge at {edge:g}",
        where=source.name,
        remedy="the coordinates may be those of the corners of cells: write those of their centres",
    )
