"""Writes a store with odd sizes and a host grid without a run, with known content."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.legend import get_legend
from ai4land_coupler.store.output import HostLayout, LandField, OutputStore, StoreLayout

#: Cell size of HILDA+ v1.0. Neither the cells nor the edges fit into 0.25 degrees.
GRID = LatLonGrid(-3.1234, 0.00998837, 131, 53.4321, -0.00998837, 97)
YEARS = (2015, 2018, 2021)
LEGEND = get_legend("hilda-v1.0-f")
HOST_CELLS = 6


def codes_of(year: int, grid: LatLonGrid = GRID) -> np.ndarray:
    """A map with every code of the legend, a strip of ocean and a corner without data."""
    codes = np.random.default_rng(year).choice(np.array(LEGEND.codes, np.uint8), grid.shape)
    codes[:, :20] = 0
    codes[:10, -10:] = 99
    return codes


def host_fractions(year: int) -> np.ndarray:
    """Fractions of the 7 classes in each host cell; the last cell has no land."""
    values = np.random.default_rng(year + 1).dirichlet(np.ones(8), HOST_CELLS).T[:7]
    values[:, -1] = 0
    return values


def lai_of(year: int, grid: LatLonGrid = GRID) -> np.ndarray:
    """Leaf area index (12, lat, lon), NaN outside of the land."""
    values = np.random.default_rng(year + 2).uniform(0, 6, (12, *grid.shape)).astype(np.float32)
    values[:, LEGEND.to_view(codes_of(year, grid)) < 0] = np.nan
    return values


def make_store(path: Path, grid: LatLonGrid = GRID, years: tuple[int, ...] = YEARS, commit: int | None = None) -> Path:
    """A store whose first ``commit`` years are committed (default: all)."""
    host = HostLayout(
        HOST_CELLS,
        np.linspace(-4, -1, HOST_CELLS),
        np.linspace(52, 54, HOST_CELLS),
        np.linspace(1e9, 2e9, HOST_CELLS),
        mesh_hash="x",
    )
    lai = LandField("lai", "1", 12, {"standard_name": "leaf_area_index", "long_name": "leaf area index"})
    layout = StoreLayout(grid, years, LEGEND, hosts={"icon": host}, land_fields=(lai,), shard=64, chunk=32)
    store = OutputStore.create(path, layout, {"title": "A store of the tests", "provenance": {"config_sha256": "0"}})
    area = np.broadcast_to(grid.row_area[:, None], grid.shape)
    for year in years[: len(years) if commit is None else commit]:
        codes, leaves = codes_of(year, grid), lai_of(year, grid)
        for box in store.shard_boxes():
            store.write_land_cover(year, box, codes[box.slices()])
            store.write_field("lai", year, box, leaves[(slice(None), *box.slices())])
        classes = LEGEND.to_view(codes)
        store.write_diagnostic("class_area", year, np.array([area[classes == k].sum() for k in range(7)]))
        store.write_host("icon", "land_cover_fraction", year, host_fractions(year))
        store.commit(year)
    return path
