"""Static fields have the same bits in every window, and few of them are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.core.fields import FieldInfo, FieldSpec
from ai4land_coupler.core.grid import Box, LatLonGrid
from ai4land_coupler.inputs.adapters import NamedAdapter
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_coupler.inputs.readers import StaticReader


class _Waves:
    """An adapter whose last bits depend on the corner of the request, like those of an interpolation."""

    def fields(self) -> dict[str, Any]:
        return {"wave": FieldInfo("wave", "1")}

    def grid(self) -> None:
        return None

    def read(self, request: Any) -> xr.Dataset:
        values = np.sin(1e4 * request.grid.lat)[:, None] * np.cos(1e4 * request.grid.lon)[None, :]
        return xr.Dataset({"wave": (("lat", "lon"), values.astype(np.float32))})


WAVES = Catalogue("static", [NamedAdapter("waves", _Waves())])
SPEC = FieldSpec("wave", "1", "static")


@given(row=st.integers(-60, 700), col=st.integers(-900, 900), rows=st.integers(1, 700), cols=st.integers(1, 600))
@pytest.mark.parametrize("size", [0.3, 0.29])  # with the second, 1241 columns cover 359.89 degrees
def test_static_fields_are_the_same_in_every_window(size: float, row: int, col: int, rows: int, cols: int) -> None:
    grid = LatLonGrid(-180.0, size, int(360 / size), 90.0, -size, int(180 / size))
    window = Box(row, row + rows, col, col + cols)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ai4land_coupler.inputs.readers.STATIC_PIECE", 256)
        whole = StaticReader(WAVES, grid).read(SPEC, grid.box)
        found = StaticReader(WAVES, grid, cache=0).read(SPEC, window)
    inside = np.arange(row, row + rows)
    inside = (inside >= 0) & (inside < grid.nlat)
    wrapped = np.arange(col, col + cols) % grid.nlon
    np.testing.assert_array_equal(found[inside], whole[np.arange(row, row + rows)[inside]][:, wrapped])
    assert np.isnan(found[~inside]).all()


def test_the_cache_of_static_fields_is_bounded_and_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it stays for the run, half holds the newest pieces; threads may share it."""
    monkeypatch.setattr("ai4land_coupler.inputs.readers.STATIC_PIECE", 32)
    grid = LatLonGrid(0.0, 0.25, 320, 60.0, -0.25, 160)
    piece = 32 * 32 * 4
    whole = StaticReader(WAVES, grid, cache=0).read(SPEC, grid.box)
    reads: list[object] = []

    class Counting(Catalogue):
        def read(self, names: Any, cells: Any, year: int | None = None) -> Any:
            reads.append(cells)
            return super().read(names, cells, year)

    reader = StaticReader(Counting("static", WAVES.adapters), grid, cache=8 * piece)
    for _ in range(2):
        for row in range(0, 160, 40):
            for col in range(0, 320, 40):
                window = Box(row, row + 40, col, col + 40)
                np.testing.assert_array_equal(reader.read(SPEC, window), whole[window.slices()])
                held = [*reader._kept.values(), *reader._newest.values()]
                assert sum(values.nbytes for values in held) <= 8 * piece
                assert len(reader._kept) <= 4
    assert 50 < len(reads) < 2 * 32 * 4  # fewer than one for each piece of each window
    reads.clear()
    assert StaticReader(reader.catalogue, grid).read(SPEC, grid.box).shape == grid.shape
    assert len(reads) == 50
    shared = StaticReader(reader.catalogue, grid, cache=4 * piece)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: shared.read(SPEC, grid.box), range(8)):
            np.testing.assert_array_equal(found, whole)


def test_static_fields_are_missing_outside_of_a_region() -> None:
    grid = LatLonGrid(0.0, 0.5, 40, 60.0, -0.5, 30)
    found = StaticReader(WAVES, grid).read(SPEC, Box(-3, 33, -5, 45))
    assert np.isfinite(found[3:33, 5:45]).all()
    found[3:33, 5:45] = np.nan
    assert np.isnan(found).all()
