"""Writes variables of the CMIP6 tables (``schemas/cmip-variables.yaml``), one file each, in per cent of the cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ai4land_coupler.core.legend import Legend
from ai4land_coupler.errors import ConfigError, nearest
from ai4land_coupler.formats import cf, cmip_fields
from ai4land_coupler.formats.coarsen import Coarsening, class_areas, covering_grid
from ai4land_coupler.formats.store_reader import StoreReader

MISSING = np.float32(1e20)
#: A smaller share of mapped land in a cell is only a rounding error of coinciding edges.
LEAST = 1e-9
CELL_METHODS = "area: mean where land over all_area_types time: mean"


@dataclass(frozen=True)
class CmipVariable:
    """One variable: ``types`` maps each type to its classes of the view, in order.

    ``dimension``: name of the dimension of the types; empty if the variable has only one type (a scalar coordinate).
    """

    name: str
    table: str
    frequency: str
    long_name: str
    cell_methods: str
    types: Mapping[str, tuple[str, ...]]
    dimension: str
    dimension_attrs: Mapping[str, str]
    comment: str

    def membership(self, legend: Legend) -> NDArray[np.float64]:
        """Which classes of the view belong to each type: 0 or 1, (types, classes)."""
        table = np.zeros((len(self.types), len(legend.classes)))
        for row, classes in enumerate(self.types.values()):
            for name in classes:
                if name not in legend.classes:
                    raise ConfigError(
                        f"the CMIP variable {self.name} is made of a class that legend {legend.name!r} lacks",
                        found=name,
                        where="schemas/cmip-variables.yaml",
                        remedy=nearest(name, legend.classes),
                    )
                table[row, legend.classes.index(name)] = 1.0
        return table


@cache
def variables() -> tuple[CmipVariable, ...]:
    """All variables that can be computed from maps, as defined in ``schemas/cmip-variables.yaml``."""
    text = (resources.files("ai4land_coupler.schemas") / "cmip-variables.yaml").read_text()
    found = []
    for name, item in yaml.safe_load(text)["variables"].items():
        types = item["types"] if "types" in item else {item["type"]: item["classes"]}
        scalar = {"long_name": "surface type"} | ({} if "residual" in types else {"standard_name": "area_type"})
        found.append(
            CmipVariable(
                name=name,
                table=item["table"],
                frequency=item["frequency"],
                long_name=item["long_name"],
                cell_methods=item.get("cell_methods", CELL_METHODS),
                types={key: tuple(classes) for key, classes in types.items()},
                dimension=item.get("dimension", ""),
                dimension_attrs=item.get("dimension_attrs", scalar),
                comment=item.get("comment", ""),
            )
        )
    return tuple(found)


def files(reader: StoreReader, folder: Path) -> list[Path]:
    """The files of all variables, then of all fields, with names like those of CMIP6 output."""
    grid = "gr" if reader.host is None else "gn"
    span = f"{reader.years[0]:04d}-{reader.years[-1]:04d}"
    fractions = [folder / f"{v.name}_{v.frequency}_ai4land_{grid}_{span}.nc" for v in variables()]
    return fractions + [folder / cmip_fields.file_name(name, reader) for name in cmip_fields.names(reader)]


def write(
    reader: StoreReader, targets: Sequence[Path], resolution: float, attrs: Mapping[str, Any], tick: Callable[[], None]
) -> None:
    """Write all variables, year by year; on a latitude-longitude grid of ``resolution`` degrees or on the host grid."""
    if reader.host is None:
        coarsening = Coarsening.between(reader.grid, covering_grid(reader.grid, resolution))
        place: Mapping[str, Any] = cf.extent(coarsening.coarse)
    else:
        coarsening, place = None, {"host_grid": reader.host.attrs["host"]}
    described = {"frequency": "yr", **place, **cf.coverage(reader.years), **attrs}
    with ExitStack() as stack:
        opened = []
        for variable, path in zip(variables(), targets, strict=False):
            facts = {
                **described,
                "variable_id": variable.name,
                "frequency": variable.frequency,
                "defined_in": f"CMIP6 table {variable.table}, data request 01.00.33",
            }
            file = stack.enter_context(cf.dataset(path, reader, facts))
            _define(file, variable, reader, coarsening)
            opened.append((file, variable, variable.membership(reader.legend)))
        for step, year in enumerate(reader.years):
            shares = _shares(reader, year, coarsening, tick)
            empty = shares.sum(axis=0) < LEAST
            for file, variable, membership in opened:
                percent = np.where(empty, MISSING, 100.0 * np.tensordot(membership, shares, axes=1)).astype(np.float32)
                file[variable.name][step] = percent if variable.dimension else percent[0]
    for name, path in zip(cmip_fields.names(reader), targets[len(variables()) :], strict=True):
        cmip_fields.write(name, reader, path, resolution, attrs)


def _shares(
    reader: StoreReader, year: int, coarsening: Coarsening | None, tick: Callable[[], None]
) -> NDArray[np.float64]:
    """Share of the cell that each class of the view covers, (class, ...)."""
    if coarsening is not None:
        return class_areas(reader, year, coarsening, tick) / coarsening.coarse.row_area[:, None]
    return reader.host_field("land_cover_fraction", year)


def _define(file: Any, variable: CmipVariable, reader: StoreReader, coarsening: Coarsening | None) -> None:
    """Create dimensions, coordinates and the empty variable of one file."""
    starts = np.array([cf.new_years_day(year) for year in reader.years], np.float64)
    ends = np.array([cf.new_years_day(year + 1) for year in reader.years], np.float64)
    if variable.frequency == "yrPt":
        cf.add_time(file, starts, None, "end of the year before")
    else:
        cf.add_time(file, (starts + ends) / 2, np.stack([starts, ends], axis=1), "time")
    found: dict[str, Any] = {
        "standard_name": "area_fraction",
        "long_name": variable.long_name,
        "units": "%",
        "cell_methods": variable.cell_methods,
        "cell_measures": "area: areacella",
        "missing_value": MISSING,
    }
    if variable.comment:
        found["comment"] = variable.comment
    coordinates = [] if variable.dimension else ["type"]
    if coarsening is None:
        cf.add_cells(file, reader.host)
        space: tuple[str, ...] = ("cell",)
        coordinates += ["lat", "lon"]
        found["CDI_grid_type"] = "unstructured"
    else:
        cf.add_latlon(file, coarsening.coarse)
        cf.add_cell_area(file, "areacella", coarsening.coarse)
        file["areacella"].grid_mapping = cf.CRS
        space = ("lat", "lon")
        found["grid_mapping"] = cf.CRS
    if coordinates:
        found["coordinates"] = " ".join(coordinates)
    name = variable.dimension or "type"
    values: Any = list(variable.types) if variable.dimension else next(iter(variable.types))
    cf.add_text(file, name, values, variable.dimension_attrs, variable.dimension)
    dims = ("time", *((variable.dimension,) if variable.dimension else ()), *space)
    chunks = tuple(len(file.dimensions[dim]) if dim in space else 1 for dim in dims)
    file.createVariable(
        variable.name, "f4", dims, zlib=True, complevel=cf.LEVEL, shuffle=True, fill_value=MISSING, chunksizes=chunks
    ).setncatts(found)
