"""What the commands share: the console, progress bars, errors, and whether this is a parallel job."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: Set by the launchers of Open MPI, of MPICH and its kin, and of Slurm's PMI.
_LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def world() -> Any:
    """The communicator of a job that a launcher started, ``None`` for a single process (MPI is not loaded then)."""
    if not any(name in os.environ for name in _LAUNCHERS):
        return None
    from mpi4py import MPI

    return MPI.COMM_WORLD if MPI.COMM_WORLD.size > 1 else None


def rank() -> int:
    comm = world()
    return 0 if comm is None else int(comm.rank)


def report_error(message: str, *, everywhere: bool = False) -> None:
    """Print a message to standard error: once for a parallel job whose ranks all know it."""
    if everywhere or rank() == 0:
        err.print("[bold red]error:[/] ", end="")
        err.print(message, markup=False)


def abort_other_ranks() -> None:
    """End the whole parallel job: this rank cannot take part in the next exchange."""
    comm = world()
    if comm is not None:
        comm.Abort(1)


def progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
    )


def size(number: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
