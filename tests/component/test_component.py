"""The life cycle of the component, its exports and imports, and runs with several predictors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from ranks import mpirun

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.errors import ConfigError, FieldError, StateError, TimeError
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.land.setup import make_setup
from ai4land_coupler.store.output import open_store

needs.yac()

Raw = dict[str, Any]
PERSISTENCE = {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}
PHENOLOGY = {"name": "phenology", "options": {"legend": "hilda-v1.0-f", "start": 0.0}}


@pytest.fixture
def raw(twin_config: Raw) -> Raw:
    """The small twin with a predictor that needs no torch."""
    return {**twin_config, "predictors": [PERSISTENCE]}


def config_of(raw: Raw, **parts: Any) -> Config:
    return parse_config({**raw, **parts}, Path.cwd(), "test")


def realized(raw: Raw, **parts: Any) -> LandComponent:
    component = LandComponent(config_of(raw, **parts))
    component.initialize()
    component.set_named_grid("host")
    component.realize()
    return component


class TestLife:
    def test_calls_out_of_order(self, raw: Raw) -> None:
        component = LandComponent(config_of(raw))
        for call in (component.realize, lambda: component.run(2016), lambda: component.export("land_cover_fraction")):
            with pytest.raises(StateError, match="wrong order"):
                call()
        component.initialize()
        with pytest.raises(StateError, match="wrong order"):
            component.initialize()
        with pytest.raises(StateError, match="initialized"):
            component.run(2016)
        component.finalize()
        component.finalize()  # allowed again
        with pytest.raises(StateError, match="finalized"):
            component.run(2016)

    def test_years(self, raw: Raw) -> None:
        component = realized(raw)
        assert component.year == 2015
        component.run(2015)
        first = component.export("land_cover_fraction")
        component.run(2017)
        assert component.year == 2017
        assert not np.array_equal(component.export("land_cover_fraction"), first)
        before = component.state
        component.run(2017)  # nothing to do
        assert component.state is before
        with pytest.raises(TimeError, match="2017 to 2021"):
            component.run(2016)
        with pytest.raises(TimeError, match="2017 to 2021"):
            component.run(2022)
        assert component.year == 2017  # and it is able to go on
        component.run(2018)

    @pytest.mark.parametrize("stop", [2018, 2019, 2020])
    def test_the_last_state_holds_to_the_end_of_its_step(self, raw: Raw, stop: int) -> None:
        """Steps of three years from 2015: a host can go on to the end of 2020 with the state of 2018."""
        options = {"legend": "hilda-v1.0-f", "step": "P3Y"}
        parts = {"predictors": [{"name": "persistence", "options": options}], "time": {"start": 2015, "stop": stop}}
        component = realized(raw, **parts)
        component.run("2018-06-01")
        last = component.export("land_cover_fraction")
        component.run("2020-12-31")
        assert component.year == 2018
        assert component.export("land_cover_fraction") is last
        with pytest.raises(TimeError, match="2020-12-31 to 2020"):
            component.run(2021)

    def test_a_long_step_keeps_its_state(self, raw: Raw) -> None:
        options = {"legend": "hilda-v1.0-f", "step": "P3Y"}
        component = realized(raw, predictors=[{"name": "persistence", "options": options}])
        component.run(2017)
        assert component.year == 2015
        component.run(2018)
        assert component.year == 2018
        component.run(2020)
        assert component.year == 2018

    def test_backward_is_refused_online(self, raw: Raw) -> None:
        with pytest.raises(ConfigError, match="host cannot run backward"):
            LandComponent(config_of(raw, time={"start": 2015, "stop": 2011}))

    def test_a_step_changes_no_state_that_was_given(self, raw: Raw) -> None:
        component = realized(raw)
        before = component.state
        kept = {block: codes.copy() for block, codes in before.cover.items()}
        component.run(2016)
        assert component.state is not before
        for block, codes in kept.items():
            np.testing.assert_array_equal(before.cover[block], codes)
            with pytest.raises(ValueError, match="read-only"):
                component.state.cover[block][0, 0] = 11


class TestExports:
    def test_unknown_field_and_grid(self, raw: Raw) -> None:
        component = realized(raw)
        with pytest.raises(FieldError, match="did you mean 'land_cover_fraction'"):
            component.export("land_cover_fractions")
        with pytest.raises(StateError, match="atmosphere"):
            component.export("land_cover_fraction", "atmosphere")
        with pytest.raises(ValueError, match="read-only"):
            component.export("land_cover_fraction")[:] = 0

    def test_fractions_sum_to_the_land(self, raw: Raw) -> None:
        component = realized(raw)
        fractions, land = component.export("land_cover_fraction"), component.export("land_area_fraction")
        assert fractions.shape == (7, 120)
        np.testing.assert_allclose(fractions.sum(axis=0), land, rtol=1e-15)
        assert fractions.min() >= 0
        assert land.max() <= 1 + 1e-7
        assert (land == 0).any()  # the grid reaches beyond the twin
        assert (land > 0.99).any()

    def test_a_grid_given_as_cells(self, raw: Raw) -> None:
        """The same cells by corners, in another order and with gaps in their ids, get the same values."""
        named = realized(raw)
        mesh = named.hosts["host"].mesh
        order = np.random.default_rng(0).permutation(mesh.size)
        picked = mesh.take(order)
        given = Mesh("mine", 7 + 3 * picked.cell_ids, picked.corner_lon, picked.corner_lat, "latlon", picked.mask, 400)
        component = LandComponent(config_of(raw))
        component.initialize()
        component.set_grid(given)
        component.realize()
        expected = named.export("land_cover_fraction")[:, order]
        np.testing.assert_allclose(component.export("land_cover_fraction"), expected, rtol=1e-14, atol=1e-16)


class TestImports:
    """Land cover first, then monthly leaf area from the host's temperature, with its own memory."""

    @pytest.fixture
    def raw(self, raw: Raw) -> Raw:
        return {**raw, "predictors": [PHENOLOGY, PERSISTENCE]}  # listed in the wrong order on purpose

    def test_leaf_area_in_constant_warmth(self, raw: Raw) -> None:
        """Each class grows to its maximum as 1 - exp(-t); the mean of a cell is the mean over its classes."""
        component = realized(raw)
        cells = component.cell_count
        component.import_("air_temperature", np.full(cells, 300.0))
        fractions = component.export("land_cover_fraction")  # of 2015, as the months that the step to 2016 predicts
        component.run(2016)
        lai = component.export("lai")
        assert lai.shape == (12, cells)
        maxima = np.array([0.8, 3.5, 2.5, 5.0, 1.8, 0.2, 0.0])
        land = component.export("land_area_fraction")
        full = land > 0.99  # cells that the twin covers whole: their temperature is known everywhere
        grown = (maxima @ fractions)[full] / land[full]
        for month in range(12):
            np.testing.assert_allclose(lai[month, full], grown * (1 - np.exp(-(month + 1))), rtol=1e-5)
        assert np.isnan(lai[:, land == 0]).all()

    def test_the_memory_lasts_over_years_and_restarts(self, raw: Raw, tmp_path: Path) -> None:
        component = realized(raw)
        months = 273.0 + np.arange(12.0)[:, None] * np.ones(component.cell_count)
        component.import_("air_temperature", months)
        component.run(2016)
        component.write_restart(tmp_path / "restart")
        component.run(2018)
        expected = component.export("lai")

        again = LandComponent(config_of(raw))
        again.initialize(tmp_path / "restart")
        again.set_named_grid("host")
        again.realize()
        assert again.year == 2016
        again.export("lai")  # a restart holds it
        again.import_("air_temperature", months)
        again.run(2018)
        np.testing.assert_array_equal(again.export("lai"), expected)
        np.testing.assert_array_equal(again.export("land_cover_fraction"), component.export("land_cover_fraction"))

    def test_a_field_that_was_never_set(self, raw: Raw) -> None:
        component = realized(raw)
        with pytest.raises(FieldError, match="'air_temperature' was never set"):
            component.run(2016)
        assert component.year == 2015

    def test_wrong_imports(self, raw: Raw) -> None:
        component = realized(raw)
        with pytest.raises(FieldError, match="did you mean 'air_temperature'"):
            component.import_("air_temperatur", np.zeros(120))
        with pytest.raises(FieldError, match=r"expected: \(cells,\) or \(12, cells\)"):
            component.import_("air_temperature", np.zeros((3, 120)))
        component.import_("air_temperature", np.zeros(119))
        with pytest.raises(FieldError, match="120 cells"):
            component.run(2016)

    def test_offline_from_the_configuration(self, raw: Raw, tmp_path: Path) -> None:
        """Celsius is refused, kelvin is accepted; the store has monthly lai."""
        imports: Raw = {"air_temperature": {"values": 20.0, "units": "m"}}
        with pytest.raises(FieldError, match=r"imports\.air_temperature\.units"):
            Simulation(config_of(raw, imports=imports)).run()
        imports = {"air_temperature": {"values": [26.85] * 12, "units": "degC"}}  # 300 K
        config = config_of(
            raw, imports=imports, time={"start": 2015, "stop": 2016}, output={"store": str(tmp_path / "lai.zarr")}
        )
        Simulation(config).run()
        land = open_store(tmp_path / "lai.zarr")
        forest = np.isin(land["land_cover"].sel(year=2015).values, [40, 41, 42, 43, 44, 45])
        december = land["lai"].sel(year=2015, month=12).values
        np.testing.assert_allclose(december[forest], 5.0 * (1 - np.exp(-12)), rtol=1e-5)
        assert np.isnan(land["lai"].sel(year=2016).values).all()  # the months of the last year come with the next

    def test_two_predictors_of_one_output(self, raw: Raw) -> None:
        with pytest.raises(ConfigError, match="two predictors make 'land_cover_logits'"):
            realized(raw, predictors=[PERSISTENCE, PERSISTENCE])


