"""The real run of examples/british-isles.yaml, to 2024: trained, run, regridded, and its areas checked.

The network is trained for fewer steps than in the example; what is asserted does not depend on how good it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import needs
import netCDF4
import numpy as np
import pytest

from ai4land_coupler import LandComponent, Simulation, load_config
from ai4land_coupler.config.sections import Config
from ai4land_coupler.experiments.training.train import load_train_config, train
from ai4land_coupler.store.output import open_store

needs.yac()
pytestmark = pytest.mark.real_data

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Share of the cells with data in both years whose class differs between 2009 and 2012 (7 classes), read once by hand.
OBSERVED_CHANGE = 0.0948


@pytest.fixture(scope="module")
def configure(sample_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example's configuration with the network trained here, and any settings."""
    folder = tmp_path_factory.mktemp("british-isles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AI4LAND_SAMPLE_DATA", str(sample_data))
        patch.setenv("AI4LAND_BUNDLE", str(folder / "bundle"))
        settings = ["steps=4", "batch=2"]
        overrides = [f"trainer.options.optimisation.{s}" for s in settings] + ["trainer.options.architecture.width=4"]
        train(load_train_config(EXAMPLES / "british-isles-train.yaml", overrides), folder / "bundle")

        def configure(name: str, *overrides: str) -> Config:
            store = folder / f"{name}.zarr"
            return load_config(EXAMPLES / "british-isles.yaml", ["time.stop=2024", f"output.store={store}", *overrides])

        yield configure


@pytest.fixture(scope="module")
def run(configure: Any) -> Any:
    config = configure("run")
    summary = Simulation(config).run()
    assert summary.years == (2015, 2018, 2021, 2024)
    return open_store(summary.store), {name: open_store(summary.store, host=name) for name in config.hosts}, summary


def test_hosts_have_the_areas_of_the_land(run: Any) -> None:
    """Conserved quantity of each class, every year, on both grids, on the areas that the weights used."""
    land, hosts, _ = run
    for host in hosts.values():
        for year in land["year"].values:
            there = (host["land_cover_fraction"].sel(year=year) * host["cell_area"]).sum("cell").values
            here = land["class_area"].sel(year=year).values
            np.testing.assert_allclose(there, here, rtol=1e-9)
    assert land["class_area"].values.min() > 1e7  # no class is empty, so every comparison says something


def test_class_areas_are_those_of_the_maps(run: Any) -> None:
    """Recount the maps: area of a row of cells between two parallels on the sphere."""
    land, _, _ = run
    edges = np.deg2rad(60.85400157975038 - 0.009988346586746064 * np.arange(1097))
    rows = 6371007.2**2 * np.deg2rad(0.009988624327190708) * (np.sin(edges[:-1]) - np.sin(edges[1:]))
    for year in land["year"].values:
        codes = land["land_cover"].sel(year=year).values
        for name, members in (("urban", [11]), ("forest", [40, 41, 42, 43, 44, 45]), ("water", [77])):
            area = (np.isin(codes, members).sum(axis=1) * rows).sum()
            assert float(land["class_area"].sel(year=year, land_class=name)) == pytest.approx(area, rel=1e-9)


def test_gross_change_is_near_the_observed(run: Any) -> None:
    land, _, _ = run
    share = (land["changed_cells"] / land["land_cells"]).values[1:]
    # cells with data in both years include water, which never changes here: 3,295 of 331,904
    assert share == pytest.approx(OBSERVED_CHANGE, rel=0.1)
    recounted = [
        (a != b).mean() for a, b in zip(land["land_cover"].values, land["land_cover"].values[1:], strict=False)
    ]
    cells = land["land_cover"][0].size
    assert np.array(recounted) * cells == pytest.approx(land["changed_cells"].values[1:])


def test_a_copy_of_the_previous_map_fails_that_line(configure: Any) -> None:
    """Persistence offers no gross change: what is left is the scenario's net change, far below the observed."""
    config = configure(
        "copy", "hosts={}", 'predictors=[{"name": persistence, "options": {"legend": hilda-v1.0-f, "step": P3Y}}]'
    )
    Simulation(config).run()
    land = open_store(config.output.store)
    share = (land["changed_cells"] / land["land_cells"]).values[1:]
    assert share.max() < OBSERVED_CHANGE / 3


def test_net_change_is_met_in_each_forcing_cell(configure: Any, sample_data: Path) -> None:
    """To one fine cell, but for what is recorded as unmet; demand read from the scenario file by hand."""
    groups = {
        "urban": (["urban"], [11]),
        "cropland": (["crop"], [22]),
        "pasture": (["pastr"], [33]),
        "forest": (["primf", "secdf"], [40, 41, 42, 43, 44, 45]),
        "open": (["primn", "secdn"], [55, 66]),
    }
    with netCDF4.Dataset(sample_data / "scenario/multiple-states_derived_British-Isles_gn_2015-2100.nc") as file:
        raw = {
            name: np.ma.getdata(file[name][:])
            for name in (["urban", "crop", "pastr", "primf", "secdf", "primn", "secdn"])
        }
        west, north = float(file["lon"][0]) - 0.125, float(file["lat"][0]) + 0.125
    sums = np.stack([sum(raw[s].astype(np.float64) for s in states) for states, _ in groups.values()])
    with np.errstate(invalid="ignore"):
        shares = np.where((sums < 1e19) & (sums.sum(axis=0) > 1e-6), sums / sums.sum(axis=0), np.nan)

    component = LandComponent(configure("books", "hosts={}"), online=False)
    component.initialize()
    component.realize()
    lat, lon = component.setup.grid.lat, component.setup.grid.lon
    row, col = np.floor((north - lat) / 0.25).astype(int), np.floor((lon - west) / 0.25).astype(int)
    cell = row[:, None] * 69 + col[None, :]
    area = np.broadcast_to(component.setup.grid.row_area[:, None], cell.shape)

    def area_by_group() -> np.ndarray:
        cover = np.zeros(component.setup.grid.shape, np.uint8)
        for block in component.setup.plan.blocks:
            cover[block.core.slices()] = component.state.cover[block.id]
        members = [np.isin(cover, codes) for _, codes in groups.values()]
        return np.stack([np.bincount(cell[m], weights=area[m], minlength=52 * 69) for m in members])

    base = area_by_group()
    land = base.sum(axis=0)
    assert np.count_nonzero(land) > 400
    for year in (2018, 2021, 2024):
        component.run(year)
        change = np.nan_to_num((shares[:, year - 2015] - shares[:, 0]).reshape(5, -1))
        unmet = np.zeros((5, 52, 69))
        origin = (
            round((north - component.setup.plan.forcing.lat0) / 0.25),
            round((component.setup.plan.forcing.lon0 - west) / 0.25),
        )
        for block in component.setup.plan.blocks:
            rows, cols = block.forcing.slices()
            there = (
                slice(rows.start + origin[0], rows.stop + origin[0]),
                slice(cols.start + origin[1], cols.stop + origin[1]),
            )
            unmet[:, *there] = component.state.memory["allocation.unmet"][block.id]
        error = area_by_group() - base - change * land + unmet.reshape(5, -1)
        assert np.abs(error).max() <= area.max()
        assert np.abs(change * land).max() > 10 * area.max()  # there was something to meet


@pytest.mark.soak  # as test_same_arrays.py on the small twin, with a larger land
def test_the_same_arrays_again(run: Any, configure: Any) -> None:
    config = configure("again", "hosts={}")
    Simulation(config).run()
    np.testing.assert_array_equal(open_store(config.output.store)["land_cover"].values, run[0]["land_cover"].values)
