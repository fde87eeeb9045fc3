"""The fields that predictors need from a host: collected over the year, and read by the step at its end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.calendar import HostCalendar, HostDate
from ai4land_coupler.core.clock import Clock
from ai4land_coupler.errors import Ai4LandError, FieldError, nearest
from ai4land_coupler.host.field_table import FieldTable, configured_import
from ai4land_coupler.host.grids import HOST, HostGrids
from ai4land_coupler.host.import_window import ImportWindows
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.parallel import Communicator


class HostImports:
    """The fields of the host as monthly means on the forcing grid; fields it never gave come from the configuration.

    Parameters
    ----------
    began:
        Start of the host's run: the interval of the first import starts there.
    online:
        Whether a host runs the component. It then has to give the imports, unless the configuration says
        ``missing: fill``.

    Attributes
    ----------
    table:
        The fields that predictors need.
    windows:
        The values given so far.
    """

    def __init__(
        self,
        setup: LandSetup,
        field_table: FieldTable,
        hosts: HostGrids,
        began: HostDate,
        comm: Communicator,
        *,
        online: bool,
    ) -> None:
        self.table = field_table.imports
        self.windows = ImportWindows(self.table)
        self._setup, self._hosts, self._began, self._comm, self._online = setup, hosts, began, comm, online

    @property
    def has_dates(self) -> bool:
        """Whether the host gave a field with a date."""
        return any(window.last for _, window in self.windows.items())

    def add(
        self, name: str, values: NDArray[Any], at: Any, units: str | None, since: Any, calendar: HostCalendar
    ) -> None:
        """Store values; see :meth:`LandComponent.import_`. Local.

        On one of several ranks a fault of values or dates is stored, and the next collective call raises it on every
        rank: a rank that stops alone would leave the others waiting. An unknown name is refused at once.
        """
        if name not in self.table:
            raise FieldError("no predictor imports this field", found=name, remedy=nearest(name, self.table))
        try:
            self._add(name, values, at, units, since, calendar)
        except Ai4LandError as fault:
            if self._comm.size == 1:
                raise
            self.windows.store_fault(fault)

    def _add(
        self, name: str, values: NDArray[Any], at: Any, units: str | None, since: Any, calendar: HostCalendar
    ) -> None:
        mesh = self._hosts.meshes.get(HOST)
        mask = None if mesh is None else mesh.mask
        if at is None:
            self.windows.set(name, values, units, mask)
            return
        until = calendar.parse(at)
        begin = self.windows[name].begin(until, self._began) if since is None else calendar.parse(since)
        self.windows.add(name, values, units, mask, begin, until, calendar)

    def check(self) -> None:
        """Raise the first fault of the imports since the last check, also of those given before the grid. Local."""
        mesh = self._hosts.meshes.get(HOST)
        if mesh is not None:
            self.windows.check_cells(mesh.mask)
        self.windows.check()

    def read(self, clock: Clock, calendar: HostCalendar) -> dict[str, NDArray[np.float32]]:
        """All fields for the step that ends in the year of ``clock``, float32 (months, rows, cols). Collective.

        The months are those before 1 January that predictors read; the last one is December.
        """
        return {name: self._read(name, clock, calendar) for name in sorted(self.table)}

    def _read(self, name: str, clock: Clock, calendar: HostCalendar) -> NDArray[np.float32]:
        window, mesh = self.windows[name], self._hosts.meshes.get(HOST)
        cells = 0 if mesh is None else mesh.size
        if not any(self._comm.allgather(window.has_values)):
            with self._comm.guard():
                info, values = self.table[name], configured_import(self._setup, name)
                if self._online and info.missing == "stop" and info.optional:
                    values = np.broadcast_to(np.float32(np.nan), values.shape)
                elif self._online and info.missing == "stop":
                    raise FieldError(
                        f"import {name!r} was never set",
                        expected=f"values in {info.units} from every rank of the host",
                        found="values in the configuration, which a run with a host uses with `missing: fill` only",
                        where=f"imports.{name}",
                        remedy=f"give the import before the step, or set imports.{name}.missing: fill",
                    )
            return values
        host = self._hosts.grid(HOST)
        with self._comm.guard():
            if cells and not window.has_values:
                raise FieldError(
                    f"import {name!r} was given on some ranks only",
                    expected=f"values from every rank that owns cells: {cells} on this one",
                    found="none",
                )
            # a rank without cells needs no values
            means = window.means(clock.now, cells, calendar) if cells else np.empty((self.table[name].months, 0))
        return host.import_to_forcing(means, self._setup.plan, name)
