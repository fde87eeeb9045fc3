"""ai4land_mod in compiled Fortran hosts: shapes, kinds and strides of arrays, codes and messages.

test_capi_layouts.py describes the values: landCoverFrac is 0 to 5 in (2 types, 3 cells), and -1 is memory that was not
written.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import needs
import pytest
from host_lines import Line, Mpi

from ai4land_coupler.capi import build as building
from ai4land_coupler.capi.build import build, flags
from ai4land_coupler.errors import ConfigError, RunError

Run = Callable[..., list[Line]]
START = ["init=good.yaml", "grid=all", "realize", "run=2001"]
STRIDED = "0 -1 1 -1 2 -1 -1 -1 -1 -1 -1 -1 3 -1 4 -1 5 -1 -1 -1 -1 -1 -1 -1"
LAI = "0.2001 1.2001 2.2001"


@pytest.fixture(autouse=True)
def good(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("")


def numbers(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def answers(lines: list[Line], *calls: str) -> list[tuple[int, str]]:
    return [(line.code, line.text) for line in lines if line.call in calls]


def test_parameters_of_the_module_are_those_of_the_header() -> None:
    header = (building.SOURCES / "a4l.h").read_text()
    module = re.sub(r"!.*", "", (building.SOURCES / building.MODULE).read_text())
    in_header = dict(re.findall(r"^(?:#define )?\s*(A4L_\w+) (?:= )?\(?(-?\d+)", header, re.MULTILINE))
    in_module = dict(re.findall(r"(A4L_\w+) = (-?\d+)", module))
    assert len(in_module) > 15
    assert in_header == in_module | {"A4L_REAL32": "4", "A4L_REAL64": "8", "A4L_MESSAGE_LENGTH": "4096"}
    assert "REAL32 = 4, REAL64 = 8" in module
    assert "MESSAGE_LENGTH = 4096" in module


def test_module_covers_every_function_of_the_header() -> None:
    header = (building.SOURCES / "a4l.h").read_text()
    module = (building.SOURCES / building.MODULE).read_text()
    covered = set(re.findall(r"name='(a4l_\w+)'", module))
    # a4l_get_array and a4l_set_array do what these two do
    assert covered | {"a4l_get_field", "a4l_set_field"} == set(re.findall(r"^A4L_API int (a4l_\w+)\(", header, re.M))


def test_a_whole_run(run_host: Run, plain_fortran: Path, tmp_path: Path) -> None:
    lines = run_host(
        plain_fortran, "abi", "init=good.yaml", "grid=mask", "realize", "count", "run=2003", "year",
        "info=landCoverFrac", "info=lai", "type=2", "write=state.txt", "finalize",
    )  # fmt: skip
    assert [(line.call, line.code, line.text) for line in lines] == [
        ("abi", 0, "3 3"),
        ("init", 0, ""),
        ("grid", 0, ""),
        ("realize", 0, ""),
        ("count", 0, "3"),
        ("run", 0, ""),
        ("year", 0, "2003"),
        ("info", 0, "2 1"),
        ("info", 0, "1 m2 m-2"),
        ("type", 0, "cropland"),
        ("write", 0, ""),
        ("finalize", 0, ""),
        ("end", 0, ""),
    ]
    assert (tmp_path / "state.txt").read_text() == "2003"


GOT = {
    "row": "0 1 2 3 4 5",
    "table": "0 1 2 3 4 5",
    "turned": "0 3 1 4 2 5",
    "blocks": "0 1 2 -1 3 4 5 -1",
    "blocks_turned": "0 3 1 4 2 5 -1 -1",
    "type_in_block": "0 1 3 4 2 -1 5 -1",
    "wide": STRIDED,
    "plain": LAI,
    "plain_blocks": LAI + " -1",
    "row4": "0 1 2 3 4 5",
    "table4": "0 1 2 3 4 5",
    "turned4": "0 3 1 4 2 5",
    "blocks4": "0 1 2 -1 3 4 5 -1",
    "wide4": STRIDED,
    "plain4": LAI,
}


def test_get_into_every_shape_kind_and_stride(run_host: Run, plain_fortran: Path) -> None:
    lines = run_host(plain_fortran, *START, *(f"get={how}" for how in GOT))
    found = answers(lines, "get")
    assert [code for code, _ in found] == [0] * len(GOT)
    for (how, expected), (_, text) in zip(GOT.items(), found, strict=True):
        assert numbers(text) == pytest.approx(numbers(expected), rel=1e-6), how


def test_get_into_arrays_that_do_not_fit(run_host: Run, plain_fortran: Path) -> None:
    messages = {
        "wrong": "wrong number of types|  expected: 2|  found: 3",
        "long": "expected: 6 values, 2 x 3|  found: 9",
        "order": "unknown order",
        "unknown": "did you mean 'lai'?",
        "none": "expected: 3 values|  found: 0",
    }
    lines = run_host(plain_fortran, *START, *(f"get={how}" for how in messages), "get=plain")
    *found, after = answers(lines, "get")
    for (code, text), message in zip(found, messages.values(), strict=True):
        assert code == 3
        assert message in text
    assert after[0] == 0


def test_bound_arrays_follow_the_runs(run_host: Run, plain_fortran: Path) -> None:
    lines = run_host(
        plain_fortran, *START, "bind=plain", "show=plain", "run=2002", "show=plain", "bind=plain_blocks", "run=2003",
        "show=plain_blocks", "bind=plain4", "show=plain4", "unbind=lai", "run=2004", "show=plain4",
    )  # fmt: skip
    assert all(line.code == 0 for line in lines)
    shown = [numbers(text) for _, text in answers(lines, "show")]
    for found, (year, rest) in zip(shown, [(1, []), (2, []), (3, [-1.0]), (3, []), (3, [])], strict=True):
        assert found == pytest.approx([0.2 + 1e-4 * year + cell for cell in range(3)] + rest, rel=1e-6)


def test_bind_shapes_and_kinds(run_host: Run, plain_fortran: Path) -> None:
    ways = {how: GOT[how] for how in ("row", "table", "blocks", "row4", "table4")} | {"blocks4": GOT["type_in_block"]}
    calls = [call for how in ways for call in (f"bind={how}", f"show={how}")]
    lines = run_host(plain_fortran, *START, *calls)
    assert [(code, numbers(text)) for code, text in answers(lines, "show")] == [(0, numbers(t)) for t in ways.values()]


def test_strided_array_is_refused_and_not_written(run_host: Run, plain_fortran: Path) -> None:
    """Compilers pass a temporary copy to a `contiguous` argument: values written to it later would be lost."""
    lines = run_host(plain_fortran, *START, "bind=wide", "run=2002", "show=wide")
    assert answers(lines, "bind") == [
        (3, "bind: the array for landCoverFrac is strided; only contiguous memory can be bound")
    ]
    assert set(numbers(lines[-2].text)) == {-1.0}


def test_imports_of_every_shape_kind_and_stride(run_host: Run, plain_fortran: Path) -> None:
    """Monthly: 3 (month - 1) + cell - 1, the mean over the year is 16.5, 17.5, 18.5."""
    monthly = ["row", "row4", "table", "table4", "turned", "wide", "wide4", "blocks"]
    yearly = ["year", "year4", "year_blocks"]
    for ways, expected, other in ((monthly, [16.5, 17.5, 18.5], "year"), (yearly, [280, 281, 282], "table")):
        calls = [call for how in ways for call in (f"set={how}", "get=temperature", f"set={other}")]
        lines = run_host(plain_fortran, *START, *calls)
        assert all(line.code == 0 for line in lines)
        assert [numbers(text) for _, text in answers(lines, "get")] == [expected] * len(ways)


def test_mistakes_give_code_and_message(run_host: Run, plain_fortran: Path) -> None:
    lines = run_host(
        plain_fortran, "init=absent.yaml", "stale", "init=good.yaml", "keep", "init=good.yaml", "grid=shape",
        "grid=short_mask", "named=T24", "count", "set=length", "grid=empty", "realize", "count", "grid=all",
        "set=length", "run=1999", "type=0", "type=3", "finalize", "finalize", "year", "stale",
    )  # fmt: skip
    assert [(line.call, line.code) for line in lines if line.call not in ("keep", "end")] == [
        ("init", 2), ("stale", 4), ("init", 0), ("init", 0), ("grid", 6), ("grid", 6), ("named", 2), ("count", 4),
        ("set", 4), ("grid", 0), ("realize", 0), ("count", 0), ("grid", 0), ("set", 3), ("run", 5), ("type", 3),
        ("type", 3), ("finalize", 0), ("finalize", 4), ("year", 4), ("stale", 0),
    ]  # fmt: skip
    assert lines[0].text == "the configuration does not exist|  found: absent.yaml|  what to do: check the path"
    assert "call a4l_init first" in lines[1].text or "no component has this handle" in lines[1].text
    assert "(nvert, ncell)" in lines[5].text
    assert "mask" in lines[6].text


def test_floating_point_traps_of_the_host_stay(run_host: Run, plain_fortran: Path, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("numbers=0")
    lines = run_host(plain_fortran, "traps", "fp", *START, "get=table", "fp", "finalize")
    assert all(line.code == 0 for line in lines)
    assert answers(lines, "fp") == [(0, "T T T")] * 2


def test_restart_is_passed_on(run_host: Run, plain_fortran: Path) -> None:
    assert run_host(plain_fortran, "restart=good.yaml", "year")[1].text == "2010"


@pytest.mark.mpi
class TestRanks:
    @pytest.fixture
    def run_ranks(self, run_host: Run, fortran_mpi: Mpi, mpi_fortran: Path) -> Run:
        def run_ranks(*calls: str) -> list[Line]:
            return run_host(fortran_mpi.launcher, "--oversubscribe", "-n", "2", mpi_fortran, "mpi", *calls)

        return run_ranks

    def test_each_rank_gets_its_cells(self, run_ranks: Run) -> None:
        lines = run_ranks(*START, "get=plain", "finalize")
        assert all(line.code == 0 for line in lines)
        for rank in (0, 1):
            (found,) = [numbers(line.text) for line in lines if line.call == "get" and line.rank == rank]
            assert found == pytest.approx([3 * rank + cell + 0.2001 for cell in range(3)])

    @pytest.mark.parametrize("rank", [0, 1])
    def test_failure_of_one_rank_reaches_both(self, run_ranks: Run, tmp_path: Path, rank: int) -> None:
        (tmp_path / "good.yaml").write_text(f"raise={rank}")
        lines = run_ranks(*START, "realize", "finalize")
        found = {line.rank: line for line in lines if line.call == "run"}
        assert (found[rank].code, found[1 - rank].code) == (90, 92)
        assert all("ZeroDivisionError: deep inside a predictor" in line.text for line in found.values())
        assert [line.code for line in lines if line.call in ("realize", "finalize")] == [0] * 6

    def test_configuration_that_one_rank_lacks(self, run_ranks: Run) -> None:
        lines = run_ranks("init_alone=good.yaml", *START)
        assert [line.code for line in lines if line.call == "init_alone"] == [2, 2]
        assert [line.code for line in lines if line.call == "run"] == [0, 0]

    def test_calls_after_mpi_finalize(self, run_ranks: Run) -> None:
        lines = run_ranks("init=good.yaml", "grid=all", "mpi_finalize", "run=2001", "finalize", "init=good.yaml")
        for rank in (0, 1):
            found = [(line.call, line.code) for line in lines if line.rank == rank]
            assert found[3:6] == [("run", 4), ("finalize", 0), ("init", 4)]


class TestBuild:
    def test_source_compiles_with_the_host_alone(self, c_interface: Path, fortran: str, tmp_path: Path) -> None:
        """Without `--fc`, the source is copied for the host's own build."""
        (tmp_path / "h.f90").write_text("use ai4land_mod\nprint *, a4l_abi()\nend\n")
        command = [fortran, str(c_interface / "src/ai4land_mod.f90"), "h.f90", *flags(c_interface).split(), "-o", "h"]
        subprocess.run(command, cwd=tmp_path, check=True)
        assert subprocess.check_output("./h", cwd=tmp_path, text=True).split() == ["3"]
        with pytest.raises(ConfigError, match="build --fc"):
            flags(c_interface, fortran=True)

    def test_pkg_config(self, fortran_interface: Path) -> None:
        folder = str(fortran_interface / "lib/pkgconfig")
        command = [needs.program("pkg-config"), f"--with-path={folder}", "--cflags", "--libs", "a4l_fortran"]
        found = subprocess.check_output(command, text=True).split()
        assert set(found) == set(flags(fortran_interface, fortran=True).split())
        assert found.index("-la4l_fortran") < found.index("-la4l")

    def test_missing_or_failing_compiler(self, compiler: list[str], fortran: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no such Fortran compiler\n  found: absent-fc"):
            build(tmp_path, fortran="absent-fc")
        with pytest.raises(RunError, match="the Fortran compiler failed"):
            build(tmp_path, fortran=f"{fortran} --no-such-option")
        assert not (tmp_path / "lib/liba4l_fortran.a").exists()
