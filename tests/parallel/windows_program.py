"""What the ranks of test_windows.py run: exchanges with random owners, and streams that fail on one of three ranks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from parallel_program import GLOBE, REGION, _plan

from ai4land_coupler.core.grid import Box
from ai4land_coupler.land.assemble import window_of
from ai4land_coupler.land.stream import run_stream
from ai4land_coupler.land.timers import Timers
from ai4land_coupler.parallel import BlockPlan, Communicator, WindowExchange
from ai4land_coupler.parallel import exchange as module


def compare(comm: Communicator, plan: BlockPlan, seed: int) -> int:
    """Compare windows with those cut from the whole array. Returns the number of blocks of which pieces came here."""
    rng = np.random.default_rng(seed)  # the same on all ranks
    blocks = plan.blocks
    holders = rng.permutation(comm.size)[: rng.integers(1, comm.size + 1)]  # the others own nothing
    owner = rng.choice(holders, len(blocks))
    absent = set(rng.choice(len(blocks), len(blocks) // 4, replace=False).tolist())
    halo, align = int(rng.choice([0, 3, 17, 60])), int(rng.choice([1, 4]))
    wanted: list[list[Box]] = [[] for _ in range(comm.size)]
    for block in blocks:
        wanted[owner[block.id]].append(plan.tile(block, halo, align).window)
    for rank in range(comm.size):  # wider than the domain, and beyond it
        row, col = rng.integers(-70, 70, 2).tolist()
        wanted[rank].append(Box(row, row + 90, col, col + 250))
        wanted[rank].append(Box(200, 210, col, col + 9))
    exchange = WindowExchange(comm, plan, owner, wanted)
    for dtype, leading, fill in ((np.uint8, (), 255), (np.float32, (2,), np.nan)):
        whole = rng.integers(0, 200, (*leading, *plan.fine.shape)).astype(dtype)
        mine = {
            block.id: whole[(..., *block.core.slices())].copy()
            for block in blocks
            if owner[block.id] == comm.rank and block.id not in absent
        }
        for i in absent:
            whole[(..., *blocks[i].core.slices())] = fill
        windows = exchange.collect(mine, fill, dtype, leading)
        assert not set(windows.received) & (absent | set(mine))
        assert comm.size > 1 or not windows.received
        for box in wanted[comm.rank]:
            found = windows.window(box)
            expected = window_of(whole, box, periodic=plan.fine.periodic, fill=fill)
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, expected)
            found[:] = 7  # a window is a copy: this must not reach the next one
    return len(windows.received)


def received_cells(comm: Communicator, plan: BlockPlan, halo: int) -> int:
    """Cells that this rank receives if the upper half of the blocks belongs to rank 0, the rest to rank 1."""
    owner = np.array([0 if 2 * block.core.row0 < plan.fine.nlat else 1 for block in plan.blocks])
    wanted: list[list[Box]] = [[] for _ in range(comm.size)]
    for block in plan.blocks:
        wanted[owner[block.id]].append(plan.tile(block, halo, 1).window)
    mine = {b.id: np.ones(b.core.shape, np.uint8) for b in plan.blocks if owner[b.id] == comm.rank}
    windows = WindowExchange(comm, plan, owner, wanted).collect(mine, 0, np.uint8)
    return sum(values.size for pieces in windows.received.values() for _, values in pieces)


def fail(comm: Communicator, where: str) -> str:
    """The error of a stream in which one part fails on the second rank."""

    def part(kind: str, i: int) -> int:
        if kind == where and comm.rank == 1 and i == 2:
            raise ValueError(f"{where} is broken")
        return i

    try:
        with comm.guard():
            run_stream(range(5), *parts(part), 1, Timers())
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def parts(part: Any) -> tuple[Any, Any, Any]:
    return lambda i: part("read", i), lambda i: part("predict", i), lambda i, value: part("finish", i)


def main() -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    for size in range(1, world.size + 1):
        some = world.Split(0 if world.rank < size else MPI.UNDEFINED)
        if some == MPI.COMM_NULL:
            continue
        comm = Communicator(some)
        received = 0
        for seed in range(3):
            for limit in (1 << 26, 3000):  # one round, and many
                module.ROUND = limit
                received += compare(comm, _plan(REGION, 0.25, 3), seed)
                received += compare(comm, _plan(GLOBE, 10.0, 4), seed)
        assert (received > 0) == (size > 1)
        if size == 2:
            # only the rows next to the other rank travel, each once
            region = _plan(REGION, 0.25, 3)
            assert received_cells(comm, region, 5) == 5 * region.fine.nlon
        if size == 3:
            for where in ("read", "predict", "finish"):
                text = fail(comm, where)
                assert f"{where} is broken" in text, text
                assert text.startswith("ValueError" if comm.rank == 1 else "RemoteError"), text
            assert comm.allgather(comm.rank) == [0, 1, 2]
        comm.free()
    if world.rank == 0:
        sys.stdout.write("all ranks are done\n")


if __name__ == "__main__":
    main()
