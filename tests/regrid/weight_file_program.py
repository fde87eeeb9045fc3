"""What the ranks of test_weight_files.py run: ``weight_file_program.py FOLDER WEIGHTS``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import netCDF4
import numpy as np
from mpi4py import MPI
from weight_cases import meshes

from ai4land_coupler.api import Ai4LandError, Mesh
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.from_file import FileOptions, FileRegridder
from ai4land_coupler.regrid.cache import WeightCache


def main(folder: Path, path: Path) -> None:
    comm = MPI.COMM_WORLD.Dup()
    rank, size = comm.rank, comm.size
    source, destination = meshes()
    source = source.take(np.arange(rank, source.size, size))
    destination = destination.take(np.arange(destination.size)[::-1][rank::size] if rank else np.arange(0))
    if rank == size - 1:  # rank 0 owns nothing, the last one also what would be its part
        whole = meshes()[1]
        destination = whole.take(np.sort(np.concatenate([destination.cell_ids, np.arange(whole.size)[::-1][0::size]])))
    weights = FileRegridder(FileOptions(path=path)).build(source, destination, comm=comm)

    rows = np.repeat(destination.cell_ids, np.diff(weights.indptr))
    tables = {"links": {"id": rows, "source": weights.source_ids, "value": weights.values}}
    cache = WeightCache(folder / "cache", comm)
    assert cache.load("key", {"links": destination.cell_ids}) is None
    assert cache.save("key", tables, {"made": "once"})
    # other ranks want the cells than those that saved them
    moved = (destination.cell_ids + 1) % destination.global_size
    found = cache.load("key", {"links": moved})
    assert found is not None
    assert found.about == {"made": "once"}
    np.testing.assert_array_equal(
        np.unique(found.tables["links"]["id"]), np.intersect1d(moved, rows_of_all(comm, rows))
    )
    found = cache.load("key", {"links": destination.cell_ids})
    assert found is not None

    told = {name: fault(name, path, (source, destination), comm) for name in FAULTS}
    (folder / f"{rank}.json").write_text(json.dumps(told))
    order = np.argsort(destination.cell_ids)
    fields = RegridPlan(weights, source.cell_ids, comm).apply(np.sin(source.cell_ids * 0.37) + np.arange(3)[:, None])
    np.savez(
        folder / f"{rank}.npz",
        cells=destination.cell_ids[order],
        fields=fields[:, order],
        file_values=by_cell(weights.values, rows),
        file_source_ids=by_cell(weights.source_ids, rows),
        cache_values=found.tables["links"]["value"],
        cache_source_ids=found.tables["links"]["source"],
    )


#: A change of one number, at the end of the file: one rank reads it, and one rank may own the cell.
FAULTS = {
    "NaN": ("S", np.nan),
    "an id": ("row", 10**6),
    "a sum": ("S", 3.0),
    "a far cell": ("col", 100),
    "a corner": ("xv_b", 77.0),
    "a mask": ("mask_a", 0),
    "cut": ("", 0),
}


def fault(name: str, path: Path, grids: tuple[Mesh, Mesh], comm: MPI.Comm) -> str:
    """What this rank is told of a spoilt copy of the file."""
    spoilt = path.with_name(f"{name.replace(' ', '_')}.nc")
    if comm.rank == 0:
        shutil.copy(path, spoilt)
        variable, value = FAULTS[name]
        if variable:
            with netCDF4.Dataset(spoilt, "a") as file:
                file[variable][-1] = value
        else:
            spoilt.write_bytes(path.read_bytes()[:-500])
    comm.Barrier()
    try:
        FileRegridder(FileOptions(path=spoilt)).build(*grids, comm=comm)
    except Ai4LandError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def by_cell(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return values[np.argsort(rows, kind="stable")]


def rows_of_all(comm: MPI.Comm, rows: np.ndarray) -> np.ndarray:
    return np.unique(np.concatenate(comm.allgather(rows)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
