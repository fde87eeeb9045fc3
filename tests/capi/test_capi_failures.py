"""Failures of the real component in a host: a code and a message on every rank, and a component that can continue.

Two ranks, in C and (soak) in Fortran. The plugin of faulty/ fails on one rank, in the year that its options name.
Faults that a component of a few lines shows as well (codes of each call, stale handles, floating-point traps,
MPI_Finalize, two MPI libraries, Python that is not there) are in test_capi_calls.py and test_capi_fortran.py.
"""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import needs
import numpy as np
import pytest
import yaml
from host_lines import HERE, Line, Mpi, packages_of

pytestmark = pytest.mark.mpi
needs.yac()
CONFIG, FIELD, STATE, TIME, GRID, DATA, PLUGIN, REMOTE = 2, 3, 4, 5, 6, 7, 8, 92
Run = Callable[..., list[Line]]
MARCH = "run_date=2002 3 1 0"


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map under the host cells of both ranks."""
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path_factory.mktemp("land") / "map.tif"
    codes = np.random.default_rng(5).choice(np.array([11, 22, 33, 40, 55], np.uint8), size=(60, 150))
    with rasterio.open(
        path, "w", driver="GTiff", height=60, width=150, count=1, dtype="uint8", crs="EPSG:4326",
        transform=rasterio.Affine(0.1, 0, -0.5, 0, -0.1, 53),
    ) as target:  # fmt: skip
        target.write(codes, 1)
    return path


@pytest.fixture(scope="module")
def faulty_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The python of an environment with all packages of this one and the faulty plugin."""
    folder = tmp_path_factory.mktemp("faulty")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "faulty.pth").write_text(f"import site; {packages_of(HERE / 'faulty')}\n")
    distribution = packages / "faulty-0.1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 0.1\n")
    (distribution / "entry_points.txt").write_text("[ai4land]\nfaulty = faulty_predictor\n")
    return str(folder / "bin" / "python")


@pytest.fixture
def configure(land: Path, tmp_path: Path) -> Callable[..., str]:
    def configure(name: str = "run.yaml", options: dict[str, Any] | None = None, **more: Any) -> str:
        raw = {
            "title": "faults to order",
            "legend": "hilda-v1.0-f",
            "time": {"start": 2000, "stop": 2004},
            "initial": {"name": "hilda", "options": {"path": str(land), "legend": "hilda-v1.0-f", "year": 2000}},
            "predictors": [{"name": "faulty", "options": options or {}}],
            "allocation": {"method": "argmax", "gross": "none"},
            "parallel": {"block": 8},
        } | more
        (tmp_path / name).write_text(yaml.safe_dump(raw))
        return f"init={name}"

    return configure


@pytest.fixture(params=["c", pytest.param("fortran", marks=pytest.mark.soak)])
def run_ranks(request: pytest.FixtureRequest, run_host: Run, faulty_python: str) -> Run:
    """Run the host of a language on two ranks."""
    fortran = request.param == "fortran"
    mpi: Mpi = request.getfixturevalue("fortran_mpi" if fortran else "mpi")
    program: Path = request.getfixturevalue("mpi_fortran" if fortran else "mpi_host")
    if fortran:
        words = {"grid": "grid=all", "grid_same": "grid=same", "set": "set=year", "size": "get=long"}
    else:
        words = {"grid": "grid_no_mask=0", "set": "set=air_temperature", "size": "cover=5", MARCH: "run_date=2002-3-1"}

    def run_ranks(*calls: str) -> list[Line]:
        said = [words.get(call, call) for call in calls]
        return run_host(mpi.launcher, "--oversubscribe", "-n", "2", program, "mpi", *said, python=faulty_python)

    return run_ranks


def calls(lines: list[Line], call: str, rank: int) -> list[Line]:
    return [line for line in lines if line.call == call and line.rank == rank]


def test_configuration_that_cannot_be_used(run_ranks: Run, configure: Callable[..., str]) -> None:
    lines = run_ranks(
        configure("a.yaml", legned="hilda"), configure("b.yaml", predictors=[{"name": "persistance"}]),
        configure("c.yaml", predictors=[{"name": "unet", "options": {"bundle": "absent"}}]), configure(), "year",
    )  # fmt: skip
    for rank in (0, 1):
        key, name, weights, good = calls(lines, "init", rank)
        assert (key.code, "legned" in key.text) == (CONFIG, True)
        assert (name.code, "persistence" in name.text) == (PLUGIN, True)
        assert weights.code in (CONFIG, DATA, PLUGIN)
        assert "absent" in weights.text
        assert good.code == 0
        assert calls(lines, "year", rank)[0].text == "2000"


