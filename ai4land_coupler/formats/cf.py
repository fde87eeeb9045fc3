"""Coordinates and attributes of netCDF files: CF-1.11 (https://cfconventions.org) and ACDD-1.3
(https://wiki.esipfed.org/Attribute_Convention_for_Data_Discovery_1-3)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import EARTH_RADIUS, LatLonGrid
from ai4land_coupler.formats.store_reader import StoreReader

#: Reference date of all CF time axes.
EPOCH = datetime.date(1850, 1, 1)
CALENDAR = "proleptic_gregorian"
CRS = "crs"
#: zlib level of all variables. A higher level takes more time and saves only a few per cent.
LEVEL = 4
#: Number of rows that are computed and written at once.
_ROWS = 64


@contextmanager
def dataset(path: Path, reader: StoreReader, attrs: Mapping[str, Any]) -> Iterator[Any]:
    """A new netCDF-4 file with the global attributes of the run; ``attrs`` are added and can replace them."""
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.set_fill_off()
        file.setncatts({**_run(reader), **attrs})
        yield file


def _run(reader: StoreReader) -> dict[str, Any]:
    from ai4land_coupler.version import __version__

    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    facts = reader.attrs
    title = str(facts.get("title") or "Land use and land cover")
    return {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": title,
        "summary": f"{title}: land use and land cover of {reader.years[0]} to {reader.years[-1]}, predicted by "
        f"ai4land_coupler; legend {reader.legend.title}.",
        "keywords": "land use, land cover, land use change, area fraction",
        "source": f"ai4land_coupler {__version__}: machine-learning prediction of land use and land cover",
        "processing_level": "model output",
        "history": f"{now} exported by ai4land_coupler {__version__} from {reader.path.name}",
        "date_created": now,
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "legend": reader.legend.name,
        **({"provenance": facts["provenance"]} if "provenance" in facts else {}),
    }


def extent(grid: LatLonGrid) -> dict[str, Any]:
    """ACDD attributes for the extent of a grid."""
    lats, lons = grid.lat_edges, grid.lon_edges
    return {
        "geospatial_lat_min": float(lats.min()),
        "geospatial_lat_max": float(lats.max()),
        "geospatial_lat_units": "degrees_north",
        "geospatial_lat_resolution": f"{abs(grid.dlat):.9g} degrees",
        "geospatial_lon_min": float(lons[0]),
        "geospatial_lon_max": float(lons[-1]),
        "geospatial_lon_units": "degrees_east",
        "geospatial_lon_resolution": f"{grid.dlon:.9g} degrees",
        "geospatial_bounds_crs": "EPSG:4326",
    }


def coverage(years: Sequence[int]) -> dict[str, Any]:
    """ACDD attributes for the time: from 1 January of the first year to the end of the last."""
    return {
        "time_coverage_start": f"{years[0]:04d}-01-01T00:00:00Z",
        "time_coverage_end": f"{years[-1] + 1:04d}-01-01T00:00:00Z",
        "time_coverage_duration": f"P{years[-1] + 1 - years[0]}Y",
        "time_coverage_resolution": f"P{min(np.diff(years), default=1)}Y",
    }


def new_years_day(year: int) -> int:
    """Days from ``EPOCH`` to 1 January of a year."""
    # The proleptic Gregorian calendar repeats after 400 years, which have 146097 days.
    turns, rest = divmod(year - 1, 400)
    return (datetime.date(rest + 1, 1, 1) - EPOCH).days + 146097 * turns


def add_time(file: Any, values: NDArray[np.float64], bounds: NDArray[np.float64] | None, long_name: str) -> None:
    """Add the dimension and coordinate ``time``, in days since ``EPOCH``."""
    file.createDimension("time", len(values))
    time = file.createVariable("time", "f8", ("time",))
    time.setncatts(
        {
            "standard_name": "time",
            "long_name": long_name,
            "units": f"days since {EPOCH.isoformat()}",
            "calendar": CALENDAR,
            "units_metadata": "leap_seconds: none",
            "axis": "T",
        }
    )
    time[:] = values
    if bounds is not None:
        time.bounds = "time_bnds"
        _pairs(file, "time", bounds)


def _pairs(file: Any, name: str, bounds: NDArray[np.float64]) -> None:
    if "bnds" not in file.dimensions:
        file.createDimension("bnds", 2)
    file.createVariable(f"{name}_bnds", "f8", (name, "bnds"))[:] = bounds


def add_latlon(file: Any, grid: LatLonGrid) -> None:
    """Add dimensions and coordinates ``lat`` and ``lon`` with bounds, and the coordinate reference system."""
    for name, values, edges, standard, units, axis in (
        ("lat", grid.lat, grid.lat_edges, "latitude", "degrees_north", "Y"),
        ("lon", grid.lon, grid.lon_edges, "longitude", "degrees_east", "X"),
    ):
        file.createDimension(name, values.size)
        variable = file.createVariable(name, "f8", (name,))
        variable.setncatts(
            {"standard_name": standard, "long_name": standard, "units": units, "axis": axis, "bounds": f"{name}_bnds"}
        )
        variable[:] = values
        _pairs(file, name, np.stack([edges[:-1], edges[1:]], axis=1))
    crs = file.createVariable(CRS, "i4")
    crs.setncatts(
        {
            "grid_mapping_name": "latitude_longitude",
            "long_name": "WGS 84, EPSG:4326",
            "longitude_of_prime_meridian": 0.0,
            "semi_major_axis": 6378137.0,
            "inverse_flattening": 298.257223563,
        }
    )
    crs[...] = 0


def add_cell_area(file: Any, name: str, grid: LatLonGrid) -> None:
    """Add the cell area that all totals use, float64 (lat, lon)."""
    chunks = (min(_ROWS, grid.nlat), min(1024, grid.nlon))
    area = file.createVariable(name, "f8", ("lat", "lon"), zlib=True, complevel=LEVEL, chunksizes=chunks)
    area.setncatts(
        {
            "standard_name": "cell_area",
            "long_name": "area of the grid cell",
            "units": "m2",
            "coverage_content_type": "auxiliaryInformation",
            "comment": f"on the sphere of {EARTH_RADIUS:.1f} m, which has the surface area of WGS 84",
        }
    )
    # Write chunk by chunk, because the areas of a fine grid may not fit into memory.
    for row in range(0, grid.nlat, _ROWS):
        values = grid.row_area[row : row + _ROWS]
        area[row : row + values.size] = np.broadcast_to(values[:, None], (values.size, grid.nlon))


def add_cells(file: Any, host: Any) -> None:
    """Add the dimension ``cell`` of a host grid with centres and areas, in the order of the global ids."""
    file.createDimension("cell", host.sizes["cell"])
    for name, standard, units in (
        ("lat", "latitude", "degrees_north"),
        ("lon", "longitude", "degrees_east"),
        ("areacella", "cell_area", "m2"),
    ):
        variable = file.createVariable(name, "f8", ("cell",))
        variable.setncatts({"standard_name": standard, "long_name": standard.replace("_", " "), "units": units})
        variable[:] = host["cell_area" if name == "areacella" else name].values
    file["areacella"].setncatts({"coordinates": "lat lon", "CDI_grid_type": "unstructured"})


def add_text(file: Any, name: str, values: str | Sequence[str], attrs: Mapping[str, Any], dim: str = "") -> None:
    """Add a text coordinate, scalar or along ``dim``. As characters, which CDO, NCO and Fortran can read."""
    texts = [values] if isinstance(values, str) else list(values)
    length = max(len(text) for text in texts)
    size = f"{name}_strlen"
    file.createDimension(size, length)
    if dim and dim not in file.dimensions:
        file.createDimension(dim, len(texts))
    variable = file.createVariable(name, "S1", (dim, size) if dim else (size,))
    variable.setncatts({**attrs, "_Encoding": "utf-8"})
    characters = np.array([list(text.ljust(length, "\0")) for text in texts], "S1")
    variable[:] = characters if dim else characters[0]
