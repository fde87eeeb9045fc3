"""BMI 2.0: the tester of CSDMS, and checks that it lacks: sizes, units, pointers, inputs, times."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml

from ai4land_coupler import LandComponent
from ai4land_coupler.bmi import LandBmi
from ai4land_coupler.core.units import convert
from ai4land_coupler.errors import Ai4LandError, ConfigError, FieldError, StateError, TimeError
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.grids.topology import topology

needs.yac()

CLASSES = ("urban", "cropland", "pasture", "forest", "grass_shrub", "other", "water")


@pytest.fixture
def config(twin_config: dict[str, Any], tmp_path: Path) -> Path:
    """Persistence and phenology, which needs imports; without defaults."""
    predictors = [
        {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}},
        {"name": "phenology", "options": {"legend": "hilda-v1.0-f", "start": 0.0}},
    ]
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**twin_config, "predictors": predictors}))
    return path


@pytest.fixture
def plain(twin_config: dict[str, Any], tmp_path: Path) -> Path:
    predictors = [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}]
    path = tmp_path / "plain.yaml"
    path.write_text(yaml.safe_dump({**twin_config, "predictors": predictors}))
    return path


@pytest.fixture
def model(config: Path) -> LandBmi:
    bmi = LandBmi()
    bmi.initialize(str(config))
    give(bmi)
    return bmi


def give(bmi: LandBmi, celsius: float = 12.0) -> None:
    for name in bmi.get_input_var_names():
        units = bmi.get_var_units(name)
        value = convert(np.array(celsius), "degC", units) if units == "K" else np.array(1e-5)
        bmi.set_value(name, np.full(bmi.get_grid_size(0), float(value)))


def test_all_functions_of_bmi_with_their_arguments():
    bmipy = pytest.importorskip("bmipy")
    for name, method in inspect.getmembers(bmipy.Bmi, inspect.isfunction):
        ours = getattr(LandBmi, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(method).parameters), name


def test_bmi_tester_passes(plain: Path):
    pytest.importorskip("bmi_tester")
    command = [sys.executable, "-m", "bmi_tester", "ai4land_coupler.bmi:LandBmi", "--config-file", plain.name]
    command += ["--root-dir", str(plain.parent), "--bmi-version", "2.0"]
    # pytest does not look for the tester's conftest.py above the folders that the tester names
    options = {"PYTEST_ADDOPTS": "--confcutdir=/ -p no:cacheprovider"}
    ended = subprocess.run(
        command, env=os.environ | options, cwd=plain.parent, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    assert "passed" in ended.stdout
    assert "failed" not in ended.stdout


def test_names_sizes_units_and_locations(model: LandBmi):
    assert {f"land_cover_fraction__{c}" for c in CLASSES} < set(model.get_output_var_names())
    assert {"lai__1", "lai__12", "land_area_fraction"} < set(model.get_output_var_names())
    assert set(model.get_input_var_names()) == {"air_temperature"}
    assert model.get_input_item_count() == 1
    assert model.get_output_item_count() == len(model.get_output_var_names())
    cells = model.get_grid_size(0)
    assert cells == 120  # 12 x 10 of the fixture
    for name in (*model.get_output_var_names(), *model.get_input_var_names()):
        assert model.get_var_type(name) == "float64"
        assert model.get_var_itemsize(name) == 8
        assert model.get_var_nbytes(name) == 8 * cells == model.get_value_ptr(name).nbytes
        assert model.get_var_location(name) == "face"
        assert model.get_var_grid(name) == 0
        assert model.get_value(name, np.empty(cells)).shape == (cells,)
        convert(np.ones(1), model.get_var_units(name), model.get_var_units(name))  # UDUNITS knows them
    assert model.get_var_units("air_temperature") == "K"


def test_times_and_values_equal_those_of_the_component(model: LandBmi, config: Path):
    """Days over a leap year; values equal the component's own, and a pointer stays the same array."""
    land = LandComponent(config)
    land.initialize()
    land.set_named_grid("host")
    land.realize()
    land.import_("air_temperature", model.get_value("air_temperature", np.empty(120)))

    pointer = model.get_value_ptr("land_cover_fraction__forest")
    first = pointer.copy()
    assert (model.get_start_time(), model.get_current_time(), model.get_time_units()) == (0.0, 0.0, "d")
    assert model.get_end_time() == 365 + 366 + 3 * 365 + 366  # 1 January 2021
    assert model.get_time_step() == 365
    model.update()
    assert model.get_time_step() == 366
    model.update_until(400.25)  # in 2016
    assert model.get_time_step() == 365 + 366 - 400.25
    land.run(2016)
    np.testing.assert_array_equal(pointer, land.export("land_cover_fraction")[CLASSES.index("forest")])
    model.update()
    assert model.get_current_time() == 365 + 366
    land.run(2017)
    np.testing.assert_array_equal(pointer, land.export("land_cover_fraction")[CLASSES.index("forest")])
    np.testing.assert_array_equal(model.get_value("lai__7", np.empty(120)), land.export("lai")[6])
    picked = model.get_value_at_indices("lai__7", np.empty(2), np.array([5, 17]))
    np.testing.assert_array_equal(picked, land.export("lai")[6][[5, 17]])
    assert not np.array_equal(pointer, first)
    model.update_until(model.get_end_time())
    assert model.get_time_step() == 0


@pytest.mark.parametrize(("calendar", "days"), [("noleap", 6 * 365), ("360_day", 6 * 360)])
def test_other_calendars(plain: Path, calendar: str, days: int):
    bmi = LandBmi(calendar)
    bmi.initialize(str(plain))
    assert bmi.get_end_time() == days
    bmi.update_until(days)
    assert bmi.get_time_step() == 0


