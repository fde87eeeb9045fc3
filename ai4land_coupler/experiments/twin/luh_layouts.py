"""Writes a twin's land use in every published format of LUH2 and LUH3, with the faults of the originals.

Formats: LUH2 v2h (https://luh.umd.edu/data.shtml), its scenarios and their extensions (headers at
https://www.wdc-climate.de, entries I4M_5359597, I4M_5359830, I4M_5359839), LUH3
(https://input4mips-cvs.readthedocs.io/en/latest/dataset-overviews/land-use/, and the names, years and global attributes
in the database of https://github.com/PCMDI/input4MIPs_CVs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
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
    fill:
        Spelling of the attribute for missing values.
    bounds:
        Ending of the names of the bounds after ``lat_`` and ``lon_``, and the name of their second dimension.
    shifted:
        Bounds are wrong by half a cell.
    yearly:
        Units of transitions.
    attributes:
        Global attributes, with ``{source_id}``, ``{version}``, ``{scenario}`` and ``{kind}``.
    """

    names: Mapping[Kind, str]
    time: str
    fill: str
    bounds: tuple[str, str] = ("bounds", "bounds")
    shifted: bool = True
    yearly: str = "1"
    attributes: Mapping[str, str] = field(default_factory=lambda: {"Conventions": "CF-1.6"})


def _input4mips(activity: str, source: str, years: str) -> dict[Kind, str]:
    names: dict[Kind, str] = {
        kind: f"multiple-{kind}_input4MIPs_landState_{activity}_UofMD-{source}_gn_{years}.nc" for kind in KINDS
    }
    return names | {"static": f"multiple-static_input4MIPs_landState_{activity}_UofMD-{source}_gn.nc"}


#: Scenarios of CMIP7 -> the version of their land use that is published, or was expected in August 2026.
LUH3_VERSIONS: Mapping[str, str] = {
    **dict.fromkeys(("vl", "h"), "3-1-1"),
    **dict.fromkeys(("ln", "l", "ml", "m", "hl"), "3-1"),
    **{f"{name}-ext": "3-1" for name in ("vl", "ln", "l", "ml", "m", "hl", "h")},
}

