"""The real component through the C interface: one year from C, on one process and on ranks.

The land is a map of 100 x 120 cells of 0.1 degrees where the hosts of host.c have their cells; nothing changes on
it, so that the class areas of the host's grid are those of the map, which this file counts by itself.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import needs
import numpy as np
import pytest
from host_lines import HERE, Line, Mpi
from ranks import launch_settings

from ai4land_coupler import LandComponent
from ai4land_coupler.capi.build import flags
from ai4land_coupler.grids.mesh import Mesh

Run = Callable[..., list[Line]]
EXAMPLE = HERE.parents[1] / "examples" / "hosts" / "c"
CELL = 0.1  # degrees
WEST, NORTH = -0.5, 58.0  # the host's first rank lies within it, the last cell of the second beyond it
CODES = np.array([0, 11, 22, 33, 40, 55, 66, 77], np.uint8)
CLASSES = ("urban", "cropland", "pasture", "forest", "grass_shrub", "other", "water")


@pytest.fixture(scope="module")
def land_map() -> np.ndarray:
    """HILDA+ codes (100, 120), rows from north to south: 0 is ocean."""
    return np.random.default_rng(5).choice(CODES, size=(100, 120))


@pytest.fixture(scope="module")
def config(land_map: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rasterio = pytest.importorskip("rasterio")
    needs.yac()
    folder = tmp_path_factory.mktemp("land")
    with rasterio.open(
        folder / "map.tif",
        "w",
        driver="GTiff",
        height=100,
        width=120,
        count=1,
        dtype="uint8",
        crs="EPSG:4326",
        transform=rasterio.Affine(CELL, 0, WEST, 0, -CELL, NORTH),
    ) as target:
        target.write(land_map, 1)
    path = folder / "run.yaml"
    path.write_text("""
