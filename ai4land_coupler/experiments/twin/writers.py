"""Writes files in the formats of the original data: HILDA+, LUH2, its scenarios, and static fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.experiments.twin.landscape import FOREST, Landscape
from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.states import FRACTIONS, MISSING, STATES, States
from ai4land_coupler.inputs.climate_zones import ZONES
from ai4land_coupler.inputs.luh2 import LUH2_LATTICE

_LONG_NAMES = {
    "primf": "forested primary land",
    "primn": "non-forested primary land",
    "secdf": "potentially forested secondary land",
    "secdn": "potentially non-forested secondary land",
    "urban": "urban land",
    "c3ann": "C3 annual crops",
    "c4ann": "C4 annual crops",
    "c3per": "C3 perennial crops",
    "c4per": "C4 perennial crops",
    "c3nfx": "C3 nitrogen-fixing crops",
    "pastr": "managed pasture",
    "range": "rangeland",
    "secma": "secondary mean age",
    "secmb": "secondary mean biomass density",
}
_UNITS = {"secma": "years", "secmb": "kg m-2"}
TITLE = "Twin Earth: synthetic data of ai4land_coupler, not observations"
Attributes = dict[str, Any]


def hilda_name(year: int) -> str:
    """Name of a HILDA+ v1.0-f map in GeoTIFF."""
    return f"hilda_plus_{year}_states_GLOB-v1-0-f_wgs84-nn.tif"


def scenario_name(options: TwinOptions) -> str:
    """Name of the file of the scenario's states, as in input4MIPs, with its years."""
    years = f"{options.scenario_start}-{options.last_year}"
    return f"multiple-states_input4MIPs_landState_ScenarioMIP_UofMD-IMAGE-ssp126-2-1-f_gn_{years}.nc"


def write_map(path: Path, grid: LatLonGrid, codes: NDArray[np.uint8]) -> None:
    """Write native codes (Y, X) as a GeoTIFF in EPSG:4326; 0 is ocean."""
    import rasterio
    from rasterio.transform import Affine

    transform = Affine(grid.dlon, 0.0, grid.lon0, 0.0, grid.dlat, grid.lat0)
    rows, cols = codes.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=cols, height=rows, count=1, dtype="uint8", crs="EPSG:4326",
        transform=transform, compress="lzw",
    ) as target:  # fmt: skip
        target.write(codes, 1)
        target.update_tags(TITLE=TITLE)


def _frame(options: TwinOptions) -> tuple[LatLonGrid, Box]:
    """Grid of the coarse files, and the box of the region in it."""
    if options.global_forcing:
        return LUH2_LATTICE, options.forcing_box
    return options.forcing_grid, options.forcing_grid.box


def _embed(options: TwinOptions, values: NDArray[Any], missing: float) -> NDArray[np.float32]:
    """Put the values of the region's forcing cells (J,) on the grid of the file."""
    grid, box = _frame(options)
    field = np.full(grid.shape, missing, np.float32)
    field[box.slices()] = values.reshape(box.shape)
    return field


def _coordinates(dataset: Any, grid: LatLonGrid) -> None:
    for name, values, standard, units, axis in (
        ("lat", grid.lat, "latitude", "degrees_north", "Y"),
        ("lon", grid.lon, "longitude", "degrees_east", "X"),
    ):
        dataset.createDimension(name, values.size)
        variable = dataset.createVariable(name, "f8", (name,))
        variable.setncatts({"standard_name": standard, "long_name": standard, "units": units, "axis": axis})
        variable[:] = values


def _luh2_variable(dataset: Any, name: str, dims: tuple[str, ...], attributes: Attributes, chunks: Any = None) -> Any:
    """Create a variable with a misspelt ``_FillValue``, as in LUH2, so that generic readers do not mask it."""
    variable = dataset.createVariable(name, "f4", dims, zlib=True, complevel=1, chunksizes=chunks, fill_value=False)
    variable.setncatts({**attributes, "_fillvalue": MISSING})
    return variable


def write_states(
    path: Path, options: TwinOptions, years: Sequence[int], values: NDArray[np.float32], base: int
) -> None:
    """Write states in the format of LUH2: float32 (time, lat, lon), latitudes from north to south, 1e20 where missing.

    Parameters
    ----------
    values:
        States of the years, (years, 14, J) in the order of ``STATES``.
    base:
        Reference year of the time axis: 850 for the historical file, 2015 for scenarios.
    """
    import netCDF4

    grid, _ = _frame(options)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"title": TITLE, "Conventions": "CF-1.6", "frequency": "yr", "data_structure": "grid"})
        dataset.createDimension("time", None)
        time = dataset.createVariable("time", "f8", ("time",))
        time.setncatts(
            {"units": f"years since {base}-01-01 0:0:0", "calendar": "noleap", "axis": "T", "standard_name": "time"}
        )
        _coordinates(dataset, grid)
        time[:] = np.asarray(years, np.float64) - base
        for number, name in enumerate(STATES):
            attributes = {"long_name": _LONG_NAMES[name], "units": _UNITS.get(name, "1"), "cell_methods": "time: mean"}
            if name in FRACTIONS:
                attributes["standard_name"] = "area_fraction"
            variable = _luh2_variable(dataset, name, ("time", "lat", "lon"), attributes, (1, *grid.shape))
            for step in range(len(years)):
                variable[step] = _embed(options, values[step, number], float(MISSING))


