"""What the ranks of test_grid_faults.py run: ``grid_faults.py FOLDER``; each writes what it was told of each fault.

The fault is on the last rank alone; the others hold a sound part of the same grid.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from ai4land_coupler.api import Ai4LandError
from ai4land_coupler.grids import check_coverage, icosahedral_mesh, mesh_from_arrays, partition, read_mesh
from ai4land_coupler.grids.hash import grid_hash

WHOLE = icosahedral_mesh(3, "ico3")


def arrays_of(comm: MPI.Comm) -> dict[str, Any]:
    """This rank's part of a global grid, as a host holds it."""
    part = partition(WHOLE, comm.rank, comm.size)
    return {
        "name": "host",
        "cell_ids": part.cell_ids,
        "lon": part.corner_lon,
        "lat": part.corner_lat,
        "global_size": WHOLE.size,
        "comm": comm,
    }


def faults(comm: MPI.Comm, folder: Path) -> dict[str, Callable[[], object]]:
    arrays, last = arrays_of(comm), comm.rank == comm.size - 1

    def wrong(expect: str | None = None, **changes: Callable[[Any], Any]) -> Callable[[], object]:
        """Arrays changed on the last rank."""
        given = arrays | {key: change(arrays.get(key)) for key, change in changes.items() if last}
        return lambda: mesh_from_arrays(**given, expect=expect)

    def everywhere(**changes: Any) -> Callable[[], object]:
        return lambda: mesh_from_arrays(**(arrays | changes))

    def first_nan(values: np.ndarray) -> np.ndarray:
        return np.where(np.arange(values.size).reshape(values.shape) == 4, np.nan, values)

    def shifted(values: np.ndarray) -> np.ndarray:
        return values + np.where(np.arange(len(values)) == 7, 3.0, 0.0)[:, None]

    radians = {key: np.deg2rad(arrays[key]) for key in ("lon", "lat")}
    return {
        "good": everywhere(),
        "good in radians": everywhere(**radians, units="radians", expect="global"),
        "radians for degrees": everywhere(**radians),
        "degrees for radians": everywhere(units="radians"),
        "degrees for radians on one rank": wrong(units=lambda _: "radians"),
        "nan": wrong(lat=first_nan),
        "clockwise": wrong(lon=lambda v: v[:, ::-1], lat=lambda v: v[:, ::-1]),
        "one clockwise cell": wrong(lon=lambda v: np.r_[v[:1, ::-1], v[1:]], lat=lambda v: np.r_[v[:1, ::-1], v[1:]]),
        "repeated ids": wrong(cell_ids=lambda ids: np.r_[0, ids[1:]]),
        "mask of wrong length": wrong(mask=lambda _: np.ones(3, bool)),
        "mask of strings": wrong(mask=lambda _: np.array(["land"] * arrays["cell_ids"].size)),
        "overlap": wrong(lon=shifted),
        "no third dimension": wrong(lon=lambda v: v[0]),
        "gaps": lambda: mesh_from_arrays(
            **(arrays | ({k: arrays[k][1:] for k in ("cell_ids", "lon", "lat")} if last else {})), expect="global"
        ),
        "gaps of a region": lambda: mesh_from_arrays(
            **(arrays | ({k: arrays[k][1:] for k in ("cell_ids", "lon", "lat")} if last else {}))
        ),
        "unknown file": lambda: read_mesh(folder / "nowhere.nc"),
        "a layer of the same cells": lambda: mesh_from_arrays(
            **(arrays | {"cell_ids": np.r_[arrays["cell_ids"], arrays["cell_ids"] + WHOLE.size], "comm": comm})
            | {key: np.r_[arrays[key], arrays[key]] for key in ("lon", "lat")}
            | {"global_size": 2 * WHOLE.size}
        ),
    }


def main(folder: Path) -> None:
    comm = MPI.COMM_WORLD.Dup()
    told = {}
    for name, call in faults(comm, folder).items():
        try:
            call()
            told[name] = "accepted"
        except Ai4LandError as error:
            told[name] = f"{type(error).__name__}: {error}"
    mesh = partition(WHOLE, comm.rank, comm.size)
    shuffled = WHOLE.take(np.arange(comm.rank, WHOLE.size, comm.size)[::-1])
    moved = replace(mesh, corner_lat=mesh.corner_lat + (1e-13 if comm.rank == comm.size - 1 else 0.0))
    check_coverage(mesh, comm, "global")
    told["hashes"] = [grid_hash(mesh, comm), grid_hash(shuffled, comm), grid_hash(moved, comm)]
    (folder / f"told.{comm.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
