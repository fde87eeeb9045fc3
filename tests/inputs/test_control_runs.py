"""Control runs use the forcing of one year for all years, or repeat the forcing of some years."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.api import DataAdapter, FieldInfo, LatLonGrid, Request
from ai4land_coupler.config.sections import ForcingSection, parse_config
from ai4land_coupler.errors import ConfigError, TimeError
from ai4land_coupler.inputs.adapters import Beyond, NamedAdapter, beyond_of
from ai4land_coupler.inputs.catalogue import Catalogue
from ai4land_coupler.store.output import open_store

Raw = dict[str, Any]
GRID = LatLonGrid(0.0, 0.25, 4, 50.0, -0.25, 3)


class Years(DataAdapter):
    """Delivers the year as the value of a variable without a rule."""

    def __init__(self, first: int, last: int) -> None:
        self.span = (first, last)

    def fields(self) -> dict[str, FieldInfo]:
        return {"year_itself": FieldInfo("year_itself", "1", years=self.span)}

    def grid(self) -> LatLonGrid:
        return GRID

    def read(self, request: Request) -> Any:
        import xarray as xr

        values = np.full((1, *request.grid.shape), request.years[0], np.float32)
        coords = {"year": list(request.years), "lat": request.grid.lat, "lon": request.grid.lon}
        return xr.Dataset({"year_itself": (("year", "lat", "lon"), values)}, coords)


def catalogue(*cycles: tuple[int, int] | None) -> Catalogue:
    return Catalogue("forcing", [NamedAdapter("years", Years(1990, 2020), (), cycle) for cycle in cycles])


def value(made: Catalogue, year: int) -> float:
    return float(made.read({"year_itself": "1"}, GRID, year)["year_itself"][0, 0])


def test_one_year_for_all() -> None:
    made = catalogue((2015, 2015))
    assert {value(made, year) for year in (1850, 2015, 2016, 3000)} == {2015.0}


def test_repeated_years() -> None:
    made = catalogue((2010, 2012))
    found = [value(made, year) for year in range(2007, 2017)]
    assert found == [2010, 2011, 2012, 2010, 2011, 2012, 2010, 2011, 2012, 2010]


def test_history_then_one_constant_year() -> None:
    """The first adapter that has a year delivers it; the adapter of the control run delivers all other years."""
    made = Catalogue(
        "forcing",
        [NamedAdapter("history", Years(1990, 2015)), NamedAdapter("control", Years(2010, 2020), (), (2018, 2018))],
    )
    assert [value(made, year) for year in (1990, 2015, 2016, 2100)] == [1990, 2015, 2018, 2018]


class Land(DataAdapter):
    """As LUH2: transitions end a year before the states. The value of a variable is the year of the data."""

    def fields(self) -> dict[str, FieldInfo]:
        return {
            "a_state": FieldInfo("a_state", "1", years=(1990, 2020)),
            "a_change": FieldInfo("a_change", "1", years=(1990, 2019)),
            "fixed": FieldInfo("fixed", "1"),
        }

    def grid(self) -> LatLonGrid:
        return GRID

    def read(self, request: Request) -> Any:
        import xarray as xr

        year = request.years[0]
        coords = {"year": list(request.years), "lat": request.grid.lat, "lon": request.grid.lon}
        for name in request.variables:
            years = self.fields()[name].years
            assert years is None or years[0] <= year <= years[1], (
                "the adapter is asked for a year that it does not have"
            )
        values = np.full((1, *request.grid.shape), year, np.float32)
        return xr.Dataset(dict.fromkeys(request.variables, (("year", "lat", "lon"), values)), coords)


class TestBeyond:
    """What follows after the last year of the data."""

    @staticmethod
    def made(raw: Raw, *before: NamedAdapter) -> Catalogue:
        choice = ForcingSection(name="land", **raw)
        beyond = beyond_of(choice, Land().fields())
        return Catalogue("forcing", [*before, NamedAdapter("land", Land(), (), choice.cycle, beyond)])

    @staticmethod
    def values(made: Catalogue, name: str, years: range) -> list[int]:
        return [int(made.read({name: "1"}, GRID, year)[name][0, 0]) for year in years]

    def test_stop(self) -> None:
        made = self.made({})
        assert self.values(made, "a_state", range(2019, 2021)) == [2019, 2020]
        with pytest.raises(TimeError, match="'a_state' for the year 2021") as caught:
            made.read({"a_state": "1"}, GRID, 2021)
        assert "beyond: hold" in str(caught.value)

    def test_hold(self) -> None:
        made = self.made({"beyond": "hold"})
        assert self.values(made, "a_state", range(2018, 2023)) == [2018, 2019, 2020, 2020, 2020]
        assert self.values(made, "a_change", range(2018, 2023)) == [2018, 2019, 2019, 2019, 2019]
        assert self.values(made, "fixed", range(2019, 2022)) == [2019, 2020, 2021]
        both = made.read({"a_state": "1", "a_change": "1"}, GRID, 2100)
        assert (both["a_state"][0, 0], both["a_change"][0, 0]) == (2020, 2019)
        assert made.available(2500) == {"a_state", "a_change", "fixed"}
        with pytest.raises(TimeError, match="1989"):  # only after the last year
            made.read({"a_state": "1"}, GRID, 1989)

    def test_cycle(self) -> None:
        made = self.made({"beyond": "cycle", "repeat": {"first": 2017, "last": 2019}})
        assert self.values(made, "a_state", range(2016, 2027)) == [
            *(2016, 2017, 2018, 2019, 2020),
            *(2017, 2018, 2019, 2017, 2018, 2019),
        ]
        # the change of a year belongs to the state of this year, also where only the state has data
        assert self.values(made, "a_change", range(2018, 2025)) == [2018, 2019, 2019, 2017, 2018, 2019, 2017]

    def test_cycle_of_all_years(self) -> None:
        """The years that every variable has: 1990 to 2019."""
        made = self.made({"beyond": "cycle"})
        assert self.values(made, "a_state", range(2019, 2023)) == [2019, 2020, 1990, 1991]
        assert self.values(made, "a_state", range(2049, 2052)) == [2018, 2019, 1990]

    def test_data_of_the_year_itself_come_first(self) -> None:
        """History that is held does not hide the scenario after it in the list."""
        held = NamedAdapter("history", Years(1990, 2015), (), None, Beyond(2015, 2015, 2015))
        made = Catalogue("forcing", [held, NamedAdapter("scenario", Years(2015, 2020))])
        assert [value(made, year) for year in (2014, 2016, 2020, 2021)] == [2014, 2016, 2020, 2015]

    def test_a_year_that_the_data_lack(self) -> None:
        with pytest.raises(TimeError, match="lack a year"):
            self.made({"beyond": "cycle", "repeat": {"first": 2018, "last": 2025}})

    @pytest.mark.parametrize(
        ("keys", "text"),
        [
            ({"beyond": "hold", "constant_year": 2015}, "leave beyond out"),
            ({"beyond": "hold", "repeat": {"first": 2015, "last": 2017}}, "not both"),
            ({"beyond": "holt"}, "forcing[0].beyond: expected 'stop', 'hold' or 'cycle', found 'holt'"),
        ],
    )
    def test_configuration(self, twin_config: Raw, keys: Raw, text: str) -> None:
        twin_config["forcing"][0] |= keys
        with pytest.raises(ConfigError) as caught:
            parse_config(twin_config, Path(), "run.yaml")
        assert text in str(caught.value)

    def test_the_default_keeps_the_digest_of_older_runs(self, twin_config: Raw) -> None:
        """The digest that version 5f7d080 gave to this configuration."""
        for kind in ("forcing", "static", "predictors"):
            twin_config[kind] = [{"name": "any", "options": {"path": "x.nc"}}]
        twin_config["initial"] = {"name": "any"}
        assert parse_config(twin_config, Path(), "run.yaml").digest == "2aff55c580679fb9"
        twin_config["forcing"][0]["beyond"] = "stop"
        assert parse_config(twin_config, Path(), "run.yaml").digest == "2aff55c580679fb9"
        twin_config["forcing"][0]["beyond"] = "hold"
        assert parse_config(twin_config, Path(), "run.yaml").digest != "2aff55c580679fb9"

    def test_a_run_that_holds_the_last_year(self, twin_config: Raw, tmp_path: Path) -> None:
        """The scenario ends in 2022: until then as without the key, then the net change is zero."""
        twin_config["time"] = {"start": 2020, "stop": 2025}
        twin_config["allocation"] = {"gross": "none"}
        first = twin_config["forcing"]
        with pytest.raises(TimeError, match="for the year 2023"):
            LandComponent(parse_config(twin_config, tmp_path, "run.yaml")).initialize()
        twin_config["forcing"] = [first[0] | {"beyond": "hold"}, first[1]]
        cover = run(dict(twin_config), tmp_path).land_cover.values
        assert (cover[0] != cover[2]).any()
        for year in (2023, 2024, 2025):
            assert (cover[year - 2020] != cover[2]).mean() < 1e-3, year


def test_a_year_missing_in_the_data() -> None:
    with pytest.raises(TimeError) as caught:
        catalogue((2019, 2022))
    assert "2021" in str(caught.value)
    assert "1990 to 2020" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"constant_year": 2015, "repeat": {"first": 2015, "last": 2017}}, "not both"),
        ({"repeat": {"first": 2017, "last": 2015}}, "before"),
        ({"repeat": {"first": 2017}}, "forcing[0].repeat.last"),
        ({"constant_yaer": 2015}, "did you mean 'constant_year'?"),
    ],
)
def test_configuration(twin_config: Raw, keys: Raw, text: str) -> None:
    twin_config["forcing"][0] |= keys
    with pytest.raises(ConfigError) as caught:
        parse_config(twin_config, Path(), "run.yaml")
    assert text in str(caught.value)


def test_the_choice_changes_the_digest_of_a_run(twin_config: Raw) -> None:
    plain = parse_config(twin_config, Path(), "run.yaml").digest
    twin_config["forcing"][0]["constant_year"] = 2015
    constant = parse_config(twin_config, Path(), "run.yaml")
    assert constant.digest != plain
    assert '"constant_year":2015' in constant.model_dump_json()


def run(raw: Raw, tmp_path: Path) -> Any:
    raw.pop("hosts")
    raw["predictors"] = [{"name": "unet", "options": {"bundle": "twin"}}]
    Simulation(parse_config(raw, tmp_path, "run.yaml")).run()
    return open_store(tmp_path / "run.zarr")


def relative_change(area: np.ndarray) -> float:
    """Largest change of the area of any class since the first year."""
    there = area[:, area[0] > 0]
    return float(np.abs(there / there[0] - 1).max())


def test_constant_forcing_keeps_the_areas_of_classes(twin_config: Raw, tmp_path: Path) -> None:
    """Ten years beyond the scenario's own 2015-2022: net change is zero, gross change goes on as swaps."""
    twin_config["forcing"] = [twin_config["forcing"][0] | {"constant_year": 2015}]
    twin_config["time"] = {"start": 2015, "stop": 2025}
    store = run(twin_config, tmp_path)
    area = store.class_area.values
    # swaps are neutral in cells, not quite in area: cells of a forcing cell shrink by 0.5 % from south to north
    assert relative_change(area) < 1e-4
    assert store.changed_cells.values[-1] > 0
    recorded = json.loads(json.loads(store.attrs["provenance"])["config"])
    assert recorded["forcing"][0]["constant_year"] == 2015


def test_the_scenario_changes_the_areas_of_classes(twin_config: Raw, tmp_path: Path) -> None:
    """The same run with the years of the scenario shows that the test above can fail."""
    twin_config["time"] = {"start": 2015, "stop": 2022}
    area = run(twin_config, tmp_path).class_area.values
    assert relative_change(area) > 1e-2
