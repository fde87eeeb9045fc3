"""The fields that predictors need from a host: collected over the year, and read by the step at its end.

In a run without a host they come from the adapters of the section ``climate``, or from the values of ``imports``.
"""

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
from ai4land_coupler.inputs.readers import ClimateReader
from ai4land_coupler.land.setup import LandSetup
from ai4land_coupler.parallel import Communicator


class HostImports:
    """The fields of the host as monthly means on the forcing grid; fields it never gave come from the climate data or
    the values of the configuration.

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
        self._climate = ClimateReader(setup.climate, setup.plan.forcing)

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

    def check_climate(self, since: int) -> None:
        """Check that the climate data have all months that a run without a host will read. Local; reads no values.

        ``since``: the year of the state from which the run goes on.

        Raises
        ------
        TimeError
            A month is missing.
        """
        if self._online:
            return
        for clock in self._setup.clock.at(since).remaining():
            for name, info in sorted(self.table.items()):
                if name in self._climate:
                    self._climate.check(name, clock.now, info.months)

    def next_climate(self, since: int) -> dict[str, NDArray[np.float32]]:
        """The climate data of the last month that the next step of a run without a host reads, (rows, cols). Local.

        ``since``: as :meth:`check_climate`. Empty on a rank that does not predict, and at the end of the run.
        """
        clock = self._setup.clock.at(since)
        if self._online or clock.done or not self._setup.predicts:
            return {}
        names = [name for name in sorted(self.table) if name in self._climate]
        return {name: self._not_given(name, clock.next().now)[-1] for name in names}

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
                return self._not_given(name, clock.now)
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

    def _not_given(self, name: str, year: int) -> NDArray[np.float32]:
        """A field that no host gave, float32 (months, rows, cols); NaN on a rank that does not predict. Local."""
        info, setup = self.table[name], self._setup
        missing = np.broadcast_to(np.float32(np.nan), (info.months, *setup.plan.forcing.shape))
        waits = self._online and info.missing == "stop"
        if name in self._climate and not waits:
            return self._climate.read(name, info.units, year, info.months) if setup.predicts else missing
        values = configured_import(setup, name)
        if waits and info.optional:
            return missing
        if waits:
            raise FieldError(
                f"import {name!r} was never set",
                expected=f"values in {info.units} from every rank of the host",
                found="values in the configuration, which a run with a host uses with `missing: fill` only",
                where=f"imports.{name}",
                remedy=f"give the import before the step, or set imports.{name}.missing: fill",
            )
        return values
