"""Time axes compared with cftime; memory does not depend on the size of the map."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cftime
import numpy as np
import pytest
from export_stores import make_store

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.formats import Format, cf, export
from ai4land_coupler.formats.cmip_fields import month_bounds


@pytest.mark.parametrize("year", [1, 850, 1582, 1583, 1850, 1900, 2000, 2015, 2100, 2401, 9999])
def test_days_since_the_epoch(year: int) -> None:
    day = cftime.datetime(year, 1, 1, calendar=cf.CALENDAR)
    assert cf.new_years_day(year) == cftime.date2num(day, f"days since {cf.EPOCH}", cf.CALENDAR)


@pytest.mark.parametrize("year", [1900, 2000, 2015, 2016])
def test_months(year: int) -> None:
    firsts = [cftime.datetime(year + m // 12, m % 12 + 1, 1, calendar=cf.CALENDAR) for m in range(13)]
    expected = cftime.date2num(firsts, f"days since {cf.EPOCH}", cf.CALENDAR)
    np.testing.assert_array_equal(month_bounds(year), np.stack([expected[:-1], expected[1:]], axis=1))


@pytest.mark.parametrize("kind", ["netcdf", "cmip"])
def test_memory_does_not_depend_on_the_map(kind: Format, tmp_path: Path) -> None:
    small, large = (
        make_store(tmp_path / f"{edge}.zarr", LatLonGrid(0.0, 0.002, edge, 50.0, -0.002, edge), (2015,))
        for edge in (96, 320)
    )
    export(small, kind, tmp_path / "warm")  # do not count the memory of imports and caches
    peaks = []
    for store in (small, large):
        tracemalloc.start()
        export(store, kind, tmp_path / f"{kind}-{store.stem}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The leaf area of the larger map has 5 MB.
    assert peaks[1] < peaks[0] + 1_000_000
