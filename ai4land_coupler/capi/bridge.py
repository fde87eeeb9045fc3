"""The Python end of ``a4l.h``: one function for each call, from which nothing escapes.

Each returns ``(code, text, number)`` to the shim: on success code 0 and the answer, on failure the code of
``a4l.h`` and the message. Arrays arrive as memoryviews of the host's memory that are valid for the call only; those
of ``bind_field`` the host keeps in place.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.capi.host_mpi import finalized, host_communicator
from ai4land_coupler.capi.layout import KINDS, Layout, check_size, put, take
from ai4land_coupler.errors import Ai4LandError, FieldError, GridError, StateError, nearest
from ai4land_coupler.mesh import Mesh, merge_corners

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

    from ai4land_coupler.component import LandComponent
    from ai4land_coupler.field_table import ExportInfo

#: ``A4L_ERR_PYTHON``: exceptions that are not an :class:`Ai4LandError`. Theirs is ``host_code``.
PYTHON_ERROR = 90
#: ``A4L_NO_COMM``.
NO_COMM = -1
#: By the value of ``edges`` in ``a4l_set_grid``.
EDGES: tuple[Literal["great_circle"], Literal["latlon"]] = ("great_circle", "latlon")


#: Of ``a4l_get_field`` and ``a4l_set_field``: real64, the cells of one type side by side.
PLAIN = Layout(8, 0, 0)


class _Bound:
    """An array of the host that the component fills after each run that changed its field."""

    def __init__(self, name: str, memory: NDArray[Any], layout: Layout) -> None:
        self.name, self.memory, self.layout = name, memory, layout
        self._latest: NDArray[np.float64] | None = None

    def fill(self, component: LandComponent) -> None:
        values = component.export(self.name)
        if values is not self._latest:
            put(values, self.memory, self.name, self.layout)
            self._latest = values


class _Open(NamedTuple):
    component: LandComponent
    uses_mpi: bool
    bound: dict[str, _Bound]


_open: dict[int, _Open] = {}
_handles = itertools.count(1)


def new_component(config: Path, comm: Comm | None) -> LandComponent:
    """Create the component; imported here, so that a start that fails has a handle to report through."""
    from ai4land_coupler.component import LandComponent

    return LandComponent(config, comm)


def _returns_code(
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
    """An exception nobody foresaw, with the innermost calls: the host shows no traceback."""
    calls = [f"{Path(c.filename).name}:{c.lineno} in {c.name}" for c in traceback.extract_tb(error.__traceback__)]
    text = "".join(traceback.format_exception_only(error)).strip()
    return f"{text}\n  where: {', called from '.join(reversed(calls[-4:]))}"


def _entry(handle: int) -> _Open:
    if handle not in _open:
        raise StateError(
            "no component has this handle",
            expected=f"one that a4l_init gave and a4l_finalize has not taken back: {sorted(_open) or 'none now'}",
            found=handle,
        )
    return _open[handle]


def _usable(handle: int) -> _Open:
    entry = _entry(handle)
    if entry.uses_mpi and finalized():
        raise StateError("the component was called after MPI_Finalize", remedy="only a4l_finalize is allowed then")
    return entry


def _component(handle: int) -> LandComponent:
    return _usable(handle).component


def _export_info(component: LandComponent, name: bytes) -> ExportInfo:
    exports = component.exports()
    text = _text(name)
    if text not in exports:
        raise FieldError("no export field has this name", found=text, remedy=nearest(text, exports))
    return exports[text]


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _array(view: memoryview | None, dtype: type[np.generic]) -> NDArray[Any]:
    """The host's memory as an array, without a copy; nothing where the host has no cells."""
    return np.empty(0, dtype) if view is None else np.frombuffer(view, dtype)


@_returns_code
def init(config: bytes, restart: bytes | None, fortran_comm: int, embedded: int) -> int:
    comm = None if fortran_comm == NO_COMM else host_communicator(fortran_comm, embedded=bool(embedded))
    component = new_component(Path(os.fsdecode(config)), comm)
    component.initialize(restart=None if restart is None else os.fsdecode(restart))
    handle = next(_handles)
    _open[handle] = _Open(component, comm is not None, {})
    return handle


