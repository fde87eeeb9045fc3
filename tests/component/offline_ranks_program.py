"""An offline run whose progress function fails on one rank, then continues: ``program CONFIG``."""

from __future__ import annotations

import faulthandler
import sys

from mpi4py import MPI

from ai4land_coupler import Simulation

faulthandler.dump_traceback_later(200, exit=True)  # where a rank hangs
comm = MPI.COMM_WORLD


def progress(done: int, total: int, year: int) -> None:
    if year == 2016:
        raise ValueError("the caller's function failed")


try:
    Simulation(sys.argv[1], comm, progress).run()
except Exception as error:
    print(f"<{comm.rank}> {type(error).__name__}", flush=True)
print(f"<{comm.rank}> years {Simulation(sys.argv[1], comm).run(restart=True).years}", flush=True)
