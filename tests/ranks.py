"""Starting ranks in tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import needs

# Removed at the end of the tests.
_FOLDERS = tempfile.TemporaryDirectory(prefix="ranks", ignore_cleanup_errors=True)


def launch_settings() -> dict[str, str]:
    """The variables of one launch: one thread a rank, root allowed (as containers run), and a folder for its files.

    Open MPI names its files by process number, and does not start where a killed launcher of the
    same number left its own.
    """
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return root | {"OMP_NUM_THREADS": "1", "TMPDIR": tempfile.mkdtemp(dir=_FOLDERS.name)}


def environment() -> dict[str, str]:
    """The variables of one launch, with the helpers of the tests on the path of the programs that ranks run."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return os.environ | launch_settings() | {"PYTHONPATH": path}


def launcher() -> str:
    """The mpiexec of this environment, or the machine's; tests that start ranks skip where there is none."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else needs.program("mpiexec")


def mpirun(ranks: int, *command: object, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run a Python program on ranks; a hang is a failure. The limit is far above what a busy machine takes."""
    return subprocess.run(
        [launcher(), "--oversubscribe", "-n", str(ranks), sys.executable, *map(str, command)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
