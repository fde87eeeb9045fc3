"""The land as a separate component that YAC couples to models (https://yac.gitlab-pages.dkrz.de/YAC-dev).

The land has its own ranks, uses one host grid of the configuration, and is one YAC component:

* Each export is a source field on that grid, with one collection entry for each type. The land puts it on 1 January
  of each year. Means over land have the land area fraction as fractional mask, so that YAC also averages over land.
* Each import is a target field. The land gets it on the first day of each month. Couple it as a monthly mean: the
  values belong to the month that ended.

In a step, the land gets its imports before it puts its exports. A model must therefore put the imports of the land
before it gets the exports of the land.

YAC ends the whole job at any mistake. Therefore the configuration is checked before YAC starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.config.sections import Config
from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.errors import ConfigError, GridError, StateError, TimeError, nearest
from ai4land_coupler.grids.mesh import Mesh
from ai4land_coupler.grids.topology import topology
from ai4land_coupler.host.field_info import ExportInfo
from ai4land_coupler.host.field_table import make_field_table
from ai4land_coupler.host.grids import configured_mesh
from ai4land_coupler.land.forcing import LandForcing
from ai4land_coupler.land.setup import make_setup
from ai4land_coupler.regrid.backends.yac_library import import_yac
from ai4land_coupler.store.restart import Restart

#: cftime's name of each calendar, with its names in YAC and in YAC's configuration files.
CALENDARS = {
    "proleptic_gregorian": ("PROLEPTIC_GREGORIAN", "proleptic-gregorian"),
    "noleap": ("YEAR_OF_365_DAYS", "365d"),
    "360_day": ("YEAR_OF_360_DAYS", "360d"),
}
_MAX_ID = np.iinfo(np.int32).max


@dataclass(frozen=True)
class YacOptions:
    """Options of the YAC component.

    Parameters
    ----------
    component, grid:
        Names of the component and of its grid, which is an entry of the configuration's ``hosts``; default: the only
        entry.
    calendar:
        A calendar of YAC, by its name in cftime.
    coupling:
        YAC's configuration file, if this component should read it. Else a model reads it or defines the couples.
    restart:
        Folder of restarts to continue from.
    """

    component: str = "ai4land"
    grid: str | None = None
    calendar: Literal["proleptic_gregorian", "noleap", "360_day"] = "proleptic_gregorian"
    coupling: Path | None = None
    restart: Path | None = None


def couple(config: Config, options: YacOptions) -> list[int]:
    """Run the land under YAC until the end of YAC's time. Collective over all processes of the coupled job.

    Returns
    -------
    The years whose states were put.

    Raises
    ------
    Ai4LandError
        Before YAC starts: a fault of the configuration, the grid or the coupling file. Later: a failure on any rank of
        the land. Other models then still wait, so the caller must end the job.
    """
    grid = check(config, options).grid
    yac = import_yac()
    yac.def_calendar(getattr(yac.Calendar, CALENDARS[options.calendar][0]))
    instance = yac.YAC()
    if options.coupling is not None:
        instance.read_config_yaml(str(options.coupling))
    component = instance.def_comp(options.component)

    land = LandComponent(config, component.comp_comm)
    land.set_calendar(options.calendar)
    land.initialize(options.restart)
    land.set_named_grid(grid)
    land.realize()

    fields = _Fields(land, instance, component, options.component, grid)
    instance.enddef()
    years = _run(land, fields, _months(instance, land))
    if config.restart.folder is not None:
        land.write_restart(config.resolve(config.restart.folder))
    land.finalize()
    instance.cleanup()
    return years


# ---- before YAC starts ----------------------------------------------------------------------------------------


class Checked(NamedTuple):
    """A coupled run that can start: the name of its grid, and what a user should know about it."""

    grid: str
    notes: list[str]


def check(config: Config, options: YacOptions) -> Checked:
    """Check everything for which YAC would end the job, and that the inputs have all years of the run. Local.

    Raises
    ------
    Ai4LandError
        A fault, and its place.
    """
    import_yac()
    if config.time.stop < config.time.start:
        raise ConfigError(
            "a coupled run cannot go backward in time", found=f"{config.time.start} to {config.time.stop}"
        )
    grid = options.grid or next(iter(config.hosts), "")
    if grid not in config.hosts or (options.grid is None and len(config.hosts) > 1):
        raise ConfigError(
            "the grid of the YAC component is not clear",
            expected=f"one of the configuration's hosts: {', '.join(config.hosts) or 'none'}",
            found=options.grid or "none named",
            remedy=nearest(grid, config.hosts),
        )
    mesh = configured_mesh(config, grid)
    if mesh.global_size > _MAX_ID:
        raise GridError("YAC counts cells with 32 bits", expected=f"at most {_MAX_ID} cells", found=mesh.global_size)
    setup = make_setup(config)
    field_table = make_field_table(setup)
    forcing = LandForcing(setup, field_table.pass_through_inputs)
    forcing.check_years(None if options.restart is None else Restart.open(options.restart, None).year)
    if options.coupling is not None:
        _check_coupling(options, grid, [*field_table.exports], [*field_table.imports])
    return Checked(grid, [*mesh.notes, _outside(mesh, setup.grid)])


def _outside(mesh: Mesh, land: LatLonGrid) -> str:
    """The size of the host's grid, and how much of it is beyond the land grid."""
    lon, lat = mesh.centres()
    rows, cols = land.rows_of(lat), land.cols_of(lon)
    inside = (rows >= 0) & (rows < land.nlat) & (cols >= 0) & (cols < land.nlon)
    masked, outside = int((~mesh.mask).sum()), int((mesh.mask & ~inside).sum())
    return (
        f"{mesh.size} cells, {masked} of them masked; the centres of {outside} others are outside of the land grid. "
        "A cell gets the land of the map that is in it, and is not filled from its neighbours"
    )


