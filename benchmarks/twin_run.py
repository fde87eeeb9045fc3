"""Runs on a twin Earth for the benchmarks of a year: inputs, a bundle of the published size, and timed years."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import Pairs, Report

from ai4land_coupler import Simulation
from ai4land_coupler.config.sections import Config, parse_config
from ai4land_coupler.experiments.twin import TwinOptions, generate

#: Wall and processor seconds.
Spent = tuple[float, float]

FIRST = 2015
#: Two blocks of 40 forcing cells, 1000 x 1000 land cells each, nearly all of them land (Kazakhstan and Siberia).
LARGE = TwinOptions(
    lon0=60, lon1=80, lat0=48, lat1=58, resolution=0.01, first_year=FIRST - 1, last_year=FIRST, scenario_start=FIRST
)
#: 228,777 land cells for the demo's network.
SMALL = TwinOptions(
    lon0=-2, lon1=8, lat0=44, lat1=50, resolution=1 / 64, first_year=FIRST - 1, last_year=FIRST, scenario_start=FIRST
)
#: Fields of the demo's bundle that the bundle of the published size leaves out, so that it has 35 channels.
LEFT_OUT = ("secma", "secmb", "slope", "aspect", "organic_carbon")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--small", action="store_true", help="a small region, and the demo's network")
    parser.add_argument("--repeat", type=int, default=7, help="number of measured years")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--twin", type=Path, help="folder that keeps the twin for later calls; default: none")


def make_inputs(options: argparse.Namespace, folder: Path) -> Path:
    """The folder of the twin that the arguments ask for; makes it if it is not there."""
    last = FIRST + options.repeat + 1
    twin = (SMALL if options.small else LARGE).model_copy(update={"last_year": last})
    place: Path = (options.twin or folder) / f"{'small' if options.small else 'large'}-{last}"
    if not (place / "paths.json").is_file():
        report = generate(twin, place)
        facts = {"land": report.land_cells, "paths": {key: str(path) for key, path in report.paths.items()}}
        (place / "paths.json").write_text(json.dumps(facts))
    return place


def configuration(
    options: argparse.Namespace,
    folder: Path,
    predictor: dict[str, Any],
    store: str = "run.zarr",
    years: int | None = None,
) -> tuple[Config, int]:
    """The configuration of a run with one predictor, and its number of land cells.

    ``years``: number of steps; ``options.repeat + 1`` by default, because the first is not measured.
    """
    years = years or options.repeat + 1
    facts = json.loads((make_inputs(options, folder) / "paths.json").read_text())
    paths = facts["paths"]
    content = {
        "title": "benchmark",
        "legend": "hilda-v1.0-f",
        "time": {"start": FIRST, "stop": FIRST + years},
        "initial": {"name": "hilda", "options": {"path": paths["maps"], "legend": "hilda-v1.0-f"}},
        "forcing": [
            {"name": "ssp", "options": {"states": paths["scenario"]}},
            {"name": "luh2", "options": {"states": paths["states"]}},
        ],
        "static": [{"name": "static", "options": {"path": paths[key]}} for key in ("terrain", "elevation", "soil")],
        "predictors": [predictor],
        "output": {"store": str(folder / store)},
        "parallel": {"threads": options.threads} | ({} if options.small else {"block": 40}),
    }
    return parse_config(content, folder, "benchmark"), facts["land"]


def make_bundle(folder: Path, width: int = 35, depth: int = 4) -> Path:
    """A bundle with random weights and 35 channels, otherwise as the demo's. It keeps most cells."""
    import torch

    from ai4land_unet.bundle import find_bundle, read_bundle, save_bundle, sha256
    from ai4land_unet.card import Architecture, in_channels
    from ai4land_unet.network import UNet
    from ai4land_unet.weights import serialise
    from ai4land_unet.window import alignment, halo

    card = read_bundle(find_bundle("twin")).card
    channels = tuple(channel for channel in card.channels if channel.name not in LEFT_OUT)
    classes = len(card.classes)
    count = in_channels(channels, classes)
    torch.manual_seed(0)
    network = UNet(count, width, depth, classes)
    network.prior.data.fill_(6.0)
    weights = serialise(network)
    shape = Architecture(in_channels=count, width=width, depth=depth, classes=classes)
    update = {
        "name": "benchmark",
        "channels": channels,
        "architecture": shape,
        "align": alignment(depth),
        "halo": halo(depth),
        "weights_sha256": sha256(weights),
    }
    folder.mkdir()
    save_bundle(folder, card.model_copy(update=update), weights)
    return folder


@dataclass
class Timed:
    """Seconds of each year of a run without its first, and mean wall seconds of each phase in these years.

    Attributes
    ----------
    years, between:
        Wall and processor seconds of each year, and of what was called before it.
    """

    years: list[Spent] = field(default_factory=list)
    between: list[Spent] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)

    def pairs(self, clock: int) -> Pairs:
        """The years and what was called before them; ``clock`` is 0 for wall time and 1 for processor time."""
        return Pairs([spent[clock] for spent in self.years], [spent[clock] for spent in self.between])


def now() -> Spent:
    return time.perf_counter(), time.process_time()


def since(begin: Spent) -> Spent:
    wall, cpu = now()
    return wall - begin[0], cpu - begin[1]


def timed_years(config: Config, between: Callable[[], object] = lambda: None) -> Timed:
    """Run a configuration and time its years. The first is not counted, because it includes the start.

    ``between`` is called and timed before each counted year.
    """
    found = Timed()
    begin = now()
    before: dict[str, float] = {}

    def tick(done: int, total: int, year: int) -> None:
        nonlocal begin
        if done == 1:
            before.update(simulation.component.timers.seconds)
        else:
            found.years.append(since(begin))
        if done < total:
            begin = now()
            between()
            found.between.append(since(begin))
        begin = now()

    simulation = Simulation(config, progress=tick)
    simulation.run()
    after = simulation.component.timers.seconds
    found.phases = {phase: (after[phase] - before.get(phase, 0.0)) / len(found.years) for phase in after}
    return found


def report_phases(report: Report, found: Timed, land: int) -> None:
    """The time of a year, and the mean time and the share of each phase. The shares are of the mean year."""
    wall = found.pairs(0).ours
    year = statistics.mean(wall)
    report.values("land cells a second, whole year", [land / spent / 1e6 for spent in wall], "M/s")
    report.values("whole year", wall, "s")
    for phase, spent in sorted(found.phases.items(), key=lambda item: -item[1]):
        report.value(f"  {phase}: {spent / year:.0%}", spent, "s")
    rest = year - sum(found.phases.values())
    report.value(f"  in no phase: {rest / year:.0%}", rest, "s")
