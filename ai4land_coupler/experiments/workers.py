"""Runs the tasks of a program in this process, in several processes of one machine, or on the ranks of ``mpiexec``.

The program runs once (:func:`on_workers`), on rank 0 if there are ranks. It hands out tasks and takes their results.
Large data go through files. Only few tasks wait at a time, so the memory does not grow with their number.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from ai4land_coupler.errors import RunError
from ai4land_coupler.parallel.collective import agree

T = TypeVar("T")
#: A function of a module and its arguments; or ``None``: there is no task until the next result was taken.
Task = tuple[Callable[..., Any], tuple[Any, ...]] | None
#: Number of tasks that are handed out at a time, for each worker.
_WAITING = 2


@dataclass(frozen=True)
class Workers:
    """Workers that run tasks. Without an executor, this process runs them itself."""

    count: int
    executor: Executor | None = None

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Run tasks and yield their results, in the order in which they end.

        The next task is asked for only when a worker is about to need it.

        Raises
        ------
        RunError
            If a worker was killed. An error of a task is raised as it is; the tasks that wait are cancelled.
        """
        waiting: set[Future[Any]] = set()
        source = iter(tasks)
        more = True
        try:
            while more or waiting:
                while more and len(waiting) < (1 if self.executor is None else _WAITING * self.count):
                    try:
                        task = next(source)
                    except StopIteration:
                        more = False
                        break
                    if task is None:
                        break
                    waiting.add(self._submit(*task))
                if more and not waiting:
                    raise AssertionError("tasks wait for a result, but no task runs")
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenExecutor as error:
            raise RunError(
                "a worker process ended before its time",
                found="killed from outside, most often for want of memory",
                remedy="run the same command again, with fewer processes where memory is short",
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def _submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[Any]:
        if self.executor is not None:
            return self.executor.submit(function, *arguments)
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


class Start(Protocol):
    """Starts the workers: a context, which may be entered once. Other processes call ``prepare(*arguments)`` first."""

    def __call__(self, prepare: Callable[..., None], *arguments: Any) -> AbstractContextManager[Workers]: ...


def on_workers(program: Callable[[Start], T], processes: int, comm: Any = None) -> T:
    """Run a program that starts workers.

    Parameters
    ----------
    program:
        Gets a function that starts the workers.
    processes:
        Number of processes, without ranks. With 1, this process runs the tasks itself.
    comm:
        A communicator of mpi4py: then this call is collective. Rank 0 runs the program, and the other ranks run the
        tasks until it has ended.

    Returns
    -------
    The result of the program, on all ranks.

    Raises
    ------
    Exception
        The error of the program, on all ranks.
    """
    if comm is None or comm.size == 1:
        return program(lambda prepare, *arguments: _processes(processes, prepare, arguments))
    from mpi4py.futures import MPICommExecutor

    result: T | None = None
    error: BaseException | None = None
    try:
        if comm.rank == 0:
            with ExitStack() as stack:
                ranks = _Ranks(comm)
                stack.callback(ranks.release)
                result = program(ranks)
        else:
            with MPICommExecutor(comm, root=0):
                pass  # runs tasks until rank 0 leaves its context
    except Exception as caught:
        error = caught
    agree(error, comm)
    return cast(T, comm.bcast(result))


class _Ranks:
    """Rank 0's access to the other ranks."""

    def __init__(self, comm: Any) -> None:
        self._comm = comm
        self._started = False

    @contextmanager
    def __call__(self, prepare: Callable[..., None], *arguments: Any) -> Iterator[Workers]:
        from mpi4py.futures import MPICommExecutor

        self._started = True
        start = {"initializer": _start_rank, "initargs": (prepare, *arguments), "main": False}
        with MPICommExecutor(self._comm, root=0, **start) as found:
            executor = cast(Executor, found)
            try:
                yield Workers(self._comm.size - 1, executor)
            finally:
                executor.shutdown(wait=True, cancel_futures=True)

    def release(self) -> None:
        """Let the other ranks go, which wait for the workers to be started."""
        if not self._started:
            with self(no_preparation):
                pass


@contextmanager
def _processes(count: int, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[Workers]:
    if count <= 1:
        yield Workers(1)
        return
    # Spawn, because libraries of this process (HDF5, GDAL, threads of torch and zarr) do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _start_process, (os.getpid(), prepare, *arguments))
    try:
        yield Workers(count, pool)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def no_preparation() -> None:
    """For workers that need no preparation."""


def _start_process(parent: int, prepare: Callable[..., None], *arguments: Any) -> None:
    """Prepare a process, which exits when its parent ends in any way."""
    prepare(*arguments)
    if os.getppid() != parent:  # the parent ended while this process was prepared, and another may have started
        os._exit(1)
    keep_freed_memory()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start_rank(prepare: Callable[..., None], *arguments: Any) -> None:
    prepare(*arguments)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc reuse the memory of freed arrays instead of returning it to the system (mallopt(3)).

    Otherwise a fifth of the time is spent on new, zeroed pages for each array. Does nothing for other C libraries.
    """
    trim_threshold, mmap_threshold = -1, -3
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 32 << 20)  # the largest value that mallopt accepts
        mallopt(trim_threshold, 256 << 20)
