"""Bad grids are refused with a reason on every rank, without an abort or a hang; the hash is the same on any ranks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ranks import environment, launcher

from ai4land_coupler.grids import icosahedral_mesh
from ai4land_coupler.grids.hash import grid_hash

pytestmark = [pytest.mark.mpi]

PROGRAM = Path(__file__).with_name("grid_faults.py")
RANKS = (1, 2, 3)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[int, list[dict]]:
    """What each rank was told, by number of ranks."""
    answers = {}
    for ranks in RANKS:
        folder = tmp_path_factory.mktemp(f"ranks{ranks}")
        done = subprocess.run(
            [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, PROGRAM, folder],
            env=environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            capture_output=True,
            text=True,
            timeout=600,  # a hang is a failure
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answers[ranks] = [json.loads((folder / f"told.{rank}.json").read_text()) for rank in range(ranks)]
    return answers


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("good", "accepted"),
        ("good in radians", "accepted"),
        ("gaps of a region", "accepted"),
        ("radians for degrees", "GridError: the corners of a grid look like radians"),
        ("degrees for radians", "GridError: the corners of a grid look like degrees"),
        ("degrees for radians on one rank", "GridError: the corners of a grid look like degrees"),
        ("nan", "GridError: corners are missing"),
        ("clockwise", "GridError: cells are clockwise"),
        ("one clockwise cell", "GridError: cells are clockwise"),
        ("mask of wrong length", "GridError: a mask does not fit its cells"),
        ("mask of strings", "GridError: a mask is malformed"),
        ("no third dimension", "GridError: corner longitudes are malformed"),
        ("overlap", "GridError: cells overlap"),
        ("a layer of the same cells", "GridError: cells overlap\n  expected: areas that add up"),
        ("gaps", "GridError: a grid that must fill the globe has gaps"),
        ("unknown file", "DataError: a grid file is missing"),
    ],
)
def test_every_rank_is_told(told, ranks, case, message):
    assert [answer[case].startswith(message) for answer in told[ranks]] == [True] * ranks, told[ranks][0][case]


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_cell_on_two_ranks_is_told_to_all(told, ranks):
    for answer in told[ranks]:
        assert answer["repeated ids"].startswith("GridError: a cell has more than one owner")
        assert "found: id 0 more than once" in answer["repeated ids"]


def test_the_others_learn_which_rank_holds_the_fault(told):
    assert "cell 640" in told[2][0]["one clockwise cell"]
    assert ", rank 1" in told[2][0]["one clockwise cell"]


def test_the_hash_is_that_of_one_process(told):
    whole = grid_hash(icosahedral_mesh(3, "another name"))
    for answers in told.values():
        for answer in answers:
            plain, shuffled, moved = answer["hashes"]
            assert plain == shuffled == whole
            assert moved != whole
