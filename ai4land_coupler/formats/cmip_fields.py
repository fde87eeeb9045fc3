"""Writes monthly continuous fields as CMIP6 variables: means over the mapped land of each cell of a coarser grid."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ai4land_coupler.formats import cf
from ai4land_coupler.formats.coarsen import Coarsening, covering_grid
from ai4land_coupler.formats.store_reader import StoreReader

MISSING = np.float32(1e20)
#: A smaller share of land with values in a cell is only a rounding error of coinciding edges.
LEAST = 1e-9


@cache
def definitions() -> Mapping[str, Mapping[str, str]]:
    """The fields that also exist in CMIP6, as defined in ``schemas/cmip-variables.yaml``."""
    text = (resources.files("ai4land_coupler.schemas") / "cmip-variables.yaml").read_text()
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)["fields"]
    return found


def names(reader: StoreReader) -> list[str]:
    """Names of the fields that the store has for each month on its land grid. Empty for a host grid."""
    if reader.host is not None:
        return []
    return [name for name in reader.land_fields() if name in definitions() and "month" in reader.land[name].dims]


def file_name(name: str, reader: StoreReader) -> str:
    first, last = reader.years[0], reader.years[-1]
    return f"{name}_{definitions()[name]['frequency']}_ai4land_gr_{first:04d}01-{last:04d}12.nc"


def month_bounds(year: int) -> NDArray[np.float64]:
    """First day of each month and of the next month, (12, 2), in days since ``cf.EPOCH``."""
    start, length = cf.new_years_day(year), cf.new_years_day(year + 1) - cf.new_years_day(year)
    days = np.array([31, 28 + length - 365, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    edges = start + np.concatenate([[0], np.cumsum(days)])
    return np.stack([edges[:-1], edges[1:]], axis=1).astype(np.float64)


def write(name: str, reader: StoreReader, path: Path, resolution: float, attrs: Mapping[str, Any]) -> None:
    """Write one field of all years, month by month."""
    item = definitions()[name]
    coarsening = Coarsening.between(reader.grid, covering_grid(reader.grid, resolution))
    grid = coarsening.coarse
    bounds = np.concatenate([month_bounds(year) for year in reader.years])
    facts = {
        **cf.extent(grid),
        **cf.coverage(reader.years),
        "time_coverage_resolution": "P1M",
        **attrs,
        "variable_id": name,
        "frequency": item["frequency"],
        "defined_in": f"CMIP6 table {item['table']}, data request 01.00.33",
    }
    with cf.dataset(path, reader, facts) as file:
        cf.add_time(file, bounds.mean(axis=1), bounds, "time")
        cf.add_latlon(file, grid)
        cf.add_cell_area(file, "areacella", grid)
        file["areacella"].grid_mapping = cf.CRS
        variable = file.createVariable(
            name, "f4", ("time", "lat", "lon"), zlib=True, complevel=cf.LEVEL, shuffle=True, fill_value=MISSING,
            chunksizes=(1, *grid.shape),
        )  # fmt: skip
        described = {key: item[key] for key in ("standard_name", "long_name", "units", "cell_methods")}
        variable.setncatts(
            {**described, "cell_measures": "area: areacella", "grid_mapping": cf.CRS, "missing_value": MISSING}
        )
        for step, year in enumerate(reader.years):
            means = land_means(name, reader, year, coarsening)
            variable[12 * step : 12 * step + 12] = np.where(np.isnan(means), MISSING, means).astype(np.float32)


def land_means(name: str, reader: StoreReader, year: int, coarsening: Coarsening) -> NDArray[np.float64]:
    """Area-weighted mean of each sample over the land with values, float64 (samples, lat, lon). NaN without values."""
    samples = reader.land[name].shape[1]
    sums, areas = (np.zeros((samples, *coarsening.coarse.shape)) for _ in range(2))
    for box in reader.windows():
        values = reader.field(name, year, box)
        known = np.isfinite(values)
        if known.any():
            coarsening.add(sums, box, np.where(known, values, 0.0))
            coarsening.add(areas, box, known)
    least = LEAST * coarsening.coarse.row_area[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(areas > least, sums / areas, np.nan))
