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
from ai4land_coupler.inputs.checks import field_rule

#: Longest interval of one value, so that a field that the host stopped giving is noticed.
LONGEST = 31 * DAY

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
    """

    def __init__(self, info: ImportInfo) -> None:
        self.info = info
        self.fixed: NDArray[np.float64] | None = None
        self.months: Months = {}
        self.last: HostDate | None = None

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
        self.last = until

    def means(self, year: int, cells: int, calendar: HostCalendar) -> NDArray[np.float64]:
        """The twelve monthly means before 1 January of ``year``, (12, cells).

        Raises
        ------
        FieldError
            A month is incomplete and the configuration has no default for it, or the number of cells is wrong.
        """
        if self.fixed is not None:
            months = self.fixed
            if months.shape[-1] != cells:
                raise wrong_size(self.info.name, cells, months.shape[-1])
            return months
        months = np.empty((12, cells))
        lacking = []
        for month in range(1, 13):
            total, weight = self.months.get((year - 1, month), (None, 0.0))
            turn = HostDate(year - 1 + month // 12, month % 12 + 1)
            whole = calendar.seconds_between(HostDate(year - 1, month), turn)
            if total is not None and weight > 0:
                months[month - 1] = total / weight
            elif self.info.default is not None:
                months[month - 1] = self.info.default[(month - 1) % len(self.info.default)]
            if weight < whole - SLACK:
                lacking.append(f"{year - 1}-{month:02d} ({weight / DAY:.8g} of {whole / DAY:g} days)")
        if lacking and (self.info.missing == "stop" or self.info.default is None):
            raise FieldError(
                f"import {self.info.name!r} was not given for the whole year",
                expected=f"values from {year - 1}-01-01 to {year}-01-01",
                found=f"in part or not at all: {', '.join(lacking)}",
                remedy=f"give it at each time step, or set imports.{self.info.name} in the configuration with "
                "`missing: fill`",
            )
        return months

    def forget(self, year: int) -> None:
        """Drop the months before 1 January of a year, which the last step has used."""
        self.months = {month: sums for month, sums in self.months.items() if month[0] >= year}


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
        array = np.array(values, np.float64)
        if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] != 12):
            raise FieldError(
                f"import {name!r} has the wrong shape", expected="(cells,) or (12, cells)", found=array.shape
            )
        ready = self._checked(name, array, units, mask, None)
        if ready is not None:
            self._windows[name].fixed = np.broadcast_to(ready, (12, ready.shape[-1]))

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
        array = np.asarray(values, np.float64)
        window = self._windows[name]
        if array.ndim != 1:
            raise FieldError(f"import {name!r} has the wrong shape", expected="(cells,)", found=array.shape)
        seconds = calendar.seconds_between(since, until)
        if not 0 <= seconds <= LONGEST:
            raise TimeError(
                f"import {name!r} has an impossible interval",
                expected="one that ends after it begins, and is not longer than 31 days",
                found=f"{since} to {until}",
                remedy="give the field at each time step; after a pause give the start of the interval with `since`",
            )
        ready = self._checked(name, array, units, mask, until)
        held = next((total.size for total, _ in window.months.values()), None)
        if ready is not None and held is not None and ready.size != held:
            self._store_fault(wrong_size(name, held, ready.size))
        elif ready is not None:
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

    def _store_fault(self, fault: Ai4LandError) -> None:
        self._fault = self._fault or fault

    def _checked(
        self,
        name: str,
        array: NDArray[np.float64],
        units: str | None,
        mask: NDArray[np.bool_] | None,
        date: HostDate | None,
    ) -> NDArray[np.float64] | None:
        """Values in the units of the import; ``None`` if they are faulty (the fault is stored)."""
        wanted = self._windows[name].info.units
        where = f"import {name!r}" + ("" if date is None else f" at {date}")
        try:
            if units is not None and units != wanted:
                array = np.asarray(convert(array, units, wanted, where), np.float64)
            if mask is not None:
                if array.shape[-1] != mask.size:
                    raise wrong_size(name, mask.size, array.shape[-1])
                used = array[..., mask]
                if not np.isfinite(used).all():
                    raise FieldError(
                        f"import {name!r} has values that are no numbers",
                        expected="finite values in every cell that is not masked",
                        found=f"{int((~np.isfinite(used)).sum())} that are not",
                        where=where,
                    )
                if not mask.all():
                    array = np.where(mask, array, 0.0)  # the weights of masked cells are 0, but 0 x NaN is NaN
                check_range(name, array[..., mask], wanted, where)
        except Ai4LandError as fault:
            self._store_fault(fault)
            return None
        return array


def check_range(name: str, values: NDArray[np.float64], units: str, where: str) -> None:
    """Refuse values outside the range in ``schemas/fields.yaml``; most often the units are wrong."""
    rule = field_rule(name)
    if rule is None or not values.size:
        return
    bounds = np.array(rule.valid)
    low, high = bounds if rule.units is None else convert(bounds, rule.units, units, where)
    lowest, highest = float(values.min()), float(values.max())
    if lowest < low or highest > high:
        raise FieldError(
            f"import {name!r} has impossible values",
            expected=f"{low:g} to {high:g} {units}",
            found=f"{lowest:g} to {highest:g}",
            where=where,
            remedy="name the units with the values",
        )


def wrong_size(name: str, cells: int, found: int) -> FieldError:
    return FieldError(f"import {name!r} has the wrong size", expected=f"{cells} cells on this rank", found=found)
