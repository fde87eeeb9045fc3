"""What the ranks of test_exchange.py run: ``parallel_program.py FOLDER``; each rank writes what it got there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.errors import Ai4LandError, DataError, StateError
from ai4land_coupler.parallel import BlockPlan, Communicator, exchange_windows

#: 53 x 97 cells, 3.7 of them to a forcing cell; and a globe of 90 columns.
REGION = LatLonGrid(-4.03, 0.07, 97, 55.5, -0.07, 53)
GLOBE = LatLonGrid(-180.0, 4.0, 90, 88.0, -4.0, 44)


@dataclass(frozen=True)
class Case:
    """One exchange: the whole array, and the windows that are wanted of it."""

    name: str
    plan: BlockPlan
    array: np.ndarray
    boxes: tuple[Box, ...]
    fill: float
    #: Blocks that nobody holds.
    absent: tuple[int, ...] = ()
    #: Ranks that hold blocks; the others only want windows.
    workers: int | None = None

    def run(self, comm: Communicator) -> dict[int, np.ndarray]:
        """Windows are dealt out to the ranks in turn; keys are their places in ``boxes``, counted from 100."""
        owner = self.plan.owners(min(self.workers or comm.size, comm.size))
        mine = {
            block.id: self.array[(..., *block.core.slices())]
            for block in self.plan.blocks
            if owner[block.id] == comm.rank and block.id not in self.absent
        }
        wanted: list[dict[int, Box]] = [{} for _ in range(comm.size)]
        for place, box in enumerate(self.boxes):
            wanted[place % comm.size][100 + place] = box
        return exchange_windows(
            comm, self.plan, owner, mine, wanted, self.fill, self.array.dtype, self.array.shape[:-2]
        )


def _plan(fine: LatLonGrid, cell: float, block: int) -> BlockPlan:
    coarse = LatLonGrid(-180.0, cell, round(360 / cell), 90.0, -cell, round(180 / cell))
    return BlockPlan(fine, forcing_lattice(fine, coarse), block)


def cases() -> list[Case]:
    """The same on every rank."""
    rng = np.random.default_rng(5)
    region, globe = _plan(REGION, 0.25, 3), _plan(GLOBE, 10.0, 4)
    halos = tuple(region.tile(block, halo=5, align=4).window for block in region.blocks)
    around = tuple(globe.tile(block, halo=6, align=8).window for block in globe.blocks)
    inner = (Box(0, 53, 0, 97), Box(10, 11, 20, 21), Box(7, 30, 40, 41))
    beyond = (Box(-9, 4, -5, 110), Box(50, 70, 90, 120), Box(60, 70, 0, 5), Box(5, 6, -30, -20))
    turns = (Box(0, 44, -90, 180), Box(3, 9, -200, -120), Box(-4, 50, 85, 95), Box(2, 4, 89, 91))
    return [
        Case("halos", region, rng.integers(0, 200, REGION.shape).astype(np.uint8), halos, 255),
        Case("beyond", region, rng.integers(-1, 7, REGION.shape).astype(np.int8), inner + beyond, -1),
        Case("leading", region, rng.normal(size=(2, 3, *REGION.shape)).astype(np.float32), halos + beyond, np.nan),
        Case("around", globe, rng.normal(size=GLOBE.shape).astype(np.float32), around, np.nan),
        Case("turns", globe, rng.integers(0, 200, (12, *GLOBE.shape)).astype(np.uint8), turns, 7),
        Case("nothing", region, rng.integers(0, 200, REGION.shape).astype(np.uint8), (), 0),
        Case("one holder", region, rng.normal(size=REGION.shape).astype(np.float32), halos, 0, workers=1),
        Case("absent", region, rng.normal(size=REGION.shape).astype(np.float32), halos, np.nan, absent=(0, 7)),
    ]


def diagnostics() -> dict[int, dict[str, np.ndarray]]:
    """Values of 24 blocks whose sums depend on the order; one value is only in a few blocks."""
    rng = np.random.default_rng(8)
    values = {b: {"area": rng.normal(size=5) * 10.0 ** rng.integers(-9, 17)} for b in range(24)}
    for block in (3, 4, 11, 22):
        values[block]["lost"] = rng.normal(size=(1,))
    return values


class PluginsOwnError(DataError):
    """As a plugin may write one, with a constructor of its own."""

    def __init__(self, file: str) -> None:
        super().__init__("a file is not ours", found=file, where="step 3", remedy="bring another")


class UnfinishedError(DataError):
    """As a careless plugin may write one: without a message."""

    def __init__(self) -> None:
        pass


def failures() -> dict[str, Callable[[int], None]]:
    """Local work that fails on the last rank, or on all; called with whether this is the last rank."""

    def ours(last: int) -> None:
        if last:
            raise DataError("a variable is missing", expected="urban", where="states.nc", remedy="rename it")

    def foreign(last: int) -> None:
        if last:
            raise ValueError("cannot broadcast")

    def leaving(last: int) -> None:
        if last:
            sys.exit("a library gave up")

    def interrupted(last: int) -> None:
        if last:
            raise KeyboardInterrupt

    def subclass(last: int) -> None:
        if last:
            raise PluginsOwnError("maps.nc")

    def unfinished(last: int) -> None:
        if last:
            raise UnfinishedError

    def local(last: int) -> None:
        class HiddenError(Ai4LandError):
            """Cannot be pickled."""

        if last:
            raise HiddenError("known here only")

    def all_of_them(last: int) -> None:
        raise DataError(f"my own fault, {last}")

    return {
        "ours": ours,
        "foreign": foreign,
        "leaving": leaving,
        "interrupted": interrupted,
        "subclass": subclass,
        "unfinished": unfinished,
        "local": local,
        "all": all_of_them,
        "none": lambda last: None,
    }


def long_work(comm: Communicator) -> list[str]:
    """Guards one after the other; the work of ranks that do not fail ends by itself only after a minute."""
    ends = []
    for failing in ((), (1,), (1,), (0, 1), (), (0,), ()):
        try:
            with comm.guard() as end_if_another_failed:
                if comm.rank in failing:
                    raise DataError("a faulty tile")
                give_up = time.monotonic() + (60 if failing else 0.02)
                while time.monotonic() < give_up:
                    end_if_another_failed()
            ends.append("done")
        except DataError as error:
            ends.append(error.where or "own")
    return ends


def main(folder: Path) -> None:
    from mpi4py import MPI

    comm = Communicator(MPI.COMM_WORLD)
    for case in cases():
        np.savez(folder / f"{case.name}.{comm.rank}.npz", **{str(k): v for k, v in case.run(comm).items()})

    told: dict[str, Any] = {}
    for name, work in failures().items():
        try:
            with comm.guard():
                work(comm.rank == comm.size - 1)
        except BaseException as error:
            told[name] = [type(error).__name__, "" if isinstance(error, UnfinishedError) else str(error)]
        # the ranks are still in step
        told[f"{name}, then"] = comm.allgather(comm.rank)
    told["long"] = long_work(comm)
    told["own"] = comm.mpi != MPI.COMM_WORLD and comm.mpi.Get_errhandler() == MPI.ERRORS_RETURN
    told["gathered"] = [comm.gather(comm.rank + 10), comm.bcast(comm.rank), comm.alltoall([comm.rank] * comm.size)]

    own = {b: values for b, values in diagnostics().items() if b * 7 % 24 % comm.size == comm.rank and comm.rank < 2}
    if comm.size == 3:  # then the last rank has no blocks
        own |= {b: values for b, values in diagnostics().items() if b * 7 % 24 % 3 == 2 and comm.rank == 0}
    told["sums"] = {name: values.tolist() for name, values in comm.sum_by_block(own).items()}
    told["counts"] = comm.sum(np.array([comm.rank, 5])).tolist()

    late = Communicator(MPI.COMM_WORLD)
    comm.free()
    comm.free()
    MPI.Finalize()
    late.free()
    try:
        Communicator(MPI.COMM_WORLD)
    except StateError as error:
        told["after finalize"] = error.what
    (folder / f"told.{late.rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
