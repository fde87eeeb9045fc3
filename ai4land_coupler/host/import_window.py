"""Fields that a host gives at its own time steps, averaged to the monthly means that predictors need.

If the values on one rank are faulty, that rank must not stop alone while others wait for it in a collective call. The
fault is stored, and the next collective call raises it on all ranks (:meth:`ImportWindows.check`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.calendar import DAY, HostCalendar, HostDate
from ai4land_coupler.core.units import convert
from ai4land_coupler.errors import Ai4LandError, FieldError, TimeError
from ai4land_coupler.host.field_info import ImportInfo
from ai4land_coupler.host.values import check_range, host_values, missing_values

#: Longest interval of one value, so that a field that the host stopped giving is noticed.
LONGEST = 31 * DAY
_UNITS = "give the units of the values in the spelling of UDUNITS, or convert the values first"

#: Seconds that a month of values may lack: dates of clocks that add parts of seconds are not exact.
SLACK = 1.0

Months = dict[tuple[int, int], tuple[NDArray[np.float64], float]]


class ImportWindow:
    """One field on the cells of this rank.

    Attributes
    ----------
    fixed:
        Values for all later steps, (12, cells).
    months:
        (year, month) to the sum of value x seconds (cells,), and the sum of seconds.
    last:
        End of the last interval.
    refused:
        The last interval, if its values were faulty.
    """

    def __init__(self, info: ImportInfo) -> None:
        self.info = info
        self.fixed: NDArray[np.float64] | None = None
        self.months: Months = {}
        self.last: HostDate | None = None
        self.refused: tuple[HostDate, HostDate] | None = None

    def begin(self, until: HostDate, started: HostDate) -> HostDate:
        """Start of an interval of which the host gives only the end.

        It is the end of the last interval, also if the values of this one were faulty: so the next values are good,
        and the fault that is reported is the first one. A host can give faulty values again for the same date.

        Parameters
        ----------
        started:
            Start of the run: the first interval begins there.
        """
        if self.refused is not None:
            since, end = self.refused
            return since if until <= end else end
        return self.last or started

    @property
    def has_values(self) -> bool:
        return self.fixed is not None or bool(self.months)

    def add(self, values: NDArray[np.float64], since: HostDate, until: HostDate, calendar: HostCalendar) -> None:
        """Add means over an interval, divided among its months by time."""
        begin = since
        while begin < until:
            month = (begin.year, begin.month)
            turn = HostDate(begin.year + begin.month // 12, begin.month % 12 + 1)
            end = min(turn, until)
            seconds = calendar.seconds_between(begin, end)
            if month in self.months:
                total, weight = self.months[month]
                self.months[month] = (total + values * seconds, weight + seconds)
            else:
                self.months[month] = (values * seconds, seconds)
            begin = end
        self.last, self.refused = until, None

    def means(self, year: int, cells: int, calendar: HostCalendar) -> NDArray[np.float64]:
        """The monthly means before 1 January of ``year`` that a step reads, (months, cells); the last is December.

        Raises
        ------
        FieldError
            A month is incomplete and the configuration has no default for it, or the number of cells is wrong.
        """
        info, first = self.info, 12 * year - self.info.months
        wanted = [divmod(month, 12) for month in range(first, 12 * year)]
        if self.fixed is not None:
            if self.fixed.shape[-1] != cells:
                raise wrong_size(info.name, cells, self.fixed.shape[-1])
            return self.fixed[[month for _, month in wanted]]
        means = np.full((len(wanted), cells), np.nan)
        lacking = []
        for index, (own, month) in enumerate(wanted):
            total, weight = self.months.get((own, month + 1), (None, 0.0))
            turn = HostDate(own + (month + 1) // 12, (month + 1) % 12 + 1)
            whole = calendar.seconds_between(HostDate(own, month + 1), turn)
            if total is not None and weight > 0:
                means[index] = total / weight
            elif info.missing == "fill" and info.default is not None:
                means[index] = info.default[month % len(info.default)]
            if weight < whole - SLACK and not (info.optional and weight == 0):
                lacking.append(f"{own}-{month + 1:02d} ({weight / DAY:.8g} of {whole / DAY:g} days)")
        if lacking and (info.missing == "stop" or info.default is None):
            begin = f"{first // 12}-{first % 12 + 1:02d}-01"
            raise FieldError(
                f"import {info.name!r} was not given for the whole year",
                expected=f"values from {begin} to {year}-01-01",
                found=f"in part or not at all: {', '.join(lacking)}",
                remedy=f"give it at each time step, or set imports.{info.name} in the configuration with "
                "`missing: fill`; months before the run are given with `since`",
            )
        return means

    def leave_out(self, cells: NDArray[np.bool_]) -> None:
        """Set the values of masked cells to 0: their weights are 0, but 0 x NaN is NaN."""
        if not cells.any():
            return
        if self.fixed is not None and self.fixed.shape[-1] == cells.size:
            self.fixed = np.where(cells, 0.0, self.fixed)
        for month, (total, weight) in self.months.items():
            if total.size == cells.size:
                self.months[month] = np.where(cells, 0.0, total), weight

    def forget(self, year: int) -> None:
        """Drop the months before 1 January of a year that no later step reads."""
        first = 12 * year - self.info.history
        self.months = {(y, m): sums for (y, m), sums in self.months.items() if 12 * y + m > first}


class ImportWindows:
    """The imports of a host, by name.

    Parameters
    ----------
    infos:
        The imports of the predictors.
    """

    def __init__(self, infos: Mapping[str, ImportInfo]) -> None:
        self._windows = {name: ImportWindow(info) for name, info in infos.items()}
        self._fault: Ai4LandError | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._windows

    def __getitem__(self, name: str) -> ImportWindow:
        return self._windows[name]

    def set(self, name: str, values: NDArray[Any], units: str | None, mask: NDArray[np.bool_] | None) -> None:
        """Set the values for all later steps: (cells,) or (12, cells).

        Raises
        ------
        FieldError
            The array has another shape.
        """
        array = host_values(f"import {name!r}", values)
        if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] != 12):
            raise FieldError(
                f"import {name!r} has the wrong shape", expected="(cells,) or (12, cells)", found=array.shape
            )
        ready = self._checked(name, array, units, mask, None)
        if ready is not None:
            self._windows[name].fixed = np.broadcast_to(np.array(ready), (12, ready.shape[-1]))

    def add(
        self,
        name: str,
        values: NDArray[Any],
        units: str | None,
        mask: NDArray[np.bool_] | None,
        since: HostDate,
        until: HostDate,
        calendar: HostCalendar,
    ) -> None:
        """Add means over the interval from ``since`` to ``until``, (cells,).

        Raises
        ------
        FieldError
            The array has another shape.
        TimeError
            The interval ends before it starts, or is longer than 31 days.
        """
        window = self._windows[name]
        array = host_values(f"import {name!r}", values)
        if array.ndim != 1:
            raise FieldError(f"import {name!r} has the wrong shape", expected="(cells,)", found=array.shape)
        seconds = calendar.seconds_between(since, until)
        if not 0 <= seconds <= LONGEST:
            raise TimeError(
                f"import {name!r} has an impossible interval",
                expected="one that ends after it begins, and is not longer than 31 days",
                found=f"{since} to {until}",
                remedy="give the field at least every 31 days; in Python, `since` can begin an interval after a pause",
            )
        ready = self._checked(name, array, units, mask, until)
        held = next((total.size for total, _ in window.months.values()), None)
        if ready is not None and held is not None and ready.size != held:
            self.store_fault(wrong_size(name, held, ready.size))
            ready = None
        if ready is None:
            window.refused = since, until
        else:
            window.add(ready, since, until, calendar)

    def check(self) -> None:
        """Raise the first fault since the last check; faulty values were not stored."""
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def forget(self, year: int) -> None:
        for window in self._windows.values():
            window.forget(year)

    def items(self) -> Iterable[tuple[str, ImportWindow]]:
        """The imports that have values."""
        return [(name, window) for name, window in sorted(self._windows.items()) if window.has_values]

    def store_fault(self, fault: Ai4LandError) -> None:
        """Keep a fault for the next :meth:`check`, unless there is one: the first one is the cause of others."""
        self._fault = self._fault or fault

    def check_cells(self, mask: NDArray[np.bool_]) -> None:
        """Check values that the host gave before its grid. Faults are stored.

        Parameters
        ----------
        mask:
            Which of the owned cells are used.
        """
        for name, window in self.items():
            means = {
                f"in {year}-{month:02d}": total / weight for (year, month), (total, weight) in window.months.items()
            }
            if window.fixed is not None:
                means["for all later steps"] = window.fixed
            for when, values in means.items():
                where = f"import {name!r} {when}"
                try:
                    self._check_numbers(name, values, mask, where)
                    check_range(name, values[..., mask], window.info.units, where)
                except Ai4LandError as fault:
                    self.store_fault(fault)
            window.leave_out(~mask)

    def _checked(
        self,
        name: str,
        array: NDArray[np.float64],
        units: Any,
        mask: NDArray[np.bool_] | None,
        date: HostDate | None,
    ) -> NDArray[np.float64] | None:
        """Values in the units of the import; ``None`` if they are faulty (the fault is stored)."""
        wanted = self._windows[name].info.units
        where = f"import {name!r}" + ("" if date is None else f" at {date}")
        try:
            if mask is not None:
                self._check_numbers(name, array, mask, where)
            if isinstance(units, bytes):
                units = units.decode(errors="replace")
            if units is not None and not isinstance(units, str):
                units = str(units)  # for example of cf_units or pint
            if units is not None and units != wanted:
                array = np.asarray(convert(array, units, wanted, where, remedy=_UNITS), np.float64)
            if mask is not None:
                if not mask.all():
                    array = np.where(mask, array, 0.0)  # the weights of masked cells are 0, but 0 x NaN is NaN
                check_range(name, array[..., mask], wanted, where)
        except Ai4LandError as fault:
            self.store_fault(fault)
            return None
        return array

    def _check_numbers(self, name: str, array: NDArray[np.float64], mask: NDArray[np.bool_], where: str) -> None:
        """Refuse an array of the wrong size, and missing values in cells that are used."""
        if array.shape[-1] != mask.size:
            raise wrong_size(name, mask.size, array.shape[-1])
        missing = missing_values(array)[..., mask]
        if missing.any():
            raise FieldError(
                f"import {name!r} has values that are no numbers",
                expected="a finite value in every cell that is not masked in the grid",
                found=f"{int(missing.sum())} of {missing.size} values are missing (NaN, infinite, masked, fill values)",
                where=where,
                remedy="give values in all of these cells, or mask the cells in the grid",
            )


def wrong_size(name: str, cells: int, found: int) -> FieldError:
    return FieldError(f"import {name!r} has the wrong size", expected=f"{cells} cells on this rank", found=found)
