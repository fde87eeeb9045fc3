"""A simulated year of the globe at 1 km, 36041 x 18021 cells, with and without a network.

    python benchmarks/global_year.py --twin FOLDER
    python benchmarks/global_year.py --twin FOLDER --predictor unet --share 0.1 --no-plan

The program makes the twin of the globe, unless FOLDER has it, and runs a year of it on 2 ranks with one thread each. It
compares the run with what ``ai4land plan`` foretells.
``unet``: width 35, depth 4, 35 channels, random weights. With ``--share``, the step predicts every n-th block of each
rank alone, nothing is written, and the time of the tiles is scaled up. Free disk: 25 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from runner import Report, arguments, at_most
from twin_run import make_bundle

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.component.performance import peak_memory, sheet_lines
from ai4land_coupler.config.sections import load_config

FIRST = 2014
MAPS = "hilda/hilda_plus_{year}_states_GLOB-v1-0-f_wgs84-nn.tif"
#: Minutes that a year may take, by predictor.
MINUTES = {"unet": 25, "persistence": 4}
#: First words of the phases that the tiles of a step take.
STREAM = ("predict", "allocate", "assemble", "wait")


def main() -> None:
    if sys.argv[1:2] == ["rank"]:
        run_rank(Path(sys.argv[2]), float(sys.argv[3]))
        return
    parser = arguments(__doc__)
    parser.add_argument("--twin", type=Path, metavar="FOLDER", help="folder that keeps the twin; default: none")
    parser.add_argument("--predictor", nargs="+", choices=tuple(MINUTES), default=list(MINUTES))
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--memory", type=float, default=3.0, help="parallel.memory (gigabytes of a rank)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--no-plan", action="store_true", help="do not call `ai4land plan`")
    options = parser.parse_args()
    report = Report("global_year.py", options)
    report.note(f"{options.ranks} ranks with one thread each; {options.dtype}; share of the blocks {options.share:g}")
    with tempfile.TemporaryDirectory(dir=options.twin) as name:
        globe = options.twin or Path(name) / "globe"
        if not (globe / "twin.json").is_file():
            make_globe(report, globe)
        for predictor in options.predictor:
            config = write_configuration(options, globe.resolve(), Path(name), predictor)
            expected = None if options.no_plan else plan(config, options.ranks)
            found = json.loads(run(config, options.ranks, options.share))
            report_year(report, predictor, found, expected, options.share)
    report.end()


def make_globe(report: Report, globe: Path) -> None:
    """The twin of the globe: two maps, states and static fields."""
    begin = time.perf_counter()
    command = [Path(sys.executable).with_name("ai4land"), "twin", "--globe", "--years", "2014", "2015", "-o", globe]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, env=environment())
    report.value("making the twin", (time.perf_counter() - begin) / 60, "min")


def write_configuration(options: argparse.Namespace, globe: Path, folder: Path, predictor: str) -> Path:
    """The file of a run of one year."""
    choice: dict[str, Any] = {"name": "persistence", "options": {"legend": "hilda-v1.0-f"}}
    if predictor == "unet":
        bundle = str(make_bundle(folder / "bundle"))
        choice = {"name": "unet", "options": {"bundle": bundle, "dtype": options.dtype, "device": "cpu"}}
    content = {
        "title": f"globe, {predictor}",
        "legend": "hilda-v1.0-f",
        "time": {"start": FIRST, "stop": FIRST + 1},
        "initial": {"name": "hilda", "options": {"path": str(globe / MAPS), "legend": "hilda-v1.0-f"}},
        "forcing": [{"name": "luh2", "options": {"states": str(globe / "luh2/states.nc")}}],
        "static": [
            {"name": "static", "options": {"path": str(globe / f"static/{name}.nc")}}
            for name in ("terrain", "elevation", "soil")
        ],
        "predictors": [choice],
        "output": {"store": str(folder / f"{predictor}.zarr")},
        "parallel": {"block": "auto", "memory": options.memory},
    }
    path = folder / f"{predictor}.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


def plan(config: Path, ranks: int) -> tuple[float, float]:
    """Seconds of the steps and bytes of all ranks that ``ai4land plan`` expects, in a process of its own."""
    estimate = (
        "import sys; from ai4land_coupler.config.sections import load_config; "
        "from ai4land_coupler.preflight.cost import estimate_cost; "
        "found = estimate_cost(load_config(sys.argv[1]), int(sys.argv[2])); print(found.seconds, found.memory)"
    )
    command = [sys.executable, "-c", estimate, str(config), str(ranks)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment())
    seconds, memory = map(float, done.stdout.split()[-2:])
    return seconds, memory * ranks


def environment() -> dict[str, str]:
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return os.environ | root | {"OMP_NUM_THREADS": "1"}


def run(config: Path, ranks: int, share: float) -> str:
    """Run the configuration on some ranks. Returns the last line, which rank 0 prints (see :func:`run_rank`)."""
    mpiexec = [Path(sys.executable).with_name("mpiexec"), "--oversubscribe", "--bind-to", "core", "-n", str(ranks)]
    command = [*mpiexec, sys.executable, "-m", "mpi4py", __file__, "rank", config, str(share)]
    done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, env=environment())
    return done.stdout.strip().splitlines()[-1]


def run_rank(config: Path, share: float) -> None:
    """One rank: a whole run, or a step of a share of the blocks. Rank 0 prints what it took as JSON."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    begin = time.perf_counter()
    if share == 1.0:
        simulation = Simulation(config, comm)
        component, summary = simulation.component, simulation.run()
        sums = component.diagnostics
        if comm.rank == 0:
            for what, value in sheet_lines(summary.performance):
                print(f"{what}: {value}", file=sys.stderr)
    else:
        component = LandComponent(load_config(config), comm, online=False)
        component.initialize()
        sums = take_step(component, share)
    ranks = comm.allgather((time.perf_counter() - begin, peak_memory(), dict(component.timers.seconds)))
    wall, memory, seconds = zip(*ranks, strict=True)
    phases = {name: sum(spent.get(name, 0.0) for spent in seconds) / comm.size for name in seconds[0]}
    found = {"wall": max(wall), "memory": sum(memory), "phases": phases}
    if comm.rank == 0:
        print(json.dumps(found | {"land": float(sums["land_cells"][0]), "changed": float(sums["changed_cells"][0])}))