def test_replayed_maps_are_equal(twin_config: Raw, tmp_path: Path) -> None:
    """A stored run through the same component, without torch."""
    first = config_of({**twin_config, "predictors": [PERSISTENCE], "time": {"start": 2015, "stop": 2018}})
    Simulation(first).run()
    replay = {"name": "replay", "options": {"path": str(tmp_path / "run.zarr"), "legend": "hilda-v1.0-f"}}
    parts: Raw = {"predictors": [replay], "allocation": {"method": "argmax"}}
    with pytest.raises(TimeError, match="no stored map of 2019"):  # the configuration runs to 2021
        realized(twin_config, **parts)
    component = realized(twin_config, **parts, time={"start": 2015, "stop": 2018})
    stored = open_store(tmp_path / "run.zarr", host="host")["land_cover_fraction"]
    for year in (2016, 2017, 2018):
        component.run(year)
        np.testing.assert_array_equal(component.export("land_cover_fraction"), stored.sel(year=year).values)


@pytest.mark.mpi
def test_ranks_that_do_not_predict_never_import_torch(twin_config: Raw, tmp_path: Path) -> None:
    """Four ranks, of which two predict: the fields equal those of a run on one rank."""
    path = tmp_path / "run.yaml"
    exports = {"lookahead": True, "transitions": True}
    path.write_text(yaml.safe_dump({**twin_config, "parallel": {"block": 3, "workers": 2}, "exports": exports}))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "comm = MPI.COMM_WORLD\n"
        "land = LandComponent(sys.argv[1], comm)\n"
        "land.initialize()\n"
        "land.set_named_grid('host')\n"
        "land.realize()\n"
        "land.run((2016, 3, 1))\n"
        "torch = 'torch' in sys.modules\n"
        "print(f'<{comm.rank}> torch {torch} cells {land.cell_count}', flush=True)\n"
        "parts = comm.gather(land.export('land_cover_fraction', at='next'))\n"
        "if comm.rank == 0:\n"
        "    np.save(sys.argv[2], np.concatenate(parts, axis=1))\n"
    )
    done = mpirun(4, program, path, tmp_path / "four.npy")
    assert done.returncode == 0, done.stdout + done.stderr
    said = sorted(line for line in done.stdout.splitlines() if line.startswith("<"))
    assert [line.split()[2] for line in said] == ["True", "False", "True", "False"]
    assert all("cells 30" in line for line in said)
    alone = on_one_rank(path, (2016, 3, 1)).export("land_cover_fraction", at="next")
    np.testing.assert_array_equal(np.load(tmp_path / "four.npy"), alone)