@pytest.mark.parametrize(
    ("fault", "rank"),
    [
        ("raise", 1),
        ("nan", 0),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in (("raise", 0), ("nan", 1), ("exit", 0), ("exit", 1))),
    ],
)
def test_plugin_that_fails_on_one_rank(run_ranks: Run, configure: Callable[..., str], fault: str, rank: int) -> None:
    """In 2002. The component keeps and exports the state of 2001, and fails again; another one runs to the end."""
    bad = configure("bad.yaml", {"fault": fault, "rank": rank})
    lines = run_ranks(
        bad, "grid", "realize", "set", "run=2001", "run=2003", "year", "run=2003", "run=2001", "finalize",
        configure(), "grid", "realize", "set", "run=2003", "finalize",
    )  # fmt: skip
    message = {"raise": "ZeroDivisionError: deep inside a plugin", "exit": "SystemExit", "nan": "not finite"}[fault]
    for each in (0, 1):
        first, failed, again, same, other = calls(lines, "run", each)
        assert [first.code, same.code, other.code] == [0, 0, 0]
        for line in (failed, again):
            assert line.code == (PLUGIN if each == rank else line.code)
            assert line.code in (PLUGIN, REMOTE)
            assert message in line.text or "finite" in line.text
            assert "2002" in line.text
        assert calls(lines, "year", each)[0].text == "2001"
        assert [line.code for line in calls(lines, "finalize", each)] == [0, 0]


def test_impossible_imports(run_ranks: Run, configure: Callable[..., str]) -> None:
    """The next run raises the fault on every rank; with good values the component continues."""
    faults = {"set_nan=1": "no numbers", "mean_units=m": "air_temperature", "set_short=1": "air_temperature"}
    tried = [call for fault in faults for call in ("set", fault, "run=2001", "year")]
    lines = run_ranks(configure(), "grid", "realize", *tried, "set", "run=2001", "year")
    for rank in (0, 1):
        *failed, good = calls(lines, "run", rank)
        for line, message in zip(failed, faults.values(), strict=True):
            assert line.code in (FIELD, REMOTE)
            assert message in line.text
        assert good.code == 0
        assert [line.text for line in calls(lines, "year", rank)] == ["2000"] * 3 + ["2001"]


def test_grid_with_cells_of_two_owners(run_ranks: Run, configure: Callable[..., str]) -> None:
    lines = run_ranks(configure(), "grid_same", "realize", "grid", "realize", "set", "run=2001")
    for rank in (0, 1):
        shared, own = calls(lines, "realize", rank)
        assert shared.code in (GRID, REMOTE)
        assert "0" in shared.text
        assert own.code == 0
        assert calls(lines, "run", rank)[0].code == 0


def test_time_order_and_sizes(run_ranks: Run, configure: Callable[..., str]) -> None:
    """With floating-point traps in the host."""
    lines = run_ranks(
        "traps", "fp", configure(), "run=2001", "grid", "realize", "set", "run=2002", MARCH, "run=2001", "run=2005",
        "size", "get=unknown", "named=T42", "run=2003", "year", "finalize", "finalize", "run=2004",
        "fp",
    )  # fmt: skip
    for rank in (0, 1):
        before, after = calls(lines, "fp", rank)
        assert before == after
        assert "traps 0" not in before.text
        runs = [line.code for line in calls(lines, "run", rank)]
        assert runs == [STATE, 0, TIME, TIME, 0, STATE]
        assert calls(lines, "year", rank)[0].text == "2003"
        assert calls(lines, "named", rank)[0].code == STATE
        assert {line.code for call in ("get", "cover") for line in calls(lines, call, rank)} == {FIELD}
        assert [line.code for line in calls(lines, "finalize", rank)] == [0, STATE]


@pytest.mark.parametrize("grid", [[], ["host"]])
def test_host_that_writes_netcdf_with_its_own_library(
    compile_host: Callable[..., Path], compiler: list[str], land: Path, host_grid: Path, tmp_path: Path, grid: list[str]
) -> None:
    """Before, between and after the calls; also if the component itself reads a netCDF file."""
    import netCDF4

    options = netcdf_options("nc-config", "--cflags", "--libs")
    program = compile_host(HERE / "netcdf_host.c", "netcdf_host", compiler, *options)
    raw = {
        "title": "nothing changes",
        "legend": "hilda-v1.0-f",
        "time": {"start": 2000, "stop": 2004},
        "initial": {"name": "hilda", "options": {"path": str(land), "legend": "hilda-v1.0-f", "year": 2000}},
        "predictors": [{"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}],
        "allocation": {"method": "argmax", "gross": "none"},
        "hosts": {"host": {"grid": str(host_grid)}},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(raw))
    command = [str(program), "run.yaml", "out.nc", *grid]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert file.done == "yes"
        cover = file["land_cover_fraction"][:]
    assert cover.shape == (3, 7, 120 if grid else 2)
    assert cover.max() > 0.1
    assert (cover == cover[0]).all()


def netcdf_options(program: str, *questions: str) -> list[str]:
    return subprocess.check_output([needs.program(program), *questions], text=True).split()
