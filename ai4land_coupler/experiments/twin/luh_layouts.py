"""Writes a twin's land use in every published format of LUH2 and LUH3, with the faults of the originals.

Formats: LUH2 v2h (https://luh.umd.edu/data.shtml), its scenarios and their extensions (headers at
https://www.wdc-climate.de, entries I4M_5359597, I4M_5359830, I4M_5359839), LUH3
(https://pcmdi.github.io/input4MIPs_CVs/docs/dataset-overviews/land-use.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.experiments.twin.luh_land_use import LandUse
from ai4land_coupler.experiments.twin.states import MISSING
from ai4land_coupler.experiments.twin.writers import TITLE

Kind = Literal["states", "transitions", "management", "static"]
KINDS: tuple[Kind, ...] = ("states", "transitions", "management", "static")
_FRACTION = "area_fraction"


@dataclass(frozen=True)
class PublishedLayout:
    """Format of the files of one data set.

    Parameters
    ----------
    names:
        File names by kind, with ``{scenario}``, ``{first}`` and ``{last}``.
    time:
        Units of the time axis, with ``{first}``.
    middle:
        Times are in the middle of the year instead of the first day.
    fill:
        Spelling of the attribute for missing values.
    bounds:
        Ending of the names of the bounds after ``lat_`` and ``lon_``, and the name of their second dimension.
    shifted:
        Bounds are wrong by half a cell.
    yearly:
        Units of transitions.
    """

    names: Mapping[Kind, str]
    time: str
    fill: str
    bounds: tuple[str, str] = ("bounds", "bounds")
    middle: bool = False
    shifted: bool = True
    yearly: str = "1"


def _input4mips(activity: str, source: str, years: str) -> dict[Kind, str]:
    names: dict[Kind, str] = {
        kind: f"multiple-{kind}_input4MIPs_landState_{activity}_UofMD-{source}_gn_{years}.nc" for kind in KINDS
    }
    return names | {"static": f"multiple-static_input4MIPs_landState_{activity}_UofMD-{source}_gn.nc"}


#: The published formats. The first year of an extension is the last year of the file that it continues.
LAYOUTS: Mapping[str, PublishedLayout] = {
    "luh2-v2h": PublishedLayout(
        {
            "states": "states.nc",
            "transitions": "transitions.nc",
            "management": "management.nc",
            "static": "staticData_quarterdeg.nc",
        },
        time="years since 850-01-01 0:0:0",
        fill="_fillvalue",
    ),
    "luh2-future": PublishedLayout(
        _input4mips("ScenarioMIP", "{scenario}-2-1-f", "{first}-{last}"),
        time="years since {first}-01-01 0:0:0",
        fill="_Fillvalue",
    ),
    "luh2-extension": PublishedLayout(
        _input4mips("ScenarioMIP", "{scenario}-2-1-e", "{first}-{last}"),
        time="years since {first}-01-01 0:0:0",
        fill="_Fillvalue",
    ),
    "luh3": PublishedLayout(
        _input4mips("CMIP", "landState-3-1-2", "{first:04d}-{last}"),
        time="days since 0850-01-01 00:00:00",
        fill="_FillValue",
        bounds=("bnds", "bnds"),
        shifted=False,
        yearly="1 yr-1",
    ),
    "luh3-scenario": PublishedLayout(
        _input4mips("ScenarioMIP", "landState-{scenario}-3-1", "{first}-{last}"),
        time="days since 0850-01-01 00:00:00",
        fill="_FillValue",
        bounds=("bnds", "bnds"),
        middle=True,
        shifted=False,
        yearly="1 yr-1",
    ),
}


def write_published(folder: Path, layout: str, land_use: LandUse, scenario: str = "") -> dict[Kind, Path]:
    """Write land use in a published format, to an existing folder.

    Parameters
    ----------
    layout:
        A name of :data:`LAYOUTS`.
    scenario:
        Name of the scenario in the file names: ``IMAGE-ssp126``, ``h``, ``h-ext``.

    Returns
    -------
    The files by kind.
    """
    chosen = LAYOUTS[layout]
    paths: dict[Kind, Path] = {}
    for kind in KINDS:
        fields: dict[str, NDArray[np.float32]] = getattr(land_use, kind)
        years = land_use.years[:-1] if kind == "transitions" else land_use.years
        # In LUH2 scenarios, the file names of transitions have the years of the states.
        last = years[-1] if layout.startswith("luh3") else land_use.years[-1]
        name = chosen.names[kind].format(scenario=scenario, first=years[0], last=last)
        paths[kind] = folder / name
        _write(paths[kind], chosen, land_use.grid, () if kind == "static" else years, fields)
    return paths


def _write(
    path: Path,
    layout: PublishedLayout,
    grid: LatLonGrid,
    years: tuple[int, ...],
    fields: Mapping[str, NDArray[np.float32]],
) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"title": TITLE, "Conventions": "CF-1.6", "frequency": "yr" if years else "fx"})
        dims = ("time", "lat", "lon") if years else ("lat", "lon")
        if years:
            _time(dataset, layout, years)
        _coordinates(dataset, layout, grid)
        proper = layout.fill == "_FillValue"
        for name, values in fields.items():
            variable = dataset.createVariable(
                name, "f4", dims, zlib=True, complevel=1, fill_value=MISSING if proper else False
            )
            attributes = {"long_name": name, "standard_name": "", "units": units_of(name, layout.yearly)}
            if attributes["units"] == "1" and years:
                attributes["standard_name"] = _FRACTION
            variable.setncatts(attributes | {"cell_methods": "time:mean"} if years else attributes)
            variable.missing_value = MISSING
            if not proper:
                # In the static file, the attribute has another type than the variable.
                variable.setncattr(layout.fill, MISSING if years else np.float64(MISSING))
            variable[:] = np.where(np.isnan(values), MISSING, values)


def _time(dataset: Any, layout: PublishedLayout, years: tuple[int, ...]) -> None:
    days = layout.time.startswith("days")
    dataset.createDimension("time", None)
    time = dataset.createVariable("time", "f8", ("time",))
    units = layout.time.format(first=years[0])
    time.setncatts({"axis": "T", "standard_name": "time", "long_name": "time", "calendar": "noleap", "units": units})
    base = int(units.split("since ")[1].split("-")[0])
    since = np.asarray(years, np.float64) - base
    time[:] = since * 365 + 182.5 * layout.middle if days else since
    # In LUH2, this attribute names a variable that does not exist.
    time.bounds = "time_bnds" if days else "bounds_time"
    if days:
        dataset.createDimension("bnds", 2)
        dataset.createVariable("time_bnds", "f8", ("time", "bnds"))[:] = 365 * np.stack([since, since + 1], axis=1)


def _coordinates(dataset: Any, layout: PublishedLayout, grid: LatLonGrid) -> None:
    suffix, second = layout.bounds
    if second not in dataset.dimensions:
        dataset.createDimension(second, 2)
    for name, text, units, values, step in (
        ("lat", "latitude", "degrees_north", grid.lat, grid.dlat),
        ("lon", "longitude", "degrees_east", grid.lon, grid.dlon),
    ):
        dataset.createDimension(name, values.size)
        variable = dataset.createVariable(name, "f8", (name,))
        variable.setncatts({"units": units, "long_name": text, "standard_name": text})
        variable.axis = "Y" if name == "lat" else "X"
        variable.bounds = f"{name}_{suffix}" if not layout.shifted else f"bounds_{name}"
        variable[:] = values
        first = values if layout.shifted else values - step / 2
        edges = np.stack([first, first + step], axis=1)
        dataset.createVariable(f"{name}_{suffix}", "f4", (name, second))[:] = edges


def units_of(name: str, yearly: str) -> str:
    """Units as spelt in the published files. ``yearly``: units of transitions."""
    if name.startswith("fertl_"):
        return "kg ha-1 yr-1 (crop season)"
    if name.endswith("_bioh"):
        return "kg C yr-1"
    if "_to_" in name or name.endswith("_harv"):
        return yearly
    return {"secma": "years", "secmb": "kg m-2", "ptbio": "kg m-2", "carea": "km2"}.get(name, "1")
