"""The host's part of a restart: its date, the imports since 1 January, and the first year of its own surface.

Values are stored by the ids of the host's cells, so that a run can continue on another number of ranks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.core.calendar import HostDate
from ai4land_coupler.errors import GridError, StateError, TimeError
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.host.field_table import TRANSITIONS
from ai4land_coupler.host.import_window import ImportWindows
from ai4land_coupler.host.surface import PARTS, HostSurface
from ai4land_coupler.host.time import HostTime
from ai4land_coupler.parallel import Communicator
from ai4land_coupler.store.records import read_records, write_records
from ai4land_coupler.store.restart import Restart, RestartFile, RestartWriter

#: Each grid has this many file numbers; the first one belongs to its first range of cells.
_GRID = 1 << 24

#: Name in the restart's files to values.
Records = dict[str, NDArray[np.float64]]
#: Year and month.
Month = tuple[int, int]

_IMPORT = "import "


def _month_text(month: Month) -> str:
    return f"{month[0]}-{month[1]}"


def _month_of(text: str) -> Month:
    year, month = text.split("-")
    return int(year), int(month)


def _record_name(field: str, month: Month | None = None) -> str:
    """The record of an import: ``import X`` holds values for all steps, ``import X 2015-3`` a sum over a month."""
    return f"{_IMPORT}{field}" + ("" if month is None else f" {_month_text(month)}")


def _import_of(record: str) -> tuple[str, Month | None] | None:
    """Field and month of an import's record (:func:`_record_name`); ``None`` for records of other kinds."""
    if not record.startswith(_IMPORT):
        return None
    text = record.removeprefix(_IMPORT)
    match = re.fullmatch(r"(.+) (\d+-\d+)", text)
    return (text, None) if match is None else (match[1], _month_of(match[2]))


def write_host_restart(
    writer: RestartWriter,
    time: HostTime,
    imports: ImportWindows,
    meshes: Mapping[str, Mesh],
    surfaces: Mapping[str, HostSurface],
    exports: Mapping[tuple[str, str], NDArray[np.float64]],
    comm: Communicator,
    import_grid: str = "host",
) -> tuple[dict[str, Any], list[RestartFile]]:
    """Write the host's part of a restart. Collective.

    Returns
    -------
    Attributes for the manifest, and the entries of the files that this rank wrote.
    """
    given: dict[str, Any] = {}
    for name, window in imports.items():
        given[name] = {
            "last": None if window.last is None else list(window.last),
            "months": {_month_text(month): seconds for month, (_, seconds) in window.months.items()},
        }
    for part in comm.allgather(given):
        given = part | given  # a rank without cells may have no imports
    attrs: dict[str, Any] = {"calendar": time.calendar.name, "date": list(time.now), "imports": given, "grids": {}}
    entries: list[RestartFile] = []
    for index, (grid, mesh) in enumerate(sorted(meshes.items())):
        records: Records = {}
        surface = surfaces.get(grid)
        if surface is not None and surface.start is not None:
            records["start"] = surface.start
        if surface is not None and surface.types_start is not None:
            records["types start"] = surface.types_start
        if (grid, TRANSITIONS) in exports:
            records[TRANSITIONS] = exports[grid, TRANSITIONS]
        if grid == import_grid:
            for name, window in imports.items():
                if window.fixed is not None:
                    records[_record_name(name)] = window.fixed
                records |= {_record_name(name, month): total for month, (total, _) in window.months.items()}
        written = write_records(writer, mesh.cell_ids, records, comm, _GRID * index)
        attrs["grids"][grid] = {
            "index": index,
            "hash": grid_hash(mesh, comm),
            "records": any(comm.allgather(bool(records))),
            "surface": [False] * len(PARTS) if surface is None else [*surface.parts],
        }
        entries += written
    return attrs, entries


