"""Dates, the next state, imports with a date and the host's own surface, from C and from Fortran.

small_component.py tells what the component answers: `lai` of 2001 is 0.2001, 1.2001, 2.2001; the next state is 1000
more; its run ends in 2005; an import's date shows in its values.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from host_lines import Line

Run = Callable[..., list[Line]]
C_START = ["init=good.yaml", "calendar=360_day", "grid=1", "realize", "run=2001"]
FORTRAN_START = ["init=good.yaml", "calendar=360_day", "grid=all", "realize", "run=2001"]


@pytest.fixture(autouse=True)
def good(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("")


def numbers(line: Line) -> list[float]:
    return [float(word) for word in line.text.split()]


def of(lines: list[Line], *calls: str) -> list[Line]:
    return [line for line in lines if line.call in calls]


class TestC:
    def test_dates(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(
            plain_host, *C_START, "date", "run_date=2001-2-30-43200", "date", "steps", "year", "run_date=2001-2-29",
            "run_date=2001-3-31", "date", "run_date=2002-1-1", "steps", "year",
        )  # fmt: skip
        assert [(line.call, line.code, line.text) for line in lines[5:10]] == [
            ("date", 0, "2001 1 1 0"),
            ("run_date", 0, ""),
            ("date", 0, "2001 2 30 43200"),
            ("steps", 0, "1"),
            ("year", 0, "2001"),
        ]
        assert [line.code for line in lines[10:12]] == [5, 5]
        assert "no such date" in lines[11].text
        assert [line.text for line in lines[12:-1]] == ["2001 2 30 43200", "", "2", "2002"]

    def test_unknown_calendar(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(plain_host, "init=good.yaml", "calendar=360_days")
        assert (lines[1].code, "did you mean '360_day'?" in lines[1].text) == (5, True)

    def test_next_state_and_the_time_between(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(
            plain_host, *C_START, "next_year", "get=lai@next", "get=lai@date", "run_date=2001-7-1", "get=lai@date",
            "get=lai", "info=lai@next", "get=lai@later", "get=lai@", "run=2005", "next_year", "get=lai@next",
            "get=lai@date",
        )  # fmt: skip
        found = lines[5:-1]
        assert found[0].text == "2002"
        assert found[1].text == "1000.2 1001.2 1002.2"
        assert found[2].text == "0.2001 1.2001 2.2001"
        assert found[4].text == "500.2 501.2 502.2"  # 1 July is six twelfths on
        assert found[5].text == "0.2001 1.2001 2.2001"
        assert found[6].text == "1 m2 m-2"
        assert [(line.code, "lai, lai@next or lai@date" in line.text) for line in found[7:9]] == [(3, True)] * 2
        assert [line.code for line in found[9:13]] == [0, 5, 5, 0]
        assert "exports.lookahead" in found[10].text
        assert found[12].text == "0.2005 1.2005 2.2005"  # the last state stands still

    def test_bound_array_between_two_states(self, run_host: Run, plain_host: Path) -> None:
        start = [call for call in C_START if call not in ("realize", "run=2001")]
        lines = run_host(
            plain_host, *start, "bind_date=0:8:0:1:3", "show=8:3", "realize", "show=8:3", "run_date=2000-7-1",
            "show=8:3", "run_date=2000-10-1", "show=8:3", "run=2005", "show=8:3",
        )  # fmt: skip
        assert all(line.code == 0 for line in lines)
        assert [numbers(line)[0] for line in of(lines, "show")] == [0.2, 0.2, 500.2, 750.2, 0.2005]

    def test_tables_of_fields(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(
            plain_host, "init=good.yaml", "fields=0", "fields=1", "fields=2", "export=1", "export=99", "export=-1",
            "import=0", "import_units=air_temperature", "import_units=air_temprature",
        )  # fmt: skip
        assert [line.code for line in lines[1:-1]] == [0, 0, 3, 0, 3, 3, 0, 0, 3]
        assert [lines[i].text for i in (1, 2, 4, 7, 8)] == ["7", "1", "lai", "air_temperature", "K"]
        assert "A4L_EXPORT (0) or A4L_IMPORT (1)" in lines[3].text
        assert "did you mean 'air_temperature'?" in lines[9].text

    def test_import_with_date_and_units(self, run_host: Run, plain_host: Path) -> None:
        """1, 2, 3 up to noon of 3 February 2001, in real32 blocks of two."""
        lines = run_host(plain_host, *C_START, "mean", "exact=temperature", "mean_celsius", "exact=temperature")
        kelvin, celsius = ([float.fromhex(v) for v in line.text.split()] for line in of(lines, "exact"))
        assert kelvin == pytest.approx([cell + 2001.0203005 for cell in (1, 2, 3)], abs=1e-9)
        assert celsius == pytest.approx([cell + 2001.0203005 + 273.15 for cell in (1, 2, 3)], abs=1e-9)

    def test_surface_of_the_host(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(
            plain_host, "init=good.yaml", "surface=2", "grid=1", "surface=3", "surface=2", "land=2", "land=3",
            "realize", "exact=surface", "exact=land",
        )  # fmt: skip
        assert [line.code for line in lines] == [0, 4, 0, 3, 0, 3, 0, 0, 0, 0, 0]
        surface, land = ([float.fromhex(v) for v in line.text.split()] for line in of(lines, "exact"))
        assert surface == [1, 2, 3, 4, 5, 6]
        assert land == [0.5, 0.25, 1]

    def test_branch(self, run_host: Run, plain_host: Path) -> None:
        assert run_host(plain_host, "branch=good.yaml", "year")[1].text == "2020"

    def test_restart_year(self, run_host: Run, plain_host: Path) -> None:
        """The small component adds the year of the restart to its own."""
        assert run_host(plain_host, "restart_year=good.yaml", "year")[1].text == "2015"
        assert run_host(plain_host, "branch_year=good.yaml", "year")[1].text == "2017"


class TestFortran:
    def test_dates(self, run_host: Run, plain_fortran: Path) -> None:
        lines = run_host(
            plain_fortran, *FORTRAN_START, "date", "run_date=2001 2 30 43200", "date", "run_half=2001 2 30 43200",
            "date", "steps", "run_date=2001 2 29 0", "next_year", "calendar=nought", "run=2005", "next_year",
        )  # fmt: skip
        assert [(line.code, line.text) for line in lines[5:11]] == [
            (0, "2001 1 1 .0"), (0, ""), (0, "2001 2 30 43200.0"), (0, ""), (0, "2001 2 30 43200.5"), (0, "1"),
        ]  # fmt: skip
        assert [line.code for line in lines[11:-1]] == [5, 0, 5, 0, 5]
        assert lines[12].text == "2002"

    def test_next_state_and_the_time_between(self, run_host: Run, plain_fortran: Path) -> None:
        lines = run_host(plain_fortran, *FORTRAN_START, "get=next", "run_date=2001 7 1 0", "get=date")
        following, between = of(lines, "get")
        assert numbers(following) == pytest.approx([1000.2001, 1001.2001, 1002.2001])
        assert numbers(between) == pytest.approx([500.2001, 501.2001, 502.2001])

    def test_tables_of_fields(self, run_host: Run, plain_fortran: Path) -> None:
        lines = run_host(
            plain_fortran, "init=good.yaml", "exports", "imports", "import=1", "import=0", "import=2",
            "import_units=air_temperature",
        )  # fmt: skip
        assert [(line.code, line.text) for line in lines[1:4]] == [(0, "7"), (0, "1"), (0, "air_temperature")]
        assert [line.code for line in lines[4:7]] == [3, 3, 0]
        assert lines[6].text == "K"

    def test_import_with_date_and_units(self, run_host: Run, plain_fortran: Path) -> None:
        ways = ["x", "x4", "celsius", "wide", "blocks", "blocks4", "flat_blocks"]
        calls = [call for how in ways for call in (f"mean={how}", "get=temperature", "set=year")]
        lines = of(run_host(plain_fortran, *FORTRAN_START, *calls), "mean", "get")
        assert len(lines) == 2 * len(ways)
        for mean, got in zip(lines[::2], lines[1::2], strict=True):
            assert mean.code == 0
            assert numbers(got) == pytest.approx([cell + 2001.0203005 for cell in (1, 2, 3)], rel=1e-7)

    def test_import_of_the_wrong_size(self, run_host: Run, plain_fortran: Path) -> None:
        lines = run_host(plain_fortran, *FORTRAN_START, "mean=short")
        assert (lines[-2].code, "expected: 3 values|  found: 2" in lines[-2].text) == (3, True)

    def test_surface_of_the_host(self, run_host: Run, plain_fortran: Path) -> None:
        ways = ["row", "table", "table4", "turned", "wide", "blocks", "blocks4"]
        calls = [call for how in ways for call in (f"surface={how}", "get=surface")]
        lines = of(run_host(plain_fortran, "init=good.yaml", "grid=all", "realize", *calls), "get")
        assert [numbers(line) for line in lines] == [[1, 2, 3, 4, 5, 6]] * len(ways)

    def test_land_fraction_and_wrong_shapes(self, run_host: Run, plain_fortran: Path) -> None:
        for how in ("land", "land_blocks"):
            lines = run_host(plain_fortran, "init=good.yaml", "grid=all", f"surface={how}", "realize", "get=land")
            assert numbers(lines[-2]) == [0.5, 0.25, 1]
        lines = run_host(plain_fortran, "init=good.yaml", "grid=all", "surface=wrong")
        assert (lines[2].code, "wrong number of types|  expected: 2|  found: 3" in lines[2].text) == (3, True)

    def test_branch(self, run_host: Run, plain_fortran: Path) -> None:
        lines = run_host(plain_fortran, "branch=good.yaml", "year", "branch_only=good.yaml")
        assert (lines[1].text, lines[2].code) == ("2020", 2)

    def test_restart_year(self, run_host: Run, plain_fortran: Path) -> None:
        assert run_host(plain_fortran, "restart_year=good.yaml", "year")[1].text == "2015"
        lines = run_host(plain_fortran, "branch_year=good.yaml", "year", "year_only=good.yaml")
        assert (lines[1].text, lines[2].code) == ("2017", 2)
