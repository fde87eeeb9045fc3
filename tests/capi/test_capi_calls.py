"""The C interface as a host sees it: codes and messages, and a process that survives each of them.

The hosts are compiled programs (host.c); Python runs inside them with the component of small_component.py.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from host_lines import HERE, Line, Mpi

from ai4land_coupler.capi.build import find_compiler

Run = Callable[..., list[Line]]
STATE, FIELD, PYTHON, MPI, REMOTE = 4, 3, 90, 91, 92


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration without faults."""
    (tmp_path / "good.yaml").write_text("")
    return "init=good.yaml"


def answers(lines: list[Line], rank: int = 0) -> list[tuple[str, int, str]]:
    return [(line.call, line.code, line.text) for line in lines if line.rank == rank and line.call != "end"]


def last(lines: list[Line]) -> Line:
    """The last call before the host ends."""
    assert lines[-1].call == "end"
    return lines[-2]


def test_a_whole_run(run_host: Run, plain_host: Path, config: str, tmp_path: Path) -> None:
    lines = run_host(
        plain_host, config, "grid=1", "realize", "count", "run=2003", "year", "info=landCoverFrac", "type=1",
        "cover=6", "info=lai", "get=lai", "write=state.txt", "finalize",
    )  # fmt: skip
    assert answers(lines) == [
        ("init", 0, "1"),
        ("grid", 0, ""),
        ("realize", 0, ""),
        ("count", 0, "3"),
        ("run", 0, ""),
        ("year", 0, "2003"),
        ("info", 0, "2 1"),
        ("type", 0, "cropland"),
        ("cover", 0, "0 1 2 3 4 5"),
        ("info", 0, "1 m2 m-2"),
        ("get", 0, "0.2003 1.2003 2.2003"),
        ("write", 0, ""),
        ("finalize", 0, ""),
    ]
    assert (tmp_path / "state.txt").read_text() == "2003"


def test_grid_arrives_with_mask_and_padding(run_host: Run, plain_host: Path, config: str) -> None:
    """The third cell of the host is a triangle that repeats a corner; the mask makes the number negative."""
    masked = run_host(plain_host, config, "grid=0", "get=corners")
    whole = run_host(plain_host, config, "grid_no_mask=1", "get=corners")
    assert last(masked).text == "4 -4 3"
    assert last(whole).text == "4 4 3"


def test_rank_without_cells(run_host: Run, plain_host: Path, config: str) -> None:
    lines = run_host(plain_host, config, "grid_empty", "realize", "count", "run=2001", "cover=0", "get=lai")
    assert [line.code for line in lines[:-2]] == [0] * 6
    assert lines[3].text == "0"
    assert last(lines).code == FIELD  # three values asked for, none here


def test_imports_arrive_yearly_and_monthly(run_host: Run, plain_host: Path, config: str) -> None:
    lines = run_host(
        plain_host, config, "grid=1", "set=air_temperature", "get=temperature", "set_monthly=air_temperature",
        "get=temperature", "set=air_temprature",
    )  # fmt: skip
    assert lines[3].text == "280 281 282"
    assert lines[5].text == "16.5 17.5 18.5"  # means over 12 months of 3 m + cell
    assert last(lines).code == FIELD
    assert "air_temperature" in last(lines).text


def test_restart_is_passed_on(run_host: Run, plain_host: Path, config: str) -> None:
    lines = run_host(plain_host, config.replace("init", "restart"), "year")
    assert last(lines) == Line(0, "year", 0, "2010")