@_returns_code
def set_grid(
    handle: int,
    cell_count: int,
    corner_count: int,
    cell_ids: memoryview | None,
    lon: memoryview | None,
    lat: memoryview | None,
    edges: int,
    mask: memoryview | None,
    global_size: int,
) -> None:
    component = _component(handle)
    if edges not in range(len(EDGES)):
        raise GridError("unknown kind of edges", expected="A4L_GREAT_CIRCLE (0) or A4L_LATLON (1)", found=edges)
    corners = (cell_count, corner_count)
    mesh = Mesh(
        name="host",
        cell_ids=_array(cell_ids, np.int64).copy(),
        corner_lon=_array(lon, np.float64).reshape(corners).copy(),
        corner_lat=_array(lat, np.float64).reshape(corners).copy(),
        edges=EDGES[edges],
        mask=np.ones(cell_count, bool) if mask is None else _array(mask, np.int32) != 0,
        global_size=global_size,
    )
    component.set_grid(merge_corners(mesh))


@_returns_code
def set_named_grid(handle: int, name: bytes) -> None:
    _component(handle).set_named_grid(_text(name))


@_returns_code
def realize(handle: int) -> None:
    _component(handle).realize()


@_returns_code
def run(handle: int, year: int) -> None:
    entry = _usable(handle)
    entry.component.run(year)
    for bound in entry.bound.values():
        bound.fill(entry.component)


@_returns_code
def year(handle: int) -> int:
    return _component(handle).year


@_returns_code
def cell_count(handle: int) -> int:
    return _component(handle).cell_count


@_returns_code
def field_info(handle: int, name: bytes) -> tuple[int, str]:
    info = _export_info(_component(handle), name)
    return max(1, len(info.types)), info.units


@_returns_code
def type_name(handle: int, name: bytes, index: int) -> tuple[int, str]:
    info = _export_info(_component(handle), name)
    if not 0 <= index < len(info.types):
        raise FieldError(f"{info.name} has no such type", expected=f"below {len(info.types)}", found=index)
    return 0, info.types[index]


@_returns_code
def get_field(handle: int, name: bytes, data: memoryview | None) -> None:
    text = _text(name)
    put(_component(handle).export(text), _array(data, np.float64), text, PLAIN)


@_returns_code
def set_field(handle: int, name: bytes, data: memoryview | None, time_count: int, cell_count: int) -> None:
    component = _component(handle)
    values = take(_array(data, np.float64), time_count, cell_count, _text(name), PLAIN)
    component.import_(_text(name), values if time_count > 1 else values[0])


@_returns_code
def get_array(
    handle: int, name: bytes, data: memoryview | None, kind: int, order: int, nproma: int, type_count: int
) -> None:
    text, layout = _text(name), _layout(name, kind, order, nproma)
    values = _component(handle).export(text)
    _check_types(text, type_count, 1 if values.ndim == 1 else len(values))
    put(values, _array(data, KINDS[kind]), text, layout)


@_returns_code
def set_array(
    handle: int, name: bytes, data: memoryview | None, kind: int, order: int, nproma: int, type_count: int
) -> None:
    component, text, layout = _component(handle), _text(name), _layout(name, kind, order, nproma)
    months = max(1, type_count)
    values = take(_array(data, KINDS[kind]), months, component.cell_count, text, layout)
    component.import_(text, values if months > 1 else values[0])


@_returns_code
def bind_field(
    handle: int, name: bytes, data: memoryview | None, kind: int, order: int, nproma: int, type_count: int
) -> None:
    entry, text, layout = _usable(handle), _text(name), _layout(name, kind, order, nproma)
    component = entry.component
    types = max(1, len(_export_info(component, name).types))
    if data is None and component.cell_count:
        entry.bound.pop(text, None)
        return
    _check_types(text, type_count, types)
    memory = _array(data, KINDS[kind])
    check_size(text, memory.size, types, component.cell_count, layout)
    entry.bound[text] = bound = _Bound(text, memory, layout)
    with contextlib.suppress(StateError):  # a field that the first step makes
        bound.fill(component)


def _layout(name: bytes, kind: int, order: int, nproma: int) -> Layout:
    layout = Layout(kind, order, nproma)
    layout.check(_text(name))
    return layout


def _check_types(name: str, given: int, types: int) -> None:
    if given not in (0, types):
        raise FieldError(f"the host's array for {name} has the wrong number of types", expected=types, found=given)


@_returns_code
def write_restart(handle: int, path: bytes) -> None:
    _component(handle).write_restart(os.fsdecode(path))


@_returns_code
def finalize(handle: int) -> None:
    """Close a component. It stays allowed after MPI_Finalize: many hosts end in that order."""
    entry = _entry(handle)
    del _open[handle]
    entry.component.finalize()