#: Global attributes of LUH3. A twin has no DOI and no tracking id, and its title says that it is synthetic.
_LUH3: Mapping[str, str] = {
    "Conventions": "CF-1.7",
    "activity_id": "input4MIPs",
    "contact": "lchini@umd.edu, gchurtt@umd.edu",
    "dataset_category": "landState",
    "further_info_url": "http://luh.umd.edu",
    "grid_label": "gn",
    "institution": "University of Maryland (UofMD), College Park, MD 20742, USA",
    "institution_id": "UofMD",
    "license_id": "CC BY 4.0",
    "mip_era": "CMIP7",
    "nominal_resolution": "25 km",
    "realm": "land",
    "references": "Hurtt et al. 2020 (https://doi.org/10.5194/gmd-13-5425-2020), "
    "Chini et al. 2021 (https://doi.org/10.5194/essd-13-4175-2021)",
    "source_id": "{source_id}",
    "source_version": "{version}",
    "variable_id": "multiple-{kind}",
}
_NO_PLANTATIONS = (
    "Note: variables related to plantation forests are set to 'no-data' values to reflect that although the "
    "underlying IAM scenarios might include plantation forests, the harmonized LUH3 data does not provide any "
    "information on these variables at this stage."
)


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
        attributes={
            **_LUH3,
            "comment": "LUH3 V1.2",
            "source": "LUH3 V1.2: Land-Use Harmonization Data Set for CMIP7",
            "target_mip": "CMIP",
        },
    ),
    "luh3-scenario": PublishedLayout(
        # The static file is that of the history.
        {k: n for k, n in _input4mips("ScenarioMIP", "{source}", "{first}-{last}").items() if k != "static"},
        time="days since 0850-01-01 00:00:00",
        fill="_FillValue",
        bounds=("bnds", "bnds"),
        shifted=False,
        yearly="1 yr-1",
        attributes={
            **_LUH3,
            "comment": _NO_PLANTATIONS,
            "source": "LUH3-{scenario} {release}: Land-Use Harmonization Data Set for {scenario} Scenario in CMIP7",
            "target_mip": "ScenarioMIP",
        },
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
    The files by kind, without kinds of which the land use has no variables. A scenario of LUH3 has no static file. If
    its land use has no plantations, their variables have no data, as in the published files.
    """
    chosen = LAYOUTS[layout]
    paths: dict[Kind, Path] = {}
    version = LUH3_VERSIONS.get(scenario, "3-1") if layout == "luh3-scenario" else "3-1-2"
    source = f"landState-{scenario}-{version}" if layout == "luh3-scenario" else "landState-3-1-2"
    for kind, pattern in chosen.names.items():
        fields: Mapping[str, NDArray[np.float32]] = getattr(land_use, kind)
        if not fields:
            continue
        years = land_use.years[:-1] if kind == "transitions" else land_use.years
        # In LUH2 scenarios, the file names of transitions have the years of the states.
        last = years[-1] if layout.startswith("luh3") else land_use.years[-1]
        paths[kind] = folder / pattern.format(scenario=scenario, source=source, first=years[0], last=last)
        words = {
            "source_id": f"UofMD-{source}",
            "version": version.replace("-", "."),
            "scenario": scenario[:1].upper() + scenario[1:] if scenario.endswith("-ext") else scenario.upper(),
            "release": "V1.1" if version == "3-1-1" else "V1",
            "kind": kind,
        }
        attributes = {name: text.format(**words) for name, text in chosen.attributes.items()}
        names = _in_published_order(fields) if layout.startswith("luh3") else [*fields]
        empty = _no_plantations(land_use, fields) if layout == "luh3-scenario" else frozenset()
        _write(paths[kind], chosen, land_use.grid, () if kind == "static" else years, fields, names, empty, attributes)
    return paths


def _in_published_order(fields: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """The states of LUH3 end with biomass, age and plantations."""
    last = ("secmb", "secma", "pltns")
    return [n for n in fields if n not in last] + [n for n in last if n in fields]


def _no_plantations(land_use: LandUse, fields: Mapping[str, NDArray[np.float32]]) -> frozenset[str]:
    """The plantation variables of a kind, if no land is plantations."""
    land = land_use.states.get("pltns")
    return frozenset(name for name in fields if "pltns" in name and (land is None or not np.nansum(land)))


def _write(
    path: Path,
    layout: PublishedLayout,
    grid: LatLonGrid,
    years: tuple[int, ...],
    fields: Mapping[str, NDArray[np.float32]],
    names: Sequence[str],
    empty: Set[str],
    attributes: Mapping[str, str],
) -> None:
    """Write the fields of these names in this order, those in ``empty`` without any value."""
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"title": TITLE, "frequency": "yr" if years else "fx", **attributes})
        dims = ("time", "lat", "lon") if years else ("lat", "lon")
        chunks = (1, *grid.shape) if years else None
        if years:
            _time(dataset, layout, years)
        _coordinates(dataset, layout, grid)
        proper = layout.fill == "_FillValue"
        for name in names:
            variable = dataset.createVariable(
                name, "f4", dims, zlib=True, complevel=1, chunksizes=chunks, fill_value=MISSING if proper else False
            )
            about = {"long_name": name, "standard_name": "", "units": units_of(name, layout.yearly)}
            if about["units"] == "1" and years:
                about["standard_name"] = _FRACTION
            variable.setncatts(about | {"cell_methods": "time:mean"} if years else about)
            variable.missing_value = MISSING
            if not proper:
                # In the static file, the attribute has another type than the variable.
                variable.setncattr(layout.fill, MISSING if years else np.float64(MISSING))
            values = fields[name]
            variable[:] = (
                np.full_like(values, MISSING) if name in empty else np.where(np.isnan(values), MISSING, values)
            )


def _time(dataset: Any, layout: PublishedLayout, years: tuple[int, ...]) -> None:
    days = layout.time.startswith("days")
    dataset.createDimension("time", None)
    time = dataset.createVariable("time", "f8", ("time",))
    units = layout.time.format(first=years[0])
    time.setncatts({"axis": "T", "standard_name": "time", "long_name": "time", "calendar": "noleap", "units": units})
    base = int(units.split("since ")[1].split("-")[0])
    since = np.asarray(years, np.float64) - base
    time[:] = since * 365 if days else since
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
