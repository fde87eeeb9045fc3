"""A STAC collection of a prepared store, as JSON.

STAC 1.0.0 (https://github.com/radiantearth/stac-spec/blob/v1.0.0/collection-spec/collection-spec.md) with the datacube
extension 2.2.0 (https://github.com/stac-extensions/datacube).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.experiments.prepare.layout import PARTS, PreparedLayout

_DATACUBE = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"


def collection_text(layout: PreparedLayout, store: Path, provenance: dict[str, Any]) -> str:
    """The collection as JSON text: extent, dimensions and variables of each group, the sources with their digests."""
    dimensions: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    years: list[int] = []
    for part in PARTS:
        grid = layout.grid(part)
        if grid is None:
            continue
        west, south, east, north = bounds(grid)
        for name, axis, extent, step in (
            ("lat", "y", [south, north], grid.dlat),
            ("lon", "x", [west, east], grid.dlon),
        ):
            dimensions[f"{part}/{name}"] = {
                "type": "spatial",
                "axis": axis,
                "extent": extent,
                "step": step,
                "reference_system": 4326,
            }
        if layout.years(part):
            stored = layout.years(part)
            years += stored
            values = [_first_day(year) for year in stored]
            dimensions[f"{part}/year"] = {"type": "temporal", "extent": [values[0], values[-1]], "values": values}
        for variable in layout.of(part):
            names = (*(() if variable.years is None else ("year",)), "lat", "lon")
            variables[variable.array] = {
                "dimensions": [f"{part}/{name}" for name in names],
                "type": "data",
                "description": variable.long_name or variable.name,
                "unit": variable.units,
            }
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "stac_extensions": [_DATACUBE],
        "id": store.name,
        "title": "Prepared inputs of ai4land_coupler",
        "description": "Maps, forcing and static fields of a run, read once from their sources and checked.",
        # The sources have different licences.
        "license": "various",
        "extent": {
            "spatial": {"bbox": [_on_globe(layout.land)]},
            "temporal": {"interval": [[_first_day(min(years)), _first_day(max(years))]]},
        },
        "links": [],
        "assets": {
            "data": {
                "href": f"./{store.name}",
                "type": "application/vnd+zarr",
                "title": "Zarr v3 store with the groups maps, forcing and static",
                "roles": ["data"],
            }
        },
        "cube:dimensions": dimensions,
        "cube:variables": variables,
        "summaries": {"sources": provenance["inputs"]},
    }
    return json.dumps(collection, indent=1) + "\n"


def bounds(grid: LatLonGrid) -> list[float]:
    """West, south, east and north edge of a grid (degrees), with the longitudes of the grid."""
    south, north = sorted((float(grid.lat_edges[0]), float(grid.lat_edges[-1])))
    return [float(grid.lon_edges[0]), south, float(grid.lon_edges[-1]), north]


def _on_globe(grid: LatLonGrid) -> list[float]:
    """The box in the convention of STAC (GeoJSON, RFC 7946): longitudes from -180 to 180; west > east across 180."""
    west, south, east, north = bounds(grid)
    if east - west >= 360 - grid.dlon:
        return [-180.0, south, 180.0, north]
    west, east = ((lon + 180) % 360 - 180 for lon in (west, east))
    return [west, south, 180.0 if east == -180 else east, north]


def _first_day(year: int) -> str:
    return f"{year:04d}-01-01T00:00:00Z"
