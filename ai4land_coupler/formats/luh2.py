"""Writes land-use fractions at 0.25 degrees in the format of LUH2's ``multiple-states`` files (input4MIPs).

The format follows https://luh.umd.edu/code.shtml: float32 (time, lat, lon), latitudes from north to south, time in
whole years since the first year, calendar noleap, missing value 1e20. The variables are not LUH2's twelve states,
because a map does not distinguish primary from secondary land, or types of crops. Each group of the crosswalk is one
variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.core.legend import Crosswalk, get_crosswalk
from ai4land_coupler.formats import cf
from ai4land_coupler.formats.coarsen import Coarsening, class_areas, covering_grid
from ai4land_coupler.formats.store_reader import StoreReader

CROSSWALK = "luh2-hilda"
#: Cell size of LUH2 (degrees).
STEP = 0.25
MISSING = np.float32(1e20)
#: A smaller share of mapped land in a cell is only a rounding error of coinciding edges.
LEAST = 1e-9


def variable_names(crosswalk: Crosswalk) -> dict[str, str]:
    """Names of the variables by group: LUH2's name if the group is a single state, else the name of the group."""
    names = {}
    for group in crosswalk.groups:
        single = crosswalk.instead[group] or crosswalk.states[group]
        names[group] = single[0] if len(single) == 1 else group
    return names


def write(reader: StoreReader, path: Path, attrs: Mapping[str, Any], tick: Callable[[], None]) -> None:
    """Write one file with the cells of the 0.25 degree lattice that cover the store's grid."""
    crosswalk = get_crosswalk(CROSSWALK)
    groups = crosswalk.group_of_class(reader.legend)
    names = variable_names(crosswalk)
    coarsening = Coarsening.between(reader.grid, covering_grid(reader.grid, STEP))
    grid, first = coarsening.coarse, reader.years[0]
    described = {
        "data_structure": "grid",
        "frequency": "yr",
        "grid": "gn",
        **cf.extent(grid),
        **cf.coverage(reader.years),
    }
    with cf.dataset(path, reader, {**described, **attrs}) as file:
        cf.add_latlon(file, grid)
        file.createDimension("time", None)
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts(
            {
                "standard_name": "time",
                "long_name": "time",
                "units": f"years since {first:04d}-01-01 0:0:0",
                "calendar": "noleap",
                "axis": "T",
            }
        )
        for group, name in names.items():
            variable = file.createVariable(
                name, "f4", ("time", "lat", "lon"), zlib=True, complevel=cf.LEVEL, shuffle=True, fill_value=MISSING,
                chunksizes=(1, *grid.shape),
            )  # fmt: skip
            states = (*crosswalk.states[group], *crosswalk.optional[group])
            variable.setncatts(
                {
                    "standard_name": "area_fraction",
                    "long_name": f"share of the grid cell: {group}",
                    "units": "1",
                    "missing_value": MISSING,
                    "grid_mapping": cf.CRS,
                    "luh2_states": " ".join(states),
                    "land_classes": " ".join(crosswalk.classes[group]),
                }
            )
        for step, year in enumerate(reader.years):
            time[step] = year - first
            shares = class_areas(reader, year, coarsening, tick) / grid.row_area[:, None]
            empty = shares.sum(axis=0) < LEAST
            for number, name in enumerate(names.values()):
                share = shares[groups == number].sum(axis=0)
                file[name][step] = np.where(empty, MISSING, share).astype(np.float32)
