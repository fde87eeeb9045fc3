"""The open components of a host by handle, and the decorator of all calls from a host."""

from __future__ import annotations

import functools
import itertools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.capi.host_arrays import Bound
from ai4land_coupler.capi.host_mpi import finalized
from ai4land_coupler.errors import Ai4LandError, StateError

if TYPE_CHECKING:
    from ai4land_coupler.component.component import LandComponent

#: ``A4L_ERR_PYTHON``: code of exceptions other than :class:`Ai4LandError`, which have their own ``host_code``.
PYTHON_ERROR = 90


class Open(NamedTuple):
    component: LandComponent
    uses_mpi: bool
    bound: dict[str, Bound]


open_components: dict[int, Open] = {}
handles = itertools.count(1)


def returns_code(
    function: Callable[..., tuple[int, str] | int | None],
) -> Callable[..., tuple[int, str, int]]:
    @functools.wraps(function)
    def call(*arguments: Any) -> tuple[int, str, int]:
        try:
            answer = function(*arguments)
        except Ai4LandError as error:
            return error.host_code or 1, str(error).replace("\0", "?"), 0
        except BaseException as error:  # SystemExit and KeyboardInterrupt must not end the host either
            return PYTHON_ERROR, _describe(error).replace("\0", "?"), 0
        number, text = answer if isinstance(answer, tuple) else (answer or 0, "")
        return 0, text, number

    return call


def _describe(error: BaseException) -> str:
    """Text of an unexpected exception with its innermost calls, because the host shows no traceback."""
    calls = [f"{Path(c.filename).name}:{c.lineno} in {c.name}" for c in traceback.extract_tb(error.__traceback__)]
    text = "".join(traceback.format_exception_only(error)).strip()
    return f"{text}\n  where: {', called from '.join(reversed(calls[-4:]))}"


def entry_of(handle: int) -> Open:
    if handle not in open_components:
        known = sorted(open_components) or "none now"
        raise StateError(
            "no component has this handle",
            expected=f"one that a4l_init gave and a4l_finalize has not taken back: {known}",
            found=handle,
        )
    return open_components[handle]


def usable(handle: int) -> Open:
    entry = entry_of(handle)
    if entry.uses_mpi and finalized():
        raise StateError("the component was called after MPI_Finalize", remedy="only a4l_finalize is allowed then")
    return entry


def component_of(handle: int) -> LandComponent:
    return usable(handle).component


def text_of(raw: bytes) -> str:
    return raw.decode(errors="replace")


def array_of(view: memoryview | None, dtype: type[np.generic]) -> NDArray[Any]:
    """The host's memory as an array, without a copy; an empty array if the host has no cells."""
    return np.empty(0, dtype) if view is None else np.frombuffer(view, dtype)
