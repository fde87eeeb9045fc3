"""Errors, clock, grids, legends, units and random numbers, against hand-worked and published values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler import errors
from ai4land_coupler.core.clock import Clock, Step
from ai4land_coupler.core.grid import EARTH_RADIUS, Box, LatLonGrid, forcing_lattice
from ai4land_coupler.core.legend import OUTSIDE, get_crosswalk, get_legend, legend_names
from ai4land_coupler.core.rng import KeyedRng, philox4x32
from ai4land_coupler.core.units import factor
from ai4land_coupler.errors import Ai4LandError, ConfigError, DataError, FieldError, GridError, TimeError, nearest

# HILDA+ v1.0, as its geotransform says.
HILDA = LatLonGrid(-180.0, 0.00998837, 36041, 90.0, -0.00998837, 18021)
GLOBE = LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)

grids = st.builds(
    LatLonGrid,
    st.floats(-180, 180),
    st.floats(0.01, 2.0),
    st.integers(2, 60),
    st.floats(-30, 30),
    st.floats(0.01, 0.9) | st.floats(-0.9, -0.01),
    st.integers(2, 60),
)


# --- errors


def test_a_message_names_both_sides_the_place_and_the_remedy() -> None:
    error = DataError("a variable is missing", expected="urban", found="urbn", where="states.nc", remedy="rename it")
    assert str(error) == (
        "a variable is missing\n  expected: urban\n  found: urbn\n  where: states.nc\n  what to do: rename it"
    )
    assert str(DataError("short")) == "short"


def test_every_error_has_its_own_return_code_for_hosts() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Ai4LandError)]
    codes = [k.host_code for k in kinds]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes
    assert {k.exit_code for k in kinds} == {1, 2}


def test_the_nearest_name_is_offered() -> None:
    assert nearest("argmx", ["allocate", "argmax"]) == "did you mean 'argmax'? Known: allocate, argmax"
    assert nearest("zzz", ["argmax"]) == "known: argmax"
    assert nearest("zzz", []) == "known: none"


# --- clock


@pytest.mark.parametrize(("text", "months", "years"), [("P1Y", 12, 1), ("P3Y", 36, 3), ("P1M", 1, 0), ("P24M", 24, 2)])
def test_steps_are_read_in_months(text: str, months: int, years: int) -> None:
    step = Step.parse(text)
    assert (step.months, step.years) == (months, years)
    assert Step.parse(str(step)) == step


@pytest.mark.parametrize("text", ["1Y", "P0Y", "P1D", "P1Y6M", "P-1Y", ""])
def test_other_intervals_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="ISO 8601"):
        Step.parse(text)


@given(st.integers(1, 3000), st.integers(-300, 300), st.integers(1, 10))
def test_a_clock_takes_every_step_once(start: int, steps: int, step: int) -> None:
    clock = Clock(start, start + steps * step, step)
    taken = [c.now for c in clock.remaining()]
    assert [start, *taken] == list(clock.years())
    assert len(taken) == abs(steps)
    assert taken == [start + int(math.copysign(i, steps)) * step for i in range(1, abs(steps) + 1)]
    assert clock.direction == (-1 if steps < 0 else 1)


def test_a_stop_between_steps_is_refused_with_the_last_step_before_it() -> None:
    with pytest.raises(TimeError, match="use 2099"):
        Clock(2015, 2100, 3)
    with pytest.raises(TimeError, match="use 1852"):
        Clock(1960, 1850, 4)


def test_a_clock_does_not_run_past_its_stop() -> None:
    with pytest.raises(TimeError, match="reached its stop"):
        Clock(2000, 2001).next().next()
    with pytest.raises(TimeError, match="not a step"):
        Clock(2000, 2010, 5, year=2003)


# --- grid


def test_cells_of_the_globe_add_up_to_the_sphere() -> None:
    assert GLOBE.row_area.sum() * GLOBE.nlon == pytest.approx(4 * math.pi * EARTH_RADIUS**2, rel=1e-12)
    # The authalic sphere has the surface of WGS 84, 510 065 622 km2.
    assert GLOBE.row_area.sum() * GLOBE.nlon == pytest.approx(510_065_622e6, rel=1e-6)


def test_a_quarter_degree_at_the_equator_has_the_hand_worked_area() -> None:
    side = EARTH_RADIUS * math.radians(0.25)
    # sin(x) = x (1 - x^2 / 6): the sphere takes 3.2e-6 from the square.
    assert GLOBE.row_area[359] == pytest.approx(side * side * (1 - math.radians(0.25) ** 2 / 6), rel=1e-10)


def test_the_global_hilda_grid_is_periodic_though_it_spans_less_than_the_globe() -> None:
    assert 359.98 < HILDA.dlon * HILDA.nlon < 360
    assert HILDA.periodic
    assert not HILDA.sub(Box(0, 100, 0, 36000)).periodic


@given(grids)
def test_a_grid_is_found_again_from_its_centres(grid: LatLonGrid) -> None:
    again = LatLonGrid.from_centres(grid.lon, grid.lat)
    assert again.shape == grid.shape
    np.testing.assert_allclose(again.lon_edges, grid.lon_edges, atol=1e-9)
    np.testing.assert_allclose(again.lat_edges, grid.lat_edges, atol=1e-9)


@given(grids, st.data())
def test_a_centre_lies_in_its_own_cell_whole_turns_away_too(grid: LatLonGrid, data: st.DataObject) -> None:
    turns = data.draw(st.integers(-2, 2))
    np.testing.assert_array_equal(grid.rows_of(grid.lat), np.arange(grid.nlat))
    np.testing.assert_array_equal(grid.cols_of(grid.lon + 360.0 * turns), np.arange(grid.nlon))


@given(grids, st.integers(-2, 2))
def test_an_edge_belongs_to_the_cell_south_and_east_of_it(grid: LatLonGrid, turns: int) -> None:
    edges = grid.lat0 + grid.dlat * np.arange(grid.nlat + 1)
    south = np.arange(grid.nlat + 1) - (grid.dlat > 0)
    np.testing.assert_array_equal(grid.rows_of(edges), south)
    np.testing.assert_array_equal(grid.rows_of(np.nextafter(edges, 90)), south)
    np.testing.assert_array_equal(grid.rows_of(np.nextafter(edges, -90)), south)
    west = grid.lon_edges[:-1]
    for moved in (west, np.nextafter(west, -999), np.nextafter(west, 999)):
        np.testing.assert_array_equal(grid.cols_of(moved + 360.0 * turns), np.arange(grid.nlon))
        np.testing.assert_array_equal(grid.cols_of(moved, wrap=False), np.arange(grid.nlon))


@given(grids, st.data())
def test_a_box_of_a_grid_has_the_centres_of_its_cells(grid: LatLonGrid, data: st.DataObject) -> None:
    row0, row1 = sorted(data.draw(st.lists(st.integers(0, grid.nlat), min_size=2, max_size=2, unique=True)))
    col0, col1 = sorted(data.draw(st.lists(st.integers(0, grid.nlon), min_size=2, max_size=2, unique=True)))
    part = grid.sub(Box(row0, row1, col0, col1))
    np.testing.assert_allclose(part.lon, grid.lon[col0:col1], atol=1e-9)
    np.testing.assert_allclose(part.lat, grid.lat[row0:row1], atol=1e-9)
    np.testing.assert_allclose(part.row_area, grid.row_area[row0:row1], rtol=1e-6)


def test_the_forcing_cells_of_a_domain_are_those_that_hold_its_centres() -> None:
    fine = HILDA.sub(Box(2900, 3700, 16600, 18300))
    lattice = forcing_lattice(fine, GLOBE)
    rows = {math.floor((90 - lat) / 0.25) for lat in fine.lat}
    cols = {math.floor((lon + 180) / 0.25) for lon in fine.lon}
    assert lattice.shape == (len(rows), len(cols))
    assert lattice.lat0 == pytest.approx(90 - 0.25 * min(rows))
    assert lattice.lon0 == pytest.approx(-180 + 0.25 * min(cols))
    # 25.03 fine cells in a forcing cell: some rows of forcing cells have 25, some 26.
    counts = np.bincount(lattice.rows_of(fine.lat))[1:-1]
    assert set(counts) == {25, 26}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, -1, 4, 0, 1, 4), "malformed"),
        ((0, 1, 4, math.nan, 1, 4), "malformed"),
        ((0, 1, 0, 0, 1, 4), "no cells"),
        ((0, 1, 361, 0, 1, 4), "more than the globe"),
        ((0, 1, 4, 89, 1, 4), "beyond a pole"),
    ],
)
def test_malformed_grids_are_refused(values: tuple[float, ...], message: str) -> None:
    with pytest.raises(GridError, match=message):
        LatLonGrid(*values)  # type: ignore[arg-type]


def test_uneven_axes_are_refused() -> None:
    with pytest.raises(GridError, match="latitude is not evenly spaced"):
        LatLonGrid.from_centres(np.arange(4.0), np.array([0.0, 1.0, 2.5, 3.0]))
    with pytest.raises(GridError, match="longitude is not an axis"):
        LatLonGrid.from_centres(np.array([1.0]), np.arange(3.0))


def test_the_hash_of_a_grid_tells_grids_apart() -> None:
    assert GLOBE.hash == LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720).hash
    assert GLOBE.hash != GLOBE.sub(Box(0, 720, 1, 1440)).hash


def test_boxes_intersect_and_slice() -> None:
    box = Box(2, 6, 3, 9)
    assert (box.shape, box.size) == ((4, 6), 24)
    assert box.intersect(Box(0, 4, 5, 20)) == Box(2, 4, 5, 9)
    assert box.intersect(Box(7, 9, 0, 2)).size == 0
    array = np.arange(100).reshape(10, 10)
    assert array[box.slices()][0, 0] == 23
    assert array[1:, 2:][box.slices(Box(1, 10, 2, 10))][0, 0] == 23


# --- legends


@pytest.mark.parametrize("name", legend_names())
def test_each_native_code_belongs_to_one_class_of_the_view(name: str) -> None:
    legend = get_legend(name)
    owned = [code for item in legend.view for code in item.codes]
    assert sorted(owned) == sorted(legend.codes)
    assert all(item.new in item.codes for item in legend.view)
    assert legend.classes == ("urban", "cropland", "pasture", "forest", "grass_shrub", "other", "water")
    np.testing.assert_array_equal(legend.to_view(legend.new_codes), np.arange(7))
    assert (legend.to_view(np.array(legend.ocean, np.uint8)) == OUTSIDE).all()
    assert legend.fixed.tolist() == [False] * 6 + [True]


def test_code_44_means_another_forest_in_each_version() -> None:
    with_types, plain = get_legend("hilda-v1.0-f"), get_legend("hilda-v1.0")
    assert with_types.names[44] == "forest_deciduous_broad"
    assert plain.names[44] == "forest"
    assert with_types.new_codes[3] == 40
    assert plain.new_codes[3] == 44
    with pytest.raises(DataError, match=r"code 41 in 2 cells(.|\n)*known legends: hilda-v1.0, hilda-v1.0-f"):
        plain.check(np.array([[41, 41], [44, 0]], np.uint8), "map.tif")


def test_unknown_legends_and_crosswalks_offer_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'hilda-v1.0-f'"):
        get_legend("hilda-v1.0f")
    with pytest.raises(ConfigError, match="did you mean 'luh2-hilda'"):
        get_crosswalk("luh2_hilda")


def test_the_crosswalk_places_each_class_but_water_in_one_group() -> None:
    crosswalk = get_crosswalk("luh2-hilda")
    groups = crosswalk.group_of_class(get_legend("hilda-v1.0-f"))
    assert [crosswalk.groups[g] if g >= 0 else None for g in groups] == [
        "urban", "cropland", "pasture", "forest", "open", "open", None,
    ]  # fmt: skip
    luh2 = {"primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range"}
    chosen = [state for states in crosswalk.choose(luh2).values() for state in states]
    assert sorted(chosen) == sorted(luh2)
    derived = luh2 - {"c3ann", "c4ann", "c3per", "c4per", "c3nfx", "range"} | {"crop"}
    assert crosswalk.choose(derived)["cropland"] == ("crop",)
    assert crosswalk.choose(derived)["pasture"] == ("pastr",)
    with pytest.raises(FieldError, match="lacks secdf of group 'forest'"):
        crosswalk.choose(luh2 - {"secdf"})


# --- units


@pytest.mark.parametrize(
    ("found", "wanted", "value"),
    [("%", "1", 0.01), ("km", "m", 1000.0), ("km2", "m2", 1e6), ("", "1", 1.0), ("kelvin", "K", 1.0), ("x", "x", 1.0)],
)
def test_units_are_converted(found: str, wanted: str, value: float) -> None:
    assert factor(found, wanted) == value


@pytest.mark.parametrize(("found", "wanted"), [("degC", "K"), ("m", "K"), ("", "m"), ("1", "furlong")])
def test_units_that_cannot_be_converted_are_refused(found: str, wanted: str) -> None:
    with pytest.raises(FieldError, match=f"expected: {wanted}(.|\\n)*where: t2m of x.nc"):
        factor(found, wanted, "t2m of x.nc")


# --- random numbers


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # Random123 1.14, tests/kat_vectors, "philox4x32 10"
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_answers(counter: str, key: str, answer: str) -> None:
    words = np.array([int(w, 16) for w in counter.split()], np.uint64)
    k0, k1 = (int(w, 16) for w in key.split())
    assert " ".join(f"{int(w):08x}" for w in philox4x32(words, (k0, k1))) == answer


def test_a_number_depends_on_its_cell_and_key_alone() -> None:
    rng = KeyedRng(seed=7, member=2, year=1999, stream=3)
    cells = np.arange(10_000, dtype=np.int64)
    whole = rng.uniform(cells)
    shuffled = np.random.default_rng(0).permutation(cells)
    np.testing.assert_array_equal(rng.uniform(shuffled), whole[shuffled])
    np.testing.assert_array_equal(rng.uniform(cells.reshape(100, 100)).ravel(), whole)
    assert rng.at(year=1999, stream=3) == rng
    others = [KeyedRng(8, 2, 1999, 3), KeyedRng(7, 1, 1999, 3), rng.at(year=2000), rng.at(stream=4)]
    for other in others:
        assert abs(np.corrcoef(whole, other.uniform(cells))[0, 1]) < 0.05


def test_the_numbers_are_uniform_and_fill_53_bits() -> None:
    from scipy import stats

    numbers = KeyedRng(1).uniform(np.arange(50_000, dtype=np.int64))
    assert 0 <= numbers.min() < numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    scaled = numbers * 2.0**53
    np.testing.assert_array_equal(scaled, np.floor(scaled))
    assert (scaled % 2).mean() == pytest.approx(0.5, abs=0.02)


def test_cells_beyond_32_bits_and_years_before_christ_have_their_own_numbers() -> None:
    cells = np.array([5, 5 + 2**32, 5 + 2**33], np.int64)
    assert len(set(KeyedRng(1).uniform(cells))) == 3
    assert KeyedRng(1, year=-5).uniform(cells)[0] != KeyedRng(1, year=5).uniform(cells)[0]


@pytest.mark.parametrize("one", ["hilda-v1.0", "hilda-v1.0-f", "hilda-v2.0", "hilda-v2.1"])
def test_views_that_are_the_same(one: str) -> None:
    """By the published legends: v2 parts cropland further; code 44 of v1.0 is all forest, elsewhere broad-leaf."""
    typed = {"hilda-v1.0-f", "hilda-v2.0", "hilda-v2.1"}
    for other in legend_names():
        expected = one == other or {one, other} <= typed
        assert get_legend(one).same_view(get_legend(other)) == expected
    moved = get_legend(one)
    swapped = replace(moved, view=(*moved.view[1:], moved.view[0]))
    assert not swapped.same_view(moved)
