"""Time of the phases of a simulated year, and overhead of the component compared with its network.

    python benchmarks/step.py

Both sides are in one run: the network alone on the windows of all tiles, and the whole year (forcing, halos, assembly,
network, allocation, regridding, output, restart). A ratio of 1.0 means that the component has no overhead.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from ai4land_coupler import LandComponent, Simulation
from ai4land_coupler.config.sections import parse_config
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.experiments.twin import TwinOptions, generate

TWIN = TwinOptions(lon0=-2, lon1=8, lat0=44, lat1=50, resolution=1 / 64, first_year=2014, last_year=2021, seed=5)
YEARS = range(2016, 2022)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        twin = generate(TWIN, folder / "twin")
        paths = {key: str(path) for key, path in twin.paths.items()}
        config = parse_config(
            {
                "title": "benchmark",
                "legend": "hilda-v1.0-f",
                "time": {"start": 2015, "stop": YEARS[-1]},
                "initial": {"name": "hilda", "options": {"path": paths["maps"], "legend": "hilda-v1.0-f"}},
                "forcing": [
                    {"name": "ssp", "options": {"states": paths["scenario"]}},
                    {"name": "luh2", "options": {"states": paths["states"]}},
                ],
                "static": [
                    {"name": "static", "options": {"path": paths[key]}} for key in ("terrain", "elevation", "soil")
                ],
                "predictors": [{"name": "unet", "options": {"bundle": "twin"}}],
                "output": {"store": str(folder / "run.zarr")},
                "parallel": {"threads": 2},
            },
            folder,
            "benchmark",
        )
        alone = network_alone(config)
        times: list[float] = []
        last = time.perf_counter()

        def tick(done: int, total: int, year: int) -> None:
            nonlocal last
            now = time.perf_counter()
            times.append(now - last)
            last = now

        summary = Simulation(config, progress=tick).run()
        whole = statistics.median(times[1:])  # the first includes the start
        cells = twin.land_cells
        print(f"{cells} land cells, {len(YEARS)} years")
        print(f"network alone   {alone:6.2f} s a year   {cells / alone / 1e3:7.0f} k land cells/s")
        print(f"whole year      {whole:6.2f} s a year   {cells / whole / 1e3:7.0f} k land cells/s")
        print(f"ratio           {whole / alone:6.2f}")
        for phase, seconds in sorted(summary.seconds.items(), key=lambda item: -item[1]):
            print(f"  {phase:20s} {seconds / len(YEARS):7.3f} s a year")


def network_alone(config) -> float:
    """Median seconds of the network on all windows of a year, without the time to assemble them."""
    import torch

    torch.set_num_threads(config.parallel.threads)
    component = LandComponent(config, online=False)
    component.initialize()
    (entry,) = component.model.predictors
    predictor, predict = entry.predictor, entry.predictor.predict
    batches = []

    def keep(batch, rng):
        batches.append(batch)
        return predict(batch, rng)

    predictor.predict = keep
    clock = component.clock.next()
    component.model.advance(component.state, *component.read_inputs(clock), clock)
    rng = KeyedRng(0)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        for batch in batches:
            predict(batch, rng)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
