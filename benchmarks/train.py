"""Training from a prepared store, compared with the same training from windows in memory; its memory at three sizes.

    python benchmarks/train.py                      # 3072 x 3072 cells, 4 years, 35 channels, windows of 256 cells
    python benchmarks/train.py --width 16 --steps 16

The two trainings take turns in one process, in groups of steps. A group has more steps than the worker processes read
ahead, so that reading which goes on during the other side's turn is no advantage. The processor time of the workers
counts for their side at any time; it says more than wall time if other jobs run. The values are synthetic: smooth
fields with noise in the last digits, and maps whose classes change in one cell of a hundred each year. The domain is so
large that chunks of the forcing have their full size.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import zarr
from runner import Pairs, Report, arguments, at_least, at_most, process_cost

from ai4land_coupler.api import TrainingRun
from ai4land_coupler.core.grid import LatLonGrid, forcing_lattice
from ai4land_coupler.experiments.prepare.layout import (
    ATTRIBUTE,
    MARKER,
    PreparedLayout,
    PreparedVariable,
    make_groups,
)
from ai4land_coupler.experiments.training.reader import read_training_data
from ai4land_coupler.experiments.training.train import parse_train_config, train
from ai4land_coupler.experiments.twin.states import FRACTIONS, STATES
from ai4land_coupler.inputs.luh2 import LUH2_LATTICE
from ai4land_coupler.registry.loading import load_plugins
from ai4land_unet.batches import StepWindows, read_ahead
from ai4land_unet.card import Channel, in_channels
from ai4land_unet.network import UNet
from ai4land_unet.optimise import Optimiser
from ai4land_unet.options import TrainerOptions
from ai4land_unet.processes import Processes

LEGEND = "hilda-v1.0-f"
CODES = np.array([11, 22, 33, 44, 55, 66], np.uint8)
STATIC = {"elevation": "m", "slope": "degree", "aspect": "degree", "clay": "1", "sand": "1", "organic_carbon": "g kg-1"}
UNITS = {"secma": "year", "secmb": "kg m-2"}
FIRST = 1990


def waves(grid: LatLonGrid, number: int, year: int = 0) -> np.ndarray:
    """A smooth field from 0 to 1 with noise of a thousandth, different for each number and year."""
    lat, lon = np.deg2rad(20 * grid.lat)[:, None], np.deg2rad(20 * grid.lon)[None, :]
    smooth = np.sin((1 + number) * lat + 0.01 * year) * np.cos((2 + number) * lon)
    noise = np.random.default_rng([number, year]).random(grid.shape, dtype=np.float32)
    return np.asarray(0.5 + 0.49 * smooth + 1e-3 * (noise - 0.5), np.float32)


def make_store(path: Path, side: int, years: int) -> Path:
    """A prepared store of ``side`` x ``side`` cells of 0.01 degrees."""
    land = LatLonGrid(0.0, 0.01, side, 50.0, -0.01, side)
    span = tuple(range(FIRST, FIRST + years))
    variables = [PreparedVariable("maps", "land_cover", "1", "", span, "synthetic")]
    variables += [PreparedVariable("forcing", n, UNITS.get(n, "1"), "", span, "synthetic") for n in STATES]
    variables += [PreparedVariable("static", n, units, "", None, "synthetic") for n, units in STATIC.items()]
    layout = PreparedLayout(land, LEGEND, forcing_lattice(land, LUH2_LATTICE), LUH2_LATTICE, tuple(variables))
    make_groups(path, layout, {ATTRIBUTE: layout.describe()})
    (path / MARKER).write_text("{}")
    root = zarr.open_group(path, mode="r+")
    codes = CODES[np.clip(waves(land, 0) * CODES.size, 0, CODES.size - 1).astype(np.int8)]
    for number, year in enumerate(span):
        rng = np.random.default_rng(year)
        codes = np.where(rng.random(land.shape) < 0.01, rng.choice(CODES, land.shape), codes)
        root["maps/land_cover"][number] = codes
        assert layout.forcing is not None
        for index, name in enumerate(STATES):
            root[f"forcing/{name}"][number] = waves(layout.forcing, index, year) / len(STATES)
    for index, name in enumerate(STATIC):
        root[f"static/{name}"][...] = 0.4 * waves(land, index)
    return path


def configuration(store: Path, years: int, width: int, steps: int, in_memory: bool | None) -> Any:
    """The training with the 35 channels of AI4Land."""

    def part(name: str) -> dict[str, Any]:
        return {"name": "prepared", "options": {"store": str(store), "part": name}}

    group = {"source": "forcing", "offsets": [-1, 0]}
    scaled = {"source": "static", "scaling": "standard"}
    content = {
        "legend": LEGEND,
        "cover": part("maps") | {"years": list(range(FIRST, FIRST + years))},
        "forcing": [part("forcing")],
        "static": [part("static")],
        "in_memory": in_memory,
        "channels": [
            group | {"names": list(FRACTIONS), "change": True},
            *(group | {"names": [name], "units": units, "scaling": "standard"} for name, units in UNITS.items()),
            *(scaled | {"names": [name], "units": units} for name, units in STATIC.items()),
        ],
        "validation": {"block": 2.0, "buffer": 48},
        "trainer": {
            "name": "unet",
            "options": {
                "name": "benchmark",
                "architecture": {"width": width, "depth": 4, "cover": "index"},
                "optimisation": {"steps": steps, "batch": 4, "window": 256, "validations": 1, "validation_windows": 4},
            },
        },
    }
    return parse_train_config(content, store.parent, "benchmark")


class Side:
    """One of the two trainings: ``run`` takes some more steps."""

    def __init__(self, store: Path, years: int, width: int, *, in_memory: bool, workers: int) -> None:
        config = configuration(store, years, width, 1000, in_memory)
        options = TrainerOptions.model_validate(config.trainer.options)
        data = read_training_data(config, load_plugins())
        channels = tuple(Channel.of(c, "index") for c in data.channels)
        classes = len(data.legend.view)
        assert in_channels(channels, classes) == 35
        torch.manual_seed(0)
        network = UNet(35, width, 4, classes).to(memory_format=torch.channels_last).train()
        self.optimiser = Optimiser(network, channels, data, options.optimisation, TrainingRun(), Processes(), "")
        self.windows = read_ahead(StepWindows(data, channels, options.optimisation), 0, None, workers)

        self.processor = 0.0

    def run(self, steps: int) -> float:
        """Seconds of some steps. Their processor seconds in this process are added to ``processor``."""
        begin, processor = time.perf_counter(), time.process_time()
        for _ in range(steps):
            self.optimiser._step(self.optimiser.network, next(self.windows), 0.5)
        self.processor += time.process_time() - processor
        return time.perf_counter() - begin


def workers_processor() -> float:
    """Processor seconds of the processes that read ahead."""
    times = [psutil.Process(child.pid).cpu_times() for child in multiprocessing.active_children()]
    return sum(t.user + t.system for t in times)


def measure_memory(store: Path, years: int) -> None:
    """Train a few steps from a store. Runs in a process of its own."""
    train(configuration(store, years, 4, 4, None), store.parent / "bundle", workers=1)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--side", type=int, default=3072, help="cells in each direction")
    parser.add_argument("--years", type=int, default=4)
    parser.add_argument("--width", type=int, default=35, help="channels of the first level of the network")
    parser.add_argument("--steps", type=int, default=4, help="steps in a group")
    parser.add_argument("--repeat", type=int, default=5, help="groups of each side")
    parser.add_argument("--workers", type=int, default=1, help="processes that read ahead")
    parser.add_argument("--speed-only", action="store_true", help="without the memory")
    parser.add_argument("--folder", type=Path, help="where the files go; default: a temporary folder")
    parser.add_argument("--memory-of", nargs=2, metavar=("STORE", "YEARS"), help="for its own use")
    options = parser.parse_args()
    if options.memory_of:
        measure_memory(Path(options.memory_of[0]), int(options.memory_of[1]))
        return
    report = Report("train.py", options, torch.get_num_threads())
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        store = make_store(folder / "speed.zarr", options.side, options.years)
        stored = Side(store, options.years, options.width, in_memory=False, workers=options.workers)
        memory = Side(store, options.years, options.width, in_memory=True, workers=0)
        for side in (stored, memory):
            side.run(options.steps)
            side.processor = 0.0
        before = workers_processor()
        found: dict[str, list[float]] = {"stored": [], "memory": []}
        for number in range(options.repeat):
            for key, side in (("stored", stored), ("memory", memory))[:: 1 if number % 2 == 0 else -1]:
                found[key].append(side.run(options.steps))
        report.ratio(
            f"windows a second, {options.workers} workers",
            Pairs(found["stored"], found["memory"]),
            names=("from a store", "from memory"),
            speed=True,
            work=4 * options.steps,
            unit="windows/s",
            goal=at_least(0.9),
        )
        processor = stored.processor + workers_processor() - before
        report.value("processor time, from memory / from a store", memory.processor / processor)
        report.value("processor time of a window, from a store", processor / (4 * options.steps * options.repeat), "s")
        if options.speed_only:
            report.end()
            return
        sizes = []
        for side_length, years in ((1024, 4), (3072, 4), (1024, 36)):
            place = folder / f"{side_length}-{years}"
            place.mkdir()
            make_store(place / "in.zarr", side_length, years)
            cost = process_cost([sys.executable, __file__, "--memory-of", place / "in.zarr", str(years)])
            sizes.append(cost.memory)
            what = f"largest process, {side_length} x {side_length} cells, {years} years"
            report.value(what, cost.memory / 1e6, "MB")
        for name, size in (("9 times the area", sizes[1]), ("9 times the years", sizes[2])):
            report.value(f"memory, {name} / first size", size / sizes[0], goal=at_most(1.1))
    report.end()


if __name__ == "__main__":
    main()
