"""Writes a twin's maps in every published format of HILDA+.

| version | name | file |
|---|---|---|
| v1.0 | ``hilda_plus_{Y}_states_GLOB-v1-0_wgs84-nn.tif`` | GeoTIFF, float32, NaN for no data |
| v1.0-f | ``hilda_plus_{Y}_states_GLOB-v1-0-f_wgs84-nn.tif`` | the same |
| v1.0-f | ``hildaplus_vGLOB-1.0-f_states.nc`` | netCDF, time without units, index = year - 1899 |
| v2.0 | ``hilda_plus_states_{Y}_GLOB-v2_wgs84.tif`` | GeoTIFF, uint8 |
| v2.0 | ``hildaplus_GLOB-2-0_states.nc`` | netCDF, time in years without units |
| v2.1 | ``hildaplus_GLOB-2-1-crop_states.nc`` | the same |

The netCDF files contain ``LULC_states`` (time, latitude, longitude), with coordinates in single precision: the rounding
error is up to a thousandth of a cell of 0.01 degrees. Versions and DOIs: ``schemas/legends``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.twin.writers import TITLE

Layout = Literal["v1.0-tif", "v1.0-f-tif", "v1.0-f-nc", "v2.0-tif", "v2.0-nc", "v2.1-nc"]
Codes = NDArray[np.uint8]

#: Legend and file name by layout; with ``{year}`` if there is one file per year.
LAYOUTS: dict[Layout, tuple[str, str]] = {
    "v1.0-tif": ("hilda-v1.0", "hilda_plus_{year}_states_GLOB-v1-0_wgs84-nn.tif"),
    "v1.0-f-tif": ("hilda-v1.0-f", "hilda_plus_{year}_states_GLOB-v1-0-f_wgs84-nn.tif"),
    "v1.0-f-nc": ("hilda-v1.0-f", "hildaplus_vGLOB-1.0-f_states.nc"),
    "v2.0-tif": ("hilda-v2.0", "hilda_plus_states_{year}_GLOB-v2_wgs84.tif"),
    "v2.0-nc": ("hilda-v2.0", "hildaplus_GLOB-2-0_states.nc"),
    "v2.1-nc": ("hilda-v2.1", "hildaplus_GLOB-2-1-crop_states.nc"),
}
#: Year of index 0 of the netCDF file of v1.0-f.
FIRST_YEAR = 1899
_NO_DATA = 99


def to_version(codes: Codes, legend: str) -> Codes:
    """Convert codes of v1.0-f to another version.

    v1.0 has one forest class, 44. v2 divides cropland: here every seventh cell of a diagonal is tree crops and every
    eleventh agroforestry, so that a place has the same code in every year.
    """
    if legend == "hilda-v1.0":
        return np.where((codes >= 40) & (codes <= 45), 44, codes).astype(np.uint8)
    if legend == "hilda-v1.0-f":
        return codes
    diagonal = np.add.outer(np.arange(codes.shape[0]), np.arange(codes.shape[1]))
    parted = np.where(diagonal % 7 == 0, 23, np.where(diagonal % 11 == 0, 24, 22))
    return np.where(codes == 22, parted, codes).astype(np.uint8)


def write_layout(layout: Layout, maps: Mapping[int, Codes], grid: LatLonGrid, folder: Path) -> list[Path]:
    """Write maps in a published format. Returns the files.

    Parameters
    ----------
    maps:
        Codes of v1.0-f by year, (Y, X) uint8.
    folder:
        Folder of the files. Created if missing.

    Raises
    ------
    ConfigError
        If a year is before the first year of the netCDF file of v1.0-f.
    """
    legend, name = LAYOUTS[layout]
    folder.mkdir(parents=True, exist_ok=True)
    versions = {year: to_version(codes, legend) for year, codes in sorted(maps.items())}
    if name.endswith(".nc"):
        return [_write_netcdf(folder / name, versions, grid, indexed=layout == "v1.0-f-nc")]
    floats = legend.startswith("hilda-v1")
    return [_write_geotiff(folder / name.format(year=y), codes, grid, floats) for y, codes in versions.items()]


def _write_geotiff(path: Path, codes: Codes, grid: LatLonGrid, floats: bool) -> Path:
    import rasterio
    from rasterio.transform import Affine

    values: NDArray[Any] = np.where(codes == _NO_DATA, np.nan, codes).astype(np.float32) if floats else codes
    transform = Affine(grid.dlon, 0.0, grid.lon0, 0.0, grid.dlat, grid.lat0)
    with rasterio.open(
        path, "w", driver="GTiff", width=grid.nlon, height=grid.nlat, count=1, dtype=values.dtype, crs="EPSG:4326",
        transform=transform, compress="lzw", nodata=np.nan if floats else None,
    ) as target:  # fmt: skip
        target.write(values, 1)
        target.update_tags(TITLE=TITLE)
    return path


def _write_netcdf(path: Path, maps: Mapping[int, Codes], grid: LatLonGrid, indexed: bool) -> Path:
    """``indexed``: step i is the year 1899 + i, as readers of v1.0-f assume; years without a map have no data."""
    import netCDF4

    if indexed and min(maps) < FIRST_YEAR:
        raise ConfigError("the layout cannot hold a year", expected=f"{FIRST_YEAR} or later", found=min(maps))
    years = list(range(FIRST_YEAR, max(maps) + 1)) if indexed else list(maps)
    with netCDF4.Dataset(path, "w", format="NETCDF4") as dataset:
        dataset.title = TITLE
        for name, values, kind, units in (
            ("time", years, "u2", None),
            ("latitude", grid.lat, "f4", "degrees_north"),
            ("longitude", grid.lon, "f4", "degrees_east"),
        ):
            dataset.createDimension(name, len(values))
            variable = dataset.createVariable(name, kind, (name,))
            variable[:] = values
            if units is not None:
                variable.units = units
        states = dataset.createVariable(
            "LULC_states", "u1", ("time", "latitude", "longitude"), zlib=True, complevel=1, fill_value=_NO_DATA,
            chunksizes=(1, grid.nlat, grid.nlon),
        )  # fmt: skip
        for step, year in enumerate(years):
            if year in maps:
                states[step] = maps[year]
    return path
