"""Land-use fractions at 0.25 degrees in the layout of LUH2's ``multiple-states`` files (input4MIPs).

The layout is that of https://luh.umd.edu/code.shtml: float32 (time, lat, lon), latitudes falling, time in whole
years since the first one, calendar noleap, 1e20 where missing. The states are not LUH2's twelve: a map does not
tell primary from secondary land, nor one crop from another. Each group of the crosswalk becomes one variable.
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
#: Cell of LUH2 (degrees).
STEP = 0.25
MISSING = np.float32(1e20)
#: Cells with a smaller share of mapped land hold nothing but rounding errors of edges that coincide.
LEAST = 1e-9


def variable_names(crosswalk: Crosswalk) -> dict[str, str]:
    """Group to the name of its variable: LUH2's own where one state stands for the group, else the group's."""
    names = {}
    for group in crosswalk.groups:
        single = crosswalk.instead[group] or crosswalk.states[group]
        names[group] = single[0] if len(single) == 1 else group
    return names


def write(reader: StoreReader, path: Path, attrs: Mapping[str, Any], tick: Callable[[], None]) -> None:
    """Write one file on the cells of the 0.25 degree lattice that cover the store's grid."""
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
