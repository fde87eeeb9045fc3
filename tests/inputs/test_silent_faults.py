"""No silent faults: every fault in every input variable is refused by name, or the same values are read.

The inputs are read as in a run, through :class:`LandSetup`, for a predictor that reads every variable.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import rasterio
from installed_plugins import install
from rasterio.transform import Affine

from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.core.fields import FieldSpec
from ai4land_coupler.errors import Ai4LandError
from ai4land_coupler.experiments.twin import TwinReport
from ai4land_coupler.inputs.readers import StaticReader
from ai4land_coupler.land.first_state import FirstState
from ai4land_coupler.land.forcing import LandForcing
from ai4land_coupler.land.gaps import find_gaps, refuse_large_gaps
from ai4land_coupler.land.setup import make_setup

Raw = dict[str, Any]
Arrays = dict[str, np.ndarray]
FRACTIONS = ("primf", "primn", "secdf", "secdn", "urban", "c3ann", "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range")
STATES = (*FRACTIONS, "secma", "secmb")
#: Variables of each file, with their units.
FILES: dict[str, dict[str, str]] = {
    "scenario": dict.fromkeys(FRACTIONS, "1") | {"secma": "year", "secmb": "kg m-2"},
    "static_luh2": {"icwtr": "1", "carea": "m2"},
    "elevation": {"elevation": "m"},
    "terrain": {"slope": "degree", "aspect": "degree"},
    "soil": {"clay": "1", "sand": "1", "organic_carbon": "g kg-1"},
}
COARSE = ("scenario", "static_luh2")
EVERY = [(file, name) for file, names in FILES.items() for name in names]
AS_FRACTION = [(file, name) for file, name in EVERY if FILES[file][name] == "1"]

WANTS_ALL = f"""
from ai4land_coupler.api import FieldSpec, Options, Predictor, PredictorSpec, hookimpl

FORCING = {dict(FILES["scenario"]) | dict(FILES["static_luh2"])!r}
STATIC = {dict(FILES["elevation"]) | dict(FILES["terrain"]) | dict(FILES["soil"])!r}


class WantsAllOptions(Options):
    pass


class WantsAll(Predictor):
    spec = PredictorSpec(
        inputs=(
            FieldSpec("land_cover", "1", source="cover", offsets=(-1,)),
            *(FieldSpec(n, u, source="forcing", grid="forcing", offsets=(-1, 0)) for n, u in FORCING.items()),
            *(FieldSpec(n, u, source="static") for n, u in STATIC.items()),
        ),
        outputs=(FieldSpec("land_cover_logits", "1", source="output"),),
        legend="hilda-v1.0-f",
    )

    def predict(self, batch, rng):
        raise NotImplementedError("only its inputs are read")


@hookimpl
def ai4land_register(registry):
    registry.predictor("wants-all", lambda options: WantsAll(), WantsAllOptions)
"""


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the predictor that wants every variable."""
    folder = tmp_path_factory.mktemp("site") / "site"
    install(folder, "wants-all", WANTS_ALL)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    del sys.modules["wants_all"]


@pytest.fixture
def inputs(small_twin: TwinReport, predictor: None, tmp_path: Path) -> Callable[..., Raw]:
    """The configuration of a run whose files may be replaced."""

    def config(**files: Path | str) -> Raw:
        paths = {name: str(path) for name, path in {**small_twin.paths, **files}.items()}
        return {
            "title": "faults",
            "legend": "hilda-v1.0-f",
            "time": {"start": 2015, "stop": 2017},
            "initial": {"name": "hilda", "options": {"path": paths["maps"], "legend": "hilda-v1.0-f"}},
            "forcing": [
                {"name": "luh2", "options": {"states": paths["states"], "static": paths["static_luh2"]}},
                {"name": "ssp", "options": {"states": paths["scenario"]}},
            ],
            "static": [{"name": "static", "options": {"path": paths[n]}} for n in ("terrain", "elevation", "soil")],
            "predictors": [{"name": "wants-all"}],
            "quality": {},
        }

    return config