def take_step(component: LandComponent, share: float) -> Any:
    """Predict and allocate a share of the blocks of each rank, every n-th of them. Returns the diagnostics."""
    model, clock = component.model, component.clock.next()
    owned = [
        [block for block in model.land_blocks if model.owner[block] == rank] for rank in range(component.comm.size)
    ]
    some = sorted(block for own in owned for block in own[:: round(1 / share)])
    forcing, imports = component.read_inputs(clock)
    result = model.only(some).advance(component.state, forcing, imports, clock)
    return component.comm.sum_by_block(result.diagnostics)


def report_year(
    report: Report, predictor: str, found: dict[str, Any], expected: tuple[float, float] | None, share: float
) -> None:
    """The rows of a year. With a share of the blocks, the rows of the whole globe are scaled from it."""
    phases = found["phases"]
    changed = found["changed"] / found["land"]
    report.note(f"{predictor}: {found['land']:,.0f} land cells predicted, {changed:.2%} of them changed")
    stream = sum(spent for name, spent in phases.items() if name.startswith(STREAM))
    wall = found["wall"] + stream * (1 / share - 1)
    report.value(f"{predictor}: whole run, wall", wall / 60, "min", goal=at_most(MINUTES[predictor]))
    report.value("  land cells a second, tiles alone", found["land"] / stream / 1e6, "M/s")
    report.value("  peak memory of all ranks", found["memory"] / 2**30, "GiB", goal=at_most(8))
    for name, spent in sorted(phases.items(), key=lambda item: -item[1]):
        report.value(f"  {name}, mean of the ranks", spent, "s")
    report.value("  in no phase", found["wall"] - sum(phases.values()), "s")
    if expected is not None:
        # the first year is written too, but it is no step
        output = (phases.get("write output", 0.0) + phases.get("write restart", 0.0)) / 2
        step = stream / share + output + phases.get("read forcing", 0.0) + phases.get("exchange", 0.0)
        report.note(f"  foretold: {expected[0]:.0f} s and {expected[1] / 2**30:.2f} GiB; the step took {step:.0f} s")
        report.value("  |1 - time of the step / foretold|", abs(1 - step / expected[0]), goal=at_most(0.3))
        report.value("  |1 - memory / foretold|", abs(1 - found["memory"] / expected[1]), goal=at_most(0.2))


if __name__ == "__main__":
    main()