def on_one_rank(path: Path, date: int | tuple[int, int, int]) -> LandComponent:
    """The component of a configuration file in this process, on the named grid ``host``."""
    land = LandComponent(path)
    land.initialize()
    land.set_named_grid("host")
    land.realize()
    land.run(date)
    return land


@pytest.mark.mpi
def test_ranks_whose_blocks_are_all_ocean(twin_config: Raw, tmp_path: Path) -> None:
    """They own no land and no leaves, but join every exchange: values equal those on one rank."""
    import rasterio

    twin_config["initial"]["options"]["path"] = str(tmp_path / "hilda_plus_2015_states_GLOB-v1-0-f_wgs84-nn.tif")
    pattern = twin_config["forcing"][0]["options"]["states"]
    original = Path(pattern).parents[1] / "hilda" / "hilda_plus_2015_states_GLOB-v1-0-f_wgs84-nn.tif"
    with rasterio.open(original) as file:
        codes, profile = file.read(1), file.profile
    codes[: codes.shape[0] // 2] = 0  # the northern half under water
    with rasterio.open(twin_config["initial"]["options"]["path"], "w", **profile) as file:
        file.write(codes, 1)
    twin_config["predictors"] = [PHENOLOGY, PERSISTENCE]
    twin_config["imports"] = {"air_temperature": {"values": 290.0, "units": "K", "missing": "fill"}}
    twin_config["parallel"] = {"block": 2}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(twin_config))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        "import numpy as np\n"
        "from mpi4py import MPI\n"
        "from ai4land_coupler import LandComponent\n"
        "comm = MPI.COMM_WORLD\n"
        "land = LandComponent(sys.argv[1], comm)\n"
        "land.initialize()\n"
        "land.set_named_grid('host')\n"
        "land.realize()\n"
        "land.run(2017)\n"
        "lai = comm.gather(land.export('lai'))\n"
        "if comm.rank == 0:\n"
        "    np.save(sys.argv[2], np.concatenate(lai, axis=1))\n"
    )
    done = mpirun(4, program, path, tmp_path / "lai.npy")
    assert done.returncode == 0, done.stdout + done.stderr
    one, four = on_one_rank(path, 2017).export("lai"), np.load(tmp_path / "lai.npy")
    assert (one > 1).any()
    np.testing.assert_array_equal(one, four)


def test_allocation_without_gross_rates_is_told(raw: Raw) -> None:
    """Land of a predictor that leaves out ``gross`` changes far less than real land, and nobody would notice."""
    (advice,) = make_setup(config_of(raw)).advice
    assert "'persistence' knows no gross change (Predictor.gross)" in advice
    meant = ({"gross": "none"}, {"gross": {"cropland": 0.01}}, {"method": "argmax"})
    for allocation in meant:
        assert make_setup(config_of(raw, allocation=allocation)).advice == []
