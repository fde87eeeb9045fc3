"""Functions that all commands use: console, progress bars, errors, and the communicator of a parallel job."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

#: Environment variables that the launchers of Open MPI, MPICH (and MPIs derived from it) and Slurm set.
_LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MPI_LOCALNRANKS")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

#: ``debug``: whether errors are shown with their traceback (``ai4land --debug``).
_settings = {"debug": False}


def world() -> Any:
    """The communicator of a job that an MPI launcher started; ``None`` for a single process, without MPI."""
    if not any(name in os.environ for name in _LAUNCHERS):
        return None
    from mpi4py import MPI

    return MPI.COMM_WORLD if MPI.COMM_WORLD.size > 1 else None


def rank() -> int:
    comm = world()
    return 0 if comm is None else int(comm.rank)


def show_tracebacks(context: Any, option: Any, value: bool) -> None:
    """Remember ``--debug``."""
    _settings["debug"] = value


def report_error(message: str, error: BaseException | None = None, *, everywhere: bool = False) -> None:
    """Print a message to standard error, from rank 0 only, and with ``--debug`` the traceback of ``error``.

    ``everywhere``: from any rank, if only this one failed.
    """
    if everywhere or rank() == 0:
        if error is not None and _settings["debug"]:
            err.print("".join(traceback.format_exception(error)), markup=False, soft_wrap=True)
        err.print("[bold red]error:[/] ", end="")
        err.print(message, markup=False, soft_wrap=True)


def abort_other_ranks() -> None:
    """End the whole parallel job, because this rank cannot take part in the next collective call."""
    comm = world()
    if comm is not None:
        comm.Abort(1)


class LogProgress(Progress):
    """Progress as plain lines, for log files: a line when a task starts and ends, and one each half minute."""

    #: Seconds between two lines of a task.
    EVERY = 30.0

    def __init__(self) -> None:
        super().__init__(console=err, disable=True)
        self._printed: dict[TaskID, tuple[float, str]] = {}

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        task = self._tasks[task_id]
        if not task.visible or task.total is None:
            return
        first = task_id not in self._printed
        before, shown = self._printed.get(task_id, (0.0, ""))
        line = f"{task.description}: {task.completed:.0f} of {task.total:.0f}"
        if line != shown and (first or task.finished or time.monotonic() - before >= self.EVERY):
            self._printed[task_id] = time.monotonic(), line
            seconds = None if task.finished else task.time_remaining
            left = "" if seconds is None else f", about {duration(seconds)} left"
            err.print(f"{line}, {duration(task.elapsed or 0.0)}{left}", markup=False, soft_wrap=True)


def progress_bar() -> Progress:
    """A bar on a terminal, and lines where standard error is a file."""
    if not err.is_terminal:
        return LogProgress()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
    )


def print_part(name: str) -> None:
    """Print the name of a part of a run as a heading; nothing for a run without parts."""
    if name:
        out.print(f"[bold]part {name}[/]")


def size(number: float) -> str:
    """A number of bytes as text, such as ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """A number of seconds as text, such as ``2.5 min``."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def sheet_table(sheet: Mapping[str, Any]) -> Table:
    """The performance sheet of a run as a table."""
    from ai4land_coupler.component.performance import sheet_lines

    table = Table(box=None, pad_edge=False)
    for column in ("performance", ""):
        table.add_column(column)
    for name, value in sheet_lines(sheet):
        table.add_row(name, Text(value))
    return table
