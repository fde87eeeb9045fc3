"""A whole simulated year, compared with the bare forward pass of its network over the same windows.

    python benchmarks/step.py             # width 35, depth 4, 35 channels, bfloat16; two tiles, 2 million land cells
    python benchmarks/step.py --small     # the demo's network (width 12, depth 3, float32), 228,777 land cells

A year consists of forcing, halos, assembly, network, allocation, output, restart and commit. Before each year, the
network alone predicts random windows of the same shapes, which already have its type and memory layout. A ratio of 1
means that the component has no overhead. The tiles are at the edge of the domain, so their halos are incomplete: the
share of the network in the time is smaller than in a global run.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from runner import Report, arguments, at_least
from twin_run import add_arguments, configuration, make_bundle, report_phases, timed_years

from ai4land_coupler import LandComponent
from ai4land_coupler.config.sections import Config


def main() -> None:
    parser = arguments(__doc__)
    add_arguments(parser)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="default: bfloat16, with --small float32")
    options = parser.parse_args()
    dtype = options.dtype or ("float32" if options.small else "bfloat16")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = "twin" if options.small else str(make_bundle(folder / "bundle"))
        config, land = configuration(
            options, folder, {"name": "unet", "options": {"bundle": bundle, "dtype": dtype, "device": "cpu"}}
        )
        report = Report("step.py --small" if options.small else "step.py", options, options.threads)
        shapes = windows_with_land(config)
        report.note(f"{land} land cells, {dtype}, windows {', '.join(f'{rows} x {cols}' for rows, cols in shapes)}")
        found = timed_years(config, bare_network(bundle, dtype, shapes))
    sides = {"names": ("whole year", "bare network"), "work": land / 1e6, "unit": "M land cells/s", "speed": True}
    goal = None if options.small else at_least(0.8)
    report.ratio("whole year / bare network, speed", found.pairs(0), goal=goal, **sides)
    report.ratio("the same by processor time", found.pairs(1), **sides)
    bare = statistics.median(found.pairs(0).other)
    report.value("bare network", bare, "s a year")
    report_phases(report, found, land)
    report.end()


def windows_with_land(config: Config) -> list[tuple[int, int]]:
    """Rows and columns of the windows that the network predicts in a year."""
    component = LandComponent(config, online=False)
    component.initialize()
    model = component.model
    legend = component.setup.legend
    land = {block for block, codes in component.state.cover.items() if (legend.to_view(codes) >= 0).any()}
    shapes = [tile.window.shape for entry in model.predictors for tile in model.tiles(entry) if tile.id in land]
    component.finalize()
    return shapes


def bare_network(bundle: str, dtype: str, shapes: list[tuple[int, int]]) -> Callable[[], None]:
    """A function that predicts windows of these shapes with the network alone."""
    import torch

    from ai4land_unet.bundle import find_bundle, read_bundle
    from ai4land_unet.network import fold_batchnorm, to_dtype
    from ai4land_unet.weights import load_network

    kind = getattr(torch, dtype)
    network = to_dtype(fold_batchnorm(load_network(read_bundle(find_bundle(bundle)))), kind)
    network = network.to(memory_format=torch.channels_last)
    channels, classes = network.down[0][0].in_channels, network.head.out_channels
    rows, cols = (max(side) for side in zip(*shapes, strict=True))
    x = torch.randn(1, channels, rows, cols).to(kind)
    previous = torch.randint(0, classes, (1, 1, rows, cols)) == torch.arange(classes)[:, None, None]
    windows = {}
    for shape in set(shapes):
        y, z = shape
        windows[shape] = [values[..., :y, :z].contiguous(memory_format=torch.channels_last) for values in (x, previous)]

    def run() -> None:
        with torch.inference_mode():
            for shape in shapes:
                network(*windows[shape])

    run()  # the first call prepares kernels
    return run


if __name__ == "__main__":
    main()