@pytest.mark.parametrize(
    ("calls", "code", "message"),
    [
        (["init=absent.yaml"], 2, "the configuration does not exist|  found: absent.yaml|  what to do: check the path"),
        (["init_null"], 1, "a4l_init: the argument 'config' is a null pointer"),
        (["run=2001"], STATE, "run: call a4l_init first"),
        (["init=good.yaml", "handle=9", "run=2001"], STATE, "no component has this handle|"),
        (["init=good.yaml", "finalize", "finalize"], STATE, "no component has this handle|"),
        (["init=good.yaml", "finalize", "init=good.yaml", "handle=1", "year"], STATE, "taken back: [2]"),
        (["init=good.yaml", "run=1999"], 5, "the year lies in the past|  expected: 2000 or later|  found: 1999"),
        (["init=good.yaml", "count"], STATE, "no grid has been set"),
        (["init=good.yaml", "grid=7"], 6, "unknown kind of edges"),
        (["init=good.yaml", "grid_null"], 1, "'global_id' is a null pointer"),
        (["init=good.yaml", "grid_negative"], 6, "impossible sizes"),
        (["init=good.yaml", "named=T24"], 2, "did you mean 'T42'?"),
        (["init=good.yaml", "grid=0", "cover=5"], FIELD, "expected: 6 values, 2 x 3|  found: 5"),
        (["init=good.yaml", "grid=0", "cover=-1"], FIELD, "n is negative"),
        (["init=good.yaml", "grid=0", "get_null=lai"], 1, "'data' is a null pointer"),
        (["init=good.yaml", "get=lei"], FIELD, "did you mean 'lai'?"),
        (["init=good.yaml", "info=lei"], FIELD, "did you mean 'lai'?"),
        (["init=good.yaml", "info=\udcff"], FIELD, "no export has this name"),
        (["init=good.yaml", "type=2"], FIELD, "landCoverFrac has no such type|  expected: below 2|  found: 2"),
        (["init=good.yaml", "info_short=lai"], 1, "expected: a buffer of 7 bytes|  found: 2"),
        (["init=good.yaml", "write=/absent/state"], PYTHON, "FileNotFoundError"),
    ],
)
def test_mistake_gives_code_and_message(
    run_host: Run, plain_host: Path, config: str, calls: list[str], code: int, message: str
) -> None:
    found = last(run_host(plain_host, *calls))
    assert found.code == code
    assert message in found.text


def test_failure_keeps_outputs_and_later_calls_work(run_host: Run, plain_host: Path, config: str) -> None:
    lines = run_host(plain_host, "init=absent.yaml", "show_handle", config, "handle=9", "year", "handle=1", "year")
    assert lines[1].text == "-7"
    assert lines[4].code == STATE
    assert last(lines) == Line(0, "year", 0, "2000")


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        ("raise", PYTHON, "ZeroDivisionError: deep inside a predictor|  where: small_component.py:"),
        ("exit", PYTHON, "SystemExit: 7"),
        ("unprintable", PYTHON, "Unprintable"),
        ("nul", 2, "a zero ? byte"),
        ("long", 2, "xxx"),
    ],
)
def test_exception_becomes_an_error(
    run_host: Run, plain_host: Path, tmp_path: Path, fault: str, code: int, message: str
) -> None:
    (tmp_path / "bad.yaml").write_text(f"{fault}=0")
    lines = run_host(plain_host, "init=bad.yaml", "run=2001", "year", "finalize")
    assert lines[1].code == code
    assert message in lines[1].text
    assert len(lines[1].text) < 4096
    assert [(line.call, line.code, line.text) for line in lines[2:-1]] == [("year", 0, "2000"), ("finalize", 0, "")]


def test_output_of_python_is_in_order(run_host: Run, plain_host: Path, tmp_path: Path) -> None:
    (tmp_path / "loud.yaml").write_text("print=0")
    lines = run_host(plain_host, "init=loud.yaml", "run=2001", "year")
    assert [line.call for line in lines] == ["init", "(Python)", "run", "year", "end"]


def test_floating_point_environment_of_the_host_is_restored(
    run_host: Run, plain_host: Path, config: str, tmp_path: Path
) -> None:
    """Traps would break numpy's import, and a rounding mode would change results; both are restored."""
    (tmp_path / "numbers.yaml").write_text("numbers=0")
    calls = ["init=numbers.yaml", "grid=1", "run=2001", "get=third"]
    usual = run_host(plain_host, *calls)
    unusual = run_host(plain_host, "traps", "round_up", "fp", *calls, "fp", "finalize")
    assert last(usual).text == unusual[6].text
    before, after = (line.text for line in unusual if line.call == "fp")
    assert before.startswith("traps ")
    assert not before.startswith("traps 0")
    assert before == after
    assert all(line.code == 0 for line in unusual)


