"""What the ranks of test_mpi.py run: ``mpi_program.py FOLDER CASE ...``; answers of all ranks land in FOLDER."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from mpi4py import MPI
from regrid_cases import octahedral_mesh, reduced_mesh, uk_land

from ai4land_coupler.api import Ai4LandError, LatLonGrid, Mesh, Method, Norm
from ai4land_coupler.grids import latlon_mesh, partition, read_mesh
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.yac import YacRegridder, YacRegridOptions


@cache
def grids(case: str) -> tuple[Mesh, Mesh, np.ndarray, int]:
    """Source, destination, codes and number of codes."""
    if case in ("united kingdom", "south of england"):
        data = Path(os.environ["AI4LAND_SAMPLE_DATA"])
        source, codes, n_codes = uk_land(data)
        if case == "south of england":
            south = np.flatnonzero(source.corner_lat[:, 0] < 51.2)
            source, codes = source.take(south), codes[south]
        return source, read_mesh(data / "grids" / "icon_extpar_0010_R02B04_G.nc"), codes, n_codes
    source, host = latlon_mesh(LatLonGrid(-180, 5, 72, 90, -5, 36), "source"), octahedral_mesh(3)
    if case == "closed form":
        host = latlon_mesh(LatLonGrid(0, 7, 51, -90, 7, 25), "host")
    elif case in ("bilinear from triangles", "cut triangles"):
        source, host = octahedral_mesh(4), source
    elif case == "bilinear from rows":
        source = reduced_mesh([8, 16, 24, 32, 40, 40, 32, 24, 16, 8])
    return source, host, (source.cell_ids * 7 % 5 - 1).astype(np.int8), 4


#: Method and norm of a case; first-order conservative with destination area where it is not here.
METHODS: dict[str, tuple[Method, Norm]] = {
    "fraction": ("conservative", "fraction"),
    "bilinear": ("bilinear", "destination"),
    "bilinear from triangles": ("bilinear", "destination"),
    "bilinear from rows": ("bilinear", "destination"),
    "nearest": ("nearest", "destination"),
}


def share(n: int, rank: int, size: int) -> np.ndarray:
    return np.arange(n * rank // size, n * (rank + 1) // size)


def regrid(case: str, comm: MPI.Comm, folder: Path) -> None:
    """Build and apply on this rank's part; write the owned rows."""
    source, destination, codes, n_codes = grids(case)
    rank, size = comm.rank, comm.size
    land, host = share(source.size, rank, size), share(destination.size, rank, size)
    if case not in (
        "blocks",
        "apart",
        "sub-communicator",
        "united kingdom",
        "south of england",
    ):  # as in a coupled model, whose ranks hold other cells than those of the land
        land = np.arange(rank, source.size, size)
    elif case == "apart":
        land = share(source.size, rank, 1) if rank == 0 else land[:0]
        host = np.arange(destination.size) if rank == size - 1 else host[:0]
    source, destination, codes = source.take(land), destination.take(host), codes[land]

    method, norm = METHODS.get(case, ("conservative", "destination"))
    options = YacRegridOptions(closed_form=case != "library")
    weights = YacRegridder(options).build(source, destination, method, norm, comm)
    plan = RegridPlan(weights, source.cell_ids, comm)
    fields = np.sin(source.cell_ids * 0.37) + np.arange(3)[:, None]
    np.savez(
        folder / f"{case}.{rank}.npz",
        cells=destination.cell_ids,
        indptr=weights.indptr,
        source_ids=weights.source_ids,
        values=weights.values,
        destination_fraction=weights.destination_fraction,
        destination_area=weights.destination_area,
        source_area=weights.source_area,
        aggregate=plan.aggregate(codes, n_codes),
        fields=plan.apply(fields),
        single=plan.apply(np.asfortranarray(fields.astype(np.float32))),
        holes=plan.apply(np.where(source.cell_ids < source.global_size // 3, np.nan, fields)),
    )


def faults(comm: MPI.Comm) -> dict[str, Callable[[], object]]:
    """Collective calls in which one rank holds a fault, or ranks do not fit together."""
    source, destination, codes, n_codes = grids("blocks")
    rank, last = comm.rank, comm.rank == comm.size - 1
    land, host = partition(source, rank, comm.size), partition(destination, rank, comm.size)
    codes = codes[land.cell_ids].copy()
    codes[-1] = n_codes if last else 0
    clockwise = replace(land, corner_lon=-land.corner_lon) if last else land
    masked = replace(host, mask=host.mask[1:]) if last else host
    radians = {name: np.deg2rad(getattr(land, name)) for name in ("corner_lon", "corner_lat")}

    def build(source: Mesh, destination: Mesh) -> RegridPlan:
        weights = YacRegridder().build(source, destination, comm=comm)
        return RegridPlan(weights, land.cell_ids, comm)

    def unowned() -> None:
        weights = YacRegridder().build(land, host, comm=comm)
        RegridPlan(weights, land.cell_ids[last:], comm)

    return {
        "clockwise": lambda: build(clockwise, host),
        "mask": lambda: build(land, masked),
        "two owners": lambda: validate(source.take(np.arange(3) + 2 * rank), comm),
        "radians": lambda: validate(replace(land, **radians, edges="great_circle"), comm),
        "sizes": lambda: validate(replace(land, global_size=land.global_size + rank), comm),
        "unowned": unowned,
        "code": lambda: build(land, host).aggregate(codes, n_codes),
    }


def main(folder: Path, cases: list[str]) -> None:
    comm = MPI.COMM_WORLD.Dup()
    for case in cases:
        if case == "faults":
            told = {}
            for name, call in faults(comm).items():
                try:
                    call()
                except Ai4LandError as error:
                    told[name] = f"{type(error).__name__}: {error}"
            (folder / f"faults.{comm.rank}.json").write_text(json.dumps(told))
        elif case == "sub-communicator":  # the last rank is another model and takes no part
            part = comm.Split(comm.rank == comm.size - 1, comm.rank)
            if comm.rank < comm.size - 1:
                regrid(case, part, folder)
        else:
            regrid(case, comm, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
