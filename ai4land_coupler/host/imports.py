"""The fields that predictors want of a host: taken from it over the year, read by the step at the year's end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.errors import FieldError, nearest
from ai4land_coupler.host.field_table import FieldTable, configured_import
from ai4land_coupler.host.grids import HOST, HostGrids
from ai4land_coupler.host.import_window import ImportWindows
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.parallel import Communicator


class HostImports:
    """What the host gives on its grid, as monthly fields on the forcing grid; where it gives nothing, the
    configuration's.

    Parameters
    ----------
    began:
        When the host's run began: where the interval of the first import begins.

    Attributes
    ----------
    table:
        The fields that predictors want.
    windows:
        What was given so far.
    """

    def __init__(
        self, setup: LandSetup, field_table: FieldTable, hosts: HostGrids, began: HostDate, comm: Communicator
    ) -> None:
        self.table = field_table.imports
        self.windows = ImportWindows(self.table)
        self._setup, self._hosts, self._began, self._comm = setup, hosts, began, comm

    @property
    def dated(self) -> bool:
        """Whether a field was given with a date."""
        return any(window.last for _, window in self.windows.items())

    def take(
        self, name: str, values: NDArray[Any], at: Any, units: str | None, since: Any, calendar: HostCalendar
    ) -> None:
        """Take values as :meth:`LandComponent.import_` says. Local."""
        if name not in self.table:
            raise FieldError("no predictor imports this field", found=name, remedy=nearest(name, self.table))
        mesh = self._hosts.meshes.get(HOST)
        mask = None if mesh is None else mesh.mask
        if at is None:
            self.windows.set(name, values, units, mask)
        else:
            begin = self.windows[name].last or self._began if since is None else calendar.parse(since)
            self.windows.add(name, values, units, mask, begin, calendar.parse(at), calendar)

    def read(self, clock: Clock, calendar: HostCalendar) -> dict[str, NDArray[np.float32]]:
        """All fields for the step that ends at the year of ``clock``, float32 (12, rows, cols). Collective."""
        return {name: self._read(name, clock, calendar) for name in sorted(self.table)}

    def _read(self, name: str, clock: Clock, calendar: HostCalendar) -> NDArray[np.float32]:
        window, mesh = self.windows[name], self._hosts.meshes.get(HOST)
        cells = 0 if mesh is None else mesh.size
        if not any(self._comm.allgather(window.has_values)):
            with self._comm.guard():
                values = configured_import(self._setup, name)
            return values
        host = self._hosts.grid(HOST)
        with self._comm.guard():
            if cells and not window.has_values:
                raise FieldError(
                    f"import {name!r} was given on some ranks only",
                    expected=f"values from every rank that owns cells: {cells} on this one",
                    found="none",
                )
            # a rank without cells may have given nothing, and lacks nothing
            means = window.means(clock.now, cells, calendar) if cells else np.empty((12, 0))
        return host.import_to_forcing(means, self._setup.plan, name)
