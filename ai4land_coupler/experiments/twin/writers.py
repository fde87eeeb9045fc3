"""Writes files in the formats of the original data: HILDA+, LUH2, its scenarios, and static fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.experiments.twin.landscape import FOREST, Ground, Landscape
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


def write_map_in_tiles(path: Path, grid: LatLonGrid, tile: int, bands: Iterable[tuple[int, NDArray[np.uint8]]]) -> None:
    """Write native codes as a GeoTIFF in square tiles, so that readers of windows need not decompress whole rows.

    Parameters
    ----------
    bands:
        First row and codes (rows, X) of bands that are as high as a tile.
    """
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    transform = Affine(grid.dlon, 0.0, grid.lon0, 0.0, grid.dlat, grid.lat0)
    # The cache decides about the order of the tiles in the file: with a fixed size, all machines write the same bytes.
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(
        path, "w", driver="GTiff", width=grid.nlon, height=grid.nlat, count=1, dtype="uint8", crs="EPSG:4326",
        transform=transform, compress="lzw", tiled=True, blockxsize=tile, blockysize=tile, bigtiff="IF_SAFER",
    ) as target:  # fmt: skip
        target.update_tags(TITLE=TITLE)
        for row, codes in bands:
            target.write(codes, 1, window=Window(0, row, grid.nlon, codes.shape[0]))


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


@contextmanager
def new_states(
    path: Path, options: TwinOptions, years: Sequence[int], base: int
) -> Iterator[Callable[[int, int, NDArray[np.float32]], None]]:
    """Create a file of states in the format of LUH2: float32 (time, lat, lon), from north to south, 1e20 where missing.

    Parameters
    ----------
    base:
        Reference year of the time axis: 850 for the historical file, 2015 for scenarios.

    Yields
    ------
    A function that writes one field: (index of the year, number in ``STATES``, values (J,)).
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

        def put(step: int, number: int, values: NDArray[np.float32]) -> None:
            name = STATES[number]
            if name not in dataset.variables:
                attributes = {
                    "long_name": _LONG_NAMES[name],
                    "units": _UNITS.get(name, "1"),
                    "cell_methods": "time: mean",
                }
                if name in FRACTIONS:
                    attributes["standard_name"] = "area_fraction"
                _luh2_variable(dataset, name, ("time", "lat", "lon"), attributes, (1, *grid.shape))
            dataset[name][step] = _embed(options, values, float(MISSING))

        yield put


def write_states(
    path: Path, options: TwinOptions, years: Sequence[int], values: NDArray[np.float32], base: int
) -> None:
    """Write the states of all years, (years, 14, J) in the order of ``STATES``; see :func:`new_states`."""
    with new_states(path, options, years, base) as put:
        for number in range(len(STATES)):
            for step in range(len(years)):
                put(step, number, values[step, number])


class CoarseStatic(NamedTuple):
    """Static fields of forcing cells, (J,): share of ocean and inland water, share of potential forest in the land, and
    mean potential biomass of forest (kg C m-2)."""

    water: NDArray[np.float64]
    forest: NDArray[np.float64]
    biomass: NDArray[np.float64]


def coarse_static(landscape: Landscape, states: States) -> CoarseStatic:
    """Static fields of the forcing cells of a part."""
    size = landscape.part.forcing.size
    trees = landscape.suitability[FOREST].ravel() > landscape.suitability[4:6].max(axis=0).ravel()
    dry = (landscape.land & ~landscape.water).ravel()
    forcing = landscape.forcing.ravel()
    count = np.maximum(np.bincount(forcing[dry], minlength=size), 1)
    forest = np.bincount(forcing[dry & trees], minlength=size) / count
    biomass = np.bincount(forcing[dry], weights=landscape.biomass.ravel()[dry], minlength=size) / count / 1000
    return CoarseStatic(states.ice_and_water(), forest, biomass)


def write_luh2_static(path: Path, options: TwinOptions, coarse: CoarseStatic) -> None:
    """Write the static data of LUH2: ptbio, fstnf, carea, icwtr, ccode.

    The bounds are wrong by half a cell, as in the published file: readers must recompute them.
    """
    import netCDF4

    grid, _ = _frame(options)
    water, forest, biomass = coarse
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


_SOIL = "volume_fraction_of_{}_in_soil"
#: Variables and their attributes in each file of static fields.
STATIC_FILES: dict[str, dict[str, Attributes]] = {
    "elevation.nc": {
        "elevation": {"units": "m", "standard_name": "surface_altitude", "long_name": "surface elevation"}
    },
    "terrain.nc": {
        "slope": {"units": "degree", "standard_name": "ground_slope_angle", "long_name": "slope"},
        "aspect": {
            "units": "degree",
            "standard_name": "ground_slope_direction",
            "long_name": "direction in which the slope faces, clockwise from north",
        },
    },
    "soil.nc": {
        "clay": {"units": "1", "standard_name": _SOIL.format("clay"), "long_name": "clay content of the soil"},
        "sand": {"units": "1", "standard_name": _SOIL.format("sand"), "long_name": "sand content of the soil"},
        "organic_carbon": {"units": "g kg-1", "long_name": "organic carbon content of the soil"},
    },
    "climate.nc": {
        "climate_zone": {
            "units": "1",
            "long_name": "Koeppen-Geiger climate zone",
            "flag_values": np.arange(1, len(ZONES) + 1, dtype=np.uint8),
            "flag_meanings": " ".join(ZONES),
        }
    },
}


def static_values(ground: Ground) -> dict[str, NDArray[Any]]:
    """The static fields of a part (Y, X) as they are stored, by variable."""
    values = {name: getattr(ground, "zone" if name == "climate_zone" else name) for name in _static_names()}
    return {name: field.astype(static_type(name)) for name, field in values.items()}


def _static_names() -> list[str]:
    return [name for variables in STATIC_FILES.values() for name in variables]


def static_type(name: str) -> type[np.generic]:
    """The stored type of a static field."""
    return np.uint8 if name == "climate_zone" else np.float32


@contextmanager
def new_static_file(path: Path, grid: LatLonGrid) -> Iterator[Any]:
    """Create one of the STATIC_FILES, without its variables; yields the open netCDF4.Dataset."""
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as dataset:
        dataset.setncatts({"title": TITLE, "Conventions": "CF-1.11"})
        _coordinates(dataset, grid)
        yield dataset


def new_static(dataset: Any, name: str, attributes: Attributes, chunks: tuple[int, int] | None = None) -> Any:
    """Create the variable of a static field. ``chunks``: rows and columns."""
    kind = np.dtype(static_type(name)).str[1:]
    variable = dataset.createVariable(name, kind, ("lat", "lon"), zlib=True, complevel=1, chunksizes=chunks)
    variable.setncatts(attributes)
    return variable


def write_statics(folder: Path, ground: Ground) -> None:
    """Write elevation, terrain, soil and climate of a whole twin."""
    values = static_values(ground)
    for file, variables in STATIC_FILES.items():
        with new_static_file(folder / file, ground.part.options.land_grid) as dataset:
            for name, attributes in variables.items():
                new_static(dataset, name, attributes)[:] = values[name]
