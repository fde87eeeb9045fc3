"""What the ranks of test_land_plan.py run: ``land_program.py FOLDER CASE ...``; answers of all ranks land in FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mpi4py import MPI
from regrid_cases import octahedral_mesh

from ai4land_coupler.api import Ai4LandError, Regridder
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.parallel import BlockPlan
from ai4land_coupler.regrid.backends.yac import YacRegridder
from ai4land_coupler.regrid.land import weights as making
from ai4land_coupler.regrid.land.plan import LandPlan

LAND = LatLonGrid(-180.0, 1.4963, 240, 90.0, -1.4963, 120)
PLAN = BlockPlan(LAND, forcing_lattice(LAND, LatLonGrid(-180.0, 5.0, 72, 90.0, -5.0, 36)), 4)
HOST = octahedral_mesh(3)
N_CODES = 5


def codes() -> np.ndarray:
    """Classes of the whole land grid: continents of land with lakes of ocean, all ocean beyond 105 E."""
    rows, cols = np.indices(LAND.shape)
    values = (rows // 3 + cols // 5) % N_CODES
    ocean = (np.sin(rows / 17) * np.cos(cols / 23) > 0.3) | (cols > 190)
    return np.where(ocean, -1, values).astype(np.int8)


def fields() -> np.ndarray:
    """Two fields of the whole land grid, not a number in the ocean."""
    rows, cols = np.indices(LAND.shape)
    return np.where(codes() < 0, np.nan, np.stack([np.sin(rows / 7) + 2, rows * 1e3 + cols]))


def blocks_of(values: np.ndarray, owner: np.ndarray, rank: int) -> dict[int, np.ndarray]:
    """This rank's blocks that hold land."""
    every = codes()
    return {
        block.id: values[(..., *block.core.slices())]
        for block in PLAN.blocks
        if owner[block.id] == rank and (every[block.core.slices()] >= 0).any()
    }


def regrid(case: str, comm: MPI.Comm, folder: Path) -> None:
    rank, size = comm.rank, comm.size
    owner = PLAN.owners(size)
    cells = np.arange(HOST.size * rank // size, HOST.size * (rank + 1) // size)
    if case == "dealt":
        owner, cells = np.arange(len(PLAN.blocks)) * 7 % size, np.arange(rank, HOST.size, size)[::-1]
    elif case == "apart":  # land on the first rank, the host on the last
        owner, cells = np.zeros_like(owner), np.arange(HOST.size) if rank == size - 1 else np.arange(0)
    backend = YacRegridder()
    if case == "together":
        backend = SimpleNamespace(single_rank=False, build=YacRegridder().build)
    mesh = HOST.take(cells)
    mine = blocks_of(codes(), owner, rank)
    making.BAND = 4_000 if case == "together" else 200_000
    weights = making.land_weights(PLAN, {block: c >= 0 for block, c in mine.items()}, mesh, backend, comm)
    plan = LandPlan(PLAN, weights, mesh, comm)
    np.savez(
        folder / f"{case}.{rank}.npz",
        cells=mesh.cell_ids,
        aggregate=plan.aggregate(mine, N_CODES),
        fields=plan.apply(blocks_of(fields(), owner, rank), 2),
        fraction=plan.destination_fraction,
        area=plan.destination_area,
        cuts=len(weights.cuts.place),
    )


def faults(comm: MPI.Comm) -> dict[str, str]:
    """The errors on this rank if the last rank has a fault."""
    owner, last = PLAN.owners(comm.size), comm.rank == comm.size - 1
    mesh = HOST.take(np.arange(comm.rank, HOST.size, comm.size))
    mine = blocks_of(codes(), owner, comm.rank)
    land = {block: c >= 0 for block, c in mine.items()}
    weights = making.land_weights(PLAN, land, mesh, YacRegridder(), comm)
    plan = LandPlan(PLAN, weights, mesh, comm)
    first = min(mine)
    wrong = {
        "missing": lambda: plan.aggregate({b: c for b, c in mine.items() if not last or b != first}, N_CODES),
        "shape": lambda: plan.apply({b: np.zeros((1 + (last and b == first), *c.shape)) for b, c in mine.items()}),
        "code": lambda: plan.aggregate(mine, N_CODES - last),
        "type": lambda: plan.aggregate({b: c.astype(float) if last else c for b, c in mine.items()}, N_CODES),
        "other host": lambda: LandPlan(PLAN, weights, mesh.take(np.arange(100 * last, mesh.size)), comm),
        "mesh": lambda: making.land_weights(
            PLAN, land, HOST.take(np.arange(comm.rank, comm.rank + 2)), YacRegridder(), comm
        ),
        "backend": lambda: making.land_weights(PLAN, land, mesh, Broken() if last else YacRegridder(), comm),
    }
    told = {}
    for name, call in wrong.items():
        try:
            call()
        except (Ai4LandError, RuntimeError) as error:
            told[name] = f"{type(error).__name__}: {error}"
    return told


class Broken(Regridder):
    """A backend that fails on one rank."""

    single_rank = True

    def build(self, *arguments: object) -> None:
        raise RuntimeError("no weights today")


def main(folder: Path, cases: list[str]) -> None:
    comm = MPI.COMM_WORLD.Dup()
    for case in cases:
        if case == "faults":
            (folder / f"faults.{comm.rank}.json").write_text(json.dumps(faults(comm)))
        else:
            regrid(case, comm, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