def read(raw: Raw) -> Arrays:
    """All arrays that the first two steps of a run read."""
    setup = make_setup(parse_config(raw, Path(), "run.yaml"))
    forcing = LandForcing(setup)
    state = FirstState(setup, forcing).from_map()
    refuse_large_gaps(setup, [find_gaps(setup, forcing, state, {})])
    found: Arrays = {}
    for year in (2016, 2017):
        for (name, own), values in forcing.of_step(setup.clock.at(year)).fields.items():
            found[f"{name} {own}"] = values
    statics = StaticReader(setup.static, setup.grid)
    wanted = {name: units for file in ("elevation", "terrain", "soil") for name, units in FILES[file].items()}
    for name, units in wanted.items():
        found[name] = statics.read(FieldSpec(name, units, "static"), setup.grid.box)
    cover = np.zeros(setup.grid.shape, np.uint8)
    for block in setup.own_blocks:
        cover[block.core.slices()] = state.cover[block.id]
    found["land_cover"] = cover
    return found


@pytest.fixture(scope="module")
def clean(small_twin: TwinReport) -> Arrays:
    """Filled by the first test that reads the files as they are."""
    return {}


def as_before(raw: Raw, clean: Arrays, inputs: Callable[..., Raw]) -> None:
    if not clean:
        clean.update(read(inputs()))
    found = read(raw)
    assert found.keys() == clean.keys()
    for name, values in clean.items():
        # the same numbers, but for single precision in another unit
        np.testing.assert_allclose(found[name], values, rtol=3e-7, atol=1e-12, err_msg=name)


def refused(raw: Raw, *names: str) -> None:
    with pytest.raises(Ai4LandError) as caught:
        read(raw)
    assert caught.value.exit_code == 2
    for name in names:
        assert name in str(caught.value), f"{name!r} is not in:\n{caught.value}"


Change = Callable[[netCDF4.Dataset], None]


def spoil(source: Path, folder: Path, change: Change) -> Path:
    path = folder / source.name
    shutil.copy(source, path)
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_mask(False)
        change(file)
    return path


def patch(file: netCDF4.Dataset, name: str, value: float) -> None:
    """Put a value into a patch of land; of the second year only, where there are years."""
    variable = file[name]
    rows, cols = (slice(s // 4, s // 2) for s in variable.shape[-2:])
    values = variable[:]
    part = values[1, rows, cols] if values.ndim == 3 else values[rows, cols]
    part[np.abs(part) < 1e19] = value
    variable[:] = values


def test_the_files_themselves_are_read(inputs: Callable[..., Raw], clean: Arrays) -> None:
    as_before(inputs(), clean, inputs)
    assert len(clean) == 16 * 3 + 6 + 1
    assert all(np.isfinite(values).any() for values in clean.values())


@pytest.mark.parametrize(("file", "name"), EVERY, ids=lambda v: v)
class TestRefused:
    """Faults that are wrong under any units."""

    @pytest.fixture
    def spoilt(self, small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, file: str) -> Any:
        return lambda change: inputs(**{file: spoil(small_twin.paths[file], tmp_path, change)})

    @pytest.fixture
    def file_name(self, small_twin: TwinReport, file: str) -> str:
        return small_twin.paths[file].name

    def test_missing_variable(self, spoilt: Any, file: str, name: str, file_name: str) -> None:
        def rename(dataset: netCDF4.Dataset) -> None:
            # by its standard name it would be found
            dataset[name].setncattr("standard_name", "another")
            dataset.renameVariable(name, f"{name}_x")

        if name in ("slope", "aspect"):  # then they come from the elevation, and the catalogue says so
            setup = make_setup(parse_config(spoilt(rename), Path(), "run.yaml"))
            assert "elevation.nc" in setup.static.source(name)
            assert file_name not in setup.static.source(name)
        else:
            refused(spoilt(rename), name, file_name)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e20], ids=["NaN", "inf", "1e20"])
    def test_not_a_number(self, spoilt: Any, file: str, name: str, file_name: str, value: float) -> None:
        refused(spoilt(partial(patch, name=name, value=value)), name, file_name)

    def test_negative(self, spoilt: Any, file: str, name: str, file_name: str) -> None:
        value = -9999.0 if name == "elevation" else -5.0 if name in ("secma", "secmb", "organic_carbon") else -0.5
        refused(spoilt(partial(patch, name=name, value=value)), name, file_name)

    def test_units_of_something_else(self, spoilt: Any, file: str, name: str, file_name: str) -> None:
        refused(spoilt(lambda f: f[name].setncattr("units", "K")), name, file_name, "units")


