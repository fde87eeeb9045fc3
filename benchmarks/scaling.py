"""Weak scaling of a step: N ranks, against N processes that each predict the blocks of one rank and know no others.

    python benchmarks/scaling.py [--ranks N] [--repeat 5]

All processes have one thread and one core of their own. Both sides run on all cores at once, so they share memory and
caches in the same way; what differs are halos, sums and waiting for the slowest rank. On a machine with 16 cores, call
it with ``--ranks 16``. The region is made of as many parts of 6 x 8 degrees as there are ranks, nearly all land.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from runner import Pairs, Report, arguments, at_least

from ai4land_coupler import LandComponent
from ai4land_coupler.config.sections import load_config
from ai4land_coupler.experiments.twin import TwinOptions, generate
from ai4land_coupler.land.dealing import block_cost

FIRST = 2015
STEPS = 3
#: Western end of the region (degrees east), width of a part, southern and northern end. Land up to 110 degrees east.
WEST, WIDTH, SOUTH, NORTH = 14, 6, 48, 56


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]), int(sys.argv[3]), None if sys.argv[4] == "mpi" else int(sys.argv[4]))
        return
    parser = arguments(__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5, help="number of pairs of runs")
    options = parser.parse_args()
    report = Report("scaling", options)
    if options.ranks > (os.cpu_count() or 1):
        report.note(f"not measured: {options.ranks} ranks need as many cores")
        report.end()
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_configuration(folder, options.ranks)
        found = Pairs([], [])
        for number in range(options.repeat):
            for side, measure in sorted({"ours": ranks, "other": alone}.items(), reverse=number % 2 == 0):
                getattr(found, side).append(measure(folder, options.ranks))
        goal = at_least(0.97 if options.ranks == 2 else 0.9)
        names = (f"{options.ranks} ranks, a step", "each alone, a step")
        report.ratio(f"weak scaling to {options.ranks} ranks", found, names=names, speed=True, goal=goal)
    report.end()


def write_configuration(folder: Path, size: int) -> None:
    """The twin of the region, and a run of one step."""
    east = WEST + size * WIDTH
    if east > 110:
        raise SystemExit(f"at most {(110 - WEST) // WIDTH} ranks: the region would reach into the ocean")
    twin = generate(
        TwinOptions(
            lon0=WEST,
            lon1=east,
            lat0=SOUTH,
            lat1=NORTH,
            resolution=1 / 64,
            first_year=FIRST - 1,
            last_year=FIRST + 1,
            scenario_start=FIRST,
        ),
        folder / "twin",
    )
    paths = {key: str(path) for key, path in twin.paths.items()}
    (folder / "run.yaml").write_text(TEXT.format(first=FIRST, last=FIRST + 1, **paths))


TEXT = """
title: scaling
legend: hilda-v1.0-f
time: {{start: {first}, stop: {last}}}
initial: {{name: hilda, options: {{path: "{maps}", legend: hilda-v1.0-f}}}}
forcing:
- {{name: ssp, options: {{states: "{scenario}"}}}}
- {{name: luh2, options: {{states: "{states}"}}}}
static:
- {{name: static, options: {{path: "{terrain}"}}}}
- {{name: static, options: {{path: "{elevation}"}}}}
- {{name: static, options: {{path: "{soil}"}}}}
predictors: [{{name: unet, options: {{bundle: twin}}}}]
parallel: {{block: 4}}
"""


def ranks(folder: Path, size: int) -> float:
    """Seconds of a step on ``size`` ranks."""
    launcher = [Path(sys.executable).with_name("mpiexec"), "--oversubscribe", "--bind-to", "none", "-n", str(size)]
    done = run([*launcher, sys.executable, "-m", "mpi4py", __file__, "child", folder, str(size), "mpi"])
    return float(finish(done))


def alone(folder: Path, size: int) -> float:
    """Mean seconds of a step of ``size`` processes at the same time."""
    for file in folder.glob("ready.*"):
        file.unlink()
    children = [run([sys.executable, __file__, "child", folder, str(size), str(rank)]) for rank in range(size)]
    return statistics.mean(float(finish(done)) for done in children)


def run(command: list[Any]) -> subprocess.Popen[str]:
    environment = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, env=os.environ | environment)


def finish(process: subprocess.Popen[str]) -> str:
    """The last line that a process printed."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a process failed with status {process.returncode}")
    return output.strip().splitlines()[-1]


def child(folder: Path, size: int, rank: int | None) -> None:
    """One process: a rank if ``rank`` is ``None``, else one that predicts the blocks of a rank alone."""
    import torch

    torch.set_num_threads(1)
    comm = None
    if rank is None:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    own = comm.rank if rank is None else rank
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[own]})
    component = LandComponent(load_config(folder / "run.yaml"), comm, online=False)
    component.initialize()
    model, state, clock = component.model, component.state, component.clock.next()
    if rank is not None:
        model = model.only(blocks_of(component, size, rank))
    forcing, imports = component.read_inputs(clock)

    def step() -> None:
        component.comm.sum_by_block(model.advance(state, forcing, imports, clock).diagnostics)

    step()
    if rank is None:
        comm.Barrier()
    else:
        (folder / f"ready.{rank}").touch()
        while len(list(folder.glob("ready.*"))) < size:
            time.sleep(0.01)
    begin = time.perf_counter()
    for _ in range(STEPS):
        step()
    if rank is None:
        comm.Barrier()
    if own == 0 or rank is not None:
        print((time.perf_counter() - begin) / STEPS)


def blocks_of(component: LandComponent, size: int, rank: int) -> list[int]:
    """The blocks with land that a rank has in a run on ``size`` ranks."""
    setup, cover = component.setup, component.state.cover
    cost = np.array([block_cost(setup, block, cover[block.id]) for block in setup.plan.blocks], np.float64)
    owner = setup.plan.owners(size, cost)
    return [block for block in component.model.land_blocks if owner[block] == rank]


if __name__ == "__main__":
    main()
