"""A whole simulated year with the network on a GPU: its speed, its share of the card's matmul rate, and its maps.

    python benchmarks/gpu.py [--small]

The program prints useful land cells a second; the floating-point operations of the network in a year, divided by the
time of the year and by the measured rate of a large bfloat16 matrix product; what 251 years of the globe (215 million
land cells) take; and the share of land cells that differ between the maps of GPU and CPU. Without CUDA it prints
"not measured: no GPU".
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from runner import Report, arguments, at_most, seconds
from step import bare_network, windows_with_land
from torch.utils.flop_counter import FlopCounterMode
from twin_run import FIRST, add_arguments, configuration, make_bundle, report_phases, timed_years

from ai4land_coupler.store.output import open_store

#: Land cells of the published grid, and years from 1850 to 2100.
LAND, YEARS = 215e6, 251


def main() -> None:
    parser = arguments(__doc__)
    add_arguments(parser)
    options = parser.parse_args()
    report = Report("gpu.py", options, options.threads)
    if torch.cuda.is_available():
        report.note(f"device: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
        measure(options, report, "cuda")
    else:
        report.note("not measured: no GPU")
    report.end()


def measure(options: argparse.Namespace, report: Report, device: str) -> None:
    """Measure a run on a device and compare its maps with those of the CPU."""
    rate = matmul_rate(device, 8192 if device == "cuda" else 512)
    report.value("large bfloat16 matrix product", rate / 1e12, "Tflop/s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = "twin" if options.small else str(make_bundle(folder / "bundle"))
        maps = {}
        for kind, years in (("cpu", 2), (device, options.repeat + 1)):  # two years are enough to compare maps
            choice = {"name": "unet", "options": {"bundle": bundle, "dtype": "bfloat16", "device": kind}}
            config, land = configuration(options, folder, choice, store=f"{years}.zarr", years=years)
            found = timed_years(config)
            maps[kind] = open_store(folder / f"{years}.zarr")["land_cover"].sel(year=[FIRST, FIRST + 1]).values
        shapes = windows_with_land(config)
        bare = bare_network(bundle, "bfloat16", shapes[:1])
        with FlopCounterMode(display=False) as counter:
            bare()
        cells = sum(rows * cols for rows, cols in shapes)
        operations = counter.get_total_flops() * cells / (shapes[0][0] * shapes[0][1])
        year = statistics.median(found.pairs(0).ours)
        report_phases(report, found, land)
        report.value("share of the matmul rate, whole year", operations / year / rate)
        predict = found.phases.get("predict unet")
        if predict:
            report.value("share of the matmul rate, in the phase of the network", operations / predict / rate)
        report.value(
            f"{YEARS} years of {LAND / 1e6:.0f} M land cells", YEARS * LAND * year / land / 60, "min", at_most(30)
        )
        is_land = maps["cpu"][0] != 0
        differ = maps["cpu"][1] != maps[device][1]
        report.value("land cells that differ between GPU and CPU after a year", np.mean(differ[is_land]))


def matmul_rate(device: str, size: int) -> float:
    """Floating-point operations a second of a square bfloat16 matrix product; the best of ten."""
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    product()
    return 2 * size**3 / min(seconds(product) for _ in range(10))


if __name__ == "__main__":
    main()
