"""Children that are killed at a chosen file operation; Python's audit events tell of them (sys.addaudithook)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

FORKS = multiprocessing.get_context("forkserver")
#: Modules that take seconds to import; torch imports ``_dynamo`` in the first step of a training.
_SLOW = ["torch", "torch._dynamo", "zarr", "xarray", "rasterio", "netCDF4", "ai4land_coupler.experiments.prepare"]
FORKS.set_forkserver_preload(_SLOW)
#: Operations that change files; ``open`` also reads.
OPERATIONS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"})
#: Seconds after which a child hangs.
PATIENCE = 600


def _text(path: Any) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""


def _die_at_rename(name: str, count: int, work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    seen = 0

    def hook(event: str, facts: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "os.rename" and Path(_text(facts[1])).match(name):
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    work(*arguments)


def kill_before_rename(name: str, work: Callable[..., object], *arguments: Any, count: int = 1) -> None:
    """Call ``work`` in a child that is killed when all is written and the ``count``-th rename to a path is due.

    Parameters
    ----------
    name:
        The end of that path, or a pattern of it (:meth:`pathlib.PurePath.match`).
    """
    child = FORKS.Process(target=_die_at_rename, args=(name, count, work, arguments))
    child.start()
    child.join(PATIENCE)
    assert child.exitcode == -signal.SIGKILL, f"nothing was renamed to {name}"


def _count(folder: Path, stop: int, work: Callable[..., object], arguments: tuple[Any, ...], told: Any) -> None:
    seen, lock = 0, threading.Lock()

    def hook(event: str, facts: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in OPERATIONS and _text(facts[0]).startswith(f"{folder}{os.sep}"):
            with lock:
                seen += 1
                here = seen
            if here == stop:
                os.kill(os.getpid(), signal.SIGSTOP)

    sys.addaudithook(hook)
    work(*arguments)
    told.send(seen)


def count_operations(folder: Path, work: Callable[..., object], *arguments: Any) -> int:
    """The number of operations on paths in ``folder`` that ``work`` takes in a child of its own."""
    hears, told = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=_count, args=(folder, 0, work, arguments, told))
    child.start()
    assert hears.poll(PATIENCE)
    number: int = hears.recv()
    child.join()
    return number


def kill_at_operation(
    number: int, folder: Path, work: Callable[..., object], *arguments: Any, delay: float = 0.0
) -> bool:
    """Call ``work`` in a child, and kill it at one of its operations on paths in ``folder``.

    Its own children are left to end by themselves, which is checked.

    Parameters
    ----------
    delay:
        Seconds that it goes on after that operation began.

    Returns
    -------
    Whether it was killed; it may end before.
    """
    _, told = FORKS.Pipe(duplex=False)
    child = FORKS.Process(target=_count, args=(folder, number, work, arguments, told))
    child.start()
    process, children = psutil.Process(child.pid), []
    begin = time.monotonic()
    # stopped before it is killed, so that it starts no other child in between
    while child.is_alive() and process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() - begin < PATIENCE
        time.sleep(0.001)
    if child.is_alive():
        if delay:
            process.send_signal(signal.SIGCONT)
            time.sleep(delay)
            process.send_signal(signal.SIGSTOP)
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            children = process.children(recursive=True)
            process.send_signal(signal.SIGKILL)
    child.join(PATIENCE)
    assert psutil.wait_procs(children, timeout=600)[1] == []
    return child.exitcode == -signal.SIGKILL
