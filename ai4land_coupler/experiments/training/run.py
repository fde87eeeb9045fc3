"""One run of ``ai4land train``: its folder of curves and checkpoints, its progress, and signals that end it."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ai4land_coupler.api import TrainingRun
from ai4land_coupler.files.durable import disk_errors, new_path

CURVES = "curves.csv"
SPLIT = "split.nc"
STATISTICS = "statistics.npz"
_HEAD = ("step", "curve", "value")
_FAILED = "the curves of a training could not be written"

Report = Callable[[float, str], None]


class LoggedRun(TrainingRun):
    """Writes the curves of a training to ``curves.csv`` and, if ``tensorboard`` is installed, to TensorBoard events.

    Parameters
    ----------
    work:
        Folder of the curves, the events and the checkpoints.
    progress:
        Gets the share that is done and a short message.
    writes:
        Whether this process writes; of several processes only one does.
    """

    def __init__(self, work: Path, progress: Report, *, resume: bool, every: float, writes: bool = True) -> None:
        super().__init__(work, resume=resume, every=every)
        self._folder, self._progress, self._writes = work, progress, writes
        self._events: Any = None

    def __call__(self, done: float, note: str) -> None:
        if self._writes:
            self._progress(done, note)

    def record(self, step: int, values: Mapping[str, float]) -> None:
        if not self._writes:
            return
        with disk_errors(_FAILED, self._folder), (self._folder / CURVES).open("a", newline="") as file:
            csv.writer(file).writerows((step, name, repr(float(value))) for name, value in values.items())
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def continue_from(self, step: int) -> None:
        if not self._writes:
            return
        path = self._folder / CURVES
        kept = [row for row in read_curves(path) if row[0] <= step] if step and path.is_file() else []
        with disk_errors(_FAILED, self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with new_path(path, _FAILED) as temporary, temporary.open("w", newline="") as file:
                csv.writer(file).writerows([_HEAD, *((n, name, repr(value)) for n, name, value in kept)])
        self._events = _event_writer(self._folder, step)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()


def read_curves(path: Path) -> list[tuple[int, str, float]]:
    """Step, name and value of all points of ``curves.csv``. A killed training may have left half a line: it is left
    out."""
    points = []
    with path.open(newline="") as file:
        for row in list(csv.reader(file))[1:]:
            if len(row) == len(_HEAD):
                points.append((int(row[0]), row[1], float(row[2] or "nan")))
    return points


def _event_writer(folder: Path, step: int) -> Any:
    """A writer of TensorBoard events; ``None`` without ``tensorboard``, which is an optional extra."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


@contextmanager
def signals_to(run: TrainingRun) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the run: after the present step if it ``waits``, else at once (``KeyboardInterrupt``).
    A second one always ends it at once."""

    def stop(number: int, frame: object) -> None:
        if run.stopped or not run.waits:
            raise KeyboardInterrupt
        run.stopped = True

    before: dict[int, Any] = {}
    try:
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, stop)
    except ValueError:  # not in the main thread, which alone gets signals
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launched() -> tuple[int, int]:
    """Rank of this process and number of the processes that ``torchrun`` started; (0, 1) without it."""
    if "RANK" not in os.environ or "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ.get("WORLD_SIZE", "1"))
