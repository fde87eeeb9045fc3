"""Windows that are assembled on demand, on one to four ranks with random owners (``windows_program.py``)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from parallel_program import REGION, _plan
from ranks import environment, launcher
from windows_program import compare

from ai4land_coupler.parallel import Communicator, WindowExchange

PROGRAM = Path(__file__).with_name("windows_program.py")


@pytest.mark.parametrize("seed", range(4))
def test_one_process_cuts_windows_out_of_its_blocks(seed: int) -> None:
    assert compare(Communicator(), _plan(REGION, 0.25, 3), seed) == 0


def test_one_process_holds_no_copies() -> None:
    plan, comm = _plan(REGION, 0.25, 3), Communicator()
    owner = plan.owners(1)
    blocks = {block.id: np.zeros(block.core.shape, np.uint8) for block in plan.blocks}
    windows = WindowExchange(comm, plan, owner, [[plan.fine.box]]).collect(blocks, 0, "u1")
    assert windows.own is blocks
    assert not windows.received


@pytest.mark.mpi
def test_windows_and_failures_on_one_to_four_ranks() -> None:
    done = subprocess.run(
        [launcher(), "--oversubscribe", "-n", "4", sys.executable, "-m", "mpi4py", PROGRAM],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,  # a hang is a failure
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all ranks are done" in done.stdout
