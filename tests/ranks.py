"""Starting ranks in tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import needs


def environment() -> dict[str, str]:
    """One thread a rank, and the helpers of the tests on the path of the programs that ranks run.

    Open MPI refuses root (as containers run) unless told that it is meant.
    """
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    settings = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    return os.environ | settings | {"PYTHONPATH": path}


def launcher() -> str:
    """The mpiexec of this environment, or the machine's; tests that start ranks skip where there is none."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else needs.program("mpiexec")


def mpirun(ranks: int, *command: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run a Python program on ranks; a hang is a failure."""
    return subprocess.run(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, *map(str, command)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
