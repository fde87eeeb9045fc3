"""Runs over the joint of CMIP7's history and scenarios, from the files as ESGF has them: areas on a host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
from coupling import PERSISTENCE, Raw, config_of, realized

from ai4land_coupler import Simulation
from ai4land_coupler.experiments.twin import TwinOptions, generate
from ai4land_coupler.experiments.twin.cmip7 import MARKERS, history_of, scenario_of, write_cmip7
from ai4land_coupler.experiments.twin.luh_land_use import LandUse, land_use_of
from ai4land_coupler.experiments.twin.report import TwinReport
from ai4land_coupler.store.output import open_store

needs.yac()

#: Groups of the crosswalk luh2-hilda -> states and classes.
GROUPS = {
    "urban": (["urban"], ["urban"]),
    "cropland": (["c3ann", "c4ann", "c3per", "c4per", "c3nfx"], ["cropland"]),
    "pasture": (["pastr", "range"], ["pasture"]),
    "forest": (["primf", "secdf", "pltns"], ["forest"]),
    "open": (["primn", "secdn"], ["grass_shrub", "other"]),
}
STATES = [name for states, _ in GROUPS.values() for name in states]


def true_areas(use: LandUse, marker: str, years: range) -> dict[str, np.ndarray]:
    """Areas of the groups (m2) by year: the history to 2021, then the scenario."""
    parts = [(history_of(use, years[0]), [y for y in years if y < 2022])]
    parts += [(scenario_of(use, marker), [y for y in years if y >= 2022])]
    areas: dict[str, list[float]] = {}
    for part, held in parts:
        for group, (states, _) in GROUPS.items():
            values = np.sum([np.nan_to_num(part.states[n].astype("f8")) for n in states], axis=0)
            found = (values * use.grid.row_area[:, None]).sum(axis=(1, 2))
            areas.setdefault(group, []).extend(found[part.years.index(y)] for y in held)
    return {group: np.array(values) for group, values in areas.items()}


def run_config(report: TwinReport, host: Path, folder: Path, marker: str, years: range, store: Path) -> Raw:
    maps = {"path": str(report.paths["maps"]), "legend": "hilda-v1.0-f"}
    options = {"folder": str(folder), "scenario": marker, "history": str(folder)}
    return {
        "title": f"CMIP7 {marker}",
        "legend": "hilda-v1.0-f",
        "time": {"start": years[0], "stop": years[-1]},
        "initial": {"name": "hilda", "options": maps},
        "forcing": [{"name": "ssp", "options": options}],
        "predictors": [PERSISTENCE],
        "hosts": {"host": {"grid": str(host)}},
        "exports": {"pass_through": STATES},
        "output": {"store": str(store)},
    }


def worst_difference(found: Any, truth: dict[str, np.ndarray], area: np.ndarray) -> float:
    """Largest relative difference of a group's area on the host grid. ``found(state)`` is (year, cells)."""
    worst = 0.0
    for group, (states, _) in GROUPS.items():
        areas = np.sum([found(n) @ area for n in states], axis=0)
        worst = max(worst, float(np.max(np.abs(areas / truth[group] - 1))))
    return worst


def run_both(raw: Raw, years: range, truth: dict[str, np.ndarray]) -> tuple[float, float, Path]:
    """Offline and online: the differences of areas, and the store. Both give the same fields to the bit."""
    store = Simulation(config_of(raw)).run().store
    host = open_store(store, host="host")
    offline = worst_difference(lambda n: host[n].values, truth, host.cell_area.values)
    component = realized(raw)
    fields: dict[str, list[np.ndarray]] = {n: [] for n in STATES}
    for year in years:
        component.run(year)
        for name, values in fields.items():
            values.append(np.array(component.export(name)))
    for name, values in fields.items():
        np.testing.assert_array_equal(host[name].values, values, err_msg=name)
    area = component.hosts["host"].area
    return offline, worst_difference(lambda n: np.array(fields[n]), truth, area), store


@pytest.mark.parametrize("marker", ["h", pytest.param("ml", marks=pytest.mark.soak)])
def test_a_run_over_the_joint(small_twin: TwinReport, host_grid: Path, tmp_path: Path, marker: str) -> None:
    """2020 to 2025. The land use of the small twin is moved by two years: it ends in 2024, as the history does."""
    use = land_use_of(small_twin, luh3=True, plantations=False).moved(2012)
    years = range(2020, 2026)
    write_cmip7(tmp_path, only_states(use), (marker,))
    raw = run_config(small_twin, host_grid, tmp_path, marker, years, tmp_path / "run.zarr")
    offline, online, _ = run_both(raw, years, true_areas(use, marker, years))
    assert max(offline, online) < 1e-9


def only_states(use: LandUse) -> LandUse:
    return replace(use, transitions={}, management={})


@pytest.fixture(scope="module")
def century(tmp_path_factory: pytest.TempPathFactory) -> tuple[TwinReport, LandUse, Path]:
    """A twin from 2010 to 2100, its land use, and the files of all scenarios."""
    folder = tmp_path_factory.mktemp("century")
    options = TwinOptions(
        lon0=-1.5, lon1=1.5, lat0=50.5, lat1=52.5, resolution=0.0625, first_year=2010, last_year=2100, seed=3
    )
    report = generate(options, folder / "twin")
    use = land_use_of(report, luh3=True, plantations=False)
    write_cmip7(folder / "esgf", only_states(use))
    return report, use, folder / "esgf"


@pytest.mark.soak
@pytest.mark.parametrize("marker", MARKERS)
def test_a_run_from_2015_to_2100(
    century: Any, host_grid: Path, tmp_path: Path, marker: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also the map follows: the change of each group's area since 2015, but for parts of land cells."""
    report, use, folder = century
    years = range(2015, 2101)
    truth = true_areas(use, marker, years)
    raw = run_config(report, host_grid, folder, marker, years, tmp_path / "run.zarr")
    offline, online, store = run_both(raw, years, truth)
    mapped = open_store(store)["class_area"]
    furthest = 0.0
    for group, (_, classes) in GROUPS.items():
        change = mapped.sel(land_class=classes).sum("land_class").values
        furthest = max(furthest, float(np.abs(change - change[0] - (truth[group] - truth[group][0])).max()))
    changed = max(float(np.ptp(values)) for values in truth.values())
    assert furthest < 0.01 * changed
    assert max(offline, online) < 1e-9
    with capsys.disabled():
        print(
            f"\nCMIP7 {marker}: 2015-2100, areas differ by {offline:.1e} offline, {online:.1e} online; "
            f"the map by {furthest / 1e6:.1f} km2 where up to {changed / 1e6:.0f} km2 changed"
        )
