"""Writes maps as GeoTIFF like HILDA+: one file per year, native codes, uint8, tiled, LZW, with a colour table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.core.legend import Legend
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.formats.store_reader import StoreReader

#: Side of a tile; TIFF 6.0 requires multiples of 16.
_TILE = 256
#: The code of HILDA+ for no data (ocean is 0).
NO_DATA = 99


def file_name(legend: Legend, year: int) -> str:
    """The name of a file, like HILDA+: readers find the legend in the part ``v1-0-f``; ``ai4land`` replaces the region.

    Raises
    ------
    ConfigError
        If the legend is not a HILDA+ legend.
    """
    family, _, version = legend.name.partition("-v")
    if family != "hilda" or not version:
        raise ConfigError(
            "only maps in a legend of HILDA+ can be exported as GeoTIFF",
            expected="legend hilda-v...",
            found=legend.name,
            remedy="export as netcdf, which holds any legend",
        )
    return f"hilda_plus_{year}_states_ai4land-v{version.replace('.', '-')}_wgs84-nn.tif"


def files(reader: StoreReader, folder: Path) -> list[Path]:
    return [folder / file_name(reader.legend, year) for year in reader.years]


def colour_table(legend: Legend) -> dict[int, tuple[int, int, int, int]]:
    """RGBA of each code: the colour of its class of the view. Ocean and no data are transparent."""
    table = dict.fromkeys(legend.ocean, (255, 255, 255, 0))
    for item in legend.view:
        red, green, blue = bytes.fromhex(item.colour.removeprefix("#"))
        table |= dict.fromkeys(item.codes, (red, green, blue, 255))
    return table


def write(reader: StoreReader, targets: list[Path], tick: Callable[[], None]) -> None:
    """Write one file per year, with north up for any order of rows in the store."""
    import rasterio
    from rasterio.transform import Affine
    from rasterio.windows import Window

    grid, legend = reader.grid, reader.legend
    flipped = grid.dlat > 0
    north = grid.lat0 + grid.nlat * grid.dlat if flipped else grid.lat0
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": grid.nlon,
        "height": grid.nlat,
        "count": 1,
        "dtype": "uint8",
        "nodata": NO_DATA,
        "crs": "EPSG:4326",
        "transform": Affine(grid.dlon, 0.0, grid.lon0, 0.0, -abs(grid.dlat), north),
        "compress": "lzw",
        "tiled": True,
        "blockxsize": _TILE,
        "blockysize": _TILE,
        "BIGTIFF": "IF_SAFER",
    }
    tags = {
        "TITLE": reader.attrs.get("title", ""),
        "LEGEND": f"{legend.name}: {legend.title}",
        "CLASSES": "; ".join(f"{code} {name}" for code, name in legend.names.items()),
        "SOURCE": "ai4land_coupler, a prediction; not HILDA+ data",
    }
    for year, path in zip(reader.years, targets, strict=True):
        with rasterio.open(path, "w", **profile) as target:
            target.write_colormap(1, colour_table(legend))
            target.update_tags(**tags, YEAR=str(year))
            for box in reader.windows():
                codes = reader.codes(year, box)
                row = grid.nlat - box.row1 if flipped else box.row0
                window = Window(box.col0, row, codes.shape[1], codes.shape[0])
                target.write(np.flipud(codes) if flipped else codes, 1, window=window)
                tick()