@pytest.mark.parametrize("parallel", [False, True])
def test_host_loaded_at_run_time_with_hidden_symbols(
    run_host: Run, compile_host: Callable[..., Path], request: pytest.FixtureRequest, config: str, parallel: bool
) -> None:
    compiler = [request.getfixturevalue("mpi").compiler] if parallel else request.getfixturevalue("compiler")
    defines = ["-DAS_PLUGIN"] + ([] if parallel else ["-DWITHOUT_MPI"])
    plugin = compile_host(HERE / "host.c", f"plugin{parallel:d}.so", compiler, *defines, "-shared", "-fPIC")
    loader = plugin.parent / "loader"
    subprocess.run([*find_compiler(), str(HERE / "loader.c"), "-ldl", "-o", str(loader)], check=True)
    lines = run_host(loader, plugin, *(["mpi"] if parallel else []), config, "grid=1", "run=2001", "get=lai")
    assert last(lines) == Line(0, "get", 0, "0.2001 1.2001 2.2001")


def test_missing_python(run_host: Run, plain_host: Path) -> None:
    lines = run_host(plain_host, "init=good.yaml", "init=good.yaml", python="/absent/python")
    assert [line.code for line in lines[:-1]] == [PYTHON, PYTHON]
    assert "found: /absent/python" in lines[0].text
    assert lines[0].text == lines[1].text


def test_python_without_the_package(run_host: Run, plain_host: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "bare"], cwd=tmp_path, check=True)
    found = last(run_host(plain_host, "init=good.yaml", python=str(tmp_path / "bare/bin/python")))
    assert found.code == PYTHON
    assert "ai4land_coupler cannot be imported: ModuleNotFoundError: No module named 'ai4land_coupler'" in found.text
    assert "bare/bin/python|  what to do: set A4L_PYTHON" in found.text


def test_environment_of_the_host_is_ignored(run_host: Run, plain_host: Path, config: str) -> None:
    lines = run_host(plain_host, config, PYTHONHOME="/absent", PYTHONPATH="/absent", PYTHONSAFEPATH="", LC_ALL="C")
    assert last(lines).code == 0


def test_python_that_was_built_in(run_host: Run, plain_host: Path, tmp_path: Path) -> None:
    """Without A4L_PYTHON, the Python that ran `build` is used, with the real component."""
    found = last(run_host(plain_host, "init=absent.yaml", python=None))
    assert found.code == 2
    assert "absent.yaml" in found.text


