"""The calls of ``a4l.h`` for fields; see :mod:`ai4land_coupler.capi.bridge`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.capi.handles import array_of, component_of, returns_code, text_of, usable
from ai4land_coupler.capi.host_arrays import Bound, Export
from ai4land_coupler.capi.layout import KINDS, Layout, check_size, put, take
from ai4land_coupler.errors import FieldError, nearest

if TYPE_CHECKING:
    from ai4land_coupler.component.component import LandComponent
    from ai4land_coupler.host.field_info import ExportInfo, ImportInfo

#: Direction of a field, by the value of ``direction`` in ``a4l_field_count``: ``A4L_EXPORT``, ``A4L_IMPORT``.
DIRECTIONS = ("export", "import")
#: Layout of ``a4l_get_field`` and ``a4l_set_field``: real64, cells are contiguous.
PLAIN = Layout(8, 0, 0)


@returns_code
def field_count(handle: int, direction: int) -> int:
    return len(_table(component_of(handle), direction))


@returns_code
def field_name(handle: int, direction: int, index: int) -> tuple[int, str]:
    names = list(_table(component_of(handle), direction))
    if not 0 <= index < len(names):
        raise FieldError("there is no such field", expected=f"below {len(names)}", found=index)
    return 0, names[index]


def _table(component: LandComponent, direction: int) -> Mapping[str, ExportInfo | ImportInfo]:
    if direction not in range(len(DIRECTIONS)):
        raise FieldError("unknown direction", expected="A4L_EXPORT (0) or A4L_IMPORT (1)", found=direction)
    return component.exports() if DIRECTIONS[direction] == "export" else component.imports()


@returns_code
def field_info(handle: int, name: bytes) -> tuple[int, str]:
    info = Export.parse(name).info(component_of(handle))
    return max(1, len(info.types)), info.units


@returns_code
def type_name(handle: int, name: bytes, index: int) -> tuple[int, str]:
    info = Export.parse(name).info(component_of(handle))
    if not 0 <= index < len(info.types):
        raise FieldError(f"{info.name} has no such type", expected=f"below {len(info.types)}", found=index)
    return 0, info.types[index]


@returns_code
def import_info(handle: int, name: bytes) -> tuple[int, str]:
    imports, text = component_of(handle).imports(), text_of(name)
    if text not in imports:
        raise FieldError("no predictor imports this field", found=text, remedy=nearest(text, imports))
    return 0, imports[text].units


@returns_code
def get_field(handle: int, name: bytes, data: memoryview | None) -> None:
    export = Export.parse(name)
    put(export.values(component_of(handle)), array_of(data, np.float64), export.name, PLAIN)


@returns_code
def set_field(handle: int, name: bytes, data: memoryview | None, time_count: int, cell_count: int) -> None:
    component = component_of(handle)
    values = take(array_of(data, np.float64), time_count, cell_count, text_of(name), PLAIN)
    component.import_(text_of(name), values if time_count > 1 else values[0])


@returns_code
def get_array(
    handle: int, name: bytes, data: memoryview | None, kind: int, order: int, nproma: int, type_count: int
) -> None:
    export, layout = Export.parse(name), _layout(name, kind, order, nproma)
    values = export.values(component_of(handle))
    _check_types(export.name, type_count, 1 if values.ndim == 1 else len(values))
    put(values, array_of(data, KINDS[kind]), export.name, layout)


@returns_code
def set_array(
    handle: int, name: bytes, data: memoryview | None, kind: int, order: int, nproma: int, type_count: int
) -> None:
    component, text = component_of(handle), text_of(name)
    component.import_(text, _imported(component, name, data, _layout(name, kind, order, nproma), type_count))


@returns_code
def import_mean(
    handle: int,
    name: bytes,
    units: bytes | None,
    year: int,
    month: int,
    day: int,
    seconds: float,
    data: memoryview | None,
    kind: int,
    nproma: int,
) -> None:
    component, text = component_of(handle), text_of(name)
    values = _imported(component, name, data, _layout(name, kind, 0, nproma), 1)
    component.import_(text, values, (year, month, day, seconds), None if units is None else text_of(units))


@returns_code
def set_surface(
    handle: int, name: bytes, data: memoryview | None, kind: int, order: int, nproma: int, type_count: int
) -> None:
    component, text = component_of(handle), text_of(name)
    layout = _layout(name, kind, order, nproma)
    if text == "land_area_fraction":
        component.set_land_fraction(_taken(component, name, data, layout, type_count))
        return
    types = max(1, len(Export.parse(name).info(component).types))
    _check_types(text, type_count, types)
    component.set_surface(text, _taken(component, name, data, layout, types))


def _imported(
    component: LandComponent, name: bytes, data: memoryview | None, layout: Layout, type_count: int
) -> NDArray[np.float64]:
    """Values of an import. Values of the wrong size are passed on: the component raises the fault on every rank."""
    try:
        return _taken(component, name, data, layout, type_count)
    except FieldError:
        values = array_of(data, KINDS[layout.kind]).astype(np.float64)
        if values.size == component.cell_count:  # the size is right, so the fault is in the layout
            raise
        return values


def _taken(
    component: LandComponent, name: bytes, data: memoryview | None, layout: Layout, type_count: int
) -> NDArray[np.float64]:
    """The host's values (types, cells), or (cells,) for one type."""
    types = max(1, type_count)
    values = take(array_of(data, KINDS[layout.kind]), types, component.cell_count, text_of(name), layout)
    return values if types > 1 else values[0]


@returns_code
def bind_field(
    handle: int, name: bytes, data: memoryview | None, kind: int, order: int, nproma: int, type_count: int
) -> None:
    entry, export, layout = usable(handle), Export.parse(name), _layout(name, kind, order, nproma)
    component = entry.component
    types = max(1, len(export.info(component).types))
    if data is None and component.cell_count:
        entry.bound.pop(text_of(name), None)
        return
    _check_types(export.name, type_count, types)
    memory = array_of(data, KINDS[kind])
    check_size(export.name, memory.size, types, component.cell_count, layout)
    entry.bound[text_of(name)] = bound = Bound(export, memory, layout)
    bound.fill_if_possible(component)


def _layout(name: bytes, kind: int, order: int, nproma: int) -> Layout:
    layout = Layout(kind, order, nproma)
    layout.check(text_of(name))
    return layout


def _check_types(name: str, given: int, types: int) -> None:
    if given not in (0, types):
        raise FieldError(f"the host's array for {name} has the wrong number of types", expected=types, found=given)
