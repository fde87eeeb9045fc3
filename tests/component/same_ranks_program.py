"""Ranks with different configurations, one after the other in one group of ranks: ``program CONFIG FOLDER``.

Prints a line for each trial: its name, the key that differs, and what each rank got, as rank 0 collected it.
"""

from __future__ import annotations

import copy
import faulthandler
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from mpi4py import MPI

from ai4land_coupler import LandComponent
from ai4land_coupler.component import same_ranks
from ai4land_coupler.config.leaves import leaves
from ai4land_coupler.config.sections import load_config
from ai4land_coupler.errors import Ai4LandError

faulthandler.dump_traceback_later(200, exit=True)  # where a rank hangs
comm = MPI.COMM_WORLD
folder = Path(sys.argv[2])
#: Values that are valid where a text or number next to the true one is not.
OTHERS: dict[str, Any] = {
    "quality.policy": "mend",
    "allocation.method": "argmax",
    "hosts.host.edges": "great_circle",
    "hosts.host.expect": "global",
    "hosts.host.variable": "tas",
    "hosts.host.mask": "sftlf",
    "imports.air_temperature.missing": "fill",
    "parallel.workers": 1,
    "performance.watts_per_core": 5.0,
    "performance.grams_co2e_per_kwh": 400.0,
    "output.store": str(folder / "other.zarr"),
    "quality.missing_static": 0.5,
    "quality.missing_forcing": 0.5,
    "allocation.gross": "none",
    "hosts.host.grid": "r36x18",
    "restart.folder": str(folder / "other"),
    "regrid.cache": str(folder / "cache"),
    "plugins.allow": ["other"],
    "allocation.forbidden": [["forest", "urban"]],
    "exports.pass_through": ["fertl_c3ann"],
}


def report(name: str, key: str, call: Any) -> None:
    try:
        call()
        mine = "ok"
    except Ai4LandError as error:
        mine = f"{type(error).__name__}: {error}"
    every = comm.gather(mine)
    if comm.rank == 0:
        print("TRIAL " + json.dumps({"name": name, "key": key, "ranks": every}), flush=True)


def other_value(key: str, value: Any) -> Any:
    if key in OTHERS:
        return OTHERS[key]
    endings = {".repeat": {"first": 2015, "last": 2016}, ".beyond": "hold", ".variable": "other", ".mask": "other"}
    for ending, other in endings.items():
        if key.endswith(ending):
            return other
    if value in ({}, []):
        return {"other": 1} if value == {} else ["other"]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return 7 if value is None else f"{value}x"


def put(raw: Any, key: str, value: Any) -> None:
    steps: list[Any] = []
    for part in key.split("."):
        name, *numbers = part.replace("]", "").split("[")
        steps += [name, *map(int, numbers)]
    for step in steps[:-1]:
        raw = raw[step]
    raw[steps[-1]] = value


def component(raw: Any) -> LandComponent:
    path = folder / f"rank_{comm.rank}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return LandComponent(path, comm)


base = load_config(sys.argv[1])
whole = json.loads(base.model_dump_json())
stale = comm.size - 1  # the rank that differs; it changes from trial to trial
for number, (key, value) in enumerate(leaves(base).items()):
    stale = number % comm.size
    raw = copy.deepcopy(whole)
    if comm.rank == stale:
        put(raw, key, other_value(key, value))
    if key != "title":
        report("key", key, partial(component, raw))

for key in ("forcing", "static", "predictors", "hosts"):  # one rank lacks the last of a list, or has one more
    raw = copy.deepcopy(whole)
    if comm.rank == stale:
        raw[key] = {} if key == "hosts" else [*raw[key], raw[key][0]] if key == "predictors" else raw[key][:-1]
    report("key", key, partial(component, raw))

path = folder / f"own_{comm.rank}.yaml"
path.write_text(yaml.safe_dump(whole))
report("allowed", "paths of the configuration", lambda: LandComponent(path, comm))
own = copy.deepcopy(whole)
own["title"] = f"rank {comm.rank}"
copied = shutil.copy(whole["forcing"][0]["options"]["states"], folder / f"copy_{comm.rank}.nc")
own["forcing"][0]["options"]["states"] = str(copied)
report("allowed", "title and paths of the same content", lambda: component(own))
if comm.rank == stale:
    with Path(copied).open("ab") as file:
        file.write(b"x")
comm.barrier()
report("key", "forcing[0].options.states", lambda: component(own))

for text in (None, "time: [", "title: 1"):  # one rank cannot read its file
    broken = folder / f"broken_{comm.rank}.yaml"
    broken.write_text(yaml.safe_dump(whole))
    if comm.rank == stale:
        broken.unlink() if text is None else broken.write_text(text)
    report("unreadable", str(text), partial(LandComponent, broken, comm))

if comm.rank == stale:
    same_ranks.__version__ = "0.0.0"
report("parts", "version of ai4land_coupler", lambda: component(whole).initialize())
same_ranks.__version__ = "9"

land = component(whole)
land.initialize()
land.write_restart(folder / "restart")
land.finalize()
report("start", "restart year None", lambda: component(whole).initialize(folder / "restart" if comm.rank else None))
if comm.rank == stale:
    shutil.copytree(folder / "restart", folder / "changed")
comm.barrier()
mine = folder / ("changed" if comm.rank == stale else "restart")
report("allowed", "a copy of the restart", lambda: component(whole).initialize(mine))
if comm.rank == stale:
    from ai4land_coupler.files.durable import seal, unseal
    from ai4land_coupler.store.restart import MANIFEST

    manifest = next(mine.glob(f"*/{MANIFEST}"))
    content = unseal(manifest.read_bytes(), manifest, "")
    content["attrs"]["note"] = "of another run"
    manifest.write_bytes(seal(content))
comm.barrier()
report("parts", "content of the restart", lambda: component(whole).initialize(mine))
