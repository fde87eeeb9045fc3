"""A tile's inputs against cell-by-cell lookups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.core.fields import FieldSpec, PredictorSpec, Tile
from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.errors import PluginError
from ai4land_coupler.land.assemble import TileInputs, assemble, window_of

#: Six rows of 1/3 degree from 50.6 N down and nine columns from 9.3 E: the forcing cells of 1 degree at the edges
#: reach beyond the domain, by more than a fine cell in the north and the west.
FINE = LatLonGrid(9.3, 1 / 3, 9, 50.6, -1 / 3, 6)
FORCING = forcing_lattice(FINE, LatLonGrid(-180.0, 1.0, 360, 90.0, -1.0, 180))
GLOBE = LatLonGrid(-180.0, 9.972, 36, 90.0, -10.0, 18)
GLOBE_FORCING = forcing_lattice(GLOBE, LatLonGrid(-180.0, 30.0, 12, 90.0, -30.0, 6))


def naive_spread(fine: LatLonGrid, forcing: LatLonGrid, values: np.ndarray, window: Box) -> np.ndarray:
    """The value of the forcing cell whose edges enclose each centre; NaN outside of the fine grid."""
    out = np.full(window.shape, np.nan, np.float32)
    for i, row in enumerate(range(window.row0, window.row1)):
        for j, col in enumerate(range(window.col0, window.col1)):
            if not 0 <= row < fine.nlat or (not fine.periodic and not 0 <= col < fine.nlon):
                continue
            lat = fine.lat0 + (row + 0.5) * fine.dlat
            lon = fine.lon0 + (col % fine.nlon + 0.5) * fine.dlon
            for r in range(forcing.nlat):
                for c in range(forcing.nlon):
                    south, north = sorted((forcing.lat0 + r * forcing.dlat, forcing.lat0 + (r + 1) * forcing.dlat))
                    west = forcing.lon0 + c * forcing.dlon
                    if south <= lat < north and west <= lon < west + forcing.dlon:
                        out[i, j] = values[r, c]
    return out


def numbered(grid: LatLonGrid) -> np.ndarray:
    return (np.arange(grid.size, dtype=np.float32) + 1).reshape(grid.shape)


def inputs_of(coarse: dict[tuple[str, int], np.ndarray], land: dict[tuple[str, int], np.ndarray]) -> TileInputs:
    def read(name: str, offset: int, tile: Tile) -> np.ndarray:
        array = land[name, offset]
        fill = np.nan if array.dtype.kind == "f" else -1
        return window_of(array, tile.window, periodic=False, fill=fill)

    return TileInputs(FINE, FORCING, read, coarse)


def tile(*window: int, number: int = 0) -> Tile:
    box = Box(*window)
    return Tile(number, box.intersect(FINE.box), box)


def spec(*fields: FieldSpec, **more: object) -> PredictorSpec:
    return PredictorSpec(fields, (FieldSpec("out", "1", "output"),), None, **more)  # type: ignore[arg-type]


# --- spread


@pytest.mark.parametrize("window", [Box(0, 6, 0, 9), Box(2, 4, 3, 6), Box(-2, 8, -3, 12), Box(-5, -1, 0, 9)])
def test_each_cell_gets_the_value_of_the_forcing_cell_that_holds_its_centre(window: Box) -> None:
    assert FORCING.shape == (3, 4)
    values = numbered(FORCING)
    spread = TileInputs(FINE, FORCING, lambda *_: values, {}).spread(values, window)
    np.testing.assert_array_equal(spread, naive_spread(FINE, FORCING, values, window))
    assert spread.dtype == np.float32


@pytest.mark.parametrize("window", [Box(0, 18, 0, 36), Box(0, 18, -8, 44), Box(-4, 20, 30, 80), Box(3, 9, -90, -60)])
def test_the_globe_wraps(window: Box) -> None:
    assert GLOBE.periodic
    values = numbered(GLOBE_FORCING)
    spread = TileInputs(GLOBE, GLOBE_FORCING, lambda *_: values, {}).spread(values, window)
    np.testing.assert_array_equal(spread, naive_spread(GLOBE, GLOBE_FORCING, values, window))


def test_a_hand_worked_row() -> None:
    # centres at 10.067, 10.4, 10.733, 11.067, ... E; forcing cells begin at 10 E
    values = np.array([[1, 2, 3]], np.float32)
    fine, forcing = LatLonGrid(9.9, 1 / 3, 7, 50.1, -1 / 3, 1), LatLonGrid(10.0, 1.0, 3, 50.0, -1.0, 1)
    spread = TileInputs(fine, forcing, lambda *_: values, {}).spread(values, Box(0, 1, -1, 8))
    np.testing.assert_array_equal(spread, [[np.nan, 1, 1, 1, 2, 2, 2, 3, np.nan]])


# --- assemble


def test_offsets_keep_the_order_of_the_spec() -> None:
    coarse = {("urban", offset): numbered(FORCING) + 100 * offset for offset in (-2, -1, 0)}
    window = tile(0, 6, 0, 9)
    fields = (FieldSpec("urban", "1", "forcing", offsets=(0, -2, -1)),)
    got = assemble(spec(*fields), [window], inputs_of(coarse, {}), (2001, 0)).fields["urban"]
    base = naive_spread(FINE, FORCING, numbered(FORCING), window.window)
    np.testing.assert_array_equal(got[0], [base, base - 200, base - 100])


def test_land_cover_stays_in_whole_numbers_and_outside_is_minus_one() -> None:
    cover = {("land_cover", offset): np.full(FINE.shape, 3 + offset, np.int8) for offset in (-1, 0)}
    fields = (FieldSpec("land_cover", "1", "cover", offsets=(-1, 0)),)
    got = assemble(spec(*fields), [tile(-1, 7, 0, 10)], inputs_of({}, cover), (2001, 0)).fields["land_cover"]
    assert got.dtype == np.int8
    assert got.shape == (1, 2, 8, 10)
    np.testing.assert_array_equal(got[0, 0, 1:-1, :-1], 2)
    np.testing.assert_array_equal(got[0, 1, 1:-1, :-1], 3)
    for edge in (got[..., 0, :], got[..., -1, :], got[..., -1]):
        assert (edge == -1).all()


def test_missing_cells_are_filled_with_what_the_spec_says() -> None:
    height = numbered(FINE)
    height[2, 3] = np.nan
    carbon = numbered(FORCING)
    carbon[1, 1] = np.nan
    fields = (
        FieldSpec("height", "m", "static", fill=-7.0),
        FieldSpec("carbon", "1", "forcing", fill=0.25),
        FieldSpec("coarse_carbon", "1", "forcing", grid="forcing", fill=0.5),
        FieldSpec("temperature", "K", "import", fill=float("nan")),
    )
    coarse = {("carbon", 0): carbon, ("coarse_carbon", 0): carbon, ("temperature", 0): carbon}
    window = tile(-1, 7, 0, 9)
    got = assemble(spec(*fields), [window], inputs_of(coarse, {("height", 0): height}), (2001, 0)).fields

    expected = np.full((8, 9), -7, np.float32)
    expected[1:7] = np.where(np.isnan(height), -7, height)
    np.testing.assert_array_equal(got["height"][0, 0], expected)
    spread = naive_spread(FINE, FORCING, carbon, window.window)
    np.testing.assert_array_equal(got["carbon"][0, 0], np.where(np.isnan(spread), 0.25, spread))
    np.testing.assert_array_equal(got["coarse_carbon"][0, 0], np.where(np.isnan(carbon), 0.5, carbon))
    np.testing.assert_array_equal(got["temperature"][0, 0], spread)
    assert {values.dtype for values in got.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("fine", "forcing", "window"),
    [
        (FINE, FORCING, Box(0, 6, 0, 9)),
        (FINE, FORCING, Box(2, 4, 3, 6)),
        (FINE, FORCING, Box(-2, 8, -3, 12)),
        (FINE, FORCING, Box(-5, -1, 0, 9)),  # no cell of the domain
        (GLOBE, GLOBE_FORCING, Box(0, 18, -8, 44)),  # more than one turn
        (GLOBE, GLOBE_FORCING, Box(-4, 20, 30, 80)),
        (GLOBE, GLOBE_FORCING, Box(3, 9, -90, -60)),
    ],
)
def test_coarse_fields_with_their_index_are_the_fields_on_land_cells(
    fine: LatLonGrid, forcing: LatLonGrid, window: Box
) -> None:
    now, before = numbered(forcing), 100 + numbered(forcing)
    now[1, 2] = np.nan
    fields = (FieldSpec("crop", "1", "forcing", grid="coarse", offsets=(0, -1), fill=-7.0),)
    inputs = TileInputs(fine, forcing, lambda *_: now, {("crop", 0): now, ("crop", -1): before})
    batch = assemble(spec(*fields), [Tile(0, window, window)], inputs, (2001, 0))
    (index,), values = batch.coarse, batch.fields["crop"]
    assert (index.rows.shape, index.cols.shape) == ((window.shape[0],), (window.shape[1],))
    for t, whole in enumerate((now, before)):
        expected = naive_spread(fine, forcing, whole, window)
        found = values[0, t, index.rows[:, None], index.cols]
        np.testing.assert_array_equal(found, np.where(np.isnan(expected), -7, expected))


def test_a_coarse_field_has_only_the_forcing_cells_under_the_window() -> None:
    # Rows 2 and 3 are centred at 49.77 and 49.43 N, columns 2 to 5 at 10.13 to 11.13 E: two cells and a column of fill.
    coarse = {("crop", 0): numbered(FORCING)}
    field = FieldSpec("crop", "1", "forcing", grid="coarse", fill=0.5)
    batch = assemble(spec(field), [tile(2, 4, 2, 6)], inputs_of(coarse, {}), (2001, 0))
    np.testing.assert_array_equal(batch.fields["crop"], [[[[6, 7, 0.5], [0.5, 0.5, 0.5]]]])
    np.testing.assert_array_equal(batch.coarse[0].rows, [0, 0])
    np.testing.assert_array_equal(batch.coarse[0].cols, [0, 0, 0, 1])


def test_tiles_of_a_batch_may_have_different_numbers_of_forcing_cells() -> None:
    coarse = {("crop", 0): numbered(FORCING)}
    tiles = [tile(2, 4, 2, 6), tile(1, 3, 3, 7)]
    batch = assemble(spec(FieldSpec("crop", "1", "forcing", grid="coarse")), tiles, inputs_of(coarse, {}), (2001, 0))
    for number, index in enumerate(batch.coarse):
        expected = naive_spread(FINE, FORCING, numbered(FORCING), tiles[number].window)
        np.testing.assert_array_equal(batch.fields["crop"][number, 0, index.rows[:, None], index.cols], expected)


def test_a_coarse_field_of_the_land_grid_is_refused() -> None:
    with pytest.raises(PluginError, match=r"not on the forcing grid.*\n.*\n.*height"):
        spec(FieldSpec("height", "m", "static", grid="coarse"))


def test_what_is_read_is_left_as_it_was() -> None:
    height, carbon = numbered(FINE), numbered(FORCING)
    height[2, 3] = carbon[0, 0] = np.nan
    for array in (height, carbon):
        array.flags.writeable = False
    fields = (
        FieldSpec("height", "m", "static"),
        FieldSpec("carbon", "1", "forcing"),
        FieldSpec("whole", "1", "forcing", grid="forcing"),
        FieldSpec("part", "1", "forcing", grid="coarse"),
    )
    inputs = inputs_of({(name, 0): carbon for name in ("carbon", "whole", "part")}, {("height", 0): height})
    batch = assemble(spec(*fields), [tile(0, 6, 0, 9)], inputs, (2001, 0))
    for values in batch.fields.values():
        values[:] = 0  # a predictor may work in place
    assert np.isnan(height[2, 3])
    assert carbon[0, 1] == 2


def test_memory_starts_over_beyond_the_domain() -> None:
    memory = {("snow", -1): numbered(FINE)}
    batch = assemble(spec(memory={"snow": 0.5}), [tile(-2, 6, 0, 9)], inputs_of({}, memory), (2001, 3))
    assert batch.fields["snow"].shape == (1, 1, 8, 9)
    np.testing.assert_array_equal(batch.fields["snow"][0, 0, 2:], numbered(FINE))
    np.testing.assert_array_equal(batch.fields["snow"][0, 0, :2], 0.5)


def test_tiles_are_stacked_in_their_order_with_time_and_grid() -> None:
    height = numbered(FINE)
    coarse = {("carbon", 0): numbered(FORCING), ("carbon", -1): numbered(FORCING)}
    tiles = [tile(2, 4, 0, 3, number=5), tile(0, 2, 4, 7, number=1)]
    fields = (
        FieldSpec("height", "m", "static"),
        FieldSpec("carbon", "1", "forcing", grid="forcing", offsets=(-1, 0)),
    )
    batch = assemble(spec(*fields), tiles, inputs_of(coarse, {("height", 0): height}), (1999, 7))
    np.testing.assert_array_equal(batch.fields["height"][:, 0], [height[2:4, 0:3], height[0:2, 4:7]])
    assert batch.fields["carbon"].shape == (2, 2, *FORCING.shape)
    assert batch.tiles == tuple(tiles)
    assert (batch.time, batch.grid) == ((1999, 7), FINE)


def test_tiles_of_different_shapes_are_refused() -> None:
    inputs = inputs_of({}, {("height", 0): numbered(FINE)})
    with pytest.raises(PluginError, match="differ in shape") as caught:
        assemble(spec(FieldSpec("height", "m", "static")), [tile(0, 2, 0, 3), tile(0, 3, 0, 2)], inputs, (1999, 0))
    assert caught.value.found == [(2, 3), (3, 2)]


# --- windows of whole arrays


@examples(150)
@given(
    st.booleans(),
    st.integers(-9, 9),
    st.integers(1, 12),
    st.integers(-20, 20),
    st.integers(1, 30),
    st.sampled_from([np.uint8, np.int8, np.float32]),
)
def test_a_window_is_what_a_loop_over_cells_finds(
    periodic: bool, row0: int, rows: int, col0: int, cols: int, dtype: type
) -> None:
    array = np.arange(2 * 4 * 5).reshape(2, 4, 5).astype(dtype)
    window = Box(row0, row0 + rows, col0, col0 + cols)
    got = window_of(array, window, periodic=periodic, fill=99)
    assert got.dtype == dtype
    assert got.shape == (2, rows, cols)
    for i in range(rows):
        for j in range(cols):
            row, col = row0 + i, col0 + j
            inside = 0 <= row < 4 and (periodic or 0 <= col < 5)
            expected = array[:, row, col % 5] if inside else 99
            np.testing.assert_array_equal(got[:, i, j], expected)
