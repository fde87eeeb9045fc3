"""Regridding on several ranks gives the results of one rank, and every rank raises the error of one rank."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import needs
import numpy as np
import pytest
import scipy.sparse as sp
from ranks import environment, launcher

pytestmark = [pytest.mark.mpi]
needs.yac()

#: Cases that are dealt out to the ranks, each compared with its own answer on one.
METHODS = [
    "closed form",
    "cut triangles",
    "library",
    "fraction",
    "bilinear",
    "bilinear from triangles",
    "bilinear from rows",
    "nearest",
]

PROGRAM = Path(__file__).with_name("mpi_program.py")
Runs = Callable[[int], Path]


def mpirun(ranks: int, folder: Path, cases: list[str], **variables: str) -> Path:
    """Run cases of the program; the folder of its answers."""
    done = subprocess.run(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "mpi4py", PROGRAM, folder, *cases],
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=600,  # a hang is a failure
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


#: One start for all cases of a number of ranks: starting costs more than running.
CASES = {
    1: ["blocks", *METHODS],
    2: ["blocks", "dealt"],
    3: ["blocks", "dealt", "apart", "sub-communicator", "faults", *METHODS],
    4: ["dealt", *METHODS],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Runs:
    """The folder of answers of a number of ranks, which run when the first test asks for them."""
    return cache(lambda ranks: mpirun(ranks, tmp_path_factory.mktemp(f"ranks{ranks}"), CASES[ranks]))


#: `make test` has three ranks, of which each has two others to exchange with.
RANKS = [3, pytest.param(4, marks=pytest.mark.soak)]


APPLIED = ("aggregate", "fields", "single", "holes")


def answers(folder: Path, case: str) -> dict[str, np.ndarray]:
    """The answers of all ranks, put together by global destination id."""
    parts = [dict(np.load(path)) for path in sorted(folder.glob(f"{case}.*.npz"))]
    order = np.argsort(np.concatenate([part["cells"] for part in parts]))
    ids, values = (np.concatenate([part[name] for part in parts]) for name in ("source_ids", "values"))
    lengths = np.concatenate([np.diff(part["indptr"]) for part in parts])
    rows = sp.csr_matrix((values, np.unique(ids, return_inverse=True)[1], np.cumsum([0, *lengths])))[order]
    together = {
        "values": rows.data,
        "columns": rows.indices,
        "source_ids": np.unique(ids),
        "row_lengths": lengths[order],
        "land": np.array(sum(part["source_area"].sum() for part in parts)),
    }
    for name in (*APPLIED, "destination_fraction", "destination_area"):
        together[name] = np.concatenate([part[name] for part in parts], axis=-1)[..., order]
    return together


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in ("columns", "source_ids", "row_lengths", "destination_area", *APPLIED):
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    np.testing.assert_allclose(one["values"], other["values"], rtol=1e-14)
    np.testing.assert_allclose(one["destination_fraction"], other["destination_fraction"], rtol=1e-14)


@pytest.mark.parametrize(
    ("ranks", "case"),
    [
        *((3, case) for case in ("blocks", "dealt", "apart", "sub-communicator")),
        *(pytest.param(*more, marks=pytest.mark.soak) for more in ((2, "blocks"), (2, "dealt"), (4, "dealt"))),
    ],
)
def test_any_decomposition_has_the_bits_of_one_rank(runs, ranks, case):
    one = answers(runs(1), "blocks")
    assert one["fields"].std() > 0.1
    assert one["row_lengths"].min() > 0
    assert_same(one, answers(runs(ranks), case))


@pytest.mark.parametrize("case", METHODS)
@pytest.mark.parametrize("ranks", RANKS)
def test_every_method_has_the_bits_of_one_rank(runs, ranks, case):
    one = answers(runs(1), case)
    assert one["fields"].std() > 0.1
    assert (one["destination_fraction"] > 1 - 1e-12).all()
    assert 0 < np.isnan(one["holes"]).mean() < 1
    assert (one["aggregate"] > 0).any(axis=1).all(), "each code somewhere"
    assert_same(one, answers(runs(ranks), case))


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["south of england", pytest.param("united kingdom", marks=pytest.mark.soak)])
def test_real_land_on_two_ranks(tmp_path_factory, sample_data, case):
    one, two = (
        answers(mpirun(ranks, tmp_path_factory.mktemp("uk"), [case], AI4LAND_SAMPLE_DATA=str(sample_data)), case)
        for ranks in (1, 2)
    )
    assert_same(one, two)
    assert (two["aggregate"] @ two["destination_area"]).sum() == pytest.approx(float(two["land"]), rel=1e-12)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("clockwise", "GridError: cells are clockwise"),
        ("mask", "GridError: a mask does not fit its cells"),
        ("two owners", "GridError: a cell has more than one owner"),
        ("radians", "GridError: the corners of a grid look like radians"),
        ("sizes", "GridError: ranks disagree on the size of a grid"),
        ("unowned", "GridError: regrid weights use source cells that belong to no rank"),
        ("code", "FieldError: a code is outside of its legend"),
    ],
)
def test_every_rank_raises_the_error_of_one_rank(runs, case, message):
    told = [json.loads((runs(3) / f"faults.{rank}.json").read_text()).get(case, "nothing") for rank in range(3)]
    assert [text.startswith(message) for text in told] == [True] * 3, told


def test_the_error_names_the_rank_that_failed(runs):
    told = [json.loads((runs(3) / f"faults.{rank}.json").read_text())["clockwise"] for rank in range(3)]
    assert all("where: source, cell 1728, rank 2" in text for text in told[:2]), told
    assert "where: source, cell 1728\n" in told[2]
