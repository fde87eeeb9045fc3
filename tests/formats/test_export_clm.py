"""CLM's land-use time series: first year is the surface data set, all years sum to 100, changes are from the maps."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from click.testing import CliRunner
from export_stores import GRID, LEGEND, YEARS, codes_of, make_store

from ai4land_coupler.cli import cli
from ai4land_coupler.core.grid import EARTH_RADIUS
from ai4land_coupler.errors import ConfigError, DataError
from ai4land_coupler.formats import export

LON, LAT = np.arange(356.0, 360.0, 0.5), np.arange(51.5, 54.5, 0.5)  # 0 to 360, as in CLM
SHAPE = (LAT.size, LON.size)


def make_surface(path: Path, seed: int = 1, **changes: np.ndarray) -> Path:
    """A small fsurdat: random land units and types, a cell with glacier only, and a cell without crops."""
    rng = np.random.default_rng(seed)
    units = rng.dirichlet(np.full(8, 0.7), SHAPE) * 100
    units[0, 0], units[2, 3, 1] = [0] * 7 + [100], 0
    units[2, 3] *= 100 / units[2, 3].sum()
    names = ("PCT_NATVEG", "PCT_CROP", "u0", "u1", "u2", "PCT_LAKE", "PCT_WETLAND", "PCT_GLACIER")
    values = dict(zip(names, np.moveaxis(units, -1, 0), strict=True))
    values["PCT_URBAN"] = np.stack([values.pop(f"u{i}") for i in range(3)])
    values["PCT_NAT_PFT"] = np.moveaxis(rng.dirichlet(np.full(15, 0.4), SHAPE), -1, 0) * 100
    values["PCT_CFT"] = np.moveaxis(rng.dirichlet([1, 1], SHAPE), -1, 0) * 100
    values["LONGXY"], values["LATIXY"] = np.meshgrid(LON, LAT)
    values["LANDFRAC_PFT"] = np.ones(SHAPE)
    values |= changes
    extra = {"PCT_URBAN": ("numurbl",), "PCT_NAT_PFT": ("natpft",), "PCT_CFT": ("cft",)}
    with netCDF4.Dataset(path, "w") as file:
        for name, size in {"lsmlat": LAT.size, "lsmlon": LON.size, "numurbl": 3, "natpft": 15, "cft": 2}.items():
            file.createDimension(name, size)
        file.createVariable("natpft", "i4", ("natpft",))[:] = np.arange(15)
        for name, array in values.items():
            file.createVariable(name, "f8", (*extra.get(name, ()), "lsmlat", "lsmlon"))[:] = array
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("clm")
    store, surface = make_store(folder / "run.zarr"), make_surface(folder / "fsurdat.nc")
    target = folder / "flanduse.nc"
    export(store, "clm", target, surface=surface)
    return store, surface, target


def test_the_first_year_is_the_surface_data_set(made: tuple[Path, Path, Path]):
    with netCDF4.Dataset(made[1]) as surface, netCDF4.Dataset(made[2]) as series:
        for name in ("PCT_CROP", "PCT_URBAN", "PCT_LAKE"):
            np.testing.assert_allclose(series[name][0], surface[name][:], atol=1e-6)
        # CLM also reads the types of a missing land unit. They can have any value.
        for name, unit in (("PCT_NAT_PFT", "PCT_NATVEG"), ("PCT_CFT", "PCT_CROP")):
            there = surface[unit][:] > 0
            np.testing.assert_allclose(series[name][0][:, there], surface[name][:][:, there], atol=1e-6)


def test_every_year_sums_to_100(made: tuple[Path, Path, Path]):
    with netCDF4.Dataset(made[1]) as surface, netCDF4.Dataset(made[2]) as series:
        assert list(series["YEAR"][:]) == list(series["time"][:]) == list(YEARS)
        np.testing.assert_allclose(series["PCT_NAT_PFT"][:].sum(axis=1), 100, atol=1e-6)
        np.testing.assert_allclose(series["PCT_CFT"][:].sum(axis=1), 100, atol=1e-6)
        units = series["PCT_CROP"][:] + series["PCT_URBAN"][:].sum(axis=1) + series["PCT_LAKE"][:]
        kept = surface["PCT_GLACIER"][:] + surface["PCT_WETLAND"][:]
        assert (units + kept <= 100 + 1e-6).all()
        for name in ("PCT_NAT_PFT", "PCT_CFT", "PCT_CROP", "PCT_URBAN", "PCT_LAKE"):
            np.testing.assert_array_equal(series[f"{name}_MAX"][:], series[name][:].max(axis=0))


def crops_of(year: int, row: int, col: int) -> tuple[float, float]:
    """Area of cropland and of all land in one cell of the surface data set, summed cell by cell (m2)."""
    west, south = LON[col] - 360 - 0.25, LAT[row] - 0.25
    view = LEGEND.to_view(codes_of(year))
    crops = land = 0.0
    if west + 0.5 < GRID.lon_edges[0] or south + 0.5 < GRID.lat_edges[-1]:
        return crops, land
    for j in range(GRID.nlat):
        low, high = sorted(GRID.lat_edges[j : j + 2])
        sines = np.sin(np.deg2rad(min(high, south + 0.5))) - np.sin(np.deg2rad(max(low, south)))
        for i in range(GRID.nlon):
            width = min(GRID.lon_edges[i + 1], west + 0.5) - max(GRID.lon_edges[i], west)
            if sines <= 0 or width <= 0 or view[j, i] < 0:
                continue
            area = EARTH_RADIUS**2 * sines * np.deg2rad(width)
            land += area
            crops += area * (view[j, i] == LEGEND.classes.index("cropland"))
    return crops, land


def test_changes_are_those_of_the_maps(made: tuple[Path, Path, Path]):
    """Crops of a cell are those of the surface data set plus the change of their share of the mapped land."""
    with netCDF4.Dataset(made[1]) as surface, netCDF4.Dataset(made[2]) as series:
        tried = 0
        for row, col in np.ndindex(SHAPE):
            (first, land_first), (last, land_last) = (crops_of(year, row, col) for year in (YEARS[0], YEARS[-1]))
            if land_first == 0 or series["CUT_BELOW_ZERO"][-1, row, col] > 0:
                continue
            change = 100 * (last / land_last - first / land_first)
            expected = surface["PCT_CROP"][row, col] + change
            kept = surface["PCT_GLACIER"][row, col] + surface["PCT_WETLAND"][row, col]
            # If nothing is cut off, the changes sum to zero, so nothing is scaled.
            if kept < 100:
                tried += 1
                assert series["PCT_CROP"][-1, row, col] == pytest.approx(expected, abs=1e-9)
        assert tried >= 1


def test_cells_without_mapped_land_never_change(made: tuple[Path, Path, Path]):
    with netCDF4.Dataset(made[2]) as series:
        crops = series["PCT_CROP"][:]
        np.testing.assert_array_equal(crops[:, 0, 0], crops[0, 0, 0])  # outside of the region
        assert np.ptp(crops, axis=0).max() > 0


def test_the_command(tmp_path: Path, made: tuple[Path, Path, Path]):
    command = ["export", str(made[0]), "clm", "-o", str(tmp_path / "a.nc"), "--surface", str(made[1])]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    with netCDF4.Dataset(tmp_path / "a.nc") as one, netCDF4.Dataset(made[2]) as other:
        np.testing.assert_array_equal(one["PCT_NAT_PFT"][:], other["PCT_NAT_PFT"][:])


def test_bad_surface_data_sets_are_refused(tmp_path: Path, made: tuple[Path, Path, Path]):
    cases = [
        ({"PCT_CROP": np.full(SHAPE, 50.0)}, "sum to 100"),
        ({"PCT_LAKE": np.full(SHAPE, np.nan)}, "no per cent"),
        ({"PCT_GLACIER": np.full(SHAPE, -3.0)}, "no per cent"),
        ({"LATIXY": np.random.default_rng(0).uniform(0, 9, SHAPE)}, "regular grid"),
        ({"LONGXY": np.meshgrid(LON - 90, LAT)[0]}, "share any land"),
    ]
    for number, (change, text) in enumerate(cases):
        surface = make_surface(tmp_path / f"{number}.nc", **change)
        with pytest.raises(DataError, match=text):
            export(made[0], "clm", tmp_path / "x.nc", surface=surface)
        assert not (tmp_path / "x.nc").exists()
    with pytest.raises(DataError, match="missing"):
        export(made[0], "clm", tmp_path / "x.nc", surface=tmp_path / "none.nc")
    for kind, surface in (("clm", None), ("luh2", made[1])):
        with pytest.raises(ConfigError, match="surface data set"):
            export(made[0], kind, tmp_path / "x.nc", surface=surface)