@pytest.mark.parametrize(("file", "name"), AS_FRACTION, ids=lambda v: v)
class TestPerCent:
    @staticmethod
    def per_cent(file: netCDF4.Dataset, name: str, label: str) -> None:
        values = file[name][:]
        file[name][:] = np.where(np.abs(values) < 1e19, values * np.float32(100), values)
        file[name].units = label

    def test_as_fraction_is_refused(
        self, small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, file: str, name: str
    ) -> None:
        path = spoil(small_twin.paths[file], tmp_path, partial(self.per_cent, name=name, label="1"))
        refused(inputs(**{file: path}), name, path.name)

    def test_labelled_is_read(
        self, small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, file: str, name: str, clean: Arrays
    ) -> None:
        path = spoil(small_twin.paths[file], tmp_path, partial(self.per_cent, name=name, label="%"))
        as_before(inputs(**{file: path}), clean, inputs)


def test_km2_under_m2(small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, clean: Arrays) -> None:
    """LUH2 has areas in km2. The same numbers with units of m2 are refused; correct areas in m2 are read."""
    source = small_twin.paths["static_luh2"]
    path = spoil(source, tmp_path, lambda f: f["carea"].setncattr("units", "m2"))
    refused(inputs(static_luh2=path), "carea", path.name, "km2")

    def convert(file: netCDF4.Dataset) -> None:
        file["carea"][:] = file["carea"][:] * np.float32(1e6)
        file["carea"].units = "m2"

    as_before(inputs(static_luh2=spoil(source, tmp_path, convert)), clean, inputs)


@pytest.mark.parametrize("file", ["states", *FILES])
class TestCoordinates:
    @staticmethod
    def shift(file: netCDF4.Dataset, axis: str, cells: float) -> None:
        step = float(file[axis][1] - file[axis][0])
        file[axis][:] = file[axis][:] + cells * step

    @staticmethod
    def flip(file: netCDF4.Dataset, coordinate: bool) -> None:
        for name, variable in file.variables.items():
            if "lat" in variable.dimensions and (coordinate or name != "lat"):
                variable[:] = np.flip(variable[:], variable.dimensions.index("lat"))

    @pytest.mark.parametrize("axis", ["lat", "lon"])
    def test_half_a_cell_off(
        self, small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, file: str, axis: str
    ) -> None:
        path = spoil(small_twin.paths[file], tmp_path, partial(self.shift, axis=axis, cells=0.5))
        refused(inputs(**{file: path}), path.name, "cell")

    def test_rows_from_south_to_north(
        self, small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, file: str, clean: Arrays
    ) -> None:
        path = spoil(small_twin.paths[file], tmp_path, partial(self.flip, coordinate=True))
        as_before(inputs(**{file: path}), clean, inputs)

    def test_longitudes_up_to_360(
        self, small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, file: str, clean: Arrays
    ) -> None:
        def turn(dataset: netCDF4.Dataset) -> None:
            dataset["lon"][:] = dataset["lon"][:] + 360.0

        as_before(inputs(**{file: spoil(small_twin.paths[file], tmp_path, turn)}), clean, inputs)


def whole_circle(source: Path, folder: Path, west: float) -> Path:
    """The same data on all 1440 columns, counted from ``west``: the region lies on both sides of the seam at 0."""
    path = folder / source.name
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(path, "w") as new:
        old.set_auto_mask(False)
        columns = np.rint((old["lon"][:] - (west + 0.125)) % 360.0 / 0.25).astype(int)
        for name, dimension in old.dimensions.items():
            new.createDimension(name, 1440 if name == "lon" else dimension.size)
        for name, variable in old.variables.items():
            made = new.createVariable(name, variable.dtype, variable.dimensions, fill_value=False, zlib=True)
            made.setncatts({k: v for k, v in variable.__dict__.items() if k != "_FillValue"})
            if name == "lon":
                made[:] = west + 0.125 + 0.25 * np.arange(1440)
            elif "lon" in variable.dimensions:
                values = np.full((*variable.shape[:-1], 1440), np.float32(1e20))
                values[..., columns] = variable[:]
                made[:] = values
            else:
                made[:] = variable[:]
    return path


@pytest.mark.parametrize("west", [0.0, -180.0])
@pytest.mark.parametrize("file", ["states", "scenario"])
def test_the_whole_circle_from_0_to_360(
    small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, clean: Arrays, file: str, west: float
) -> None:
    as_before(inputs(**{file: whole_circle(small_twin.paths[file], tmp_path, west)}), clean, inputs)


