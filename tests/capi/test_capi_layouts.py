"""The layouts of a host's arrays: order, blocks, kind; from C, with expected arrays written by hand.

The component of small_component.py exports landCoverFrac as the numbers 0 to 5 in (2 types, 3 cells): type t of cell
c is 3 t + c. The host's memory holds -1 before each call, so -1 is memory that was left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from host_lines import Line
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.capi.layout import KINDS, ORDERS, Layout, put, take

Run = Callable[..., list[Line]]
CELL, TYPE, IN_BLOCK = range(3)
START = ["init=good.yaml", "grid=1", "realize", "run=2001"]


@pytest.fixture(autouse=True)
def good(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("")


MEMORY = {
    (CELL, 0): "0 1 2 3 4 5",
    (CELL, 2): "0 1 2 -1 3 4 5 -1",
    (TYPE, 0): "0 3 1 4 2 5",
    (TYPE, 2): "0 3 1 4 2 5 -1 -1",
    (IN_BLOCK, 2): "0 1 3 4 2 -1 5 -1",
    (IN_BLOCK, 3): "0 1 2 3 4 5",
    (IN_BLOCK, 5): "0 1 2 -1 -1 3 4 5 -1 -1",
}


@pytest.mark.parametrize("kind", [4, 8])
def test_values_are_in_the_order_of_the_header(run_host: Run, plain_host: Path, kind: int) -> None:
    calls = []
    for (order, nproma), text in MEMORY.items():
        size = len(text.split())
        calls += [f"array={order}:{kind}:{nproma}:2:{size}", f"show={kind}:{size + 2}"]
    lines = run_host(plain_host, *START, *calls)
    assert all(line.code == 0 for line in lines)
    shown = [line.text for line in lines if line.call == "show"]
    assert shown == [text + " -1 -1" for text in MEMORY.values()]  # nothing is written beyond the array


@pytest.mark.parametrize("bound", [False, True])
def test_additional_blocks_do_not_change(run_host: Run, plain_host: Path, bound: bool) -> None:
    call = "bind" if bound else "array"
    lines = run_host(plain_host, *START, f"{call}=2:8:2:2:12", "show=8:12")
    assert lines[-2].text == "0 1 3 4 2 -1 5 -1 -1 -1 -1 -1"


MISFITS = [
    ("0:8:0:0:5", "expected: 6 values, 2 x 3|  found: 5"),
    ("0:8:0:3:6", "wrong number of types|  expected: 2|  found: 3"),
    ("1:8:0:0:12", "expected: 6 values, 2 x 3|  found: 12"),
    ("0:8:2:0:6", "expected: whole blocks of 2 x 2, 2 or more for 3 cells|  found: 6 values, 1.5 blocks"),
    ("2:8:2:0:4", "2 or more for 3 cells|  found: 4 values, 1 blocks"),
    ("2:8:0:0:6", "impossible block length"),
    ("0:8:-1:0:6", "impossible block length"),
    ("3:8:0:0:6", "unknown order for landCoverFrac|  expected: A4L_CELL_FASTEST (0)"),
    ("0:2:0:0:6", "unknown kind of number|  expected: A4L_REAL32 or A4L_REAL64|  found: 2"),
    ("0:8:0:0:-6", "size is negative (-6)"),
]


@pytest.mark.parametrize("call", ["array", "bind"])
def test_array_that_does_not_fit(run_host: Run, plain_host: Path, call: str) -> None:
    calls = [word for how, _ in MISFITS for word in (f"{call}={how}", "show=8:7")]
    lines = run_host(plain_host, *START, *calls, "run=2002")
    for (how, message), tried, shown in zip(MISFITS, lines[4:-2:2], lines[5:-2:2], strict=True):
        assert tried.code == 3
        assert message in tried.text
        assert shown.text == " ".join(["-1"] * 7), how
    assert lines[-2].code == 0


class TestBinding:
    """`lai` is the cell's id and the year: 0.2001 1.2001 2.2001 in 2001."""

    def test_array_follows_the_runs(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(
            plain_host, *START, "bind_lai=0:8:0:1:3", "show=8:4", "run=2002", "show=8:4", "run=2002", "run=2003",
            "show=8:4",
        )  # fmt: skip
        shown = [line.text for line in lines if line.call == "show"]
        assert shown == [f"0.{year} 1.{year} 2.{year} -1" for year in (2001, 2002, 2003)]

    def test_failed_run_does_not_change_it(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(plain_host, *START, "bind_lai=0:8:0:1:3", "run=1999", "show=8:3")
        assert [line.code for line in lines[5:7]] == [5, 0]
        assert lines[6].text == "0.2001 1.2001 2.2001"

    def test_end_of_a_binding(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(plain_host, *START, "bind_lai=0:8:0:1:3", "unbind=lai", "run=2002", "show=8:3", "unbind=lei")
        assert lines[-3].text == "0.2001 1.2001 2.2001"
        assert lines[-2].code == 3

    def test_nothing_is_written_after_finalize(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(plain_host, *START, "bind_lai=0:8:0:1:3", "finalize", "run=2002", "show=8:3")
        assert [line.code for line in lines[4:7]] == [0, 0, 4]
        assert lines[-2].text == "0.2001 1.2001 2.2001"

    def test_before_the_grid(self, run_host: Run, plain_host: Path) -> None:
        lines = run_host(plain_host, "init=good.yaml", "bind_lai=0:8:0:1:3")
        assert (lines[1].code, "no grid" in lines[1].text) == (4, True)


def test_a_wrapper_can_leave_its_message(run_host: Run, plain_host: Path) -> None:
    (line, _) = run_host(plain_host, "fail=6")
    assert (line.code, line.text) == (6, "what a wrapper found")


@given(
    types=st.integers(1, 4),
    cells=st.integers(0, 20),
    kind=st.sampled_from(sorted(KINDS)),
    order=st.sampled_from(range(len(ORDERS))),
    nproma=st.integers(0, 7),
    spare=st.integers(0, 2),
)
def test_every_cell_is_at_its_index(types: int, cells: int, kind: int, order: int, nproma: int, spare: int) -> None:
    """Against the indices of a4l.h, element by element; `take` returns the values of `put`."""
    nproma = max(nproma, 1) if ORDERS[order] == "type_in_block" else nproma
    blocks = (cells + nproma - 1) // nproma + spare if nproma else 0
    padded = blocks * nproma if nproma else cells
    flat = np.full(types * padded, -1, KINDS[kind])
    values = np.arange(types * cells, dtype=float).reshape(types, cells)
    layout = Layout(kind, order, nproma)
    put(values, flat, "field", layout)
    left = np.ones(flat.size, bool)
    for t in range(types):
        for c in range(cells):
            block, element = divmod(c, nproma) if nproma else (0, c)
            length = nproma or cells
            index = {
                "cell_fastest": t * padded + block * length + element,
                "type_fastest": (block * length + element) * types + t,
                "type_in_block": (block * types + t) * length + element,
            }[ORDERS[order]]
            assert flat[index] == values[t, c]
            left[index] = False
    assert (flat[left] == -1).all()
    np.testing.assert_array_equal(take(flat, types, cells, "field", layout), values)