title: nothing changes
legend: hilda-v1.0-f
time: {start: 2000, stop: 2004}
initial: {name: hilda, options: {path: map.tif, legend: hilda-v1.0-f, year: 2000}}
predictors: [{name: persistence, options: {legend: hilda-v1.0-f}}]
allocation: {method: argmax, gross: none}
""")
    return path


def class_areas(land_map: np.ndarray) -> dict[str, float]:
    """Area of each class (km2), cells bounded by meridians and parallels on a sphere of 6371.0072 km."""
    edges = np.deg2rad(NORTH - CELL * np.arange(land_map.shape[0] + 1))
    rows = 6371.0072**2 * np.deg2rad(CELL) * (np.sin(edges[:-1]) - np.sin(edges[1:]))
    return {
        name: float(((land_map == code).sum(axis=1) * rows).sum())
        for name, code in zip(CLASSES, CODES[1:], strict=True)
    }


def cells_of_host(rank: int) -> Mesh:
    """The grid of host.c: two squares of one degree (the second is masked) and a triangle."""
    west = 10.0 * rank + np.arange(3.0)[:, None]
    lon = west + np.array([[0, 1, 1, 0]])
    lat = np.tile([[50.0, 50.0, 51.0, 51.0]], (3, 1))
    lon[2, 3] = lat[2, 3] = np.nan
    ids = 3 * rank + np.arange(3)
    return Mesh("host", ids, lon, lat, "great_circle", np.array([True, False, True]), 1000)


def from_python(config: Path, mesh: Mesh) -> np.ndarray:
    component = LandComponent(config)
    component.initialize()
    component.set_grid(mesh)
    component.realize()
    component.run(2002)
    cover = component.export("land_cover_fraction")
    component.finalize()
    return cover


def exact(line: Line) -> np.ndarray:
    return np.array([float.fromhex(value) for value in line.text.split()]).reshape(len(CLASSES), 3)


def run_calls(config: Path, *first: str) -> list[str]:
    return [*first, f"init={config}", "grid=0", "realize", "run=2002", "exact=land_cover_fraction", "finalize"]


@pytest.mark.parametrize("first", [[], ["traps", "round_up"]])
def test_c_and_python_get_the_same_bits(run_host: Run, plain_host: Path, config: Path, first: list[str]) -> None:
    """Also if the host traps floating-point exceptions and uses another rounding mode."""
    lines = run_host(plain_host, *run_calls(config, *first), python=None)
    assert [line.code for line in lines] == [0] * len(lines)
    found = exact(lines[-3])
    assert 0.5 < found[:, 0].sum() < 1.0  # an eighth is ocean
    np.testing.assert_array_equal(found, from_python(config, cells_of_host(0)))


def test_restart_continues(run_host: Run, plain_host: Path, config: Path) -> None:
    first = [f"init={config}", "run=2001", "grid=0", "realize", "run=2003", "write=restarts", "finalize"]
    lines = run_host(plain_host, *first, f"restart={config}", "year", "grid=0", "realize", "run=2002", python=None)
    codes = [(line.call, line.code) for line in lines if line.code]
    assert codes == [("run", 4), ("run", 5)]  # before realize, and back in time
    assert next(line.text for line in lines if line.call == "year") == "2003"


def test_restart_of_a_year_and_branch(run_host: Run, plain_host: Path, config: Path) -> None:
    """The folder has the restarts of 2002 and 2003. A branch gets the year of time.start, and goes on from there."""
    start = ["grid=0", "realize"]
    first = [f"init={config}", *start, "run=2002", "write=restarts", "exact=land_cover_fraction", "run=2003"]
    again = ["write=restarts", f"restart_2002={config}", *start, "year", "exact=land_cover_fraction"]
    branch = [f"branch_2002={config}", *start, "year", "exact=land_cover_fraction", "run=2002", "year"]
    lines = run_host(plain_host, *first, *again, *branch, python=None)
    assert [line.code for line in lines] == [0] * len(lines)
    assert [line.text for line in lines if line.call == "year"] == ["2002", "2000", "2002"]
    then, continued, branched = (exact(line) for line in lines if line.call == "exact")
    np.testing.assert_array_equal(continued, then)
    np.testing.assert_array_equal(branched, then)


@pytest.mark.mpi
def test_ranks_get_the_bits_of_one(run_host: Run, mpi: Mpi, mpi_host: Path, config: Path) -> None:
    launch = [mpi.launcher, "--oversubscribe", "-n", "2", mpi_host, *run_calls(config, "mpi")]
    lines = run_host(*launch, python=None)
    assert [line.code for line in lines] == [0] * len(lines)
    for rank in (0, 1):
        (line,) = (line for line in lines if line.rank == rank and line.call == "exact")
        found = exact(line)
        assert found[:, 0].sum() > 0.5
        np.testing.assert_array_equal(found, from_python(config, cells_of_host(rank)))


@pytest.mark.mpi
class TestExample:
    """examples/hosts/c/model.c, as its Makefile builds it."""

    @pytest.fixture(scope="class")
    @staticmethod
    def model(c_interface: Path, mpi: Mpi, tmp_path_factory: pytest.TempPathFactory) -> Path:
        program = tmp_path_factory.mktemp("example") / "model"
        command = [
            mpi.compiler,
            "-std=c11",
            "-Wall",
            "-Werror",
            str(EXAMPLE / "model.c"),
            *flags(c_interface).split(),
            "-lm",
        ]
        subprocess.run([*command, "-o", str(program)], check=True)
        return program

    def run_model(self, mpi: Mpi, model: Path, ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [mpi.launcher, "--oversubscribe", "-n", str(ranks), str(model), *arguments]
        environment = os.environ | launch_settings()
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)

    @pytest.mark.parametrize("ranks", [1, 3])
    def test_class_areas_are_those_of_the_map(
        self, mpi: Mpi, model: Path, config: Path, land_map: np.ndarray, ranks: int
    ) -> None:
        done = self.run_model(mpi, model, ranks, str(config), "2000", "2001")
        assert done.returncode == 0, done.stdout + done.stderr
        found = re.findall(r"^(\d{4}) (\w+) +([\d.]+) km2$", done.stdout, re.MULTILINE)
        expected = class_areas(land_map)
        assert [year for year, _, _ in found] == ["2000"] * 7 + ["2001"] * 14
        for _, name, area in found:
            assert float(area) == pytest.approx(expected[name], rel=1e-9)
        assert "error 5: the component cannot run to that date\n  expected: 2001 to 2004\n  found: 1999" in done.stdout
        assert ("ocean" in done.stdout) == (ranks == 3)

    def test_missing_configuration(self, mpi: Mpi, model: Path) -> None:
        done = self.run_model(mpi, model, 2, "absent.yaml", "2000", "2001")
        assert done.returncode == 1
        assert done.stdout.count("a4l_init: error 2: the configuration does not exist") == 2


@pytest.mark.mpi
def test_fortran_example(
    fortran_mpi: Mpi, fortran_interface: Path, config: Path, land_map: np.ndarray, tmp_path: Path
) -> None:
    """examples/hosts/fortran/model.f90, compiled as its Makefile does: six hours a step, arrays of blocks, an ocean."""
    source = EXAMPLE.parent / "fortran" / "model.f90"
    command = [fortran_mpi.compiler, "-O2", str(source), *flags(fortran_interface, fortran=True).split(), "-o", "model"]
    subprocess.run(command, check=True, cwd=tmp_path)
    launch = [fortran_mpi.launcher, "--oversubscribe", "-n", "3", tmp_path / "model"]
    environment = os.environ | launch_settings()

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in (*launch, *arguments)]
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=600, check=False)

    done = run(config, "2000", "2002")
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(\d{4}) (\w+) +([\d.]+) km2$", done.stdout, re.MULTILINE)
    expected = class_areas(land_map)
    assert [(year, name) for year, name, _ in found] == [(y, n) for y in ("2000", "2001", "2002") for n in CLASSES]
    for _, name, area in found:
        assert float(area) == pytest.approx(expected[name], rel=1e-9)
    assert (
        "error 5: the component cannot run to that date\n  expected: 2002-01-01T18:00:00 to 2004\n  found: 1999"
        in done.stdout
    )
    assert "ocean" in done.stdout
    failed = run("absent.yaml", "2000", "2002")
    assert failed.returncode == 1
    assert failed.stdout.count("init: error 2: the configuration does not exist") == 2
