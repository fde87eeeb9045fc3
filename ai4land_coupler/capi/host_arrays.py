"""The names of exports in C, and the host's arrays that the component fills."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.capi.layout import Layout, put
from ai4land_coupler.errors import FieldError, StateError, TimeError, nearest

if TYPE_CHECKING:
    from ai4land_coupler.component.component import LandComponent
    from ai4land_coupler.host.field_info import ExportInfo


class Export(NamedTuple):
    """An export by its name in C: ``name``, ``name@next``, or ``name@date`` (see ``a4l.h``)."""

    name: str
    at: str

    @staticmethod
    @functools.cache  # hosts use few names, at each of their time steps
    def parse(raw: bytes) -> Export:
        name, mark, at = raw.decode(errors="replace").partition("@")
        if mark and at not in ("next", "date"):
            raise FieldError("an export has no such time", expected=f"{name}, {name}@next or {name}@date", found=at)
        return Export(name, at)

    def values(self, component: LandComponent) -> NDArray[np.float64]:
        """The values for the host, (types, cells) or (cells,); in the last year of a run ``date`` is the last state."""
        if not self.at or (self.at == "date" and component.next_year is None and component.config.exports.lookahead):
            return component.export(self.name)
        return component.export(self.name, at="next" if self.at == "next" else component.date)

    def info(self, component: LandComponent) -> ExportInfo:
        exports = component.exports()
        if self.name not in exports:
            raise FieldError("no export has this name", found=self.name, remedy=nearest(self.name, exports))
        return exports[self.name]


class Bound:
    """An array of the host that the component fills after each run that changed its field."""

    def __init__(self, export: Export, memory: NDArray[Any], layout: Layout) -> None:
        self.export, self.memory, self.layout = export, memory, layout
        self._filled: tuple[int, object] | None = None

    def fill(self, component: LandComponent) -> None:
        now = component.step_count, component.date if self.export.at == "date" else None
        if now != self._filled:
            put(self.export.values(component), self.memory, self.export.name, self.layout)
            self._filled = now

    def fill_if_possible(self, component: LandComponent) -> None:
        """Fill the array if its field exists: not before ``realize`` or the first step, and not without a next year."""
        with contextlib.suppress(StateError, TimeError):
            self.fill(component)