class HostRestart:
    """Reads the host's part of a restart; empty if a run starts from the map.

    Attributes
    ----------
    exports:
        Fields of the last step that cannot be made again from the state.
    """

    def __init__(self, restart: Restart | None, year: int, *, branch: bool) -> None:
        self._restart, self._year, self._branch = restart, year, branch
        self._attrs: dict[str, Any] = {} if restart is None else dict(restart.attrs.get("host", {}))
        self._imports: dict[tuple[str, Month | None], NDArray[np.float64]] = {}
        self.exports: dict[tuple[str, str], NDArray[np.float64]] = {}

    @property
    def date(self) -> HostDate:
        """The host's date in the restart, at least 1 January of the state's year."""
        begin = HostDate(self._year)
        if self._relabelled or "date" not in self._attrs:
            return begin
        return max(begin, HostDate(*self._attrs["date"]))

    def read(self, grid: str, mesh: Mesh, surface: HostSurface, comm: Communicator, import_grid: str = "host") -> None:
        """Read the records of a grid, if the restart has any. Collective.

        Raises
        ------
        GridError
            A run continues with another grid than that of the restart.
        StateError
            A run continues, but the host gave other parts of its own surface than before.
        """
        held = self._attrs.get("grids", {}).get(grid)
        if self._restart is None or held is None:
            return
        if not self._branch and held["surface"] != [*surface.parts]:
            raise StateError(
                "the host's own surface was given to one part of a run only",
                expected=f"{dict(zip(PARTS, held['surface'], strict=True))}, as in the restart",
                found=dict(zip(PARTS, surface.parts, strict=True)),
                where=f"{grid}, {self._restart.path}",
                remedy="call set_land_fraction and set_surface in the run that continues just as in the first",
            )
        if not held["records"]:
            return
        found = grid_hash(mesh, comm)
        if found != held["hash"]:
            if self._branch:
                return
            raise GridError(
                "the host's grid is not that of the restart",
                expected=held["hash"],
                found=found,
                where=f"{grid}, {self._restart.path}",
                remedy="continue on the same grid, or branch off",
            )
        with comm.guard():
            records = read_records(self._restart, mesh.cell_ids, _GRID * held["index"])
        if "start" in records and surface.base is not None:
            surface.start = records["start"]
        if "types start" in records and surface.types is not None:
            surface.types_start = records["types start"]
        if TRANSITIONS in records and not self._relabelled:
            values = records[TRANSITIONS]
            values.flags.writeable = False
            self.exports[grid, TRANSITIONS] = values
        if grid == import_grid:
            keys = {record: _import_of(record) for record in records}
            self._imports = {key: records[record] for record, key in keys.items() if key is not None}

    def restore(self, imports: ImportWindows, calendar: str, mesh: Mesh | None) -> None:
        """Restore the imports of the restart, except those that the host has given again.

        Raises
        ------
        TimeError
            The host has another calendar than in the restart, which is in the middle of a year.
        """
        if mesh is None or not self._attrs or self._relabelled:
            return
        kept, date = self._attrs["calendar"], HostDate(*self._attrs["date"])
        held = self._attrs["imports"]
        if kept != calendar and (date[1:] != (1, 1, 0) or any(item["months"] for item in held.values())):
            raise TimeError(
                "the host's calendar is not that of the restart",
                expected=kept,
                found=calendar,
                remedy="call set_calendar with it, or continue from a restart of 1 January",
            )
        for name, item in held.items():
            if name not in imports:
                continue
            window = imports[name]
            if window.has_values or window.last is not None:
                continue
            window.last = None if item["last"] is None else HostDate(*item["last"])
            window.fixed = self._imports.get((name, None))
            for text, seconds in item["months"].items():
                month = _month_of(text)
                window.months[month] = (self._imports.get((name, month), np.zeros(mesh.size)), seconds)

    @property
    def _relabelled(self) -> bool:
        """Whether the state got another year than the restart, so that the host's records do not fit it."""
        return self._restart is None or self._restart.year != self._year
