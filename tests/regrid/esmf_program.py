"""What the ranks of test_esmf.py run: ``esmf_program.py FOLDER CASE ...``; answers of all ranks land in FOLDER."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
from esmf_cases import CASES, FEW_POINTS, NO_CELLS, Case
from mpi4py import MPI

from ai4land_coupler.api import Ai4LandError, Mesh
from ai4land_coupler.grids import partition
from ai4land_coupler.regrid.backends import esmf_runtime
from ai4land_coupler.regrid.backends.esmf import EsmfRegridder, EsmfRegridOptions


def share(mesh: Mesh, rank: int, size: int, layout: str) -> Mesh:
    """This rank's cells: stretches, or dealt like cards, so that all corners are shared with other ranks."""
    if layout == "dealt":
        return mesh.take(np.arange(rank, mesh.size, size))
    if layout == "last":  # only the last rank has cells
        return mesh if rank == size - 1 else mesh.take(NO_CELLS)
    return partition(mesh, rank, size)


def regrid(name: str, case: Case, comm: MPI.Comm, folder: Path) -> None:
    source, destination = case.grids()
    layout = {1: "stretches", 2: "stretches", 3: "dealt"}[comm.size]
    source = share(source, comm.rank, comm.size, layout)
    destination = share(destination, comm.rank, comm.size, "last" if case.last else layout)
    regridder = EsmfRegridder(EsmfRegridOptions(closed_form=False, points="esmf", **case.options))
    weights = regridder.build(source, destination, case.method, case.norm, comm)
    row = np.repeat(destination.cell_ids, np.diff(weights.indptr))
    np.savez(
        folder / f"{name}.{comm.rank}.npz",
        row=row,
        column=weights.source_ids,
        values=weights.values,
        cells=destination.cell_ids,
        fraction=weights.destination_fraction,
        destination_area=weights.destination_area,
        source_cells=source.cell_ids,
        source_area=weights.source_area,
    )


def faults(comm: MPI.Comm) -> dict[str, Callable[[], object]]:
    """Collective calls in which one rank holds a fault, or ranks do not fit together."""
    last = comm.rank == comm.size - 1
    source, destination = (partition(mesh, comm.rank, comm.size) for mesh in FEW_POINTS.grids())
    missing = source.corner_lat.copy()
    missing[-1, 0] = np.nan if last else missing[-1, 0]
    build = EsmfRegridder(EsmfRegridOptions(closed_form=False)).build
    return {
        "clockwise": lambda: build(
            replace(source, corner_lon=-source.corner_lon) if last else source, destination, comm=comm
        ),
        "missing": lambda: build(source, replace(destination, mask=destination.mask[last:]), comm=comm),
        "nan": lambda: build(replace(source, corner_lat=missing), destination, comm=comm),
        "pole": lambda: build(source, destination, "conservative2nd", comm=comm),
        "method": lambda: build(source, destination, "patch", comm=comm),  # type: ignore[arg-type]
        "other ranks": lambda: build(source, destination, comm=comm.Split(comm.rank, 0)),
        "other order": lambda: build(source, destination, comm=comm.Split(0, -comm.rank)),
    }


def report_faults(comm: MPI.Comm, folder: Path) -> None:
    parts = (partition(mesh, comm.rank, comm.size) for mesh in FEW_POINTS.grids())
    EsmfRegridder(EsmfRegridOptions(closed_form=False)).build(*parts, comm=comm)
    told = {}
    for name, call in faults(comm).items():
        try:
            call()
        except Ai4LandError as error:
            told[name] = f"{type(error).__name__}: {error}"
    (folder / f"faults.{comm.rank}.json").write_text(json.dumps(told))


def with_a_host(comm: MPI.Comm, folder: Path) -> None:
    """A host that runs ESMF itself, through the C interface, and goes on to use it."""
    import netCDF4  # noqa: F401

    text = Path(os.environ["ESMFMKFILE"]).read_text()
    libraries = next(line.split("=")[1] for line in text.splitlines() if line.startswith("ESMF_LIBSDIR"))
    host = ctypes.CDLL(str(Path(libraries, "libesmf_fullylinked.so")), mode=ctypes.RTLD_GLOBAL)
    assert host.ESMC_Initialize(None, ctypes.c_int(11235813)) == 0  # ESMC_ArgLast
    regrid("with a host", FEW_POINTS, comm, folder)
    rc = ctypes.c_int(-1)
    host.ESMC_VMGetGlobal(ctypes.byref(rc))
    assert rc.value == 0, "the host's ESMF is gone"
    assert esmf_runtime._started == []
    assert host.ESMC_FinalizeWithFlag(ctypes.c_uint(2)) == 0  # KEEP_MPI


def many_builds(count: int) -> None:
    """Resident memory (MiB) after each tenth of so many builds, with all objects and all methods."""
    source, destination = FEW_POINTS.grids()
    used = []
    for i in range(count + 1):
        method = ("conservative", "bilinear", "nearest")[i % 3]
        EsmfRegridder(EsmfRegridOptions(closed_form=False, points="esmf")).build(source, destination, method)  # type: ignore[arg-type]
        if i % max(count // 10, 1) == 0:
            used.append(round(psutil.Process().memory_info().rss / 2**20, 1))
    print(json.dumps(used))


def main(folder: Path, cases: list[str]) -> None:
    comm = MPI.COMM_WORLD.Dup()
    for name in cases:
        if name == "faults":
            report_faults(comm, folder)
        elif name == "with a host":
            with_a_host(comm, folder)
        elif name.isdigit():
            many_builds(int(name))
        elif name == "sub-communicator":  # the last rank is another model: it computes something else meanwhile
            part = comm.Split(comm.rank == comm.size - 1, comm.rank)
            if comm.rank < comm.size - 1:
                regrid(name, FEW_POINTS, part, folder)
            else:
                assert part.allreduce(1) == 1
        else:
            regrid(name, CASES[name], comm, folder)
    assert not MPI.Is_finalized()
    comm.Barrier()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