@pytest.mark.parametrize("file", ["states", "scenario"])
@pytest.mark.parametrize(
    "units", ["", "days since 2015-01-01", "months since 2015-01-01", "years", "hours since 2015-01-01"]
)
def test_time_units(small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path, file: str, units: str) -> None:
    path = spoil(small_twin.paths[file], tmp_path, lambda f: f["time"].setncattr("units", units))
    refused(inputs(**{file: path}), path.name, "time")


def test_reference_year(small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path) -> None:
    """A scenario that starts in the wrong year does not have the years of the run."""
    path = spoil(
        small_twin.paths["scenario"], tmp_path, lambda f: f["time"].setncattr("units", "years since 1015-01-01 0:0:0")
    )
    refused(inputs(scenario=path), "2016", path.name)


def test_missing_year(small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path) -> None:
    def drop(file: netCDF4.Dataset) -> None:
        time = file["time"][:]
        file["time"][:] = np.where(time >= 1, time + 1, time)

    path = spoil(small_twin.paths["scenario"], tmp_path, drop)
    refused(inputs(scenario=path), "2016", path.name)


def test_a_hole_in_all_variables(small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path) -> None:
    def hole(file: netCDF4.Dataset) -> None:
        for name in STATES:
            values = file[name][:]
            values[:, 2:5, 2:7] = 1e20
            file[name][:] = values

    path = spoil(small_twin.paths["scenario"], tmp_path, hole)
    refused(inputs(scenario=path), "of the land", path.name)


def test_jump_from_history_to_scenario(small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path) -> None:
    """Forest and pasture swapped in the scenario: each file is good, and the two do not fit."""

    def swap(file: netCDF4.Dataset) -> None:
        one, other = file["secdf"][:], file["pastr"][:]
        file["secdf"][:], file["pastr"][:] = other, one

    path = spoil(small_twin.paths["scenario"], tmp_path, swap)
    refused(inputs(scenario=path), "jump", path.name, "2015")


class TestLandCover:
    """The map of the initial state."""

    @pytest.fixture
    def changed(self, small_twin: TwinReport, inputs: Callable[..., Raw], tmp_path: Path) -> Any:
        def make(change: Callable[[np.ndarray, Any], tuple[np.ndarray, Any]], dtype: str = "float64") -> Raw:
            source = Path(str(small_twin.paths["maps"]).format(year=2015))
            with rasterio.open(source) as file:
                codes, profile = file.read(1), file.profile
            codes, transform = change(codes.astype(dtype), profile["transform"])
            profile.update(dtype=dtype, transform=transform)
            with rasterio.open(tmp_path / source.name, "w", **profile) as file:
                file.write(codes, 1)
            return inputs(maps=tmp_path / source.name)

        return make

    @pytest.mark.parametrize("value", [np.inf, -np.inf, 1e20, -1.0, -44.0, 4400.0, 44.5])
    def test_refused_values(self, changed: Any, value: float) -> None:
        def put(codes: np.ndarray, transform: Any) -> tuple[np.ndarray, Any]:
            codes[20:30, 20:30] = value
            return codes, transform

        refused(changed(put), "hilda_plus_2015", "map holds")

    def test_half_a_cell_off(self, changed: Any) -> None:
        """Its cells have the size of those of the static fields but are shifted by half a cell."""
        refused(changed(lambda codes, t: (codes, t @ Affine.translation(0.5, 0))), "elevation.nc", "half a cell")

    def test_missing_map(self, inputs: Callable[..., Raw]) -> None:
        refused(inputs(maps="nowhere_2015.tif"), "nowhere_2015.tif")

    def test_a_hole_is_counted(self, changed: Any) -> None:
        """Cells without data are not land, as outside the United Kingdom in its maps. Their number is reported."""

        def hole(codes: np.ndarray, transform: Any) -> tuple[np.ndarray, Any]:
            codes[20:30, 20:30] = np.nan
            return codes, transform

        setup = make_setup(parse_config(changed(hole), Path(), "run.yaml"))
        first = FirstState(setup, LandForcing(setup))
        first.from_map()
        assert sum(first.mended.values()) == 100
        assert {key.fault for key in first.mended} == {"no_data"}