def test_python_program_as_host(c_interface: Path, small_python: str, tmp_path: Path) -> None:
    """Called from Python, the C interface joins the running interpreter."""
    (tmp_path / "good.yaml").write_text("")
    program = """
import ctypes, sys
c_interface = ctypes.CDLL(sys.argv[1])
handle, year = ctypes.c_int(-7), ctypes.c_int(0)
assert c_interface.a4l_finalize(1) == 4
for i in range(20):
    assert c_interface.a4l_init(b"good.yaml", -1, ctypes.byref(handle)) == 0
    assert c_interface.a4l_run(handle, 2005) == 0
    assert c_interface.a4l_year(handle, ctypes.byref(year)) == 0 and year.value == 2005
    assert c_interface.a4l_run(handle, 1999) == 5
    assert c_interface.a4l_finalize(handle) == 0
assert handle.value == 20
import small_component
"""
    command = [small_python, "-c", program, str(c_interface / "lib/liba4l.so")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


def test_version_of_the_library(c_interface: Path) -> None:
    assert ctypes.CDLL(str(c_interface / "lib/liba4l.so")).a4l_abi_version() == 3


@pytest.mark.mpi
class TestRanks:
    @pytest.fixture
    def run_ranks(self, run_host: Run, mpi: Mpi, mpi_host: Path) -> Run:
        def run_ranks(*calls: str) -> list[Line]:
            return run_host(mpi.launcher, "--oversubscribe", "-n", "2", mpi_host, "mpi", *calls)

        return run_ranks

    def test_each_rank_gets_its_cells(self, run_ranks: Run, config: str) -> None:
        lines = run_ranks(config, "grid=1", "realize", "run=2001", "get=lai", "finalize")
        assert answers(lines, 0)[4] == ("get", 0, "0.2001 1.2001 2.2001")
        assert answers(lines, 1)[4] == ("get", 0, "3.2001 4.2001 5.2001")
        assert all(line.code == 0 for line in lines)

    @pytest.mark.parametrize(
        ("fault", "message"), [("raise", "ZeroDivisionError: deep inside a predictor"), ("exit", "SystemExit: 7")]
    )
    @pytest.mark.parametrize("rank", [0, 1])
    def test_failure_of_one_rank_reaches_both(
        self, run_ranks: Run, tmp_path: Path, fault: str, message: str, rank: int
    ) -> None:
        (tmp_path / "bad.yaml").write_text(f"{fault}={rank}")
        lines = run_ranks("init=bad.yaml", "run=2001", "realize", "finalize")
        own, other = answers(lines, rank)[1], answers(lines, 1 - rank)[1]
        assert own[:2] == ("run", PYTHON)
        assert message in own[2]
        assert other[:2] == ("run", REMOTE)
        assert f"rank {rank}" in other[2]
        assert message in other[2]
        assert [line.code for line in lines if line.call in ("realize", "finalize")] == [0] * 4

    def test_configuration_that_one_rank_lacks(self, run_ranks: Run, config: str) -> None:
        lines = run_ranks(config.replace("init", "init_alone"), config, "grid=1", "realize", "run=2001")
        found = [(line.rank, line.code) for line in lines if line.call == "init_alone"]
        assert sorted(found) == [(0, 2), (1, 2)]
        assert [line.code for line in lines if line.call == "run"] == [0, 0]

    def test_calls_after_mpi_finalize(self, run_ranks: Run, config: str) -> None:
        lines = run_ranks(config, "grid=1", "mpi_finalize", "run=2001", "finalize", "init=good.yaml")
        for rank in (0, 1):
            found = answers(lines, rank)
            assert found[3][:2] == ("run", STATE)
            assert "after MPI_Finalize" in found[3][2]
            assert found[4][:2] == ("finalize", 0)
            assert found[5][:2] == ("init", STATE)

    def test_number_that_is_no_communicator(self, run_ranks: Run, config: str) -> None:
        lines = run_ranks("comm=99999", config)
        found = [(line.code, "cannot be used" in line.text) for line in lines if line.call == "init"]
        assert found == [(MPI, True)] * 2

    def test_error_handlers_of_the_host_do_not_change(self, run_ranks: Run, config: str) -> None:
        lines = run_ranks("errors", config, "grid=1", "run=2001", "errors", "finalize", "errors")
        assert [line.text for line in lines if line.call == "errors"] == ["1 1"] * 6

    def test_mpi_that_does_not_run(self, run_host: Run, mpi_host: Path, config: str) -> None:
        found = last(run_host(mpi_host, "comm=0", config))
        assert found.code == MPI
        assert "MPI is not initialised" in found.text
        assert "libmpi" in found.text

    def test_two_mpi_libraries(
        self, run_host: Run, compile_host: Callable[..., Path], compiler: list[str], config: str
    ) -> None:
        """The host is linked to a library that claims to run, and mpi4py loads its own: the message names both."""
        pytest.importorskip("mpi4py.MPI")
        other = compile_host(HERE / "other_mpi.c", "libmpi_other.so", compiler, "-shared", "-fPIC")
        host = compile_host(
            HERE / "host.c", "with_other", compiler, "-DWITHOUT_MPI", "-Wl,--no-as-needed", str(other),
            f"-Wl,-rpath,{other.parent}",
        )  # fmt: skip
        lines = run_host(host, "comm=0", config, "comm=-1", config, MPI4PY_LIBMPI=_libmpi_of_mpi4py())
        assert lines[1].code == MPI
        assert "2 MPI libraries in one process" in lines[1].text
        assert "libmpi_other.so (initialised)" in lines[1].text
        assert "(not initialised)" in lines[1].text


def _libmpi_of_mpi4py() -> str:
    """The file that mpi4py loads in this process."""
    program = (
        "from mpi4py import MPI\n"
        "from ai4land_coupler.parallel.mpi_libraries import loaded_libraries\n"
        "print(*loaded_libraries())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    return done.stdout.strip()
