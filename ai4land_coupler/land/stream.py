"""The tiles of a step as a stream: threads read the next windows and finish earlier tiles while one is predicted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from ai4land_coupler.land.timers import Timers

#: Tiles that are read ahead of the tile that is predicted.
AHEAD = 2

_Tile = TypeVar("_Tile")
_Read = TypeVar("_Read")
_Predicted = TypeVar("_Predicted")
_Result = TypeVar("_Result")


def run_stream(
    tiles: Iterable[_Tile],
    read: Callable[[_Tile], _Read],
    predict: Callable[[_Read], _Predicted],
    finish: Callable[[_Tile, _Predicted], _Result],
    threads: int,
    timers: Timers,
) -> list[_Result]:
    """Read, predict and finish each tile. Local to a rank.

    Parameters
    ----------
    read:
        Runs in a thread of its own, at most :data:`AHEAD` tiles ahead.
    predict:
        Runs in the calling thread.
    finish:
        Runs in ``threads`` threads. At most twice as many tiles wait for it or run.
    threads:
        0: everything runs in the calling thread, tile by tile. Small tiles gain nothing from threads.
    timers:
        Measures how long the calling thread waits for the others.

    Returns
    -------
    The results of ``finish``, in the order of the tiles.

    Raises
    ------
    BaseException
        What one of the three raised. No further tile is predicted then, and all threads have ended.
    """
    if threads == 0:
        return [finish(tile, predict(read(tile))) for tile in tiles]
    results: list[_Result] = []
    waiting = deque(tiles)
    ahead: deque[tuple[_Tile, Future[_Read]]] = deque()
    behind: deque[Future[_Result]] = deque()
    with _threads(1, "read") as reader, _threads(threads, "finish") as finisher:
        while waiting or ahead:
            while waiting and len(ahead) <= AHEAD:
                ahead.append((waiting[0], _start(reader, read, waiting.popleft())))
            tile, coming = ahead.popleft()
            with timers("wait for inputs"):
                window = coming.result()
            _raise_errors([*behind, *(future for _, future in ahead)])
            predicted = predict(window)
            behind.append(_start(finisher, finish, tile, predicted))
            del window, coming, predicted  # large arrays, which the next iteration would keep for too long
            with timers("wait for allocation"):
                while behind and (behind[0].done() or len(behind) >= 2 * threads):
                    results.append(behind.popleft().result())
        with timers("wait for allocation"):
            results += [future.result() for future in behind]
    return results


def _raise_errors(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        if future.done():
            future.result()


def _start(pool: ThreadPoolExecutor, work: Callable[..., Any], *given: Any) -> Future[Any]:
    """Start work in a thread, with the caller's context: numpy's handling of floating-point errors is part of it."""
    return pool.submit(copy_context().run, work, *given)


@contextmanager
def _threads(number: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with the block. If it fails, they end after what they are doing now."""
    pool = ThreadPoolExecutor(number, f"ai4land {name}")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
