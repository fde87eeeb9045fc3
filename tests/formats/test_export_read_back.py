"""Reads exported files with xarray, rasterio, GDAL, CDO, NCO, our own adapters and the compliance checker."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import needs
import netCDF4
import numpy as np
import pytest
import xarray as xr
from export_stores import GRID, HOST_CELLS, LEGEND, YEARS, codes_of, host_fractions, lai_of

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.formats import export


def output_of(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def maps(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(store, "netcdf", tmp_path_factory.mktemp("netcdf") / "maps.nc")[0]


@pytest.fixture(scope="module")
def states(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(store, "luh2", tmp_path_factory.mktemp("luh2") / "multiple-states.nc")[0]


@pytest.fixture(scope="module")
def cmip(store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    files = export(store, "cmip", tmp_path_factory.mktemp("cmip"), resolution=0.25)
    return {path.name.split("_")[0]: path for path in files}


@pytest.fixture(scope="module")
def tiffs(store: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return export(store, "geotiff", tmp_path_factory.mktemp("tif"))


def class_area(year: int) -> np.ndarray:
    """Area of each class, calculated from the map only (m2)."""
    classes = LEGEND.to_view(codes_of(year))
    area = np.broadcast_to(GRID.row_area[:, None], GRID.shape)
    return np.bincount(classes[classes >= 0].astype(int), weights=area[classes >= 0], minlength=7)


# ---- netcdf -------------------------------------------------------------------------------------------------------


def test_netcdf_by_xarray(maps: Path) -> None:
    with xr.open_dataset(maps) as data:
        assert data.time.dt.year.values.tolist() == list(YEARS)
        assert (data.time.dt.dayofyear == 1).all()
        ends = data.time_bnds.values[:, 1].astype("datetime64[D]").astype(str).tolist()
        assert ends == ["2016-01-01", "2019-01-01", "2022-01-01"]
        assert data.land_class.values.tolist() == list(LEGEND.classes)
        for step, year in enumerate(YEARS):
            np.testing.assert_array_equal(data.land_cover[step], codes_of(year))
            np.testing.assert_array_equal(data.lai[step], lai_of(year))
            np.testing.assert_allclose(data.class_area[step], class_area(year), rtol=1e-12)
        meanings = data.land_cover.flag_meanings.split()
        named = dict(zip(data.land_cover.flag_values.tolist(), meanings, strict=True))
        assert named[11] == "urban"
        assert named[44] == "forest_deciduous_broad"
        np.testing.assert_allclose(data.lat_bnds[:, 0], GRID.lat_edges[:-1])
        np.testing.assert_allclose(data.cell_area, np.broadcast_to(GRID.row_area[:, None], GRID.shape))


def test_netcdf_is_compressed_and_chunked_as_the_store(maps: Path) -> None:
    with netCDF4.Dataset(maps) as file:
        assert file["land_cover"].chunking() == [1, 32, 32]
        assert file["land_cover"].filters()["zlib"]
        assert file["lai"].chunking() == [1, 1, 32, 32]


def test_netcdf_one_file_a_year(store: Path, tmp_path: Path) -> None:
    files = export(store, "netcdf", tmp_path / "map_{year}.nc", years="2018:")
    assert [path.name for path in files] == ["map_2018.nc", "map_2021.nc"]
    with xr.open_dataset(files[1]) as data:
        np.testing.assert_array_equal(data.land_cover[0], codes_of(2021))


def test_netcdf_of_a_backward_run_has_rising_time(backward_store: Path, tmp_path: Path) -> None:
    grid = LatLonGrid(GRID.lon0, GRID.dlon, GRID.nlon, 51.0, GRID.dlon, GRID.nlat)
    with xr.open_dataset(export(backward_store, "netcdf", tmp_path / "m.nc")[0]) as data:
        assert data.time.dt.year.values.tolist() == [1850, 1851]
        np.testing.assert_array_equal(data.land_cover[1], codes_of(1851, grid))


def test_host_fields(store: Path, tmp_path: Path) -> None:
    path = export(store, "netcdf", tmp_path / "icon.nc", host="icon")[0]
    with xr.open_dataset(path) as data:
        assert data.land_cover_fraction.dims == ("time", "land_class", "cell")
        np.testing.assert_array_equal(data.land_cover_fraction[1], host_fractions(2018))
        np.testing.assert_array_equal(data.areacella, np.linspace(1e9, 2e9, HOST_CELLS))
        assert data.land_cover_fraction.coords["lat"].shape == (HOST_CELLS,)


def test_netcdf_by_cdo(maps: Path) -> None:
    cdo = needs.program("cdo")
    assert output_of(cdo, "-s", "showyear", maps).split() == [str(year) for year in YEARS]
    forest = [code for code in LEGEND.codes if 40 <= code <= 45]
    picked = " || ".join(f"(land_cover=={code})" for code in forest).replace(" ", "")
    # CDO uses the cell measure of the file as area.
    sums = output_of(cdo, "-s", "outputf,%.12e", "-fldint", f"-expr,a={picked}", maps).split()
    expected = [class_area(year)[LEGEND.classes.index("forest")] for year in YEARS]
    np.testing.assert_allclose([float(text) for text in sums], expected, rtol=1e-6)


def test_netcdf_by_nco(maps: Path, tmp_path: Path) -> None:
    header = output_of(needs.program("ncks"), "-m", "-v", "land_cover", maps)
    assert "ubyte land_cover(time,lat,lon)" in header
    assert 'land_cover:grid_mapping = "crs"' in header
    output_of(needs.program("ncwa"), "-O", "-v", "lai", "-w", "cell_area", "-a", "lat,lon", maps, tmp_path / "mean.nc")
    area = np.broadcast_to(GRID.row_area[:, None], GRID.shape)
    with xr.open_dataset(tmp_path / "mean.nc") as mean:
        for step, year in enumerate(YEARS):
            leaves = lai_of(year).astype(np.float64)
            expected = np.nansum(leaves * area, axis=(1, 2)) / (np.isfinite(leaves) * area).sum(axis=(1, 2))
            np.testing.assert_allclose(mean.lai[step], expected, rtol=1e-5)


def test_netcdf_by_gdal(maps: Path) -> None:
    facts = json.loads(output_of(needs.program("gdalinfo"), "-json", f"NETCDF:{maps}:land_cover"))
    expected = (GRID.lon0, GRID.dlon, 0.0, GRID.lat0, 0.0, GRID.dlat)
    np.testing.assert_allclose(facts["geoTransform"], expected, atol=1e-9)
    assert facts["size"] == [GRID.nlon, GRID.nlat]
    assert len(facts["bands"]) == len(YEARS)


# ---- geotiff ------------------------------------------------------------------------------------------------------


def test_geotiff_by_our_own_adapter(tiffs: list[Path]) -> None:
    from ai4land_coupler.api import Request
    from ai4land_hilda.plugin import HildaOptions, hilda

    assert tiffs[0].name == "hilda_plus_2015_states_ai4land-v1-0-f_wgs84-nn.tif"
    pattern = tiffs[0].with_name(tiffs[0].name.replace("2015", "{year}"))
    adapter = hilda(HildaOptions(path=pattern, legend="hilda-v1.0-f"))
    data = adapter.read(Request(("land_cover",), GRID, YEARS))
    for step, year in enumerate(YEARS):
        np.testing.assert_array_equal(data.land_cover[step], codes_of(year))


def test_geotiff_by_gdal(tiffs: list[Path]) -> None:
    facts = json.loads(output_of(needs.program("gdalinfo"), "-json", tiffs[1]))
    expected = (GRID.lon0, GRID.dlon, 0.0, GRID.lat0, 0.0, GRID.dlat)
    np.testing.assert_allclose(facts["geoTransform"], expected, rtol=1e-12)
    assert facts["metadata"]["IMAGE_STRUCTURE"]["COMPRESSION"] == "LZW"
    (band,) = facts["bands"]
    assert (band["type"], band["block"], band["noDataValue"]) == ("Byte", [256, 256], 99.0)
    entries = band["colorTable"]["entries"]
    for item in LEGEND.view:
        colour = [int(item.colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert all(entries[code] == [*colour, 255] for code in item.codes)


def test_geotiff_has_north_up(backward_store: Path, tmp_path: Path) -> None:
    import rasterio

    grid = LatLonGrid(GRID.lon0, GRID.dlon, GRID.nlon, 51.0, GRID.dlon, GRID.nlat)
    (path,) = export(backward_store, "geotiff", tmp_path, years="1850")
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 4326
        assert file.bounds.top == pytest.approx(grid.lat_edges[-1])
        np.testing.assert_array_equal(file.read(1), codes_of(1850, grid)[::-1])


# ---- luh2 ---------------------------------------------------------------------------------------------------------


def test_luh2_layout(states: Path) -> None:
    with netCDF4.Dataset(states) as file:
        assert file["time"].units == "years since 2015-01-01 0:0:0"
        assert file["time"].calendar == "noleap"
        assert file["time"][:].tolist() == [0, 3, 6]
        assert file["urban"].dimensions == ("time", "lat", "lon")
        assert file["urban"].dtype == np.float32
        assert file["urban"]._FillValue == np.float32(1e20)
        assert (np.diff(file["lat"][:]) == -0.25).all()
        # The lattice of the published files: 89.875, 89.625 ... and -179.875 ...
        assert ((file["lat"][:] - 0.125) % 0.25 == 0).all()
        assert ((file["lon"][:] - 0.125) % 0.25 == 0).all()
        names = {"urban", "crop", "pastr", "forest", "open"}
        assert names < set(file.variables)
        assert file["forest"].luh2_states.split()[:2] == ["primf", "secdf"]


def test_luh2_areas(states: Path) -> None:
    with xr.open_dataset(states, decode_times=False) as data:
        grid = LatLonGrid.from_centres(data.lon.values, data.lat.values)
        for step, year in enumerate(YEARS):
            areas = dict(zip(LEGEND.classes, class_area(year), strict=True))
            expected = {
                "urban": areas["urban"],
                "crop": areas["cropland"],
                "pastr": areas["pasture"],
                "forest": areas["forest"],
                "open": areas["grass_shrub"] + areas["other"],
            }
            for name, area in expected.items():
                total = float((data[name][step].astype("f8") * grid.row_area[:, None]).sum())
                assert total == pytest.approx(area, rel=1e-6)


def test_luh2_by_our_own_adapter(states: Path) -> None:
    from ai4land_coupler.api import Request
    from ai4land_luh2.plugin import Luh2Options, luh2

    adapter = luh2(Luh2Options(states=states))
    grid = adapter.grid()
    data = adapter.read(Request(("urban", "pastr", "crop"), grid, YEARS))
    for name, land_class in (("urban", "urban"), ("pastr", "pasture"), ("crop", "cropland")):
        for step, year in enumerate(YEARS):
            area = float((data[name][step].astype("f8") * grid.row_area[:, None]).sum())
            assert area == pytest.approx(class_area(year)[LEGEND.classes.index(land_class)], rel=1e-6)


def test_luh2_by_cdo(states: Path) -> None:
    assert output_of(needs.program("cdo"), "-s", "showname", states).split() == [
        "urban",
        "crop",
        "pastr",
        "forest",
        "open",
    ]


# ---- cmip ---------------------------------------------------------------------------------------------------------

MADE_OF = {
    "treeFrac": ("forest",),
    "grassFrac": ("grass_shrub",),
    "cropFrac": ("cropland",),
    "pastureFrac": ("pasture",),
    "baresoilFrac": ("other",),
    "vegFrac": ("forest", "grass_shrub", "cropland", "pasture"),
    "residualFrac": ("urban", "water"),
}


def area_of(year: int, *classes: str) -> float:
    return float(sum(class_area(year)[LEGEND.classes.index(name)] for name in classes))


def test_cmip_by_cdo(cmip: dict[str, Path]) -> None:
    cdo = needs.program("cdo")
    for name, classes in MADE_OF.items():
        sums = output_of(cdo, "-s", "outputf,%.12e", "-fldint", cmip[name]).split()
        np.testing.assert_allclose([float(t) / 100 for t in sums], [area_of(y, *classes) for y in YEARS], rtol=1e-6)


def test_cmip_fraclut(cmip: dict[str, Path]) -> None:
    with xr.open_dataset(cmip["fracLut"]) as data:
        lut = data.fracLut
        assert lut.dims == ("time", "landuse", "lat", "lon")
        assert data.landuse.values.tolist() == ["primary_and_secondary_land", "pastures", "crops", "urban"]
        assert (lut.units, lut.standard_name) == ("%", "area_fraction")
        assert lut.cell_methods == "area: mean where land over all_area_types time: point"
        # The map of 1 January is the state at the end of the year before.
        assert data.time.values[0] == np.datetime64("2015-01-01")
        assert "bounds" not in data.time.attrs
        total = (lut.astype("f8") * data.areacella / 100).sum(("lat", "lon"))
        expected = [("forest", "grass_shrub", "other"), ("pasture",), ("cropland",), ("urban",)]
        for step, year in enumerate(YEARS):
            np.testing.assert_allclose(total[step], [area_of(year, *classes) for classes in expected], rtol=1e-6)


def test_cmip_landcoverfrac_sums_to_the_land(cmip: dict[str, Path]) -> None:
    with xr.open_dataset(cmip["landCoverFrac"]) as data:
        assert data.type.values.tolist() == list(LEGEND.classes)
        total = data.landCoverFrac.sum("type", min_count=1)
        assert float(total.max()) == pytest.approx(100, abs=1e-4)
        assert int(total.isnull().sum()) == int(data.landCoverFrac[:, 0].isnull().sum())
        assert data.time.dt.year.values.tolist() == list(YEARS)


def test_cmip_names_the_source_of_its_definitions(cmip: dict[str, Path]) -> None:
    with netCDF4.Dataset(cmip["treeFrac"]) as file:
        assert file.defined_in == "CMIP6 table Eyr, data request 01.00.33"
        assert str(file["type"][...]) == "trees"
        assert file["treeFrac"].coordinates == "type"
        assert "shrub" not in getattr(file["treeFrac"], "comment", "")
    with netCDF4.Dataset(cmip["grassFrac"]) as file:
        assert "shrubs are in here" in file["grassFrac"].comment


def test_cmip_lai(cmip: dict[str, Path]) -> None:
    """The mean of the whole region is the same from the map and from the coarse grid with its land areas."""
    assert cmip["lai"].name == "lai_mon_ai4land_gr_201501-202112.nc"
    with xr.open_dataset(cmip["lai"]) as data, xr.open_dataset(cmip["landCoverFrac"]) as cover:
        assert data.lai.cell_methods == "area: mean where land time: mean"
        assert data.time.dt.month.values.tolist() == list(range(1, 13)) * 3
        assert data.time_bnds.values[13].astype("datetime64[D]").astype(str).tolist() == ["2018-02-01", "2018-03-01"]
        land = cover.landCoverFrac.astype("f8").sum("type") * cover.areacella / 100
        area = np.broadcast_to(GRID.row_area[:, None], GRID.shape)
        for step, year in enumerate(YEARS):
            leaves = lai_of(year).astype(np.float64)
            known = np.isfinite(leaves[0])
            expected = (np.nan_to_num(leaves) * area).sum(axis=(1, 2)) / area[known].sum()
            months = data.lai[12 * step : 12 * step + 12].astype("f8")
            found = (months * land[step].values).sum(("lat", "lon")) / float(land[step].sum())
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cmip_on_a_host(store: Path, tmp_path: Path) -> None:
    files = {p.name.split("_")[0]: p for p in export(store, "cmip", tmp_path, host="icon")}
    with xr.open_dataset(files["treeFrac"]) as data:
        for step, year in enumerate(YEARS):
            expected = 100 * host_fractions(year)[LEGEND.classes.index("forest")]
            np.testing.assert_allclose(data.treeFrac[step, :-1], expected[:-1], rtol=1e-6)
            assert np.isnan(data.treeFrac[step, -1])
    sums = output_of(needs.program("cdo"), "-s", "outputf,%.12e", "-fldint", files["treeFrac"])
    areas = np.linspace(1e9, 2e9, HOST_CELLS)
    expected_sums = [(host_fractions(y)[LEGEND.classes.index("forest")] * areas).sum() for y in YEARS]
    np.testing.assert_allclose([float(t) / 100 for t in sums.split()], expected_sums, rtol=1e-6)


# ---- conventions --------------------------------------------------------------------------------------------------


def test_compliance(maps: Path, states: Path, cmip: dict[str, Path], store: Path, tmp_path: Path) -> None:
    """There is no error of CF-1.11 in any export, and all highly recommended attributes of ACDD-1.3 exist."""
    needs.package("compliance_checker", "pip install ai4land_coupler[dev]")
    from compliance_checker.base import BaseCheck
    from compliance_checker.suite import CheckSuite

    CheckSuite.load_all_available_checkers()
    suite = CheckSuite()
    host = export(store, "netcdf", tmp_path / "icon.nc", host="icon")
    on_host = export(store, "cmip", tmp_path / "cmip", host="icon")
    for path in (maps, states, *cmip.values(), *host, on_host[0], on_host[2]):
        data = suite.load_dataset(str(path))
        failed = []
        results = suite.run_all(data, ["cf:1.11", "acdd:1.3"], skip_checks=[])
        for checker, (groups, errors) in results.items():
            assert not errors, (path.name, checker, errors)
            failed += [
                (checker, group.name, group.msgs)
                for group in groups
                if group.weight >= BaseCheck.HIGH and group.value[0] < group.value[1]
            ]
        data.close()
        # CF has no standard name for a total area by class; coordinates and measures have no content type
        assert [item for item in failed if item[0] == "cf:1.11"] == [], path.name
        if path == maps:
            assert [item[1] for item in failed if not item[1].startswith("variable")] == []


# ---- a real run ---------------------------------------------------------------------------------------------------


def test_every_export_of_a_real_run_has_the_areas_of_its_store(twin_config: dict[str, Any], tmp_path: Path) -> None:
    from ai4land_coupler import Simulation
    from ai4land_coupler.config.sections import parse_config
    from ai4land_coupler.store.output import open_store

    twin_config["time"] = {"start": 2015, "stop": 2016}
    twin_config["predictors"] = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
    twin_config.pop("hosts")
    Simulation(parse_config(twin_config, tmp_path, "test")).run()
    store = Path(twin_config["output"]["store"])
    with open_store(store) as data:
        forest = data.class_area.sel(land_class="forest").values
    maps = export(store, "netcdf", tmp_path / "maps.nc")[0]
    (states,) = export(store, "luh2", tmp_path / "states.nc")
    cmip = {p.name.split("_")[0]: p for p in export(store, "cmip", tmp_path / "cmip", resolution=1.0)}
    export(store, "geotiff", tmp_path / "tif")
    codes = next(item.codes for item in LEGEND.view if item.name == "forest")
    with xr.open_dataset(maps) as data:
        found = (data.land_cover.isin(codes) * data.cell_area).sum(("lat", "lon"))
        np.testing.assert_allclose(found, forest, rtol=1e-12)
    with xr.open_dataset(states, decode_times=False) as data:
        grid = LatLonGrid.from_centres(data.lon.values, data.lat.values)
        found = (data.forest.astype("f8") * grid.row_area[:, None]).sum(("lat", "lon"))
        np.testing.assert_allclose(found, forest, rtol=1e-6)
    with xr.open_dataset(cmip["treeFrac"]) as data:
        found = (data.treeFrac.astype("f8") * data.areacella / 100).sum(("lat", "lon"))
        np.testing.assert_allclose(found, forest, rtol=1e-6)
