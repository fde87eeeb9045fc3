"""Speed of the allocation: cells per second of ``MapMaker.step``, on one thread and on two, and time of its phases.

    python benchmarks/allocation.py [--size 400] [--repeat 7] [--temperature 0] [--gross-temperature 0.5]

For comparison, the same run measures the minimum work of an allocation in plain numpy: the most probable class of each
cell, and the count of classes in each forcing cell. With two threads, each thread makes the map of its own block.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from runner import Pairs, Report, arguments, at_least, seconds

from ai4land_coupler.allocation import MapMaker, map_maker
from ai4land_coupler.allocation.cells import Noise
from ai4land_coupler.config.allocation import AllocationOptions
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.core.legend import get_crosswalk, get_legend
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.parallel import BlockPlan

#: Native codes and shares of a map like the United Kingdom: much pasture, some sea.
MIXTURE = {11: 0.08, 22: 0.25, 33: 0.30, 40: 0.10, 55: 0.10, 66: 0.02, 77: 0.05, 0: 0.10}
#: Share of each class's land that leaves the class in three years, from the HILDA+ maps of 2009 and 2012.
RATES = {"urban": 0.05, "cropland": 0.06, "pasture": 0.08, "forest": 0.1, "grass_shrub": 0.4}
#: Functions that are timed separately: owner and name. The noise is drawn inside of the other two.
PHASES = {
    "placement": (map_maker, "place_net_change"),
    "swaps": (map_maker, "swap_cells"),
    "noise": (Noise, "of"),
}


@contextmanager
def timed_phases(found: dict[str, float]) -> Iterator[None]:
    """Sum the time of each phase of a step, without the phases that it calls."""
    inner = [0.0]
    originals = {phase: getattr(owner, name) for phase, (owner, name) in PHASES.items()}

    def timing(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            start = time.perf_counter()
            inner.append(0.0)
            try:
                return function(*args)
            finally:
                spent = time.perf_counter() - start
                found[phase] = found.get(phase, 0.0) + spent - inner.pop()
                inner[-1] += spent

        return call

    for phase, (owner, name) in PHASES.items():
        setattr(owner, name, timing(phase, originals[phase]))
    try:
        yield
    finally:
        for phase, (owner, name) in PHASES.items():
            setattr(owner, name, originals[phase])


def problem(size: int, **options: float) -> tuple[MapMaker, Mapping[str, Any]]:
    """One block of HILDA+ cells under LUH2 cells, with logits that favour the present class."""
    fine = LatLonGrid(-5.003, 0.00998837, size, 56.01, -0.00998837, size)
    plan = BlockPlan(fine, forcing_lattice(fine, LatLonGrid(-180.0, 0.25, 1440, 90.0, -0.25, 720)), size)
    legend, crosswalk = get_legend("hilda-v1.0-f"), get_crosswalk("luh2-hilda")
    rng = np.random.default_rng(0)
    cover = rng.choice(np.array(list(MIXTURE), np.uint8), size=fine.shape, p=list(MIXTURE.values()))
    classes = legend.to_view(cover)
    logits = rng.standard_normal((len(legend.view), *fine.shape)).astype(np.float32)
    for k in range(len(legend.view)):
        logits[k][classes == k] += 4
    block = plan.blocks[0]
    shares, other = (
        rng.dirichlet(np.ones(len(crosswalk.groups)), size=block.forcing.shape).transpose(2, 0, 1) for _ in range(2)
    )
    maker = MapMaker(plan, legend, crosswalk, AllocationOptions(**options), RATES)
    step = {
        "block": block,
        "cover": cover,
        "logits": logits,
        "shares": 0.99 * shares + 0.01 * other,
        "memory": maker.begin(block, cover, shares, KeyedRng(1)),
        "rng": KeyedRng(1, year=2001),
    }
    return maker, step


def plain(maker: MapMaker, step: Mapping[str, Any]) -> np.ndarray:
    """The most probable class of each cell, and the count of classes in each forcing cell."""
    plan, block, classes = maker.plan, step["block"], len(maker.legend.view)
    rows, cols = (np.arange(n) for n in block.core.shape)
    home = plan.forcing_row[rows][:, None] * plan.forcing.nlon + plan.forcing_col[cols][None, :]
    best = step["logits"].argmax(axis=0)
    return np.bincount((home * classes + best).ravel(), minlength=plan.forcing.size * classes)


def peak_memory(function: Callable[[], Any]) -> int:
    """Highest memory of one call, above the memory before it (bytes)."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--size", type=int, default=400, help="fine cells along each side of the block")
    parser.add_argument("--repeat", type=int, default=7)
    for name in ("temperature", "gross_temperature"):
        default = AllocationOptions.model_fields[name].default
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=default)
    options = parser.parse_args()
    report = Report(f"allocation.py --size {options.size}", options, threads=2)

    chosen = {name: getattr(options, name) for name in ("temperature", "gross_temperature")}
    (maker, step), (other, its) = (problem(options.size, **chosen) for _ in range(2))
    result = maker.step(**step)
    totals = {name: float(values.sum()) for name, values in result.diagnostics.items()}
    report.note(
        f"{options.size} x {options.size} cells, {step['block'].forcing.size} forcing cells, "
        f"temperature {options.temperature:g}, of gross change {options.gross_temperature:g}, "
        f"changed {totals['changed_cells'] / totals['land_cells']:.2%}, unpaired {totals['unpaired_cells']:.0f} cells"
    )
    one, two, least = [], [], []
    with ThreadPoolExecutor(2) as threads:
        for _ in range(options.repeat):
            one.append(seconds(lambda: maker.step(**step)))
            work = [(maker, step), (other, its)]
            two.append(seconds(lambda work=work: list(threads.map(lambda of: of[0].step(**of[1]), work))))
            least.append(seconds(lambda: plain(maker, step)))
    million = options.size**2 / 1e6
    report.values("one thread, one block", [million / s for s in one], "M cells/s")
    report.values("two threads, two blocks", [2 * million / s for s in two], "M cells/s", goal=at_least(4))
    report.ratio("work of two threads / of one", Pairs([s / 2 for s in two], one), names=("two", "one"), speed=True)
    report.ratio("step / argmax and bincount", Pairs(one, least), names=("step", "argmax and bincount"))
    peak = peak_memory(lambda: maker.step(**step))
    report.value("peak memory of a step", peak / 2**20, "MiB")
    phases: dict[str, float] = {}
    with timed_phases(phases):
        whole = seconds(lambda: maker.step(**step))
    phases["rest"] = whole - sum(phases.values())
    for name, spent in phases.items():
        report.value(f"share of {name}", spent / whole)
    report.end()


if __name__ == "__main__":
    main()