def write_luh2_static(path: Path, options: TwinOptions, landscape: Landscape, states: States) -> None:
    """Write the static data of LUH2: ptbio, fstnf, carea, icwtr, ccode.

    The bounds are wrong by half a cell, as in the published file: readers must recompute them.
    """
    import netCDF4

    grid, _ = _frame(options)
    water = states.ice_and_water()
    size = options.forcing_grid.size
    trees = landscape.suitability[FOREST].ravel() > landscape.suitability[4:6].max(axis=0).ravel()
    dry = (landscape.land & ~landscape.water).ravel()
    forcing = landscape.forcing.ravel()
    count = np.maximum(np.bincount(forcing[dry], minlength=size), 1)
    forest = np.bincount(forcing[dry & trees], minlength=size) / count
    biomass = np.bincount(forcing[dry], weights=landscape.biomass.ravel()[dry], minlength=size) / count / 1000
    area = np.broadcast_to(grid.row_area[:, None] / 1e6, grid.shape)
    land = water < 1
    fields = {
        "ptbio": ("potential biomass carbon content", "kg m-2", _embed(options, biomass * forest, 0)),
        "fstnf": ("mask denoting forest (1) or non-forest (0)", "1", _embed(options, land & (forest >= 0.5), 0)),
        "carea": ("area of grid cell", "km2", area.astype(np.float32)),
        "icwtr": ("ice/water fraction", "1", _embed(options, water, 1)),
        "ccode": ("country codes", "1", _embed(options, land, 0)),
    }
    with netCDF4.Dataset(path, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"title": TITLE, "Conventions": "CF-1.6", "data_structure": "grid"})
        _coordinates(dataset, grid)
        dataset.createDimension("bounds", 2)
        for name, (long_name, units, values) in fields.items():
            _luh2_variable(dataset, name, ("lat", "lon"), {"long_name": long_name, "units": units})[:] = values
        for name, centres, step in (("lat", grid.lat, grid.dlat), ("lon", grid.lon, grid.dlon)):
            first = centres if name == "lat" else centres - step
            edges = np.stack([first, first + step], axis=1)
            dataset.createVariable(f"{name}_bounds", "f4", (name, "bounds"))[:] = edges


def _write_fields(path: Path, grid: LatLonGrid, fields: Mapping[str, tuple[NDArray[Any], Attributes]]) -> None:
    """Write fields (Y, X) on a regular grid, with CF attributes."""
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"title": TITLE, "Conventions": "CF-1.11"})
        _coordinates(dataset, grid)
        for name, (values, attributes) in fields.items():
            kind = "f4" if values.dtype.kind == "f" else "u1"
            variable = dataset.createVariable(name, kind, ("lat", "lon"), zlib=True, complevel=1)
            variable.setncatts(attributes)
            variable[:] = values


def write_statics(folder: Path, landscape: Landscape) -> list[str]:
    """Write elevation, terrain, soil and climate on the land grid; returns the names of the files."""
    grid = landscape.options.land_grid
    soil = "volume_fraction_of_{}_in_soil"
    files: dict[str, Mapping[str, tuple[NDArray[Any], Attributes]]] = {
        "elevation.nc": {
            "elevation": (
                landscape.elevation,
                {"units": "m", "standard_name": "surface_altitude", "long_name": "surface elevation"},
            )
        },
        "terrain.nc": {
            "slope": (
                landscape.slope,
                {"units": "degree", "standard_name": "ground_slope_angle", "long_name": "slope"},
            ),
            "aspect": (
                landscape.aspect,
                {
                    "units": "degree",
                    "standard_name": "ground_slope_direction",
                    "long_name": "direction in which the slope faces, clockwise from north",
                },
            ),
        },
        "soil.nc": {
            "clay": (
                landscape.clay,
                {"units": "1", "standard_name": soil.format("clay"), "long_name": "clay content of the soil"},
            ),
            "sand": (
                landscape.sand,
                {"units": "1", "standard_name": soil.format("sand"), "long_name": "sand content of the soil"},
            ),
            "organic_carbon": (
                landscape.organic_carbon,
                {"units": "g kg-1", "long_name": "organic carbon content of the soil"},
            ),
        },
        "climate.nc": {
            "climate_zone": (
                landscape.zone,
                {
                    "units": "1",
                    "long_name": "Koeppen-Geiger climate zone",
                    "flag_values": np.arange(1, len(ZONES) + 1, dtype=np.uint8),
                    "flag_meanings": " ".join(ZONES),
                },
            )
        },
    }
    for name, fields in files.items():
        _write_fields(folder / name, grid, fields)
    return list(files)
