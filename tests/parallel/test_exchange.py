"""Windows from blocks, and one rank's failure on all ranks: one process, and real MPI."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parallel_program import Case, cases, diagnostics
from ranks import environment, launcher

from ai4land_coupler.land.assemble import window_of
from ai4land_coupler.parallel import Communicator

PROGRAM = Path(__file__).with_name("parallel_program.py")
CASES = {case.name: case for case in cases()}


def expected(case: Case, place: int) -> np.ndarray:
    """The window, cut out of the whole array."""
    whole = case.array.copy()
    for block in case.absent:
        whole[(..., *case.plan.blocks[block].core.slices())] = case.fill
    return window_of(whole, case.boxes[place], periodic=case.plan.fine.periodic, fill=case.fill)


def check(case: Case, windows: dict[int, np.ndarray]) -> None:
    assert sorted(windows) == [100 + place for place in range(len(case.boxes))]
    for key, window in windows.items():
        assert window.dtype == case.array.dtype
        np.testing.assert_array_equal(window, expected(case, key - 100), err_msg=f"{case.name} {key}")


@pytest.mark.parametrize("name", CASES)
def test_windows_are_cut_from_the_whole_array_on_one_process(name: str) -> None:
    case = CASES[name]
    check(case, case.run(Communicator()))


def test_the_cases_meet_the_seam_and_the_edges() -> None:
    """Guards the cases themselves: without these the comparisons above would prove little."""
    around = CASES["around"]
    assert around.plan.fine.periodic
    assert any(box.col0 < 0 for box in around.boxes)
    assert any(box.col1 > 90 for box in around.boxes)
    assert not CASES["halos"].plan.fine.periodic
    assert len(CASES["halos"].plan.blocks) > 12
    # every kind of cell of the window that crosses the seam twice is in its place
    window = CASES["turns"].run(Communicator())[100]
    np.testing.assert_array_equal(window[..., :90], window[..., 90:180])
    np.testing.assert_array_equal(window[..., 90:180], CASES["turns"].array)


def test_windows_do_not_share_memory_with_blocks() -> None:
    case = CASES["one holder"]
    before = case.array.copy()
    for window in case.run(Communicator()).values():
        window[:] = -5
    np.testing.assert_array_equal(case.array, before)


def test_one_process_guards_by_raising_what_it_caught() -> None:
    comm = Communicator()
    with pytest.raises(ValueError, match="cannot broadcast"), comm.guard():
        raise ValueError("cannot broadcast")
    with pytest.raises(SystemExit), comm.guard():
        sys.exit(4)
    with comm.guard() as end_if_another_failed:
        end_if_another_failed()
        value = 1
    assert value == 1
    assert (comm.rank, comm.size, comm.mpi) == (0, 1, None)
    assert (comm.allgather(3), comm.gather(3), comm.bcast(3), comm.alltoall([3])) == ([3], [3], 3, [3])
    comm.free()


# --- with MPI


def run_on(ranks: int, folder: Path) -> Path:
    done = subprocess.run(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, "-m", "mpi4py", PROGRAM, folder],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,  # a hang is a failure
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on(2, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on(3, tmp_path_factory.mktemp("three"))


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("told.*.json"))]


@pytest.mark.mpi
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ranks", ["two", "three"])
def test_windows_are_the_same_over_ranks(ranks: str, name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(ranks)
    windows: dict[int, np.ndarray] = {}
    parts = sorted(folder.glob(f"{name}.*.npz"))
    assert len(parts) == {"two": 2, "three": 3}[ranks]
    for rank, path in enumerate(parts):
        mine = {int(key): window for key, window in np.load(path).items()}
        assert all((key - 100) % len(parts) == rank for key in mine)
        windows |= mine
    check(CASES[name], windows)


@pytest.mark.mpi
def test_an_error_on_one_rank_is_every_ranks_error(two: Path) -> None:
    first, last = told(two)
    message = "a variable is missing\n  expected: urban\n  where: {}\n  what to do: rename it"
    assert first["ours"] == ["DataError", message.format("states.nc, rank 1")]
    assert last["ours"] == ["DataError", message.format("states.nc")]

    remote = "another rank failed\n  found: {}\n  where: rank 1"
    assert first["foreign"] == ["RemoteError", remote.format("ValueError: cannot broadcast")]
    assert last["foreign"] == ["ValueError", "cannot broadcast"]

    assert first["all"] == ["DataError", "my own fault, False"]
    assert last["all"] == ["DataError", "my own fault, True"]
    for facts in (first, last):
        assert "none" not in facts
        assert all(facts[key] == [0, 1] for key in facts if key.endswith(", then"))


@pytest.mark.mpi
def test_a_library_that_exits_does_not_leave_other_ranks_waiting(two: Path) -> None:
    first, last = told(two)
    remote = "another rank failed\n  found: {}\n  where: rank 1"
    assert first["leaving"] == ["RemoteError", remote.format("SystemExit: a library gave up")]
    assert last["leaving"] == ["SystemExit", "a library gave up"]
    assert first["interrupted"] == ["RemoteError", remote.format("KeyboardInterrupt: ")]
    assert last["interrupted"] == ["KeyboardInterrupt", ""]


@pytest.mark.mpi
def test_errors_that_plugins_define_travel_as_ours(two: Path) -> None:
    first, last = told(two)
    message = "a file is not ours\n  found: maps.nc\n  where: {}\n  what to do: bring another"
    assert first["subclass"] == ["DataError", message.format("step 3, rank 1")]
    assert last["subclass"] == ["PluginsOwnError", message.format("step 3")]
    assert first["unfinished"] == ["DataError", "UnfinishedError\n  where: rank 1"]
    assert first["local"] == ["Ai4LandError", "known here only\n  where: rank 1"]
    assert last["local"] == ["HiddenError", "known here only"]


@pytest.mark.mpi
def test_all_of_three_ranks_are_told_by_the_one_that_failed(three: Path) -> None:
    kinds = [facts["foreign"][0] for facts in told(three)]
    assert kinds == ["RemoteError", "RemoteError", "ValueError"]
    assert all("rank 2" in facts["foreign"][1] for facts in told(three)[:2])


@pytest.mark.mpi
def test_long_work_ends_when_another_rank_fails(two: Path, three: Path) -> None:
    """Without the message of the failed rank, the program would take minutes and be killed."""
    one, zero = "rank 1", "rank 0"
    assert [facts["long"] for facts in told(three)] == [
        ["done", one, one, "own", "done", "own", "done"],
        ["done", "own", "own", "own", "done", zero, "done"],
        ["done", one, one, zero, "done", zero, "done"],
    ]
    assert [facts["long"] for facts in told(two)] == [facts["long"] for facts in told(three)][:2]


@pytest.mark.mpi
def test_the_communicator_is_a_copy_and_can_be_freed_after_mpi_ended(two: Path) -> None:
    for rank, facts in enumerate(told(two)):
        assert facts["own"]
        assert facts["after finalize"] == "MPI is not running"
        gathered = [10, 11] if rank == 0 else None
        assert facts["gathered"] == [gathered, 0, [0, 1]]


def sums_in_order() -> dict[str, list[float]]:
    """The values of all blocks, added one after the other."""
    sums: dict[str, np.ndarray] = {}
    for _, values in sorted(diagnostics().items()):
        for name, value in values.items():
            sums[name] = value.copy() if name not in sums else sums[name] + value
    return {name: value.tolist() for name, value in sums.items()}


def test_sums_of_one_process_are_in_the_order_of_blocks() -> None:
    backwards = dict(reversed(diagnostics().items()))
    sums = Communicator().sum_by_block(backwards)
    assert {name: value.tolist() for name, value in sums.items()} == sums_in_order()
    assert Communicator().sum_by_block({}) == {}
    assert Communicator().sum(np.array([3, 4])).tolist() == [3, 4]


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", ["two", "three"])
def test_sums_have_the_same_bits_on_all_ranks(ranks: str, request: pytest.FixtureRequest) -> None:
    every = told(request.getfixturevalue(ranks))
    for facts in every:
        assert facts["sums"] == sums_in_order()
        assert facts["counts"] == [sum(range(len(every))), 5 * len(every)]
