"""A step whose last rank fails in its first tile: ``program CONFIG THREADS``. Each rank prints what it noticed."""

from __future__ import annotations

import faulthandler
import sys
import time
from dataclasses import replace
from typing import Any

from mpi4py import MPI

from ai4land_coupler import LandComponent
from ai4land_coupler.core.state import LandState
from ai4land_coupler.land import prediction

faulthandler.dump_traceback_later(200, exit=True)  # where a rank hangs
prediction.SMALL_WINDOW = 0
component = LandComponent(sys.argv[1], MPI.COMM_WORLD, online=False)
component.initialize()
model = replace(component.model, threads=int(sys.argv[2]))
comm = component.comm
(entry,) = model.predictors
predict = entry.predictor.predict
predicted: list[Any] = []


def faulty(*given: Any) -> Any:
    """Fail on the last rank. On the others, return when its message is here: only the first tile may be predicted."""
    if comm.rank == comm.size - 1:
        raise ValueError("a faulty tile")
    give_up = time.monotonic() + 100
    while not comm.mpi.Iprobe() and time.monotonic() < give_up:
        time.sleep(0.001)
    predicted.append(given)
    return predict(*given)


def step() -> LandState:
    clock = component.clock.next()
    return model.advance(component.state, *component.read_inputs(clock), clock).state


own = sum(model.owner[tile.id] == comm.rank for tile in model.tiles(entry))
object.__setattr__(entry.predictor, "predict", faulty)
try:
    step()
except Exception as error:
    print(f"<{comm.rank}> {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
if comm.rank < comm.size - 1:
    told = "at most one" if len(predicted) <= 1 < own else f"{len(predicted)} of {own}"
    print(f"<{comm.rank}> predicted {told}", flush=True)
object.__setattr__(entry.predictor, "predict", predict)
print(f"<{comm.rank}> then {step().year}", flush=True)
