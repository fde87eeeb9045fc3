"""Static fields: means of fine cells, soil layers, categories and counts, compared with computations in numpy."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from adapter_files import write_fields
from pydantic import ValidationError

from ai4land_coupler.api import EARTH_RADIUS, Box, DataError, FieldError, LatLonGrid, Request
from ai4land_static import means
from ai4land_static.options import SoilLayers
from ai4land_static.plugin import StaticOptions, static

#: Fine cells of 0.05 degrees around 50-54 N, 3 W to 3 E.
LAT = 50 + 0.05 * (np.arange(80) + 0.5)
LON = -3 + 0.05 * (np.arange(120) + 0.5)
Y, X = np.meshgrid(LAT, LON, indexing="ij")
COARSE = LatLonGrid(-2.0, 0.25, 16, 53.5, -0.25, 12)
ROUGH = np.random.default_rng(11).random(Y.shape)
SHARE = {"units": "1"}


def adapter_of(path, **options):
    return static(StaticOptions(path=path, **options))


def read(path, *names, grid=COARSE, **options):
    return adapter_of(path, **options).read(Request(names, grid))


def brute_force(values, lat, lon, grid, parts=20):
    """Area-weighted mean over each target cell, by sampling it at many points of equal share in sin(lat) and lon."""
    share = (np.arange(parts) + 0.5) / parts
    out = np.full(grid.shape, np.nan)
    edges = np.sin(np.deg2rad(grid.lat_edges))
    for i in range(grid.nlat):
        y = np.rad2deg(np.arcsin(edges[i] + (edges[i + 1] - edges[i]) * share))
        rows = np.abs(y[:, None] - lat[None, :]).argmin(axis=1)
        for j in range(grid.nlon):
            x = grid.lon0 + grid.dlon * (j + share)
            cols = np.abs((x[:, None] - lon[None, :] + 180) % 360 - 180).argmin(axis=1)
            out[i, j] = np.nanmean(values[np.ix_(rows, cols)])
    return out


def test_coarse_cells_get_the_mean_of_the_fine_ones_by_area(tmp_path):
    ds = read(write_fields(tmp_path / "a.nc", {"clay": (ROUGH, SHARE)}, LAT, LON), "clay")
    inside = ROUGH[10:70, 20:100]  # 50.5-53.5 N, 2 W to 2 E
    weight = np.diff(np.sin(np.deg2rad(50 + 0.05 * np.arange(10, 71))))[:, None]
    total = (inside * weight).reshape(12, 5, 16, 5).sum(axis=(1, 3))
    expected = total / (weight * np.ones(80)).reshape(12, 5, 16, 5).sum(axis=(1, 3))
    np.testing.assert_allclose(ds.clay, expected[::-1], rtol=1e-6)
    assert ds.clay.attrs["resampling"] == "mean over the cell"
    assert ds.attrs["quality"] == {"outside": 0}


def test_cells_count_by_their_overlap_if_edges_differ(tmp_path):
    path = write_fields(tmp_path / "a.nc", {"clay": (ROUGH, SHARE)}, LAT, LON)
    grid = LatLonGrid(-1.987, 0.2371, 7, 53.111, -0.3119, 5)
    found = read(path, "clay", grid=grid).clay.values
    np.testing.assert_allclose(found, brute_force(ROUGH, LAT, LON, grid, parts=400), atol=2e-3)
    part = read(path, "clay", grid=grid.sub(Box(1, 4, 2, 6))).clay.values
    np.testing.assert_allclose(part, found[1:4, 2:6], rtol=1e-6)


def test_a_board_of_two_values_does_not_alias(tmp_path):
    board = (np.add.outer(np.arange(80), np.arange(120)) % 2).astype(float)
    path = write_fields(tmp_path / "a.nc", {"clay": (board, SHARE)}, LAT, LON)
    np.testing.assert_allclose(read(path, "clay").clay, 0.5, atol=0.03)
    fine = read(path, "clay", grid=LatLonGrid.from_centres(LON, LAT))
    assert fine.clay.attrs["resampling"] == "bilinear"
    np.testing.assert_allclose(fine.clay, board, atol=1e-9)


def test_the_method_changes_where_source_cells_are_half_as_long(tmp_path):
    path = write_fields(tmp_path / "a.nc", {"clay": (ROUGH, SHARE)}, LAT, LON)
    for step, method in ((0.1, "bilinear"), (0.11, "mean over the cell")):
        grid = LatLonGrid(-1.0, step, 5, 52.0, -step, 5)
        assert read(path, "clay", grid=grid).clay.attrs["resampling"] == method


@pytest.mark.parametrize("west", [-180.0, 0.0])
@pytest.mark.parametrize("seam", [-180.0, 0.0, 90.0])
def test_the_global_integral_is_conserved_for_any_first_longitude(tmp_path, west, seam, monkeypatch):
    lat, lon = -89.5 + np.arange(180), west + 0.5 + np.arange(360)
    values = np.random.default_rng(3).random((180, 360))
    path = write_fields(tmp_path / "a.nc", {"sand": (values, SHARE)}, lat, lon)
    grid = LatLonGrid(seam, 7.5, 48, 90.0, -7.5, 24)
    found = read(path, "sand", grid=grid).sand.values
    bands = np.diff(np.sin(np.deg2rad(np.arange(-90, 91))))
    mean = (values.mean(axis=1) * bands).sum() / 2
    assert float((found * grid.row_area[:, None]).sum() / grid.row_area.sum() / 48) == pytest.approx(mean, rel=1e-6)
    place = np.roll(values, round(west - seam), axis=1)  # columns from `seam` on
    ten = brute_force(place, lat, seam + 0.5 + np.arange(360), grid.sub(Box(10, 11, 0, 48)), parts=90)
    np.testing.assert_allclose(found[10], ten[0], atol=0.01)
    monkeypatch.setattr(means, "BLOCK", 3000)
    np.testing.assert_array_equal(read(path, "sand", grid=grid).sand.values, found)


def test_a_cell_has_a_mean_if_data_cover_half_of_it(tmp_path):
    values = np.full(Y.shape, 0.25)
    values[:, :62] = np.nan  # everything west of 0.1 E
    ds = read(write_fields(tmp_path / "a.nc", {"clay": (values, SHARE)}, LAT, LON), "clay")
    present = COARSE.lon > 0.1  # the cell from 0 to 0.25 E is covered by 60 %
    np.testing.assert_array_equal(np.isfinite(ds.clay[0]), present)
    np.testing.assert_allclose(ds.clay.values[:, present], 0.25)


def test_cells_outside_the_file_are_missing_and_counted(tmp_path):
    path = write_fields(tmp_path / "a.nc", {"clay": (ROUGH, SHARE)}, LAT, LON)
    grid = LatLonGrid(2.0, 0.5, 6, 52.0, -0.5, 2)
    ds = read(path, "clay", grid=grid)
    np.testing.assert_array_equal(np.isnan(ds.clay), [[False, False, True, True, True, True]] * 2)
    assert ds.attrs["quality"] == {"outside": 8}
    assert read(path, "clay", grid=LatLonGrid(170.0, 0.5, 2, 52.0, -0.5, 2)).clay.isnull().all()


def test_slopes_are_averaged_instead_of_the_gradient(tmp_path):
    # ridges from north to south, eight cells wide: east and west slopes cancel in the mean gradient
    rise = 100.0
    ridges = rise * np.abs((np.arange(120) % 16) - 8.0)
    path = write_fields(tmp_path / "a.nc", {"elevation": (ridges * np.ones(Y.shape), {"units": "m"})}, LAT, LON)
    grid = LatLonGrid(-2.2, 0.8, 5, 53.5, -0.8, 3)  # whole ridges
    ds = read(path, "slope", "aspect", grid=grid)
    width = EARTH_RADIUS * np.deg2rad(0.05) * np.cos(np.deg2rad(grid.lat))
    angle = np.rad2deg(np.arctan(rise / width))  # but at crest and foot, 2 of 16 cells, where the difference is 0
    np.testing.assert_allclose(ds.slope, np.broadcast_to((angle * 14 / 16)[:, None], grid.shape), rtol=0.01)
    # one flank alone faces east
    flank = LatLonGrid(-2.95, 0.25, 1, 53.5, -0.8, 3)
    falling = ridges[2:6]
    assert (np.diff(falling) < 0).all()
    np.testing.assert_allclose(read(path, "aspect", grid=flank).aspect, 90.0, atol=0.5)


def test_the_aspect_of_a_file_is_averaged_as_a_direction(tmp_path):
    values = np.where(np.arange(LON.size) % 2, 350.0, 10.0) * np.ones(Y.shape)
    path = write_fields(tmp_path / "a.nc", {"aspect": (values, {"units": "degrees"})}, LAT, LON)
    grid = LatLonGrid(-2.0, 0.2, 8, 53.0, -0.2, 4)
    aspect = read(path, "aspect", grid=grid).aspect.values
    assert np.abs((aspect + 180) % 360 - 180).max() < 1e-3


def test_the_number_of_people_is_conserved_in_densities(tmp_path):
    people = np.round(1000 * ROUGH**8)
    path = write_fields(tmp_path / "a.nc", {"pop": (people, {"units": "Persons"})}, LAT, LON)
    spec = {"population_density": {"name": "pop", "kind": "count"}}
    grid = LatLonGrid(-3.0, 0.5, 12, 54.0, -0.5, 8)  # the whole file
    ds = read(path, "population_density", grid=grid, variables=spec)
    assert ds.population_density.attrs["units"] == "m-2"
    total = float((ds.population_density.values.astype(np.float64) * grid.row_area[:, None]).sum())
    assert total == pytest.approx(people.sum(), rel=1e-5)
    with pytest.raises(FieldError, match="wrong units"):
        adapter_of(path, variables={"population_density": "pop"})


def test_densities_of_people_are_converted(tmp_path):
    people = 250 * np.ones(Y.shape)
    path = write_fields(tmp_path / "a.nc", {"population_density": (people, {"units": "km-2"})}, LAT, LON)
    np.testing.assert_allclose(read(path, "population_density").population_density, 2.5e-4, rtol=1e-6)
    path = write_fields(tmp_path / "b.nc", {"gpw": (people, {"units": "Persons per km2"})}, LAT, LON)
    spec = {"population_density": {"name": "gpw", "file_units": "km-2"}}
    np.testing.assert_allclose(read(path, "population_density", variables=spec).population_density, 2.5e-4, rtol=1e-6)


def test_a_land_mask_becomes_the_share_of_land(tmp_path):
    land = {"units": "1", "standard_name": "land_area_fraction"}
    path = write_fields(tmp_path / "a.nc", {"mask": ((X > 0.1).astype(float), land)}, LAT, LON)
    found = read(path, "land_fraction").land_fraction.values
    np.testing.assert_allclose(found[0], [0] * 8 + [0.6] + [1] * 7, atol=1e-6)


@pytest.mark.parametrize("step", [0.017, 0.05, 0.25])
def test_categories_are_those_of_the_cell_with_the_centre(tmp_path, step):
    zones = np.random.default_rng(5).integers(1, 30, Y.shape).astype(float)
    zones[7, 9] = -1
    flags = {"flag_values": np.arange(1, 31), "flag_meanings": "Af Am Aw", "missing_value": -1.0}
    path = write_fields(tmp_path / "a.nc", {"zone": (zones, flags)}, LAT, LON)
    spec = {"climate_zone": {"name": "zone", "kind": "category"}}
    grid = LatLonGrid(-2.99, step, 40, 53.9, -step, 15)
    ds = read(path, "climate_zone", grid=grid, variables=spec, half_cell="interpolate")
    lon = grid.lon[grid.lon < 3]
    rows = np.floor((grid.lat - 50) / 0.05).astype(int)
    cols = np.floor((lon + 3) / 0.05).astype(int)
    expected = np.where(zones == -1, np.nan, zones)[np.ix_(rows, cols)]
    np.testing.assert_array_equal(ds.climate_zone.values[:, : lon.size], expected)
    assert ds.climate_zone.attrs["flag_meanings"] == "Af Am Aw"
    assert ds.climate_zone.attrs["resampling"] == "nearest cell"
    assert ds.climate_zone.dtype == np.float32


def test_categories_that_were_interpolated_are_refused(tmp_path):
    zones = np.full(Y.shape, 3.0)
    zones[40, 60] = 3.5
    path = write_fields(tmp_path / "a.nc", {"zone": (zones, {"units": "1"})}, LAT, LON)
    with pytest.raises(DataError, match="cannot have in 1 cells"):
        read(path, "climate_zone", variables={"climate_zone": {"name": "zone", "kind": "category"}})
    zones[40, 60] = np.inf
    path = write_fields(tmp_path / "b.nc", {"bulk": (zones, {"units": "kg m-3"})}, LAT, LON)
    with pytest.raises(DataError, match="cannot have in 1 cells") as error:
        read(path, "bulk", variables={"bulk": "bulk"})
    assert "inf" in str(error.value)


# --- soil layers

DEPTHS = (0, 5, 15, 30, 60, 100, 200)  # SoilGrids
NAMES = tuple(f"clay_{a}-{b}cm" for a, b in pairwise(DEPTHS))


def soil(path, per_cent=True):
    """Six layers of 10, 20 ... 60 % clay."""
    fields = {
        name: (np.full(Y.shape, 10.0 * (i + 1)) * (1 if per_cent else 0.01), {"units": "%" if per_cent else "1"})
        for i, name in enumerate(NAMES)
    }
    return write_fields(path, fields, LAT, LON)


def test_root_weights_are_those_of_the_published_profile():
    # Jackson et al. 1996, abstract: 30, 50 and 75 % of the roots in the upper 10, 20 and 40 cm
    shares = SoilLayers(variables={"clay": ("a", "b", "c", "d")}, depths=(0, 10, 20, 40, 1e4)).normalised
    np.testing.assert_allclose(np.cumsum(shares), [0.30, 0.50, 0.75, 1.0], atol=0.01)
    tundra = SoilLayers(variables={"clay": ("a", "b")}, depths=(0, 30, 1e4), beta=0.913).normalised
    assert 0.8 < tundra[0] < 0.95  # "80-90 % of roots in the top 30 cm"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("thickness", (5 * 10 + 10 * 20 + 15 * 30 + 30 * 40 + 40 * 50 + 100 * 60) / 200),
        ((1, 1, 0, 0, 0, 0), 15.0),
        ((2, 0, 0, 0, 0, 6), 47.5),
        (
            "rootzone",
            sum(10 * (i + 1) * (0.966**a - 0.966**b) for i, (a, b) in enumerate(pairwise(DEPTHS))) / (1 - 0.966**200),
        ),
    ],
)
@pytest.mark.parametrize("grid", [COARSE, LatLonGrid(-1.0, 0.03, 9, 52.0, -0.03, 9)])
def test_soil_layers_are_averaged_over_depth(tmp_path, weights, expected, grid):
    layers = {"variables": {"clay": NAMES}, "depths": DEPTHS, "weights": weights}
    path = soil(tmp_path / "a.nc")
    np.testing.assert_allclose(read(path, "clay", layers=layers, grid=grid).clay, expected / 100, rtol=1e-5)


def test_layers_and_other_fields_together(tmp_path):
    fields = {name: (np.full(Y.shape, 0.1 * (i + 1)), SHARE) for i, name in enumerate(NAMES)}
    fields["elevation"] = (Y, {"units": "m"})
    path = write_fields(tmp_path / "a.nc", fields, LAT, LON)
    adapter = adapter_of(path, layers={"variables": {"clay": NAMES}, "depths": DEPTHS})
    assert set(adapter.fields()) == {"elevation", "slope", "aspect", "clay"}
    text = adapter.describe()
    for part in (
        "80 x 120 cells of 0.05 x 0.05 degrees",
        "0.1590 'clay_0-5cm'",
        "elevation (m): continuous",
        "derived",
    ):
        assert part in text


def test_a_layer_that_is_missing_makes_the_mean_missing(tmp_path):
    fields = {name: (np.full(Y.shape, 0.3), SHARE) for name in NAMES}
    holes = np.full(Y.shape, 0.3)
    holes[:, :60] = np.nan
    fields[NAMES[-1]] = (holes, SHARE)
    path = write_fields(tmp_path / "a.nc", fields, LAT, LON)
    ds = read(path, "clay", layers={"variables": {"clay": NAMES}, "depths": DEPTHS})
    np.testing.assert_array_equal(np.isnan(ds.clay[0]), COARSE.lon < 0)


def test_the_file_of_a_url_is_read_and_several_files_are_refused(tmp_path):
    for name in ("a.nc", "b.nc"):
        path = write_fields(tmp_path / name, {"clay": (ROUGH, SHARE)}, LAT, LON)
    url = f"simplecache::file://{path}"
    ds = read(url, "clay")
    np.testing.assert_array_equal(ds.clay, read(path, "clay").clay)
    assert ds.attrs["source"] == "b.nc"
    with pytest.raises(DataError, match="'sand' is missing") as error:
        read(url, "sand")
    assert f"where: {url}" in str(error.value)
    with pytest.raises(DataError, match="matches several files") as error:
        adapter_of(tmp_path / "*.nc")
    assert "a.nc, b.nc" in str(error.value)


def test_invalid_layers_are_refused(tmp_path):
    path = soil(tmp_path / "a.nc")
    good = {"variables": {"clay": NAMES}, "depths": DEPTHS}
    for wrong in (
        {"depths": DEPTHS[:-1]},
        {"depths": DEPTHS[::-1]},
        {"weights": (1, 2)},
        {"weights": (0,) * 6},
        {"weights": (-1, 1, 1, 1, 1, 1)},
        {"weights": "roots"},
        {"beta": 1.0},
        {"unit": "m"},
    ):
        with pytest.raises(ValidationError):
            adapter_of(path, layers={**good, **wrong})
    with pytest.raises(DataError, match="'clay_0-5' is missing") as error:
        adapter_of(path, layers={**good, "variables": {"clay": ("clay_0-5", *NAMES[1:])}})
    assert "clay_0-5cm" in str(error.value)
    with pytest.raises(FieldError, match="wrong units"):
        adapter_of(path, layers={**good, "variables": {"elevation": NAMES}})


@pytest.mark.real_data
def test_the_real_elevation_keeps_its_mean(sample_data):
    from netCDF4 import Dataset

    path = sample_data / "static" / "elevation_1arcmin_Celtic.nc"
    grid = LatLonGrid(-6.5, 0.5, 12, 54.5, -0.5, 14)
    ds = read(path, "elevation", "slope", grid=grid)
    assert ds.elevation.attrs["resampling"] == "mean over the cell"
    with Dataset(path) as source:
        (name,) = (v for v in source.variables if source[v].ndim == 2)
        lat, lon = (np.asarray(source[d][:], float) for d in source[name].dimensions)
        values = np.ma.filled(source[name][:].astype(float), np.nan)
    if lat.size != values.shape[0]:
        lat, lon = lon, lat
    expected = brute_force(values, lat, lon, grid, parts=60)
    np.testing.assert_allclose(ds.elevation, expected, atol=8)
    assert float(ds.slope.mean()) > 0.2
