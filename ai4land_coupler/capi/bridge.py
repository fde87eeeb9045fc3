"""The Python side of ``a4l.h``: one function for each call; no exception leaves these functions.

Each function returns ``(code, text, number)`` to the C library: on success code 0 and the result, on failure a code of
``a4l.h`` and the message. Arrays come as memoryviews of the host's memory, which are valid during the call only. The
host keeps the arrays of ``bind_field`` in place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ai4land_coupler.capi.bridge_fields import (
    bind_field,
    field_count,
    field_info,
    field_name,
    get_array,
    get_field,
    import_info,
    import_mean,
    set_array,
    set_field,
    set_surface,
    type_name,
)
from ai4land_coupler.capi.handles import (
    Open,
    array_of,
    component_of,
    entry_of,
    handles,
    open_components,
    returns_code,
    text_of,
    usable,
)
from ai4land_coupler.capi.host_libraries import keep_netcdf_apart
from ai4land_coupler.capi.host_mpi import host_communicator
from ai4land_coupler.errors import GridError, TimeError
from ai4land_coupler.grids.mesh import Mesh, merge_corners

if TYPE_CHECKING:
    from mpi4py.MPI import Comm

    from ai4land_coupler.component.component import LandComponent

__all__ = [  # called by a4l_capi.c
    "bind_field",
    "cell_count",
    "date",
    "field_count",
    "field_info",
    "field_name",
    "finalize",
    "get_array",
    "get_field",
    "import_info",
    "import_mean",
    "init",
    "next_year",
    "realize",
    "run",
    "run_date",
    "set_array",
    "set_calendar",
    "set_field",
    "set_grid",
    "set_named_grid",
    "set_surface",
    "step_count",
    "type_name",
    "write_restart",
    "year",
]

#: ``A4L_NO_COMM``.
NO_COMM = -1
#: Kind of edges, by the value of ``edges`` in ``a4l_set_grid``.
EDGES: tuple[Literal["great_circle"], Literal["latlon"]] = ("great_circle", "latlon")


def new_component(config: Path, comm: Comm | None) -> LandComponent:
    """Create the component. The import is here, so that its failure is reported as that of a call."""
    from ai4land_coupler.component.component import LandComponent

    return LandComponent(config, comm)


@returns_code
def init(
    config: bytes,
    restart: bytes | None,
    branch: int,
    fortran_comm: int,
    embedded: int,
    has_restart_year: int,
    restart_year: int,
) -> int:
    if embedded:
        keep_netcdf_apart()
    comm = None if fortran_comm == NO_COMM else host_communicator(fortran_comm, embedded=bool(embedded))
    component = new_component(Path(os.fsdecode(config)), comm)
    folder = None if restart is None else os.fsdecode(restart)
    year_of_restart = restart_year if has_restart_year else None
    component.initialize(restart=folder, restart_year=year_of_restart, start="branch" if branch else None)
    handle = next(handles)
    open_components[handle] = Open(component, comm is not None, {})
    return handle


@returns_code
def set_calendar(handle: int, calendar: bytes) -> None:
    component_of(handle).set_calendar(text_of(calendar))


@returns_code
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
    component = component_of(handle)
    if edges not in range(len(EDGES)):
        raise GridError("unknown kind of edges", expected="A4L_GREAT_CIRCLE (0) or A4L_LATLON (1)", found=edges)
    corners = (cell_count, corner_count)
    mesh = Mesh(
        name="host",
        cell_ids=array_of(cell_ids, np.int64).copy(),
        corner_lon=array_of(lon, np.float64).reshape(corners).copy(),
        corner_lat=array_of(lat, np.float64).reshape(corners).copy(),
        edges=EDGES[edges],
        mask=np.ones(cell_count, bool) if mask is None else array_of(mask, np.int32) != 0,
        global_size=global_size,
    )
    component.set_grid(merge_corners(mesh))


@returns_code
def set_named_grid(handle: int, name: bytes) -> None:
    component_of(handle).set_named_grid(text_of(name))


@returns_code
def realize(handle: int) -> None:
    entry = usable(handle)
    entry.component.realize()
    _fill(entry)


@returns_code
def run(handle: int, year: int) -> None:
    entry = usable(handle)
    entry.component.run_date(year)
    _fill(entry)


@returns_code
def run_date(handle: int, year: int, month: int, day: int, seconds: float) -> None:
    entry = usable(handle)
    entry.component.run_date(year, month, day, seconds)
    _fill(entry)


def _fill(entry: Open) -> None:
    for bound in entry.bound.values():
        bound.fill_if_possible(entry.component)


@returns_code
def year(handle: int) -> int:
    return component_of(handle).year


@returns_code
def cell_count(handle: int) -> int:
    return component_of(handle).cell_count


@returns_code
def next_year(handle: int) -> int:
    component = component_of(handle)
    if component.next_year is None:
        raise TimeError(
            "there is no next year",
            found=f"year {component.year}",
            remedy="set exports.lookahead in the configuration; at the end of the run there is none",
        )
    return component.next_year


@returns_code
def date(handle: int, parts: memoryview) -> None:
    array_of(parts, np.float64)[:] = component_of(handle).date


@returns_code
def step_count(handle: int) -> int:
    return component_of(handle).step_count


@returns_code
def write_restart(handle: int, path: bytes) -> None:
    component_of(handle).write_restart(os.fsdecode(path))


@returns_code
def finalize(handle: int) -> None:
    """Close a component. Allowed after MPI_Finalize too, because many hosts call it then."""
    entry = entry_of(handle)
    del open_components[handle]
    entry.component.finalize()
