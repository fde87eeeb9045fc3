"""Killing a process: at a moment that is counted, the same in every run of a test, or a while after it (soak)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any

import psutil

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["zarr", "xarray", "pytest", "hypothesis", "ai4land_coupler.store.output", "ai4land_coupler.experiments.prepare"]
)


class Moments:
    """In the process that is to be killed: a moment is told of, and lasts until the test lets it pass."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock, self._free = pipe, Lock(), False

    def __call__(self, what: str) -> None:
        with self._lock:  # files are also written in threads
            if not self._free:
                self._pipe.send(what)
                self._free = self._pipe.recv()

    def before_each_rename(self) -> None:
        """A moment before each file that was written aside gets its name."""
        rename = os.replace

        def told(*args: Any, **options: Any) -> None:
            self("rename")
            rename(*args, **options)

        os.replace = told  # in this process alone, which is to be killed


def _child(target: Callable[..., None], args: tuple[Any, ...], pipe: Connection) -> None:
    target(*args, Moments(pipe))


class Victim:
    """A process that calls ``target(*args, moments)``."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self._pipe, there = FORKS.Pipe()
        self._process = FORKS.Process(target=_child, args=(target, args, there))
        self._process.start()
        there.close()  # so that the end of the process is the end of the pipe

    def run(self) -> list[str]:
        """Let it run to its end. All its moments."""
        moments = []
        while True:
            try:
                moments.append(self._pipe.recv())
            except EOFError:
                break
            self._pipe.send(False)
        self._process.join()
        assert self._process.exitcode == 0
        return moments

    def kill(self, moment: int, after: float | None = None) -> None:
        """SIGKILL it, and see that the processes that it started end by themselves.

        Parameters
        ----------
        moment:
            Which of its moments, from 1.
        after:
            Let it run on from there and kill it so many seconds later; it may then have ended.
        """
        for number in range(moment):
            if number:
                self._pipe.send(False)
            self._pipe.recv()
        if after is not None:
            self._pipe.send(True)
            time.sleep(after)
        workers = []
        if self._process.is_alive():
            workers = psutil.Process(self._process.pid).children(recursive=True)
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        assert self._process.exitcode == -signal.SIGKILL or (after is not None and self._process.exitcode == 0)
        assert psutil.wait_procs(workers, timeout=6000)[1] == []