def _check_coupling(options: YacOptions, grid: str, exports: list[str], imports: list[str]) -> None:
    """Check this component's names in YAC's configuration file: YAC ends the job at unknown names."""
    path = options.coupling
    assert path is not None
    try:
        raw = parse_yaml(path.read_text(), path, "the coupling file of YAC")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the coupling file of YAC cannot be read", found=error, where=path) from error
    if not isinstance(raw, Mapping):
        raise ConfigError("the coupling file of YAC is malformed", expected="a mapping", found=type(raw), where=path)
    calendar = raw.get("calendar")
    if calendar is not None and calendar != CALENDARS[options.calendar][1]:
        raise TimeError(
            "the coupling file has another calendar",
            expected=CALENDARS[options.calendar][1],
            found=calendar,
            where=path,
            remedy="give the same calendar to both (--calendar)",
        )
    ours = 0
    for number, item in enumerate(raw.get("coupling") or ()):
        where = f"{path}, coupling {number + 1}"
        for side, short, names in (("source", "src", exports), ("target", "tgt", imports)):
            place = item.get(side) or {"component": item.get(f"{short}_component"), "grid": item.get(f"{short}_grid")}
            if place.get("component") != options.component:
                continue
            ours += 1
            if place.get("grid") != grid:
                raise ConfigError(
                    "the coupling file names another grid of this component",
                    expected=grid,
                    found=place.get("grid"),
                    where=where,
                )
            for name in _field_names(item.get("field"), short):
                if name not in names:
                    raise ConfigError(
                        f"the coupling file names a field that is no {'export' if short == 'src' else 'import'}",
                        expected=", ".join(names) or "none",
                        found=name,
                        where=where,
                        remedy=nearest(name, names),
                    )
    if not ours:
        raise ConfigError(
            "no couple of the coupling file has this component",
            expected=f"component {options.component!r} as a source or target",
            where=path,
            remedy="name the component as the file does (--component)",
        )


def _field_names(field: Any, side: str) -> list[str]:
    """Names in an entry ``field`` of YAC: a name, a list, or mappings of src and tgt."""
    fields = field if isinstance(field, list) else [field]
    return [str(item.get(side)) if isinstance(item, Mapping) else str(item) for item in fields]


# ---- definitions ----------------------------------------------------------------------------------------------


