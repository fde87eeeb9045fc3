"""Ranks that make different calls, one after the other in one component: ``program CONFIG FOLDER``.

Prints a line for each trial: its name, and what each rank got, as rank 0 collected it.
"""

from __future__ import annotations

import faulthandler
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from ai4land_coupler import LandComponent
from ai4land_coupler.errors import Ai4LandError

faulthandler.dump_traceback_later(200, exit=True)  # where a rank hangs
comm = MPI.COMM_WORLD
odd = comm.rank == comm.size - 1
folder = Path(sys.argv[2])


def attempt(call: Any) -> str:
    try:
        call()
    except Ai4LandError as error:
        return f"{type(error).__name__} {error}"
    return f"ok {land.year}"


def trial(name: str, call: Any) -> None:
    every = comm.gather(attempt(call))
    if comm.rank == 0:
        print("TRIAL " + json.dumps({"name": name, "ranks": every}), flush=True)


def new(restart: Path | None = None) -> LandComponent:
    component = LandComponent(sys.argv[1], comm)
    component.set_calendar("noleap")
    component.initialize(restart)
    return component


land = new()
trial("other grids", lambda: land.set_named_grid("second" if odd else "host"))
trial("other calls", lambda: land.write_restart(folder / "never") if odd else land.realize())
trial("call too early", lambda: land.run(2016) if odd else land.realize())
land.set_named_grid("host")
land.realize()
land.import_("air_temperature", np.full(land.cell_count, 280.0), units="K")
for name, date in {
    "in the past": 2014,
    "no date": "tomorrow",
    "no such day": (2016, 2, 30),
    "no such time": (2016, 1, 1, 1e6),
    "after the stop": 2099,
    "another year": 2017,
    "another day": (2016, 1, 2),
}.items():
    trial(name, lambda date=date: land.run(date if odd else 2016))  # type: ignore[misc]
    trial(f"{name}, on all other ranks", lambda date=date: land.run(2016 if odd else date))  # type: ignore[misc]
trial("a bad date on all ranks", lambda: land.run((2016, 2, 30)))
trial("other folders", lambda: land.write_restart(folder / f"restart_{comm.rank}"))
trial("the same date", lambda: land.run(2016))  # and it goes on
land.write_restart(folder / "restart")
land.finalize()

land = new(folder / "restart")  # parallel.workers is 1: the other ranks own no blocks
land.set_named_grid("host")
land.realize()
trial("a restart on ranks without blocks", lambda: land.run(2017))

# one rank takes no step, and ends
answer = attempt(lambda: land.run((2017, 12, 31) if odd else 2018))
if odd:
    if sys.argv[3] == "finalize":
        land.finalize()
    else:
        raise SystemExit(0)
else:
    print(f"LAST rank {comm.rank} {answer}", flush=True)
    print(f"LAST rank {comm.rank} {attempt(lambda: land.write_restart(folder / 'late'))}", flush=True)
