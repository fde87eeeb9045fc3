"""Wall-clock time of each phase, printed at the end of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timers:
    """Sums the seconds of each phase of the calling thread, and of the work that other threads do meanwhile.

    Attributes
    ----------
    seconds:
        Seconds of each phase of the calling thread. Phases must not be nested: each second belongs to one phase. So
        their sum is at most the wall-clock time.
    busy:
        Seconds of each kind of work in other threads, added over these threads. They overlap with the phases.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.busy: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start

    @contextmanager
    def in_thread(self, work: str) -> Iterator[None]:
        """Measure work in another thread than the calling one."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.busy[work] = self.busy.get(work, 0.0) + time.perf_counter() - start