class _Fields:
    """The fields of the land in YAC: a source for each export, a target for each import."""

    def __init__(self, land: LandComponent, instance: Any, component: Any, name: str, grid: str) -> None:
        yac = import_yac()
        iso = yac.TimeUnit.ISO_FORMAT
        mesh = land.hosts["host"].mesh
        points, self._cells = _define_grid(mesh, grid), mesh.size
        self.exports: dict[str, Any] = {}
        self.imports: dict[str, Any] = {}
        for export in land.exports().values():
            size = max(1, len(export.types))
            self.exports[export.name] = yac.Field.create(export.name, component, points, size, "P1Y", iso)
            if _masked(export):
                instance.enable_field_frac_mask(name, grid, export.name, 0.0)
            instance.def_field_metadata(name, grid, export.name, json.dumps(asdict(export)).encode())
        for item in land.imports().values():
            self.imports[item.name] = yac.Field.create(item.name, component, points, 1, "P1M", iso)
            instance.def_field_metadata(name, grid, item.name, json.dumps(asdict(item)).encode())

    def put(self, land: LandComponent) -> None:
        """Put the exports of the current state."""
        share = land.export("land_area_fraction")
        for name, info in land.exports().items():
            shape = (max(1, len(info.types)), share.size)
            try:
                values, there = np.atleast_2d(land.export(name)), share
            except StateError:  # The first step makes this field; until then its mask is 0 everywhere.
                values, there = np.zeros(shape), np.zeros_like(share)
            if _masked(info):
                self.exports[name].put(np.nan_to_num(values), np.ascontiguousarray(np.broadcast_to(there, shape)))
            else:
                self.exports[name].put(values)

    def get(self) -> dict[str, NDArray[np.float64] | None]:
        """The imports that arrived; ``None`` for fields that are not coupled or not due.

        YAC leaves cells without source cells as they are: NaN, which the next step refuses.
        """
        blank = (1, self._cells)
        received = {name: field.get(np.full(blank, np.nan))[0] for name, field in self.imports.items()}
        return {name: None if values is None else np.asarray(values[0]) for name, values in received.items()}


def _masked(info: ExportInfo) -> bool:
    return info.norm == "land"


def _define_grid(mesh: Mesh, name: str) -> Any:
    """Define this rank's cells as a grid of YAC; returns the points of its fields."""
    yac = import_yac()
    cell = yac.Location.CELL
    shape = topology(mesh)
    grid = yac.UnstructuredGrid(
        name,
        shape.nodes_per_face,
        np.deg2rad(shape.node_lon),
        np.deg2rad(shape.node_lat),
        shape.face_nodes,
        use_ll_edges=mesh.edges == "latlon",
    )
    grid.set_global_index(mesh.cell_ids.astype(np.int32), cell)
    grid.set_core_mask(mesh.mask, cell)
    lon, lat = mesh.centres()
    return grid.def_points(cell, np.deg2rad(lon), np.deg2rad(lat))


# ---- time -----------------------------------------------------------------------------------------------------


def _months(instance: Any, land: LandComponent) -> list[tuple[int, int]]:
    """The first days of months, (year, month), from the start of YAC's time until before its end."""
    (first, begins), (last, _) = (_new_month(text) for text in (instance.start_datetime, instance.end_datetime))
    ends = last if instance.end_datetime.endswith("-01T00:00:00.000") else (last[0], last[1] + 1)
    if not begins or first != (land.year, 1):
        raise TimeError(
            "the coupled run starts at another time than the land",
            expected=f"1 January {land.year}, as the configuration or the restart has it",
            found=instance.start_datetime,
            remedy="set YAC's start_date, or time.start",
        )
    stop = land.clock.end
    if ends > (stop + 1, 1):
        raise TimeError(
            "the coupled run goes on after the last state of the land",
            expected=f"an end on 1 January {stop + 1} or earlier",
            found=instance.end_datetime,
            remedy="extend time.stop",
        )
    months = [(first[0] + n // 12, 1 + n % 12) for n in range(12 * (stop + 2 - first[0]))]
    return [month for month in months if month < ends]


def _new_month(text: str) -> tuple[tuple[int, int], bool]:
    """Year and month of a date of YAC (years below 1000 have no leading zeros), and whether a month starts then."""
    date, _, clock = text.partition("T")
    year, month, day = (int(part) for part in date.split("-"))
    return (year, month), day == 1 and not clock.strip("0:.Z")


def _run(land: LandComponent, fields: _Fields, months: list[tuple[int, int]]) -> list[int]:
    """For each month: get imports, take the step on 1 January, put exports. Returns the years."""
    years = []
    for number, (year, month) in enumerate(months):
        received = fields.get()
        if number > 0:  # values at the start are instantaneous, not a mean
            for name, values in received.items():
                if values is not None:
                    land.import_(name, values, at=(year, month, 1))
        if month == 1:
            land.run_date(year)
            fields.put(land)
            years.append(year)
    return years