def test_inputs_affect_results(model: LandBmi, config: Path):
    """Colder air gives less leaf area; an input that was set on some cells only is refused by name."""
    model.update()
    warm = model.get_value("lai__7", np.empty(120))
    cold = LandBmi()
    cold.initialize(str(config))
    give(cold, celsius=-20.0)
    cold.update()
    assert np.nanmean(cold.get_value("lai__7", np.empty(120))) < np.nanmean(warm)

    partly = LandBmi()
    partly.initialize(str(config))
    partly.set_value_at_indices("air_temperature", np.array([3]), np.array([280.0]))
    assert partly.get_value("air_temperature", np.empty(120))[3] == 280
    with pytest.raises(FieldError, match="air_temperature"):
        partly.update()
    partly.get_value_ptr("air_temperature")[:] = 285.0  # through the array itself, as BMI allows
    partly.update()


def test_faulty_calls_are_refused(model: LandBmi, config: Path, tmp_path: Path, twin_config: dict[str, Any]):
    model.update()
    with pytest.raises(TimeError, match="back"):
        model.update_until(1.0)
    with pytest.raises(TimeError):
        model.update_until(model.get_end_time() + 400)
    with pytest.raises(TimeError, match="not a number"):
        model.update_until(float("nan"))
    with pytest.raises(FieldError, match="land_cover_fraction__forest"):
        model.get_var_units("land_cover_fraction__forests")
    with pytest.raises(FieldError, match="output"):
        model.set_value("land_area_fraction", np.zeros(120))
    with pytest.raises(ValueError, match="read-only"):
        model.get_value_ptr("land_area_fraction")[:] = 0
    for call in (
        lambda: model.get_grid_type(1),
        lambda: model.get_grid_shape(0, np.empty(2)),
        lambda: model.get_grid_spacing(0, np.empty(2)),
        lambda: model.get_grid_origin(0, np.empty(2)),
        lambda: model.get_grid_z(0, np.empty(2)),
        lambda: model.initialize(str(config)),
    ):
        with pytest.raises(Ai4LandError):
            call()
    model.finalize()
    model.finalize()
    with pytest.raises(StateError, match="not initialised"):
        model.update()
    two = twin_config["hosts"] | {"other": twin_config["hosts"]["host"]}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({**twin_config, "hosts": two}))
    with pytest.raises(ConfigError, match="one grid"):
        LandBmi().initialize(str(tmp_path / "two.yaml"))


def test_topology_of_two_cells_by_hand():
    """Two squares side by side share an edge; a triangle at the pole has three corners."""
    nan = np.nan
    mesh = Mesh(
        "hand",
        np.arange(3),
        np.array([[0, 10, 10, 0], [10.0, 20, 20, 10], [0, 10, 5, nan]]),
        np.array([[0, 0, 10, 10], [0.0, 0, 10, 10], [80, 80, 90, nan]]),
        "great_circle",
        np.ones(3, bool),
        3,
    )
    found = topology(mesh)
    assert found.node_lon.size == 6 + 3
    assert len(found.edge_nodes) == 7 + 3
    np.testing.assert_array_equal(found.nodes_per_face, [4, 4, 3])
    shared = set(found.face_edges[:4]) & set(found.face_edges[4:8])
    assert len(shared) == 1
    for face in np.split(np.arange(11), [4, 8]):
        nodes = found.face_nodes[face]
        for here, following, edge in zip(nodes, np.roll(nodes, -1), found.face_edges[face], strict=True):
            assert set(found.edge_nodes[edge]) == {here, following}


def test_euler_characteristic(model: LandBmi):
    """V - E + F of a block of cells without holes is 1."""
    counts = model.get_grid_node_count(0), model.get_grid_edge_count(0), model.get_grid_face_count(0)
    assert counts[0] - counts[1] + counts[2] == 1
    x = model.get_grid_x(0, np.empty(counts[0]))
    assert x.min() >= 0
    assert x.max() < 360
    per_face = model.get_grid_nodes_per_face(0, np.empty(counts[2], np.int32))
    assert (per_face == 4).all()
    faces = model.get_grid_face_nodes(0, np.empty(per_face.sum(), np.int32))
    edges = model.get_grid_face_edges(0, np.empty(per_face.sum(), np.int32))
    assert np.bincount(edges).max() == 2
    assert faces.max() == counts[0] - 1


def test_arrays_that_do_not_fit_are_refused(model: LandBmi) -> None:
    """numpy would fill all cells with one value, take cells from the end, or drop the mask of a masked array."""
    name, size = "air_temperature", model.get_grid_size(0)
    for fault in (
        lambda: model.set_value(name, np.array([280.0])),
        lambda: model.set_value(name, np.full(size + 1, 280.0)),
        lambda: model.set_value(name, np.full(size, "x")),
        lambda: model.set_value_at_indices(name, np.array([0, 1]), np.array([280.0])),
        lambda: model.set_value_at_indices(name, np.array([-1]), np.array([280.0])),
        lambda: model.set_value_at_indices(name, np.array([size]), np.array([280.0])),
        lambda: model.get_value(name, np.empty(size + 1)),
        lambda: model.get_value_at_indices(name, np.empty(1), np.array([size])),
        lambda: model.get_value_at_indices(name, np.empty(1), np.array([0.5])),
    ):
        with pytest.raises(FieldError):
            fault()
    model.set_value(name, np.full(size, 280, np.int16).reshape(2, -1))
    assert (model.get_value(name, np.empty(size)) == 280.0).all()
    model.set_value(name, np.ma.masked_array(np.full(size, 280.0), np.arange(size) == 7))
    with pytest.raises(FieldError, match="values that are no numbers"):
        model.update()
