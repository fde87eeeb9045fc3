"""The layout of LUH2 files: which variables, on which grid, for which years.

LUH2 v2h and its futures (https://luh.umd.edu/code.shtml): variables (time, lat, lon), time in years since a
reference year in the calendar ``noleap``, which generic decoders refuse: year = reference + t.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.api import DataError, LatLonGrid, TimeError
from ai4land_luh2.netcdf import open_netcdf, values

_YEARS_SINCE = re.compile(r"^\s*(?:common_)?years?\s+since\s+(\d{1,4})-0?1-0?1\b", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """What a file holds.

    Parameters
    ----------
    units:
        Variable to its units as the file spells them.
    grid:
        From the cell centres; the bounds of the published static file are off by half a cell.
    years:
        Year of each time step; empty for a static file.
    """

    path: Path
    units: Mapping[str, str]
    grid: LatLonGrid
    years: tuple[int, ...]

    def step(self, year: int) -> int:
        """Index of a year along time.

        Raises
        ------
        TimeError
            Naming the first and the last year of the file.
        """
        if year not in self.years:
            first, last = min(self.years), max(self.years)
            raise TimeError(
                f"the year {year} is not in the data",
                expected=f"a year from {first} to {last}",
                found=year,
                where=self.path,
                remedy="change the years of the run, or choose a file that covers them",
            )
        return self.years.index(year)


def read_layout(path: Path, known: Iterable[str], timed: bool) -> Layout:
    """Read which of the known variables a file holds, its grid and its years.

    Raises
    ------
    DataError
        When the file is missing, unreadable, or holds none of the known variables in the layout of LUH2.
    GridError
        When its coordinates are no regular grid.
    TimeError
        When its time axis is not in years.
    """
    known = tuple(known)
    with open_netcdf(path) as dataset:
        found = [name for name in known if name in dataset.variables]
        if not found:
            raise DataError(
                "a file holds none of the variables that its layout has",
                expected=f"some of {', '.join(known)}",
                found=", ".join(sorted(dataset.variables)),
                where=path,
            )
        layout = ("time", "lat", "lon") if timed else ("lat", "lon")
        for name in (*found, *layout):
            expected = layout if name in found else (name,)
            dims = dataset[name].dimensions if name in dataset.variables else None
            if dims != expected:
                raise DataError(
                    f"variable {name!r} does not have the dimensions of the LUH2 layout",
                    expected=expected,
                    found=dims or "no such variable",
                    where=path,
                )
        centres = {name: values(dataset[name], slice(None)) for name in ("lon", "lat")}
        return Layout(
            path=path,
            units={name: str(getattr(dataset[name], "units", "")) for name in found},
            grid=LatLonGrid.from_centres(centres["lon"], centres["lat"], where=path),
            years=_years(dataset["time"], path) if timed else (),
        )


def _years(time: Any, path: Path) -> tuple[int, ...]:
    units = str(getattr(time, "units", ""))
    match = _YEARS_SINCE.match(units)
    if match is None:
        raise TimeError(
            "the time axis is not in the units of the LUH2 layout",
            expected="years since YYYY-01-01",
            found=units or "no units",
            where=f"{path}, variable 'time'",
        )
    steps = values(time, slice(None))
    whole = np.rint(steps)
    if steps.size == 0 or not np.all(np.abs(steps - whole) < 1e-3) or np.unique(whole).size != whole.size:
        raise TimeError(
            "the time axis does not hold one step for each year",
            expected="distinct whole numbers of years",
            found=steps,
            where=f"{path}, variable 'time'",
        )
    return tuple(int(match[1]) + int(t) for t in whole)
